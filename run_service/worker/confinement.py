"""Drops the rights of a replica before it loads a flow, because the flow's code runs in its process."""

import ctypes
import os
import random
import resource
import signal
import stat
import struct
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import landlock, seccomp
from .syscalls import number

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS = 1, 4, 8, 38
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION = 0x20080522
STANDARD_FILES = 3


def missing() -> str | None:
    """A sentence that says why replicas cannot be confined on this machine. None when they can. Changes nothing."""
    reason = landlock.missing() or seccomp.missing()
    return reason and f"Apps cannot run here: {reason}."


def end_with_parent(parent: int) -> None:
    """Let the kernel end this process when `parent` ends. A change of user undoes this."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


@dataclass(frozen=True, kw_only=True)
class Confinement:
    folder: Path
    """The only folder that may be written."""
    user: int | None
    """The id of a user and group that only the project's replicas have. None keeps the current user."""
    limits: Mapping[str, int]
    """memory_bytes (private, in addition to that of the zygote), file_bytes, files and processes."""
    variables: Mapping[str, str]


def confine(given: Confinement, parent: int) -> None:
    """Drop all other rights. Raises OSError if the kernel refuses a step."""
    _last_in_line_for_memory()
    _limit(given.limits, given.user is not None)
    _fresh_environment(given.folder, given.variables)
    _fresh_random_numbers()
    os.umask(0o077)
    readable = landlock.runtime_folders()
    if given.user is not None:
        _become(given.user, pass_closed_folders=any(map(closed_to_others, [*readable, str(given.folder.parent)])))
    end_with_parent(parent)
    os.chdir(given.folder)
    _prctl(PR_SET_DUMPABLE, 0)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    landlock.apply([*readable, *landlock.SYSTEM], given.folder)
    seccomp.apply(own_user=given.user is not None, signals_scoped=landlock.abi() >= landlock.SCOPE_ABI)


def close_all_but(descriptor: int) -> None:
    """Close all files and sockets of the zygote except `descriptor`. Input and outputs become /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(STANDARD_FILES):
        os.dup2(null, standard)
    os.closerange(STANDARD_FILES, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))


def closed_to_others(path: str) -> bool:
    """Whether other users cannot enter `path` or a folder above it, for example root's home."""
    real = Path(path).resolve()
    return any(not folder.stat().st_mode & stat.S_IXOTH for folder in [real, *real.parents] if folder.exists())


def _become(user: int, pass_closed_folders: bool) -> None:
    """Change to this user. With `pass_closed_folders`, the process keeps the capability to read and search all files,
    but Landlock still limits it."""
    if pass_closed_folders:
        _prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if pass_closed_folders:
        head = struct.pack("=Ii", CAPABILITY_VERSION, 0)
        kept = 1 << CAP_DAC_READ_SEARCH
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(number("capset"), head, struct.pack("=6I", kept, kept, 0, 0, 0, 0)) != 0:
            raise OSError(ctypes.get_errno(), "the capability to read and search is not there")


def _last_in_line_for_memory() -> None:
    """Let the kernel end replicas before other processes when memory runs out."""
    Path("/proc/self/oom_score_adj").write_text("1000")


def _limit(limits: Mapping[str, int], own_user: bool) -> None:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    data = int(status["VmData"].split()[0]) << 10
    wanted = {
        resource.RLIMIT_DATA: data + limits["memory_bytes"],
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: limits["files"],
        resource.RLIMIT_CORE: 0,
    }
    if own_user:  # this limit counts all processes of the user
        wanted[resource.RLIMIT_NPROC] = limits["processes"]
    for which, value in wanted.items():
        _, hard = resource.getrlimit(which)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (bound, bound))


def _fresh_environment(folder: Path, variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.environ.update({"HOME": str(folder), "TMPDIR": str(folder), "USER": "app", "LANG": "C.UTF-8"})
    tempfile.tempdir = None  # computed from the zygote's environment


def _fresh_random_numbers() -> None:
    """Seed again, because replicas of one zygote would draw the same numbers."""
    random.seed()
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")
