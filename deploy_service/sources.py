"""Finds the deployment whose pin a rollback or a promotion deploys again."""

from dataclasses import dataclass
from uuid import UUID

from deploy_service.errors import DeploymentNeverLive, NothingLive, NothingToRollBackTo, SourceNotFound
from deploy_service.model import Deployment
from deploy_service.repository import deployments, history
from service_kit.db import Connection


@dataclass(frozen=True, slots=True)
class Source:
    """A deployment to pin again, and a sentence for people that says why."""

    deployment: Deployment
    why: str
    live: Deployment | None = None
    """What was live when the source was chosen. None if the choice does not depend on it."""


async def rollback_source(
    db: Connection, project_id: UUID, app_id: UUID, environment: str, deployment_id: UUID | None
) -> Source:
    """Raises SourceNotFound, DeploymentNeverLive or NothingToRollBackTo."""
    if deployment_id is not None:
        named = await history.find_in(db, project_id, app_id, environment, deployment_id)
        if named is None:
            raise SourceNotFound
        if named.live_from is None:
            raise DeploymentNeverLive
        return Source(named, f"Back to {_words(named)}, as asked for.")
    found = await history.find_rollback_candidates(db, project_id, app_id, environment)
    if found is None or found.older is None:
        raise NothingToRollBackTo(environment)
    why = f"Back to {_words(found.older)}, which was live before {_words(found.base)} and is not marked bad."
    return Source(found.older, why, found.live)


async def promotion_source(db: Connection, project_id: UUID, app_id: UUID, environment: str) -> Source:
    """Raises NothingLive."""
    live = await deployments.find_live(db, project_id, app_id, environment)
    if live is None:
        raise NothingLive(environment)
    return Source(live, f"From {environment}: {_words(live)}.", live)


def _words(deployment: Deployment) -> str:
    return f"{deployment.pin.workflow_name} v{deployment.pin.version_number} (deployment {deployment.id})"
