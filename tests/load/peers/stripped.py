"""The stripped programs, started next to our own stack: what is unavoidable, to compare with."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from service_kit.local.data_folder import DataFolder
from tests.load.bench.context import Bench, Drive
from tests.load.bench.request import Request
from tests.load.bench.stack import ROOT, free_port
from tests.load.peers import stripped_gateway, stripped_services
from tests.load.peers.figure import CALLERS, seconds
from tests.load.peers.server import Server, running

ENVIRONMENT = {"PYTHONPATH": str(ROOT)}


@contextmanager
def gateway(bench: Bench, workflow_target: str, deploy_target: str) -> Iterator[Server]:
    words = [sys.executable, "-m", stripped_gateway.__name__, str(port := free_port()), workflow_target, deploy_target]
    with running("stripped-gateway", words, ENVIRONMENT, port, stripped_gateway.READY, bench.scratch) as server:
        yield server


@contextmanager
def everything(bench: Bench) -> Iterator[Server]:
    """Gateway and services, on the same databases as ours."""
    stack, port = bench.stack, free_port()
    words = [sys.executable, "-m", stripped_services.__name__, str(port), str(DataFolder(stack.data).access_file)]
    words += [stack.role_url("flowpin_workflow"), stack.role_url("flowpin_deploy")]
    target = f"127.0.0.1:{port}"
    with (
        running("stripped-services", words, ENVIRONMENT, port, None, bench.scratch),
        gateway(bench, target, target) as server,
    ):
        yield server


def drive(bench: Bench, server: Server, requests: Sequence[Request]) -> Drive:
    return lambda: bench.wrk(server.url, requests, seconds(bench), CALLERS, bench.stack.headers)
