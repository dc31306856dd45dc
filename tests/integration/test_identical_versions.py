"""`identical_to` names the newest earlier version with the same flow that can be read."""

import json

from tests.support.stack import FLOW, Stack
from tests.support.waiting import start_calls
from tests.support.workflows import save_request


async def identical(stack: Stack, workflow_id: str) -> dict[int, int | None]:
    """`identical_to` by version number, from the list. Each single read must return the same."""
    path = f"/v1/workflows/{workflow_id}/versions"
    found = {row["version"]: row.get("identical_to") for row in await stack.ok("GET", f"{path}?include_archived=true")}
    for number, identical_to in found.items():
        assert (await stack.ok("GET", f"{path}/{number}")).get("identical_to") == identical_to
    return found


async def delete(stack: Stack, workflow_id: str, number: int) -> None:
    answer = await stack.rest("DELETE", f"/v1/workflows/{workflow_id}/versions/{number}")
    assert answer.status == 200


async def saved(stack: Stack, *notes: str) -> str:
    workflow_id: str = (await stack.draft())["id"]
    for note in notes:
        await stack.save(workflow_id, note)
    return workflow_id


async def test_identical_to_skips_deleted_versions_but_not_archived_ones(stack: Stack):
    workflow_id = await saved(stack, "a", "a", "b", "a", "a")
    path = f"/v1/workflows/{workflow_id}/versions"
    assert await identical(stack, workflow_id) == {5: 4, 4: 2, 3: None, 2: 1, 1: None}

    await stack.ok("POST", f"{path}/2/archive")
    assert await identical(stack, workflow_id) == {5: 4, 4: 2, 3: None, 2: 1, 1: None}
    await delete(stack, workflow_id, 4)
    assert await identical(stack, workflow_id) == {5: 2, 3: None, 2: 1, 1: None}
    await delete(stack, workflow_id, 1)
    await delete(stack, workflow_id, 2)
    assert await identical(stack, workflow_id) == {5: None, 3: None}

    assert (await stack.save(workflow_id, "a"))["identical_to"] == 5
    await delete(stack, workflow_id, 5)
    await delete(stack, workflow_id, 3)
    assert "identical_to" not in await stack.save(workflow_id, "b")


async def test_a_delete_changes_the_etag_only_of_the_version_identical_to_the_deleted_one(stack: Stack):
    workflow_id = await saved(stack, "a", "b", "a", "a", "b")
    path = f"/v1/workflows/{workflow_id}/versions"
    before = {number: await stack.rest("GET", f"{path}/{number}") for number in (2, 3, 4, 5)}

    await delete(stack, workflow_id, 1)

    for number, then in before.items():
        etag = then.headers["ETag"]
        again = await stack.rest("GET", f"{path}/{number}", headers={"If-None-Match": etag})
        assert again.status == (200 if number == 3 else 304), number
        assert (again.headers["ETag"] == etag) == (number != 3)
    (event, *_) = await stack.ok("GET", f"/v1/workflows/{workflow_id}/audit-events")
    assert event["details"] == {"version": "v1", "identical": "v3"}


async def test_a_save_that_waits_for_a_delete_is_not_identical_to_the_deleted_version(stack: Stack):
    workflow_id = await saved(stack, "a", "b")
    request = save_request(workflow_id, json.dumps({**json.loads(FLOW), "note": "a"}).encode())
    async with stack.database("admin", "workflow") as db, db.transaction():
        await db.execute("UPDATE workflows SET deleted_count = 1 WHERE id = $1", workflow_id)
        await db.execute(
            "UPDATE versions SET deleted_at = now(), deleted_by = created_by WHERE workflow_id = $1 AND number = 1",
            workflow_id,
        )
        (save,) = await start_calls(stack.workflows.SaveWorkflow(request, metadata=stack.as_()))
        assert not save.done()

    answer = await save

    assert (answer.data.version, answer.data.HasField("identical_to")) == (3, False)
    assert (await identical(stack, workflow_id))[3] is None
