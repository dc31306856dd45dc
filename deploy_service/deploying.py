"""Deploys, rollbacks and promotions: pins what was ordered as the app's newest deployment, and cuts over.

It is decided on what is found at one revision of the app, and written down in one statement if the app is still at it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from deploy_service.drivers import Driver
from deploy_service.errors import LiveMoved, PlanOutdated
from deploy_service.model import Deployment, kind_of
from deploy_service.planning import Order, outcome_of, token_of
from deploy_service.repository import apps
from deploy_service.repository.new_deployments import NewDeployment, insert_deployments
from deploy_service.repository.standings import Standing, find_standings
from deploy_service.rollouts import count_live
from service_kit import audit
from service_kit.auth import Caller
from service_kit.db import Connection
from service_kit.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order for an app, and who gave it."""

    caller: Caller
    project_id: UUID
    app_id: UUID
    order: Order
    action: str | None
    """Noted in the app's history, unless it is None."""


async def deploy(db: Connection, driver: Driver, ordered: Ordered) -> Deployment:
    """Deploy under the app's lock. In the caller's transaction.

    Raises AppNotFound, LiveMoved, PlanOutdated, AppArchived, RuntimeNotFound, RuntimeDeprecated or VersionMarkedBad.
    """
    await apps.lock_app(db, [ordered.project_id], ordered.app_id)
    (done,) = await _deploy(db, driver, [ordered])
    if isinstance(done, ServiceError):
        raise done
    if done is None:
        raise LookupError("the app moved on while it was locked")
    return done


async def deploy_together(
    db: Connection, driver: Driver, many: Sequence[Ordered]
) -> list[Deployment | ServiceError | None]:
    """Deploy without waiting for anything: each, or why not, in their order.

    None is for one to be deployed by itself: another one comes first, or something else is changing its app.
    """
    first = {ordered.app_id: ordered for ordered in reversed(many)}
    try:
        found = dict(zip(first, await _deploy(db, driver, list(first.values())), strict=True))
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
        return [None] * len(many)
    return [found[ordered.app_id] if ordered is first[ordered.app_id] else None for ordered in many]


async def _deploy(db: Connection, driver: Driver, many: Sequence[Ordered]) -> list[Deployment | ServiceError | None]:
    standings = await find_standings(db, [ordered.order.key(ordered.project_id, ordered.app_id) for ordered in many])
    decided = [_decide(driver, ordered, standing) for ordered, standing in zip(many, standings, strict=True)]
    inserted = await insert_deployments(db, [new for new in decided if isinstance(new, NewDeployment)])
    for deployment in inserted.values():
        if deployment.live_from is not None:
            count_live(deployment, deployment.live_from)
    return [inserted.get(each.id) if isinstance(each, NewDeployment) else each for each in decided]


def _decide(driver: Driver, ordered: Ordered, standing: Standing | ServiceError) -> NewDeployment | ServiceError:
    """What is to be written down, or why nothing is."""
    if isinstance(standing, ServiceError):
        return standing
    order, pin, live = ordered.order, ordered.order.resolved.pin, standing.live
    if order.only_while_live is not None:
        environment, seen = order.only_while_live
        if standing.live_in_watched != seen:
            return LiveMoved(environment)
    outcome = outcome_of(order, standing)
    planned = order.plan_token
    if planned is not None and planned != token_of(ordered.project_id, ordered.app_id, order, outcome):
        return PlanOutdated()
    for blocker in outcome.blockers:
        return blocker
    if outcome.runtime is None:
        raise LookupError("an outcome without blockers has a runtime")
    kind = order.kind or kind_of(pin, live)
    source = order.source.id if order.source else None
    return NewDeployment(
        caller=ordered.caller,
        project_id=ordered.project_id,
        app_id=ordered.app_id,
        revision=standing.revision,
        environment=order.environment,
        kind=kind,
        reason=order.reason,
        pin=pin,
        flow=order.resolved.flow,
        runtime_id=outcome.runtime.id,
        runtime_version=outcome.runtime.version,
        runtime_label=outcome.runtime.label,
        config=outcome.config,
        warnings=order.resolved.warnings,
        source_deployment_id=source or (standing.last_live if kind == "rollback" else None),
        live=driver.immediate,
        action=ordered.action,
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
