"""Tests a flow: runs it once, in a new replica on the default runtime. The replica ends with the run."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from google.api.httpbody_pb2 import HttpBody

from run_service.answering import answer_of
from run_service.calling import call_of
from run_service.errors import AppNotInProject
from run_service.hosting.client import ReplicaSpec, RunEvent
from run_service.model import Run
from run_service.parts import Parts
from run_service.router.call_body import Call
from run_service.supply.routes import MadeFrom
from run_service.workflow_client import Metadata
from service_kit.access.caller import Caller
from service_kit.fields import optional, optional_id
from service_kit.ids import new_id
from service_kit.pb.flowpin.run.v1 import run_pb2 as pb
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2

LEAST_RUN_SECONDS = 1.0
"""Minimum time for the run itself, even if the start took long."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The flow under test."""

    project_id: UUID
    loadable: workflow_pb2.Loadable
    version_id: UUID | None = None
    version_number: int | None = None


@dataclass(frozen=True, slots=True)
class Borrowed:
    """The app and environment whose variables the flow gets."""

    app_id: UUID
    environment: str


async def test_workflow(
    request: pb.TestWorkflowRequest, caller: Caller, metadata: Metadata, parts: Parts
) -> AsyncGenerator[HttpBody, None]:
    """The answer's messages. Raises ProjectNotFound, InsufficientRole, AppNotInProject, or an error of `call_of`, the
    workflow service or `Throwaways.replica`."""
    project_id = caller.project(UUID(request.project_id)).id
    call = call_of(request, parts)
    borrowed = _borrowed(request, project_id, parts)
    answer = await parts.workflows.render_flow(project_id, request.flow.utf8, metadata)
    async with aclosing(_tested(Flow(project_id, answer.loadable), call, borrowed, caller, parts)) as messages:
        async for message in messages:
            yield message


async def test_version(
    request: pb.TestVersionRequest, caller: Caller, metadata: Metadata, parts: Parts
) -> AsyncGenerator[HttpBody, None]:
    """Like `test_flow`, for a saved version. Raises WorkflowNotFound or VersionNotFound in place of ProjectNotFound."""
    call = call_of(request, parts)
    answer = await parts.workflows.render_version(UUID(request.workflow_id), request.version, metadata)
    project_id = UUID(answer.project_id)
    flow = Flow(project_id, answer.loadable, UUID(answer.workflow_version_id), answer.version)
    borrowed = _borrowed(request, project_id, parts)
    async with aclosing(_tested(flow, call, borrowed, caller, parts)) as messages:
        async for message in messages:
            yield message


def _borrowed(
    request: pb.TestWorkflowRequest | pb.TestVersionRequest, project_id: UUID, parts: Parts
) -> Borrowed | None:
    app_id = optional_id(request, "app_id")
    if app_id is None:
        return None
    route = parts.table.route(app_id)
    if route is None or route.project_id != project_id:
        raise AppNotInProject("app_id", "must be an app of the project")
    environment = route.environment(optional(request, "environment"))
    if environment is None:
        raise AppNotInProject("environment", "must be one that the app has")
    return Borrowed(app_id, environment.name)


async def _tested(
    flow: Flow, call: Call, borrowed: Borrowed | None, caller: Caller, parts: Parts
) -> AsyncGenerator[HttpBody, None]:
    run_id = new_id()
    events = _run(run_id, flow, call, borrowed, caller, parts)
    headers = {} if flow.version_number is None else {"X-Flowpin-Version": f"v{flow.version_number}"}
    answer = answer_of(events, run_id, headers, run_seconds=parts.run_seconds, is_stream=call.is_stream)
    async with aclosing(answer):
        async for message in answer:
            yield message


async def _run(
    run_id: UUID, flow: Flow, call: Call, borrowed: Borrowed | None, caller: Caller, parts: Parts
) -> AsyncGenerator[RunEvent, None]:
    """The time that is left for the run. The start and the run together may take as long as a run."""
    loop = asyncio.get_running_loop()
    must_end_by = loop.time() + parts.run_seconds
    spec = await _spec(run_id, flow, borrowed, parts)
    async with parts.throwaways.replica(spec, must_end_by - loop.time()) as connection:
        run = Run(
            project_id=flow.project_id,
            id=run_id,
            app_id=borrowed.app_id if borrowed else None,
            environment=borrowed.environment if borrowed else None,
            deployment_id=None,
            version_id=flow.version_id,
            version_number=flow.version_number,
            is_stream=call.is_stream,
            started_at=datetime.now(UTC),
            access_key_id=None,
            access_key_preview=None,
            user_id=caller.id,
        )
        seconds = max(LEAST_RUN_SECONDS, must_end_by - loop.time())
        async with aclosing(parts.calls.run_on(connection, run, call, caller.request_id, seconds)) as events:
            async for event in events:
                yield event


async def _spec(run_id: UUID, flow: Flow, borrowed: Borrowed | None, parts: Parts) -> ReplicaSpec:
    runtime = await parts.deploys.default_runtime()
    digest = flow.loadable.digest.hex()
    variables: Mapping[str, str] = {}
    if borrowed is not None:
        place = MadeFrom(flow.project_id, borrowed.app_id, borrowed.environment, runtime, digest, 0)
        variables = await parts.deploys.variables(place)
    return ReplicaSpec(
        deployment_id="",
        project_id=str(flow.project_id),
        runtime=parts.runtimes / runtime,
        flow=flow.loadable.document.utf8,
        digest=digest,
        variables=variables,
        slots=1,
        labels={"test_run_id": str(run_id)},
    )
