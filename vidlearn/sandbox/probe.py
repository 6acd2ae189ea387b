"""Isolation as it was tried, not as it was announced.

`trial` makes every attempt of `escapes` from inside a confined worker and looks at what it changed outside. A sandbox
does so once before its first worker, and claims no layer that failed or that nothing could try. `probe` shows the same
line by line, beside what each attempt does without a sandbox: an attempt that fails there too proves little.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vidlearn.judge import Stopped
from vidlearn.sandbox import MINIMUM, Candidate, Isolation, Limits, Sandbox, SandboxError, Unreadable, Worker, escapes

__all__ = ["Probe", "Tried", "main", "probe", "trial"]

_LIMITS = Limits(seconds=10, total=120, memory=256 << 20)
_SOURCE = Path(escapes.__file__)


@dataclass(frozen=True)
class Tried:
    """One attempt to get out.

    Attributes
    ----------
    what
        What was tried.
    by
        The layers of which each alone must refuse it ("a and b": only both together).
    outcome
        "refused", "got out" or "not run".
    happened
        What happened, in a few words.
    without
        What the same attempt does without a sandbox; empty where that was not tried.
    """

    what: str
    by: tuple[str, ...]
    outcome: str
    happened: str
    without: str = ""

    def promised(self, enforced: Iterable[str]) -> bool:
        """Whether one of these layers must refuse it."""
        return any(set(way.split(" and ")) <= set(enforced) for way in self.by)


class _Scene:
    """Things of the grader's that an attempt can reach for, and what shows from outside that it got them."""

    def __enter__(self) -> _Scene:
        try:
            self.outer = Path(tempfile.mkdtemp(prefix="vidlearn-"))
            self.outer.chmod(0o711)  # nobody can guess what lies in it, so that what lies in it may be open to all
            self.folder = self.outer / secrets.token_hex(16)
            self.folder.mkdir()
            self.folder.chmod(0o777)
            self.servers = [socket.socket(), socket.socket(type=socket.SOCK_DGRAM)]
            self.name = f"vidlearn-{secrets.token_hex(8)}"
            if sys.platform.startswith("linux"):
                self.servers.append(socket.socket(socket.AF_UNIX))
                self.servers[2].bind("\0" + self.name)
                self.servers[2].listen()
                self.servers.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                with contextlib.suppress(OSError):  # a temporary folder with too long a name for a socket
                    self.servers[3].bind(str(self.outer / "letters"))
                    (self.outer / "letters").chmod(0o666)
            with contextlib.suppress(OSError):  # a machine without any network: what needs one is then not run
                for server in self.servers[:2]:
                    server.bind(("127.0.0.1", 0))
                self.servers[0].listen()
            for server in self.servers:
                server.setblocking(False)
            self.bystander: subprocess.Popen[bytes] | None = None
            self._lay_out()
        except OSError as error:
            raise SandboxError(f"the self-test of the sandbox could not be laid out: {error}") from None
        return self

    def _lay_out(self) -> None:
        """Everything as it was before the first attempt."""
        for path in self.folder.iterdir():
            path.unlink()
        secret = self.folder / "secret"
        secret.write_text("not for students")
        secret.chmod(0o666)
        self.stamp = secret.stat()
        if self.bystander is None or self.bystander.poll() is not None:
            self._let_go()
            self.bystander = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"],  # it ends when this process does
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    def arguments(self) -> tuple[Any, ...]:
        assert self.bystander
        ports = [server.getsockname()[1] for server in self.servers[:2]]
        return str(self.folder), *ports, self.name, self.bystander.pid, _LIMITS.memory

    def disturbed(self, killed: bool) -> str:
        """What an attempt changed here, or an empty string; all is put back."""
        found = ""
        assert self.bystander
        if killed:  # so it says; a process takes a moment to die
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.bystander.wait(timeout=1)
        for server in self.servers:
            with contextlib.suppress(OSError):
                if server.type == socket.SOCK_DGRAM:
                    server.recv(16)
                else:
                    server.accept()[0].close()
                found = "a message arrived"
        secret = self.folder / "secret"
        names = sorted(os.listdir(self.folder))
        if names != ["secret"]:
            found = "the folder has changed"
        elif secret.stat().st_ctime_ns != self.stamp.st_ctime_ns:  # of its bytes, mode, owner, flags or names
            found = "the file has changed"
        if self.bystander.poll() is not None:
            found = "the process was killed"
        if found:
            self._lay_out()
        return found

    def _let_go(self) -> None:
        if self.bystander:
            assert self.bystander.stdin
            with contextlib.suppress(OSError):
                self.bystander.stdin.close()
            self.bystander.kill()
            self.bystander.wait()

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._let_go()
        for server in self.servers:
            server.close()
        shutil.rmtree(self.outer, ignore_errors=True)


def trial(sandbox: Sandbox) -> tuple[Isolation, list[Tried]]:
    """Make every attempt from inside a worker of `sandbox`, and see that an honest function still works there.

    Returns the layers that the worker announced less those that did not prove themselves, and what each attempt came
    to. `SandboxError` where the honest function does not work: such a sandbox would take marks from everybody.
    """
    tried: list[Tried] = []
    worker: Worker | None = None
    escape: Candidate | None = None
    with _Scene() as scene:
        try:
            for each in escapes.ATTEMPTS:
                if worker is None:
                    worker = _open(sandbox)
                    if not tried:
                        announced = worker.isolation
                        too_tight = _honest_work(worker)
                try:
                    escape = escape or worker.load("escape")
                    outcome, happened = (str(part) for part in escape(each.name, *scene.arguments()))
                except Stopped as stop:
                    outcome = "not run" if stop.status == "timed out" else "refused"
                    happened = stop.sentence
                if seen := scene.disturbed(killed=happened == "killed"):
                    outcome, happened = "got out", seen
                tried.append(Tried(each.what, each.by, outcome, happened))
                if outcome == "got out" or worker.dead:  # what got out may have changed the process: a new one
                    worker.close()
                    worker = escape = None
        finally:
            if worker:
                worker.close()
    return announced.without(_disproved(announced.enforced, tried) | too_tight), tried


def _open(sandbox: Sandbox) -> Worker:
    worker = sandbox._fork(_LIMITS)
    try:
        worker.open(_SOURCE.read_bytes(), ".py")
        worker.load("escape")
    except (Stopped, Unreadable, LookupError) as error:
        worker.close()
        raise SandboxError(f"the self-test of the sandbox did not start: {error}") from None
    return worker


def _honest_work(worker: Worker) -> dict[str, str]:
    """What an honest function needs must work: `SandboxError` if not. Where only its threads do not start, the limits
    are not what they should be."""
    x = np.arange(12.0).reshape(4, 3)
    for threads in (0, 4):
        try:
            answer = worker.load("honest")(x, threads)
            right = isinstance(answer, np.ndarray) and np.allclose(answer, escapes.honest(x, threads))
            why = "" if right else "a wrong answer"
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        if why and threads:
            return {"limits": f"too tight here for an honest function with four threads ({why})"}
        if why:
            raise SandboxError(f"in the sandbox an honest function with NumPy does not work here ({why})")
    return {}


def _disproved(enforced: Sequence[str], tried: Sequence[Tried]) -> dict[str, str]:
    """The layers that did not stop what they promise to stop, or that no attempt could try, and why."""
    ways = [(one, way.split(" and ")) for one in tried for way in one.by]
    proved = {name for one, names in ways if one.outcome == "refused" for name in names}
    failed = {name: "put on, but nothing that tests it could be tried here" for name in enforced if name not in proved}
    for one, names in ways:
        if one.outcome == "got out" and set(names) <= set(enforced):
            failed |= dict.fromkeys(names, f"put on, but it did not stop this: {one.what} ({one.happened})")
    return failed


@dataclass(frozen=True)
class Probe:
    """What holds on this machine, as tried."""

    isolation: Isolation
    tried: tuple[Tried, ...]

    @property
    def holds(self) -> bool:
        """Whether several students' submissions may be graded here without further ado."""
        return not self.isolation.lacks(MINIMUM)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        enforced = self.isolation.enforced
        return {
            "isolation": self.isolation.to_dict(),
            "minimum": MINIMUM,
            "holds": self.holds,
            "attempts": [
                {
                    "tried": one.what, "outcome": one.outcome, "happened": one.happened, "without": one.without,
                    "promised": one.promised(enforced), "by": list(one.by),
                }
                for one in self.tried
            ],
        }  # fmt: skip

    def text(self, attempts: bool = True) -> str:
        """One line for each attempt, then what follows from them."""
        lines = []
        if attempts:
            width = max(len(one.what) for one in self.tried)
            for one in self.tried:
                word = {"refused": "held", "got out": "GOT OUT", "not run": "not run"}[one.outcome]
                beside = f"; without the sandbox: {one.without}" if one.without else ""
                if one.outcome == "got out" and not one.promised(self.isolation.enforced):
                    beside += "; no layer here promises otherwise"
                lines.append(f"{word:8} {one.what:{width}}  {one.happened}{beside}")
            count = {kind: sum(one.outcome == kind for one in self.tried) for kind in ("refused", "got out", "not run")}
            parts = f"{count['refused']} held, {count['got out']} got out, {count['not run']} not run"
            lines += ["", f"{len(self.tried)} attempts: {parts}"]
        lines.append(str(self.isolation))
        if self.holds:
            lines.append(f"The minimum for grading several students (level {MINIMUM}) holds.")
        else:
            lacks = ", ".join(self.isolation.lacks(MINIMUM))
            lines.append(f"The minimum for grading several students (level {MINIMUM}) does not hold: missing {lacks}.")
        return "\n".join(lines)


def probe(layers: Iterable[str] | None = None, *, compare: bool = True) -> Probe:
    """Try on this machine every known way out of a worker.

    Parameters
    ----------
    layers
        The layers to put on; all of them by default.
    compare
        Also make each attempt without a sandbox.

    Returns
    -------
    Probe
        Its `isolation` claims only layers that were tried and stopped what they promise to stop.

    Raises
    ------
    SandboxError
        If there can be no sandbox here at all, or if honest work fails in it.

    Examples
    --------
    >>> found = probe()
    >>> all(one.outcome != "got out" for one in found.tried if one.promised(found.isolation.enforced))
    True
    """
    with Sandbox() if layers is None else Sandbox(layers=tuple(layers)) as sandbox:
        isolation, tried = trial(sandbox)
    if compare:
        with Sandbox(layers=()) as bare:
            beside = {one.what: one for one in trial(bare)[1]}
        tried = [replace(one, without=_in_words(beside[one.what])) for one in tried]
    return Probe(isolation, tuple(tried))


def _in_words(one: Tried) -> str:
    return {"got out": one.happened, "refused": f"refused too ({one.happened})"}.get(one.outcome, "not run")


def main(attempts: bool, as_json: bool) -> int:
    """``vidlearn sandbox``: 0 where the minimum holds, 1 where it does not, 2 where there can be no sandbox at all."""
    try:
        found = probe(compare=attempts)
    except SandboxError as error:
        print(f"vidlearn sandbox: {error}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        print(found.text(attempts))
    return 0 if found.holds else 1
