"""What a restore knows about the schemas: the order of migrations, and the objects that they create."""

import pytest

import deploy_service
import run_service
import workflow_service
from flowpin_cli.postgres.schemas import Schema

WORKFLOW = Schema(workflow_service.SCHEMA, workflow_service.MIGRATIONS)
DEPLOY = Schema(deploy_service.SCHEMA, deploy_service.MIGRATIONS)
RUN = Schema(run_service.SCHEMA, run_service.MIGRATIONS)


@pytest.mark.parametrize("schema", [WORKFLOW, DEPLOY, RUN])
def test_every_migration_can_run_in_a_transaction_as_a_restore_does(schema: Schema):
    files = schema.first(list(schema.known)) or []

    assert len(files) == len(schema.known)
    assert [path.name for path in files if "transaction:false" in path.read_text()] == []


@pytest.mark.parametrize("applied", [["0002"], ["0001", "0003"], ["0002", "0001"], ["0001", "0001"], ["0001", "x"]])
def test_applied_migrations_that_are_not_the_first_ones_in_order_are_unknown(applied: list[str]):
    assert WORKFLOW.first(applied) is None


@pytest.mark.parametrize(
    "entry",
    [
        "SCHEMA - workflow",
        "ACL - SCHEMA workflow",
        "TABLE workflow versions",
        "TABLE DATA workflow schema_migrations",
        "ACL workflow COLUMN versions.archived_at",
        "INDEX workflow versions_digest_idx",
        "FK CONSTRAINT workflow versions versions_workflow_fkey",
        "CONSTRAINT workflow schema_migrations schema_migrations_pkey",
        "FUNCTION workflow mark_hidden_version()",
        "ACL workflow FUNCTION mark_hidden_version()",
        "TRIGGER workflow versions versions_mark_hidden",
        "SEQUENCE workflow audit_events_number_seq",
        "SEQUENCE SET workflow audit_events_number_seq",
        "SEQUENCE OWNED BY workflow audit_events_number_seq",
        "ACL workflow SEQUENCE audit_events_number_seq",
        "DEFAULT workflow audit_events number",
    ],
)
def test_a_dump_entry_of_an_object_that_a_migration_creates_is_known(entry: str):
    assert WORKFLOW.archive_entries.fullmatch(entry)
    assert not DEPLOY.archive_entries.fullmatch(entry)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "VIEW workflow versions",
        "MATERIALIZED VIEW DATA workflow versions",
        "TABLE public versions",
        "TABLE workflow versions x",
        "TABLE workflow mark_hidden_version",
        "FUNCTION workflow versions()",
        "FUNCTION workflow mark_hidden_version() x",
        "TRIGGER workflow versions versions_pkey",
        "SEQUENCE workflow versions",
        "DEFAULT workflow versions_pkey number",
        "DEFAULT ACL workflow DEFAULT PRIVILEGES FOR TABLES",
        "DEFAULT workflow versions number",
        "SEQUENCE workflow versions_number_seq",
    ],
)
def test_a_dump_entry_of_an_object_that_no_migration_creates_is_unknown(entry: str):
    assert not WORKFLOW.archive_entries.fullmatch(entry)
