"""Apps are created with their first deployment, listed, changed and deleted without effect on other apps."""

from datetime import datetime

import pytest

from tests.support.deployments import SERVERLESS, TWO_TO_FIVE, app_now, bodies, history, unknown
from tests.support.stack import Stack


async def test_a_new_app_serves_the_latest_version_serverless_and_private(stack: Stack):
    workflow, [_, version] = await stack.workflow(saves=2)

    app = await stack.app(workflow["id"], name="Ada's app", description="answers")

    [deployed] = await history(stack, app["id"])
    hostname = f"{app['id']}.apps.localhost"
    live = {
        "workflow_version_id": version["id"],
        "runtime_id": deployed["runtime_id"],
        "deployment_config": SERVERLESS,
    }
    assert app == {
        "id": app["id"],
        "name": "Ada's app",
        "description": "answers",
        "project_id": str(stack.people.project),
        "hostname": hostname,
        "workflow_id": workflow["id"],
        "access_control": {"access_type": "private"},
        "latest_deployment_id": deployed["id"],
        "runtime": deployed["runtime"],
        "workflow": deployed["workflow"],
        "workflow_version": deployed["workflow_version"],
        "environments": [{"name": "production", "hostname": hostname, "deployment_id": deployed["id"], **live}],
        "created_at": app["created_at"],
        "created_by": str(stack.people.user),
        "updated_at": app["updated_at"],
        "updated_by": str(stack.people.user),
        **live,
    }
    assert await app_now(stack, app["id"]) == app


async def test_an_app_is_created_with_the_requested_fields(stack: Stack):
    workflow, versions = await stack.workflow(saves=2, project=stack.people.staged)

    app = await stack.app(
        workflow["id"],
        project_id=str(stack.people.staged),
        workflow_version_id=versions[0]["id"],
        deployment_config=TWO_TO_FIVE,
        access_control={"access_type": "public"},
        environment="staging",
    )

    staging, production = app["environments"]
    [deployed] = await history(stack, app["id"])
    assert app["access_control"] == {"access_type": "public"}
    assert staging["workflow_version_id"] == versions[0]["id"]
    assert staging["deployment_config"] == TWO_TO_FIVE
    assert staging["hostname"] == f"{app['id']}--staging.apps.localhost"
    assert production == {"name": "production", "hostname": app["hostname"]}
    assert app["latest_deployment_id"] == deployed["id"]
    assert "workflow_version_id" not in app


BROKEN = [
    ({"name": ""}, {"name"}),
    ({"name": "semi;colon"}, {"name"}),
    ({"name": "x" * 129}, {"name"}),
    ({"description": "x" * 513}, {"description"}),
    ({"access_control": {}}, {"access_control.access_type"}),
    ({"access_control": {"access_type": "secret"}}, {"access_control.access_type"}),
    ({"name": "\u0000", "description": "\u0000"}, {"name", "description"}),
]


async def test_a_wrong_field_of_an_app_is_named_and_changes_nothing(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    new = {"name": "new", "project_id": str(stack.people.project), "workflow_id": workflow["id"]}
    rows = await stack.row_counts()

    for fields, named in BROKEN:
        created = await stack.rest("POST", "/v1/apps", {**new, **fields})
        updated = await stack.rest("PUT", f"/v1/apps/{app['id']}", fields)

        assert created.refusal == updated.refusal == (400, "INVALID_REQUEST", named)
        assert await stack.row_counts() == rows
        assert await app_now(stack, app["id"]) == app


async def test_apps_are_listed_by_name_by_default_and_equal_names_newest_first(stack: Stack):
    workflow, _ = await stack.workflow()
    ids = {label: (await stack.app(workflow["id"], name=label[0]))["id"] for label in ("b1", "a1", "c1", "a2")}
    await stack.ok("PUT", f"/v1/apps/{ids['a1']}", {"description": "changed last"})

    async def listed(query: str = "") -> list[str]:
        found = await stack.ok("GET", f"/v1/apps?project_id={stack.people.project}&{query}")
        return [next(label for label, app_id in ids.items() if app_id == app["id"]) for app in found]

    assert await listed() == ["a2", "a1", "b1", "c1"]
    assert await listed("sort=-name") == ["c1", "b1", "a2", "a1"]
    assert await listed("sort=created_at") == ["b1", "a1", "c1", "a2"]
    assert await listed("sort=-updated_at") == ["a1", "a2", "c1", "b1"]
    assert await listed("sort=name,created_at") == ["a1", "a2", "b1", "c1"]


async def test_pages_of_apps_cover_the_list_once_and_have_page_numbers_and_counts(stack: Stack):
    workflow, _ = await stack.workflow()
    made = [await stack.app(workflow["id"], name=f"app {number}") for number in range(5)]
    path = f"/v1/apps?project_id={stack.people.project}&page_size=2"

    pages = [(await stack.rest("GET", f"{path}&page={number}")).body for number in (1, 2, 3, 4)]

    assert [app for page in pages for app in page["data"]] == made
    assert [len(page["data"]) for page in pages] == [2, 2, 1, 0]
    assert [page["pagination"] for page in pages] == [
        {"page": number, "page_size": 2, "page_count": 3, "total_count": 5} for number in (1, 2, 3, 4)
    ]


async def test_apps_are_filtered_by_live_workflow_creation_time_and_update_time(stack: Stack):
    workflow, _ = await stack.workflow()
    other, _ = await stack.workflow(name="other")
    first, second = [await stack.app(workflow["id"], name=name) for name in ("first", "second")]
    await stack.deploy(first["id"], other["id"])
    second = await stack.ok("PUT", f"/v1/apps/{second['id']}", {"description": "changed"})

    async def listed(query: str) -> list[str]:
        answer = await stack.rest("GET", f"/v1/apps?project_id={stack.people.project}&{query}")
        assert answer.body["pagination"]["total_count"] == len(answer.data)
        return [app["name"] for app in answer.data]

    assert await listed(f"workflow_id={workflow['id']}") == ["second"]
    assert await listed(f"workflow_id={other['id']}") == ["first"]
    assert await listed(f"workflow_id={unknown()}") == []
    assert await listed(f"created_at:lte={first['created_at']}") == ["first"]
    assert await listed(f"created_at:gte={second['created_at']}") == ["second"]
    assert await listed(f"created_at:gte={first['created_at']}") == ["first", "second"]
    assert await listed(f"updated_at:gte={second['updated_at']}") == ["second"]
    assert await listed(f"updated_at:lte={first['updated_at']}") == ["first"]


async def test_a_wrong_query_for_apps_is_a_400_that_names_the_field(stack: Stack):
    for query, named in {
        "page=0": {"page"},
        "page_size=501": {"page_size"},
        "page=-1&page_size=0": {"page", "page_size"},
        "sort=hostname": {"sort"},
        "workflow_id=one": {"workflow_id"},
        "created_at:gte=soon": {"created_at.gte"},
    }.items():
        answer = await stack.rest("GET", f"/v1/apps?project_id={stack.people.project}&{query}")

        assert answer.refusal == (400, "INVALID_REQUEST", named)


async def test_an_update_of_an_app_changes_the_given_fields_and_deploys_nothing(stack: Stack):
    workflow, _ = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"], description="before")
    deployments = await history(stack, app["id"])
    changes = {"name": "renamed", "access_control": {"access_type": "public"}}

    updated = await stack.ok("PUT", f"/v1/apps/{app['id']}", {**changes, "workflow_id": unknown()})

    assert updated == {**app, **changes, "updated_at": updated["updated_at"]}
    assert datetime.fromisoformat(updated["updated_at"]) > datetime.fromisoformat(app["updated_at"])
    assert await app_now(stack, app["id"]) == updated
    assert await history(stack, app["id"]) == deployments


async def test_a_deleted_app_is_not_found_by_any_call_and_serves_nothing(stack: Stack):
    workflow, _ = await stack.workflow()
    app, kept = await stack.app(workflow["id"]), await stack.app(workflow["id"], name="kept")
    [deployed] = await history(stack, app["id"])
    of_the_other = await bodies(stack, kept["id"])

    answer = await stack.rest("DELETE", f"/v1/apps/{app['id']}")

    path = f"/v1/apps/{app['id']}"
    gone = [
        await stack.rest("GET", path),
        await stack.rest("PUT", path, {"name": "back"}),
        await stack.rest("DELETE", path),
        await stack.rest("POST", f"{path}/deploy", {"workflow_id": workflow["id"]}),
        await stack.rest("GET", f"{path}/deployments"),
        await stack.rest("GET", f"{path}/deployments/{deployed['id']}"),
        await stack.rest("POST", f"/v1/deployments/{deployed['id']}/cancel"),
    ]
    async with stack.database("admin", "deploy") as db:
        live = await db.fetchval("SELECT count(*) FROM deployments WHERE live_from IS NOT NULL AND live_to IS NULL")
    assert answer.body == {"message": "deleted"}
    assert [(answer.status, answer.error["code"]) for answer in gone] == [(404, "not_found")] * len(gone)
    assert await stack.ok("GET", f"/v1/apps?project_id={stack.people.project}") == [await app_now(stack, kept["id"])]
    assert await bodies(stack, kept["id"]) == of_the_other
    assert live == 1


@pytest.mark.parametrize(
    ("token", "statuses"), [("viewer", (200, 403, 403)), ("editor", (200, 200, 403)), ("stranger", (404, 404, 404))]
)
async def test_viewers_read_apps_editors_change_them_and_admins_delete_them(stack: Stack, token, statuses):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    path = f"/v1/apps/{app['id']}"

    read = await stack.rest("GET", path, token=token)
    change = await stack.rest("PUT", path, {"name": "mine"}, token=token)
    delete = await stack.rest("DELETE", path, token=token)

    assert (read.status, change.status, delete.status) == statuses
    assert (await app_now(stack, app["id"]))["name"] == ("mine" if statuses[1] == 200 else "app")


async def test_the_default_runtime_is_listed_first(stack: Stack):
    answer = await stack.rest("GET", "/v1/runtimes", token="viewer")

    [runtime] = answer.data
    assert runtime == {
        "id": "01937f00-0000-7000-8000-000000000001",
        "version": "0.69",
        "label": "Dynamiq 0.69",
        "default": True,
        "deprecated": False,
    }
    assert answer.body["pagination"]["total_count"] == 1
