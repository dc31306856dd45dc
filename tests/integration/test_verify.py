"""`flowpin verify` finds nothing in an intact history, and names the row when an invariant is broken."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

import deploy_service
from flowpin_cli.errors import CannotRun
from flowpin_cli.verify.check import MAX_SHOWN, Finding
from flowpin_cli.verify.run import CHECKS
from service_kit import migrations
from tests.support.stack import Stack, fresh_stack, running_stack
from tests.support.whole_history import SCRIPTED, History, broken, findings_of, make_history, rows_kept, verified

pytestmark = pytest.mark.slow

OF_V = "workflow_id = '{workflow}' AND number ="
OF_A_DRAFT = "workflow_id = (SELECT id FROM workflows WHERE name = 'draft')"
OF_D = "app_id = '{app}' AND number ="
OTHER_FLOW = "(SELECT flow FROM versions WHERE workflow_id = '{workflow}' AND number = 3)"

BREAKS: dict[str, tuple[str, list[str], dict[str, dict[str, Any]]]] = {
    # The workflow service's rows.
    "a version is lost": (
        "workflow",
        [f"DELETE FROM versions WHERE {OF_V} 3", "DELETE FROM audit_events WHERE target_id = '{v3}'"],
        {
            "versions.numbers": {"workflow": "{workflow}", "versions": "3", "what": "this version is missing"},
            "idempotency.answers": {"version": "{v3}", "what": "the version of the kept answer does not exist"},
        },
    ),
    "versions at the end are lost": (
        "workflow",
        [f"DELETE FROM versions WHERE {OF_V} 7", "DELETE FROM audit_events WHERE details ->> 'version' = 'v7'"],
        {
            "versions.numbers": {"workflow": "{workflow}", "versions": "7"},
            "deployments.pins": {"deployment": 6, "what": "the version that it pins does not exist"},
            "idempotency.answers": {"rpc": "RestoreVersion", "what": "the version of the kept answer does not exist"},
        },
    ),
    "a version is above the counter": (
        "workflow",
        ["UPDATE workflows SET version_count = 6, revision = revision - 1 WHERE id = '{workflow}'"],
        {"versions.numbers": {"workflow": "{workflow}", "version": 7, "expected": "at most 6", "found": 7}},
    ),
    "a version has no workflow": (
        "workflow",
        [f"UPDATE versions SET workflow_id = '{{other}}' WHERE {OF_V} 6"],
        {
            "versions.numbers": {"workflow": "{workflow}", "versions": "6"},
            "audit.versions": {"version_id": "{v6}", "what": "events of the save that made it"},
            "audit.workflow-targets": {"target": "{v6}", "what": "the version of this event does not exist"},
            "idempotency.answers": {"version": "{v6}", "expected": "{other}"},
            "deployments.pins": {"version_id": "{v6}", "what": "the pinned workflow_id is not the version's"},
        },
    ),
    "a flow is rewritten": (
        "workflow",
        [f"UPDATE versions SET flow = {OTHER_FLOW} WHERE {OF_V} 2"],
        {"versions.digests": {"workflow": "{workflow}", "version": 2, "version_id": "{v2}"}},
    ),
    "a byte is added to a canvas": (
        "workflow",
        [f"UPDATE versions SET flow_ui = (flow_ui::text || ' ')::json WHERE {OF_V} 2"],
        {"versions.digests": {"version": 2, "what": "the canvas digest is not that of the bytes of flow and flow_ui"}},
    ),
    "a flow is no longer valid": (
        "workflow",
        [f"UPDATE versions SET flow = '[]' WHERE {OF_V} 2"],
        {"versions.digests": {"version": 2, "expected": "none, as no save accepts this flow: flow must be an object"}},
    ),
    "a mark of a hidden version is missing": (
        "workflow",
        ["UPDATE hidden_versions SET archived = 0::bit(1000) WHERE workflow_id = '{workflow}'"],
        {"versions.marks": {"version": 2, "what": 'the mark "archived" is wrong', "expected": 1, "found": 0}},
    ),
    "a mark of a hidden version names no version": (
        "workflow",
        ["UPDATE hidden_versions SET deleted = set_bit(deleted, 20, 1) WHERE workflow_id = '{workflow}'"],
        {"versions.marks": {"version": 21, "what": "a version that does not exist is marked"}},
    ),
    "a counter is wrong": (
        "workflow",
        ["UPDATE workflows SET archived_count = archived_count + 1 WHERE id = '{workflow}'"],
        {"workflows.counters": {"workflow": "{workflow}", "expected": 1, "found": 2}},
    ),
    "the latest version is archived": (
        "workflow",
        [
            f"UPDATE versions SET archived_at = now(), archived_by = created_by, revision = 2 WHERE {OF_V} 7",
            "UPDATE workflows SET archived_count = 2, revision = revision + 1 WHERE id = '{workflow}'",
            "UPDATE hidden_versions SET archived = set_bit(archived, 6, 1) WHERE workflow_id = '{workflow}'",
            """INSERT INTO audit_events SELECT project_id, subject_id, gen_random_uuid(), 'ArchiveVersion', target_id,
               actor_id, actor_name, token_id, request_id, details, created_at
               FROM audit_events WHERE subject_id = '{workflow}' AND details ->> 'version' = 'v7'""",
        ],
        {"workflows.counters": {"version": 7, "what": "the latest version is archived"}},
    ),
    "a draft has no canvas": (
        "workflow",
        ["DELETE FROM drafts"],
        {"workflows.drafts": {"name": "draft", "what": "a draft has no canvas"}},
    ),
    "a canvas has no workflow": (
        "workflow",
        [f"UPDATE drafts SET workflow_id = '{{v1}}' WHERE {OF_A_DRAFT}"],
        {"workflows.drafts": {"workflow": "{v1}", "what": "a canvas of a workflow that does not exist"}},
    ),
    "a workflow with versions has a canvas": (
        "workflow",
        [
            f"""UPDATE drafts SET (project_id, workflow_id) = (
                    SELECT project_id, id FROM workflows WHERE id = '{{workflow}}'
                ) WHERE {OF_A_DRAFT}"""
        ],
        {
            "workflows.drafts": {
                "workflow": "{workflow}",
                "what": "a workflow with versions still has its draft's canvas",
            }
        },
    ),
    # The workflow service's audit.
    "a save's event has another number": (
        "workflow",
        ["UPDATE audit_events SET details = json_build_object('version', 'v5') WHERE target_id = '{v6}'"],
        {"audit.versions": {"version": 6, "what": "the number in that event", "expected": "v6", "found": "v5"}},
    ),
    "a version's deletion has no event": (
        "workflow",
        ["DELETE FROM audit_events WHERE target_id = '{v5}' AND action = 'DeleteVersion'"],
        {"audit.versions": {"version": 5, "what": "events of its deletion", "found": "0"}},
    ),
    "a workflow's deletion has no event": (
        "workflow",
        ["DELETE FROM audit_events WHERE subject_id = '{other}' AND action = 'DeleteWorkflow'"],
        {"audit.workflows": {"workflow": "{other}", "what": "events of its deletion", "found": 0}},
    ),
    "a save has no event": (
        "workflow",
        ["DELETE FROM audit_events WHERE target_id = '{v6}'"],
        {"audit.versions": {"version": 6, "what": "events of the save that made it", "expected": "1", "found": "0"}},
    ),
    "a save has two events": (
        "workflow",
        [
            """INSERT INTO audit_events SELECT project_id, subject_id, gen_random_uuid(), action, target_id, actor_id,
               actor_name, token_id, request_id, details, created_at, NULL
               FROM audit_events WHERE target_id = '{v6}'"""
        ],
        {
            "audit.versions": {"version": 6, "expected": "1", "found": "2"},
            "audit.workflow-numbers": {"what": "the event has no number, and an event before it has one"},
        },
    ),
    "an archiving has no event": (
        "workflow",
        ["DELETE FROM audit_events WHERE target_id = '{v2}' AND action = 'UnarchiveVersion'"],
        {
            "audit.versions": {"version": 2, "what": "events of its archiving that have not been undone"},
            "audit.workflows": {"what": "events of changes and versions, as its revision counts them"},
        },
    ),
    "a rename has no event": (
        "workflow",
        ["DELETE FROM audit_events WHERE action = 'UpdateWorkflow'"],
        {"audit.workflows": {"workflow": "{workflow}", "expected": 13, "found": 12}},
    ),
    "a creation has no event": (
        "workflow",
        ["DELETE FROM audit_events WHERE action = 'CreateWorkflow' AND subject_id = '{workflow}'"],
        {"audit.workflows": {"workflow": "{workflow}", "what": "events of its creation"}},
    ),
    "a workflow is lost": (
        "workflow",
        [
            "DELETE FROM workflows WHERE name = 'draft'",
            "DELETE FROM drafts WHERE workflow_id NOT IN (SELECT id FROM workflows)",
        ],
        {"audit.workflow-targets": {"found": 1}},
    ),
    "two events have one number": (
        "workflow",
        [
            """UPDATE audit_events SET number = (SELECT number FROM audit_events WHERE target_id = '{v6}')
               WHERE action = 'UpdateWorkflow'"""
        ],
        {"audit.workflow-numbers": {"what": "several events have this number", "found": 2}},
    ),
    "events are out of order": (
        "workflow",
        [
            """UPDATE audit_events e SET number = (SELECT sum(number) FROM audit_events WHERE id IN (e.id, other.id))
               - e.number FROM audit_events other
               WHERE e.target_id IN ('{v1}', '{v6}') AND other.target_id IN ('{v1}', '{v6}') AND e.id <> other.id"""
        ],
        {"audit.workflow-numbers": {"what": "the event comes before that of an earlier version"}},
    ),
    # The stored answers of idempotency keys.
    "a stored answer is of another version": (
        "workflow",
        [
            """UPDATE idempotency_keys SET answer = (
                   SELECT answer FROM idempotency_keys WHERE rpc LIKE '%RestoreVersionRequest'
               ) WHERE rpc LIKE '%ForkWorkflowRequest'"""
        ],
        {"idempotency.answers": {"rpc": "ForkWorkflow"}},
    ),
    "a stored answer cannot be read": (
        "deploy",
        ["UPDATE idempotency_keys SET answer = '\\xff' WHERE rpc LIKE '%PromoteAppRequest'"],
        {"idempotency.answers": {"rpc": "PromoteApp", "what": "the kept answer cannot be read"}},
    ),
    # The deploy service's rows.
    "a deployment is lost": (
        "deploy",
        [
            f"DELETE FROM deployments WHERE {OF_D} 4",
            "DELETE FROM audit_events WHERE target_id = '{d4}'",
            "DELETE FROM idempotency_keys",
        ],
        {"deployments.numbers": {"app": "{app}", "deployments": "4", "what": "this deployment is missing"}},
    ),
    "a deployment is above the counter": (
        "deploy",
        ["UPDATE apps SET deployment_count = 5 WHERE id = '{app}'"],
        {"deployments.numbers": {"app": "{app}", "deployment": 6, "found": 6}},
    ),
    "spans overlap": (
        "deploy",
        [f"UPDATE deployments SET live_to = live_to + interval '1 microsecond' WHERE {OF_D} 2"],
        {"deployments.spans": {"app": "{app}", "deployment": 2, "environment": "production"}},
    ),
    "there is a gap between spans": (
        "deploy",
        [f"UPDATE deployments SET live_to = live_from + interval '1 microsecond' WHERE {OF_D} 2"],
        {"deployments.spans": {"what": "there is a gap between its span and that of deployment 3"}},
    ),
    "nothing is live": (
        "deploy",
        [f"UPDATE deployments SET live_to = clock_timestamp() WHERE {OF_D} 5"],
        {"deployments.spans": {"deployment": 5, "what": "nothing is live any more in this environment"}},
    ),
    "a pin has another number": (
        "deploy",
        [f"UPDATE deployments SET version_number = 4 WHERE {OF_D} 3"],
        {
            "deployments.pins": {"deployment": 3, "expected": 6, "found": 4},
            "audit.deployments": {"deployment": 3, "what": "the version in that event", "expected": "v4"},
        },
    ),
    "a pin has another digest": (
        "deploy",
        [
            f"""UPDATE deployments SET version_digest = (
                    SELECT digest FROM flows WHERE digest <> version_digest LIMIT 1
                ) WHERE {OF_D} 3"""
        ],
        {"deployments.pins": {"deployment": 3, "what": "the pinned version_digest is not the version's"}},
    ),
    "a pin names no version": (
        "deploy",
        [f"UPDATE deployments SET version_id = id WHERE {OF_D} 3"],
        {
            "deployments.pins": {"deployment": 3, "what": "the version that it pins does not exist"},
            "idempotency.answers": {"rpc": "DeployApp"},
        },
    ),
    "a pinned flow is rewritten": (
        "deploy",
        [
            """UPDATE flows SET flow = '{{"nodes": [{{"id": "n", "type": "x.Y"}}]}}' WHERE digest = (
                   SELECT version_digest FROM deployments WHERE app_id = '{app}' AND number = 3
               )"""
        ],
        {"flows.digests": {"what": "the kept flow is not that of its digest"}},
    ),
    "a pinned flow is lost": (
        "deploy",
        [
            """DELETE FROM flows WHERE digest = (
                   SELECT version_digest FROM deployments WHERE app_id = '{app}' AND number = 3
               )"""
        ],
        {"deployments.pins": {"what": "the flow that it pins is kept", "found": "false"}},
    ),
    "a loadable is rewritten": (
        "deploy",
        ["UPDATE loadables SET document = '{{}}'"],
        {"loadables.digests": {"what": "what replicas load is not that of its digest"}},
    ),
    "a loadable is lost": (
        "deploy",
        [
            """DELETE FROM loadables WHERE digest = (
                   SELECT loadable_digest FROM deployments WHERE app_id = '{app}' AND number = 3
               )"""
        ],
        {"deployments.pins": {"what": "what its replicas load is kept", "found": "false"}},
    ),
    "a source is newer than its deployment": (
        "deploy",
        [f"""UPDATE deployments SET source_deployment_id = '{{d6}}' WHERE {OF_D} 5"""],
        {"deployments.sources": {"deployment": 5, "source": "{d6}", "what": "its source comes before it"}},
    ),
    "a source does not exist": (
        "deploy",
        [f"UPDATE deployments SET source_deployment_id = version_id WHERE {OF_D} 5"],
        {"deployments.sources": {"deployment": 5, "what": "its source exists"}},
    ),
    "a rollback has no source": (
        "deploy",
        [f"UPDATE deployments SET source_deployment_id = NULL WHERE {OF_D} 5"],
        {"audit.deployments": {"deployment": 5, "what": "it has a source, as its event says", "found": "false"}},
    ),
    "a mark is above the app's revision": (
        "deploy",
        ["UPDATE apps SET revision = 3 WHERE id = '{app}'"],
        {"deployments.marks": {"app": "{app}", "what": "a mark's number is one of the app's revisions"}},
    ),
    "two marks have one number": (
        "deploy",
        ["UPDATE deployments SET mark_number = 1 WHERE mark_number IS NOT NULL"],
        {"deployments.marks": {"what": "several marks have the number 1", "found": 2}},
    ),
    "a mark has no number": (
        "deploy",
        ["UPDATE deployments SET mark_number = NULL WHERE health = 'good'"],
        {"deployments.marks": {"deployment": 5, "what": "a mark has a time and a number", "found": "false"}},
    ),
    "an app has no deployment": (
        "deploy",
        ["UPDATE apps SET deployment_count = 0 WHERE archived_at IS NOT NULL"],
        {"deployments.numbers": {"what": "the app has no deployment at all"}},
    ),
    "a deleted app is live": (
        "deploy",
        ["UPDATE deployments SET live_to = NULL WHERE app_id IN (SELECT id FROM apps WHERE deleted_at IS NOT NULL)"],
        {"deployments.spans": {"deployment": 1, "what": "it is live, and its app is deleted"}},
    ),
    "a source was never live": (
        "deploy",
        [f"UPDATE deployments SET source_deployment_id = '{{d4}}' WHERE {OF_D} 5"],
        {"deployments.sources": {"deployment": 5, "source": "{d4}", "what": "its source has been live"}},
    ),
    "a source pins another version": (
        "deploy",
        [f"UPDATE deployments SET source_deployment_id = '{{d3}}' WHERE {OF_D} 5"],
        {"deployments.sources": {"deployment": 5, "source": "{d3}", "what": "its source pins the same version"}},
    ),
    "the source of a rollback is in another environment": (
        "deploy",
        [f"UPDATE deployments SET source_deployment_id = '{{d1}}' WHERE {OF_D} 5"],
        {"deployments.sources": {"deployment": 5, "what": "its source is in the environment it should be in"}},
    ),
    "a pin has another description": (
        "deploy",
        [f"UPDATE deployments SET version_description = 'other' WHERE {OF_D} 3"],
        {
            "deployments.pins": {
                "deployment": 3,
                "what": "the pinned version_description is not the version's",
                "found": "other",
            }
        },
    ),
    "a runtime is rewritten": (
        "deploy",
        ["UPDATE runtimes SET version = '0.70' WHERE version = '0.69'"],
        {"deployments.pins": {"what": "the runtime's version is as pinned", "expected": "0.69", "found": "0.70"}},
    ),
    "a runtime is lost": (
        "deploy",
        ["DELETE FROM runtimes WHERE version = '0.69'"],
        {
            "deployments.pins": {"deployment": 3, "what": "the runtime that it pins exists", "found": "false"},
            "audit.deploy-targets": {"action": "UpdateRuntime"},
        },
    ),
    "a label names no version": (
        "workflow",
        [
            "UPDATE labels SET number = 99 WHERE name = 'production'",
            "UPDATE label_moves SET number = 99 WHERE revision = 2 AND name = 'production'",
        ],
        {"labels.versions": {"label": "production", "what": "the version that it names does not exist"}},
    ),
    "a label names a deleted version": (
        "workflow",
        [
            "UPDATE labels SET number = 5 WHERE name = 'production'",
            "UPDATE label_moves SET number = 5 WHERE name = 'production' AND revision = 2",
        ],
        {"labels.versions": {"version": 5, "what": "the version that it names has been deleted"}},
    ),
    "a move of a label is lost": (
        "workflow",
        ["DELETE FROM label_moves WHERE name = 'production' AND revision = 1"],
        {"labels.moves": {"label": "production", "what": "moves, as its revision counts them", "found": "1"}},
    ),
    "a label differs from its history": (
        "workflow",
        ["UPDATE labels SET number = 2 WHERE name = 'production'"],
        {"labels.moves": {"what": "the version in its newest move", "expected": "v2", "found": "v1"}},
    ),
    "a move of a label has no event": (
        "workflow",
        ["DELETE FROM audit_events WHERE action = 'DeleteLabel'"],
        {"labels.moves": {"label": "removed", "what": "events of its moves", "expected": "2", "found": "1"}},
    ),
    "a note has no event": (
        "workflow",
        ["DELETE FROM audit_events WHERE action = 'SetVersionNote'"],
        {"audit.versions": {"version": 1, "what": "events of changes, as its revision counts them", "found": "0"}},
    ),
    # The deploy service's audit.
    "a deploy's event names another environment": (
        "deploy",
        [
            """UPDATE audit_events SET details = json_build_object('version', 'v6', 'environment', 'staging')
               WHERE target_id = '{d3}' AND action = 'DeployApp'"""
        ],
        {"audit.deployments": {"deployment": 3, "what": "the environment in that event", "found": "staging"}},
    ),
    "a promotion's event says that it is a deploy": (
        "deploy",
        ["UPDATE audit_events SET action = 'DeployApp' WHERE action = 'PromoteApp'"],
        {"audit.deployments": {"deployment": 2, "what": "it is a promotion, as its event says", "found": "false"}},
    ),
    "a deploy's event says that it is a rollback": (
        "deploy",
        ["UPDATE audit_events SET action = 'RollbackApp' WHERE target_id = '{d6}' AND action = 'DeployApp'"],
        {"audit.deployments": {"deployment": 6, "what": "it is a rollback, as its event says", "found": "false"}},
    ),
    "an app's creation has no event": (
        "deploy",
        ["DELETE FROM audit_events WHERE action = 'CreateApp' AND subject_id = '{app}'"],
        {"audit.apps": {"app": "{app}", "what": "events of its creation", "expected": "1", "found": "0"}},
    ),
    "an app's deletion has no event": (
        "deploy",
        ["DELETE FROM audit_events WHERE action = 'DeleteApp'"],
        {"audit.apps": {"what": "events of its deletion", "expected": "1", "found": "0"}},
    ),
    "an access key's creation has no event": (
        "deploy",
        ["DELETE FROM audit_events WHERE action = 'CreateAccessKey'"],
        {"audit.apps": {"name": "kept", "what": "events of its creation", "expected": 1, "found": 0}},
    ),
    "a rollback has no event": (
        "deploy",
        ["DELETE FROM audit_events WHERE action = 'RollbackApp'"],
        {"audit.deployments": {"deployment": 5, "what": "events of the deploy that made it", "found": "0"}},
    ),
    "a mark has no event": (
        "deploy",
        ["DELETE FROM audit_events WHERE action = 'MarkDeployment' AND details ->> 'health' = 'good'"],
        {"audit.deployments": {"deployment": 5, "what": "the mark in the newest event of its marks"}},
    ),
    "an earlier mark has no event": (
        "deploy",
        [
            """DELETE FROM audit_events
               WHERE action = 'MarkDeployment' AND target_id = '{d5}' AND details ->> 'health' = 'bad'"""
        ],
        {
            "audit.deployments": {
                "deployment": 5,
                "what": "events of its marks, as they are counted",
                "expected": "2",
                "found": "1",
            }
        },
    ),
    "a cancellation has no event": (
        "deploy",
        ["DELETE FROM audit_events WHERE action = 'CancelDeployment'"],
        {"audit.deployments": {"deployment": 6, "what": "events of its cancellation"}},
    ),
    "an app's archiving has no event": (
        "deploy",
        ["DELETE FROM audit_events WHERE action = 'ArchiveApp'"],
        {"audit.apps": {"what": "events of its archiving that have not been undone"}},
    ),
    "a rename of an app has no event": (
        "deploy",
        ["DELETE FROM audit_events WHERE action = 'UpdateApp'"],
        {
            "audit.apps": {
                "app": "{app}",
                "what": "events of its changes, as they are counted",
                "expected": "1",
                "found": "0",
            }
        },
    ),
    "archiving and unarchiving an app have no events": (
        "deploy",
        [
            "DELETE FROM audit_events WHERE action = 'ArchiveApp'",
            "UPDATE apps SET archived_at = NULL, archived_by = NULL",
        ],
        {"audit.apps": {"what": "events of its changes, as they are counted", "expected": "1", "found": "0"}},
    ),
    "a revocation has no event": (
        "deploy",
        ["DELETE FROM audit_events WHERE action = 'DeleteAccessKey'"],
        {"audit.apps": {"name": "revoked", "what": "events of its revocation"}},
    ),
    "a runtime has no event": (
        "deploy",
        ["DELETE FROM audit_events WHERE action = 'CreateRuntime'"],
        {"audit.apps": {"what": "events of its creation"}},
    ),
    "a change of a runtime has no event": (
        "deploy",
        [
            """DELETE FROM audit_events WHERE action = 'UpdateRuntime' AND subject_id IN (
                   SELECT id FROM runtimes WHERE label = 'newer'
               )"""
        ],
        {"audit.apps": {"what": "events of its changes, as they are counted", "expected": 2, "found": 0}},
    ),
    "an access key is lost": (
        "deploy",
        ["DELETE FROM access_keys WHERE name = 'kept'"],
        {
            "audit.deploy-targets": {"action": "CreateAccessKey"},
            "idempotency.answers": {"rpc": "CreateAccessKey"},
        },
    ),
    "a stored answer contains a secret": (
        "deploy",
        [r"UPDATE idempotency_keys SET answer = answer || '\x0a034a0173' WHERE rpc LIKE '%CreateAccessKeyRequest'"],
        {"idempotency.answers": {"what": "the key in the kept answer is not that of the accesskey", "expected": ""}},
    ),
}
"""By what is broken: where, the statements, and by check what must be in its first finding. No other check may find."""

GUARDS: dict[str, tuple[str, str, str]] = {
    "a constraint is dropped": ("workflow", "ALTER TABLE versions DROP CONSTRAINT versions_number", "versions_number"),
    "a unique index is dropped": ("deploy", "DROP INDEX deployments_one_live_idx", "deployments_one_live_idx"),
    "a trigger is disabled": (
        "workflow",
        "ALTER TABLE versions DISABLE TRIGGER versions_mark_hidden",
        "versions_mark_hidden",
    ),
    "references are not checked": (
        "workflow",
        "ALTER TABLE versions DISABLE TRIGGER ALL",
        "versions_workflow_fkey",
    ),
    "a default is dropped": (
        "deploy",
        "ALTER TABLE audit_events ALTER COLUMN number DROP DEFAULT",
        "audit_events number",
    ),
}
"""By what is broken: where, the statement, and the guard that must be named."""

WITHOUT_GUARDS: dict[str, tuple[str, list[str], str, dict[str, Any]]] = {
    "a number has two versions": (
        "workflow",
        [
            "ALTER TABLE versions DROP CONSTRAINT versions_pkey CASCADE",
            "ALTER TABLE versions DROP CONSTRAINT versions_id_key",
            "INSERT INTO versions SELECT * FROM versions WHERE number = 2",
        ],
        "versions.numbers",
        {"version": 2, "what": "a number has more than one version", "found": 2},
    ),
    "two deployments are live": (
        "deploy",
        ["DROP INDEX deployments_one_live_idx", "UPDATE deployments SET live_to = NULL WHERE number = 1"],
        "deployments.spans",
        {"deployment": 1, "what": "its span overlaps that of deployment 2", "found": "no end"},
    ),
    "a deployment that failed was live": (
        "deploy",
        [
            "ALTER TABLE deployments DROP CONSTRAINT deployments_live_once_succeeded",
            "UPDATE deployments SET status = 'failed', error_code = 'X', error_message = 'x' WHERE number = 2",
        ],
        "deployments.states",
        {"deployment": 2, "what": "it has been live", "expected": "false", "found": "true"},
    ),
    "a finished deployment has a lease": (
        "deploy",
        [
            "ALTER TABLE deployments DROP CONSTRAINT deployments_lease_while_open",
            "UPDATE deployments SET lease_owner = id, lease_until = now() WHERE number = 2",
        ],
        "deployments.states",
        {"deployment": 2, "what": "it has a lease only while it is in progress", "found": "false"},
    ),
    "the sequence of events was set back": (
        "deploy",
        ["SELECT setval('audit_events_number_seq', 1)"],
        "audit.deploy-numbers",
        {"found": 1},
    ),
    "a deployment has no app": (
        "deploy",
        ["DELETE FROM apps"],
        "deployments.pins",
        {"deployment": 2, "what": "its app exists", "found": "false"},
    ),
}
"""By what is broken: where, the statements, the check that must name it among others, and what."""

OF_THE_DATABASE = {"database.grants", "database.guards", "database.settings"}
"""Checks that the tests further down break."""

UNCOUNTED = """
    DROP FUNCTION count_change CASCADE;
    DROP FUNCTION count_mark CASCADE;
    ALTER TABLE apps DROP COLUMN change_count;
    ALTER TABLE runtimes DROP COLUMN change_count;
    DROP FUNCTION note_new_deployments CASCADE;
    DROP FUNCTION note_deployment_change CASCADE;
    DROP TABLE deployment_events, deployment_feeds;
    ALTER TABLE deployments DROP COLUMN mark_count;
    DELETE FROM schema_migrations WHERE version IN ('0010', '0011', '0019')
"""
"""The deploy service's schema as it was before changes were counted."""


@pytest.fixture(scope="module")
async def whole(
    database_urls: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Stack, History]]:
    async with fresh_stack(database_urls, tmp_path_factory.mktemp("verify")) as unstarted:
        async with running_stack(unstarted, deploy=SCRIPTED) as stack:
            history = await make_history(stack)
        yield stack, history


def matches(finding: Finding, expected: Mapping[str, Any], names: Mapping[str, str]) -> bool:
    filled = {name: value.format(**names) if isinstance(value, str) else value for name, value in expected.items()}
    return finding.items() >= filled.items()


OF_RUNS = {"runs.deployments"}
"""What looks at the schema `run`, which this history has not: test_verify_runs.py."""


async def test_verify_finds_nothing_in_an_intact_history(whole: tuple[Stack, History]):
    report = await verified(whole[0])

    assert findings_of(report) == {}
    idle = [result.check.name for result in report.results if result.outcome.checked == 0]
    assert idle == [*OF_RUNS]


def test_every_check_of_verify_has_a_test_that_breaks_it():
    checks = {check for _, _, expected in BREAKS.values() for check in expected}
    checks |= {check for _, _, check, _ in WITHOUT_GUARDS.values()}

    assert checks | OF_THE_DATABASE | OF_RUNS == {check.name for check in CHECKS}


async def test_the_migration_counts_earlier_changes_of_apps(unstarted: Stack):
    async with running_stack(unstarted, deploy=SCRIPTED) as stack:
        await make_history(stack)
    async with unstarted.database("admin", "deploy") as db:
        await db.execute(UNCOUNTED)

    await migrations.migrate(
        unstarted.urls["flowpin_deploy_migrator"], unstarted.schemas["deploy"], deploy_service.MIGRATIONS
    )

    assert findings_of(await verified(unstarted)) == {}


async def test_verify_needs_no_more_than_the_services_roles(whole: tuple[Stack, History]):
    report = await verified(whole[0], "serving")

    assert findings_of(report) == {}


@pytest.mark.parametrize("break_", BREAKS)
async def test_verify_names_each_broken_invariant(whole: tuple[Stack, History], break_: str):
    stack, history = whole
    service, statements, expected = BREAKS[break_]
    async with rows_kept(stack):
        await broken(stack, service, *(statement.format(**history.names) for statement in statements))

        found = findings_of(await verified(stack))

    assert found.keys() == expected.keys(), found
    for check, finding in expected.items():
        assert any(matches(each, finding, history.names) for each in found[check]), found[check]


@pytest.mark.parametrize("guard", GUARDS)
async def test_verify_names_a_missing_or_disabled_guard(unstarted: Stack, guard: str):
    service, statement, name = GUARDS[guard]
    async with unstarted.database("admin", service) as db:
        await db.execute(statement)

    found = findings_of(await verified(unstarted))

    assert found.keys() == {"database.guards"}
    assert name in [finding["guard"] for finding in found["database.guards"]]


async def test_verify_names_a_role_that_can_rewrite_versions(unstarted: Stack):
    async with unstarted.database("admin", "workflow") as db:
        await db.execute("GRANT UPDATE (flow) ON versions TO flowpin_workflow")

    found = findings_of(await verified(unstarted))

    assert found == {"database.grants": [{"service": "workflow", "what": "flowpin_workflow may UPDATE versions.flow"}]}


@pytest.mark.parametrize("scope", ["ROLE flowpin_deploy", "ROLE flowpin_deploy IN DATABASE {name}", "DATABASE {name}"])
async def test_verify_names_commits_that_do_not_wait_for_the_disk(unstarted: Stack, scope: str):
    async with unstarted.database("admin", "deploy") as db:
        target, _, rest = scope.format(name=await db.fetchval("SELECT current_database()")).partition(" IN ")
        within = f" IN {rest}" if rest else ""
        await db.execute(f"ALTER {target}{within} SET synchronous_commit = off")
        try:
            found = findings_of(await verified(unstarted))
        finally:
            await db.execute(f"ALTER {target}{within} RESET synchronous_commit")

    assert found.keys() == {"database.settings"}
    assert (
        found["database.settings"][-1 if "ROLE" in scope else 0].items()
        >= {
            "service": "deploy",
            "setting": "synchronous_commit",
            "found": "off",
        }.items()
    )


async def test_verify_names_unsafe_settings_of_postgres(unstarted: Stack):
    async with unstarted.database("admin", "deploy") as db:
        await db.execute("ALTER SYSTEM SET full_page_writes = off")
        await db.execute("SELECT pg_reload_conf()")
        try:
            found = findings_of(await verified(unstarted))
        finally:
            await db.execute("ALTER SYSTEM RESET full_page_writes")
            await db.execute("SELECT pg_reload_conf()")

    assert [finding["setting"] for finding in found["database.settings"]] == ["full_page_writes"] * 2


async def test_verify_names_a_table_that_a_crash_empties(unstarted: Stack):
    async with unstarted.database("admin", "deploy") as db:
        await db.execute("ALTER TABLE access_keys SET UNLOGGED")

    found = findings_of(await verified(unstarted))

    assert [finding["table"] for finding in found["database.settings"]] == [
        "access_keys",
        "access_keys_pkey",
        "access_keys_secret_hash_key",
    ]


async def test_verify_names_a_role_for_which_no_trigger_fires(unstarted: Stack):
    async with unstarted.database("admin", "deploy") as db:
        await db.execute("ALTER ROLE flowpin_deploy SET session_replication_role = replica")
        try:
            found = findings_of(await verified(unstarted))
        finally:
            await db.execute("ALTER ROLE flowpin_deploy RESET session_replication_role")

    assert [finding["setting"] for finding in found["database.settings"]] == ["session_replication_role"]


@pytest.mark.parametrize("break_", WITHOUT_GUARDS)
async def test_verify_names_rows_broken_while_a_guard_was_missing(stack: Stack, break_: str):
    service, statements, check, expected = WITHOUT_GUARDS[break_]
    workflow, _ = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"])
    await stack.deploy(app["id"], workflow["id"])
    await broken(stack, service, *statements)

    found = findings_of(await verified(stack))

    assert check in found, found
    assert any(matches(each, expected, {}) for each in found[check]), found[check]


async def test_verify_counts_findings_that_it_does_not_show(whole: tuple[Stack, History]):
    stack, _ = whole
    async with rows_kept(stack):
        await broken(stack, "workflow", "UPDATE versions SET canvas_digest = digest")

        report = await verified(stack)

    (digests,) = (result.outcome for result in report.results if result.check.name == "versions.digests")
    assert len(digests.findings) == MAX_SHOWN or digests.found == len(digests.findings)
    assert digests.found == digests.checked


async def test_verify_does_not_run_on_a_schema_older_than_its_code(unstarted: Stack):
    async with unstarted.database("admin", "deploy") as db:
        await db.execute("DELETE FROM schema_migrations WHERE version = '0009'")

    with pytest.raises(CannotRun, match="0009_number_audit_events has not run"):
        await verified(unstarted)
