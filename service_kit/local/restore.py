"""`flowpin restore`: a backup back into an empty system, as it was, and then up to date with this code."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
from rich.console import Console

from service_kit import migrations
from service_kit.db import Connection
from service_kit.files import replace_file, sync_folder
from service_kit.local import catalog
from service_kit.local.announcement import Announcer
from service_kit.local.backup import Options
from service_kit.local.backup_file import Manifest, Reader, reading
from service_kit.local.data_folder import DataFolder, locked
from service_kit.local.databases import (
    MIGRATOR_ROLES,
    SERVING_ROLES,
    Databases,
    check_server,
    external_databases,
    url_without_password,
)
from service_kit.local.errors import CannotRun
from service_kit.local.pg_tools import PgTools
from service_kit.local.processes import end_orphans
from service_kit.local.running import UNFINISHED_RESTORE, postgres_alone
from service_kit.local.schemas import Schema


def restore(options: Options, schemas: Sequence[Schema], environ: Mapping[str, str], console: Console) -> None:
    """Fill an empty system with a backup. Raises CannotRun; unless it says otherwise, nothing has changed then."""
    announcer = Announcer(console)
    with announcer.starting(), reading(options.file) as backup:
        announcer.say(
            f"  ✓ The backup is whole: {backup.manifest.content}, of {backup.manifest.created_at:%Y-%m-%d %H:%M}Z"
        )
        _check_versions(backup.manifest, schemas)
        with locked(options.data) as folder:
            _check_access(options.access_file, backup)
            asyncio.run(Restore(folder, options, backup, schemas, environ, announcer).run())
    database = " --database-url …" if options.database_url else ""
    announcer.say(
        f"Restored, every token included. Start it with `flowpin up --data {options.data}{database}`, "
        f"which makes a new token for you, as backups hold no secrets."
    )


def _check_versions(manifest: Manifest, schemas: Sequence[Schema]) -> None:
    for schema in schemas:
        if unknown := schema.unknown(manifest.migrations.get(schema.name, [])):
            raise CannotRun(
                f"the backup was made by Flowpin {manifest.flowpin}, whose schema {schema.name} has the migration "
                f"{unknown[0]}, which this one does not know; install a Flowpin as new as that"
            )


def _check_access(path: Path, backup: Reader) -> None:
    # The same content is what a restore that was cut short leaves.
    if path.exists() and path.read_bytes() != backup.access.encode():
        raise CannotRun(f"{path} is there already, and differs from the backup's; a backup is restored where none is")


class Restore:
    """One restore, into a folder that this process holds."""

    def __init__(
        self,
        folder: DataFolder,
        options: Options,
        backup: Reader,
        schemas: Sequence[Schema],
        environ: Mapping[str, str],
        announcer: Announcer,
    ) -> None:
        self._folder = folder
        self._options = options
        self._backup = backup
        self._schemas = schemas
        self._environ = environ
        self._announcer = announcer

    async def run(self) -> None:
        if self._options.database_url is not None:
            await check_server(self._options.database_url)
            await self._fill(external_databases(self._options.database_url, self._folder), self._environ)
            replace_file(self._options.access_file, self._backup.access)
        else:
            await self._into_the_folder()

    async def _into_the_folder(self) -> None:
        """Under another name first: what a crash leaves half done is never taken for a system."""
        if self._folder.postgres.exists():
            raise CannotRun(f"{self._folder.path} is not empty: it has a Postgres already. Choose another --data")
        async with _unfinished(self._folder) as unfinished:
            async with AsyncExitStack() as until_filled:
                with self._announcer.step("A new Postgres"):
                    databases = await until_filled.enter_async_context(postgres_alone(unfinished))
                await self._fill(databases, {})
            replace_file(self._options.access_file, self._backup.access)  # first: a second try accepts it
            unfinished.postgres.rename(self._folder.postgres)
            sync_folder(self._folder.path)

    async def _fill(self, databases: Databases, environ: Mapping[str, str]) -> None:
        try:
            db = await asyncpg.connect(databases.admin_url, timeout=10)
            try:
                await self._load(db, databases, environ)
                await self._migrate(db, databases)
            finally:
                await db.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, migrations.MigrationError) as error:
            raise CannotRun(f"the database {url_without_password(databases.admin_url)} refused: {error}") from None

    async def _load(self, db: Connection, databases: Databases, environ: Mapping[str, str]) -> None:
        names = [schema.name for schema in self._schemas]
        for name in names:
            if tables := await catalog.tables(db, name):
                raise CannotRun(
                    f"{url_without_password(databases.admin_url)} is not empty: its schema {name} has "
                    f"{len(tables)} tables. A backup is restored into a database that has none of them"
                )
        for name in names:
            urls = databases.url_of(MIGRATOR_ROLES[name]), databases.url_of(SERVING_ROLES[name])
            await migrations.provision(databases.admin_url, name, *urls)
        with self._announcer.step("Both schemas"):
            tools = PgTools.here(databases.admin_url, environ)
            await tools.load(self._backup.dump(), names, db.get_server_version().major)
            await catalog.analyze(db, names)
            if (rows := await catalog.row_counts(db, names)) != self._backup.manifest.rows:
                raise CannotRun(
                    f"the database has not what the manifest says: {rows}, not {self._backup.manifest.rows}"
                )

    async def _migrate(self, db: Connection, databases: Databases) -> None:
        with self._announcer.step("Migrations since, and who may do what"):
            for schema in self._schemas:
                await migrations.migrate(databases.url_of(MIGRATOR_ROLES[schema.name]), schema.name, schema.migrations)
            problems = [problem for schema in self._schemas for problem in await catalog.role_problems(db, schema.name)]
        if problems:
            raise CannotRun(f"the rows are restored, but the roles are not as they must be: {'; '.join(problems)}")


@asynccontextmanager
async def _unfinished(folder: DataFolder) -> AsyncIterator[DataFolder]:
    """A data folder within the folder, gone when the block ends; so is what an earlier one left."""
    unfinished = DataFolder(folder.path / UNFINISHED_RESTORE)
    if unfinished.path.exists():
        end_orphans(unfinished)
        shutil.rmtree(unfinished.postgres, ignore_errors=True)  # the next Postgres there removes the old one's sockets
    for path in (unfinished.path, unfinished.path / "logs"):
        path.mkdir(mode=0o700, exist_ok=True)
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished.path, ignore_errors=True)
