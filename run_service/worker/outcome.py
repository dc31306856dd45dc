"""What loading and running a flow can come to."""

from dataclasses import dataclass
from typing import Any, Literal


class LoadFailed(Exception):
    """The document is no flow that can run here."""

    def __init__(self, reason: Literal["FLOW_INVALID", "VARIABLE_MISSING"], message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: Literal["completed", "failed", "canceled"]
    output: Any = None
    error: str | None = None
    node: str | None = None
    """The name or id of the node that failed."""
