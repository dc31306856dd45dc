"""Runs, access keys and outcomes, and their rules."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

MAX_ERROR_CHARS = 2000


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key that opens the apps of its project."""

    id: UUID
    project_id: UUID
    preview: str
    expires_at: datetime | None

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class RunError:
    code: str
    """One of run_failed, timeout and lost."""
    message: str
    node: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A call of an app or a test of a flow that a replica has started. A test has no deployment."""

    project_id: UUID
    id: UUID
    app_id: UUID | None
    environment: str | None
    deployment_id: UUID | None
    version_id: UUID | None
    version_number: int | None
    is_stream: bool
    started_at: datetime
    access_key_id: UUID | None
    access_key_preview: str | None
    status: str = "started"
    ended_at: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    error_node: str | None = None
    user_id: UUID | None = None

    def ended(self, status: str, error: RunError | None = None) -> "Run":
        """The run as it is after it has ended now: completed, failed (with the cause) or canceled."""
        code, message, node = (error.code, error.message, error.node) if error else (None, None, None)
        return replace(
            self,
            status=status,
            ended_at=max(datetime.now(UTC), self.started_at),
            error_code=code,
            error_message=message and _kept(message, MAX_ERROR_CHARS),
            error_node=node and _kept(node, MAX_ERROR_CHARS),
        )


def _kept(text: str, longest: int) -> str:
    """The text in a form that Postgres can store: without NUL and lone surrogates, and not too long."""
    fit = text.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")
    return fit if len(fit) <= longest else f"{fit[: longest - 1]}…"
