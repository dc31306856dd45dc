"""Reads over gRPC and REST next to calls that do nothing."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from service_kit.pb.flowpin.identity.v1 import identity_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from tests.load.bench.context import IDENTITY, WORKFLOW, Bench, Comparison, Drive
from tests.load.bench.request import Request
from tests.load.bench.result import Row, Target
from tests.load.bench.rows.cpu import PING, cpu_row
from tests.load.bench.seeds import Seeds
from tests.load.bench.stack import second_workflow_service
from tests.load.peers import stripped
from workflow_service.settings import Settings

CACHE_SETTING = "cache_bytes"


def grpc(bench: Bench, seeds: Seeds) -> list[Row]:
    """GetVersion by id from the cache."""
    request = _get(seeds)
    with stripped.services(bench) as target:
        least = stripped.grpc_reads(bench, target, request, bench.seconds(3, 0.5))
        found = _grpc(bench, request, {"stripped": least})
    percent = 100 * found["ours"].ratio / found["stripped"].ratio
    note = (
        f"GetVersion by id, {bench.content.size:,} bytes, against an RPC that only authenticates{_cache_note()}; a "
        f"service of grpc.aio and asyncpg that does nothing but the unavoidable, a call at a time "
        f"(tests/load/peers/stripped_services.py), does {found['stripped'].ours.rate:,.0f}/s, "
        f"{found['stripped'].percent:.1f} %; ours at {percent:.0f} % of it"
    )
    return [
        replace(_row("gRPC read", found["ours"], 75, note), stripped=percent),
        cpu_row("gRPC read", found["ours"], "an RPC Ping"),
    ]


def grpc_uncached(bench: Bench, seeds: Seeds) -> list[Row]:
    """The same from the database, by a replica without the cache."""
    with second_workflow_service(bench.stack, WORKFLOW_CACHE_BYTES="0") as replica:
        compared = _grpc(bench.on(replica), _get(seeds))["ours"]
    return [_row("gRPC read, cache off", compared, 40, "as above, with WORKFLOW_CACHE_BYTES=0" + _cache_note())]


def rest(bench: Bench, seeds: Seeds) -> list[Row]:
    """A version by id, the latest version and a live app through the gateway, and the gateway by itself."""
    app_id = seeds.app(seeds.read)
    by_id = [Request(path) for path in seeds.read.version_paths]
    drives: dict[str, Drive] = {
        "REST read": lambda: bench.rest(by_id, seconds),
        "REST latest": lambda: bench.rest(Request(f"{seeds.read.path}/versions/latest"), seconds),
        "Live app": lambda: bench.rest(Request(f"/v1/apps/{app_id}"), seconds),
        "constant": lambda: bench.rest(Request("/health/live"), seconds),
    }
    seconds = bench.seconds(5, 1)
    found = bench.compare_all(lambda: bench.rest(PING, seconds), drives, rounds=3 if not bench.quick else 2)
    read, constant = found["REST read"], found["constant"]
    return [
        _row("REST read", read, 65, "GET …/versions/{id} over a hundred ids, against GET /v1/ping"),
        _row("REST latest", found["REST latest"], 50, "GET …/versions/latest, against GET /v1/ping"),
        _row("Live app", found["Live app"], 50, "GET /v1/apps/{id}, against GET /v1/ping"),
        Row(
            "REST read of constant",
            load=read.ours,
            ceiling=constant.ours.rate,
            value=100 * read.ours.rate / constant.ours.rate,
            unit="%",
            note="the REST read against the gateway's own constant answer, GET /health/live",
            raw=constant.raw,
        ),
        cpu_row("REST read", read, "GET /v1/ping"),
    ]


def _get(seeds: Seeds) -> workflow_pb2.GetVersionRequest:
    return workflow_pb2.GetVersionRequest(workflow_id=seeds.read.workflow_id, version=seeds.read.version_ids[0])


def _grpc(
    bench: Bench, request: workflow_pb2.GetVersionRequest, others: Mapping[str, Drive] = MappingProxyType({})
) -> dict[str, Comparison]:
    """Our drive, and further drives in the same rounds."""
    seconds = bench.seconds(3, 0.5)
    return bench.compare_all(
        lambda: bench.grpc(f"{IDENTITY}/Ping", identity_pb2.PingRequest(), seconds),
        {"ours": lambda: bench.grpc(f"{WORKFLOW}/GetVersion", request, seconds), **others},
        rounds=5 if not bench.quick else 3,
    )


def _row(name: str, compared: Comparison, bound: float, note: str) -> Row:
    return Row(
        name,
        load=compared.ours,
        ceiling=compared.ceiling.rate,
        value=compared.percent,
        target=Target.at_least(bound, "%"),
        note=note,
        raw=compared.raw,
    )


def _cache_note() -> str:
    return "" if CACHE_SETTING in Settings.model_fields else "; the service has no cache yet"
