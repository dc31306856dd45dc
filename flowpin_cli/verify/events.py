"""Checks of audit events: the subject of each exists, and each has its number."""

from flowpin_cli.verify.check import Check, query

_WORKFLOW_TARGETS = """
    SELECT e.subject_id AS workflow, e.id AS event, e.action, e.target_id AS target, e.details ->> 'version' AS label,
        'the version of this event does not exist' AS what
    FROM audit_events e
    WHERE e.target_id <> e.subject_id AND NOT EXISTS (
        SELECT FROM versions v
        WHERE v.project_id = e.project_id AND v.id = e.target_id AND v.workflow_id = e.subject_id
    )
"""
_WORKFLOW_SUBJECTS = """
    SELECT e.subject_id AS workflow, min(e.id::text) AS event, 'these events are of a workflow that does not exist, '
        'and none says that it was deleted' AS what, count(*) AS found
    FROM audit_events e
    WHERE NOT EXISTS (SELECT FROM workflows w WHERE w.project_id = e.project_id AND w.id = e.subject_id)
    GROUP BY e.project_id, e.subject_id HAVING count(*) FILTER (WHERE e.action = 'DeleteWorkflow') = 0
"""

_DEPLOY_SUBJECTS = """
    SELECT e.subject_id AS subject, e.id AS event, e.action, e.target_id AS target,
        'what this event is about does not exist' AS what
    FROM audit_events e
    WHERE NOT EXISTS (SELECT FROM apps a WHERE a.project_id = e.project_id AND a.id = e.subject_id)
        AND NOT EXISTS (SELECT FROM access_keys k WHERE k.project_id = e.project_id AND k.id = e.subject_id)
        AND NOT EXISTS (SELECT FROM runtimes r WHERE r.id = e.subject_id)
"""
_DEPLOY_TARGETS = """
    SELECT e.subject_id AS app, e.id AS event, e.action, e.target_id AS target, e.details ->> 'version' AS label,
        'the deployment of this event does not exist' AS what
    FROM audit_events e
    WHERE e.target_id <> e.subject_id AND NOT EXISTS (
        SELECT FROM deployments d
        WHERE d.project_id = e.project_id AND d.id = e.target_id AND d.app_id = e.subject_id
    )
"""

_SAME_NUMBER = """
    SELECT min(subject_id::text) AS subject, number, 'several events have this number' AS what,
        1 AS expected, count(*) AS found
    FROM audit_events WHERE number IS NOT NULL GROUP BY number HAVING count(*) > 1
"""
_SEQUENCE = """
    SELECT 'the sequence audit_events_number_seq gives out numbers that events have already' AS what,
        'at least ' || newest AS expected, coalesce(last, 0) AS found
    FROM (
        SELECT max(number) AS newest, pg_sequence_last_value('audit_events_number_seq'::regclass) AS last
        FROM audit_events
    ) numbers
    WHERE newest > coalesce(last, 0)
"""
_NO_NUMBER = """
    SELECT e.subject_id AS subject, e.id AS event, e.action,
        'the event has no number, and an event before it has one' AS what
    FROM audit_events e
    JOIN (
        SELECT project_id, subject_id FROM audit_events
        WHERE number IS NOT NULL AND action IN (
            'CreateWorkflow', 'ImportWorkflow', 'ForkWorkflow', 'CreateApp', 'CreateAccessKey', 'CreateRuntime'
        )
    ) made ON made.project_id = e.project_id AND made.subject_id = e.subject_id
    WHERE e.number IS NULL
"""
_OUT_OF_ORDER = """
    SELECT workflow_id AS workflow, version, event, 'the event comes before that of an earlier version' AS what,
        'above ' || previous AS expected, event_number AS found
    FROM (
        SELECT v.workflow_id, v.number AS version, e.id AS event, e.number AS event_number,
            lag(e.number) OVER (PARTITION BY v.project_id, v.workflow_id ORDER BY v.number) AS previous
        FROM audit_events e
        JOIN versions v ON v.project_id = e.project_id AND v.workflow_id = e.subject_id AND v.id = e.target_id
        WHERE e.action IN ('SaveWorkflow', 'ReleaseWorkflow', 'ForkWorkflow', 'RestoreVersion')
    ) ordered
    WHERE event_number <= previous
"""
_OUT_OF_ORDER_DEPLOYMENTS = """
    SELECT app_id AS app, deployment, event, 'the event comes before that of an earlier deployment' AS what,
        'above ' || previous AS expected, event_number AS found
    FROM (
        SELECT d.app_id, d.number AS deployment, e.id AS event, e.number AS event_number,
            lag(e.number) OVER (PARTITION BY d.project_id, d.app_id ORDER BY d.number) AS previous
        FROM audit_events e
        JOIN deployments d ON d.project_id = e.project_id AND d.app_id = e.subject_id AND d.id = e.target_id
        WHERE e.action IN ('DeployApp', 'RollbackApp', 'PromoteApp')
    ) ordered
    WHERE event_number <= previous
"""

_EVENTS = "SELECT count(*) FROM audit_events"

CHECKS = (
    Check(
        "audit.workflow-targets",
        "What an event of the workflow service says was made is there; a workflow that is gone was a deleted draft.",
        "events",
        query("workflow", _EVENTS, _WORKFLOW_TARGETS, _WORKFLOW_SUBJECTS),
    ),
    Check(
        "audit.deploy-targets",
        "What an event of the deploy service says was made or changed is there.",
        "events",
        query("deploy", _EVENTS, _DEPLOY_SUBJECTS, _DEPLOY_TARGETS),
    ),
    Check(
        "audit.workflow-numbers",
        "Each event has a number of its own, and the events of a workflow's versions have theirs in the versions' "
        "order.",
        "events",
        query("workflow", _EVENTS, _SAME_NUMBER, _SEQUENCE, _NO_NUMBER, _OUT_OF_ORDER),
    ),
    Check(
        "audit.deploy-numbers",
        "Each event has a number of its own, and the events of an app's deployments have theirs in the deployments' "
        "order.",
        "events",
        query("deploy", _EVENTS, _SAME_NUMBER, _SEQUENCE, _NO_NUMBER, _OUT_OF_ORDER_DEPLOYMENTS),
    ),
)
