from tests.stack import Stack


async def test_main_job(stack: Stack):
    workflow, versions = await stack.workflow(saves=3)
    app = await stack.app(workflow["id"])
    await stack.save(workflow["id"], "again")
    assert (await stack.ok("GET", f"/v1/apps/{app['id']}"))["workflow_version_id"] == versions[-1]["id"]
    back = await stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[0]["id"])
    assert back["kind"] == "rollback"
