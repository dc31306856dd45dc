"""Scripts of the platform's users work unchanged: they send back whole objects and read all pages."""

from tests.support.stack import Stack


async def test_a_whole_workflow_as_read_can_be_sent_to_save_and_to_update(stack: Stack):
    workflow, _ = await stack.workflow()
    read = await stack.ok("GET", f"/v1/workflows/{workflow['id']}")
    flow = {**read["flow"], "nodes": [{**node, "note": "changed"} for node in read["flow"]["nodes"]]}
    whole = {name: value for name, value in {**read, "flow": flow}.items() if name not in ("id", "created_at")}

    saved = await stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", whole)
    updated = await stack.ok("PUT", f"/v1/workflows/{workflow['id']}", {**read, "name": "renamed"})

    assert saved["version"] == 2
    assert (updated["name"], updated["flow"]) == ("renamed", flow)


async def test_another_client_deploys_the_newest_version_with_the_runtime_of_the_history(stack: Stack):
    workflow, _ = await stack.workflow(saves=2)
    app = await stack.app(workflow["id"])

    newest = await stack.ok("GET", f"/v1/workflow-versions?workflow_id={workflow['id']}&page=1&page_size=1")
    history = await stack.ok("GET", f"/v1/apps/{app['id']}/deployments")
    deployed = await stack.deploy(
        app["id"],
        workflow["id"],
        workflow_version_id=newest[0]["id"],
        runtime_id=history[0]["runtime_id"],
        deployment_config={"deployment_type": "serverless"},
    )

    assert (deployed["workflow_version"]["version"], deployed["status"], deployed["live"]) == (2, "succeeded", True)
    assert deployed["deployment_config"] == {"deployment_type": "serverless", "config": {}}


async def test_the_pages_of_the_history_show_which_version_was_live_at_which_time(stack: Stack):
    workflow, versions = await stack.workflow(saves=3)
    app = await stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    for version in (versions[1], versions[2], versions[0]):
        await stack.deploy(app["id"], workflow["id"], workflow_version_id=version["id"])

    pages = [
        (await stack.rest("GET", f"/v1/apps/{app['id']}/deployments?page={page}&page_size=3")).body for page in (1, 2)
    ]

    rows = [row for page in pages for row in page["data"]]
    assert [page["pagination"]["total_count"] for page in pages] == [4, 4]
    assert [row["workflow_version"]["version"] for row in sorted(rows, key=lambda row: row["started_at"])] == [
        1, 2, 3, 1,
    ]  # fmt: skip
