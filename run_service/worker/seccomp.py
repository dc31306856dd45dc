"""The seccomp filter of replicas. It refuses system calls that Landlock does not cover.

It is small on purpose: a call is allowed unless a rule refuses it.
"""

import ctypes
import errno
import os
import struct

from .syscalls import MACHINES, machine, number

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, AND, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
X32 = 0x40000000
"""The bit that marks x32 calls, the second set of x86_64, which the rules do not cover."""

AF_INET, AF_INET6, AF_NETLINK = 2, 10, 16
SOCK_STREAM, SOCK_TYPE_MASK = 1, 0xF
CLONE_THREAD = 0x00010000
NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWTIME (which clone cannot make)."""

NEVER = (
    "setsid",  # a replica's processes are found by their session
    "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "process_madvise",  # act on other processes
    "unshare", "setns",  # create namespaces, in which it would be root
    "io_uring_setup", "io_uring_enter", "io_uring_register",  # would bypass this filter
    "listen",  # no servers; Landlock refuses bind() only from ABI 4 on
    "shmget", "shmat", "msgget", "semget", "mq_open", "keyctl", "add_key", "request_key",  # shared per user
    "open_by_handle_at",  # reads files without access to their folders
    "bpf", "perf_event_open", "userfaultfd", "inotify_add_watch",  # observe other processes and the kernel
    "setpriority", "ioprio_set", "migrate_pages", "move_pages",  # accept the id of another process
)  # fmt: skip
ONLY_ITSELF = ("prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler")
"""Accept a process id, or 0 for the caller."""
SHARED_USER_IGNORED = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "utime", "utimes",
    "utimensat", "futimesat", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
)  # fmt: skip
"""Calls that change modes, owners, times and attributes, which Landlock does not refuse. If the user also has other
files, these calls do nothing but report success, because `shutil.copy` fails if chmod does."""

Instruction = tuple[int, int, int, int]


def missing() -> str | None:
    """Why the filter cannot be used here."""
    if machine() is None:
        return f"the system calls of this machine ({os.uname().machine}) are not known, only those of {list(MACHINES)}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(22, 2, 0, 0, 0) == -1 and ctypes.get_errno() == errno.EFAULT:  # PR_SET_SECCOMP without a filter
        return None
    return "the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)"


def apply(own_user: bool, signals_scoped: bool) -> None:
    """Install the filter permanently in this thread. Requires PR_SET_NO_NEW_PRIVS.

    `own_user` means that only the project's replicas have this user. Otherwise the process may start no processes,
    because a fork bomb would reach the user's limit, and may change no modes. `signals_scoped` means that Landlock
    refuses signals to other processes.
    """
    program = b"".join(struct.pack("=HBBI", *instruction) for instruction in rules(own_user, signals_scoped))
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(22, 2, head, 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "seccomp: " + os.strerror(ctypes.get_errno()))


def rules(own_user: bool, signals_scoped: bool) -> list[Instruction]:
    found = machine()
    if found is None:
        raise OSError("seccomp: this machine's system calls are not known")
    program: list[Instruction] = [
        (LOAD, 0, 0, 4),  # the architecture
        (EQUAL, 1, 0, found.audit_arch),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),  # the call's number
        (AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, ERRNO | errno.ENOSYS),
    ]
    for name in NEVER:
        program += _refuse(name, errno.EPERM)
    program += _only("socket", 0, 0xFFFFFFFF, (AF_INET, AF_INET6, AF_NETLINK), errno.EACCES)
    # A datagram socket of a pair could be connected again, to a path.
    program += _only("socketpair", 1, SOCK_TYPE_MASK, (SOCK_STREAM,), errno.EACCES)
    for name in ONLY_ITSELF:
        program += _only(name, 0, 0xFFFFFFFF, (0, os.getpid()), errno.EPERM)
    program += _refuse("clone3", errno.ENOSYS)  # the filter cannot read its flags; libc then uses clone
    program += _refuse_bits("clone", NEW_NAMESPACES, errno.EPERM)
    if not own_user:
        program += _require_bit("clone", CLONE_THREAD, errno.EPERM)
        for name in ("fork", "vfork"):
            program += _refuse(name, errno.EPERM)
        for name in SHARED_USER_IGNORED:
            program += _refuse(name, 0)
    if not signals_scoped:
        for name in ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
            program += _only(name, 0, 0xFFFFFFFF, (os.getpid(),), errno.EPERM)
        for name in ("tkill", "pidfd_send_signal"):
            program += _refuse(name, errno.EPERM)
    return [*program, (RETURN, 0, 0, ALLOW)]


def _when(name: str, block: list[Instruction]) -> list[Instruction]:
    """Instructions that run `block` for this call. `block` must return, or end with the call's number loaded."""
    known = number(name)
    return [] if known < 0 else [(EQUAL, 0, len(block), known), *block]


def _refuse(name: str, code: int) -> list[Instruction]:
    return _when(name, [(RETURN, 0, 0, ERRNO | code)])


def _argument(position: int) -> Instruction:
    return (LOAD, 0, 0, 16 + 8 * position)  # the lower half, because these arguments have 32 bits


def _only(name: str, position: int, mask: int, values: tuple[int, ...], code: int) -> list[Instruction]:
    tests = [(EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    ends = [(RETURN, 0, 0, ERRNO | code), (RETURN, 0, 0, ALLOW)]
    return _when(name, [_argument(position), (AND, 0, 0, mask), *tests, *ends])


def _refuse_bits(name: str, bits: int, code: int) -> list[Instruction]:
    return _when(name, [_argument(0), (ANY_BIT, 0, 1, bits), (RETURN, 0, 0, ERRNO | code), (LOAD, 0, 0, 0)])


def _require_bit(name: str, bit: int, code: int) -> list[Instruction]:
    return _when(name, [_argument(0), (ANY_BIT, 1, 0, bit), (RETURN, 0, 0, ERRNO | code), (LOAD, 0, 0, 0)])
