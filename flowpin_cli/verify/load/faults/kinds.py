"""All faults by name, and the faults of processes and files. Each function causes the fault, waits, and ends it."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import TypeAlias

from flowpin_cli.verify.load.faults import database_kinds
from flowpin_cli.verify.load.faults.crowd import crowd
from flowpin_cli.verify.load.faults.installation import Installation
from flowpin_cli.verify.load.options import KILL_APPS

SERVICES = ("workflow_service", "deploy_service", "gateway")
OF_APPS = ("run_service", "replica", "host")
"""Processes that run apps. `host` and `replica` are only killed, because calls must wait for them."""

Fault: TypeAlias = Callable[[Installation, random.Random], Awaitable[str]]
"""Causes the fault and ends it. Returns a description."""


def faults(*, runs_apps: bool = False) -> dict[str, Fault]:
    """Faults by name. Kills alternate between processes, so that `up` does not see too many crashes of one."""
    killed, killed_of_apps = cycle(("postgres", *SERVICES)), cycle(OF_APPS)
    frozen: tuple[str, ...] = (*SERVICES, *(OF_APPS[:1] if runs_apps else ()))

    async def kill(installation: Installation, chance: random.Random) -> str:
        name = next(killed)
        if name == "postgres":
            installation.postgres.crash()
        else:
            _kill(installation.service(name, chance))
        return name

    async def kill_apps(installation: Installation, chance: random.Random) -> str:
        name = next(killed_of_apps)
        _kill(installation.service(name, chance))
        return name

    async def freeze(installation: Installation, chance: random.Random) -> str:
        name, seconds = chance.choice(frozen), chance.uniform(1, 5)
        pid = installation.service(name, chance)
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        return f"{name} {seconds:.1f} s"

    return {
        "kill": kill,
        "freeze": freeze,
        "half-open": database_kinds.half_open,
        "lock": database_kinds.lock,
        "clock": _clock,
        "reset": database_kinds.reset,
        "full-disk": _full_disk,
        "restart": database_kinds.restart,
        "stuck": database_kinds.stuck,
        "read-only": database_kinds.read_only,
        "access-file": _access_file,
        "crowd": _crowd,
        KILL_APPS: kill_apps,
    }


def _kill(pid: int | None) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def _clock(installation: Installation, chance: random.Random) -> str:
    clock = installation.clock
    assert clock is not None  # noqa: S101 - the schedule leaves the fault out without one
    ahead, seconds = chance.uniform(-3600, 3600), chance.uniform(2, 5)
    clock.move(ahead)
    try:
        await asyncio.sleep(seconds)
    finally:
        clock.move(0)
    return f"{ahead:+.0f} s for {seconds:.1f} s"


async def _full_disk(installation: Installation, chance: random.Random) -> str:
    disk = installation.disk
    assert disk is not None  # noqa: S101 - the schedule leaves the fault out without one
    seconds = chance.uniform(1, 4)
    await asyncio.to_thread(disk.fill)
    try:
        await asyncio.sleep(seconds)
    finally:
        disk.empty()
    return f"{seconds:.1f} s"


async def _access_file(installation: Installation, chance: random.Random) -> str:
    """Empty the file, cut it in half, or remove it."""
    file, seconds, how = installation.access_file, chance.uniform(1, 4), chance.choice(("empty", "half", "away"))
    content = file.read_bytes()
    if how == "away":
        file.unlink()
    else:
        _replace(file, b"" if how == "empty" else content[: len(content) // 2])
    try:
        await asyncio.sleep(seconds)
    finally:
        _replace(file, content)
    return f"{how} {seconds:.1f} s"


def _replace(file: Path, content: bytes) -> None:
    """Replace the file atomically, so that a starting service reads all of it or nothing."""
    other = file.with_suffix(".other")
    other.write_bytes(content)
    other.chmod(0o600)
    other.replace(file)


async def _crowd(installation: Installation, chance: random.Random) -> str:
    seconds = chance.uniform(2, 5)
    async with crowd(installation.target.url) as connected:
        await asyncio.sleep(seconds)
    return f"{connected} connections {seconds:.1f} s"
