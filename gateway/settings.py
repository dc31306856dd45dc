"""The gateway's settings, read from the environment once, in its `__main__`."""

from collections.abc import Mapping

from pydantic import Field

from service_kit.settings import (
    Address,
    ChannelTlsSettings,
    ListenerTlsSettings,
    ProcessSettings,
    WorkerSettings,
    settings_config,
)


class Settings(ProcessSettings, WorkerSettings, ListenerTlsSettings, ChannelTlsSettings):
    """Settings of the gateway."""

    model_config = settings_config("GATEWAY_")

    listen: Address = "127.0.0.1:8080"
    """Where to listen, host:port. Port 0 picks a free port."""
    share_port: bool = False
    """Whether several gateways share the port (SO_REUSEPORT). Each has its own limits. `up --workers` sets it."""
    workflow_target: str = "127.0.0.1:50051"
    """Addresses of the workflow service: host:port, separated by commas."""
    deploy_target: str = "127.0.0.1:50052"
    """Addresses of the deploy service: host:port, separated by commas."""
    run_target: str | None = None
    """Addresses of the run service: host:port, separated by commas. Without it, calls about runs are a 501."""
    max_body_bytes: int = Field(default=34 << 20, ge=1 << 10)
    """Size limit of request bodies. A save may carry two documents of 16 MiB."""
    max_requests: int = Field(default=384, ge=1)
    """Maximum number of running and waiting requests. Further ones are a 429, those of the principal with the most
    requests first."""
    max_requests_at_work: int = Field(default=64, ge=1)
    """Maximum number of running requests while several tokens call. Other requests wait, and tokens take turns."""
    max_bytes_under_way: int = Field(default=128 << 20, ge=1 << 20)
    """Size limit of all bodies and answers in progress together. Further requests are a 429."""
    rate_limit: str | None = None
    """Requests per token to this process, such as `100/second`. No limit by default."""
    head_seconds: float = Field(default=10, gt=0)
    """How long the head of a request may take to arrive."""
    body_seconds: float = Field(default=10, gt=0)
    """How long a body may take to arrive, in addition to its size divided by `body_bytes_per_second`."""
    body_bytes_per_second: int = Field(default=64 << 10, ge=1)
    """The slowest rate at which a body may arrive."""
    idle_seconds: float = Field(default=75, gt=0)
    """How long a connection stays open between two requests."""
    write_seconds: float = Field(default=30, gt=0)
    """How long an answer may wait for a caller that does not read it."""
    max_connections: int = Field(default=8192, ge=1)
    """Maximum number of connections, within the limit of file descriptors. A new one then replaces an idle one."""
    max_streams: int = Field(default=256, ge=1)
    """Maximum number of streamed answers. Further ones are a 429."""
    max_streams_of_one: int = Field(default=32, ge=1)
    """Maximum number of streamed answers per token."""
    stream_idle_seconds: float = Field(default=360, gt=0)
    """How long a streamed answer may be silent. A run may take 300 s, plus its start and its queue."""
    heartbeat_seconds: float = Field(default=15, gt=0)
    """How long server-sent events may be silent before a comment is sent."""
    timeout_seconds: float = Field(default=30, gt=0)
    """How long a call to a service may take."""
    second_try_seconds: float = Field(default=1, gt=0)
    """How long a read may stay unanswered before it is also sent to another replica."""
    drain_seconds: float = Field(default=10, ge=0)
    """How long requests in progress may take to end after SIGTERM."""

    @property
    def targets(self) -> Mapping[str, str]:
        """Addresses of the services by name."""
        run = {} if self.run_target is None else {"run": self.run_target}
        return {"workflow": self.workflow_target, "deploy": self.deploy_target, **run}
