"""A stranger's function, called as if it were one's own.

A `Sandbox` keeps one warm process that has NumPy imported and holds no secret. For each submission it forks a
`Worker`, confined by every layer that the machine can give, which reads the submission and serves calls over a pipe. A
`Candidate` is the grader's end of one function there: arrays in, arrays out, and the judge can't tell it from a local
function.

>>> with Sandbox() as sandbox, sandbox.worker() as worker:
...     places = worker.open(b"def double(x): return 2 * x", ".py", asked=["double"])
...     double = worker.load("double")
...     double(np.array([1.0, 2.0]))
array([2., 4.])

The student's process never holds the expected values, the tests or the score. Isolation is for side effects, and is
reported by layer, as it took hold: `Worker.isolation`.
"""

from __future__ import annotations

import builtins
import concurrent.futures
import contextlib
import importlib.util
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidlearn.judge import Stopped
from vidlearn.sandbox import wire
from vidlearn.sandbox import worker as far  # the other end: its constants, never its process

__all__ = ["MINIMUM", "Candidate", "Isolation", "Limits", "Sandbox", "SandboxError", "Unreadable", "Worker"]

KEEP_OUTPUT = 64 << 10
MAX_OUTPUT = 64 << 20  #: of printed text is read on, so that a function which prints a lot can answer
LAYERS = far.LAYERS
#: layers by level; "A" with Landlock is better still, but a file system of one's own hides the same files
LEVELS = {
    "A": ("namespaces", "file system", "no capabilities", "limits", "seccomp"),
    "B": ("limits", "Landlock", "seccomp"),
    "C": ("limits",),
}
MINIMUM = "B"  #: for the submissions of several students, which must not reach each other


class SandboxError(RuntimeError):
    """The sandbox itself failed: the grader's problem, never the student's."""


class Unreadable(ValueError):
    """The submission is not a notebook or a Python file."""


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Attributes
    ----------
    seconds
        For one call, and for running the cells up to one function, by the grader's clock.
    total
        For all calls to one function together.
    memory
        Bytes beyond what NumPy itself needs.
    """

    seconds: float = 5.0
    total: float = 50.0
    memory: int = 1 << 30


@dataclass(frozen=True)
class Isolation:
    """Which layers took hold around a worker, and why the others did not.

    The level is A (own file system, own processes and network, seccomp), B (Landlock and seccomp) or C (limits at
    most); see `LEVELS`. No layer is claimed that was not tried: see `vidlearn.sandbox.probe`.
    """

    missing: Mapping[str, str]

    @property
    def enforced(self) -> tuple[str, ...]:
        """The layers in force, in the order in which they were put on."""
        return tuple(name for name in LAYERS if not self.missing.get(name))

    @property
    def level(self) -> str:
        """A, B or C."""
        return next((level for level in LEVELS if set(LEVELS[level]) <= set(self.enforced)), "C")

    def lacks(self, level: str) -> dict[str, str]:
        """The layers that are missing for this level, and why; none where a better one holds.

        >>> Isolation({"seccomp": "not here"}).lacks("B")
        {'seccomp': 'not here'}
        """
        better = [names for other, names in LEVELS.items() if other <= level]
        if any(set(names) <= set(self.enforced) for names in better):
            return {}
        return {name: self.missing[name] for name in LEVELS[level] if self.missing.get(name)}

    def without(self, layers: Mapping[str, str]) -> Isolation:
        """The same less some layers, and why."""
        return Isolation({**self.missing, **layers})

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a report."""
        return {
            "level": self.level,
            "enforced": list(self.enforced),
            "missing": {name: why for name, why in self.missing.items() if why},
        }

    def __str__(self) -> str:
        lacks = "; ".join(f"{name} ({why})" for name, why in self.missing.items() if why)
        return f"level {self.level}: {', '.join(self.enforced) or 'nothing'}" + (f". Missing: {lacks}" if lacks else "")


class Sandbox:
    """A warm process from which workers are forked.

    It starts at once and is waited for late: by the first worker, or beside the caller after `begin`.

    Parameters
    ----------
    packages
        Installed packages that a submission may import besides the standard library, with what they depend on. They
        are imported beforehand. An answer may be a torch tensor where torch is among them.
    layers
        The layers to try; all of them, unless a test wants to see what holds without some.

    Attributes
    ----------
    require
        A level, without which no worker is given out: `SandboxError` then.
    """

    def __init__(self, packages: Sequence[str] = ("numpy",), layers: Sequence[str] = LAYERS) -> None:
        if not hasattr(os, "fork"):
            raise SandboxError("the sandbox needs Linux or macOS: this system cannot fork a process")
        unknown = set(layers) - set(LAYERS)
        if unknown:
            raise ValueError(f"layers: unknown {sorted(unknown)}; there are {', '.join(LAYERS)}")
        self.require: str | None = None
        self._warm = False
        self._trial: concurrent.futures.Future[Isolation] | None = None
        self._tried: Isolation | None = None
        self._wanted = sum(1 << LAYERS.index(name) for name in layers)
        self._control, theirs = socket.socketpair()
        names = list(dict.fromkeys(["numpy", *packages]))
        single = dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
        )
        if sys.platform == "darwin":  # else a forked process ends as soon as it touches one of the system's frameworks
            single["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", far.__file__, str(theirs.fileno()), ",".join(names),
                 *installed(names)],
                env={"PATH": "/nowhere", "HOME": "/tmp", "LANG": "C.UTF-8", **single},
                pass_fds=[theirs.fileno()], cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise SandboxError(f"the warm process did not start: {error}") from None
        finally:
            theirs.close()
        self._control.settimeout(60)

    def begin(self) -> None:
        """Wait for the warm process and try every known way out of a worker, in a thread beside what comes next here.

        The first `worker` takes what came of it; where nobody began, it begins itself.
        """
        if self._trial is None:
            pool = concurrent.futures.ThreadPoolExecutor(1, "sandbox")
            self._trial = pool.submit(self._try)
            pool.shutdown(wait=False)  # the thread ends with this task

    def worker(self, limits: Limits | None = None) -> Worker:
        """Fork a confined process for one submission.

        The first time, every known way out is tried first from a worker that holds no submission.
        """
        if self._tried is None:
            self.begin()
            assert self._trial
            try:
                self._tried = self._trial.result()
            except SandboxError:
                self._trial = None  # the next worker tries again
                raise
        worker = self._fork(limits or Limits())
        worker.isolation = self._tried.without({name: why for name, why in worker.isolation.missing.items() if why})
        if self.require and (lacks := worker.isolation.lacks(self.require)):
            worker.close()
            raise SandboxError(
                f"isolation level {self.require} is required, and this does not hold: "
                + "; ".join(f"{name} ({why})" for name, why in lacks.items())
            )
        return worker

    def _try(self) -> Isolation:
        from vidlearn.sandbox import probe

        try:
            return probe.trial(self)[0]
        except OSError as error:
            raise SandboxError(f"the self-test of the sandbox did not come to its end: {error}") from None

    def _wait_until_warm(self) -> None:
        with contextlib.suppress(OSError):  # it takes too long, or this end is closed
            self._warm = self._control.recv(1) == b"!"
        if self._warm:
            return
        self._process.kill()
        assert self._process.stderr
        said = b"" if self._process.stderr.closed else self._process.stderr.read()
        lines = said.decode(errors="replace").strip().splitlines()
        raise SandboxError(
            f"the warm process {f'did not start: {lines[-1][:500]}' if lines else 'is gone and said nothing'}"
        )

    def _fork(self, limits: Limits) -> Worker:
        if not self._warm:
            self._wait_until_warm()
        processor = int(4 * limits.total + 60)  # a backstop; the grader's own clock decides
        order = far.ORDER.pack(processor, limits.memory, self._wanted)
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            try:
                line, calls = socket.socketpair()
                ours.callback(line.close)
                theirs.callback(calls.close)
                fate, keeper = socket.socketpair()
                ours.callback(fate.close)
                theirs.callback(keeper.close)
                output, printed = os.pipe()
                ours.callback(os.close, output)
                theirs.callback(os.close, printed)
            except OSError as error:
                raise SandboxError(f"no line to a new process can be opened: {error}") from None
            try:
                socket.send_fds(self._control, [order], [calls.fileno(), printed, keeper.fileno()])
            except OSError as error:
                raise SandboxError(f"the warm process is gone: {error}") from None
            ours.pop_all()
        return Worker(line, output, fate, limits)

    @property
    def ended(self) -> bool:
        """Whether the warm process is gone, and its workers with it."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End the warm process and every worker that is left."""
        if not self._warm or (self._trial and not self._trial.done()):  # nobody waits for what is under way
            self._process.kill()
            concurrent.futures.wait([self._trial] if self._trial else [])
        self._control.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Worker:
    """One submission's process: open the submission, load a function, call it, close."""

    def __init__(self, line: socket.socket, output: int, fate: socket.socket, limits: Limits) -> None:
        self._line, self._output, self._fate, self.limits = line, output, fate, limits
        line.setblocking(False)
        os.set_blocking(output, False)
        self._poll = select.poll()
        self._poll.register(line, select.POLLIN)
        self._poll.register(output, select.POLLIN)
        self._number = 0
        self._heard = bytearray()  # of the line, and not yet asked for
        self._kept = bytearray()
        self._printed = 0
        self._flooded = False
        self.at = ""  # the statement that it says it runs, while it loads a function
        self.dead: Stopped | None = None
        self.peak_memory = 0
        try:
            kind, values = self._receive(0, time.monotonic() + 60)
            self.isolation = Isolation({str(name): str(why) for name, why in values[0]})
            if kind != far.READY:
                raise SandboxError("the worker did not report for duty")
        except (Stopped, ValueError, IndexError, TypeError) as error:
            self.close()
            raise SandboxError(f"the worker could not be set up: {error} {self.output}".strip()) from None

    def open(
        self, source: bytes, suffix: str, *, asked: Sequence[str] = (), helpers: Mapping[str, str] | None = None,
        shut: Sequence[str] = (),
    ) -> dict[str, tuple[int, bool]]:  # fmt: skip
        """Hand over the submission's bytes; for each asked name, where it is defined (-1: nowhere) and whether it is
        still the empty exercise.

        `helpers` is the source of the operations that the assignment allows, by concept; `shut` names the operations
        that are not there.
        """
        if len(source) > wire.MAX_SOURCE:
            raise Unreadable(f"the file is {len(source) / 1e6:.0f} MB; at most {wire.MAX_SOURCE / 1e6:.0f} MB are read")
        texts = [[name, text.encode()] for name, text in (helpers or {}).items()]
        kind, values = self._ask(
            far.OPEN, source, suffix, texts, list(shut), list(asked), seconds=max(self.limits.seconds, 5)
        )
        if kind == far.REFUSED:
            raise Unreadable("".join(map(_text, values[:1])))
        try:
            return {str(name): (int(at), bool(untouched)) for name, at, untouched in values[0]}
        except (TypeError, ValueError):
            raise self._end("crashed", "the process answered out of order") from None

    def load(self, name: str, *, everything: bool = True, backend: str = "numpy") -> Candidate:
        """Run the cells up to the definition of `name`, and return the function; `LookupError` where it is none.

        With `everything` false only definitions and imports are run. With `backend` "torch" the function is handed
        torch tensors; arrays go in and come out at this end all the same.
        """
        kind, values = self._ask(far.LOAD, name, everything, backend, seconds=self.limits.seconds)
        if kind == far.REFUSED:
            raise LookupError("".join(map(_text, values[:1])))
        said = values[0] if values and isinstance(values[0], list) else []
        return Candidate(self, name, [_text(line) for line in said[: far.KEEP_ERRORS]])

    @property
    def output(self) -> str:
        """What was printed so far, cut after 64 KiB, with control characters taken out."""
        self._empty()
        text = self._kept.decode("utf-8", "replace")
        text = "".join(c for c in text if c.isprintable() or c in "\n\t")
        left = self._printed - len(self._kept)
        return text + (f"\n… and {left} bytes more" if left else "")

    def take_output(self) -> str:
        """What was printed since the last time."""
        text = self.output
        self._kept.clear()
        self._printed = 0
        if self._flooded and not self.dead:
            self._flooded = False
            self._poll.register(self._output, select.POLLIN)
        return text

    def close(self) -> None:
        """Kill the process. A worker that has ended in any way is closed already."""
        for end in (self._line, self._fate):
            end.close()
        if self._output >= 0:
            os.close(self._output)
            self._output = -1

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one question, one answer --------------------------------------------------------------------------------

    def _ask(self, kind: int, *values: Any, seconds: float) -> tuple[int, list[Any]]:
        if self.dead:
            raise self.dead
        self._number += 1
        try:
            body = wire.encode(*values)
        except wire.WireError as error:
            raise Stopped("not run", f"grader error: a value cannot be sent ({error})") from None
        deadline = time.monotonic() + seconds
        frame = wire.header(kind, self._number, len(body)) + body
        self._send(frame, deadline, seconds)
        limit = wire.MAX_BODY if kind == far.CALL else wire.MAX_WORDS
        return self._receive(self._number, deadline, seconds, limit)

    def _send(self, frame: bytes, deadline: float, seconds: float) -> None:
        left = memoryview(frame)
        while left:
            try:
                left = left[self._line.send(left) :]
            except BlockingIOError:
                self._poll.modify(self._line, select.POLLOUT)
                self._wait(deadline, seconds)
                self._poll.modify(self._line, select.POLLIN)
            except OSError:
                raise self._died() from None

    def _receive(
        self, number: int, deadline: float, seconds: float = 60, limit: int = wire.MAX_WORDS
    ) -> tuple[int, list[Any]]:
        try:
            while True:
                kind, said, length = wire.open_header(self._exactly(wire.HEADER.size, deadline, seconds), limit)
                if said != number:
                    raise wire.WireError("out of step")
                values = wire.decode(self._exactly(length, deadline, seconds))
                if kind != far.HERE:
                    return kind, values
                self.at = "".join(map(_text, values[:1]))
        except wire.WireError as error:
            raise self._end("crashed", f"the process answered out of order ({error})") from None

    def _exactly(self, length: int, deadline: float, seconds: float) -> bytes:
        while len(self._heard) < length:
            self._wait(deadline, seconds)
            try:
                piece = self._line.recv(min(max(length - len(self._heard), 1 << 16), 1 << 20))
            except BlockingIOError:
                continue
            except OSError:
                piece = b""
            if not piece:
                raise self._died()
            self._heard += piece
        raw = bytes(self._heard[:length])
        del self._heard[:length]
        return raw

    def _wait(self, deadline: float, seconds: float) -> None:
        """Sleep until the line moves, emptying the pipe of printed text meanwhile; end the worker at the deadline."""
        while True:
            left = deadline - time.monotonic()
            ready = self._poll.poll(1000 * left) if left > 0 else []
            if left <= 0 or not ready:
                if deadline - time.monotonic() <= 0:
                    raise self._end("timed out", f"no answer within {seconds:g} s")
                continue
            moved = False
            for handle, event in ready:
                if handle == self._output:
                    self._drain(event)
                else:
                    moved = True
            if moved:
                return

    def _drain(self, event: int = select.POLLIN) -> None:
        piece = b""
        if event & select.POLLIN:
            try:
                piece = os.read(self._output, 1 << 16)
            except BlockingIOError:
                return
        if not piece:
            self._poll.unregister(self._output)
            return
        self._printed += len(piece)
        if self._printed > MAX_OUTPUT and not self._flooded:
            self._flooded = True
            self._poll.unregister(self._output)  # from here on its pipe is full, and it waits until its time is up
        self._kept += piece[: max(0, KEEP_OUTPUT - len(self._kept))]

    def _empty(self) -> None:
        """Take what is in the pipe of printed text by now, and wait for nothing."""
        for _ in range(16):
            try:
                if not select.select([self._output], [], [], 0)[0]:
                    break
                self._drain()
            except (OSError, KeyError, ValueError):
                break

    def _end(self, status: str, sentence: str) -> Stopped:
        """Kill the worker and keep the reason: every later question gets the same answer."""
        self._empty()  # what was printed last may say why
        self.dead = Stopped(status, sentence)
        self.close()
        return self.dead

    def _died(self) -> Stopped:
        """The line is closed: ask the keeper how the process ended."""
        self._fate.settimeout(5)
        try:
            raw = self._fate.recv(far.FATE.size, socket.MSG_WAITALL)
            status, peak = far.FATE.unpack(raw)
        except (OSError, ValueError, TimeoutError) as error:
            return self._end("crashed", f"the process ended, and nothing is known about how ({type(error).__name__})")
        except Exception:
            return self._end("crashed", "the process closed its line")
        self.peak_memory = peak << 10
        if os.WIFEXITED(status):
            return self._end("crashed", f"the process ended by itself, with exit code {os.WEXITSTATUS(status)}")
        number = os.WTERMSIG(status)
        if number == getattr(signal, "SIGXCPU", -1):
            return self._end("timed out", "the limit on processor time was reached")
        if number == signal.SIGKILL:
            return self._end("out of memory", "the system killed the process, most likely for its use of memory")
        name = signal.Signals(number).name if number in signal.valid_signals() else f"signal {number}"
        return self._end(
            "crashed",
            f"the process was ended by {name}" + (" (a wrong memory access)" if number == signal.SIGSEGV else ""),
        )


@dataclass
class Candidate:
    """One function of a submission, callable like a local one.

    It raises what the function raised (the built-in exception of that kind), changes the arguments that the function
    changed, and raises `vidlearn.judge.Stopped` when the process is gone or its time is up.
    """

    worker: Worker
    name: str
    load_errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        limits = self.worker.limits
        left = limits.total - self.seconds
        if left <= 0:
            raise self.worker.dead or self.worker._end(
                "timed out", f"all calls together took more than {limits.total:g} s"
            )
        start = time.monotonic()
        try:
            kind, values = self.worker._ask(
                far.CALL, args, [(name, value) for name, value in kwargs.items()], seconds=min(limits.seconds, left)
            )
        finally:
            self.seconds += time.monotonic() - start
        try:
            if kind == far.RAISED:
                known, name, message, story = values
            else:
                answer, changed = values
        except ValueError:
            raise self.worker._end("crashed", "the process answered out of order") from None
        if kind == far.RAISED:
            raise self._raised(_text(known), _text(name), _text(message), _text(story, 4000))
        if kind != far.ANSWER:
            raise self.worker._end("crashed", "the process answered out of order")
        given = [*args, *kwargs.values()]
        try:
            for i, value in changed:
                if isinstance(given[i], np.ndarray) and isinstance(value, np.ndarray) and given[i].shape == value.shape:
                    np.copyto(given[i], value, casting="no")
        except (TypeError, ValueError, IndexError):
            raise self.worker._end("crashed", "the process answered out of order") from None
        return answer

    def _raised(self, known: str, name: str, message: str, story: str) -> BaseException:
        """An exception of the same name and message, which is a built-in one of the same kind."""
        self.error = self.error or story or f"{name}: {message}"
        if known == "MemoryError":
            allowed = self.worker.limits.memory / 2**30
            return self.worker._end("out of memory", f"asked for more than the {allowed:g} GiB allowed")
        kind = getattr(builtins, known, None)
        if not (isinstance(kind, type) and issubclass(kind, Exception)):  # exit(), KeyboardInterrupt: not from here
            kind, message = RuntimeError, f"{name}: {message}"
        same: Any = type(name[:80] or "Exception", (kind,), {"__str__": lambda _: message})
        return same.__new__(same)


def installed(names: Sequence[str]) -> list[str]:
    """Where some packages and all that they depend on are installed: folders, modules and shared libraries.

    Nothing is imported. `SandboxError` names a package that is not there.

    >>> [Path(path).name for path in installed(["numpy"])]
    ['numpy', 'numpy.libs']
    """
    paths: dict[str, None] = {}
    for name in names:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise SandboxError(f"the package {name} is not installed here: pip install {name}")
        home = Path(found.origin).parent if found.submodule_search_locations else Path(found.origin)
        paths |= dict.fromkeys(str(path) for path in (home, home.with_name(f"{name}.libs")) if path.exists())
    others = [name for name in names if name != "numpy"]  # which needs nothing else
    if not others:
        return list(paths)
    from importlib import metadata

    by_import: Mapping[str, list[str]] = {}
    distributions = []
    for name in others:
        try:
            distributions.append(metadata.distribution(name))
        except metadata.PackageNotFoundError:  # cv2, skimage, …: the project has another name
            by_import = by_import or metadata.packages_distributions()
            distributions += map(metadata.distribution, by_import.get(name, ()))
    seen = {"vidlearn"}
    while distributions:
        one = distributions.pop()
        for file in one.files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not top.endswith((".dist-info", ".pth")):
                paths[str(one.locate_file(top))] = None
        for requirement in one.requires or ():
            name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
            if name not in seen and "extra ==" not in requirement:
                seen.add(name)
                with contextlib.suppress(metadata.PackageNotFoundError):
                    distributions.append(metadata.distribution(name))
    return list(paths)


def _text(value: Any, most: int = far.KEEP_LINE) -> str:
    """A line that a student's process sent, cut and made harmless to show."""
    return "".join(c for c in value[:most] if c.isprintable() or c in "\n\t") if isinstance(value, str) else ""
