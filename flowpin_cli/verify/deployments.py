"""Checks of deployments: numbers, live spans, pins, sources and marks."""

from uuid import UUID

from flowpin_cli.verify.check import Check, Outcome, Snapshots, query

_NUMBERS = """
    SELECT a.id AS app, coalesce(nullif(first, last)::text || ' to ', '') || last AS deployments,
        CASE WHEN last = first THEN 'this deployment is missing' ELSE 'these deployments are missing' END AS what
    FROM (
        SELECT project_id, app_id, previous + 1 AS first, number - 1 AS last
        FROM (
            SELECT project_id, app_id, number,
                lag(number, 1, 0) OVER (PARTITION BY project_id, app_id ORDER BY number) AS previous
            FROM deployments
        ) spaced
        WHERE number > previous + 1
        UNION ALL
        SELECT a.project_id, a.id, coalesce(d.newest, 0) + 1, a.deployment_count
        FROM apps a
        LEFT JOIN (SELECT project_id, app_id, max(number) AS newest FROM deployments GROUP BY 1, 2) d
            ON d.project_id = a.project_id AND d.app_id = a.id
        WHERE a.deployment_count > coalesce(d.newest, 0)
    ) missing
    JOIN apps a ON a.project_id = missing.project_id AND a.id = missing.app_id
"""
_TWICE = """
    SELECT app_id AS app, number AS deployment, 'a number has more than one deployment' AS what,
        1 AS expected, count(*) AS found
    FROM deployments GROUP BY project_id, app_id, number HAVING count(*) > 1
"""
_ABOVE = """
    SELECT d.app_id AS app, d.number AS deployment, d.id AS deployment_id,
        'the deployment is above the app''s deployment_count' AS what,
        'at most ' || a.deployment_count AS expected, d.number AS found
    FROM deployments d JOIN apps a ON a.project_id = d.project_id AND a.id = d.app_id
    WHERE d.number > a.deployment_count
"""
_NONE = """
    SELECT id AS app, 'the app has no deployment at all' AS what FROM apps WHERE deployment_count = 0
"""

_SPANS = """
    SELECT app_id AS app, environment, number AS deployment, id AS deployment_id,
        CASE
            WHEN next_from IS NULL AND live_to IS NULL THEN 'it is live, and its app is deleted'
            WHEN next_from IS NULL THEN 'nothing is live any more in this environment'
            WHEN live_to IS NULL OR live_to > next_from THEN 'its span overlaps that of deployment ' || next_number
            ELSE 'there is a gap between its span and that of deployment ' || next_number
        END AS what,
        coalesce(next_from::text, CASE WHEN is_deleted THEN 'an end' ELSE 'no end' END) AS expected,
        coalesce(live_to::text, 'no end') AS found
    FROM (
        SELECT d.app_id, d.environment, d.number, d.id, d.live_to, a.deleted_at IS NOT NULL AS is_deleted,
            lead(d.live_from) OVER spans AS next_from, lead(d.number) OVER spans AS next_number
        FROM deployments d JOIN apps a ON a.project_id = d.project_id AND a.id = d.app_id
        WHERE d.live_from IS NOT NULL
        WINDOW spans AS (PARTITION BY d.project_id, d.app_id, d.environment ORDER BY d.number)
    ) spaced
    WHERE CASE WHEN next_from IS NULL THEN (live_to IS NOT NULL) <> is_deleted
        ELSE live_to IS DISTINCT FROM next_from END
"""
_STATES = """
    SELECT d.app_id AS app, d.number AS deployment, d.id AS deployment_id, c.what, c.expected, c.found
    FROM deployments d
    CROSS JOIN LATERAL (VALUES
        ('it has been live', (d.status = 'succeeded')::text, (d.live_from IS NOT NULL)::text),
        ('it is finished', (d.status NOT IN ('pending', 'deploying'))::text, (d.finished_at IS NOT NULL)::text),
        ('its span has a length', 'true', (d.live_to IS NULL OR d.live_to > d.live_from)::text),
        ('it has a lease only while it is in progress', 'true',
            (d.lease_owner IS NULL OR d.finished_at IS NULL)::text)
    ) AS c (what, expected, found)
    WHERE c.expected IS DISTINCT FROM c.found
"""

_SOURCES = """
    SELECT d.app_id AS app, d.number AS deployment, d.id AS deployment_id, d.source_deployment_id AS source,
        c.what, c.expected, c.found
    FROM deployments d
    LEFT JOIN deployments s ON s.project_id = d.project_id AND s.id = d.source_deployment_id
    CROSS JOIN LATERAL (VALUES
        ('its source exists', 'true', (s.id IS NOT NULL)::text),
        ('its source is of the same app', d.app_id::text, coalesce(s.app_id, d.app_id)::text),
        ('its source comes before it', 'true', (s.id IS NULL OR s.number < d.number)::text),
        ('its source has been live', 'true', (s.id IS NULL OR s.live_from IS NOT NULL)::text),
        ('its source pins the same version', d.version_id::text, coalesce(s.version_id, d.version_id)::text),
        ('its source is in the environment it should be in', 'true',
            (s.id IS NULL OR (s.environment = d.environment) = (d.kind = 'rollback'))::text)
    ) AS c (what, expected, found)
    WHERE d.source_deployment_id IS NOT NULL AND c.expected <> c.found
"""
_SOURCE_MISSING = """
    SELECT app_id AS app, number AS deployment, id AS deployment_id, 'a ' || kind || ' has ' ||
        CASE WHEN source_deployment_id IS NULL THEN 'no source' ELSE 'a source' END AS what
    FROM deployments
    WHERE kind = 'deploy' AND source_deployment_id IS NOT NULL OR kind = 'promote' AND source_deployment_id IS NULL
"""

_MARKS = """
    SELECT d.app_id AS app, d.number AS deployment, d.id AS deployment_id, c.what, c.expected, c.found
    FROM deployments d JOIN apps a ON a.project_id = d.project_id AND a.id = d.app_id
    CROSS JOIN LATERAL (VALUES
        ('a mark has a time and a number', (d.health IS NOT NULL)::text, (d.marked_at IS NOT NULL)::text),
        ('a mark has a time and a number', (d.health IS NOT NULL)::text, (d.mark_number IS NOT NULL)::text),
        ('a mark''s number is one of the app''s revisions', 'true',
            (d.mark_number IS NULL OR d.mark_number <= a.revision)::text)
    ) AS c (what, expected, found)
    WHERE c.expected <> c.found
"""
_SAME_MARK = """
    SELECT app_id AS app, max(number) AS deployment, 'several marks have the number ' || mark_number AS what,
        1 AS expected, count(*) AS found
    FROM deployments WHERE mark_number IS NOT NULL
    GROUP BY project_id, app_id, mark_number HAVING count(*) > 1
"""

_PINNED_HERE = """
    SELECT d.app_id AS app, d.number AS deployment, d.id AS deployment_id, c.what, c.expected, c.found
    FROM deployments d
    LEFT JOIN flows f ON f.project_id = d.project_id AND f.digest = d.version_digest
    LEFT JOIN loadables l ON l.project_id = d.project_id AND l.digest = d.loadable_digest
    LEFT JOIN runtimes r ON r.id = d.runtime_id
    LEFT JOIN runtime_locks k ON k.digest = d.runtime_digest
    LEFT JOIN apps a ON a.project_id = d.project_id AND a.id = d.app_id
    CROSS JOIN LATERAL (VALUES
        ('the flow that it pins is kept', 'true', (f.digest IS NOT NULL)::text),
        ('what its replicas load is kept', (d.loadable_digest IS NOT NULL)::text, (l.digest IS NOT NULL)::text),
        ('the runtime that it pins exists', 'true', (r.id IS NOT NULL)::text),
        ('the runtime''s version is as pinned', d.runtime_version, coalesce(r.version, d.runtime_version)),
        ('its runtime''s lock is kept', (d.runtime_digest IS NOT NULL)::text, (k.digest IS NOT NULL)::text),
        ('its app exists', 'true', (a.id IS NOT NULL)::text)
    ) AS c (what, expected, found)
    WHERE c.expected <> c.found
"""
_PINS = """
    SELECT project_id, app_id, number, id, workflow_id, version_id, version_number, version_digest,
        version_description, version_created_at
    FROM deployments ORDER BY project_id, app_id, number
"""
_VERSIONS = """
    SELECT v.project_id, v.id AS version_id, v.workflow_id, v.number AS version_number, v.digest AS version_digest,
        v.description AS version_description, v.created_at AS version_created_at
    FROM unnest($1::uuid[], $2::uuid[]) AS pin (project_id, id)
    JOIN versions v ON v.project_id = pin.project_id AND v.id = pin.id
"""
_FROZEN = ("workflow_id", "version_number", "version_digest", "version_description", "version_created_at")


async def _look_at_pins(snapshots: Snapshots, outcome: Outcome) -> None:
    async for row in snapshots["deploy"].rows(_PINNED_HERE):
        outcome.add(row)
    async for rows in snapshots["deploy"].batches(_PINS):
        keys: set[tuple[UUID, UUID]] = {(row["project_id"], row["version_id"]) for row in rows}
        found = {
            (row["project_id"], row["version_id"]): row
            for row in await snapshots["workflow"].fetch(_VERSIONS, *map(list, zip(*keys, strict=True)))
        }
        for row in rows:
            piece = {"app": row["app_id"], "deployment": row["number"], "deployment_id": row["id"]}
            piece |= {"workflow": row["workflow_id"], "version": row["version_number"], "version_id": row["version_id"]}
            version = found.get((row["project_id"], row["version_id"]))
            if version is None:
                outcome.add(piece | {"what": "the version that it pins does not exist"})
                continue
            for name in _FROZEN:
                if version[name] != row[name]:
                    what = f"the pinned {name} is not the version's"
                    outcome.add(piece | {"what": what, "expected": version[name], "found": row[name]})
        outcome.count(len(rows))


_COUNT = "SELECT count(*) FROM deployments"

CHECKS = (
    Check(
        "deployments.numbers",
        "The deployments of an app are numbered 1, 2, 3 and so on up to its deployment_count, each number once.",
        "deployments",
        query("deploy", _COUNT, _NUMBERS, _TWICE, _ABOVE, _NONE),
    ),
    Check(
        "deployments.spans",
        "In each environment of an app the spans of what was live follow each other by number, each ending when the "
        "next begins; the last one is open, unless the app is deleted.",
        "deployments",
        query("deploy", "SELECT count(*) FROM deployments WHERE live_from IS NOT NULL", _SPANS),
    ),
    Check(
        "deployments.states",
        "A deployment was live exactly if it succeeded. It has a lease only while it is in progress.",
        "deployments",
        query("deploy", _COUNT, _STATES),
    ),
    Check(
        "deployments.pins",
        "What a deployment pins is a version of the workflow service: its workflow, number, digest, description and "
        "time. Its flow, what its replicas load, and its runtime with its lock are kept.",
        "deployments",
        _look_at_pins,
    ),
    Check(
        "deployments.sources",
        "What a deployment rolls back to or promotes is an earlier deployment of the app that was live, of the same "
        "version.",
        "deployments",
        query(
            "deploy",
            "SELECT count(*) FROM deployments WHERE source_deployment_id IS NOT NULL",
            _SOURCES,
            _SOURCE_MISSING,
        ),
    ),
    Check(
        "deployments.marks",
        "Each mark (good or bad) has a time and a number of its own, which is one of its app's revisions.",
        "marks",
        query("deploy", "SELECT count(*) FROM deployments WHERE health IS NOT NULL", _MARKS, _SAME_MARK),
    ),
)
