"""A secret in a connection is in its flow only, and in no ZIP, error, log line, metric or audit event."""

import io
import json
import logging
import socket
import zipfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import structlog

from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.canary_flows import (
    BAD_CONFIGS,
    BAD_FLOWS,
    CANARY,
    CLASSES,
    LIMIT,
    LOADABLE,
    SHAPES,
    config_with,
    flow_with,
    refused,
    saved,
)
from tests.support.stack import FLOW_UI, Answer, Stack, running_stack

pytestmark = pytest.mark.slow

KEPT = ("flow", "flow_ui")
"""Where a caller reads back his own flow."""


@dataclass
class Overheard:
    """Everything that left a process, such as answers and log lines, by its kind."""

    stack: Stack
    metrics: str
    logged: list[str]
    heard: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)

    def hear(self, what: str, said: bytes | str) -> None:
        self.heard[f"{len(self.heard)}: {what}"] = said.encode() if isinstance(said, str) else said

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """Make one call. Everything in its answer except the caller's own flow is recorded."""
        answer = await self.stack.rest(method, path, body, **options)
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        what = f"{method} {path} {str(body)[:200]} -> {answer.status}"
        self.hear(f"{what}, headers", repr(list(answer.headers.items())))
        if "octet-stream" in answer.headers.get("Content-Type", ""):
            with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                for name in archive.namelist():
                    self.hear(f"{what}, {name}", archive.read(name))
        elif answer.status < 300 and "/diff/" not in path:
            rest = {**answer.body, "data": without_flow(answer.body["data"])} if "data" in answer.body else answer.body
            self.hear(what, json.dumps(rest, ensure_ascii=False))
        else:
            self.hear(what, answer.content if answer.status >= 300 else b"")
        return answer

    async def ok(self, *arguments: Any, **options: Any) -> Any:
        answer = await self.call(*arguments, **options)
        assert answer.status < 300, (arguments[:2], answer.status, answer.content[:2000])
        return answer.body["data"] if answer.content[:1] == b"{" else answer.content

    async def rpc(self, what: str, call: Any) -> None:
        """Make one call over gRPC. Of a refusal, the code, message, details and trailers are recorded."""
        try:
            response = await call
        except grpc.aio.AioRpcError as error:
            trailers = b"".join(v if isinstance(v, bytes) else v.encode() for _, v in error.trailing_metadata() or ())
            self.hear(what, f"{error.code()} {error.details()} {error.debug_error_string()}".encode() + trailers)
        else:
            for name in KEPT:
                if name in response.data.DESCRIPTOR.fields_by_name:
                    response.data.ClearField(name)
            self.hear(what, str(response))

    async def leaks(self) -> list[str]:
        """The places of the canary in recorded answers, metrics, logs and the audit of both services."""
        async with self.stack.session.get(self.metrics) as response:
            self.hear("metrics", await response.read())
        for service in ("workflow", "deploy"):
            async with self.stack.database("admin", service) as db:
                self.hear(f"audit of {service}", repr(await db.fetch("SELECT * FROM audit_events")))
        assert {"rpc_handled", "request_handled"} <= {
            json.loads(line).get("event") for line in self.logged if line[0] == "{"
        }
        self.hear("logs", "\n".join(self.logged))
        return [
            f"{what}: …{said[max(0, place - 100) : place + 40]!r}…"
            for what, said in self.heard.items()
            if (place := said.lower().find(CANARY.lower().encode())) >= 0
        ]


def without_flow(data: Any) -> Any:
    return {key: value for key, value in data.items() if key not in KEPT} if isinstance(data, dict) else data


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """All lines that structlog or the standard library logs during the test, at any level."""
    lines: list[str] = []

    def keep(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
        lines.append(json.dumps(event, default=repr, ensure_ascii=False))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, keep],
        cache_logger_on_first_use=False,
    )
    with caplog.at_level(logging.DEBUG):
        yield lines
        lines += [record.getMessage() for record in caplog.records]
    structlog.configure(**before)


@pytest.fixture
async def overheard(unstarted: Stack, logged: list[str]) -> AsyncIterator[Overheard]:
    """A stack whose output is recorded. Its services share one process, so one port has all metrics."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
    settings = {"metrics_listen": address, "max_flow_bytes": LIMIT}
    async with running_stack(unstarted, workflow=settings, front={"max_body_bytes": 3 * LIMIT}) as stack:
        yield Overheard(stack, f"http://{address}/metrics", logged)


async def live(overheard: Overheard, secret: Any) -> None:
    """Take a workflow with this secret in every field of every class from its draft to its third deployment."""
    ok, project = overheard.ok, str(overheard.stack.people.project)
    body = saved(flow_with(secret))
    named = {"name": "flow", "project_id": project}
    draft = await ok("POST", "/v1/workflows", {**body, **named})
    workflow = f"/v1/workflows/{draft['id']}"
    first = await ok("POST", f"{workflow}/release", {**body, "name": "flow"})
    second = await ok("POST", f"{workflow}/save", saved(flow_with(secret, "second")))
    base = {"base_version_id": first["latest_version"]["id"]}
    conflict = await overheard.call("POST", f"{workflow}/save", saved(flow_with(secret, "third"), **base))
    assert (conflict.status, conflict.error["details"]["nodes"]) == (409, "input")
    assert (await overheard.call("POST", f"{workflow}/release", {**body, "name": "flow"})).status == 400
    # Most classes take the secret in some fields only, so the SDK would not load the flow.
    assert not (await ok("POST", "/v1/workflows/validate", body))["valid"]
    assert (await overheard.call("POST", "/v1/workflows/export", {**body, **named})).status == 400
    assert (await overheard.call("GET", f"{workflow}/versions/1/export")).status == 400
    await ok("POST", "/v1/workflows/export", {**body, **named, "flow": LOADABLE})
    for path in ("versions", "versions/1", "versions/1/diff/2", "audit-events", ""):
        await ok("GET", f"{workflow}/{path}".rstrip("/"))
    await ok("POST", f"{workflow}/versions/1/restore")
    await ok("POST", f"{workflow}/fork", {**body, "name": "fork"})
    await ok("POST", f"{workflow}/fork", {"name": "fork", "workflow_version_id": second["id"]})
    key = {"Idempotency-Key": "once"}
    assert (await overheard.call("POST", "/v1/workflows", {**body, **named}, headers=key)).status == 201
    assert (await overheard.call("POST", "/v1/workflows", {**body, **named}, headers=key)).status == 201
    assert (await overheard.call("POST", "/v1/workflows", {**body, "name": "x"} | named, headers=key)).status == 201
    assert (await overheard.call("POST", "/v1/workflows", {**body, **named, "name": "x"}, headers=key)).status == 409
    await imported(overheard, secret)

    app = await ok("POST", "/v1/apps", {**named, "name": "app", "workflow_id": draft["id"]})
    path, order = f"/v1/apps/{app['id']}", {"workflow_id": draft["id"], "workflow_version_id": second["id"]}
    plan = await ok("POST", f"{path}/deploy/plan", order)
    await ok("POST", f"{path}/deploy", {**order, "plan_token": plan["plan_token"]})
    assert (await overheard.call("POST", f"{path}/deploy", {**order, "plan_token": plan["plan_token"]})).status == 409
    await ok("POST", f"{path}/rollback", {"deployment_id": app["latest_deployment_id"]})
    for more in ("", "/deployments", "/audit-events"):
        await ok("GET", path + more)


async def imported(overheard: Overheard, secret: Any) -> None:
    """Import configs with the secret into a workflow and export them."""
    project = str(overheard.stack.people.project)
    body = {"name": "flow", "project_id": project, "config": config_with(secret)}
    answer = await overheard.call("POST", "/v1/workflows/import", body)
    if secret == SHAPES["default"]:
        assert answer.status == 400  # a config writes a variable as ${oc.env:NAME}
    else:
        flow = answer.data["flow"]
        assert CANARY in json.dumps(flow)
        await overheard.call("POST", "/v1/workflows/export", {"project_id": project, "flow": flow, "flow_ui": {}})


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_secret_of_any_connection_class_is_only_in_its_flow(overheard: Overheard, shape: str):
    assert len(CLASSES) == 79

    await live(overheard, SHAPES[shape])

    assert await overheard.leaks() == []


async def test_a_refusal_over_rest_shows_no_field_of_a_connection(overheard: Overheard):
    stack = overheard.stack
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])

    for method, path, body, headers in refused(stack, workflow["id"], app["id"]):
        token = None if "Authorization" in headers else "admin"
        await overheard.call(method, path, body, headers=headers, token=token)

    assert {400, 401, 404, 405, 409, 413} <= overheard.statuses.keys() <= {200, 201, 400, 401, 404, 405, 409, 413}
    assert await overheard.leaks() == []


async def test_a_refusal_over_grpc_shows_no_field_of_a_connection(overheard: Overheard):
    stack = overheard.stack
    workflow, _ = await stack.workflow()
    metadata, project = stack.as_(), str(stack.people.project)

    for flow in map(pb_json, BAD_FLOWS):
        canvas = {"flow": flow, "flow_ui": pb_json(FLOW_UI)}
        for rpc, fields in (
            ("CreateWorkflow", {"name": "flow", "project_id": project, **canvas}),
            ("SaveWorkflow", {"workflow_id": workflow["id"], **canvas}),
            ("ForkWorkflow", {"workflow_id": workflow["id"], "name": "fork", **canvas}),
            ("ValidateFlow", {"flow": flow}),
            ("ExportWorkflow", {"project_id": project, "flow": flow}),
        ):
            await overheard.rpc(
                rpc, getattr(stack.workflows, rpc)(getattr(pb, f"{rpc}Request")(**fields), metadata=metadata)
            )
    for config in BAD_CONFIGS:
        request = pb.ImportWorkflowRequest(name="flow", project_id=project, config=config)
        await overheard.rpc("ImportWorkflow", stack.workflows.ImportWorkflow(request, metadata=metadata))

    assert await overheard.leaks() == []


def pb_json(utf8: bytes) -> pb.Json:
    return pb.Json(utf8=utf8)
