"""Each change of an app has one audit event with author, token, action and request. Nothing else has one."""

from tests.support.deployments import history, unknown
from tests.support.stack import Stack, running_stack


async def events(stack: Stack, app_id: str, **options):
    return await stack.ok("GET", f"/v1/apps/{app_id}/audit-events?page_size=500", **options)


async def everything(stack: Stack):
    """An app that each call has changed and that is deleted at the end, and the expected content of each event."""
    staged = str(stack.people.staged)
    workflow, versions = await stack.workflow(saves=2, project=stack.people.staged)
    app = await stack.app(workflow["id"], project_id=staged, workflow_version_id=versions[0]["id"])
    path = f"/v1/apps/{app['id']}"
    deployed = await stack.deploy(app["id"], workflow["id"])
    back = await stack.ok("POST", f"{path}/rollback", {})
    staging = await stack.deploy(app["id"], workflow["id"], environment="staging")
    promoted = await stack.ok("POST", f"{path}/promote", {})
    await stack.ok("POST", f"/v1/deployments/{promoted['id']}/health", {"health": "bad", "note": "canary"})
    updated = [await stack.ok("PUT", path, {"description": "canary"}) for _ in range(2)]
    assert updated[0] == updated[1]
    await stack.ok("PUT", path, {"name": app["name"], "access_control": app["access_control"]})
    for call in ("archive", "archive", "unarchive", "unarchive"):
        await stack.ok("POST", f"{path}/{call}")
    await stack.rest("DELETE", path)
    return app, [
        ("CreateApp", app, {"environment": "production", "version": "v1"}),
        ("DeployApp", deployed, {"environment": "production", "version": "v2"}),
        ("RollbackApp", back, {"environment": "production", "version": "v1"}),
        ("DeployApp", staging, {"environment": "staging", "version": "v2"}),
        ("PromoteApp", promoted, {"environment": "production", "version": "v2"}),
        ("MarkDeployment", promoted, {"environment": "production", "version": "v2", "health": "bad"}),
        ("UpdateApp", app, {}),
        ("ArchiveApp", app, {}),
        ("UnarchiveApp", app, {}),
        ("DeleteApp", app, {}),
    ]


async def test_every_change_of_an_app_has_an_audit_event_newest_first_also_after_its_deletion(stack: Stack):
    app, done = await everything(stack)

    found = await events(stack, app["id"], token="viewer")

    assert [(event["action"], event["target_id"], event["details"]) for event in found] == [
        (action, target["id"], details) for action, target, details in reversed(done)
    ]
    assert {(event["actor_id"], event["actor_name"], event["token_id"]) for event in found} == {
        (str(stack.people.user), "Ada Lovelace", "tok_admin")
    }
    assert all(event["request_id"] and event["created_at"] for event in found)


async def test_an_apps_audit_event_names_its_request_and_pages_cover_the_list_once(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    body = {"workflow_id": workflow["id"]}
    await stack.rest("POST", f"/v1/apps/{app['id']}/deploy", body, headers={"X-Request-Id": "my-request"})

    pages = [
        (await stack.rest("GET", f"/v1/apps/{app['id']}/audit-events?page_size=1&page={page}")).body
        for page in (1, 2, 3)
    ]

    assert pages[0]["data"][0]["request_id"] == "my-request"
    assert [[event["action"] for event in page["data"]] for page in pages] == [["DeployApp"], ["CreateApp"], []]
    assert [page["pagination"]["total_count"] for page in pages] == [2, 2, 2]


async def test_the_cancellation_of_a_deployment_has_one_audit_event(unstarted: Stack):
    script = {"rollout_driver": "scripted", "rollout_script": "hang"}
    async with running_stack(unstarted, deploy=script) as stack:
        workflow, _ = await stack.workflow()
        app = await stack.app(workflow["id"])
        [deployed] = await history(stack, app["id"])

        for _ in range(2):
            await stack.ok("POST", f"/v1/deployments/{deployed['id']}/cancel")

        assert [event["action"] for event in await events(stack, app["id"])] == ["CancelDeployment", "CreateApp"]


async def test_a_refused_or_replayed_change_of_an_app_has_no_audit_event(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    deploy, key = f"/v1/apps/{app['id']}/deploy", {"Idempotency-Key": "one"}
    body = {"workflow_id": workflow["id"]}

    await stack.rest("POST", deploy, {**body, "runtime_id": unknown()})
    await stack.rest("POST", f"/v1/apps/{app['id']}/rollback", {})
    for _ in range(2):
        await stack.rest("POST", deploy, body, headers=key)

    assert [event["action"] for event in await events(stack, app["id"])] == ["DeployApp", "CreateApp"]


CHANGES = [
    ("PUT", "/v1/apps/{app}", {"name": "renamed"}),
    ("POST", "/v1/apps/{app}/deploy", {"workflow_id": "{workflow}"}),
    ("POST", "/v1/apps/{app}/archive", {}),
    ("POST", "/v1/deployments/{deployment}/health", {"health": "bad"}),
    ("POST", "/v1/runtimes", {"version": "1", "label": "One"}),
    ("POST", "/v1/access-keys", {"project_id": "{project}", "name": "key"}),
    ("POST", "/v1/apps", {"project_id": "{project}", "name": "new", "workflow_id": "{workflow}"}),
    ("DELETE", "/v1/apps/{app}", None),
]


async def test_a_change_of_an_app_is_rolled_back_when_its_audit_event_cannot_be_written(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    known = {
        "app": app["id"],
        "workflow": workflow["id"],
        "deployment": app["latest_deployment_id"],
        "project": str(stack.people.project),
    }
    rows, before = await stack.row_counts(), await stack.ok("GET", f"/v1/apps/{app['id']}")

    async with stack.database("admin", "deploy") as admin:
        await admin.execute("ALTER TABLE audit_events ADD CONSTRAINT cannot_be_written CHECK (false) NOT VALID")
    for method, path, body in CHANGES:
        filled = {key: value.format(**known) for key, value in body.items()} if body else None
        answer = await stack.rest(method, path.format(**known), filled, token="operator")
        assert answer.status == 500, path

    assert await stack.row_counts() == rows
    assert await stack.ok("GET", f"/v1/apps/{app['id']}") == before


async def test_runtimes_and_access_keys_have_their_own_audit_events(stack: Stack):
    runtime = await stack.ok("POST", "/v1/runtimes", {"version": "1", "label": "One"}, token="installer")
    for _ in range(2):
        await stack.ok("PUT", f"/v1/runtimes/{runtime['id']}", {"deprecated": True}, token="installer")
    new = {"project_id": str(stack.people.project), "name": "key"}
    key = await stack.ok("POST", "/v1/access-keys", new)
    for _ in range(2):
        await stack.rest("DELETE", f"/v1/access-keys/{key['id']}")

    async with stack.database("admin", "deploy") as db:
        found = await db.fetch("SELECT action, subject_id::text, target_id::text FROM audit_events ORDER BY id")
    runtimes = await stack.ok("GET", f"/v1/runtimes/{runtime['id']}/audit-events", token="installer")
    keys = await stack.ok("GET", f"/v1/access-keys/audit-events?project_id={stack.people.project}")

    assert [(each["action"], each["target_id"]) for each in (*keys, *runtimes)] == [
        ("DeleteAccessKey", key["id"]),
        ("CreateAccessKey", key["id"]),
        ("UpdateRuntime", runtime["id"]),
        ("CreateRuntime", runtime["id"]),
    ]
    assert {each["token_id"] for each in runtimes} == {"tok_installer"}
    assert [tuple(row) for row in found] == [
        (action, subject["id"], subject["id"])
        for action, subject in (
            ("CreateRuntime", runtime),
            ("UpdateRuntime", runtime),
            ("CreateAccessKey", key),
            ("DeleteAccessKey", key),
        )
    ]


async def test_only_callers_who_see_an_app_read_its_audit_events(stack: Stack):
    workflow, _ = await stack.workflow()
    app = await stack.app(workflow["id"])
    path = f"/v1/apps/{app['id']}/audit-events"

    unseen = await stack.rest("GET", path, token="stranger")
    never = await stack.rest("GET", f"/v1/apps/{unknown()}/audit-events")
    page = await stack.rest("GET", f"{path}?page=0")

    assert [(a.status, a.error["details"]["reason"]) for a in (unseen, never)] == [(404, "APP_NOT_FOUND")] * 2
    assert (page.status, page.error["details"]["reason"]) == (400, "INVALID_REQUEST")
