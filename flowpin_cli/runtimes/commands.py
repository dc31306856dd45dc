"""`flowpin runtime`: from what was typed to a change of the folder of runtimes, and what is shown of it."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import asyncpg
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from flowpin_cli.console import Announcer
from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import found
from flowpin_cli.postgres.alone import administrator_url
from flowpin_cli.postgres.cluster import data_version
from flowpin_cli.runtimes.folder import check_version, runtimes_of
from flowpin_cli.runtimes.install import install as install_runtime

LIVE = """
    SELECT count(*) FROM deploy.deployments
    WHERE runtime_version = $1 AND (live_from IS NOT NULL AND live_to IS NULL OR finished_at IS NULL)
"""
DATABASE_SECONDS = 10.0


def install(
    data: Path, environ: Mapping[str, str], version: str, lock: Path | None, python: str | None, console: Console
) -> None:
    runtimes, announcer = runtimes_of(data, environ), Announcer(console)
    check_version(version)
    try:
        text = None if lock is None else lock.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRun(f"{lock} cannot be read: {error}") from None
    if not found(data).path.exists():
        data.mkdir(mode=0o700, parents=True)  # as `flowpin up` makes it
    with announcer.starting():
        runtime = install_runtime(runtimes, version, text, python, announcer)
    announcer.say(
        f"Runtime {version} is in {runtimes.of(version)}: dynamiq {runtime.sdk}, Python {runtime.python}, "
        f"{runtime.packages} packages (lock {runtime.lock_digest[:12]})."
    )


def show(data: Path, environ: Mapping[str, str], console: Console, *, as_json: bool) -> None:
    runtimes = runtimes_of(data, environ)
    installed = runtimes.all()
    if as_json:
        print(json.dumps([asdict(each) for each in installed], indent=2))  # noqa: T201
        return
    if not installed:
        console.print(f"No runtime in {runtimes.path}. `flowpin runtime install` installs one.", soft_wrap=True)
        return
    table = Table("Version", "SDK", "Python", "Packages", "Lock", "Installed", box=SIMPLE)
    for each in installed:
        row = each.version, each.sdk, each.python, str(each.packages), each.lock_digest[:12], each.installed_at
        table.add_row(*row)
    console.print(table)


def remove(data: Path, environ: Mapping[str, str], version: str, database_url: str | None, console: Console) -> None:
    runtimes, announcer = runtimes_of(data, environ), Announcer(console)
    if runtimes.find(check_version(version)) is None:
        raise CannotRun(f"runtime {version} is not installed in {runtimes.path}")
    if database_url is not None or data_version(found(data)) is not None:
        live = asyncio.run(_live(data, database_url, version, announcer))
        if live:
            raise CannotRun(
                f"runtime {version} is pinned by {live} live deployment{'s' if live > 1 else ''}; "
                "deploy their apps on another runtime first"
            )
    with runtimes.locked():
        runtimes.remove(version)
    announcer.say(f"Runtime {version} is removed.")


async def _live(data: Path, database_url: str | None, version: str, announcer: Announcer) -> int:
    """How many deployments that are live, or being rolled out, pin the runtime."""
    async with administrator_url(data, database_url, announcer) as url:
        try:
            db = await asyncpg.connect(url, timeout=DATABASE_SECONDS, command_timeout=DATABASE_SECONDS)
            try:
                return int(await db.fetchval(LIVE, version))
            finally:
                await db.close(timeout=DATABASE_SECONDS)
        except asyncpg.UndefinedTableError:
            return 0  # nothing was ever deployed there
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise CannotRun(f"the database cannot say what is live: {error}; nothing was removed") from None
