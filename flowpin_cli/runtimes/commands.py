"""`flowpin runtime`: changes the folder of runtimes according to the options, and prints the result."""

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
from flowpin_cli.runtimes.folder import Runtimes, check_version, runtimes_of
from flowpin_cli.runtimes.install import install as install_runtime
from flowpin_cli.runtimes.registry import Registry, registry_of

LIVE = """
    SELECT count(*) FROM deploy.deployments
    WHERE runtime_version = $1 AND (live_from IS NOT NULL AND live_to IS NULL OR finished_at IS NULL)
"""
DATABASE_SECONDS = 10.0


def install(
    data: Path,
    environ: Mapping[str, str],
    version: str,
    lock: Path | None,
    registered: str | None,
    python: str | None,
    console: Console,
) -> None:
    runtimes, announcer = runtimes_of(data, environ), Announcer(console)
    check_version(version)
    registry = registry_of(data, environ)
    text = _lock(registry, version, lock, registered)
    if not found(data).path.exists():
        data.mkdir(mode=0o700, parents=True)  # with the same mode as `flowpin up`
    with announcer.starting():
        runtime = install_runtime(runtimes, version, text, python, announcer)
    announcer.say(
        f"Runtime {version} is in {runtimes.of(version)}: dynamiq {runtime.sdk}, Python {runtime.python}, "
        f"{runtime.packages} packages (lock {runtime.lock_digest[:12]})."
    )
    if registry is not None:
        try:
            _register(registry, runtimes, announcer)
        except CannotRun as problem:
            announcer.say(f"Its lock is not registered yet: {problem}. The next `flowpin up` does it.")


def register(data: Path, environ: Mapping[str, str], console: Console) -> None:
    registry = registry_of(data, environ)
    if registry is None:
        raise CannotRun(f"no `flowpin up` runs on {data}; start it, or set FLOWPIN_URL and FLOWPIN_TOKEN")
    _register(registry, runtimes_of(data, environ), Announcer(console))


def _register(registry: Registry, runtimes: Runtimes, announcer: Announcer) -> None:
    changed = registry.register(runtimes)
    announcer.say(
        f"Registered at {registry.url}: runtime {', '.join(changed)}. Deployments pin that lock from now on."
        if changed
        else f"Registered at {registry.url} already."
    )


def _lock(registry: Registry | None, version: str, file: Path | None, registered: str | None) -> str | None:
    """The lock to install. None for a new one."""
    if file is not None and registered is not None:
        raise CannotRun("--lock and --registered cannot be used together")
    if registered is not None:
        if registry is None:
            raise CannotRun("set FLOWPIN_URL and an operator's FLOWPIN_TOKEN to say where it is registered")
        return registry.lock_of(version, registered)
    try:
        return None if file is None else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRun(f"{file} cannot be read: {error}") from None


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
    """Number of live deployments and rollouts that pin the runtime."""
    async with administrator_url(data, database_url, announcer) as url:
        try:
            db = await asyncpg.connect(url, timeout=DATABASE_SECONDS, command_timeout=DATABASE_SECONDS)
            try:
                return int(await db.fetchval(LIVE, version))
            finally:
                await db.close(timeout=DATABASE_SECONDS)
        except asyncpg.UndefinedTableError:
            return 0  # there are no deployments
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise CannotRun(f"the database cannot say what is live: {error}; nothing was removed") from None
