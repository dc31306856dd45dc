"""One HTTP request that a generator repeats."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers in addition to authorization, which every request has."""


def post(path: str, body: bytes) -> Request:
    return Request(path, "POST", body, {"content-type": "application/json"})
