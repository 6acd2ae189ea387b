"""What a hostile submission would try, one small function each: the worker reads this file as if a student had sent it.

Each function gets the `Scene`, the grader's things that lie in reach, and returns what it got hold of; it raises, or
returns nothing, where it was refused. All are harmless: they touch what the self-test laid out for them and nothing
else. `by` names the layers of which each alone must refuse the attempt ("a and b": only both together).

It stands alone: standard library and NumPy only.
"""

import contextlib
import ctypes
import errno
import hashlib
import mmap
import os
import platform
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

with contextlib.suppress(ImportError):  # not on Windows, where there is no sandbox to be tried either
    import fcntl
    import resource


@dataclass(frozen=True)
class Scene:
    """What lies in reach: a folder of the grader's, two open ports, a Unix socket's name, a process, a memory limit."""

    folder: str
    tcp: int
    udp: int
    name: str
    process: int
    memory: int


@dataclass(frozen=True)
class Attempt:
    """One attempt: what it tries, and which layers must refuse it."""

    what: str
    by: tuple[str, ...]
    run: Callable[[Scene], str]

    @property
    def name(self) -> str:
        """A short name."""
        return self.run.__name__.lstrip("_")


class NotHereError(Exception):
    """The attempt can't be made on this system; the sentence says why."""


ATTEMPTS: list[Attempt] = []


def attempt(what: str, *by: str) -> Callable[[Callable[[Scene], str]], Callable[[Scene], str]]:
    """Put a function on the list of attempts."""

    def note(run: Callable[[Scene], str]) -> Callable[[Scene], str]:
        ATTEMPTS.append(Attempt(what, by, run))
        return run

    return note


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _linux(result: int, what: str) -> str:
    """What a call of the C library achieved; `OSError` where it was refused."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return what


def _only_linux() -> None:
    if not sys.platform.startswith("linux"):
        raise NotHereError(f"there is no such thing on {sys.platform}")


def _number(x86: int, arm: int) -> ctypes.c_long:
    """The number of a system call on this processor."""
    _only_linux()
    numbers = {"x86_64": x86, "aarch64": arm}
    if platform.machine() not in numbers:
        raise NotHereError(f"its number on {platform.machine()} is not known here")
    return ctypes.c_long(numbers[platform.machine()])


# -- network --------------------------------------------------------------------------------------------------------


@attempt("open a TCP connection to this machine", "namespaces", "seccomp")
def _connect(scene: Scene) -> str:
    if not scene.tcp:
        raise NotHereError("this machine has no network, not even to itself")
    with socket.create_connection(("127.0.0.1", scene.tcp), timeout=1):
        return "connected"


@attempt("send a datagram", "namespaces", "seccomp")
def _send(scene: Scene) -> str:
    if not scene.udp:
        raise NotHereError("this machine has no network, not even to itself")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.sendto(b"x", ("127.0.0.1", scene.udp))
    return "sent"


@attempt("reach a Unix socket by its abstract name", "namespaces", "seccomp")
def _unix(scene: Scene) -> str:
    _only_linux()
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(1)
        line.connect("\0" + scene.name)
    return "connected"


@attempt("send to a Unix socket by its file", "file system", "seccomp")
def _letter(scene: Scene) -> str:
    _only_linux()
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # no socket() is needed for it
    with one, other:
        one.sendto(b"x", os.path.join(os.path.dirname(scene.folder), "letters"))
    return "sent"


# -- files ----------------------------------------------------------------------------------------------------------


@attempt("read a file of the grader's", "file system", "Landlock")
def _read(scene: Scene) -> str:
    with open(os.path.join(scene.folder, "secret")) as file:
        return f"read {len(file.read())} characters"


@attempt("list a folder of the grader's", "file system", "Landlock")
def _list(scene: Scene) -> str:
    return f"saw {', '.join(os.listdir(scene.folder))}"[:80]


@attempt("read the password file", "file system", "Landlock")
def _passwords(scene: Scene) -> str:
    with open("/etc/passwd") as file:
        return f"read {len(file.readlines())} lines"


@attempt("write to a file of the grader's", "file system", "Landlock")
def _write(scene: Scene) -> str:
    with open(os.path.join(scene.folder, "secret"), "a") as file:
        file.write("x")
    return "written"


@attempt("put a file beside it", "file system", "Landlock")
def _create(scene: Scene) -> str:
    with open(os.path.join(scene.folder, "new"), "x"):
        return "created"


@attempt("delete it", "file system", "Landlock")
def _delete(scene: Scene) -> str:
    os.unlink(os.path.join(scene.folder, "secret"))
    return "deleted"


@attempt("empty it without opening it", "file system", "seccomp")
def _truncate(scene: Scene) -> str:
    os.truncate(os.path.join(scene.folder, "secret"), 0)
    return "emptied"


@attempt("change its permissions", "file system", "seccomp", "other user")
def _chmod(scene: Scene) -> str:
    os.chmod(os.path.join(scene.folder, "secret"), 0o640)
    return "changed"


@attempt("mark it as not to be backed up (file flags)", "file system", "Landlock", "seccomp", "other user")
def _flags(scene: Scene) -> str:
    _only_linux()
    with open(os.path.join(scene.folder, "secret"), "rb") as file:  # only for reading
        flags = bytearray(8)
        fcntl.ioctl(file, 0x80086601, flags)
        flags[0] |= 0x40
        fcntl.ioctl(file, 0x40086602, bytes(flags))
    return "marked"


@attempt("hold a lease on a file of the standard library", "seccomp", "other user")
def _lease(scene: Scene) -> str:
    _only_linux()
    with open(os.__file__, "rb") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return "held"


@attempt("open the standard library for writing", "file system", "Landlock")
def _library(scene: Scene) -> str:
    with open(os.__file__, "r+b"):
        return "opened"


# -- other processes ------------------------------------------------------------------------------------------------


@attempt("list the machine's processes", "file system", "Landlock")
def _processes(scene: Scene) -> str:
    others = [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    return f"saw {len(others)} others" if others else ""


@attempt("look for a process by its number", "file system")
def _find(scene: Scene) -> str:
    os.stat(f"/proc/{scene.process}")
    return "found"


@attempt("read a process's environment", "file system", "Landlock", "other user")
def _environment(scene: Scene) -> str:
    with open(f"/proc/{scene.process}/environ", "rb") as file:
        return f"read {len(file.read())} bytes"


@attempt("signal its parent", "namespaces", "seccomp", "other user")
def _parent(scene: Scene) -> str:
    if os.getppid() == 0:
        raise ProcessLookupError("it sees no parent")
    os.kill(os.getppid(), 0)
    return "allowed"


@attempt("kill a process of the grader's", "namespaces", "seccomp", "other user")
def _kill(scene: Scene) -> str:
    os.kill(scene.process, signal.SIGKILL)
    return "killed"


@attempt("kill it with a queued signal", "namespaces", "seccomp", "other user")
def _queue(scene: Scene) -> str:
    call = _number(129, 138)
    told = struct.pack("<iii116x", signal.SIGKILL, 0, -1)  # -1: from a process, by sigqueue
    return _linux(_libc().syscall(call, scene.process, signal.SIGKILL, told), "killed")


@attempt("have it signaled when a pipe can be read", "namespaces", "seccomp")
def _own(scene: Scene) -> str:
    _only_linux()
    ends = os.pipe()
    try:
        fcntl.fcntl(ends[0], fcntl.F_SETOWN, scene.process)
    finally:
        for end in ends:
            os.close(end)
    return "allowed"


@attempt("choose the processors that a process runs on", "namespaces", "seccomp", "other user")
def _affinity(scene: Scene) -> str:
    os.sched_setaffinity(scene.process, os.sched_getaffinity(scene.process))
    return "allowed"


@attempt("trace a process (ptrace)", "namespaces", "seccomp", "other user")
def _trace(scene: Scene) -> str:
    _only_linux()
    seize, detach = 0x4206, 17
    told = _linux(_libc().ptrace(seize, scene.process, None, None), "traced")
    _libc().ptrace(detach, scene.process, None, None)
    return told


@attempt("read a process's memory", "namespaces", "seccomp", "other user")
def _memory_of(scene: Scene) -> str:
    _only_linux()
    buffer = ctypes.create_string_buffer(8)
    here = struct.pack("PP", ctypes.addressof(buffer), 8)
    there = struct.pack("PP", 8, 8)  # nothing is at this address: a bad address means that the way there was open
    try:
        return _linux(_libc().process_vm_readv(scene.process, here, 1, there, 1, 0), "read")
    except OSError as error:
        if error.errno == errno.EFAULT:
            return "allowed"
        raise


@attempt("look up and change a process's limits", "namespaces", "seccomp", "other user")
def _limits_of(scene: Scene) -> str:
    _only_linux()
    resource.prlimit(scene.process, resource.RLIMIT_CORE, resource.prlimit(scene.process, resource.RLIMIT_CORE))
    return "allowed"


# -- more processes and programs ------------------------------------------------------------------------------------


@attempt("start a process (fork)", "seccomp")
def _fork(scene: Scene) -> str:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "started"


@attempt("start another program", "seccomp", "Landlock")
def _spawn(scene: Scene) -> str:
    child = os.posix_spawn(sys.executable, [sys.executable, "--version"], {})
    if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise PermissionError(f"it ended with code {code}")
    return "started"


@attempt("become another program (exec)", "seccomp")
def _exec(scene: Scene) -> str:
    try:
        os.execv("/no such program", ["x"])
    except FileNotFoundError:
        return "the system looked for it"
    raise AssertionError


# -- more than its share --------------------------------------------------------------------------------------------


@attempt("start 200 threads", "limits")
def _threads(scene: Scene) -> str:
    done, threads = threading.Event(), []
    try:
        for _ in range(200):
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError as error:
        raise PermissionError(f"after {len(threads)}: {error}") from None
    finally:
        done.set()
        for thread in threads:
            thread.join()
    return "started"


@attempt("take more memory than it may", "limits")
def _memory(scene: Scene) -> str:
    np.empty(scene.memory + (64 << 20), np.uint8)
    return f"got {scene.memory + (64 << 20) >> 20} MiB"


@attempt("open 200 descriptors", "limits")
def _descriptors(scene: Scene) -> str:
    held = []
    try:
        for _ in range(200):
            held.append(os.dup(0))
    except OSError as error:
        raise PermissionError(f"after {len(held)}: {error.strerror}") from None
    finally:
        for handle in held:
            os.close(handle)
    return "opened"


@attempt("raise its own limits", "limits and no capabilities")
def _raise(scene: Scene) -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY:
        return "there is no limit"
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard + 1))
    return "raised"


@attempt("hold a file in memory that no limit counts (memfd)", "seccomp")
def _memfd(scene: Scene) -> str:
    if not hasattr(os, "memfd_create"):
        raise NotHereError("this system or this Python has no memfd_create")
    os.close(os.memfd_create("x"))
    return "made"


@attempt("attach memory that other processes share (System V)", "seccomp")
def _attach(scene: Scene) -> str:
    call = _number(30, 196)
    try:
        return _linux(_libc().syscall(call, -1, None, 0), "attached")
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EIDRM):  # there is none of this number, but it looked
            return "it answers"
        raise


@attempt("share anonymous memory", "seccomp")
def _shared(scene: Scene) -> str:
    mmap.mmap(-1, 4096).close()
    return "got it"


# -- more rights ----------------------------------------------------------------------------------------------------


@attempt("turn 'no new privileges' off", "no new privileges")
def _new_privileges(scene: Scene) -> str:
    _only_linux()
    turn, look = 38, 39
    zero = ctypes.c_ulong(0)
    _libc().prctl(turn, zero, zero, zero, zero)
    if _libc().prctl(look, zero, zero, zero, zero) == 1:
        raise PermissionError("it stays on")
    return "it is off"


@attempt("gain privileges (root, capabilities)", "no capabilities")
def _privileges(scene: Scene) -> str:
    _only_linux()
    if os.geteuid():
        with contextlib.suppress(OSError):
            os.setresuid(0, 0, 0)
            return "became root"
    head, sets = ctypes.create_string_buffer(struct.pack("<II", 0x20080522, 0)), ctypes.create_string_buffer(24)
    everything = struct.pack("<6I", *[0xFFFFFFFF] * 6)
    _libc().capset(head, everything)
    _linux(_libc().capget(head, sets), "")
    words = struct.unpack("<6I", sets.raw[:24])
    if count := sum(word.bit_count() for word in (words[1], words[4])):
        return f"it may have {count} capabilities"
    raise PermissionError("not one capability")


@attempt("mount a file system", "seccomp", "no capabilities")
def _mount(scene: Scene) -> str:
    _only_linux()
    _libc().unshare(0x20000)  # where this is allowed nobody else sees the mount
    _libc().mount(None, b"/", None, ctypes.c_ulong(16384 | 1 << 18), None)
    told = _linux(_libc().mount(b"none", b"/tmp", b"tmpfs", ctypes.c_ulong(0), None), "mounted")
    _libc().umount2(b"/tmp", 2)
    return told


@attempt("change its root folder", "seccomp", "no capabilities")
def _chroot(scene: Scene) -> str:
    os.chroot("/")
    return "changed"


@attempt("make a user namespace, to be root in", "seccomp")
def _unshare(scene: Scene) -> str:
    _only_linux()
    return _linux(_libc().unshare(0x10000000), "made")


@attempt("set up io_uring, a second door to the kernel", "seccomp")
def _uring(scene: Scene) -> str:
    call = _number(425, 425)
    try:
        return _linux(_libc().syscall(call, 0, None), "made")
    except OSError as error:
        if error.errno in (errno.EFAULT, errno.EINVAL):  # it complains about what was asked, not about who asks
            return "it answers"
        raise


# -- what the worker is asked for -----------------------------------------------------------------------------------


def honest(x: np.ndarray, threads: int) -> np.ndarray:
    """What an honest submission may do: NumPy, the standard library, threads. It must work in every sandbox."""
    rows: list[float] = []
    if threads:
        with ThreadPoolExecutor(threads) as pool:
            rows = list(pool.map(lambda row: float(row @ np.ones(len(row))), x))
    mark = hashlib.sha256(x.tobytes()).digest()[0]
    return np.array([*np.linalg.svd(x, compute_uv=False), *rows, mark])


def escape(name: str, folder: str, tcp: int, udp: int, unix: str, process: int, memory: int) -> tuple[str, str]:
    """Make one attempt: "got out", "refused" or "not run", and what happened."""
    scene = Scene(folder, tcp, udp, unix, process, memory)
    chosen = next(each for each in ATTEMPTS if each.name == name)
    try:
        got = chosen.run(scene)
    except (NotHereError, AttributeError) as error:
        return "not run", str(error)
    except Exception as error:
        return "refused", str(getattr(error, "strerror", None) or error or type(error).__name__)
    return ("got out", got) if got else ("refused", "there was nothing")
