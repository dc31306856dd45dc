"""One deploy, rollback or promotion: pins what was ordered as the app's newest deployment, in one transaction."""

from uuid import UUID

from deploy_service.drivers import Driver
from deploy_service.errors import LiveMoved, PlanOutdated
from deploy_service.model import Deployment, kind_of
from deploy_service.planning import Order, Outcome, look_at
from deploy_service.repository import apps, deployments, history
from deploy_service.repository.deployments import NewDeployment
from deploy_service.rollouts import cut_over
from service_kit import audit
from service_kit.auth import Caller
from service_kit.db import Connection
from service_kit.ids import new_id


async def deploy(
    db: Connection, driver: Driver, caller: Caller, project_id: UUID, app_id: UUID, order: Order
) -> Deployment:
    """Write the deployment down and, when there is nothing to wait for, cut over. In the caller's transaction.

    Raises AppNotFound, LiveMoved, PlanOutdated, AppArchived, RuntimeNotFound, RuntimeDeprecated or VersionMarkedBad.
    """
    number, archived = await apps.lock_next_number(db, project_id, app_id)
    await _check_unmoved(db, project_id, app_id, order)
    outcome = await look_at(db, project_id, app_id, archived, order)
    if order.plan_token is not None and order.plan_token != outcome.token:
        raise PlanOutdated
    for blocker in outcome.blockers:
        raise blocker
    resolved = order.resolved
    if resolved.flow is not None:
        await deployments.insert_flow(db, project_id, resolved.pin.version_digest, resolved.flow)
    new = await _new_deployment(db, caller, project_id, app_id, number, order, outcome)
    deployment = await deployments.insert_deployment(db, project_id, app_id, new)
    return await cut_over(db, deployment, owner=None) if driver.immediate else deployment


async def _check_unmoved(db: Connection, project_id: UUID, app_id: UUID, order: Order) -> None:
    if order.only_while_live is None:
        return
    environment, seen = order.only_while_live
    live = await deployments.find_live(db, project_id, app_id, environment)
    if live is None or live.id != seen:
        raise LiveMoved(environment)


async def _new_deployment(
    db: Connection, caller: Caller, project_id: UUID, app_id: UUID, number: int, order: Order, outcome: Outcome
) -> NewDeployment:
    if outcome.runtime is None:
        raise LookupError("an outcome without blockers has a runtime")
    kind = order.kind or kind_of(outcome.pin, outcome.live)
    source = order.source.id if order.source else None
    if kind == "rollback" and source is None:
        version_id = outcome.pin.version_id
        source = await history.find_last_live(db, project_id, app_id, order.environment, version_id)
    return NewDeployment(
        id=new_id(),
        number=number,
        environment=order.environment,
        kind=kind,
        reason=order.reason,
        pin=outcome.pin,
        runtime_id=outcome.runtime.id,
        runtime_version=outcome.runtime.version,
        runtime_label=outcome.runtime.label,
        config=outcome.config,
        warnings=order.resolved.warnings,
        created_by=caller.id,
        created_by_name=caller.name,
        source_deployment_id=source,
    )


async def note(db: Connection, caller: Caller, action: str, deployment: Deployment, **details: str) -> None:
    """Record what was done to a deployment in its app's history."""
    await audit.record(
        db,
        caller,
        deployment.project_id,
        deployment.app_id,
        action,
        deployment.id,
        environment=deployment.environment,
        version=f"v{deployment.pin.version_number}",
        **details,
    )
