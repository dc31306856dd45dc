"""The settings that every service here has, read from the environment once, in its `__main__`."""

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
    pool_size: int = Field(default=10, ge=1)
    """Connections to Postgres at most."""
    max_calls: int = Field(default=512, ge=1)
    """Calls at work at a time; what comes on top is RESOURCE_EXHAUSTED at once."""
    max_calls_per_connection: int = Field(default=32, ge=2)
    """Calls under way on one connection; its caller's gRPC library holds back what comes on top."""
    max_message_bytes: int = Field(default=36 << 20, ge=1 << 20)
    """The largest gRPC message that is read or sent."""
    drain_seconds: float = Field(default=10, ge=0)
    """How long calls under way may take to finish after SIGTERM."""
