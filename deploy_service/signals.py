"""Topics of the signals between replicas of this service."""

from enum import StrEnum


class Topic(StrEnum):
    ASKED = "asked"
    """An app has a new rollout to be worked on."""
    CLAIMED = "claimed"
    """A rollout of an app is being worked on."""
    CHANGED = "changed"
    """An app, one of its live deployments or one of its rollouts has changed."""
    MARKED = "marked"
    """A deployment of an app was marked good or bad."""
    ROUTED = "routed"
    """A rollout of an app has ended, and routers are no longer waited for."""
    REPORTED = "reported"
    """A run service has reported a deployment."""
    ACKNOWLEDGED = "acknowledged"
    """A router has acknowledged routes."""
    KEYS = "keys"
    """The access keys of a project have changed."""
    NUMBERED = "numbered"
    """Events of an app were numbered. Only this process receives the signal."""
