"""The tables routers and route_acknowledgements: which router serves which revisions. Each router has a lease.

Leases use the database's clock.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from service_kit.array_parameters import columns
from service_kit.db import Connection

KEPT = timedelta(hours=1)
"""How long a router is kept after its lease has ended."""
Acknowledged: TypeAlias = tuple[UUID, UUID, int]
"""A project, an app of it, and a revision of the app."""


async def register(db: Connection, router_id: UUID, name: str, projects: Sequence[UUID], lease: timedelta) -> None:
    """Register a router. Deployments in these projects wait for it from now on. Also deletes routers whose leases ended
    long ago."""
    await db.execute(
        """
        INSERT INTO routers (id, name, projects, lease_until) VALUES ($1, $2, $3, clock_timestamp() + $4)
        ON CONFLICT (id) DO UPDATE
        SET name = excluded.name, projects = excluded.projects, lease_until = excluded.lease_until
        """,
        router_id,
        name,
        projects,
        lease,
    )
    await db.execute("DELETE FROM routers WHERE lease_until < clock_timestamp() - $1::interval", KEPT)


async def acknowledge(db: Connection, router_id: UUID, acknowledged: Sequence[Acknowledged], lease: timedelta) -> bool:
    """Renew the lease and record the routes that the router serves. False if the router is unknown."""
    known = await db.fetchval(
        """
        WITH router AS (
            UPDATE routers SET lease_until = clock_timestamp() + $2 WHERE id = $1 RETURNING id
        ), kept AS (
            INSERT INTO route_acknowledgements AS a (router_id, project_id, app_id, revision)
            SELECT router.id, project_id, app_id, max(revision)
            FROM router, unnest($3::uuid[], $4::uuid[], $5::bigint[]) AS seen (project_id, app_id, revision)
            GROUP BY 1, 2, 3
            ON CONFLICT (router_id, project_id, app_id)
            DO UPDATE SET revision = excluded.revision WHERE a.revision < excluded.revision
        )
        SELECT true FROM router
        """,
        router_id,
        lease,
        *(columns(acknowledged) if acknowledged else ([], [], [])),
    )
    return bool(known)


async def leave(db: Connection, router_id: UUID) -> None:
    """End the router's lease."""
    await db.execute("UPDATE routers SET lease_until = '-infinity' WHERE id = $1", router_id)


async def any_connected(db: Connection, project_id: UUID) -> bool:
    """Whether a router of the project has a lease."""
    connected = await db.fetchval(
        "SELECT EXISTS (SELECT FROM routers WHERE lease_until > clock_timestamp() AND $1 = ANY(projects))", project_id
    )
    return bool(connected)


async def find_late(db: Connection, project_id: UUID, app_id: UUID, revision: int) -> list[str]:
    """The names of the project's routers that have a lease but serve an older revision of the app."""
    rows = await db.fetch(
        """
        SELECT r.name FROM routers r
        LEFT JOIN route_acknowledgements a ON a.router_id = r.id AND a.project_id = $1 AND a.app_id = $2
        WHERE r.lease_until > clock_timestamp() AND $1 = ANY(r.projects) AND coalesce(a.revision, -1) < $3
        ORDER BY r.name, r.id
        """,
        project_id,
        app_id,
        revision,
    )
    return [row["name"] for row in rows]
