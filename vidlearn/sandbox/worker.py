"""The student's side: a warm process that holds no secret, forks once per submission, and serves calls on arrays.

Started by `vidlearn.sandbox` as ``python -I -S -B worker.py`` with an empty environment, never forked from the grader::

    grader      holds the tests, the expected values and the score
      | a socket: one order and three descriptors for each submission
    zygote      this file's `main`: NumPy imported, nothing else
      | fork
    keeper      waits, reports how the student's process really ended, kills it when the grader lets go
      | own processes and network; fork
    student     own files, limits, Landlock, seccomp; then, and only then, the submission is read

The three descriptors: the line on which calls and answers travel; the pipe that takes what is printed; and the keeper's
line to the grader, which the student's process never holds.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import select
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path
from typing import Any


def _beside(name: str) -> Any:
    """Import a file beside this one, by its path: the package itself must not be importable here."""
    spec = importlib.util.spec_from_file_location(f"_worker_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ORDER = struct.Struct("<QQQ")  # seconds of processor, bytes of memory, which layers to try
FATE = struct.Struct("<iQ")  # wait status, peak memory in KiB
LAYERS = (
    "namespaces",
    "file system",
    "other user",
    "no capabilities",
    "no new privileges",
    "limits",
    "Landlock",
    "seccomp",
)
KEEP_ERRORS, KEEP_LINE = 20, 500  # errors in the cells that are told at once, and the characters of each
READY, OPEN, LOAD, CALL, ANSWER, RAISED, REFUSED, HERE = range(1, 9)


def main() -> None:
    """Warm up, then fork a student's process for each order until the grader closes the line."""
    control = socket.socket(fileno=int(sys.argv[1]))
    names, packages = sys.argv[2].split(","), sys.argv[3:]
    view = _beside("view")
    sys.meta_path.append(
        view.Packages(packages)
    )  # last: some packages (cv2) find a part of themselves through the path
    wire, confine, submission = _beside("wire"), _beside("confine"), _beside("submission")
    for name in names:
        importlib.import_module(name)
    import numpy as np

    np.linalg.lstsq(np.eye(2), np.ones(2), rcond=None)
    np.random.default_rng(0)
    if "torch" in names:
        _warm_torch(importlib.import_module("torch"))
    paths = (*confine.readable(tuple(map(Path, packages))), confine.tasks_of_user())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's to handle
    gc.collect()
    gc.freeze()
    control.sendall(b"!")
    while True:
        order, handles, _, _ = socket.recv_fds(control, ORDER.size, 3)
        if not order:
            return
        if os.fork() == 0:
            control.close()
            try:
                _keep(ORDER.unpack(order), handles, (wire, confine, submission, view), paths)
            finally:
                os._exit(70)
        for handle in handles:
            os.close(handle)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def _warm_torch(torch: Any) -> None:
    """One thread, so that there is no pool of threads that a fork would lose, and what a first call would load."""
    torch.set_num_threads(1)
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)
    with torch.no_grad():
        torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3) @ torch.ones(3, 3), torch.ones(1, 1, 3, 3))


def _keep(order: tuple[int, int, int], handles: list[int], modules: tuple[Any, ...], paths: tuple[Any, ...]) -> None:
    """Start the student's process in namespaces of its own, wait for it, and tell the grader how it ended."""
    confine = modules[1]
    calls, output, fate = handles
    held: dict[str, str] = {}
    os.umask(0o022)
    os.setsid()
    for step in (confine.adopt_orphans, confine.die_with_parent):
        with contextlib.suppress(OSError):
            step()
    _layer(held, order[2], "namespaces", confine.separate)
    keeper = os.getpid()  # in its own namespace the student's process can't see it
    student = os.fork()
    if student == 0:
        os.close(fate)
        try:
            _confine(order, held, calls, output, confine, paths, keeper)
        except BaseException:
            os.write(output, traceback.format_exc().encode())
            os._exit(71)
        _serve(socket.socket(fileno=calls), held, *modules)
        os._exit(0)
    os.close(calls)
    os.close(output)
    watch = select.poll()
    watch.register(fate, select.POLLIN)
    ended = os.pidfd_open(student) if hasattr(os, "pidfd_open") else None
    if ended is not None:
        watch.register(ended, select.POLLIN)
    while True:
        done, status, used = os.wait4(student, os.WNOHANG)
        if done:
            break
        if any(handle == fate for handle, _ in watch.poll(None if ended is not None else 20)):  # the grader let go
            os.kill(student, signal.SIGKILL)
            watch.unregister(fate)
    _sweep(student)
    with contextlib.suppress(OSError):
        os.write(fate, FATE.pack(status, used.ru_maxrss >> 10 if sys.platform == "darwin" else used.ru_maxrss))
    os._exit(0)


def _sweep(group: int) -> None:
    """Kill what outlived the student's process; with a process namespace there is nothing left to kill."""
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)
    for _ in range(100):
        try:
            path = Path(f"/proc/self/task/{os.getpid()}/children")
            for child in path.read_text().split() if path.exists() else []:
                os.kill(int(child), signal.SIGKILL)
            os.waitpid(-1, 0)
        except (ChildProcessError, ProcessLookupError):
            return
        except OSError:
            return


def _layer(held: dict[str, str], wanted: int, name: str, step: Any, *arguments: Any) -> None:
    """Try one layer and note how it went: an empty note says that it holds."""
    if not wanted >> LAYERS.index(name) & 1:
        held[name] = "not asked for"
        return
    try:
        step(*arguments)
        held[name] = ""
    except (OSError, ValueError) as error:  # ValueError: a limit that this system does not take
        held[name] = str(getattr(error, "strerror", None) or error)


def _confine(
    order: tuple[int, int, int],
    held: dict[str, str],
    calls: int,
    output: int,
    confine: Any,
    paths: Any,
    keeper: int,
) -> None:
    """Give up everything that a student's process does not need. The order matters: steps need the ones before."""
    seconds, memory, wanted = order
    with contextlib.suppress(OSError):
        confine.die_with_parent()
    os.setpgid(0, 0)
    show, hidden, others = paths
    _layer(
        held, wanted, "limits", confine.limit, seconds, memory, others
    )  # first, while /proc still tells what is in use
    if held["namespaces"]:
        held["file system"] = held["namespaces"]
    else:
        _layer(held, wanted, "file system", confine.empty_root, show, hidden)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _close_all_but(calls)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (they stay open)
    sys.stdout = open(1, "w", buffering=1 << 13, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = [""]
    vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)
    inside = not held["file system"]
    reachable = inside or all(os.stat(parent).st_mode & 1 for path in show for parent in Path(path).parents)
    if os.geteuid():
        held["other user"] = "only root can change to another user"
    elif reachable:
        _layer(held, wanted, "other user", confine.step_down, keeper)
        with contextlib.suppress(OSError):
            confine.die_with_parent()  # a change of user clears it
    else:
        held["other user"] = "the interpreter lies in a folder that only root can enter"
    _layer(held, wanted, "no capabilities", confine.drop_capabilities)
    _layer(held, wanted, "no new privileges", confine.no_new_privileges)
    if inside:
        show, hidden = ["/"], []
    _layer(held, wanted, "Landlock", confine.landlock, show, hidden, ["/tmp"] if inside else [])
    _layer(held, wanted, "seccomp", confine.seccomp)


def _close_all_but(keep: int) -> None:
    os.closerange(3, keep)
    os.closerange(keep + 1, 1 << 12)


# ------------------------------------------------------------------------------------------ serving


def _serve(line: socket.socket, held: dict[str, str], wire: Any, confine: Any, submission: Any, view: Any) -> None:
    """Answer the grader's frames until it closes the line. From here on a stranger's code runs in this process."""
    del confine
    speak = _Line(line, wire)
    speak.say(READY, 0, [[name, held[name]] for name in LAYERS])
    work: Any = None
    function: Any = None
    tensors = False
    told = 0  # errors in the cells that the grader has heard of

    def here() -> Any:
        """Say which statement runs now: if it never ends, that is known."""
        speak.say(HERE, number, work.at)
        return contextlib.nullcontext()

    while True:
        kind, number, values = speak.hear()
        try:
            if kind == CALL:
                reply = _call(function, number, values, tensors, submission)
                try:
                    speak.say(*reply)
                except Exception:  # an answer that cannot travel; nothing of it is on the line yet
                    speak.say(*reply[:2], *(_plain(value, wire) for value in reply[2:]))
            elif kind == OPEN:
                raw, suffix, helpers, shut, asked = values
                view.View({name: source.decode() for name, source in helpers}, set(shut)).install()
                work = submission.Submission(raw, suffix, here)
                if suffix == ".ipynb":  # what is there in a notebook without an import
                    work.names.update(display=view.Quiet(), get_ipython=view.Quiet())
                speak.say(ANSWER, number, [[n, work.position(n), work.untouched(n)] for n in asked])
            elif kind == LOAD:
                name, everything, backend = values
                tensors = backend == "torch"
                function = work.load(name, everything)
                speak.say(ANSWER, number, [line[:KEEP_LINE] for line in work.errors[told:][:KEEP_ERRORS]])
                told = len(work.errors)
        except (submission.Unreadable, LookupError) as error:
            speak.say(REFUSED, number, str(error.args[0] if error.args else error))


def _call(function: Any, number: int, values: list[Any], tensors: bool, submission: Any) -> tuple[Any, ...]:
    """One call of the student's function: its answer, and the arguments that it changed.

    With `tensors` it is handed torch tensors that share the arrays' memory.
    """
    import numpy as np

    positional, keywords = values
    given = [*positional, *(value for _, value in keywords)]
    before = [value.tobytes() if isinstance(value, np.ndarray) and value.flags.writeable else None for value in given]
    try:
        if tensors:
            positional = [_tensor(value) for value in positional]
            keywords = [(name, _tensor(value)) for name, value in keywords]
        answer = function(*positional, **dict(keywords))
    except BaseException as error:
        known = next((c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins"), "Exception")
        try:
            story = traceback.format_exception(
                type(error), error, getattr(error.__traceback__, "tb_next", None), limit=8
            )
        except BaseException:
            story = []
        name, _, message = submission.describe(error).partition(": ")
        if "DefaultCPUAllocator" in message:  # how torch says it
            known = "MemoryError"
        return RAISED, number, known, name, message, "".join(story)[-4000:]
    changed = [
        [i, value]
        for i, (value, raw) in enumerate(zip(given, before, strict=True))
        if raw is not None and value.tobytes() != raw
    ]
    return ANSWER, number, answer, changed


def _tensor(value: Any) -> Any:
    import numpy as np

    if not isinstance(value, np.ndarray):
        return value
    return sys.modules["torch"].from_numpy(value if value.flags.writeable else value.copy())


def _array(value: Any) -> Any:
    """The numbers of a torch tensor as a NumPy array; anything else as it is."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return value
    host = value.detach().cpu().resolve_conj().resolve_neg()
    if host.is_floating_point() and host.dtype not in (torch.float16, torch.float32, torch.float64):
        host = host.float()  # bfloat16 and its like, which NumPy doesn't have
    return host.numpy()


def _plain(value: Any, wire: Any) -> Any:
    """The value, or a stand-in that carries its type's name where it cannot travel."""
    import numpy as np

    try:
        value = _array(value)
        if isinstance(value, np.ndarray | np.generic) and value.dtype == np.longdouble:
            value = value.astype(np.float64)  # the wire has no form for it: its size differs between processors
        wire.encode(value)
        return value
    except Exception:
        if type(value) in (list, tuple) and len(value) <= 64:
            return type(value)(_plain(item, wire) for item in value)
        name = str(type(value).__name__)
        if type(value) is np.ndarray:
            name += f" of dtype {value.dtype}"
        return wire.Foreign.of(name[:80])


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()


class _Line:
    """Frames over the socket, blocking."""

    def __init__(self, line: socket.socket, wire: Any) -> None:
        self.line, self.wire, self.heard = line, wire, bytearray()

    def hear(self) -> tuple[int, int, list[Any]]:
        kind, number, length = self.wire.open_header(self._exactly(self.wire.HEADER.size))
        return kind, number, self.wire.decode(self._exactly(length), layout=True)

    def say(self, kind: int, number: int, *values: Any) -> None:
        body = self.wire.encode(*values)
        _flush()
        self.line.sendall(self.wire.header(kind, number, len(body)) + body)

    def _exactly(self, length: int) -> bytes:
        while len(self.heard) < length:
            piece = self.line.recv(max(length - len(self.heard), 1 << 16))
            if not piece:
                os._exit(0)
            self.heard += piece
        raw = bytes(self.heard[:length])
        del self.heard[:length]
        return raw


if __name__ == "__main__":
    main()
    os._exit(0)  # the grader waits, and there is nothing to tidy up
