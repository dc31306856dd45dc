"""Apps and their live deployments, as the deploy service streams them."""

from dataclasses import dataclass
from datetime import UTC
from typing import NamedTuple
from uuid import UUID

from run_service.model import AccessKey
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb


class MadeFrom(NamedTuple):
    """Everything that determines a replica. Deployments with equal values share replicas, so a rollback finds them
    running."""

    project_id: UUID
    app_id: UUID
    environment: str
    runtime_version: str
    loadable_digest: str
    """Hex digest. Empty when there is nothing to load."""
    variables_revision: int
    runtime_digest: str = ""
    """Hex digest of the runtime's lock. Empty if any runtime of the version may be used."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A deployment that is live or rolling out."""

    deployment_id: UUID
    version_id: UUID
    version_number: int
    kept_up: int
    """Number of replicas that stay up without calls. 0 for a serverless deployment."""
    made_from: MadeFrom


@dataclass(frozen=True, slots=True)
class EnvironmentRoute:
    name: str
    is_default: bool
    live: Pin | None
    rolling_out: tuple[Pin, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """An app, its access and its environments."""

    project_id: UUID
    app_id: UUID
    is_public: bool
    is_archived: bool
    revision: int
    environments: tuple[EnvironmentRoute, ...]

    def environment(self, name: str | None) -> EnvironmentRoute | None:
        """The environment of this name, ignoring case as host names do. Without a name, the default one."""
        for each in self.environments:
            if each.is_default if name is None else each.name.lower() == name.lower():
                return each
        return None


def route_from(message: pb.Route) -> Route:
    project_id, app_id = UUID(message.project_id), UUID(message.app_id)

    def pin_from(environment: str, pin: pb.Pin) -> Pin:
        return Pin(
            deployment_id=UUID(pin.deployment_id),
            version_id=UUID(pin.version_id),
            version_number=pin.version_number,
            kept_up=max(1, pin.scaling.min_replicas) if pin.scaling.server_based else 0,
            made_from=MadeFrom(
                project_id,
                app_id,
                environment,
                pin.runtime_version,
                pin.loadable_digest,
                pin.variables_revision,
                pin.runtime_digest,
            ),
        )

    environments = tuple(
        EnvironmentRoute(
            name=each.environment,
            is_default=each.is_default,
            live=pin_from(each.environment, each.live) if each.HasField("live") else None,
            rolling_out=tuple(pin_from(each.environment, pin) for pin in each.rolling_out),
        )
        for each in message.environments
    )
    is_public = message.access_type == pb.ACCESS_TYPE_PUBLIC
    return Route(project_id, app_id, is_public, message.archived, message.revision, environments)


def keys_from(message: pb.ProjectKeys) -> dict[bytes, AccessKey]:
    """The project's keys by their hash."""
    project_id = UUID(message.project_id)
    return {
        key.key_hash: AccessKey(
            UUID(key.id),
            project_id,
            key.preview,
            key.expires_at.ToDatetime(tzinfo=UTC) if key.HasField("expires_at") else None,
        )
        for key in message.keys
    }
