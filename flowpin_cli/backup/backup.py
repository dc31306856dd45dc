"""`flowpin backup`: writes a snapshot of the schemas and the access file to one file."""

import asyncio
import importlib.metadata
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from rich.console import Console

from flowpin_cli.backup.archive import ACCESS, DUMP, Manifest, writing
from flowpin_cli.console import Announcer
from flowpin_cli.errors import CannotRun
from flowpin_cli.postgres import catalog
from flowpin_cli.postgres.alone import administrator_url
from flowpin_cli.postgres.dump import PgTools
from flowpin_cli.postgres.dump_reader import list_entries, unknown_entries
from flowpin_cli.postgres.schemas import Schema
from flowpin_cli.postgres.urls import url_without_password
from service_kit.access import tokens
from service_kit.access.file import AccessFileError


@dataclass(frozen=True)
class Options:
    """The person's options."""

    file: Path
    data: Path
    database_url: str | None
    access_file: Path


def backup(options: Options, schemas: Sequence[Schema], environ: Mapping[str, str], console: Console) -> None:
    """Write the backup, even while `flowpin up` runs. Raises CannotRun."""
    manifest = asyncio.run(_backup(options, schemas, environ, Announcer(console)))
    console.print(
        f"Backup written: {options.file} ({_size(options.file.stat().st_size)}; {manifest.content}). "
        f"It contains only hashes of tokens. `flowpin restore` restores it.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


async def _backup(
    options: Options, schemas: Sequence[Schema], environ: Mapping[str, str], announcer: Announcer
) -> Manifest:
    if not options.access_file.is_file():
        raise CannotRun(
            f"there is no access file {options.access_file}; name it with --access-file, or DIR with --data"
        )
    with writing(options.file) as backup, announcer.starting():
        async with (
            administrator_url(options.data, options.database_url, announcer) as url,
            _snapshot(url) as (connection, snapshot),
        ):
            with announcer.step("Existing data"):
                migrations = {
                    schema.name: await catalog.applied_migrations(connection, schema.name) for schema in schemas
                }
                schemas = [schema for schema in schemas if migrations[schema.name] or not schema.is_optional]
                migrations = {schema.name: migrations[schema.name] for schema in schemas}
                if missing := [name for name, applied in migrations.items() if not applied]:
                    raise CannotRun(
                        f"there is nothing to back up: no schema {missing[0]} in {url_without_password(url)}"
                    )
                rows = await catalog.row_counts(connection, migrations)
            with announcer.step("The schemas, as of one moment"):
                tools = PgTools.here(url, environ if options.database_url else {})
                async for size in backup.add(DUMP, tools.dump(migrations, snapshot)):
                    announcer.progress(_size(size))
                unknown = unknown_entries(await list_entries(backup.dump()), schemas)
            if unknown:
                announcer.say(
                    f"  ! The schemas contain objects that are not Flowpin's, which a restore refuses: {unknown}. "
                    f"Remove them, then back up again"
                )
            server = await connection.fetchval("SHOW server_version")
        # The access file is read last, so that it declares every project that has rows.
        backup.add_small(ACCESS, _access_file(options.access_file, announcer))
        manifest = Manifest(
            created_at=datetime.now(UTC),
            flowpin=importlib.metadata.version("flowpin"),
            postgres=server.split()[0],
            migrations=migrations,
            rows=rows,
            files=backup.files,
        )
        backup.add_manifest(manifest)
    return manifest


def _access_file(path: Path, announcer: Announcer) -> bytes:
    try:
        tokens.read_access_file(path)
    except AccessFileError as error:
        announcer.say(f"  ! The access file is backed up, but cannot be used: {error}")
    try:
        content = path.read_bytes()
        content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRun(f"{path} cannot be backed up: {error}") from None
    return content


@asynccontextmanager
async def _snapshot(url: str) -> AsyncIterator[tuple["asyncpg.Connection[asyncpg.Record]", str]]:
    """A connection with a snapshot, and the name of the snapshot for other connections."""
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CannotRun(f"the database {url_without_password(url)} cannot be used: {error}") from None
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield connection, await connection.fetchval("SELECT pg_export_snapshot()")
    except asyncpg.PostgresError as error:
        raise CannotRun(f"the database refused: {error}") from None
    finally:
        await connection.close()


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
