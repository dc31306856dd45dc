"""The versions of a workflow are filtered by author or by their ids."""

from typing import Any

from service_kit.ids import new_id
from tests.support.stack import Stack


async def numbers(stack: Stack, workflow_id: str, query: str) -> list[int]:
    return [row["version"] for row in await stack.ok("GET", f"/v1/workflows/{workflow_id}/versions?{query}")]


async def saved_by_two(stack: Stack) -> tuple[Any, str, str]:
    """A workflow whose versions 2 and 4 were saved by a second person, and the ids of both persons."""
    workflow, _ = await stack.workflow(5)
    other = str(new_id())
    async with stack.database("admin", "workflow") as db:
        await db.execute(
            "UPDATE versions SET created_by = $2 WHERE workflow_id = $1 AND number IN (2, 4)", workflow["id"], other
        )
    return workflow, str(stack.people.user), other


async def test_versions_are_filtered_and_counted_by_author(stack: Stack):
    workflow, one, other = await saved_by_two(stack)

    assert await numbers(stack, workflow["id"], f"created_by={one}") == [5, 3, 1]
    assert await numbers(stack, workflow["id"], f"created_by={other}") == [4, 2]
    assert await numbers(stack, workflow["id"], f"created_by={other}&sort=version") == [2, 4]
    assert await numbers(stack, workflow["id"], f"created_by={new_id()}") == []
    answer = await stack.rest("GET", f"/v1/workflows/{workflow['id']}/versions?created_by={one}&page_size=2&page=2")
    assert [row["version"] for row in answer.data] == [1]
    assert answer.body["pagination"] == {"page": 2, "page_size": 2, "page_count": 2, "total_count": 3}


async def test_a_version_in_the_list_of_an_author_equals_its_row_in_the_whole_list(stack: Stack):
    workflow, one, _ = await saved_by_two(stack)
    path = f"/v1/workflows/{workflow['id']}/versions"

    everything = {row["id"]: row for row in await stack.ok("GET", path)}

    for row in await stack.ok("GET", f"{path}?created_by={one}"):
        assert row == everything[row["id"]]


async def test_the_list_of_an_author_leaves_out_archived_and_deleted_versions(stack: Stack):
    workflow, one, _ = await saved_by_two(stack)
    path = f"/v1/workflows/{workflow['id']}/versions"
    await stack.ok("POST", f"{path}/1/archive", {})
    await stack.ok("DELETE", f"{path}/3")

    assert await numbers(stack, workflow["id"], f"created_by={one}") == [5]
    assert await numbers(stack, workflow["id"], f"created_by={one}&include_archived=true") == [5, 1]


async def test_the_list_of_an_author_needs_a_uuid_and_a_visible_workflow(stack: Stack):
    workflow, one, _ = await saved_by_two(stack)

    wrong = await stack.rest("GET", f"/v1/workflows/{workflow['id']}/versions?created_by=ada")
    missing = await stack.rest("GET", f"/v1/workflows/{new_id()}/versions?created_by={one}")
    hidden = await stack.rest("GET", f"/v1/workflows/{workflow['id']}/versions?created_by={one}", token="stranger")

    assert wrong.refusal == (400, "INVALID_REQUEST", {"created_by"})
    assert missing.refusal[:2] == hidden.refusal[:2] == (404, "WORKFLOW_NOT_FOUND")


async def test_versions_are_filtered_by_their_ids(stack: Stack):
    workflow, versions = await stack.workflow(4)
    _, [foreign] = await stack.workflow(1)
    await stack.ok("POST", f"/v1/workflows/{workflow['id']}/versions/2/archive", {})
    await stack.ok("DELETE", f"/v1/workflows/{workflow['id']}/versions/3")
    ids = [each["id"] for each in versions] + [foreign["id"], str(new_id()), versions[0]["id"]]
    query = "&".join(f"version_ids={each}" for each in ids)

    listed = await stack.rest("GET", f"/v1/workflows/{workflow['id']}/versions?{query}")

    assert await numbers(stack, workflow["id"], query) == [4, 1]
    assert await numbers(stack, workflow["id"], f"{query}&include_archived=true&sort=version") == [1, 2, 4]
    assert await numbers(stack, workflow["id"], f"{query}&page_size=1&page=2") == [1]
    assert await numbers(stack, workflow["id"], f"version_ids={foreign['id']}") == []
    everything = await stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions")
    assert listed.data == everything
    assert listed.body["pagination"]["total_count"] == 2


async def test_a_filter_of_version_ids_takes_at_most_100_uuids_and_no_author(stack: Stack):
    workflow, one, _ = await saved_by_two(stack)
    path = f"/v1/workflows/{workflow['id']}/versions"
    many = "&".join(f"version_ids={new_id()}" for _ in range(101))
    queries = ("version_ids=v1", many, f"version_ids={new_id()}&created_by={one}")

    answers = [await stack.rest("GET", f"{path}?{query}") for query in queries]
    missing = await stack.rest("GET", f"/v1/workflows/{new_id()}/versions?version_ids={new_id()}")

    assert [answer.refusal for answer in answers] == [(400, "INVALID_REQUEST", {"version_ids"})] * 3
    assert missing.refusal[:2] == (404, "WORKFLOW_NOT_FOUND")
