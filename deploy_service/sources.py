"""Finds what a rollback goes back to and what a promotion takes along."""

from dataclasses import dataclass
from uuid import UUID

from deploy_service.errors import DeploymentNeverLive, NothingLive, NothingToRollBackTo, SourceNotFound
from deploy_service.model import Deployment
from deploy_service.repository import deployments, history
from service_kit.db import Connection


@dataclass(frozen=True, slots=True)
class Source:
    """A deployment to pin again, and for people why that one."""

    deployment: Deployment
    why: str
    live: Deployment | None = None
    """What was live when the choice was made; None when it does not rest on that."""


async def rollback_source(
    db: Connection, project_id: UUID, app_id: UUID, environment: str, asked: UUID | None
) -> Source:
    """Raises SourceNotFound, DeploymentNeverLive or NothingToRollBackTo."""
    if asked is not None:
        named = await history.find_in(db, project_id, app_id, environment, asked)
        if named is None:
            raise SourceNotFound
        if named.live_from is None:
            raise DeploymentNeverLive
        return Source(named, f"Back to {_words(named)}, as asked for.")
    back = await history.find_back(db, project_id, app_id, environment)
    if back is None or back.older is None:
        raise NothingToRollBackTo(environment)
    why = f"Back to {_words(back.older)}, the newest before {_words(back.base)} that was live and is not marked bad."
    return Source(back.older, why, back.live)


async def promotion_source(db: Connection, project_id: UUID, app_id: UUID, environment: str) -> Source:
    """Raises NothingLive."""
    live = await deployments.find_live(db, project_id, app_id, environment)
    if live is None:
        raise NothingLive(environment)
    return Source(live, f"From {environment}: {_words(live)}.", live)


def _words(deployment: Deployment) -> str:
    return f"{deployment.pin.workflow_name} v{deployment.pin.version_number} (deployment {deployment.id})"
