"""`flowpin seed`: fills a database with workflows that have histories, for load tests and to explore."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import found, holder
from flowpin_cli.postgres import catalog
from flowpin_cli.postgres.alone import embedded_url
from flowpin_cli.postgres.schemas import Schema
from flowpin_cli.postgres.urls import check_server, url_without_password
from flowpin_cli.seed import repository
from flowpin_cli.seed.history import AppHistory, Author, Record, WorkflowHistory
from service_kit.access.file import AccessFile, AccessFileError, Project
from service_kit.access.tokens import read_access_file
from service_kit.db import Connection, read_json_as_bytes

CHUNK = 1_000
"""Maximum versions in one COPY, which are in memory at the same time."""
SHOWN = 5
"""Number of workflows in the output for a person."""


@dataclass(frozen=True)
class Options:
    """The person's options. `archived_every` 0 archives none; `size` None varies it."""

    workflows: int
    versions: int
    archived_every: int
    apps: int
    size: int | None
    project: UUID | None
    data: Path
    database_url: str | None
    access_file: Path
    as_json: bool


def seed(options: Options, schemas: Sequence[Schema], console: Console) -> None:
    """Fill the database, show progress on stderr, and print the result. Raises CannotRun."""
    author = _author(options)
    url = _url(options)
    began = time.monotonic()
    with _progress() as progress:
        made = asyncio.run(Seeding(options, author, schemas, progress).run(url))
    _report(options, author, made, time.monotonic() - began, console)


def _author(options: Options) -> Author:
    if not options.access_file.is_file():
        raise CannotRun(
            f"there is no access file {options.access_file}; name it with --access-file, or with --data the folder of "
            f"a `flowpin up`"
        )
    try:
        access = read_access_file(options.access_file)
    except AccessFileError as error:
        raise CannotRun(str(error)) from None
    project = _project(options, access)
    person = next((user for user in access.users if not user.service), None)
    if person is None:
        raise CannotRun(f"{options.access_file}: declares no person to make workflows for")
    return Author(project.id, project.environments[-1], person.id, person.display_name)


def _project(options: Options, access: AccessFile) -> Project:
    last = found(options.data).env().get("FLOWPIN_PROJECT_ID")
    wanted = str(options.project or last or next((project.id for project in access.projects), ""))
    for project in access.projects:
        if str(project.id) == wanted:
            return project
    known = ", ".join(str(project.id) for project in access.projects)
    raise CannotRun(f"{options.access_file} declares no project {wanted}; declared are: {known or 'none'}")


def _url(options: Options) -> str:
    if options.database_url is not None:
        asyncio.run(check_server(options.database_url))
        return options.database_url
    running = "start `flowpin up` on it first, or name your Postgres with --database-url"
    if holder(options.data) is None:
        raise CannotRun(f"`flowpin up` does not run on {options.data}; {running}")
    url = embedded_url(found(options.data))
    if url is None:
        raise CannotRun(f"the `flowpin up` on {options.data} has no Postgres of its own that runs; {running}")
    return url


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (
        TextColumn("Versions"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s")


class Seeding:
    """Seeds one database."""

    def __init__(self, options: Options, author: Author, schemas: Sequence[Schema], progress: Progress) -> None:
        self._options = options
        self._author = author
        self._schemas = schemas
        self._progress = progress
        self._task = progress.add_task("", total=options.workflows * options.versions)

    async def run(self, url: str) -> dict[str, Any]:
        made: dict[str, Any] = {"workflows": [], "apps": []}
        async with _connected(url) as db:
            await self._check_schemas(db, url)
            self._runtime = await repository.default_runtime(db)
            for histories in _groups(self._histories()):
                async with db.transaction():
                    await self._write(db, [history for _, history in histories])
                    apps = [app for index, history in histories for app in self._apps(index, history)]
                    await self._write_apps(db, apps)
                made["workflows"] += [_workflow_made(history) for _, history in histories]
                made["apps"] += [{"id": str(app.id), "workflow_id": str(app.workflow.id)} for app in apps]
            await repository.settle(db, [schema.name for schema in self._schemas])
        return made

    async def _check_schemas(self, db: Connection, url: str) -> None:
        for schema in self._schemas:
            if missing := schema.missing(await catalog.applied_migrations(db, schema.name)):
                raise CannotRun(
                    f"the schema {schema.name} in {url_without_password(url)} is older than the code or missing: "
                    f"{missing[0]} has not run. `flowpin up` runs it"
                )

    def _histories(self) -> Iterator[tuple[int, WorkflowHistory]]:
        run, options = secrets.token_hex(2), self._options
        for index in range(options.workflows):
            yield (
                index,
                WorkflowHistory(self._author, run, index, options.versions, options.size, options.archived_every),
            )

    def _apps(self, index: int, history: WorkflowHistory) -> list[AppHistory]:
        """The apps of the workflow. Apps are distributed over the workflows."""
        numbers = range(index, self._options.apps, self._options.workflows)
        return [AppHistory(history, number, self._runtime) for number in numbers]

    async def _write(self, db: Connection, histories: Sequence[WorkflowHistory]) -> None:
        await repository.append(db, "workflow", "workflows", [history.row for history in histories])
        hidden = [row for history in histories for row in history.hidden_rows]
        await repository.append(db, "workflow", "hidden_versions", hidden)
        rows = (row for history in histories for row in history.rows())
        while chunk := list(islice(rows, CHUNK)):
            await self._append_with_events(db, "workflow", "versions", chunk)
            self._progress.advance(self._task, len(chunk))

    async def _write_apps(self, db: Connection, apps: Sequence[AppHistory]) -> None:
        if not apps:
            return
        await repository.append(db, "deploy", "apps", [app.row for app in apps])
        await repository.keep_flows(db, (flow for app in apps for flow in app.flows))
        await self._append_with_events(db, "deploy", "deployments", [row for app in apps for row in app.rows()])

    async def _append_with_events(
        self, db: Connection, schema: str, table: str, rows: Sequence[tuple[Record, list[Record]]]
    ) -> None:
        await repository.append(db, schema, table, (record for record, _ in rows))
        await repository.append(db, schema, "audit_events", (event for _, events in rows for event in events))


def _groups(histories: Iterable[tuple[int, WorkflowHistory]]) -> Iterator[list[tuple[int, WorkflowHistory]]]:
    """Group workflows by transaction. Small workflows share one."""
    group: list[tuple[int, WorkflowHistory]] = []
    for index, history in histories:
        group.append((index, history))
        if sum(each.count for _, each in group) >= CHUNK:
            yield group
            group = []
    if group:
        yield group


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Connection]:
    try:
        db = await asyncpg.connect(url, timeout=10)
        try:
            await read_json_as_bytes(db)
            yield db
        finally:
            await db.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CannotRun(f"the database {url_without_password(url)} refused: {error}") from None


def _workflow_made(history: WorkflowHistory) -> dict[str, Any]:
    shown = {"first": 1, "middle": history.middle, "last": history.count}
    versions = {name: {"id": str(history.pins[number].id), "version": number} for name, number in shown.items()}
    return {"id": str(history.id), "name": history.name, "version_count": history.count, **versions}


def _report(options: Options, author: Author, made: dict[str, Any], seconds: float, console: Console) -> None:
    versions = options.workflows * options.versions
    if options.as_json:
        made = {"project_id": str(author.project_id), "seconds": round(seconds, 2), "versions": versions, **made}
        console.print(json.dumps(made, indent=1), markup=False, highlight=False, soft_wrap=True)
        return
    rate = f"{versions / seconds:,.0f} a second"
    lines = [f"Made {versions:,} versions in {seconds:.1f} s ({rate}), in project {author.project_id}:"]
    for row in made["workflows"][:SHOWN]:
        lines.append(f"  workflow {row['id']}  {row['name']}  v1 to v{row['version_count']}")
        lines.append(f"    first {row['first']['id']}  middle {row['middle']['id']}  last {row['last']['id']}")
    lines += [f"  app {row['id']} of workflow {row['workflow_id']}" for row in made["apps"][:SHOWN]]
    left = max(len(made["workflows"]) - SHOWN, 0), max(len(made["apps"]) - SHOWN, 0)
    if any(left):
        lines.append(f"  and {left[0]:,} more workflows and {left[1]:,} more apps; --json lists all")
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
