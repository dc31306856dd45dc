"""The console's settings, read from the environment once, in its `__main__`."""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from service_kit.access.file import is_safe_url
from service_kit.openid.provider import Client
from service_kit.settings import (
    Address,
    ChannelTlsSettings,
    ListenerTlsSettings,
    ProcessSettings,
    settings_config,
)


class Settings(ProcessSettings, ListenerTlsSettings, ChannelTlsSettings):
    """Settings of the console."""

    model_config = settings_config("CONSOLE_")

    listen: Address = "127.0.0.1:8082"
    """Where to listen, host:port. Port 0 picks a free port."""
    url: str | None = None
    """Where browsers reach the console, such as https://console.example.com. Default: the host that they name. Cookies
    are `Secure` when this is https or the listener uses TLS."""
    key: SecretStr | None = None
    """Keys that encrypt cookies: 64 hexadecimal digits each, separated by commas, newest first, the same for all
    replicas. Without a key, each start makes a new one and signs everybody out."""
    sign_in_file: Path | None = None
    """The file in which `flowpin up` and `flowpin sign-in` write a one-time sign-in link."""
    issuer: str | None = None
    """The OpenID Connect issuer at which people may sign in, as in access.yaml. Needs `url` and `client_id`. Its
    redirect URI is `url` with /sign-in/issuer/callback."""
    client_id: str | None = None
    """The console's client at the issuer, of the authorization code flow with PKCE."""
    client_secret: SecretStr | None = None
    """The client's secret. Without it, the client is a public one."""
    audience: str | None = None
    """The issuer's audience in access.yaml, if it is not the client's id. Then access tokens with this audience are
    used."""
    scope: str | None = None
    """Scopes to request, separated by spaces. Default: those of openid, profile, email, groups and offline_access that
    the issuer supports."""
    workflow_target: str = "127.0.0.1:50051"
    """Addresses of the workflow service: host:port, separated by commas."""
    deploy_target: str = "127.0.0.1:50052"
    """Addresses of the deploy service: host:port, separated by commas."""
    run_target: str | None = None
    """Addresses of the run service: host:port, separated by commas. If not set, pages cannot call apps."""
    session_hours: float = Field(default=12, gt=0, le=24 * 31)
    """How long a person stays signed in."""
    max_body_bytes: int = Field(default=34 << 20, ge=1 << 10)
    """Size limit of forms. A save may carry two documents of 16 MiB."""
    max_requests: int = Field(default=256, ge=1)
    """Maximum number of running and waiting requests. Further ones are a 429, those of the principal with the most
    requests first."""
    max_requests_at_work: int = Field(default=32, ge=1)
    """Maximum number of running requests. Other requests wait, and people take turns."""
    max_bytes_under_way: int = Field(default=128 << 20, ge=1 << 20)
    """Size limit of all forms in progress together. Further requests are a 429."""
    head_seconds: float = Field(default=10, gt=0)
    """How long the head of a request may take to arrive."""
    body_seconds: float = Field(default=10, gt=0)
    """How long a form may take to arrive, in addition to its size divided by `body_bytes_per_second`."""
    body_bytes_per_second: int = Field(default=64 << 10, ge=1)
    """The slowest rate at which a form may arrive."""
    idle_seconds: float = Field(default=75, gt=0)
    """How long a connection stays open between two requests."""
    write_seconds: float = Field(default=30, gt=0)
    """How long an answer may wait for a browser that does not read it."""
    max_connections: int = Field(default=2048, ge=1)
    """Maximum number of connections, within the limit of file descriptors. A new one then replaces an idle one."""
    timeout_seconds: float = Field(default=10, gt=0)
    """How long a call to a service may take."""
    second_try_seconds: float = Field(default=1, gt=0)
    """How long a read may stay unanswered before it is also sent to another replica."""
    drain_seconds: float = Field(default=10, ge=0)
    """How long requests in progress may take to end after SIGTERM."""

    @model_validator(mode="after")
    def _has_client(self) -> Self:
        if self.issuer is None and (self.client_id or self.client_secret or self.audience or self.scope):
            raise ValueError("client_id, client_secret, audience and scope need issuer")
        if self.issuer is not None and not (self.url and self.client_id):
            raise ValueError("issuer needs url and client_id")
        return self

    @property
    def client(self) -> Client | None:
        """The console's client at the issuer. None without `client_id`."""
        if not self.client_id:
            return None
        secret = self.client_secret.get_secret_value() if self.client_secret else ""
        return Client(self.client_id, self.audience or self.client_id, secret, self.scope or "")

    @field_validator("url", "issuer", "client_id", "audience", "scope", mode="before")
    @classmethod
    def _is_given(cls, value: object) -> object:
        return value or None  # compose files may set empty values

    @field_validator("issuer")
    @classmethod
    def _is_safe(cls, issuer: str | None) -> str | None:
        if issuer is not None and not is_safe_url(issuer):
            raise ValueError("must be an https URL (http is accepted for this machine only)")
        return issuer

    @field_validator("url")
    @classmethod
    def _is_origin(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query or parts.fragment:
            raise ValueError("must be http:// or https:// and a host, without a path")
        return f"{parts.scheme}://{parts.netloc.lower()}"

    @field_validator("key")
    @classmethod
    def _is_keys(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None or not key.get_secret_value():
            return None
        for each in key.get_secret_value().split(","):
            try:
                is_key = len(bytes.fromhex(each)) == 32
            except ValueError:
                is_key = False
            if not is_key:
                raise ValueError("must be 32 bytes in hex, or several such separated by commas")
        return key
