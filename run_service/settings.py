"""The run service's settings: RUN_… in the environment."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, SecretStr

from run_service.hosting.settings import HostSettings
from service_kit.settings import Address, ChannelTlsSettings, ProcessSettings, ServiceSettings, settings_config


@dataclass(frozen=True, slots=True)
class SupplyLimits:
    """Limits of runs, and of each wait for a replica in seconds."""

    slots: int = 4
    queue: int = 64
    queue_seconds: float = 10
    start_seconds: float = 300
    wake_seconds: float = 30
    idle_seconds: float = 300
    warm_seconds: float = 300
    run_seconds: float = 300
    grace_seconds: float = 5
    recycle_runs: int = 10_000
    recycle_bytes: int = 512 << 20


class Settings(ServiceSettings, ChannelTlsSettings):
    model_config = settings_config("RUN_")

    listen: Address = "127.0.0.1:8081"
    """Where apps are called over HTTP, host:port. Port 0 picks a free port."""
    grpc_listen: Address = "127.0.0.1:50053"
    """Where the service's RPCs are served, host:port."""
    apps_domain: str = "apps.localhost"
    """Domain of apps in Host headers. The same as DEPLOY_APPS_DOMAIN."""
    deploy_target: str = "127.0.0.1:50052"
    """Addresses of the deploy service: host:port, separated by commas."""
    deploy_token: SecretStr | None = None
    """Token of this service's own account, with the role `runner`. `serve` does not start without it."""
    workflow_target: str = "127.0.0.1:50051"
    """Addresses of the workflow service, which translates tested flows: host:port, separated by commas."""
    host_socket: Path = Path("host/socket")
    """Socket of `python -m run_service host`, in a folder that only this user can enter."""
    offline_folder: Path | None = None
    """Folder for an encrypted copy of the last routes, documents and variables. A run service uses it if it starts
    while the deploy service is unreachable. If not set, no copy is kept."""
    offline_keys: SecretStr | None = None
    """Keys that encrypt `offline_folder`: 64 hexadecimal digits each, separated by commas, newest first."""
    offline_bytes: int = Field(default=1 << 30, ge=1 << 20)
    """Size limit of `offline_folder`."""
    runtimes: Path = Path("runtimes")
    """The folder of the installed runtimes, each in a folder named after its version."""
    slots: int = Field(default=4, ge=1, le=64)
    """Maximum number of concurrent runs in a replica."""
    queue: int = Field(default=64, ge=0)
    """Maximum number of calls that wait for a slot of a deployment. Further ones are a 429."""
    queue_seconds: float = Field(default=10, gt=0)
    """How long a call may wait for a slot. After that, the answer is a 429."""
    start_seconds: float = Field(default=300, gt=0)
    """How long a replica may take to start. The first one imports the runtime, which takes 20 s on an idle machine."""
    wake_seconds: float = Field(default=30, gt=0)
    """How long a call waits for a replica to start. After that, the answer is a 503."""
    seconds: float = Field(default=300, gt=0)
    """How long a run may take. After that, it is canceled, and the answer is a 504."""
    grace_seconds: float = Field(default=5, gt=0)
    """How long a canceled run may take to end. After that, its replica is killed and replaced."""
    idle_seconds: float = Field(default=300, gt=0)
    """How long the replica of a serverless deployment stays up without a run."""
    warm_seconds: float = Field(default=300, ge=0)
    """How long the replicas of a replaced deployment stay up, so that a rollback finds them running."""
    recycle_runs: int = Field(default=10_000, ge=1)
    """After this many runs, a replica is replaced by a new one, which is started first."""
    recycle_bytes: int = Field(default=512 << 20, ge=1 << 20)
    """A replica is also replaced when its private memory has grown by more than this."""
    kept_days: float = Field(default=30, ge=1)
    """How many days the record of a run is kept after it has ended."""
    max_body_bytes: int = Field(default=4 << 20, ge=1 << 10)
    """Size limit of a call's body."""
    max_tests: int = Field(default=4, ge=1)
    """Maximum number of tests of flows, each in its own replica. Further ones are a 429."""
    rate_limit: str | None = None
    """Calls per access key, and per public app, such as `100/second`. No limit by default."""
    max_requests: int = Field(default=1024, ge=1)
    """Maximum number of calls. Further ones are a 429. Each access key and each public app may always have an eighth of
    it."""
    max_bytes_under_way: int = Field(default=128 << 20, ge=1 << 20)
    """Size limit of all bodies and answers in progress together. Further calls are a 429."""
    head_seconds: float = Field(default=10, gt=0)
    """How long the head of a call may take to arrive."""
    body_seconds: float = Field(default=10, gt=0)
    """How long a body may take to arrive, in addition to its size divided by `body_bytes_per_second`."""
    body_bytes_per_second: int = Field(default=64 << 10, ge=1)
    """The slowest rate at which a body may arrive."""
    connection_idle_seconds: float = Field(default=75, gt=0)
    """How long a connection stays open between two calls."""
    write_seconds: float = Field(default=30, gt=0)
    """How long an answer may wait for a caller that does not read it."""
    heartbeat_seconds: float = Field(default=15, gt=0)
    """How long a stream may be silent before a comment is sent, so that no proxy closes it."""
    max_connections: int = Field(default=8192, ge=1)
    """Maximum number of connections, within the limit of file descriptors."""

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
            recycle_runs=self.recycle_runs,
            recycle_bytes=self.recycle_bytes,
        )


class HostProcessSettings(ProcessSettings):
    """The settings of `python -m run_service host`."""

    model_config = settings_config("RUN_")

    host_socket: Path = Path("host/socket")
    """Socket for routers, in a folder that only this user can enter."""
    host_folder: Path = Path("host/replicas")
    """Folder for replicas' temporary folders, the list of processes and logs of imports. If the host runs as root,
    replicas run as other users, which must be able to pass through the folders above it."""
    preload: Path | None = None
    """Folder of a runtime whose SDK is imported at start, so that the first replica does not wait for it."""
    max_replicas: int = Field(default=200, ge=1)
    """Maximum number of replicas."""
    replica_memory_bytes: int = Field(default=1 << 30, ge=64 << 20)
    """Limit of a replica's private memory."""
    replica_folder_bytes: int = Field(default=1 << 30, ge=1 << 20)
    """Size limit of a replica's temporary folder."""
    replica_files: int = Field(default=1024, ge=64)
    """Maximum number of a replica's open files."""
    replica_processes: int = Field(default=512, ge=16)
    """Maximum number of processes and threads of a project's replicas, if they have their own user."""
    import_seconds: float = Field(default=240, gt=0)
    """How long a runtime may take to import the SDK."""
    runtime_idle_seconds: float = Field(default=600, gt=0)
    """How long a runtime without replicas stays imported (560 MB), except that of `preload`."""
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
            runtime_idle_seconds=self.runtime_idle_seconds,
        )
