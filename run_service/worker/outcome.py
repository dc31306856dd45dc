"""The outcomes of loading and running a flow."""

from dataclasses import dataclass
from typing import Any, Literal


class LoadFailed(Exception):
    """The document is not a flow that can run in this runtime."""

    def __init__(self, reason: Literal["FLOW_INVALID", "VARIABLE_MISSING"], message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Outcome:
    """The end of a run."""

    status: Literal["completed", "failed", "canceled"]
    output: Any = None
    error: str | None = None
    node: str | None = None
    """The name or id of the node that failed."""
