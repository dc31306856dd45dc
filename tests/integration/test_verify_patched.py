"""`flowpin verify` finds the faults of a service that runs without one of its guards."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import deploy_service.servicer.deployments
import service_kit.audit
from deploy_service.repository import rollouts
from service_kit.idempotency import repository as kept_answers
from tests.support.stack import Stack, running_stack
from tests.support.whole_history import SCRIPTED, findings_of, make_history, verified
from workflow_service.repository import version_inserts, workflows

pytestmark = pytest.mark.slow


async def nothing(*_: Any, **__: Any) -> None:
    """The replacement of a guard: it does nothing."""


def without_event(left_out: str) -> Callable[[Any], Any]:
    """Patch the audit: the changes `left_out` write no event."""

    def patched(original: Any) -> Any:
        async def record(
            db: Any, caller: Any, project: Any, subject: Any, action: str, *rest: Any, **details: str
        ) -> None:
            if action != left_out:
                await original(db, caller, project, subject, action, *rest, **details)

        return record

    return patched


def patched_go_live(original: Any) -> Any:
    async def go_live(db: Any, deployment: Any, owner: Any, moment: Any) -> Any:
        return await original(db, deployment, owner, moment + timedelta(milliseconds=1))

    return go_live


def patched_insert(original: Any) -> Any:
    async def insert_answer(db: Any, scope: Any, digest: bytes, answer: bytes, trailers: Any) -> None:
        await original(db, scope, digest, answer[:-1], trailers)

    return insert_answer


PATCHES: dict[str, tuple[Any, str, Callable[[Any], Any], str]] = {
    "marks and cancellations without events": (
        deploy_service.servicer.deployments,
        "record_action",
        lambda original: nothing,
        "audit.deployments",
    ),
    "unarchiving without events": (
        service_kit.audit,
        "record",
        without_event("UnarchiveVersion"),
        "audit.versions",
    ),
    "renames of workflows without events": (
        service_kit.audit,
        "record",
        without_event("UpdateWorkflow"),
        "audit.workflows",
    ),
    "renames of apps without events": (service_kit.audit, "record", without_event("UpdateApp"), "audit.apps"),
    "changes of runtimes without events": (service_kit.audit, "record", without_event("UpdateRuntime"), "audit.apps"),
    "hidden versions that are not counted": (
        workflows,
        "count_hidden",
        lambda original: nothing,
        "workflows.counters",
    ),
    "cut-overs that leave a gap": (rollouts, "go_live", patched_go_live, "deployments.spans"),
    "answers that are kept in part": (kept_answers, "insert_answer", patched_insert, "idempotency.answers"),
    "saves without events": (
        version_inserts,
        "_INSERT_ONE",
        lambda original: original.replace(
            "FROM version\n    )\n    INSERT INTO", "FROM version WHERE false) INSERT INTO"
        ),
        "audit.versions",
    ),
}
"""By what a service does then: the module, the name, what makes the patch, and the check that must find it."""


@pytest.mark.parametrize("patch", PATCHES)
async def test_verify_finds_the_faults_of_a_service_without_a_guard(
    unstarted: Stack, monkeypatch: pytest.MonkeyPatch, patch: str
):
    module, name, patched, check = PATCHES[patch]
    original = getattr(module, name)
    assert patched(original) != original
    monkeypatch.setattr(module, name, patched(original))
    async with running_stack(unstarted, deploy=SCRIPTED) as stack:
        await make_history(stack)

    found = findings_of(await verified(unstarted))

    assert check in found, found
