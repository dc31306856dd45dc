"""A call of the load: what was sent, when, and the answer."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["answered", "refused", "unknown"]
SHOWN_DIGEST_CHARS = len("sha256:") + 8
NO_ANSWER = ("REQUEST_IN_PROGRESS",)
"""Reasons of refusals after which the outcome of an earlier call with the same key is unknown."""

UNREADABLE = "UNREADABLE"
"""Code of a call whose answer cannot be read."""


@dataclass(frozen=True)
class Request:
    """A call to make. `sent` is recorded. `document` is the flow of a save; only its digest is recorded."""

    operation: str
    """A name that is unique in the run. Calls with the same key, which repeat it, share the name."""
    kind: str
    """save, version, workflow, versions, deploy, rollback, app, deployments, or call, which is a call of the app
    itself."""
    target: str
    """The id of the workflow or of the app."""
    sent: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    document: bytes = b""
    patience_seconds: float | None = None
    """A shorter deadline than usual, so that the answer may be lost although the call takes effect."""


@dataclass(frozen=True)
class Reply:
    """An answer. `code` is the HTTP status or gRPC code with the reason, and `got` has the values for the checks."""

    outcome: Outcome
    code: str
    got: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A call and its answer. Times are seconds since the run began, on one monotonic clock."""

    caller: str
    operation: str
    kind: str
    face: str
    """rest, grpc, or apps (the router)."""
    target: str
    begin: float
    end: float
    """When the answer arrived, or when the caller stopped waiting."""
    outcome: Outcome
    code: str = ""
    sent: dict[str, Any] = field(default_factory=dict)
    got: dict[str, Any] = field(default_factory=dict)
    key: str | None = None

    @property
    def is_answered(self) -> bool:
        return self.outcome == "answered"

    @property
    def is_unmodified(self) -> bool:
        """Whether the answer's status was 304."""
        return bool(self.got.get("unmodified"))

    def line(self) -> dict[str, Any]:
        """The call as it is written to the history file."""
        return {"call": asdict(self)}

    def __str__(self) -> str:
        key = f" key {self.key}" if self.key else ""
        return (
            f"{self.begin:9.3f}-{self.end:.3f} s  {self.caller} {self.face} {self.operation}{key}"
            f" sent [{_shown(self.sent)}] -> {self.outcome} {self.code} [{_shown(self.got)}]"
        )


def _shown(values: dict[str, Any]) -> str:
    """The values that a person needs to compare two calls, with shortened digests."""
    shown = {name: value for name, value in values.items() if value is not None and name not in ("body", "ids")}
    if "digest" in shown:
        shown["digest"] = shown["digest"][:SHOWN_DIGEST_CHARS]
    return ", ".join(f"{name} {value}" for name, value in shown.items())
