"""Topics of the signals between replicas of this service."""

from enum import StrEnum


class Topic(StrEnum):
    CHANGED = "changed"
    """A version of a workflow was saved or changed, or the workflow was deleted."""
