"""`flowpin restore`: restores a backup into an empty system, then migrates it for this code."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import IO

import asyncpg
from rich.console import Console

from flowpin_cli.backup.archive import CHUNK, Manifest, Reader, reading
from flowpin_cli.backup.backup import Options
from flowpin_cli.console import Announcer
from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import UNFINISHED_RESTORE, DataFolder, locked
from flowpin_cli.machine.processes import end_orphans, printable
from flowpin_cli.postgres import catalog
from flowpin_cli.postgres.alone import postgres_alone
from flowpin_cli.postgres.dump_reader import Entry, list_entries, read_rows, unknown_entries
from flowpin_cli.postgres.passwords import MIGRATOR_ROLES, SERVING_ROLES
from flowpin_cli.postgres.schemas import Schema
from flowpin_cli.postgres.urls import Databases, check_server, external_databases, url_without_password
from flowpin_cli.verify.report import summary
from flowpin_cli.verify.run import verify
from flowpin_cli.verify.sources import sources_at
from service_kit import migrations
from service_kit.db import Connection
from service_kit.files import replace_file, sync_folder

SPARE_BYTES = 256 << 20


def restore(options: Options, schemas: Sequence[Schema], console: Console) -> None:
    """Fill an empty system with a backup. Raises CannotRun. Then nothing has changed, unless the message says
    otherwise."""
    announcer = Announcer(console)
    with announcer.starting(), reading(options.file) as backup:
        announcer.say(
            f"  ✓ The backup is complete: {backup.manifest.content}, of {backup.manifest.created_at:%Y-%m-%d %H:%M}Z"
        )
        there = [schema for schema in schemas if schema.name in backup.manifest.migrations or not schema.is_optional]
        _check_versions(backup.manifest, there)
        asyncio.run(_check_entries(backup.dump(), there))
        with locked(options.data) as folder:
            _check_access(options.access_file, backup)
            asyncio.run(Restore(folder, options, backup, there, announcer).run())
    database = " --database-url …" if options.database_url else ""
    announcer.say(
        f"Restored, every token included. Start it with `flowpin up --data {options.data}{database}`, "
        f"which makes a new token for you, as backups hold no secrets."
    )


def _check_versions(manifest: Manifest, schemas: Sequence[Schema]) -> None:
    for schema in schemas:
        applied = manifest.migrations.get(schema.name, [])
        if unknown := schema.unknown(applied):
            raise CannotRun(
                f"the backup was made by Flowpin {manifest.flowpin}, whose schema {schema.name} has the migration "
                f"{unknown[0]}, which this one does not know; install a Flowpin as new as that"
            )
        if not schema.first(applied):
            raise CannotRun(f"the backup cannot be used: of its schema {schema.name}, the first migrations are missing")


async def _check_entries(dump: Iterator[bytes], schemas: Sequence[Schema]) -> list[Entry]:
    entries = await list_entries(dump)
    if unknown := unknown_entries(entries, schemas):
        raise CannotRun(f"the backup contains objects that are not Flowpin's, and nothing was restored: {unknown}")
    return entries


def _check_access(path: Path, backup: Reader) -> None:
    # An interrupted restore leaves the same content.
    if path.exists() and path.read_bytes() != backup.access.encode():
        raise CannotRun(f"{path} exists already and differs from the backup's; restore into an empty place")


class Restore:
    """Restores into a folder that this process has locked."""

    def __init__(
        self,
        folder: DataFolder,
        options: Options,
        backup: Reader,
        schemas: Sequence[Schema],
        announcer: Announcer,
    ) -> None:
        self._folder = folder
        self._options = options
        self._backup = backup
        self._schemas = schemas
        self._announcer = announcer

    async def run(self) -> None:
        if self._options.database_url is not None:
            await check_server(self._options.database_url)
            await self._fill(external_databases(self._options.database_url, self._folder))
            replace_file(self._options.access_file, self._backup.access)
        else:
            await self._into_the_folder()

    async def _into_the_folder(self) -> None:
        """Restore under another name first, so that a restore that crashed is not mistaken for a complete system."""
        if self._folder.postgres.exists():
            raise CannotRun(f"{self._folder.path} is not empty: it has a Postgres. Choose another --data")
        async with _unfinished(self._folder) as unfinished:
            async with AsyncExitStack() as until_filled:
                with self._announcer.step("A new Postgres"):
                    databases = await until_filled.enter_async_context(postgres_alone(unfinished))
                await self._fill(databases)
            replace_file(self._options.access_file, self._backup.access)  # first, because a second try accepts it
            unfinished.postgres.rename(self._folder.postgres)
            sync_folder(self._folder.path)

    async def _fill(self, databases: Databases) -> None:
        try:
            db = await asyncpg.connect(databases.admin_url, timeout=10)
            try:
                await self._load(db, databases)
                await self._migrate(db, databases)
                await self._verify(databases)
            finally:
                await db.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, migrations.MigrationError) as error:
            # Only the first line: later lines may contain values of a row.
            said = printable(str(error).partition("\n")[0])
            raise CannotRun(f"the database {url_without_password(databases.admin_url)} refused: {said}") from None

    async def _load(self, db: Connection, databases: Databases) -> None:
        names = [schema.name for schema in self._schemas]
        for name in catalog.FROZEN:
            if tables := await catalog.tables(db, name):
                raise CannotRun(
                    f"{url_without_password(databases.admin_url)} is not empty: its schema {name} has "
                    f"{len(tables)} tables. Restore into a database without them"
                )
        for name in names:
            urls = databases.url_of(MIGRATOR_ROLES[name]), databases.url_of(SERVING_ROLES[name])
            await migrations.provision(databases.admin_url, name, *urls)
        with self._announcer.step("The schemas"), self._backup.copy_of_dump(self._folder.path) as dump:
            await self._load_rows(databases, dump)

    async def _load_rows(self, databases: Databases, dump: IO[bytes]) -> None:
        """Create the backup's schemas with our own migrations, and copy the backup's rows into the tables.

        The roles that own the tables do this, in one transaction per schema. All are committed once all are complete.
        No SQL of the backup is run.
        """
        entries = await _check_entries(iter(lambda: dump.read(CHUNK), b""), self._schemas)
        async with AsyncExitStack() as until_loaded:
            migrators: dict[str, asyncpg.Connection[asyncpg.Record]] = {}
            tables: dict[str, list[str]] = {}
            for schema in self._schemas:
                db = await asyncpg.connect(databases.url_of(MIGRATOR_ROLES[schema.name]), timeout=10)
                until_loaded.push_async_callback(db.close)
                await until_loaded.enter_async_context(db.transaction())
                migrators[schema.name], tables[schema.name] = db, await self._make(db, schema)
            await self._copy(migrators, tables, dump, {entry.what: entry for entry in entries})
            counts: dict[str, int] = {}
            for name, db in migrators.items():
                await catalog.end_filling(db, name, tables[name])
                await catalog.analyze(db, [name])
                counts |= await catalog.row_counts(db, [name])
            if counts != self._backup.manifest.rows:
                raise CannotRun(f"the rows of the backup do not match its manifest: {counts}")

    async def _make(self, db: Connection, schema: Schema) -> list[str]:
        """Create the schema as of the backup. Returns its tables in the order in which they can be filled."""
        await migrations.replay(db, schema.name, schema.first(self._backup.manifest.migrations[schema.name]) or [])
        tables = [name for name in await catalog.tables_by_reference(db, schema.name) if name != "schema_migrations"]
        await catalog.begin_filling(db, schema.name, tables)
        return tables

    async def _copy(
        self,
        migrators: "Mapping[str, asyncpg.Connection[asyncpg.Record]]",
        tables: Mapping[str, Sequence[str]],
        dump: IO[bytes],
        entries: Mapping[str, Entry],
    ) -> None:
        wanted = [f"TABLE DATA {schema} {table}" for schema in tables for table in tables[schema]]
        async for rows in read_rows(dump, [entries[what] for what in wanted if what in entries]):
            if f"TABLE DATA {rows.schema} {rows.table}" not in wanted:
                raise CannotRun(f"the backup holds rows of {rows.schema}.{rows.table}, which is not Flowpin's")
            await migrators[rows.schema].copy_to_table(
                rows.table, schema_name=rows.schema, columns=rows.columns, source=self._while_there_is_room(rows.chunks)
            )

    async def _while_there_is_room(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A small file can unpack into rows that fill a disk."""
        async for chunk in chunks:
            if self._options.database_url is None and shutil.disk_usage(self._folder.path).free < SPARE_BYTES:
                raise CannotRun(f"the disk of {self._folder.path} has no space for the backup's rows")
            yield chunk

    async def _migrate(self, db: Connection, databases: Databases) -> None:
        with self._announcer.step("Newer migrations, and rights"):
            for schema in self._schemas:
                await migrations.migrate(databases.url_of(MIGRATOR_ROLES[schema.name]), schema.name, schema.migrations)
            problems = [problem for schema in self._schemas for problem in await catalog.role_problems(db, schema.name)]
        if problems:
            raise CannotRun(f"the rows are restored, but the roles are wrong: {'; '.join(problems)}")

    async def _verify(self, databases: Databases) -> None:
        """Print whether the history is complete. A finding was already in the backup, so the data is restored
        anyway."""
        try:
            report = await verify(sources_at(databases.admin_url), self._announcer.show)
        except CannotRun as error:
            self._announcer.say(f"  ! Not verified: {error}")
            return
        except Exception as error:  # restored data stays, even if it cannot be verified
            self._announcer.say(f"  ! Not verified: {type(error).__name__}; `flowpin verify` says more")
            return
        mark = "!" if report.found else "✓"
        advice = " The backup had the same fault; `flowpin verify` shows it" if report.found else ""
        self._announcer.say(f"  {mark} Verified. {summary(report)}{advice}")


@asynccontextmanager
async def _unfinished(folder: DataFolder) -> AsyncIterator[DataFolder]:
    """A temporary data folder within the folder. It is removed when the block ends, as are remains of an earlier
    one."""
    unfinished = DataFolder(folder.path / UNFINISHED_RESTORE)
    if unfinished.path.exists():
        end_orphans(unfinished)
        shutil.rmtree(unfinished.postgres, ignore_errors=True)  # the next Postgres in the folder removes old sockets
    for path in (unfinished.path, unfinished.path / "logs"):
        path.mkdir(mode=0o700, exist_ok=True)
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished.path, ignore_errors=True)
