"""Settings that several processes share. Each process reads them from the environment once, at start."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from service_kit.database_urls import quoted
from service_kit.tls import ChannelTls, TlsFiles


def settings_config(prefix: str) -> SettingsConfigDict:
    return SettingsConfigDict(
        env_prefix=prefix, frozen=True, use_attribute_docstrings=True, extra="ignore", populate_by_name=True
    )


def variable(prefix: str, name: str, field: FieldInfo) -> str:
    """The name of the environment variable that sets the field."""
    return field.validation_alias if isinstance(field.validation_alias, str) else prefix + name.upper()


def misspelt(classes: Sequence[type[BaseSettings]]) -> list[str]:
    """A sentence for each environment variable that has a prefix of these settings but is not one of them."""
    known: set[str] = set()
    for settings_class in classes:
        prefix = str(settings_class.model_config.get("env_prefix", ""))
        names = {name: variable(prefix, name, field).upper() for name, field in settings_class.model_fields.items()}
        known |= set(names.values())
        known |= {f"{names[name]}_FILE" for name, field in settings_class.model_fields.items() if takes_file(field)}
    prefixes = tuple({str(settings_class.model_config.get("env_prefix", "")) for settings_class in classes} - {""})
    in_environ = sorted(name.upper() for name in EnvSettingsSource(classes[0]).env_vars)
    unknown = [name for name in in_environ if name.startswith(prefixes) and name not in known]
    return [f"{name} is not a setting.{_nearest(name, known)}" for name in unknown]


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), 1, cutoff=0.7)
    return f" Did you mean {near[0]}?" if near else ""


def takes_file(field: FieldInfo) -> bool:
    """Whether a setting is a secret. A secret may be in a file that the variable with the suffix `_FILE` names."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


class SecretFiles(PydanticBaseSettingsSource):
    """Reads secrets from the files that `…_FILE` variables name, as Docker and Kubernetes mount them."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = f"{variable(str(self.config.get('env_prefix', '')), field_name, field)}_FILE"
        environ = EnvSettingsSource(self.settings_cls, case_sensitive=False).env_vars  # variables by lower-case names
        path = environ.get(name.lower())
        if not path or not takes_file(field):
            return None, field_name, False
        if name.removesuffix("_FILE").lower() in environ:
            raise ValueError(f"{name} and {name.removesuffix('_FILE')} must not be given together")
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ValueError(f"{name} names {path}, which cannot be read: {why}") from None

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


Address = Annotated[str, Field(pattern=r"^.+:\d{1,5}$")]
"""An address as host:port."""


class ProcessSettings(BaseSettings):
    """Settings of every process."""

    model_config = settings_config("")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, SecretFiles(settings_cls)

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged. `info` writes one line per call."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto` is `console` on a terminal and `json` elsewhere."""
    metrics_listen: Address | None = None
    """Where Prometheus scrapes /metrics, host:port. Keep it internal: it needs no token. Off by default."""
    otel_exporter_otlp_endpoint: str | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """The OTLP collector (gRPC) that receives traces, such as http://host:4317. Off by default."""


class ListenerTlsSettings(BaseSettings):
    """TLS of a process's listeners. Changed files are read again; open connections continue."""

    model_config = settings_config("")

    tls_cert: Path | None = None
    """The listeners' certificate with its intermediates (PEM). If not set, listeners do not use TLS."""
    tls_key: Path | None = None
    """The key of `tls_cert` (PEM, not encrypted)."""
    tls_client_ca: Path | None = None
    """The authorities (PEM) that must have signed callers' certificates. If not set, callers need no certificate."""

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None) or (self.tls_client_ca and not self.tls_cert):
            raise ValueError("tls_cert and tls_key must be given together, and tls_client_ca only with them")
        return self

    @property
    def listener_tls(self) -> TlsFiles | None:
        return None if self.tls_cert is None else TlsFiles(self.tls_cert, self.tls_key, self.tls_client_ca)


class ChannelTlsSettings(BaseSettings):
    """TLS of a process's channels to services."""

    model_config = settings_config("")

    tls_ca: Path | None = None
    """The authorities (PEM) that must have signed services' certificates. If not set, channels do not use TLS."""
    tls_channel_cert: Path | None = None
    """The certificate (PEM) that this process shows to services that ask for one."""
    tls_channel_key: Path | None = None
    """The key of `tls_channel_cert` (PEM)."""
    tls_server_name: str | None = None
    """The name that services' certificates must have. Default: the host of the first target."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.tls_channel_cert is None) != (self.tls_channel_key is None) or (
            self.tls_ca is None and (self.tls_channel_cert or self.tls_server_name)
        ):
            raise ValueError("tls_channel_cert and tls_channel_key must be given together, and only with tls_ca")
        return self

    @property
    def channel_tls(self) -> ChannelTls | None:
        if self.tls_ca is None:
            return None
        return ChannelTls(TlsFiles(self.tls_channel_cert, self.tls_channel_key, self.tls_ca), self.tls_server_name)


@dataclass(frozen=True)
class DatabaseLimits:
    """Limits of each wait for Postgres, in seconds."""

    acquire: float = 5
    connect: float = 2
    statement: float = 10
    lock: float = 3
    idle_transaction: float = 10
    silence: float = 6
    grace: float = 1
    """Time for the answer to arrive after Postgres has canceled a statement."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    processes: int
    """Maximum concurrent processes."""
    cpu_seconds: float
    """CPU time per call, in seconds."""
    memory_bytes: int
    """Address space of one process."""


class WorkerSettings(BaseSettings):
    """Worker processes for work that is costly."""

    model_config = settings_config("")

    worker_processes: int = Field(default=2, ge=2)
    """Maximum number of worker processes. They start for large or costly documents. One caller gets at most half."""
    worker_cpu_seconds: float = Field(default=10, gt=0)
    """CPU time per document, in seconds."""
    worker_memory_bytes: int = Field(default=1 << 30, ge=128 << 20)
    """Address space of a worker process."""

    @property
    def worker_limits(self) -> WorkerLimits:
        return WorkerLimits(self.worker_processes, self.worker_cpu_seconds, self.worker_memory_bytes)


class ServiceSettings(ProcessSettings, ListenerTlsSettings):
    """Settings of a gRPC service with a schema in Postgres."""

    model_config = settings_config("")

    listen: Address = "127.0.0.1:0"
    """Where to listen, host:port. Port 0 picks a free port."""
    database_url: SecretStr
    """URL of Postgres with the serving role: postgresql://user:password@host/name. The password may contain any
    character, but write % as %25. The same applies to the next two."""
    migrator_database_url: SecretStr | None = None
    """URL of Postgres with the role that owns the tables. Only `migrate` needs it."""
    admin_database_url: SecretStr | None = None
    """URL of Postgres with an administrator role. If set, `migrate` first creates the schema and both roles."""
    access_file: Path = Path("access.yaml")
    """The file of orgs, projects, users and token hashes. `serve` does not start without it."""
    pool_size: int = Field(default=8, ge=1)
    """Maximum number of connections to Postgres, except those for pages and the one of the health check."""
    page_pool_size: int = Field(default=3, ge=1)
    """Maximum number of connections to Postgres for lists, histories, audit events, diffs and exports."""
    database_acquire_seconds: float = Field(default=DatabaseLimits.acquire, gt=0)
    """How long a call waits for a free connection, or for other changes of the same object. After that, it fails with
    UNAVAILABLE."""
    database_connect_seconds: float = Field(default=DatabaseLimits.connect, gt=0)
    """How long opening a connection to Postgres may take."""
    database_statement_seconds: float = Field(default=DatabaseLimits.statement, gt=0)
    """How long a statement may take (statement_timeout). A connection that is silent for a second longer is closed."""
    database_lock_seconds: float = Field(default=DatabaseLimits.lock, gt=0)
    """How long a statement may wait for a lock (lock_timeout)."""
    database_idle_transaction_seconds: float = Field(default=DatabaseLimits.idle_transaction, gt=0)
    """How long a transaction may wait for its next statement (idle_in_transaction_session_timeout)."""
    database_silence_seconds: float = Field(default=DatabaseLimits.silence, ge=1)
    """How long the other end of a TCP connection to Postgres may acknowledge nothing (keepalive, TCP_USER_TIMEOUT)."""
    max_calls: int = Field(default=8192, ge=1)
    """Maximum number of running and waiting calls, some 27 KB each. Further calls fail with RESOURCE_EXHAUSTED, those
    of the principal with the most calls first."""
    max_calls_at_work: int = Field(default=64, ge=1)
    """Maximum number of running calls while several principals call. Other calls wait, and principals take turns."""
    max_calls_per_connection: int = Field(default=32, ge=2)
    """Maximum number of calls in progress per connection. The caller's gRPC library delays further calls."""
    max_message_bytes: int = Field(default=36 << 20, ge=1 << 20)
    """Size limit of sent gRPC messages, and of received ones unless `max_request_bytes` is smaller."""
    max_request_bytes: int = Field(default=36 << 20, ge=1 << 20)
    """Size limit of received gRPC messages."""
    drain_seconds: float = Field(default=10, ge=0)
    """How long calls in progress may take to end after SIGTERM."""

    @field_validator("database_url", "migrator_database_url", "admin_database_url")
    @classmethod
    def _quoted(cls, url: SecretStr | None) -> SecretStr | None:
        return None if url is None else SecretStr(quoted(url.get_secret_value()))

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
