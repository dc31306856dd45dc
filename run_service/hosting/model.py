"""Messages between routers and the host process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

Status = Literal["completed", "failed", "canceled", "timed_out"]


@dataclass(frozen=True, kw_only=True)
class ReplicaSpec:
    """Everything that is needed to start a replica."""

    deployment_id: str
    project_id: str
    """If the host runs as root, each project's replicas run as a separate user."""
    runtime: Path
    """The runtime's folder. Its Python is `bin/python`."""
    runtime_digest: str = ""
    """Hex SHA-256 of the lock from which the runtime must be installed. Empty if any lock is valid."""
    flow: bytes = field(repr=False)
    """The document for the SDK's loader, as JSON."""
    digest: str
    """Hex SHA-256 of `flow`."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The replica's environment variables, unencrypted."""
    slots: int = 4
    """Maximum concurrent runs."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Values that `list` returns to the router, for example the variables' revision."""


class SpecMessage(msgspec.Struct, kw_only=True):
    """A ReplicaSpec as it is sent to the host."""

    deployment_id: str
    project_id: str
    runtime: str
    runtime_digest: str
    flow: str
    digest: str
    variables: dict[str, str]
    slots: int
    labels: dict[str, str]

    @classmethod
    def of(cls, spec: ReplicaSpec) -> "SpecMessage":
        return cls(
            deployment_id=spec.deployment_id,
            project_id=spec.project_id,
            runtime=str(spec.runtime),
            runtime_digest=spec.runtime_digest,
            flow=spec.flow.decode(),
            digest=spec.digest,
            variables=dict(spec.variables),
            slots=spec.slots,
            labels=dict(spec.labels),
        )

    def to_spec(self) -> ReplicaSpec:
        fields = msgspec.structs.asdict(self)
        return ReplicaSpec(**fields | {"flow": self.flow.encode(), "runtime": Path(self.runtime)})


@dataclass(frozen=True, kw_only=True)
class Replica:
    """A process that has loaded a flow."""

    id: str
    deployment_id: str
    project_id: str
    digest: str
    pid: int
    slots: int
    labels: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ReplicaUsage:
    """What a replica has used since it was ready."""

    grown_bytes: int
    """Anonymous memory, without the amount that it had when it was ready."""
    cpu_seconds: float
    """CPU time of its process since the start."""


@dataclass(frozen=True, kw_only=True)
class ReplicaEnded:
    """A replica and all processes of its session have ended."""

    replica: Replica
    reason: str
    """STOPPED (a router called `stop`), RUN_STUCK (a canceled run did not end), EXITED, KILLED (by a signal from
    outside, for example when memory ran out), MEMORY_EXCEEDED or FOLDER_TOO_LARGE."""
    message: str


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    run_id: str
    input: bytes
    """A JSON object."""
    stream: bool = False
    deadline_seconds: float = 300


@dataclass(frozen=True)
class RunStarted:
    """The run has a slot."""


@dataclass(frozen=True)
class RunStreamed:
    name: str
    data: bytes
    """JSON."""


@dataclass(frozen=True)
class RunEnded:
    """The last event of a run."""

    status: Status
    output: bytes | None = None
    """The result of the flow's Output node as JSON. None unless the run completed."""
    error: str | None = None
    node: str | None = None
    """The name or id of the node that failed, if a node failed."""
    is_replica_lost: bool = False
    """True if the run failed because its replica ended."""


RunEvent = RunStarted | RunStreamed | RunEnded


class HostGone(Exception):
    """The host process does not answer, or its connection ended. All its replicas end with it."""


class ReplicaGone(Exception):
    """The replica is no longer running. The run did not begin, so it may be sent to another replica."""


HOST_FULL = "HOST_FULL"


class ReplicaFailed(Exception):
    """A replica did not start. The message is for the person who deployed.

    Reasons: FLOW_INVALID, VARIABLE_MISSING (the message names it), DIGEST_DIFFERS, RUNTIME_NOT_INSTALLED,
    RUNTIME_DIFFERS (installed from another lock than the pinned one), RUNTIME_BROKEN, START_TIMED_OUT, NOT_CONFINED
    (the kernel cannot confine replicas), HOST_FULL (the maximum number of replicas runs), TOO_MANY_PROJECTS,
    START_CANCELED (a router ended it before it was ready).
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
