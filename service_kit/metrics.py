"""Prometheus metrics of a process, on a separate port: its RPCs, its pools and the process itself.

Names and labels are the usual ones (go-grpc-prometheus, OpenTelemetry's conventions), so that dashboards can be reused.
No label comes from a caller: there are only a few methods, routes, codes and schemas.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics, start_http_server

from service_kit.tls import ListenerTls, warn_without_tls

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""The buckets of a call's duration."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, of no use here

HANDLED = Counter("grpc_server_handled_total", "RPCs answered.", ["grpc_service", "grpc_method", "grpc_code"])
HANDLING = Histogram(
    "grpc_server_handling_seconds", "How long RPCs took.", ["grpc_service", "grpc_method"], buckets=SECONDS
)
POOL = Gauge("db_client_connection_count", "Connections of the pool to Postgres.", ["pool_name", "state"])
POOL_MAX = Gauge("db_client_connection_max", "The most connections the pool may have.", ["pool_name"])

log = structlog.get_logger()


def count_rpc(method: str, code: str, seconds: float) -> None:
    """Count an RPC. `method` is the full name, "/package.Service/Method", of a served RPC."""
    _handled(method, code).inc()
    _handling(method).observe(seconds)


@cache
def _handled(method: str, code: str) -> Counter:
    _, service, name = method.split("/")
    return HANDLED.labels(service, name, code)


@cache
def _handling(method: str) -> Histogram:
    _, service, name = method.split("/")
    return HANDLING.labels(service, name)


@contextmanager
def watching_pool(name: str, limit: int, size: Callable[[], int], idle: Callable[[], int]) -> Iterator[None]:
    """Show a pool until the block ends. `size` and `idle` are called at each scrape, from another thread."""
    POOL_MAX.labels(name).set(limit)
    POOL.labels(name, "idle").set_function(idle)
    POOL.labels(name, "used").set_function(lambda: size() - idle())
    try:
        yield
    finally:
        POOL_MAX.remove(name)
        POOL.remove(name, "idle")
        POOL.remove(name, "used")


@asynccontextmanager
async def exposed(listen: str | None, tls: ListenerTls | None = None) -> AsyncIterator[None]:
    """Answer scrapes at `listen` (host:port) until the block ends. Does nothing if it is None.

    Raises RuntimeError if the port is taken.
    """
    if listen is None:
        yield
        return
    warn_without_tls(listen, tls)
    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), **_tls_options(tls))
    except OSError as error:
        raise RuntimeError(f"metrics cannot be served on {listen}: {error.strerror}") from error
    if tls is not None:
        tls.attach(server.socket.context)  # type: ignore[attr-defined]  # an SSLSocket
    log.info("metrics_listener_started", address=f"{host}:{server.server_port}")
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()


def _tls_options(tls: ListenerTls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    files = tls.files
    ca = None if files.ca is None else str(files.ca)
    return {
        "certfile": str(files.cert),
        "keyfile": str(files.key),
        "client_cafile": ca,
        "client_auth_required": ca is not None,
    }
