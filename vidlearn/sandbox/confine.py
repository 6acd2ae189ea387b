"""Confinement of the calling process, one layer at a time, from the standard library alone.

Each layer is a function that either takes hold or raises `OSError`; the worker tries every one, and the grader reports
by name what took hold and what did not. Linux only, except for `limit`. Nothing here needs root, a compiler or a
package.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import resource
import struct
import sys
import sysconfig
from pathlib import Path

LINUX = sys.platform.startswith("linux")
_MACHINE = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
_libc = ctypes.CDLL(None, use_errno=True)

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER = 1, 4, 24, 36
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 38, 47
_SPARE_UIDS = range(61184, 65520)  # set aside by systemd for processes that need a user of their own


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _need_linux() -> None:
    if not LINUX:
        raise OSError(errno.ENOSYS, f"only on Linux, and this is {sys.platform}")


def _prctl(*arguments: int) -> int:
    padded = [*arguments, 0, 0, 0, 0][:5]
    return _libc.prctl(padded[0], *[ctypes.c_ulong(value) for value in padded[1:]])


# ------------------------------------------------------------------------------------------ processes


def keep_private(private: bool = True) -> None:
    """No other process of the same user may read this one's memory or trace it."""
    _need_linux()
    _check(_prctl(_PR_SET_DUMPABLE, int(not private)), "dumpable")


def die_with_parent() -> None:
    """The kernel kills this process when its parent ends, however that ends."""
    _need_linux()
    _check(_prctl(_PR_SET_PDEATHSIG, 9), "parent death signal")


def adopt_orphans() -> None:
    """Descendants whose parent ended become children of this process, so that none can slip away."""
    _need_linux()
    _check(_prctl(_PR_SET_CHILD_SUBREAPER, 1), "subreaper")


def no_new_privileges() -> None:
    """No set-uid program can lift this process again."""
    _need_linux()
    _check(_prctl(_PR_SET_NO_NEW_PRIVS, 1), "no new privileges")


def tasks_of_user() -> int:
    """How many threads this user runs, all processes together; 0 for root, whose workers get a user of their own."""
    if not LINUX or os.geteuid() == 0:
        return 0
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # processes come and go
                if entry.stat().st_uid == os.geteuid():
                    count += len(os.listdir(f"/proc/{entry.name}/task"))
    return count


def limit(seconds: int, memory: int, others: int = 0, files: int = 64, file_bytes: int = 16 << 20) -> None:
    """Resource limits: processor seconds, bytes of memory beyond what is used now, open files, file size, and 64 tasks.

    The system counts tasks by user, so the `others` of the same user are added twice over: they may grow meanwhile.
    """

    def at_most(which: int, value: int) -> None:
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))

    at_most(resource.RLIMIT_CORE, 0)
    at_most(resource.RLIMIT_CPU, seconds)
    at_most(resource.RLIMIT_FSIZE, file_bytes)
    at_most(resource.RLIMIT_NOFILE, files)
    if LINUX:
        at_most(resource.RLIMIT_NPROC, 64 + 2 * others)
        at_most(resource.RLIMIT_MSGQUEUE, 0)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        at_most(resource.RLIMIT_AS, used + memory)
    else:
        at_most(resource.RLIMIT_DATA, memory)


# ------------------------------------------------------------------------------------------ namespaces


def separate() -> None:
    """Own processes, network, message queues and host name; the first child after this is the new process 1.

    Root unshares directly. Anyone else takes a user namespace of one user with it, where the system allows one.
    """
    _need_linux()
    flags = _NEWPID | _NEWNET | _NEWIPC | _NEWUTS
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 and _libc.unshare(flags) == 0:  # root without the capability for it may still have user namespaces
        return
    _check(_libc.unshare(flags | _NEWUSER), "unshare with a user namespace")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    result = _libc.mount(
        None if source is None else os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        None if data is None else data.encode(),
    )
    _check(result, f"mount {target}")


def readable(packages: tuple[Path, ...]) -> tuple[list[str], list[str]]:
    """What a student's process has to read, and what must be hidden inside that: the standard library and the named
    packages, the system's shared libraries, and no other installed package."""
    stdlib = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    hidden = [str(path) for lib in stdlib for path in Path(lib).glob("*-packages")]
    show = sorted(stdlib) + [str(path) for path in packages]
    # an extension module of the standard library may want a shared library that nothing has loaded so far
    folders = {"/lib64", "/usr/lib64", *(f"{top}/{platform.machine()}-linux-gnu" for top in ("/lib", "/usr/lib"))}
    show += sorted({os.path.realpath(folder) for folder in folders if os.path.isdir(folder)})
    show += [path for path in ("/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")]
    return [path for path in show if os.path.exists(path)], hidden


def empty_root(show: list[str], hidden: list[str], scratch: int = 16 << 20) -> None:
    """A file system with nothing in it but `show`, read-only, and a small /tmp that vanishes with the process."""
    _need_linux()
    _check(_libc.unshare(_NEWNS), "unshare the mounts")
    _mount(None, "/", None, _REC | _PRIVATE)
    root = "/proc"  # any folder that exists everywhere and is above none of the paths to show
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=4m,nr_inodes=4096,mode=755")
    os.mkdir(root + "/tmp")  # before the rest: an interpreter may live under /tmp, and is then bound inside it
    _mount("tmpfs", root + "/tmp", "tmpfs", _NOSUID | _NODEV | _NOEXEC, f"size={scratch},nr_inodes=512,mode=1777")

    def bind(path: str) -> None:
        inside = root + path
        if os.path.isdir(path):
            os.makedirs(inside, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(inside), exist_ok=True)
            Path(inside).touch()
        _mount(path, inside, None, _BIND | _REC)
        locked = os.statvfs(inside).f_flag & (_NOSUID | _NODEV | _NOEXEC)  # flags of the source that must stay
        device = 0 if path.startswith("/dev/") else _NODEV
        _mount(None, inside, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | device | locked)

    covers = [path for path in hidden if any(path.startswith(top + "/") for top in show)]
    later = [path for path in show if any(path.startswith(cover + "/") for cover in covers)]
    for path in show:
        if path not in later:
            bind(path)
    for path in covers:
        _mount("tmpfs", root + path, "tmpfs", _NOSUID | _NODEV, "size=1m,nr_inodes=256,mode=755")
    for path in later:
        bind(path)
    for path in covers:
        _mount(None, root + path, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    for link in ("/lib", "/lib64", "/usr/lib64"):  # where /lib is a link to /usr/lib, it stays one
        if os.path.islink(link) and not os.path.lexists(root + link):
            os.symlink(os.readlink(link), root + link)
    os.chdir(root)
    _check(_libc.syscall(ctypes.c_long((155, 41)[_MACHINE or 0]), b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", 2), "leave the old root")
    os.chdir("/")
    _mount(None, "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    os.chdir("/tmp")


def step_down(seed: int) -> None:
    """From root to a user that owns nothing. Anyone else stays who they are."""
    _need_linux()
    if os.geteuid() == 0:
        uid = _SPARE_UIDS[seed % len(_SPARE_UIDS)]
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def drop_capabilities() -> None:
    """None left, none to be had again."""
    _need_linux()
    for capability in range(64):
        _prctl(_PR_CAPBSET_DROP, capability)
    _prctl(_PR_CAP_AMBIENT, 4)
    head = struct.pack("<II", 0x20080522, 0)
    _check(_libc.capset(head, b"\0" * 24), "capset")


# ------------------------------------------------------------------------------------------ Landlock


def landlock(show: list[str], hidden: list[str], write: list[str]) -> None:
    """The kernel refuses every path but these, every TCP port, and signals to processes outside."""
    _need_linux()
    abi = _check(_libc.syscall(444, None, ctypes.c_size_t(0), 1), "landlock")
    handled = (1 << 13) - 1
    for since, bit in ((2, 13), (3, 14), (5, 15)):
        handled |= (abi >= since) << bit
    fields = struct.pack("<QQQ", handled, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    rules = _check(_libc.syscall(444, fields, ctypes.c_size_t(size), 0), "landlock rules")
    look = (1 << 2) | (1 << 3)  # read files, list folders; never execute
    on_files = (1 << 1) | (1 << 2) | (1 << 14) | (1 << 15)
    no_devices = ~((1 << 6) | (1 << 11))

    def allow(path: str, access: int) -> None:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        try:
            access &= handled if os.path.isdir(path) else handled & on_files
            _check(_libc.syscall(445, rules, 1, struct.pack("<Qi", access, handle), 0), f"landlock {path}")
        finally:
            os.close(handle)

    for path in show:
        inside = [cover for cover in hidden if cover.startswith(path + "/")]
        if not inside:
            allow(path, look | ((1 << 1) if path == "/dev/null" else 0))
        else:  # rules only add, so what is hidden in a folder means naming the rest of it, entry by entry
            for entry in os.scandir(path):
                if not any(cover == entry.path or cover.startswith(entry.path + "/") for cover in inside):
                    allow(entry.path, look)
    for path in write:
        allow(path, handled & no_devices & ~1)
    no_new_privileges()
    _check(_libc.syscall(446, rules, 0), "landlock on")
    os.close(rules)


# ------------------------------------------------------------------------------------------ seccomp

# system call: its number on (x86_64, aarch64); None where there is no such call
_DENIED = {
    # no other program, no other process: threads are made with clone, which is looked at below
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None), "clone3": (435, 435),
    "setsid": (112, 157), "setpgid": (109, 154), "unshare": (272, 97), "setns": (308, 268),
    # no one else's memory, descriptors or signals
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "process_madvise": (440, 440),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    # no network, and no pair of sockets made into a way out; no memory that the limits do not count
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242), "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    # nor what others share: these take a number or a name that can be guessed
    "shmat": (30, 196), "shmctl": (31, 195), "semop": (65, 193), "semtimedop": (220, 192), "semctl": (66, 191),
    "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "mq_unlink": (241, 181),
    # no mounts, no parts of the kernel that no exercise needs
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "perf_event_open": (298, 241), "bpf": (321, 280), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    "inotify_init": (253, None), "inotify_init1": (294, 26), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "open_tree_attr": (467, 467), "acct": (163, 89), "swapon": (167, 224), "swapoff": (168, 225),
    "reboot": (169, 142), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "adjtimex": (159, 171), "personality": (135, 92), "iopl": (172, None),
    "ioperm": (173, None), "modify_ldt": (154, None), "vhangup": (153, 58), "syslog": (103, 116),
    "sethostname": (170, 161), "setdomainname": (171, 162),
    # no one else's share of the machine
    "setpriority": (141, 140), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "io_setup": (206, 0),
    # what Landlock leaves open: the marks on files that the same user owns and, before Linux 6.2, their length
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "utimensat": (280, 88), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469), "truncate": (76, 45),
    # nor a lock that is asked of a file which can only be read
    "flock": (73, 32),
}  # fmt: skip
_LOOKED_AT = {"clone": (56, 220), "kill": (62, 129), "tgkill": (234, 131), "tkill": (200, 130), "mmap": (9, 222),
              "prlimit64": (302, 261), "ioctl": (16, 29), "fcntl": (72, 25), "sched_setaffinity": (203, 122),
              "socketpair": (53, 199)}  # fmt: skip
#: what may be asked of a descriptor: whether it is a terminal and how large, how much waits in it, blocking or not, and
#: whether other programs get it. Others type into a terminal, or mark a file that can only be read
_IOCTL = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
#: naming who gets a signal when a descriptor can be read, and which signal; what is asked of others who use a file: a
#: lease, news of a folder, how long its data will live
_FCNTL_REFUSED = (8, 10, 15, 1024, 1026, 1036, 1038)
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_ABOVE, _JUMP_IF_BITS, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_CLONE_THREAD = 0x10000


def seccomp() -> None:
    """The kernel answers "not permitted" to system calls that no exercise needs: see the table above."""
    _need_linux()
    if _MACHINE is None or sys.byteorder != "little":
        raise OSError(errno.ENOSYS, f"no filter written for {platform.machine()}")
    program = _filter(_MACHINE, os.getpid())
    code = ctypes.create_string_buffer(program)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    whole = Program(len(program) // 8, ctypes.cast(code, ctypes.c_void_p))
    no_new_privileges()
    _check(_libc.syscall((317, 277)[_MACHINE], 1, 0, ctypes.byref(whole)), "seccomp")


def _filter(machine: int, me: int) -> bytes:
    """The table as a program for the kernel's filter, for a process of the number `me`."""
    program: list[bytes] = []

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> None:
        program.append(struct.pack("<HBBI", code, yes, no, value & 0xFFFFFFFF))

    def refuse(name: str) -> None:
        code = (
            errno.ENOSYS if name in ("clone3", "io_uring_setup") else errno.EPERM
        )  # ENOSYS: libc then tries the older call
        step(_RETURN, 0x00050000 | code)

    step(_LOAD, 4)
    step(_JUMP_IF_EQUAL, (0xC000003E, 0xC00000B7)[machine], 1, 0)
    step(_RETURN, _KILL)
    step(_LOAD, 0)
    if machine == 0:  # the x32 numbering of the same calls
        step(_JUMP_IF_ABOVE, 0x40000000, 0, 1)
        step(_RETURN, _KILL)
    for name, numbers in _DENIED.items():
        if (number := numbers[machine]) is not None:
            step(_JUMP_IF_EQUAL, number, 0, 1)
            refuse(name)

    def look(name: str, argument: int, *tests: tuple[int, int, int, int]) -> None:
        """Refuse `name` unless one of the tests on the low word of an argument jumps over the refusal."""
        step(_JUMP_IF_EQUAL, _LOOKED_AT[name][machine], 0, len(tests) + 3)
        step(_LOAD, 16 + 8 * argument)
        for test in tests:
            step(*test)
        refuse(name)
        step(_LOAD, 0)

    def none_of(*values: int) -> list[tuple[int, int, int, int]]:
        """Tests that let everything but these pass."""
        last = len(values) - 1
        return [(_JUMP_IF_EQUAL, value, last - i, int(i == last)) for i, value in enumerate(values)]

    def one_of(*values: int) -> list[tuple[int, int, int, int]]:
        """Tests that let nothing but these pass."""
        return [(_JUMP_IF_EQUAL, value, len(values) - i, 0) for i, value in enumerate(values)]

    look("clone", 0, (_JUMP_IF_BITS, _CLONE_THREAD, 1, 0))
    for name in ("kill", "tgkill"):
        look(name, 0, (_JUMP_IF_EQUAL, me, 1, 0))
    look("tkill", 0, (_JUMP_IF_EQUAL, me, 1, 0))
    look("mmap", 3, (_AND, 0x21, 0, 0), (_JUMP_IF_EQUAL, 0x21, 0, 1))  # shared and anonymous
    look("prlimit64", 0, (_JUMP_IF_EQUAL, 0, 2, 0), (_JUMP_IF_EQUAL, me, 1, 0))
    look("sched_setaffinity", 0, (_JUMP_IF_EQUAL, 0, 1, 0))
    # a pair that only talks to itself: with datagrams, each end could send to any socket that has a name or a file
    look("socketpair", 1, (_AND, 0xF, 0, 0), (_JUMP_IF_EQUAL, 1, 1, 0))
    look("fcntl", 1, *none_of(*_FCNTL_REFUSED))
    look("ioctl", 1, *one_of(*_IOCTL))
    step(_RETURN, _ALLOW)
    return b"".join(program)
