"""Prometheus metrics of requests: number and duration, by route and status."""

from functools import cache

from prometheus_client import Histogram

from service_kit.metrics import SECONDS

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

REQUESTS = Histogram(
    "http_server_request_duration_seconds",
    "How long requests took.",
    ["http_request_method", "http_route", "http_response_status_code"],
    buckets=SECONDS,
)


def count_request(method: str, route: str | None, status: int, seconds: float) -> None:
    """Count a request. `route` is the matching template, or None. Status 499 means that the caller disconnected."""
    # Callers may send any method, so unknown ones must not become labels.
    _requests(method if method in METHODS else "_OTHER", route or "", status).observe(seconds)


@cache
def _requests(method: str, route: str, status: int) -> Histogram:
    return REQUESTS.labels(method, route, status)
