"""A history with every kind of change, made through the services, and a way to restore its rows."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import deploy_service
import workflow_service
from flowpin_cli.verify.check import Finding
from flowpin_cli.verify.run import Report, verify
from flowpin_cli.verify.snapshot import Source
from service_kit.ids import new_id
from tests.support.paths import DATA
from tests.support.stack import FLOW, FLOW_UI, Stack
from tests.support.waiting import eventually

SCRIPTED = {"rollout_driver": "scripted", "rollout_script": "ok,ok,ok,fail,ok,hang"}
MIGRATIONS = {"workflow": workflow_service.MIGRATIONS, "deploy": deploy_service.MIGRATIONS}


@dataclass(frozen=True)
class History:
    """The ids in a history that tests name."""

    names: Mapping[str, str]
    """Ids of `workflow`, its versions `v1` to `v6`, another workflow `other`, `app`, its deployments `d1` to `d6`."""


def keyed() -> dict[str, str]:
    return {"Idempotency-Key": str(new_id())}


async def make_history(stack: Stack) -> History:
    """Make the history on a stack whose deploy service runs with SCRIPTED."""
    workflow = await stack.draft(project=stack.people.staged, headers=keyed())
    path = f"/v1/workflows/{workflow['id']}"
    versions = [await stack.save(workflow["id"], f"save {number}", headers=keyed()) for number in range(1, 7)]
    await stack.ok("PUT", path, {"name": "renamed"})
    for verb in ("archive", "unarchive", "archive"):
        await stack.ok("POST", f"{path}/versions/2/{verb}")
    await stack.ok("POST", f"{path}/versions/4/archive")
    for number in (4, 5):
        await stack.rest("DELETE", f"{path}/versions/{number}")
    await stack.ok("POST", f"{path}/versions/1/restore", headers=keyed())
    for number in (2, 1):
        body = {"workflow_version_id": versions[number - 1]["id"]}
        await stack.ok("PUT", f"{path}/labels/production", body, headers=keyed())
    await stack.ok("PUT", f"{path}/labels/removed", body)
    await stack.rest("DELETE", f"{path}/labels/removed")
    for note in ("good", "good", "not so good", ""):
        await stack.ok("PUT", f"{path}/versions/1/note", {"note": note})
    await stack.ok("POST", f"{path}/fork", {"name": "fork"}, headers=keyed())
    gone = await stack.draft("gone", headers=keyed())
    await stack.rest("DELETE", f"/v1/workflows/{gone['id']}")
    hidden, _ = await stack.workflow(name="hidden")
    await stack.rest("DELETE", f"/v1/workflows/{hidden['id']}")
    await stack.draft("draft")
    await _release(stack)
    app = await _make_app(stack, workflow["id"], versions)
    await _make_others(stack)
    deployments = await stack.ok("GET", f"/v1/apps/{app}/deployments")
    names = {"workflow": workflow["id"], "other": hidden["id"], "app": app}
    names |= {f"v{number}": version["id"] for number, version in enumerate(versions, 1)}
    names |= {f"d{number}": row["id"] for number, row in enumerate(reversed(deployments), 1)}
    return History(names)


async def _release(stack: Stack) -> None:
    """Release a draft, and release after a save as the official client does."""
    body = {"name": "released", "flow": json.loads(FLOW), "flow_ui": json.loads(FLOW_UI)}
    draft = await stack.draft("released")
    await stack.ok("POST", f"/v1/workflows/{draft['id']}/release", body, headers=keyed())
    saved = await stack.draft("saved")
    await stack.ok("POST", f"/v1/workflows/{saved['id']}/save", body)
    official = {"User-Agent": "dynamiq-cli/0.5"}
    await stack.ok("POST", f"/v1/workflows/{saved['id']}/release", body, headers=official)
    config = (DATA / "config.yaml").read_text()
    project = str(stack.people.project)
    imported = {"project_id": project, "name": "imported", "config": config}
    await stack.ok("POST", "/v1/workflows/import", imported, headers=keyed())


async def _make_app(stack: Stack, workflow_id: str, versions: Sequence[Any]) -> str:
    """Six deployments: in staging, promoted, newer, failed, a rollback, and canceled."""
    fields = {"name": "app", "project_id": str(stack.people.staged), "workflow_id": workflow_id}
    first = {"environment": "staging", "workflow_version_id": versions[1]["id"]}
    app = await stack.ok("POST", "/v1/apps", {**fields, **first}, headers=keyed())
    path = f"/v1/apps/{app['id']}"
    await _settled(stack, path)
    await _made(stack, path, "promote", {})
    await _made(stack, path, "deploy", {"workflow_id": workflow_id, "workflow_version_id": versions[5]["id"]})
    await _made(stack, path, "deploy", {"workflow_id": workflow_id, "workflow_version_id": versions[0]["id"]})
    await _made(stack, path, "rollback", {})
    newest = await stack.ok("POST", f"{path}/deploy", {"workflow_id": workflow_id}, headers=keyed())
    await stack.ok("POST", f"/v1/deployments/{newest['id']}/cancel")
    history = await stack.ok("GET", f"{path}/deployments")
    for place, health in ((1, "bad"), (1, "good"), (3, "bad")):
        await stack.ok("POST", f"/v1/deployments/{history[place]['id']}/health", {"health": health})
    await stack.ok("PUT", path, {"name": "renamed"})
    return str(app["id"])


async def _made(stack: Stack, path: str, verb: str, body: Any) -> None:
    await stack.ok("POST", f"{path}/{verb}", body, headers=keyed())
    await _settled(stack, path)


async def _settled(stack: Stack, path: str) -> None:
    async def is_settled() -> bool:
        return all("finished_at" in row for row in await stack.ok("GET", f"{path}/deployments"))

    await eventually(is_settled, 10)


OPERATOR = {"token": "operator"}


async def _make_others(stack: Stack) -> None:
    project = {"project_id": str(stack.people.project)}
    workflow, _ = await stack.workflow(saves=2)
    for verb in ("archive", "DELETE"):
        app = await stack.app(workflow["id"])
        await _settled(stack, f"/v1/apps/{app['id']}")
        path = f"/v1/apps/{app['id']}"
        await (stack.rest("DELETE", path) if verb == "DELETE" else stack.ok("POST", f"{path}/{verb}"))
    assert (await stack.save(workflow["id"], "save 1"))["identical_to"] == 1
    await stack.rest("DELETE", f"/v1/workflows/{workflow['id']}/versions/1")
    for name in ("kept", "revoked"):
        key = await stack.ok("POST", "/v1/access-keys", {**project, "name": name}, headers=keyed())
    await stack.rest("DELETE", f"/v1/access-keys/{key['id']}")
    runtime = await stack.ok(
        "POST", "/v1/runtimes", {"version": f"r-{new_id()}", "label": "new"}, headers=keyed(), token="operator"
    )
    for change in ({"label": "newer"}, {"deprecated": True}):
        await stack.ok("PUT", f"/v1/runtimes/{runtime['id']}", change, **OPERATOR)
    # The default moves to the other runtime and back. Each move is one change of one runtime.
    newest = await stack.ok(
        "POST", "/v1/runtimes", {"version": f"r-{new_id()}", "label": "newest", "default": True}, token="operator"
    )
    default = next(each for each in await stack.ok("GET", "/v1/runtimes") if each["version"] == "0.69")
    await stack.ok("PUT", f"/v1/runtimes/{default['id']}", {"default": True}, **OPERATOR)
    await stack.ok("PUT", f"/v1/runtimes/{newest['id']}", {"deprecated": True}, **OPERATOR)


async def verified(stack: Stack, role: str = "admin") -> Report:
    """Run the checks on a test's schemas."""
    sources = [
        Source(
            service, stack.urls[role if role == "admin" else f"flowpin_{service}"], schema, MIGRATIONS[service]
        )
        for service, schema in stack.schemas.items()
    ]  # fmt: skip
    return await verify(sources)


def findings_of(report: Report) -> dict[str, list[Finding]]:
    """The findings by check, without checks that found nothing."""
    return {result.check.name: result.outcome.findings for result in report.results if result.outcome.found}


@asynccontextmanager
async def rows_kept(stack: Stack) -> AsyncIterator[None]:
    """Copy every row of both services, and restore them when the block ends."""
    tables = {service: await _tables(stack, service) for service in stack.schemas}
    for service, names in tables.items():
        async with stack.database("admin", service) as db:
            await db.execute(f"CREATE SCHEMA kept_{stack.schemas[service]}")
            for name in names:
                await db.execute(f"CREATE TABLE kept_{stack.schemas[service]}.{name} AS TABLE {name}")
    try:
        yield
    finally:
        for service, names in tables.items():
            async with stack.database("admin", service) as db, db.transaction():
                await db.execute("SET LOCAL session_replication_role = replica")
                await db.execute(f"TRUNCATE {', '.join(names)}")
                for name in names:
                    await db.execute(f"INSERT INTO {name} SELECT * FROM kept_{stack.schemas[service]}.{name}")
                await db.execute(f"DROP SCHEMA kept_{stack.schemas[service]} CASCADE")


async def broken(stack: Stack, service: str, *statements: str) -> None:
    """Run statements as the superuser, without triggers and checks of references."""
    async with stack.database("admin", service) as db, db.transaction():
        await db.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            done = await db.execute(statement)
            assert done not in ("UPDATE 0", "DELETE 0", "INSERT 0 0"), statement


async def _tables(stack: Stack, service: str) -> list[str]:
    async with stack.database("admin", service) as db:
        rows = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", stack.schemas[service])
    return [row["tablename"] for row in rows]
