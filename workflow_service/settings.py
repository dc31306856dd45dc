"""The workflow service's settings: WORKFLOW_… in the environment."""

from pydantic import Field

from service_kit.settings import Address, ServiceSettings, WorkerSettings, settings_config


class Settings(ServiceSettings, WorkerSettings):
    model_config = settings_config("WORKFLOW_")

    listen: Address = "127.0.0.1:50051"
    """Where to serve, host:port; port 0 picks a free one."""
    max_flow_bytes: int = Field(default=16 << 20, ge=1024)
    """The largest flow, and the largest flow_ui, that is saved."""
    cache_bytes: int = Field(default=32 << 20, ge=0)
    """How much of what versions hold is kept in memory, in bytes; 0 is none. Their state is always read anew."""
