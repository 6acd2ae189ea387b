"""The filter of system calls, read as the kernel reads it: each call of Linux is refused, looked at, or let through on purpose."""

import errno
import os
import socket
import struct
import sys
import tempfile

import pytest

from vidlearn.sandbox import LAYERS, Limits, Sandbox, confine

#: Linux's own table for x86-64, in its order: ! is refused, ? depends on the arguments, the rest an exercise may do
FIRST = """
read write open close stat fstat lstat poll lseek ?mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn
?ioctl pread64 pwrite64 readv writev access pipe select sched_yield mremap msync mincore madvise !shmget !shmat
!shmctl dup dup2 pause nanosleep getitimer alarm setitimer getpid sendfile !socket !connect !accept sendto recvfrom
sendmsg recvmsg shutdown !bind !listen getsockname getpeername ?socketpair setsockopt getsockopt ?clone !fork !vfork
!execve exit wait4 ?kill uname !semget !semop !semctl shmdt !msgget !msgsnd !msgrcv !msgctl ?fcntl !flock fsync
fdatasync !truncate ftruncate getdents getcwd chdir fchdir rename mkdir rmdir creat link unlink symlink readlink
!chmod !fchmod !chown !fchown !lchown umask gettimeofday getrlimit getrusage sysinfo times !ptrace getuid !syslog
getgid setuid setgid geteuid getegid !setpgid getppid getpgrp !setsid setreuid setregid getgroups setgroups
setresuid getresuid setresgid getresgid getpgid setfsuid setfsgid getsid capget capset rt_sigpending rt_sigtimedwait
!rt_sigqueueinfo rt_sigsuspend sigaltstack !utime mknod uselib !personality ustat statfs fstatfs sysfs getpriority
!setpriority !sched_setparam sched_getparam !sched_setscheduler sched_getscheduler sched_get_priority_max
sched_get_priority_min sched_rr_get_interval mlock munlock mlockall munlockall !vhangup !modify_ldt !pivot_root
_sysctl prctl arch_prctl !adjtimex setrlimit !chroot sync !acct !settimeofday !mount !umount2 !swapon !swapoff
!reboot !sethostname !setdomainname !iopl !ioperm create_module !init_module !delete_module get_kernel_syms
query_module !quotactl nfsservctl getpmsg putpmsg afs_syscall tuxcall security gettid readahead !setxattr !lsetxattr
!fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr !removexattr !lremovexattr !fremovexattr
?tkill time futex ?sched_setaffinity sched_getaffinity set_thread_area !io_setup io_destroy io_getevents io_submit
io_cancel get_thread_area lookup_dcookie epoll_create epoll_ctl_old epoll_wait_old remap_file_pages getdents64
set_tid_address restart_syscall !semtimedop fadvise64 timer_create timer_settime timer_gettime timer_getoverrun
timer_delete !clock_settime clock_gettime clock_getres clock_nanosleep exit_group epoll_wait epoll_ctl ?tgkill
!utimes vserver mbind set_mempolicy get_mempolicy !mq_open !mq_unlink mq_timedsend mq_timedreceive mq_notify
mq_getsetattr !kexec_load waitid !add_key !request_key !keyctl !ioprio_set ioprio_get !inotify_init
inotify_add_watch inotify_rm_watch !migrate_pages openat mkdirat mknodat !fchownat !futimesat newfstatat unlinkat
renameat linkat symlinkat readlinkat !fchmodat faccessat pselect6 ppoll !unshare set_robust_list get_robust_list
splice tee sync_file_range vmsplice !move_pages !utimensat epoll_pwait signalfd timerfd_create eventfd fallocate
timerfd_settime timerfd_gettime !accept4 signalfd4 eventfd2 epoll_create1 dup3 pipe2 !inotify_init1 preadv pwritev
!rt_tgsigqueueinfo !perf_event_open recvmmsg !fanotify_init fanotify_mark ?prlimit64 name_to_handle_at
!open_by_handle_at !clock_adjtime syncfs sendmmsg !setns getcpu !process_vm_readv !process_vm_writev !kcmp
!finit_module !sched_setattr sched_getattr renameat2 seccomp getrandom !memfd_create !kexec_file_load !bpf !execveat
!userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx
io_pgetevents rseq
"""
#: from here on the numbers are the same for all processors
LATER = """
!pidfd_send_signal !io_uring_setup !io_uring_enter !io_uring_register !open_tree !move_mount !fsopen !fsconfig
!fsmount !fspick !pidfd_open !clone3 close_range openat2 !pidfd_getfd faccessat2 !process_madvise epoll_pwait2
!mount_setattr !quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self !memfd_secret
process_mrelease futex_waitv set_mempolicy_home_node cachestat !fchmodat2 map_shadow_stack futex_wake futex_wait
futex_requeue statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal !setxattrat getxattrat
listxattrat !removexattrat !open_tree_attr file_getattr !file_setattr listns
"""
CALLS = dict(enumerate(FIRST.split())) | dict(enumerate(LATER.split(), 424))
#: refused calls that newer processors never had, because a more general call does the same
OLD = "fork vfork chmod chown lchown utime utimes futimesat iopl ioperm modify_ldt inotify_init"
ME, OTHER = 4711, 4712
PROCESSORS = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
#: what no exercise asks of a descriptor: typing into a terminal and being its first reader; naming who gets a signal;
#: a file's marks, its copy, its labels; a Btrfs folder's snapshots and what is deleted in it
TERMINALS, SIGNALS = (0x5412, 0x541C, 0x540E, 0x5414), (0x8901, 0x8902, 0x8903, 0x5452)
MARKS = (0x40086602, 0x40046602, 0x401C5820, 0x80086601, 0x40049409, 0x40086604, 0x800C6613, 0xC0045877)
BTRFS = (0x50009401, 0x5000940E, 0x5000940F, 0x50009417, 0x4010940F, 0x40089413)
KILLED, REFUSED, PASSED = "killed", "refused", "let through"


def verdict(program, architecture, number, *arguments):
    """What Linux does with a call: the classic Berkeley Packet Filter, as far as such a program uses it."""
    words = [argument & (1 << 64) - 1 for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *words)
    steps = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    at = accumulator = 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x54:
            accumulator &= value
        elif code in (0x15, 0x35, 0x45):
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            at += yes if holds else no
        else:
            assert code == 0x06, f"step {at - 1} is none that is known here"
            break
    if value == 0x7FFF0000:
        return PASSED
    if value == 0x80000000:
        return KILLED
    assert value in (0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS)
    return REFUSED


@pytest.fixture(params=PROCESSORS)
def ask(request):
    """A call by its number, on one of the processors."""
    index = [*PROCESSORS].index(request.param)
    program = confine._filter(index, ME)

    def asked(name_or_number, *arguments):
        number = name_or_number
        if isinstance(number, str):
            number = (confine._DENIED | confine._LOOKED_AT)[number][index]
        return verdict(program, PROCESSORS[request.param], number, *arguments)

    asked.index = index
    return asked


def test_every_call_of_linux_is_refused_or_let_through_as_it_is_meant_to_be():
    program = confine._filter(0, ME)
    wrong = {}
    for number in range(512):
        name = CALLS.get(number, "not there yet")
        said = verdict(program, PROCESSORS["x86_64"], number, *[0xFFFFFFFF] * 6)
        if not name.startswith("?") and said != (REFUSED if name.startswith("!") else PASSED):
            wrong[number, name] = said
    assert wrong == {}


def test_each_refused_call_is_refused_on_the_other_processors_too():
    program, refused = confine._filter(1, ME), [name[1:] for name in CALLS.values() if name.startswith("!")]
    assert {name for name in refused if confine._DENIED[name][1] is None} == {*OLD.split()}
    numbers = [confine._DENIED[name][1] for name in refused if name not in OLD.split()]
    assert {verdict(program, PROCESSORS["aarch64"], number) for number in numbers} == {REFUSED}
    assert len(numbers) == len({*numbers})
    later = {name[1:]: number for number, name in CALLS.items() if number >= 424 and name.startswith("!")}
    assert later == {name: confine._DENIED[name][1] for name in later}


@pytest.mark.parametrize(
    ("name", "refused", "passed"),
    [
        ("clone", [(0,), (0x11,), (0x01200011,)], [(0x10000,), (0x3D0F00,)]),
        ("kill", [(OTHER, 9), (0, 9), (-1, 9), (1, 9)], [(ME, 9)]),
        ("tgkill", [(OTHER, OTHER, 9)], [(ME, OTHER, 9)]),
        ("tkill", [(OTHER, 9)], [(ME, 9)]),
        ("mmap", [(0, 9, 3, 0x21), (0, 9, 3, 0x4021)], [(0, 9, 3, 0x22), (0, 9, 1, 0x01), (0, 9, 3, 0x02)]),
        ("prlimit64", [(OTHER, 0), (1, 0)], [(0, 0), (ME, 0)]),
        ("sched_setaffinity", [(OTHER,), (ME,)], [(0,)]),
        ("socketpair", [(1, 2), (1, 5), (1, 0x80002), (1, 0)], [(1, 1), (1, 0x80801)]),
        (
            "ioctl",
            [(0, command) for command in (*TERMINALS, *SIGNALS, *MARKS, *BTRFS, 0, 0x5400, 0x5402, 0x5411, 0x5422)],
            [
                (0, command)
                for command in (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 1 << 32 | 0x5401)
            ],
        ),
        (
            "fcntl",
            [(0, command) for command in (8, 10, 15, 1024, 1026, 1036, 1038, 1 << 32 | 1024)],
            [(0, command) for command in (0, 1, 2, 3, 4, 5, 6, 7, 9, 16, 1025, 1030, 1032)],
        ),
    ],
)
def test_a_call_that_is_looked_at_depends_on_its_arguments(ask, name, refused, passed):
    assert {ask(name, *arguments) for arguments in refused} == {REFUSED}
    assert {ask(name, *arguments) for arguments in passed} == {PASSED}


def test_the_calls_that_are_looked_at_are_all_tried_here():
    looked_at = {name[1:] for name in CALLS.values() if name.startswith("?")}
    (tried,) = (mark for mark in test_a_call_that_is_looked_at_depends_on_its_arguments.pytestmark)
    assert looked_at == {case[0] for case in tried.args[1]} == {*confine._LOOKED_AT}


def test_another_processors_numbers_end_the_process(ask):
    program = confine._filter(ask.index, ME)
    assert {verdict(program, other, 0) for other in (0x40000003, 0x40000028, 0)} == {KILLED}
    if ask.index == 0:  # the x32 numbers of the same calls
        assert {ask(0x40000000 + number) for number in (0, 41, 59)} == {KILLED}


SOURCE = b"""
import socket
def send(path, kind):
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    return one.sendto(b"x", path)
def talk():
    one, other = socket.socketpair()
    one.sendall(b"to myself")
    return other.recv(20).decode()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="not run, because only Linux has such a filter")
def test_a_pair_of_sockets_talks_to_itself_and_to_nobody_else():
    layers = [name for name in LAYERS if name not in ("namespaces", "file system")]
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as box:
        os.chmod(folder, 0o711)
        box.bind(path := os.path.join(folder, "box"))
        os.chmod(path, 0o777)
        box.setblocking(False)
        with Sandbox(layers=layers) as sandbox, sandbox._fork(Limits()) as worker:
            if why := worker.isolation.missing["seccomp"]:
                pytest.skip(f"not run, because there is no filter here ({why})")
            worker.open(SOURCE, ".py")
            assert worker.load("talk")() == "to myself"
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
                with pytest.raises(OSError):
                    worker.load("send")(path, int(kind))
        with pytest.raises(BlockingIOError):
            box.recv(1)
