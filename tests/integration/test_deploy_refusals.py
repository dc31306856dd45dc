"""An impossible deploy is refused with its own reason and changes nothing."""

import pytest

from tests.support.deployments import add_runtime, bodies, deprecate, foreign_workflow, unknown
from tests.support.stack import Stack


async def unknown_workflow(stack: Stack, workflow, version):
    return {"workflow_id": unknown()}


async def workflow_of_another_project(stack: Stack, workflow, version):
    workflow_id, _ = await foreign_workflow(stack)
    return {"workflow_id": workflow_id}


async def workflow_of_a_sibling_project(stack: Stack, workflow, version):
    other, _ = await stack.workflow(project=stack.people.staged)
    return {"workflow_id": other["id"]}


async def unknown_version(stack: Stack, workflow, version):
    return {"workflow_version_id": unknown()}


async def version_of_another_project(stack: Stack, workflow, version):
    _, version_id = await foreign_workflow(stack)
    return {"workflow_version_id": version_id}


async def version_of_another_workflow(stack: Stack, workflow, version):
    _, [other] = await stack.workflow(name="other")
    return {"workflow_version_id": other["id"]}


async def live_version_under_another_workflow(stack: Stack, workflow, version):
    other, _ = await stack.workflow(name="other")
    return {"workflow_id": other["id"], "workflow_version_id": version["id"]}


async def draft(stack: Stack, workflow, version):
    return {"workflow_id": (await stack.draft(name="draft"))["id"]}


async def unknown_runtime(stack: Stack, workflow, version):
    return {"runtime_id": unknown()}


async def deprecated_runtime(stack: Stack, workflow, version):
    return {"runtime_id": await add_runtime(stack, "0.1", deprecated=True)}


async def runtime_deprecated_since_it_was_live_elsewhere(stack: Stack, workflow, version):
    runtime = await add_runtime(stack, "0.2")
    await stack.app(workflow["id"], name="elsewhere", runtime_id=runtime)
    await deprecate(stack, runtime)
    return {"runtime_id": runtime}


async def unknown_environment(stack: Stack, workflow, version):
    return {"environment": "staging"}


async def wrong_config(stack: Stack, workflow, version):
    return {"deployment_config": {"deployment_type": "server_based", "config": {"autoscaling": {"min_replicas": 0}}}}


async def malformed_ids(stack: Stack, workflow, version):
    return {"workflow_id": "one", "workflow_version_id": "two", "runtime_id": "three"}


async def no_workflow(stack: Stack, workflow, version):
    return {"workflow_id": ""}


REFUSED = [
    (unknown_workflow, "WORKFLOW_NOT_FOUND", {"workflow_id"}),
    (workflow_of_another_project, "WORKFLOW_NOT_FOUND", {"workflow_id"}),
    (workflow_of_a_sibling_project, "WORKFLOW_NOT_FOUND", {"workflow_id"}),
    (unknown_version, "VERSION_NOT_FOUND", {"workflow_version_id"}),
    (version_of_another_project, "VERSION_NOT_FOUND", {"workflow_version_id"}),
    (version_of_another_workflow, "VERSION_OF_OTHER_WORKFLOW", {"workflow_version_id"}),
    (live_version_under_another_workflow, "VERSION_OF_OTHER_WORKFLOW", {"workflow_version_id"}),
    (draft, "WORKFLOW_NOT_RELEASED", {"workflow_id"}),
    (unknown_runtime, "RUNTIME_NOT_FOUND", {"runtime_id"}),
    (deprecated_runtime, "RUNTIME_DEPRECATED", {"runtime_id"}),
    (runtime_deprecated_since_it_was_live_elsewhere, "RUNTIME_DEPRECATED", {"runtime_id"}),
    (unknown_environment, "ENVIRONMENT_NOT_FOUND", {"environment"}),
    (wrong_config, "INVALID_REQUEST", {"deployment_config.config.autoscaling.min_replicas"}),
    (malformed_ids, "INVALID_REQUEST", {"workflow_id", "workflow_version_id", "runtime_id"}),
    (no_workflow, "INVALID_REQUEST", {"workflow_id"}),
]


async def test_an_impossible_deploy_is_a_400_with_its_reason_and_changes_nothing(stack: Stack):
    workflow, [version] = await stack.workflow()
    app = await stack.app(workflow["id"])

    for fields_of, reason, named in REFUSED:
        body = {"workflow_id": workflow["id"], **await fields_of(stack, workflow, version)}
        before, rows = await bodies(stack, app["id"]), await stack.row_counts()

        deployed = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body)
        created = await stack.rest("POST", "/v1/apps", {"name": "b", "project_id": str(stack.people.project), **body})

        assert (fields_of, *deployed.refusal) == (fields_of, 400, reason, named)
        assert (fields_of, *created.refusal) == (fields_of, 400, reason, named)
        assert await bodies(stack, app["id"]) == before
        assert await stack.row_counts() == rows


async def test_a_runtime_live_in_one_environment_is_refused_in_another_once_it_is_deprecated(stack: Stack):
    workflow, _ = await stack.workflow(project=stack.people.staged)
    runtime = await add_runtime(stack, "0.68")
    app = await stack.app(
        workflow["id"], project_id=str(stack.people.staged), environment="staging", runtime_id=runtime
    )
    await deprecate(stack, runtime)
    body = {"workflow_id": workflow["id"], "runtime_id": runtime}

    here = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", {**body, "environment": "staging"})
    there = await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body)

    assert here.status == 201
    assert there.refusal == (400, "RUNTIME_DEPRECATED", {"runtime_id"})


@pytest.mark.parametrize(
    ("token", "app", "status", "reason"),
    [
        ("viewer", "theirs", 403, "ROLE_TOO_SMALL"),
        ("stranger", "theirs", 404, "APP_NOT_FOUND"),
        ("admin", "none", 404, "APP_NOT_FOUND"),
    ],
)
async def test_only_an_editor_of_the_apps_project_deploys(stack: Stack, token, app, status, reason):
    workflow, _ = await stack.workflow()
    made = await stack.app(workflow["id"])
    app_id = made["id"] if app == "theirs" else unknown()
    rows = await stack.row_counts()

    answer = await stack.rest("POST", f"/v1/apps/{app_id}/deploy", {"workflow_id": workflow["id"]}, token=token)

    assert (answer.status, answer.error["details"]["reason"]) == (status, reason)
    assert await stack.row_counts() == rows
