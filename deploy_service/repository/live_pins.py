"""Where a workflow, or one version of it, is live."""

from dataclasses import dataclass
from uuid import UUID

from service_kit.db import Connection
from service_kit.paging import Page, fetch_page


@dataclass(frozen=True, slots=True)
class LivePin:
    app_id: UUID
    app_name: str
    environment: str
    deployment_id: UUID
    workflow_id: UUID
    version_id: UUID
    version_number: int


_LIVE = """
    FROM deployments d JOIN apps a ON a.project_id = d.project_id AND a.id = d.app_id
    WHERE d.project_id = $1 AND d.workflow_id = $2 AND ($3::uuid IS NULL OR d.version_id = $3)
      AND d.live_from IS NOT NULL AND d.live_to IS NULL """
_PINS = (
    """
    SELECT counted.total, pin.app_id, pin.app_name, pin.environment, pin.deployment_id, pin.workflow_id,
        pin.version_id, pin.version_number
    FROM (SELECT count(*) AS total"""
    + _LIVE
    + """) counted LEFT JOIN (
        SELECT d.app_id, a.name AS app_name, d.environment, d.id AS deployment_id, d.workflow_id,
            d.version_id, d.version_number"""
    + _LIVE
    + """ORDER BY a.name, d.app_id, d.environment LIMIT $4 OFFSET $5
    ) pin ON true
    ORDER BY pin.app_name, pin.app_id, pin.environment
    """
)


async def list_live_pins(
    db: Connection, project_id: UUID, workflow_id: UUID, version_id: UUID | None, page: Page
) -> tuple[list[LivePin], int]:
    """A page, and the total number."""
    rows, total = await fetch_page(db, _PINS, project_id, workflow_id, version_id, page.size, page.offset, key="app_id")
    return [
        LivePin(
            app_id=row["app_id"],
            app_name=row["app_name"],
            environment=row["environment"],
            deployment_id=row["deployment_id"],
            workflow_id=row["workflow_id"],
            version_id=row["version_id"],
            version_number=row["version_number"],
        )
        for row in rows
    ], total
