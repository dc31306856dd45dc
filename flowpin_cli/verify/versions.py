"""Checks of versions and their workflows: numbers, counters, marks, digests, drafts."""

import hashlib

from flowpin_cli.verify.check import Check, Outcome, Snapshots, query
from workflow_service.errors import FlowTooLarge, InvalidFlow
from workflow_service.flow import canvas_digest_of, digests_of

MAX_FLOW_BYTES = 256 << 20
"""Size limit of a document, sixteen times the default of the services."""

_NUMBERS = """
    SELECT id AS workflow, name, coalesce(nullif(first, last)::text || ' to ', '') || last AS versions,
        CASE WHEN last = first THEN 'this version is missing' ELSE 'these versions are missing' END AS what
    FROM (
        SELECT project_id, workflow_id, previous + 1 AS first, number - 1 AS last
        FROM (
            SELECT project_id, workflow_id, number,
                lag(number, 1, 0) OVER (PARTITION BY project_id, workflow_id ORDER BY number) AS previous
            FROM versions
        ) spaced
        WHERE number > previous + 1
        UNION ALL
        SELECT w.project_id, w.id, coalesce(v.newest, 0) + 1, w.version_count
        FROM workflows w
        LEFT JOIN (SELECT project_id, workflow_id, max(number) AS newest FROM versions GROUP BY 1, 2) v
            ON v.project_id = w.project_id AND v.workflow_id = w.id
        WHERE w.version_count > coalesce(v.newest, 0)
    ) missing
    JOIN workflows w ON w.project_id = missing.project_id AND w.id = missing.workflow_id
"""
_TWICE = """
    SELECT workflow_id AS workflow, number AS version, 'a number has more than one version' AS what,
        1 AS expected, count(*) AS found
    FROM versions GROUP BY project_id, workflow_id, number HAVING count(*) > 1
"""
_ABOVE = """
    SELECT v.workflow_id AS workflow, v.number AS version, v.id AS version_id,
        'the version is above the workflow''s version_count' AS what,
        'at most ' || w.version_count AS expected, v.number AS found
    FROM versions v JOIN workflows w ON w.project_id = v.project_id AND w.id = v.workflow_id
    WHERE v.number > w.version_count
"""
_NO_WORKFLOW = """
    SELECT v.workflow_id AS workflow, v.number AS version, v.id AS version_id,
        'the version''s workflow does not exist' AS what
    FROM versions v
    WHERE NOT EXISTS (SELECT FROM workflows w WHERE w.project_id = v.project_id AND w.id = v.workflow_id)
"""

_COUNTERS = """
    SELECT w.id AS workflow, w.name, c.what, c.expected, c.found
    FROM workflows w
    LEFT JOIN (
        SELECT project_id, workflow_id,
            count(*) FILTER (WHERE archived_at IS NOT NULL AND deleted_at IS NULL) AS archived,
            count(*) FILTER (WHERE deleted_at IS NOT NULL) AS deleted
        FROM versions GROUP BY 1, 2
    ) v ON v.project_id = w.project_id AND v.workflow_id = w.id
    CROSS JOIN LATERAL (VALUES
        ('archived_count is not the number of archived versions', coalesce(v.archived, 0), w.archived_count),
        ('deleted_count is not the number of deleted versions', coalesce(v.deleted, 0), w.deleted_count)
    ) AS c (what, expected, found)
    WHERE c.expected <> c.found
"""
_LATEST_HIDDEN = """
    SELECT w.id AS workflow, v.number AS version, v.id AS version_id,
        'the latest version is ' || CASE WHEN v.deleted_at IS NULL THEN 'archived' ELSE 'deleted' END AS what
    FROM workflows w
    JOIN versions v ON v.project_id = w.project_id AND v.workflow_id = w.id AND v.number = w.version_count
    WHERE v.archived_at IS NOT NULL OR v.deleted_at IS NOT NULL
"""

_MARKS = """
    SELECT v.workflow_id AS workflow, v.number AS version, v.id AS version_id, c.what, c.expected, c.found
    FROM versions v
    LEFT JOIN hidden_versions h
        ON h.project_id = v.project_id AND h.workflow_id = v.workflow_id AND h.block = (v.number - 1) / 1000
    CROSS JOIN LATERAL (VALUES
        ('the mark "archived" is wrong', (v.archived_at IS NOT NULL AND v.deleted_at IS NULL)::int,
            coalesce(get_bit(h.archived, (v.number - 1) % 1000), 0)),
        ('the mark "deleted" is wrong', (v.deleted_at IS NOT NULL)::int,
            coalesce(get_bit(h.deleted, (v.number - 1) % 1000), 0))
    ) AS c (what, expected, found)
    WHERE c.expected <> c.found
"""
_MARKS_OF_NOTHING = """
    SELECT h.workflow_id AS workflow, h.block * 1000 + place + 1 AS version,
        'a version that does not exist is marked' AS what
    FROM hidden_versions h CROSS JOIN generate_series(0, 999) place
    LEFT JOIN versions v
        ON v.project_id = h.project_id AND v.workflow_id = h.workflow_id AND v.number = h.block * 1000 + place + 1
    WHERE v.id IS NULL AND (get_bit(h.archived, place) = 1 OR get_bit(h.deleted, place) = 1)
"""

_DRAFTS = """
    SELECT coalesce(w.id, d.workflow_id) AS workflow, w.name,
        CASE WHEN w.id IS NULL THEN 'a canvas of a workflow that does not exist'
            WHEN d.workflow_id IS NULL THEN 'a draft has no canvas'
            ELSE 'a workflow with versions still has its draft''s canvas' END AS what
    FROM workflows w FULL JOIN drafts d ON d.project_id = w.project_id AND d.workflow_id = w.id
    WHERE w.id IS NULL OR (w.version_count = 0) <> (d.workflow_id IS NOT NULL)
"""


async def _look_at_digests(snapshots: Snapshots, outcome: Outcome) -> None:
    snapshot = snapshots["workflow"]
    documents = snapshot.documents(
        """
        SELECT pg_column_size(flow) + pg_column_size(flow_ui) AS bytes
        FROM versions ORDER BY project_id, workflow_id, number, id
        """,
        """
        SELECT workflow_id, number, id, digest, canvas_digest, flow, flow_ui
        FROM versions ORDER BY project_id, workflow_id, number, id
        """,
    )
    async for rows in documents:
        for row in rows:
            piece = {"workflow": row["workflow_id"], "version": row["number"], "version_id": row["id"]}
            digest, canvas_digest = _digest(row["flow"]), canvas_digest_of(row["flow"], row["flow_ui"])
            if digest != row["digest"].hex():
                outcome.add(piece | _differs("the digest is not that of the flow", digest, row["digest"]))
            if canvas_digest != row["canvas_digest"]:
                what = "the canvas digest is not that of the bytes of flow and flow_ui"
                outcome.add(piece | _differs(what, canvas_digest.hex(), row["canvas_digest"]))
        outcome.count(len(rows))


async def _look_at_kept_flows(snapshots: Snapshots, outcome: Outcome) -> None:
    documents = snapshots["deploy"].documents(
        "SELECT pg_column_size(flow) AS bytes FROM flows ORDER BY project_id, digest",
        "SELECT project_id, digest, flow FROM flows ORDER BY project_id, digest",
    )
    async for rows in documents:
        for row in rows:
            piece = {"project": row["project_id"], "flow": row["digest"]}
            if (digest := _digest(row["flow"])) != row["digest"].hex():
                outcome.add(piece | _differs("the kept flow is not that of its digest", digest, row["digest"]))
        outcome.count(len(rows))


async def _look_at_loadables(snapshots: Snapshots, outcome: Outcome) -> None:
    documents = snapshots["deploy"].documents(
        "SELECT pg_column_size(document) AS bytes FROM loadables ORDER BY project_id, digest",
        "SELECT project_id, digest, document FROM loadables ORDER BY project_id, digest",
    )
    async for rows in documents:
        for row in rows:
            piece = {"project": row["project_id"], "loadable": row["digest"]}
            if (digest := hashlib.sha256(row["document"])).digest() != row["digest"]:
                what = "what replicas load is not that of its digest"
                outcome.add(piece | _differs(what, digest.hexdigest(), row["digest"]))
        outcome.count(len(rows))


def _digest(flow: bytes) -> str:
    """The digest as the workflow service computes it, or the reason why it cannot."""
    try:
        return digests_of(flow, b"{}", MAX_FLOW_BYTES)[0].hex()
    except (InvalidFlow, FlowTooLarge) as error:
        return f"none, as no save accepts this flow: {error.message}"


def _differs(what: str, expected: str, found: bytes) -> dict[str, str]:
    return {"what": what, "expected": expected, "found": found.hex()}


CHECKS = (
    Check(
        "versions.numbers",
        "The versions of a workflow are numbered 1, 2, 3 and so on up to its version_count, each number once.",
        "versions",
        query("workflow", "SELECT count(*) FROM versions", _NUMBERS, _TWICE, _ABOVE, _NO_WORKFLOW),
    ),
    Check(
        "versions.digests",
        "The digests of a version are those of the bytes that are kept.",
        "versions",
        _look_at_digests,
    ),
    Check(
        "versions.marks",
        "hidden_versions marks the versions that are archived or deleted, and no others.",
        "versions",
        query("workflow", "SELECT count(*) FROM versions", _MARKS, _MARKS_OF_NOTHING),
    ),
    Check(
        "workflows.counters",
        "A workflow counts its archived and its deleted versions, and its latest version is neither.",
        "workflows",
        query("workflow", "SELECT count(*) FROM workflows", _COUNTERS, _LATEST_HIDDEN),
    ),
    Check(
        "workflows.drafts",
        "A workflow has either versions or a draft's canvas.",
        "workflows",
        query("workflow", "SELECT count(*) FROM workflows", _DRAFTS),
    ),
    Check(
        "flows.digests",
        "The flow that the deploy service keeps under a digest has that digest.",
        "kept flows",
        _look_at_kept_flows,
    ),
    Check(
        "loadables.digests",
        "What the deploy service keeps for replicas to load, under a digest, has that digest.",
        "loadables",
        _look_at_loadables,
    ),
)
