"""Faults of Postgres and its connections. Each function causes the fault, waits, and ends it."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import asyncpg

from flowpin_cli.errors import CannotRun
from flowpin_cli.verify.load.faults.installation import Installation

if TYPE_CHECKING:
    Session = asyncpg.Connection[asyncpg.Record]

LOCKS = (
    "LOCK TABLE workflow.workflows IN ACCESS EXCLUSIVE MODE",
    "LOCK TABLE deploy.apps IN ACCESS EXCLUSIVE MODE",
    "SELECT 1 FROM workflow.workflows FOR UPDATE",
    "SELECT 1 FROM deploy.apps FOR UPDATE",
)
CONNECT_SECONDS = 10.0
TRIES = 10
PAUSE_SECONDS = 1.0
FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""Errors that may end a session while Postgres restarts."""


@asynccontextmanager
async def _session(installation: Installation) -> AsyncIterator["Session"]:
    """A connection of an administrator that does not use the proxy."""
    db = await asyncpg.connect(installation.postgres.cluster.url(), timeout=CONNECT_SECONDS)
    try:
        yield db
    finally:
        await db.close(timeout=CONNECT_SECONDS)


async def half_open(installation: Installation, chance: random.Random) -> str:
    proxy = installation.proxy
    assert proxy is not None  # noqa: S101 - the schedule leaves the fault out without one
    seconds, drops = chance.uniform(2, 6), chance.random() < 0.5
    (proxy.drop_packets if drops else proxy.freeze)()
    try:
        await asyncio.sleep(seconds)
    finally:
        proxy.thaw()
    return f"{'dropped' if drops else 'silent'} {seconds:.1f} s"


async def lock(installation: Installation, chance: random.Random) -> str:
    statement, seconds = chance.choice(LOCKS), chance.uniform(1, 5)
    # The lock blocks other transactions. Only the end of this block or a crash of Postgres releases it.
    with suppress(*FAILURES):
        async with _session(installation) as db, db.transaction():
            await db.execute(statement, timeout=CONNECT_SECONDS)
            await asyncio.sleep(seconds)
        return f"{statement} {seconds:.1f} s"
    return f"{statement} not had"


async def reset(installation: Installation, chance: random.Random) -> str:
    if installation.proxy is not None and chance.random() < 0.5:
        installation.proxy.reset()
        return "connections reset"
    with suppress(*FAILURES):
        async with _session(installation) as db:
            ended = await db.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        return f"{ended} sessions ended"
    return "not had"


async def restart(installation: Installation, chance: random.Random) -> str:
    await installation.postgres.restart()
    return "postgres"


async def stuck(installation: Installation, chance: random.Random) -> str:
    """Stop (SIGSTOP) the process of one session at any moment."""
    seconds, drawn = chance.uniform(2, 6), chance.random()
    pids: list[int] = []
    with suppress(*FAILURES):
        async with _session(installation) as db:
            rows = await db.fetch(
                "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND backend_type = 'client backend' ORDER BY state = 'active' DESC, query_start DESC LIMIT 4"
            )
            pids = [row["pid"] for row in rows]
    if not pids:
        return "not had"
    pid = pids[int(drawn * len(pids))]
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
    return f"a session {seconds:.1f} s"


async def read_only(installation: Installation, chance: random.Random) -> str:
    """Answer reads but refuse writes, as after a failover to a standby."""
    seconds = chance.uniform(1, 4)
    try:
        await _set_read_only(installation, "ALTER SYSTEM SET default_transaction_read_only = on")
        await asyncio.sleep(seconds)
    finally:
        await _set_read_only(installation, "ALTER SYSTEM RESET default_transaction_read_only")
    return f"{seconds:.1f} s"


async def _set_read_only(installation: Installation, statement: str) -> None:
    for _ in range(TRIES):
        with suppress(*FAILURES):
            async with _session(installation) as db:
                await db.execute(statement, timeout=CONNECT_SECONDS)
                await db.execute("SELECT pg_reload_conf()", timeout=CONNECT_SECONDS)
            return
        await asyncio.sleep(PAUSE_SECONDS)
    raise CannotRun(f"Postgres did not take a setting within {TRIES} tries: {statement}")
