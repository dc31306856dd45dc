"""Landlock rules of replicas. They limit the files that may be read and written, and refuse TCP servers and signals to
others."""

import ctypes
import os
import stat
import struct
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from .syscalls import machine, number

MINIMUM_ABI = 3
"""Minimum version, of Linux 6.2. With an older one, a replica could truncate every file of its user."""
NETWORK_ABI, IOCTL_ABI, SCOPE_ABI = 4, 5, 6

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG, MAKE_FIFO, MAKE_SYM = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 10, 1 << 12
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
WRITE = (
    READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | REFER
    | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_FIFO | MAKE_SYM
)  # fmt: skip
FILE_ONLY = EXECUTE | READ_FILE | WRITE_FILE | TRUNCATE
BIND_TCP = 1 << 0
SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1 << 0, 1 << 1

SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share",
    "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/localtime", "/etc/timezone",
    "/etc/mime.types", "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf",
    "/etc/services", "/etc/protocols", "/dev/urandom", "/dev/random", "/dev/zero",
)  # fmt: skip
"""Paths that a replica may read in addition to its runtime, if they exist. A file that is replaced later cannot be
read."""
WHOLE_SYSTEM = ("/", "/usr", "/usr/local")


def abi() -> int:
    """Landlock's version in this kernel; 0 without it."""
    if machine() is None:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    version: int = libc.syscall(number("landlock_create_ruleset"), None, ctypes.c_size_t(0), 1)
    return max(0, version)


def missing() -> str | None:
    """Why the rules cannot be used here."""
    found = abi()
    if found == 0:
        return "the kernel has no Landlock, or it is not switched on (lsm=landlock,…)"
    if found < MINIMUM_ABI:
        return f"the kernel's Landlock is of version {found}, and replicas need {MINIMUM_ABI} (Linux 6.2)"
    return None


def runtime_folders() -> list[str]:
    """This Python's own folders."""
    base = [sys.base_prefix] if sys.base_prefix not in WHOLE_SYSTEM else []
    library = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    return [sys.prefix, *base, *library] if sys.prefix not in WHOLE_SYSTEM else [*base, *library]


def apply(readable: Iterable[str], writable: Path) -> None:
    """Permanently refuse all other access in this thread and in threads and processes that it starts. Requires
    PR_SET_NO_NEW_PRIVS."""
    version = abi()
    handled = (1 << 16) - 1 if version >= IOCTL_ABI else (1 << 15) - 1
    network = BIND_TCP if version >= NETWORK_ABI else 0
    scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS if version >= SCOPE_ABI else 0
    attributes = struct.pack("=QQQ", handled, network, scoped)
    size = 24 if version >= SCOPE_ABI else 16 if version >= NETWORK_ABI else 8
    ruleset = _call("landlock_create_ruleset", attributes, ctypes.c_size_t(size), 0)
    try:
        for path in readable:
            _allow(ruleset, path, READ)
        _allow(ruleset, "/dev/null", READ_FILE | WRITE_FILE)
        _allow(ruleset, str(writable), WRITE)
        _call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # a path that does not exist needs no rule
    try:
        if not stat.S_ISDIR(os.fstat(file).st_mode):
            access &= FILE_ONLY
        _call("landlock_add_rule", ruleset, 1, struct.pack("=Qi", access, file), 0)
    finally:
        os.close(file)


def _call(name: str, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(number(name), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result
