"""Topics of the signals between replicas of this service."""

from enum import StrEnum


class Topic(StrEnum):
    ASKED = "asked"
    """An app has a new rollout to be worked on."""
    CLAIMED = "claimed"
    """A rollout of an app is being worked on."""
    CHANGED = "changed"
    """An app, its live deployments or its rollouts have changed."""
    MARKED = "marked"
    """A deployment of an app was marked good or bad."""
    ROUTED = "routed"
    """A rollout of an app has come to its end, and routers were waited for."""
    REPORTED = "reported"
    """There is a report of a deployment."""
    ACKNOWLEDGED = "acknowledged"
    """A router has acknowledged routes."""
    KEYS = "keys"
    """A project has other access keys."""
    NUMBERED = "numbered"
    """Events of an app have their sequence. For this process alone."""
