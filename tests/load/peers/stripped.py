"""Starts the stripped programs next to our own stack. They do only the unavoidable work, for comparison."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc

from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.up.identity import DEPLOY_TOKEN_FILE
from service_kit.pb.flowpin.workflow.v1.workflow_pb2 import GetVersionRequest
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub
from tests.load.bench import h2load
from tests.load.bench.context import CLOSED_LOOP, WORKFLOW, Bench, Drive
from tests.load.bench.request import Request
from tests.load.bench.result import Unmeasurable
from tests.load.peers import stripped_gateway, stripped_services
from tests.load.peers.figure import CALLERS, seconds
from tests.load.peers.server import Server, running
from tests.support.paths import ROOT
from tests.support.ports import free_port

ENVIRONMENT = {"PYTHONPATH": str(ROOT)}


@contextmanager
def gateway(bench: Bench, workflow_target: str, deploy_target: str) -> Iterator[Server]:
    words = [sys.executable, "-m", stripped_gateway.__name__, str(port := free_port()), workflow_target, deploy_target]
    with running("stripped-gateway", words, ENVIRONMENT, port, stripped_gateway.READY, bench.scratch) as server:
        yield server


@contextmanager
def services(bench: Bench, workflow_target: str = "") -> Iterator[str]:
    """Start both services on the same databases as ours. Yields their address, host:port.

    `workflow_target`: the stripped services that they ask what to deploy.
    """
    stack, port = bench.stack, free_port()
    folder = DataFolder(stack.data)
    words = [sys.executable, "-m", stripped_services.__name__, str(port), str(folder.access_file)]
    words += [stack.role_url("flowpin_workflow"), stack.role_url("flowpin_deploy"), workflow_target]
    environment = {**ENVIRONMENT, "DEPLOY_TOKEN": folder.secret(DEPLOY_TOKEN_FILE) or ""}
    with running(f"stripped-services-{port}", words, environment, port, None, bench.scratch):
        yield f"127.0.0.1:{port}"


@contextmanager
def everything(bench: Bench) -> Iterator[Server]:
    """Run the gateway and the services, each as a process."""
    with services(bench) as workflow, services(bench, workflow) as deploy, gateway(bench, workflow, deploy) as server:
        yield server


def grpc_reads(bench: Bench, target: str, request: GetVersionRequest, seconds: float) -> Drive:
    """Drive them as `Bench.grpc` drives ours. Raises Unmeasurable when an answer is not as requested."""
    headers = {**h2load.GRPC_HEADERS, **bench.stack.headers}
    with grpc.insecure_channel(target) as channel:
        stub, metadata = WorkflowServiceStub(channel), tuple(bench.stack.headers.items())
        try:
            answer = stub.GetVersion(request, metadata=metadata, timeout=15, wait_for_ready=True)
        except grpc.RpcError as error:
            raise Unmeasurable(f"the stripped service does not answer: {error.code().name}") from None
    if answer.data.id != request.version:
        raise Unmeasurable(f"the stripped service answers with version {answer.data.id}")
    body, url = h2load.grpc_frame(request.SerializeToString()), f"http://{target}/{WORKFLOW}/GetVersion"
    return lambda: h2load.drive([url], headers, seconds, bench.scratch, body=body, clients=CLOSED_LOOP)[0]


def drive(bench: Bench, server: Server, requests: Sequence[Request]) -> Drive:
    return lambda: bench.wrk(server.url, requests, seconds(bench), CALLERS, bench.stack.headers)
