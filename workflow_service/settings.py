"""The workflow service's settings: WORKFLOW_… in the environment."""

from pydantic import Field

from service_kit.settings import Address, ChannelTlsSettings, ServiceSettings, WorkerSettings, settings_config


class Settings(ServiceSettings, WorkerSettings, ChannelTlsSettings):
    model_config = settings_config("WORKFLOW_")

    listen: Address = "127.0.0.1:50051"
    """Where to listen, host:port. Port 0 picks a free port."""
    deploy_target: str | None = None
    """Addresses of the deploy service: host:port, separated by commas. If set, deletes say what is still live."""
    max_flow_bytes: int = Field(default=16 << 20, ge=1024)
    """Size limit of a flow, and of a flow_ui."""
    cache_bytes: int = Field(default=32 << 20, ge=0)
    """Size of the cache of versions' content. 0 turns it off. The state of versions is never cached."""
