"""The deploy service's settings: DEPLOY_… in the environment."""

from typing import Literal

from pydantic import Field, SecretStr

from service_kit.settings import Address, ServiceSettings, settings_config


class Settings(ServiceSettings):
    model_config = settings_config("DEPLOY_")

    listen: Address = "127.0.0.1:50052"
    """Where to serve, host:port; port 0 picks a free one."""
    workflow_target: str = "127.0.0.1:50051"
    """Where the workflow service answers: host:port, several with commas between them."""
    workflow_token: SecretStr | None = None
    """The token of this service's own account, viewer in every org it deploys for. `serve` refuses to start without."""
    apps_domain: str = "apps.localhost"
    """An app's hostname is its id in this domain. With {app} in it, it is this with the id in that place, such as
    http://127.0.0.1:8081/apps/{app} where names do not resolve."""
    max_request_bytes: int = Field(default=5 << 20, ge=1 << 20)
    """The largest gRPC message that is read: a batch of 64 calls of 64 KiB, which is far more than calls here have."""
    rollout_driver: Literal["instant", "local", "scripted"] = "instant"
    """What brings a deployment up. `local` waits for a run service, with which apps answer calls. `instant` waits for
    nothing: an app is a record. `scripted` follows `rollout_script`, for tests."""
    rollout_script: str = "ok"
    """One step for each deployment of an app, the last for all further ones: ok, delay:SECONDS, fail or hang."""
    rollout_run_service_seconds: float = Field(default=5, gt=0)
    """With `local`: a rollout has failed once no run service has been connected for so long."""
    wait_seconds: float = Field(default=10, ge=0)
    """How long deploys, rollbacks, promotions and new apps wait for their rollout before they are answered.

    `instant` has nothing to wait for."""
    variable_keys: SecretStr | None = None
    """What variables are encrypted with: 64 hexadecimal digits (openssl rand -hex 32), or several with commas between
    them, the newest first. New values take the first one, and any of them reads. No variable can be set without."""
    rollout_timeout_seconds: float = Field(default=600, gt=0)
    """A rollout that takes longer has failed, whichever replicas worked on it."""
    rollout_lease_seconds: float = Field(default=4, ge=1)
    """How long a replica that no longer answers keeps its rollouts from the others, which then go on with them."""
    rollout_takeover_seconds: float = Field(default=2, ge=0)
    """How long a rollout still has when a replica takes it up at the end of its time, or after it."""
