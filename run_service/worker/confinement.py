"""What a replica gives up before it loads a flow: a flow's code runs in the worker's own process."""

import ctypes
import os
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import landlock, seccomp

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
STANDARD_FILES = 3


def missing() -> str | None:
    """Why replicas cannot be confined on this machine, as a sentence; None when they can. Nothing is changed."""
    reason = landlock.missing() or seccomp.missing()
    return reason and f"Apps cannot run here: {reason}."


def end_with_parent(parent: int) -> None:
    """Have the kernel end this process when `parent` does. A change of user undoes it."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def confine(
    folder: Path, user: int | None, parent: int, limits: Mapping[str, int], variables: Mapping[str, str]
) -> None:
    """Give up everything but `folder` and `variables`. Raises OSError when the kernel refuses a step.

    `user`: the id of a user (and group) that only the project's replicas have; None keeps this one.
    `limits`: memory_bytes (private, on top of what the zygote has), file_bytes, files, processes.
    """
    _last_in_line_for_memory()
    _limit(limits, user is not None)
    _fresh_environment(folder, variables)
    _fresh_random_numbers()
    os.umask(0o077)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    end_with_parent(parent)
    os.chdir(folder)
    _prctl(PR_SET_DUMPABLE, 0)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    landlock.apply([*landlock.runtime_folders(), *landlock.SYSTEM], folder)
    seccomp.apply(own_user=user is not None, signals_scoped=landlock.abi() >= landlock.SCOPE_ABI)


def close_all_but(descriptor: int) -> None:
    """No files or sockets of the zygote stay open; input and outputs are /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(STANDARD_FILES):
        os.dup2(null, standard)
    os.closerange(STANDARD_FILES, descriptor)
    os.closerange(descriptor + 1, os.sysconf("SC_OPEN_MAX"))


def _last_in_line_for_memory() -> None:
    """When memory runs out, the kernel ends replicas before anything else."""
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
    if own_user:  # it counts all processes of the user
        wanted[resource.RLIMIT_NPROC] = limits["processes"]
    for which, value in wanted.items():
        _, hard = resource.getrlimit(which)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (bound, bound))


def _fresh_environment(folder: Path, variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.environ.update({"HOME": str(folder), "TMPDIR": str(folder), "USER": "app", "LANG": "C.UTF-8"})
    tempfile.tempdir = None  # found in the zygote's environment


def _fresh_random_numbers() -> None:
    """Replicas of one zygote would draw the same numbers."""
    random.seed()
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")
