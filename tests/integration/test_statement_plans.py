"""Statements with a cached plan use an index, even when they are planned while their tables are small."""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from service_kit.connection import BoundedConnection
from service_kit.db import open_pool
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually
from tests.support.workflows import body_of, flow_of, save_request

pytestmark = pytest.mark.load


Statements = dict[str, set[str]]
"""By the name of the connection that they were sent on."""
KEEPS_ITS_PLAN = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
SLOW = {"Seq Scan", "Hash Join", "Merge Join"}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Statements:
    """Every statement that a service in this process sends from now on."""
    found: Statements = defaultdict(set)
    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        monkeypatch.setattr(BoundedConnection, name, recorded(getattr(BoundedConnection, name), found))
    return found


def recorded(method: Any, found: Statements) -> Any:
    async def record(self: BoundedConnection, statement: str, *args: Any, **options: Any) -> Any:
        found[self.get_settings().application_name].add(statement)
        return await method(self, statement, *args, **options)

    return record


async def use_everything(stack: Stack) -> None:
    """Call each kind of read and change of a single object."""
    key = {"Idempotency-Key": "once"}
    project = str(stack.people.project)
    workflow, (first, second) = await stack.workflow(saves=2)
    path = f"/v1/workflows/{workflow['id']}"
    for version in (first["id"], "1", "latest"):
        await stack.ok("GET", f"{path}/versions/{version}")
        request = workflow_pb2.GetVersionRequest(workflow_id=workflow["id"], version=version)
        await stack.workflows.GetVersion(request, metadata=stack.as_())
    await stack.workflows.SaveWorkflow(save_request(workflow["id"]), metadata=stack.as_())
    third = await stack.ok("POST", f"{path}/save", body_of(flow_of("third")), headers=key)
    await stack.ok("POST", f"{path}/save", body_of(base_version_id=third["id"]))
    await stack.ok("PUT", path, {"name": "renamed"})
    await stack.ok("GET", path)
    await stack.ok("POST", f"{path}/versions/1/restore", {})
    await stack.ok("POST", f"{path}/versions/2/archive", {})
    await stack.ok("POST", f"{path}/versions/2/unarchive", {})
    await stack.ok("POST", f"{path}/fork", {"name": "fork"})
    await stack.ok("PUT", f"{path}/versions/2/note", {"note": "fine"})
    for label in (first["id"], third["id"]):
        await stack.ok("PUT", f"{path}/labels/a", {"workflow_version_id": label}, headers=key)
        key = {"Idempotency-Key": "twice"}
    for call in ("labels/a", "versions/@a"):
        await stack.ok("GET", f"{path}/{call}")
    await stack.ok("POST", f"{path}/versions/@a/restore", {})
    await stack.ok("DELETE", f"{path}/labels/a")
    draft = await stack.draft(name="draft")
    await stack.ok("POST", f"/v1/workflows/{draft['id']}/release", body_of(name="released"))

    app = await stack.app(workflow["id"], workflow_version_id=first["id"])
    at = f"/v1/apps/{app['id']}"
    await stack.ok("GET", at)
    deploy = {"workflow_id": workflow["id"], "workflow_version_id": second["id"]}
    await stack.ok("POST", f"{at}/deploy/plan", deploy)
    deployed = await stack.ok("POST", f"{at}/deploy", deploy, headers=key)

    async def is_live() -> bool:
        return bool((await stack.ok("GET", f"{at}/deployments/{deployed['id']}"))["live"])

    await eventually(is_live)
    await stack.ok("POST", f"/v1/deployments/{deployed['id']}/health", {"health": "good"})
    await stack.ok("POST", f"{at}/rollback", {})
    await stack.ok("PUT", at, {"description": "changed"})
    await stack.ok("POST", f"{at}/archive", {})
    await stack.ok("POST", f"{at}/unarchive", {})
    made = await stack.ok("POST", "/v1/access-keys", {"project_id": project, "name": "key"})
    await stack.ok("DELETE", f"/v1/access-keys/{made['id']}")
    await stack.ok("DELETE", f"{path}/versions/2")
    await stack.ok("DELETE", at)
    await stack.ok("DELETE", path)


def tables_read_slowly(plan: Any) -> Iterator[str]:
    if plan["Node Type"] in SLOW:
        yield f"{plan['Node Type']} {plan.get('Relation Name', '')}".rstrip()
    for below in plan.get("Plans", []):
        yield from tables_read_slowly(below)


async def test_every_statement_with_a_cached_plan_uses_an_index(unstarted: Stack, sent: Statements):
    async with running_stack(unstarted) as stack:
        await use_everything(stack)
        for service in stack.schemas:
            async with stack.database("admin", service) as admin:
                await admin.execute("ANALYZE")

    slow: dict[str, list[str]] = {}
    explained = 0
    for service, schema in unstarted.schemas.items():
        async with open_pool(unstarted.urls["admin"], schema, 1, one_plan=True) as pool, pool.acquire() as db:
            for statement in sent[f"flowpin {schema}"]:
                if statement.split(maxsplit=1)[0] in KEEPS_ITS_PLAN:
                    asked = await db.prepare(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {statement}")
                    plan = await asked.fetchval(*[None] * len(asked.get_parameters()))
                    explained += 1
                    if found := list(tables_read_slowly(json.loads(plan)[0]["Plan"])):
                        slow[f"{service}: {statement}"] = found

    assert explained > 40
    assert slow == {}
