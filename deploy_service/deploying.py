"""One deploy: pins what was asked for as the app's newest deployment, in one transaction."""

from dataclasses import dataclass
from uuid import UUID

from deploy_service.config import SERVERLESS
from deploy_service.drivers import Driver
from deploy_service.model import Deployment, check_runtime, kind_of
from deploy_service.pins import Resolved
from deploy_service.repository import apps, deployments, runtimes
from deploy_service.repository.deployments import NewDeployment
from deploy_service.rollouts import cut_over
from service_kit.auth import Caller
from service_kit.db import Connection
from service_kit.ids import new_id


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for. None keeps what is live there: the runtime, the configuration (JSON bytes)."""

    environment: str
    resolved: Resolved
    runtime_id: UUID | None
    config: bytes | None
    reason: str | None


async def deploy(
    db: Connection, driver: Driver, caller: Caller, project_id: UUID, app_id: UUID, order: Order
) -> Deployment:
    """Write the deployment down and, when there is nothing to wait for, cut over. In the caller's transaction.

    Raises AppNotFound, RuntimeNotFound or RuntimeDeprecated.
    """
    number = await apps.lock_next_number(db, project_id, app_id)
    live = await deployments.find_live(db, project_id, app_id, order.environment)
    runtime_id, runtime_version, runtime_label = await _runtime(db, order.runtime_id, live)
    resolved = order.resolved
    if resolved.flow is not None:
        await deployments.insert_flow(db, project_id, resolved.pin.version_digest, resolved.flow)
    new = NewDeployment(
        id=new_id(),
        number=number,
        environment=order.environment,
        kind=kind_of(resolved.pin, live),
        reason=order.reason,
        pin=resolved.pin,
        runtime_id=runtime_id,
        runtime_version=runtime_version,
        runtime_label=runtime_label,
        config=order.config or (live.config if live else SERVERLESS),
        warnings=resolved.warnings,
        created_by=caller.id,
        created_by_name=caller.name,
    )
    deployment = await deployments.insert_deployment(db, project_id, app_id, new)
    return await cut_over(db, deployment, owner=None) if driver.immediate else deployment


async def _runtime(db: Connection, asked: UUID | None, live: Deployment | None) -> tuple[UUID, str, str]:
    """The runtime to pin: the one asked for, or else the live one as it was pinned, or else the default."""
    if asked is None and live is not None:
        return live.runtime_id, live.runtime_version, live.runtime_label
    runtime = await runtimes.get_runtime(db, asked) if asked else await runtimes.get_default_runtime(db)
    check_runtime(runtime, live)
    return runtime.id, runtime.version, runtime.label
