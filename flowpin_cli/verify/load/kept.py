"""The content of the installation after the load, for the checks."""

from dataclasses import asdict, dataclass, field
from typing import Any

from flowpin_cli.verify.load.calls import SHOWN_DIGEST_CHARS


@dataclass(frozen=True)
class KeptVersion:
    """A version as it was read after the load. `digest` is that of the bytes that were read."""

    id: str
    number: int
    digest: str

    def __str__(self) -> str:
        return f"   afterwards        v{self.number} {self.id} digest {self.digest[:SHOWN_DIGEST_CHARS]}"


@dataclass(frozen=True)
class KeptDeployment:
    """A deployment as the history lists it after the load. Times are the texts from the installation."""

    id: str
    kind: str
    status: str
    version_id: str
    reason: str | None = None
    live: bool = False
    live_from: str | None = None
    live_to: str | None = None
    source_id: str | None = None

    def __str__(self) -> str:
        live = f"live from {self.live_from} to {self.live_to or 'now'}" if self.live_from else "never live"
        what = f"{self.kind} {self.id} {self.reason} of version {self.version_id}"
        return f"   afterwards        {what} {self.status}, {live}"


@dataclass(frozen=True)
class Kept:
    """Versions by workflow and deployments by app, both oldest first."""

    versions: dict[str, list[KeptVersion]] = field(default_factory=dict)
    deployments: dict[str, list[KeptDeployment]] = field(default_factory=dict)

    def lines(self) -> list[dict[str, Any]]:
        """The rows as they are written to the history file."""
        versions = [
            {"version": asdict(version), "workflow": workflow}
            for workflow, rows in self.versions.items()
            for version in rows
        ]
        deployments = [
            {"deployment": asdict(row), "app": app} for app, rows in self.deployments.items() for row in rows
        ]
        return versions + deployments
