"""With a collector configured, one deploy is one trace through all three processes."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest

from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from tests.support.observed_services import WORKFLOW, running_world
from tests.support.refusals import refusal
from tests.support.stack import Stack, running_stack

pytestmark = pytest.mark.slow


trace_service = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
    reason="traces need the extra: pip install '.[otel]'",
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc  # noqa: E402 - after the skip

CALLERS_TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{CALLERS_TRACE}-b7ad6b7169203331-01"


@dataclass(frozen=True)
class Received:
    process: str
    name: str
    kind: int
    trace: str
    id: bytes
    parent: bytes


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """A real OTLP receiver that stores the received spans."""

    spans: list[Received] = field(default_factory=list)
    everything: list[str] = field(default_factory=list)

    async def Export(self, request, context):  # noqa: N802
        self.everything.append(str(request))
        for sent in request.resource_spans:
            attributes = {pair.key: pair.value.string_value for pair in sent.resource.attributes}
            self.spans += [
                Received(
                    attributes["service.name"],
                    span.name,
                    span.kind,
                    span.trace_id.hex(),
                    span.span_id,
                    span.parent_span_id,
                )
                for scope in sent.scope_spans
                for span in scope.spans
            ]
        return trace_service.ExportTraceServiceResponse()

    def trace(self, trace_id: str) -> list[Received]:
        return [span for span in self.spans if span.trace == trace_id]


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, str]]:
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def test_a_deploy_is_one_trace_through_gateway_deploy_and_workflow_service(unstarted: Stack):
    async with collecting() as (collector, endpoint):
        traced = {"otel_exporter_otlp_endpoint": endpoint}
        async with running_stack(unstarted, workflow=traced, deploy=traced, front=traced) as stack:
            workflow, _ = await stack.workflow()
            app = await stack.app(workflow["id"])
            await stack.save(workflow["id"], "second")

            await stack.deploy(app["id"], workflow["id"], headers={"traceparent": TRACEPARENT})

    spans = collector.trace(CALLERS_TRACE)
    path = [(span.process, span.name) for span in in_order(spans)]
    assert path == [
        ("gateway", "POST /v1/apps/{app_id}/deploy"),
        ("gateway", "flowpin.deploy.v1.DeployService/DeployApp"),
        ("deploy_service", "flowpin.deploy.v1.DeployService/DeployApp"),
        ("deploy_service", "flowpin.workflow.v1.WorkflowService/ResolveVersion"),
        ("workflow_service", "flowpin.workflow.v1.WorkflowService/ResolveVersion"),
    ]
    sent = "".join(collector.everything)
    assert "dyn_pat_" not in sent
    assert app["id"] not in sent


async def test_the_span_of_a_failed_call_has_an_error_status(unstarted: Stack):
    async with collecting() as (collector, endpoint):
        traced = {"otel_exporter_otlp_endpoint": endpoint}
        async with running_stack(unstarted, workflow=traced) as stack:
            await stack.rest("GET", f"/v1/workflows/{stack.people.project}")

    assert [span.name for span in collector.spans] == [
        "flowpin.identity.v1.IdentityService/Ping",  # the gateway checks the token
        "flowpin.workflow.v1.WorkflowService/GetWorkflow",
    ]
    assert f"int_value: {grpc.StatusCode.NOT_FOUND.value[0]}" in "".join(collector.everything)


@pytest.fixture
def without_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_gc")
async def test_reference_counting_frees_refused_calls_that_are_traced(unstarted: Stack):
    missing = workflow_pb2.GetWorkflowRequest(workflow_id=str(unstarted.people.project))
    async with (
        collecting() as (_, endpoint),
        running_stack(unstarted, workflow={"otel_exporter_otlp_endpoint": endpoint}) as stack,
    ):
        for token in ("viewer", "revoked") * 20:
            await refusal(stack.workflows.GetWorkflow(missing, metadata=stack.as_(token)))

        kept = [found for found in gc.get_objects() if type(found).__name__ == "AbortError"]

    assert len(kept) <= 5  # grpc.aio keeps the last one or two calls until the next ones


async def test_a_caller_that_hangs_up_cancels_the_traced_call():
    async with collecting() as (_, endpoint), running_world(otel_exporter_otlp_endpoint=endpoint) as world:
        world.observed.hangs = True
        call = asyncio.create_task(world.post(f"/v1/workflows/{WORKFLOW}/save", {}))
        await world.observed.arrived.wait()

        call.cancel()

        await asyncio.wait_for(world.observed.canceled.wait(), 5)


def in_order(spans: list[Received]) -> list[Received]:
    """The spans from the outermost to the innermost. Each is the parent of the next."""
    found, parent = [], bytes.fromhex(TRACEPARENT.split("-")[2])
    while inner := [span for span in spans if span.parent == parent]:
        (span,) = inner
        found.append(span)
        parent = span.id
    return found
