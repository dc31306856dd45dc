"""The gateway's settings, read from the environment once, in its `__main__`."""

from pydantic import Field

from service_kit.settings import Address, ProcessSettings, settings_config


class Settings(ProcessSettings):
    """REST in front of the two services."""

    model_config = settings_config("GATEWAY_")

    listen: Address = "127.0.0.1:8080"
    """Where to serve, host:port; port 0 picks a free one."""
    workflow_target: str = "127.0.0.1:50051"
    """Where the workflow service listens: host:port, several separated by commas."""
    deploy_target: str = "127.0.0.1:50052"
    """Where the deploy service listens, likewise."""
    max_body_bytes: int = Field(default=34 << 20, ge=1 << 10)
    """The largest body that is read; a save may carry two documents of 16 MiB."""
    max_requests: int = Field(default=384, ge=1)
    """Requests at work at a time; what comes on top is a 429 at once."""
    max_bytes_under_way: int = Field(default=128 << 20, ge=1 << 20)
    """The bodies of requests at work, together; likewise."""
    timeout_seconds: float = Field(default=30, gt=0)
    """How long a call to a service may take."""
    drain_seconds: float = Field(default=10, ge=0)
    """How long requests under way may take to finish after SIGTERM."""
