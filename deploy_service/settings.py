"""The deploy service's settings: DEPLOY_… in the environment."""

from typing import Literal

from pydantic import Field, SecretStr

from service_kit.settings import Address, ChannelTlsSettings, ServiceSettings, settings_config


class Settings(ServiceSettings, ChannelTlsSettings):
    model_config = settings_config("DEPLOY_")

    listen: Address = "127.0.0.1:50052"
    """Where to listen, host:port. Port 0 picks a free port."""
    workflow_target: str = "127.0.0.1:50051"
    """Addresses of the workflow service: host:port, separated by commas."""
    workflow_token: SecretStr | None = None
    """Token of this service's own account, with the role `viewer` in every org for which it deploys. `serve` does not
    start without it."""
    apps_domain: str = "apps.localhost"
    """Domain of apps: an app's hostname is its id in this domain. Where names do not resolve, use a URL with {app} for
    the id, such as http://127.0.0.1:8081/apps/{app}."""
    max_request_bytes: int = Field(default=5 << 20, ge=1 << 20)
    """Size limit of received gRPC messages. The default fits a batch of 64 calls of 64 KiB, far more than this service
    gets."""
    rollout_driver: Literal["instant", "local", "scripted"] = "instant"
    """What starts a deployment. `local`: a run service, so that apps answer calls. `instant`: nothing, so that an app
    is only a record. `scripted`: the steps of `rollout_script`, for tests."""
    rollout_script: str = "ok"
    """One step per deployment of an app: ok, delay:SECONDS, fail or hang. The last step applies to all further
    deployments."""
    rollout_run_service_seconds: float = Field(default=5, gt=0)
    """With `local`: a rollout fails when no run service was connected for this long."""
    wait_seconds: float = Field(default=10, ge=0)
    """How long calls that deploy, roll back, promote or create an app wait for the rollout. No effect with
    `instant`."""
    variable_keys: SecretStr | None = None
    """Keys that encrypt variables: 64 hexadecimal digits each (openssl rand -hex 32), separated by commas, newest
    first. The first key encrypts, and each can decrypt. Without a key, no variable can be set."""
    rollout_timeout_seconds: float = Field(default=600, gt=0)
    """A rollout that takes longer fails, even if another replica has taken it over."""
    rollout_lease_seconds: float = Field(default=4, ge=1)
    """How long a replica may be silent before another one takes over its rollouts."""
    rollout_takeover_seconds: float = Field(default=2, ge=0)
    """How much time a rollout still has if it is taken over at or after the end of its time."""
