"""Checks of labels: each names a readable version, and the last move in its history is to that version."""

from flowpin_cli.verify.check import Check, query

_NAMES = """
    SELECT l.workflow_id AS workflow, l.name AS label, l.number AS version,
        CASE WHEN v.id IS NULL THEN 'the version that it names does not exist'
            ELSE 'the version that it names has been deleted' END AS what
    FROM labels l
    LEFT JOIN versions v ON v.project_id = l.project_id AND v.workflow_id = l.workflow_id AND v.number = l.number
    WHERE l.number IS NOT NULL AND (v.id IS NULL OR v.deleted_at IS NOT NULL)
"""
_MOVES = """
    SELECT l.workflow_id AS workflow, l.name AS label, c.what, c.expected, c.found
    FROM labels l
    LEFT JOIN (
        SELECT project_id, workflow_id, name, count(*) AS moves, max(revision) AS newest
        FROM label_moves GROUP BY 1, 2, 3
    ) m ON m.project_id = l.project_id AND m.workflow_id = l.workflow_id AND m.name = l.name
    LEFT JOIN label_moves n ON n.project_id = l.project_id AND n.workflow_id = l.workflow_id AND n.name = l.name
        AND n.revision = l.revision
    LEFT JOIN (
        SELECT project_id, subject_id, details ->> 'label' AS name, count(*) AS events
        FROM audit_events WHERE action IN ('SetLabel', 'DeleteLabel') GROUP BY 1, 2, 3
    ) e ON e.project_id = l.project_id AND e.subject_id = l.workflow_id AND e.name = l.name
    CROSS JOIN LATERAL (VALUES
        ('moves, as its revision counts them', l.revision::text, coalesce(m.moves, 0)::text),
        ('the newest move is that of its revision', l.revision::text, coalesce(m.newest, 0)::text),
        ('the version in its newest move', coalesce('v' || l.number, 'none'), coalesce('v' || n.number, 'none')),
        ('events of its moves', l.revision::text, coalesce(e.events, 0)::text)
    ) AS c (what, expected, found)
    WHERE c.expected <> c.found
"""

CHECKS = (
    Check(
        "labels.versions",
        "Each label names a version of its workflow that has not been deleted.",
        "labels",
        query("workflow", "SELECT count(*) FROM labels WHERE number IS NOT NULL", _NAMES),
    ),
    Check(
        "labels.moves",
        "A label's history has one move for each of its revisions, the newest names what the label names, and each has "
        "its event.",
        "labels",
        query("workflow", "SELECT count(*) FROM labels", _MOVES),
    ),
)
