"""Helpers of tests of apps and deployments."""

import asyncio
import json
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

from service_kit.ids import new_id
from tests.support.stack import FLOW, FLOW_UI, Answer, Stack
from tests.support.waiting import eventually

SERVERLESS = {"deployment_type": "serverless", "config": {}}
TWO_TO_FIVE = {
    "deployment_type": "server_based",
    "config": {
        "autoscaling": {
            "min_replicas": 2,
            "max_replicas": 5,
            "metrics": [
                {
                    "type": "resource",
                    "resource": {"name": "cpu", "target": {"type": "utilization", "average_utilization": 60}},
                }
            ],
        }
    },
}


async def app_now(stack: Stack, app_id: str) -> Any:
    return await stack.ok("GET", f"/v1/apps/{app_id}")


async def history(stack: Stack, app_id: str, query: str = "") -> Any:
    """The whole history, newest first."""
    return await stack.ok("GET", f"/v1/apps/{app_id}/deployments?page_size=500&{query}")


async def deployment_now(stack: Stack, deployment: Any) -> Any:
    return await stack.ok("GET", f"/v1/apps/{deployment['app_id']}/deployments/{deployment['id']}")


async def bodies(stack: Stack, app_id: str) -> dict[str, bytes]:
    """All answers about an app, as sent over the wire."""
    app = f"/v1/apps/{app_id}"
    paths = [app, f"{app}/deployments"]
    paths += [f"{app}/deployments/{row['id']}" for row in await history(stack, app_id)]
    return {path: (await stack.rest("GET", path)).content for path in paths}


async def until_ended(stack: Stack, deployment: Any, seconds: float = 5) -> Any:
    """Wait until the rollout has ended. Returns the deployment."""

    async def is_finished() -> bool:
        return "finished_at" in await deployment_now(stack, deployment)

    await eventually(is_finished, seconds)
    return await deployment_now(stack, deployment)


async def until_deploying(stack: Stack, deployment: Any) -> None:
    """Wait until a replica works on it."""

    async def is_deploying() -> bool:
        return (await deployment_now(stack, deployment))["status"] == "deploying"

    await eventually(is_deploying)


async def cancel(stack: Stack, deployment: Any) -> Answer:
    return await stack.rest("POST", f"/v1/deployments/{deployment['id']}/cancel")


async def add_runtime(stack: Stack, version: str, *, deprecated: bool = False) -> str:
    runtime_id = new_id()
    async with stack.database("admin", "deploy") as db:
        await db.execute(
            "INSERT INTO runtimes (id, version, label, deprecated) VALUES ($1, $2, 'Dynamiq ' || $2, $3)",
            runtime_id,
            version,
            deprecated,
        )
    return str(runtime_id)


async def deprecate(stack: Stack, runtime_id: str) -> None:
    async with stack.database("admin", "deploy") as db:
        await db.execute("UPDATE runtimes SET deprecated = true WHERE id = $1", runtime_id)


async def foreign_workflow(stack: Stack) -> tuple[str, str]:
    """The ids of a workflow and its version in the project that only the stranger sees."""
    draft = await stack.draft(project=stack.people.foreign, token="stranger")
    version = await stack.save(draft["id"], token="stranger")
    return draft["id"], version["id"]


async def save_exactly(stack: Stack, workflow_id: str, flow: bytes) -> Any:
    body = b'{"flow":' + flow + b',"flow_ui":' + FLOW_UI + b"}"
    return await stack.ok("POST", f"/v1/workflows/{workflow_id}/save", body)


async def stored_flow(stack: Stack, deployment: Any) -> bytes:
    """The flow as the deploy service stores it."""
    digest = bytes.fromhex(deployment["workflow_version"]["digest"].removeprefix("sha256:"))
    async with stack.database("admin", "deploy") as db:
        kept: bytes = await db.fetchval(
            "SELECT flow FROM flows WHERE digest = $1 AND project_id = $2", digest, stack.people.project
        )
    return kept


def odd_flow() -> bytes:
    """Numbers, white space and escapes that a JSON library would write differently."""
    return b'{ "odd" : [9007199254740993, 1E2, "\\u0000\\u00e9"],\n' + json.dumps(json.loads(FLOW))[1:].encode()


def assert_chain(spans: list[Any]) -> None:
    """Check `spans`, oldest first: each begins when the one before ends, and the last is live."""
    for before, after in pairwise(spans):
        assert before["live_to"] == after["live_from"]
        assert datetime.fromisoformat(before["live_from"]) < datetime.fromisoformat(before["live_to"])
        assert not before["live"]
    assert spans[-1]["live"]
    assert "live_to" not in spans[-1]


def rollouts_in_progress() -> int:
    """Rollouts that services in this process work on."""
    tasks = (task.get_coro() for task in asyncio.all_tasks())
    return sum(getattr(coro, "__qualname__", "") == "RolloutWorker._work" for coro in tasks)


def unknown() -> str:
    return str(new_id())


def uuid(value: str) -> UUID:
    return UUID(value)
