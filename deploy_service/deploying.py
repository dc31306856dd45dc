"""One deploy, rollback or promotion: pins what was ordered as the app's newest deployment, in one transaction."""

from uuid import UUID

from deploy_service.drivers import Driver
from deploy_service.errors import LiveMoved, PlanOutdated
from deploy_service.model import Deployment, kind_of
from deploy_service.planning import Order, Outcome, look_at
from deploy_service.repository import apps, deployments
from deploy_service.repository.deployments import NewDeployment
from deploy_service.rollouts import count_live
from service_kit import audit
from service_kit.auth import Caller
from service_kit.db import Connection
from service_kit.ids import new_id


async def deploy(
    db: Connection, driver: Driver, caller: Caller, project_id: UUID, app_id: UUID, order: Order, action: str | None
) -> Deployment:
    """Write the deployment down and, when there is nothing to wait for, cut over. In the caller's transaction.

    `action` is noted in the app's history, unless it is None. Raises AppNotFound, LiveMoved, PlanOutdated, AppArchived,
    RuntimeNotFound, RuntimeDeprecated or VersionMarkedBad.
    """
    number, archived = await apps.lock_next_number(db, project_id, app_id)
    await _check_unmoved(db, project_id, app_id, order)
    outcome = await look_at(db, project_id, app_id, archived, order)
    if order.plan_token is not None and order.plan_token != outcome.token:
        raise PlanOutdated
    for blocker in outcome.blockers:
        raise blocker
    new = _new_deployment(project_id, number, order, outcome)
    deployment = await deployments.insert_deployment(db, caller, app_id, new, action, live=driver.immediate)
    if deployment.live_from is not None:
        count_live(deployment, deployment.live_from)
    return deployment


async def _check_unmoved(db: Connection, project_id: UUID, app_id: UUID, order: Order) -> None:
    if order.only_while_live is None:
        return
    environment, seen = order.only_while_live
    live = await deployments.find_live(db, project_id, app_id, environment)
    if live is None or live.id != seen:
        raise LiveMoved(environment)


def _new_deployment(project_id: UUID, number: int, order: Order, outcome: Outcome) -> NewDeployment:
    if outcome.runtime is None:
        raise LookupError("an outcome without blockers has a runtime")
    kind = order.kind or kind_of(outcome.pin, outcome.live)
    source = order.source.id if order.source else None
    return NewDeployment(
        project_id=project_id,
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
        source_deployment_id=source or (outcome.last_live if kind == "rollback" else None),
        flow=order.resolved.flow,
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
