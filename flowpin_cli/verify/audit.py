"""Checks of the audit events: each change has an event."""

from flowpin_cli.verify.check import Check, query

_VERSIONS = """
    SELECT v.workflow_id AS workflow, v.number AS version, v.id AS version_id, c.what, c.expected, c.found
    FROM versions v
    LEFT JOIN (
        SELECT project_id, subject_id, target_id,
            count(*) FILTER (WHERE action = ANY (made)) AS made,
            min(details ->> 'version') FILTER (WHERE action = ANY (made)) AS label,
            count(*) FILTER (WHERE action = 'ArchiveVersion') AS archived,
            count(*) FILTER (WHERE action = 'UnarchiveVersion') AS unarchived,
            count(*) FILTER (WHERE action = 'DeleteVersion') AS deleted,
            count(*) FILTER (WHERE action = 'SetVersionNote') AS noted
        FROM audit_events,
            (SELECT '{SaveWorkflow,ReleaseWorkflow,ForkWorkflow,RestoreVersion}'::text[] AS made) actions
        WHERE target_id <> subject_id GROUP BY 1, 2, 3
    ) e ON e.project_id = v.project_id AND e.subject_id = v.workflow_id AND e.target_id = v.id
    LEFT JOIN (
        -- To delete a version changes what the next one with its digest is identical to.
        SELECT project_id, subject_id, details ->> 'identical' AS label, count(*) AS deleted
        FROM audit_events WHERE action = 'DeleteVersion' GROUP BY 1, 2, 3
    ) i ON i.project_id = v.project_id AND i.subject_id = v.workflow_id AND i.label = 'v' || v.number
    CROSS JOIN LATERAL (VALUES
        ('events of the save that made it', '1', coalesce(e.made, 0)::text),
        ('the number in that event', 'v' || v.number, coalesce(e.label, 'v' || v.number)),
        ('events of its archiving that have not been undone', (v.archived_at IS NOT NULL)::int::text,
            (coalesce(e.archived, 0) - coalesce(e.unarchived, 0))::text),
        ('events of its deletion', (v.deleted_at IS NOT NULL)::int::text, coalesce(e.deleted, 0)::text),
        ('events of changes, as its revision counts them', (v.revision - 1)::text,
            (coalesce(e.archived, 0) + coalesce(e.unarchived, 0) + coalesce(e.deleted, 0)
                + coalesce(e.noted, 0) + coalesce(i.deleted, 0))::text)
    ) AS c (what, expected, found)
    WHERE c.expected <> c.found
"""

_WORKFLOWS = """
    SELECT w.id AS workflow, w.name, c.what, c.expected, c.found
    FROM workflows w
    LEFT JOIN (
        SELECT project_id, subject_id,
            count(*) FILTER (WHERE action IN ('CreateWorkflow', 'ImportWorkflow', 'ForkWorkflow')) AS made,
            count(*) FILTER (WHERE action = 'DeleteWorkflow') AS deleted,
            count(*) FILTER (WHERE action = 'ReleaseWorkflow' AND target_id = subject_id) AS accepted,
            count(*) FILTER (WHERE action IN ('UpdateWorkflow', 'ArchiveVersion', 'UnarchiveVersion')) AS changed
        FROM audit_events GROUP BY 1, 2
    ) e ON e.project_id = w.project_id AND e.subject_id = w.id
    LEFT JOIN (
        SELECT project_id, workflow_id, count(*) AS deleted FROM versions
        WHERE deleted_at IS NOT NULL AND archived_at IS NULL GROUP BY 1, 2
    ) v ON v.project_id = w.project_id AND v.workflow_id = w.id
    CROSS JOIN LATERAL (VALUES
        ('events of its creation', 1::bigint, coalesce(e.made, 0)),
        ('events of its deletion', (w.deleted_at IS NOT NULL)::int::bigint, coalesce(e.deleted, 0)),
        -- Made, then a save each; a deleted version that was archived before is hidden already.
        ('events of changes and versions, as its revision counts them', w.revision - 1,
            w.version_count + coalesce(e.accepted, 0) + coalesce(e.changed, 0) + coalesce(v.deleted, 0))
    ) AS c (what, expected, found)
    WHERE c.expected <> c.found
"""

_DEPLOYMENTS = """
    SELECT d.app_id AS app, d.number AS deployment, d.id AS deployment_id, c.what, c.expected, c.found
    FROM deployments d
    JOIN apps a ON a.project_id = d.project_id AND a.id = d.app_id
    LEFT JOIN (
        SELECT project_id, subject_id, target_id,
            count(*) FILTER (WHERE is_made) AS made,
            min(action) FILTER (WHERE is_made) AS action,
            min(details ->> 'version') FILTER (WHERE is_made) AS label,
            min(details ->> 'environment') FILTER (WHERE is_made) AS environment,
            (array_agg(details ->> 'health' ORDER BY number DESC NULLS LAST, created_at DESC)
                FILTER (WHERE action = 'MarkDeployment'))[1] AS health,
            count(*) FILTER (WHERE action = 'MarkDeployment') AS marked,
            count(*) FILTER (WHERE action = 'CancelDeployment') AS canceled
        FROM (
            SELECT project_id, subject_id, target_id, action, details, number, created_at,
                action IN ('DeployApp', 'RollbackApp', 'PromoteApp') AS is_made
            FROM audit_events
        ) events
        GROUP BY 1, 2, 3
    ) e ON e.project_id = d.project_id AND e.subject_id = d.app_id AND e.target_id = d.id
    CROSS JOIN LATERAL (VALUES
        -- The first one is the app's creation.
        ('events of the deploy that made it', CASE WHEN d.number = 1 THEN '0' ELSE '1' END, coalesce(e.made, 0)::text),
        ('the version in that event', 'v' || d.version_number, coalesce(e.label, 'v' || d.version_number)),
        ('the environment in that event', d.environment, coalesce(e.environment, d.environment)),
        ('it is a promotion, as its event says', (d.kind = 'promote' AND e.action IS NOT NULL)::text,
            (coalesce(e.action, '') = 'PromoteApp')::text),
        ('it is a rollback, as its event says', 'true',
            (coalesce(e.action, '') <> 'RollbackApp' OR d.kind = 'rollback')::text),
        ('it has a source, as its event says', 'true',
            (coalesce(e.action, '') NOT IN ('RollbackApp', 'PromoteApp') OR d.source_deployment_id IS NOT NULL)::text),
        ('the mark in the newest event of its marks', coalesce(d.health, 'none'), coalesce(e.health, 'none')),
        ('events of its marks, as they are counted', d.mark_count::text, coalesce(e.marked, 0)::text),
        ('events of its cancellation',
            CASE WHEN d.status = 'canceled' AND d.error_code IS NULL AND (a.deleted_at IS NULL OR e.canceled > 0)
                THEN '1' ELSE '0' END,
            coalesce(e.canceled, 0)::text)
    ) AS c (what, expected, found)
    WHERE c.expected IS DISTINCT FROM c.found
"""

_APPS = """
    SELECT a.id AS app, a.name, c.what, c.expected, c.found
    FROM apps a
    LEFT JOIN deployments d ON d.project_id = a.project_id AND d.app_id = a.id AND d.number = 1
    LEFT JOIN (
        SELECT project_id, subject_id,
            count(*) FILTER (WHERE action = 'CreateApp') AS made,
            min(details ->> 'version') FILTER (WHERE action = 'CreateApp') AS label,
            count(*) FILTER (WHERE action = 'DeleteApp') AS deleted,
            count(*) FILTER (WHERE action = 'ArchiveApp') AS archived,
            count(*) FILTER (WHERE action = 'UnarchiveApp') AS unarchived,
            count(*) FILTER (WHERE action = 'UpdateApp') AS updated
        FROM audit_events WHERE target_id = subject_id GROUP BY 1, 2
    ) e ON e.project_id = a.project_id AND e.subject_id = a.id
    CROSS JOIN LATERAL (VALUES
        ('events of its creation', '1', coalesce(e.made, 0)::text),
        ('the version in that event', coalesce('v' || d.version_number, e.label),
            coalesce(e.label, 'v' || d.version_number)),
        ('events of its deletion', (a.deleted_at IS NOT NULL)::int::text, coalesce(e.deleted, 0)::text),
        ('events of its archiving that have not been undone', (a.archived_at IS NOT NULL)::int::text,
            (coalesce(e.archived, 0) - coalesce(e.unarchived, 0))::text),
        ('events of its changes, as they are counted', a.change_count::text,
            (coalesce(e.updated, 0) + coalesce(e.archived, 0) + coalesce(e.unarchived, 0)
                + coalesce(e.deleted, 0))::text)
    ) AS c (what, expected, found)
    WHERE c.expected <> c.found
"""

_KEYS = """
    SELECT k.id AS access_key, k.name, c.what, c.expected, c.found
    FROM access_keys k
    LEFT JOIN (
        SELECT project_id, subject_id,
            count(*) FILTER (WHERE action = 'CreateAccessKey') AS made,
            count(*) FILTER (WHERE action = 'DeleteAccessKey') AS revoked
        FROM audit_events WHERE action IN ('CreateAccessKey', 'DeleteAccessKey') GROUP BY 1, 2
    ) e ON e.project_id = k.project_id AND e.subject_id = k.id
    CROSS JOIN LATERAL (VALUES
        ('events of its creation', 1::bigint, coalesce(e.made, 0)),
        ('events of its revocation', (k.revoked_at IS NOT NULL)::int::bigint, coalesce(e.revoked, 0))
    ) AS c (what, expected, found)
    WHERE c.expected <> c.found
"""
_RUNTIMES = """
    SELECT r.id AS runtime, r.version AS name, c.what, c.expected, c.found
    FROM runtimes r
    LEFT JOIN (
        SELECT subject_id,
            count(*) FILTER (WHERE action = 'CreateRuntime') AS made,
            count(*) FILTER (WHERE action = 'UpdateRuntime') AS updated
        FROM audit_events WHERE action IN ('CreateRuntime', 'UpdateRuntime') GROUP BY 1
    ) e ON e.subject_id = r.id
    CROSS JOIN LATERAL (VALUES
        -- The first one is the migrations'.
        ('events of its creation', (r.id <> '01937f00-0000-7000-8000-000000000001')::int::bigint, coalesce(e.made, 0)),
        ('events of its changes, as they are counted', r.change_count::bigint, coalesce(e.updated, 0))
    ) AS c (what, expected, found)
    WHERE c.expected <> c.found
"""

CHECKS = (
    Check(
        "audit.versions",
        "Each version has one event that says who made it, and one for each time it was archived, unarchived, noted on "
        "or deleted.",
        "versions",
        query("workflow", "SELECT count(*) FROM versions", _VERSIONS),
    ),
    Check(
        "audit.workflows",
        "Each workflow has one event for its creation, its deletion, and every other change that its revision counts.",
        "workflows",
        query("workflow", "SELECT count(*) FROM workflows", _WORKFLOWS),
    ),
    Check(
        "audit.deployments",
        "Each deployment has one event that says who made it (the first: its app's), and one for each of its marks "
        "and its cancellation.",
        "deployments",
        query("deploy", "SELECT count(*) FROM deployments", _DEPLOYMENTS),
    ),
    Check(
        "audit.apps",
        "Each app, access key and runtime has one event for its creation, and one for every change, deletion or "
        "revocation.",
        "apps, access keys and runtimes",
        query(
            "deploy",
            "SELECT (SELECT count(*) FROM apps) + (SELECT count(*) FROM access_keys) + (SELECT count(*) FROM runtimes)",
            _APPS,
            _KEYS,
            _RUNTIMES,
        ),
    ),
)
