"""Numbers of system calls by machine type, for seccomp filters and `syscall()`."""

import platform
from typing import NamedTuple


class Machine(NamedTuple):
    audit_arch: int
    column: int


MACHINES = {"x86_64": Machine(0xC000003E, 0), "aarch64": Machine(0xC00000B7, 1)}

# name: (x86_64, aarch64). -1 if the machine does not have the call.
NUMBERS = {
    "add_key": (248, 217), "bpf": (321, 280), "capset": (126, 91), "chmod": (90, -1), "chown": (92, -1),
    "clone": (56, 220), "clone3": (435, 435), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "fchown": (93, 55), "fchownat": (260, 54), "fork": (57, -1), "fremovexattr": (199, 16), "fsetxattr": (190, 7),
    "inotify_add_watch": (254, 27), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425), "ioprio_set": (251, 30), "keyctl": (250, 219), "kill": (62, 129),
    "landlock_add_rule": (445, 445), "landlock_create_ruleset": (444, 444), "landlock_restrict_self": (446, 446),
    "lchown": (94, -1), "listen": (50, 201), "lremovexattr": (198, 15), "lsetxattr": (189, 6),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "mq_open": (240, 180), "msgget": (68, 186),
    "open_by_handle_at": (304, 265), "perf_event_open": (298, 241), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "prlimit64": (302, 261), "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "ptrace": (101, 117), "removexattr": (197, 14), "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "semget": (64, 190), "setns": (308, 268), "setpriority": (141, 140), "setsid": (112, 157),
    "setxattr": (188, 5), "shmat": (30, 196), "shmget": (29, 194), "socket": (41, 198), "socketpair": (53, 199),
    "tgkill": (234, 131), "tkill": (200, 130), "unshare": (272, 97), "userfaultfd": (323, 282),
    "utimensat": (280, 88), "utimes": (235, -1), "utime": (132, -1), "futimesat": (261, -1), "vfork": (58, -1),
}  # fmt: skip


def machine() -> Machine | None:
    """The type of this machine. None if its numbers are unknown."""
    return MACHINES.get(platform.machine())


def number(name: str) -> int:
    found = machine()
    if found is None:
        raise OSError(f"the system calls of {platform.machine()} are not known")
    return NUMBERS[name][found.column]
