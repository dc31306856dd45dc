"""Reads from /proc when processes started and to which session they belong."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
NICENESS = 5
"""Nice value of replicas that run their flow. With it, the kernel gives a service three times as much CPU as a
replica."""
KILL_SECONDS = 5.0
"""How long to keep killing a session whose processes fork."""


class Stat(NamedTuple):
    pid: int
    state: str
    session: int
    cpu_ticks: int
    started: int
    """Start time in clock ticks since the machine started. Together with the id, it identifies a process."""


def stat(pid: int) -> Stat | None:
    """None if the process does not exist."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before it may contain any character
    return Stat(pid, fields[0], int(fields[3]), int(fields[11]) + int(fields[12]), int(fields[19]))


def lower_priority(session: int) -> None:
    """Give this session's processes less CPU priority than services, so that busy flows do not delay deploys and other
    calls.

    With `sched_autogroup_enabled`, the kernel ignores the priority of processes, so that of the session is lowered too.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, session, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    with contextlib.suppress(OSError):
        (PROC / str(session) / "autogroup").write_text(str(NICENESS))


def members(session: int) -> Iterator[Stat]:
    """The processes of a session that have not ended."""
    for pid in [int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()]:
        with contextlib.suppress(ProcessLookupError):
            found = stat(pid) if os.getsid(pid) == session else None
            if found is not None and found.state not in "ZX":
                yield found


def kill_session(session: int, since: int = 0) -> int:
    """Kill a session's processes that started at `since` or later.

    Returns how many remain after KILL_SECONDS. This is 0 unless the kernel cannot end one.
    """
    end = time.monotonic() + KILL_SECONDS
    while True:
        # Stop all processes before killing any: each killed process would make room for others that fork.
        found = _signal(session, since, signal.SIGSTOP)
        while time.monotonic() < end and any(member.state != "T" for member in found):
            found = _signal(session, since, signal.SIGSTOP)
        if not found:
            return 0
        left = len(_signal(session, since, signal.SIGKILL))
        if left == 0 or time.monotonic() > end:
            return left
        time.sleep(0.001)


def _signal(session: int, since: int, number: signal.Signals) -> list[Stat]:
    found = [member for member in members(session) if member.started >= since]
    for member in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member.pid, number)
    return found


def private_bytes(pid: int) -> int | None:
    """Anonymous memory of a process, including memory that it still shares with its zygote."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    if "RssAnon" not in fields:
        return None  # it has ended
    return sum(int(fields[name].split()[0]) << 10 for name in ("RssAnon", "RssShmem"))


def boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()
