"""Bad input gets a clear error and changes nothing, over REST and over gRPC."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import pytest

from service_kit.errors import ServiceError
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from tests.support.bad_input import bodies, configs, deploys, flows, ids, lists, orders, texts, tokens
from tests.support.bad_input.flows import LIMIT
from tests.support.bad_input.good import GOOD
from tests.support.bad_input.table import Bad, Good, Rest, Rpc, fill
from tests.support.stack import Answer, Stack, fresh_stack, running_stack

TABLES = (bodies, configs, deploys, flows, ids, lists, orders, texts, tokens)
HTTP = {
    "INVALID_ARGUMENT": (400, "bad_request"),
    "FAILED_PRECONDITION": (400, "bad_request"),
    "UNAUTHENTICATED": (401, "unauthorized"),
    "PERMISSION_DENIED": (403, "forbidden"),
    "NOT_FOUND": (404, "not_found"),
    "ALREADY_EXISTS": (409, "conflict"),
    "ABORTED": (409, "conflict"),
}
NEVER_TOLD = ("Traceback", "asyncpg", "SELECT ", "127.0.0.1", "postgres", "dyn_pat_admin", ".py", "/tmp/")


@dataclass(frozen=True)
class World:
    """A running stack with one row of each kind, and the ids of these rows."""

    stack: Stack
    known: Mapping[str, str]
    row_counts: Callable[[], Awaitable[dict[str, int]]]

    async def rest(self, sent: Rest) -> Answer:
        path, body = fill(sent.path, self.known), fill(sent.body, self.known)
        return await self.stack.rest(sent.method, path, body, token=sent.token, headers=sent.headers)

    async def rpc(self, sent: Rpc) -> Any:
        for pb, stub in (
            (workflow_pb2, self.stack.workflows),
            (deploy_pb2, self.stack.deploys),
            (identity_pb2, self.stack.identity),
        ):
            request = getattr(pb, f"{sent.name}Request", None)
            if request and set(sent.fields) <= set(request.DESCRIPTOR.fields_by_name):  # two share a name
                metadata = self.stack.as_(sent.token) if sent.token else ()
                call = getattr(stub, sent.name)
                return await call(
                    request(**fill(sent.fields, self.known)), metadata=(*metadata, *sent.metadata.items()), timeout=10
                )
        raise LookupError(sent.name)


@pytest.fixture(scope="module")
async def world(database_urls: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with (
        fresh_stack(database_urls, tmp_path_factory.mktemp("people")) as unstarted,
        running_stack(unstarted, workflow={"max_flow_bytes": LIMIT}) as stack,
        stack.counting_rows() as row_counts,
    ):
        yield World(stack, await populated(stack), row_counts)


async def populated(stack: Stack) -> dict[str, str]:
    people = stack.people
    workflow, versions = await stack.workflow(saves=2)
    other, other_versions = await stack.workflow(saves=1)
    theirs = await stack.draft(project=people.foreign, token="stranger")
    their_version = await stack.save(theirs["id"], token="stranger")
    draft, app, other_app = await stack.draft(), await stack.app(workflow["id"]), await stack.app(workflow["id"])
    their_app = await stack.ok(
        "POST",
        "/v1/apps",
        {"name": "theirs", "project_id": str(people.foreign), "workflow_id": theirs["id"]},
        token="stranger",
    )
    return {
        "nobody": str(uuid4()),
        "project": str(people.project),
        "foreign_project": str(people.foreign),
        "foreign_org": str(people.foreign_org),
        "workflow": workflow["id"],
        "upper_workflow": workflow["id"].upper(),
        "version": versions[-1]["id"],
        "old_version": versions[0]["id"],
        "other_workflow": other["id"],
        "other_version": other_versions[0]["id"],
        "foreign_workflow": theirs["id"],
        "foreign_version": their_version["id"],
        "draft": draft["id"],
        "app": app["id"],
        "deployment": app["latest_deployment_id"],
        "other_app": other_app["id"],
        "other_deployment": other_app["latest_deployment_id"],
        "foreign_app": their_app["id"],
        "foreign_deployment": their_app["latest_deployment_id"],
    }


@dataclass(frozen=True)
class Refused:
    """A refusal: the gRPC code or the HTTP status and code, the reason, the named fields, and everything as text."""

    code: str | tuple[int, str]
    reason: str | None
    fields: tuple[str, ...]
    text: str


@pytest.mark.parametrize("bad", [row for table in TABLES for row in table.BAD], ids=str)
async def test_bad_input_is_refused_and_changes_nothing(world: World, bad: Bad):
    before = await world.row_counts()

    refused = await (by_gateway(world, bad.sent) if isinstance(bad.sent, Rest) else by_service(world, bad.sent))

    assert refused.code == (bad.http or HTTP[bad.code] if isinstance(bad.sent, Rest) else bad.code), refused.text
    assert refused.reason == bad.reason, refused.text
    assert bad.fields is None or refused.fields == tuple(sorted(bad.fields)), refused.text
    assert not [word for word in NEVER_TOLD if word in refused.text]
    assert await world.row_counts() == before


async def by_gateway(world: World, sent: Rest) -> Refused:
    """Read a refusal over REST. An answer without the error envelope fails the test."""
    answer = await world.rest(sent)
    assert answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.body.keys() == {"error"}, answer.content[:500]
    assert answer.error.keys() in ({"code", "message"}, {"code", "message", "details"})
    details = dict(answer.error.get("details", {}))
    assert all(isinstance(text, str) and text for text in (answer.error["message"], *details.values()))
    reason = details.pop("reason", None)
    return Refused((answer.status, answer.error["code"]), reason, tuple(sorted(details)), answer.content.decode())


async def by_service(world: World, sent: Rpc) -> Refused:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.rpc(sent)
    error = ServiceError.from_rpc_error(caught.value)
    assert error.message == caught.value.details()
    text = json.dumps([error.message, dict(error.fields), dict(error.metadata)])
    return Refused(caught.value.code().name, error.reason, tuple(sorted(error.fields)), text)


@pytest.mark.parametrize("good", GOOD, ids=str)
async def test_unusual_but_valid_input_is_accepted(world: World, good: Good):
    if isinstance(good.sent, Rpc):
        assert await world.rpc(good.sent)
        return

    answer = await world.rest(good.sent)

    assert answer.status == good.status, answer.content[:500]


def saving(flow: bytes, flow_ui: bytes = b"{}") -> bytes:
    return b'{"flow": ' + flow + b', "flow_ui": ' + flow_ui + b"}"


async def test_a_document_may_have_sixteen_mebibytes_by_default(stack: Stack):
    save = f"/v1/workflows/{(await stack.draft())['id']}/save"
    largest, larger = (flows.padded(size).encode() for size in (16 << 20, (16 << 20) + 1))

    fits = await stack.rest("POST", save, saving(largest, largest))
    after = await stack.row_counts()
    refused = [
        await stack.rest("POST", save, body) for body in (saving(larger), saving(b"{}", larger), b" " * (35 << 20))
    ]

    assert fits.status == 200
    assert [(answer.status, answer.error["code"]) for answer in refused] == [(413, "payload_too_large")] * 3
    assert [list(answer.error.get("details", {})) for answer in refused] == [
        ["flow", "reason"],
        ["flow_ui", "reason"],
        [],
    ]
    assert await stack.row_counts() == after


async def test_a_message_over_the_grpc_limit_is_refused(stack: Stack):
    workflow = await stack.draft()
    before = await stack.row_counts()
    request = workflow_pb2.SaveWorkflowRequest(workflow_id=workflow["id"], flow={"utf8": b" " * (37 << 20)})

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stack.workflows.SaveWorkflow(request, metadata=stack.as_())

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await stack.row_counts() == before
