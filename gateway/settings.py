"""The gateway's settings, read from the environment once, in its `__main__`."""

from collections.abc import Mapping

from pydantic import Field

from service_kit.settings import Address, ProcessSettings, WorkerSettings, settings_config


class Settings(ProcessSettings, WorkerSettings):
    """REST in front of the services."""

    model_config = settings_config("GATEWAY_")

    listen: Address = "127.0.0.1:8080"
    """Where to serve, host:port; port 0 picks a free one."""
    share_port: bool = False
    """Whether several gateways serve there (SO_REUSEPORT). Each has its own limits and shares, for its connections."""
    workflow_target: str = "127.0.0.1:50051"
    """Where the workflow service listens: host:port, several separated by commas."""
    deploy_target: str = "127.0.0.1:50052"
    """Where the deploy service listens, likewise."""
    run_target: str | None = None
    """Where the run service listens, likewise; without it, what concerns runs of apps is a 501."""
    max_body_bytes: int = Field(default=34 << 20, ge=1 << 10)
    """The largest body that is read; a save may carry two documents of 16 MiB."""
    max_requests: int = Field(default=384, ge=1)
    """Requests at work or waiting at a time. Further ones are a 429 immediately, the principal with the most first."""
    max_requests_at_work: int = Field(default=64, ge=1)
    """Requests at work at a time while several tokens call. The others wait, and tokens take turns."""
    max_bytes_under_way: int = Field(default=128 << 20, ge=1 << 20)
    """The bodies and answers of requests under way, together; further ones are a 429."""
    rate_limit: str | None = None
    """How many requests each token may send to this process, such as `100/second`; no limit unless it is given."""
    head_seconds: float = Field(default=10, gt=0)
    """How long the head of a request may take to arrive, from its first byte or from the connection's start."""
    body_seconds: float = Field(default=10, gt=0)
    """How long a body may take to arrive, beside what its size takes at `body_bytes_per_second`."""
    body_bytes_per_second: int = Field(default=64 << 10, ge=1)
    """The slowest rate at which a body may arrive."""
    idle_seconds: float = Field(default=75, gt=0)
    """How long a connection stays open between two requests."""
    write_seconds: float = Field(default=30, gt=0)
    """How long an answer may wait for a caller that takes nothing of it."""
    max_connections: int = Field(default=8192, ge=1)
    """Connections at a time, as far as the process may have descriptors. A new one then replaces an idle one."""
    max_streams: int = Field(default=256, ge=1)
    """Answers that are passed on as they come, at a time. Further ones are a 429."""
    max_streams_of_one: int = Field(default=32, ge=1)
    """Likewise, of each token."""
    stream_idle_seconds: float = Field(default=360, gt=0)
    """How long such an answer may be silent; a run that is waited for may take 300 s, its start and its queue not."""
    heartbeat_seconds: float = Field(default=15, gt=0)
    """After how long a silence server-sent events have a comment."""
    timeout_seconds: float = Field(default=30, gt=0)
    """How long a call to a service may take."""
    second_try_seconds: float = Field(default=1, gt=0)
    """How long a read may stay unanswered until it is sent to another replica as well."""
    drain_seconds: float = Field(default=10, ge=0)
    """How long requests under way may take to finish after SIGTERM."""

    @property
    def targets(self) -> Mapping[str, str]:
        """By service."""
        run = {} if self.run_target is None else {"run": self.run_target}
        return {"workflow": self.workflow_target, "deploy": self.deploy_target, **run}
