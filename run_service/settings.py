"""The run service's settings: RUN_… in the environment."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, SecretStr

from run_service.hosting.settings import HostSettings
from service_kit.settings import Address, ProcessSettings, ServiceSettings, settings_config


@dataclass(frozen=True, slots=True)
class SupplyLimits:
    """How many runs there may be, and how long each wait for a replica may take, in seconds."""

    slots: int = 4
    queue: int = 64
    queue_seconds: float = 10
    start_seconds: float = 300
    wake_seconds: float = 30
    idle_seconds: float = 300
    warm_seconds: float = 300
    run_seconds: float = 300
    grace_seconds: float = 5


class Settings(ServiceSettings):
    model_config = settings_config("RUN_")

    listen: Address = "127.0.0.1:8081"
    """Where apps are called over HTTP, host:port; port 0 picks a free one."""
    grpc_listen: Address = "127.0.0.1:50053"
    """Where the service's own RPCs are served, host:port."""
    apps_domain: str = "apps.localhost"
    """The domain below which a Host header names an app, as DEPLOY_APPS_DOMAIN says."""
    deploy_target: str = "127.0.0.1:50052"
    """Where the deploy service answers: host:port, several with commas between them."""
    deploy_token: SecretStr | None = None
    """The token of this service's own account, with the role `runner`. `serve` refuses to start without."""
    workflow_target: str = "127.0.0.1:50051"
    """Where the workflow service answers, likewise: it translates the flows that are tested."""
    host_socket: Path = Path("host/socket")
    """Where `python -m run_service host` listens: a path in a folder that only this user may enter."""
    runtimes: Path = Path("runtimes")
    """The folder of the installed runtimes, each named for its version."""
    slots: int = Field(default=4, ge=1, le=64)
    """Runs at work in a replica at a time."""
    queue: int = Field(default=64, ge=0)
    """Calls that may wait for a slot of a deployment. Further ones are a 429 immediately."""
    queue_seconds: float = Field(default=10, gt=0)
    """How long a call may wait for a slot; then a 429."""
    start_seconds: float = Field(default=300, gt=0)
    """How long a replica may take to start. The first one of a runtime imports all of it: 20 s on an idle machine."""
    wake_seconds: float = Field(default=30, gt=0)
    """How long a call waits for a replica to start; then a 503."""
    seconds: float = Field(default=300, gt=0)
    """How long a run may take; then a 504, and it is canceled."""
    grace_seconds: float = Field(default=5, gt=0)
    """How long a canceled run may take to end; then its replica is killed and replaced."""
    idle_seconds: float = Field(default=300, gt=0)
    """How long the replica of a serverless deployment stays up without a run."""
    warm_seconds: float = Field(default=300, ge=0)
    """How long the replica of a deployment that was replaced stays up, so that a rollback finds it running."""
    max_body_bytes: int = Field(default=4 << 20, ge=1 << 10)
    """The largest body of a call."""
    max_tests: int = Field(default=4, ge=1)
    """Tests of flows at a time, each in a replica of its own. Further ones are a 429."""
    rate_limit: str | None = None
    """How many calls each access key, and each public app, may have, such as `100/second`; no limit unless given."""
    max_requests: int = Field(default=1024, ge=1)
    """Calls at work at a time. Further ones are a 429; each access key, and each public app, may have an eighth."""
    max_bytes_under_way: int = Field(default=128 << 20, ge=1 << 20)
    """The bodies and answers of calls under way, together; further ones are a 429."""
    head_seconds: float = Field(default=10, gt=0)
    """How long the head of a call may take to arrive."""
    body_seconds: float = Field(default=10, gt=0)
    """How long a body may take to arrive, beside what its size takes at `body_bytes_per_second`."""
    body_bytes_per_second: int = Field(default=64 << 10, ge=1)
    """The slowest rate at which a body may arrive."""
    connection_idle_seconds: float = Field(default=75, gt=0)
    """How long a connection stays open between two calls."""
    write_seconds: float = Field(default=30, gt=0)
    """How long an answer may wait for a caller that takes nothing of it."""
    heartbeat_seconds: float = Field(default=15, gt=0)
    """After how long a silence a stream has a comment, so that nothing on its way gives it up."""
    max_connections: int = Field(default=8192, ge=1)
    """Connections at a time, as far as the process may have descriptors."""

    @property
    def supply_limits(self) -> SupplyLimits:
        return SupplyLimits(
            slots=self.slots,
            queue=self.queue,
            queue_seconds=self.queue_seconds,
            start_seconds=self.start_seconds,
            wake_seconds=self.wake_seconds,
            idle_seconds=self.idle_seconds,
            warm_seconds=self.warm_seconds,
            run_seconds=self.seconds,
            grace_seconds=self.grace_seconds,
        )


class HostProcessSettings(ProcessSettings):
    """The settings of `python -m run_service host`."""

    model_config = settings_config("RUN_")

    host_socket: Path = Path("host/socket")
    """Where routers connect: a path in a folder that only this user may enter."""
    host_folder: Path = Path("host/replicas")
    """For replicas' temporary folders, the list of processes and logs of imports. Its replicas of other users, as root,
    pass through the folders above it."""
    preload: Path | None = None
    """The folder of a runtime whose SDK is imported at the start, so that its first replica does not wait for that."""
    max_replicas: int = Field(default=200, ge=1)
    """Replicas at a time."""
    replica_memory_bytes: int = Field(default=1 << 30, ge=64 << 20)
    """Private memory of a replica."""
    replica_folder_bytes: int = Field(default=1 << 30, ge=1 << 20)
    """Size of a replica's temporary folder."""
    replica_files: int = Field(default=1024, ge=64)
    """Open files of a replica."""
    replica_processes: int = Field(default=512, ge=16)
    """Processes and threads of a project's replicas together, where they have a user of their own."""
    import_seconds: float = Field(default=240, gt=0)
    """How long a runtime may take to import the SDK."""
    load_seconds: float = Field(default=30, gt=0)
    """How long a replica may take to load its flow."""

    @property
    def host(self) -> HostSettings:
        return HostSettings(
            socket=self.host_socket,
            folder=self.host_folder,
            preload=self.preload,
            max_replicas=self.max_replicas,
            memory_bytes=self.replica_memory_bytes,
            folder_bytes=self.replica_folder_bytes,
            files=self.replica_files,
            processes=self.replica_processes,
            import_seconds=self.import_seconds,
            load_seconds=self.load_seconds,
        )
