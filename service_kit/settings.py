"""The settings that every service here has, read from the environment once, in its `__main__`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict


def settings_config(prefix: str) -> SettingsConfigDict:
    return SettingsConfigDict(
        env_prefix=prefix, frozen=True, use_attribute_docstrings=True, extra="ignore", populate_by_name=True
    )


def variable(prefix: str, name: str, field: FieldInfo) -> str:
    """What the setting is called in the environment."""
    return field.validation_alias if isinstance(field.validation_alias, str) else prefix + name.upper()


Address = Annotated[str, Field(pattern=r"^.+:\d{1,5}$")]
"""host:port"""


class ProcessSettings(BaseSettings):
    """What every process here can be told."""

    model_config = settings_config("")

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged; `info` has one line a call."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto` is `console` on a terminal and `json` elsewhere."""
    metrics_listen: Address | None = None
    """Where Prometheus scrapes /metrics, host:port, for no one else to reach; nowhere unless it is given."""
    otel_exporter_otlp_endpoint: str | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """The OTLP collector (gRPC) that gets traces, as http://host:4317; nothing is traced unless it is given."""


@dataclass(frozen=True)
class DatabaseLimits:
    """How long each wait for Postgres may take, in seconds."""

    acquire: float = 5
    connect: float = 2
    statement: float = 10
    lock: float = 3
    idle_transaction: float = 10
    silence: float = 6
    grace: float = 1
    """For a statement's answer to arrive once Postgres has given it up."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    processes: int
    """At work at a time."""
    cpu_seconds: float
    """Of one call."""
    memory_bytes: int
    """Of one process: its address space."""


class WorkerSettings(BaseSettings):
    """Worker processes, which do what is costly."""

    model_config = settings_config("")

    worker_processes: int = Field(default=2, ge=2)
    """Worker processes at most. They start when a document is large or costly; one caller has half of them at most."""
    worker_cpu_seconds: float = Field(default=10, gt=0)
    """CPU time that work on a document may take."""
    worker_memory_bytes: int = Field(default=1 << 30, ge=128 << 20)
    """Address space of a worker process."""

    @property
    def worker_limits(self) -> WorkerLimits:
        return WorkerLimits(self.worker_processes, self.worker_cpu_seconds, self.worker_memory_bytes)


class ServiceSettings(ProcessSettings):
    """A gRPC service with a schema in Postgres."""

    model_config = settings_config("")

    listen: Address = "127.0.0.1:0"
    """Where to serve, host:port; port 0 picks a free one."""
    database_url: SecretStr
    """Postgres as the serving role, which can change nothing that must not change."""
    migrator_database_url: SecretStr | None = None
    """Postgres as the role that owns the tables. `migrate` needs it, `serve` does not."""
    admin_database_url: SecretStr | None = None
    """Postgres as an administrator. With it `migrate` first makes the schema and both roles."""
    access_file: Path = Path("access.yaml")
    """Who may call: orgs, projects, users and the hashes of tokens. `serve` refuses to start without it."""
    pool_size: int = Field(default=8, ge=1)
    """Connections to Postgres at most, beside those for pages and the one of the health check."""
    page_pool_size: int = Field(default=3, ge=1)
    """Connections to Postgres at most for lists, histories, audit events, diffs and exports."""
    database_acquire_seconds: float = Field(default=DatabaseLimits.acquire, gt=0)
    """How long a call waits for a free connection, and a change for others of the same thing; then UNAVAILABLE."""
    database_connect_seconds: float = Field(default=DatabaseLimits.connect, gt=0)
    """How long opening a connection to Postgres may take."""
    database_statement_seconds: float = Field(default=DatabaseLimits.statement, gt=0)
    """How long a statement may take (statement_timeout). A connection that is silent a second longer is given up."""
    database_lock_seconds: float = Field(default=DatabaseLimits.lock, gt=0)
    """How long a statement may wait for a lock (lock_timeout)."""
    database_idle_transaction_seconds: float = Field(default=DatabaseLimits.idle_transaction, gt=0)
    """How long a transaction may wait for its next statement (idle_in_transaction_session_timeout)."""
    database_silence_seconds: float = Field(default=DatabaseLimits.silence, ge=1)
    """How long the other end of a TCP connection to Postgres may acknowledge nothing (keepalive, TCP_USER_TIMEOUT)."""
    max_calls: int = Field(default=2048, ge=1)
    """Calls at work or waiting at a time. Further ones are RESOURCE_EXHAUSTED, the principal with the most first."""
    max_calls_at_work: int = Field(default=64, ge=1)
    """Calls at work at a time while several principals call. The others wait, and principals take turns."""
    max_calls_per_connection: int = Field(default=32, ge=2)
    """Calls under way on one connection; its caller's gRPC library holds back what comes on top."""
    max_message_bytes: int = Field(default=36 << 20, ge=1 << 20)
    """The largest gRPC message that is sent, and that is read unless `max_request_bytes` is smaller."""
    max_request_bytes: int = Field(default=36 << 20, ge=1 << 20)
    """The largest gRPC message that is read."""
    drain_seconds: float = Field(default=10, ge=0)
    """How long calls under way may take to finish after SIGTERM."""

    @property
    def database_limits(self) -> DatabaseLimits:
        return DatabaseLimits(
            acquire=self.database_acquire_seconds,
            connect=self.database_connect_seconds,
            statement=self.database_statement_seconds,
            lock=self.database_lock_seconds,
            idle_transaction=self.database_idle_transaction_seconds,
            silence=self.database_silence_seconds,
        )
