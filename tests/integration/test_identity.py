"""Me, orgs and projects, as the access file declares them."""

import pytest

from service_kit.pb.flowpin.identity.v1 import identity_pb2 as pb
from tests.support.refusals import refusal
from tests.support.stack import Stack, running_stack

UNKNOWN = "01980000-0000-7000-8000-000000000000"


async def test_me_is_the_person_behind_the_token(shared_stack: Stack):
    me = await shared_stack.ok("GET", "/v1/me", token="viewer")

    assert me == {
        "id": str(shared_stack.people.user),
        "email": "ada@acme.test",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "timezone": "UTC",
    }


async def test_a_service_account_is_no_person(shared_stack: Stack):
    answer = await shared_stack.rest("GET", "/v1/me", token="service")
    error = await refusal(shared_stack.identity.GetMe(pb.GetMeRequest(), metadata=shared_stack.as_("service")))

    assert (answer.status, answer.error["code"]) == (403, "forbidden")
    assert (error.code.name, error.reason) == ("PERMISSION_DENIED", "NOT_A_PERSON")


async def test_a_malformed_idempotency_key_is_refused_where_none_is_read(shared_stack: Stack):
    metadata = shared_stack.as_(idempotency_key="")

    error = await refusal(shared_stack.identity.GetMe(pb.GetMeRequest(), metadata=metadata))

    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("token", "orgs", "projects"),
    [
        ("admin", ["acme"], ["one", "two"]),
        ("viewer", ["acme"], ["one", "two"]),
        ("stranger", ["globex"], ["theirs"]),
        ("service", ["acme", "globex"], ["one", "theirs", "two"]),
    ],
)
async def test_a_token_sees_its_own_orgs_and_projects_by_name(
    shared_stack: Stack, token: str, orgs: list, projects: list
):
    assert [org["name"] for org in await shared_stack.ok("GET", "/v1/orgs", token=token)] == orgs
    assert [project["name"] for project in await shared_stack.ok("GET", "/v1/projects", token=token)] == projects


async def test_projects_can_be_those_of_one_org(shared_stack: Stack):
    path = f"/v1/projects?org_id={shared_stack.people.foreign_org}"

    assert [project["name"] for project in await shared_stack.ok("GET", path, token="service")] == ["theirs"]


async def test_a_project_has_its_environments_in_order(shared_stack: Stack):
    people = shared_stack.people

    assert await shared_stack.ok("GET", f"/v1/projects/{people.staged}") == {
        "id": str(people.staged),
        "name": "two",
        "org_id": str(people.org),
        "environments": ["staging", "production"],
    }
    assert await shared_stack.ok("GET", f"/v1/orgs/{people.org}") == {"id": str(people.org), "name": "acme"}


async def test_pages_are_slices(shared_stack: Stack):
    found = [
        await shared_stack.rest("GET", f"/v1/projects?page_size=2&page={page}", token="service") for page in (1, 2, 3)
    ]

    assert [[project["name"] for project in answer.data] for answer in found] == [["one", "theirs"], ["two"], []]
    assert found[1].body["pagination"] == {"page": 2, "page_size": 2, "page_count": 2, "total_count": 3}


@pytest.mark.parametrize("page", ["page=0", "page_size=501", "page_size=0", "page=x"])
@pytest.mark.parametrize("path", ["/v1/orgs", "/v1/projects"])
async def test_a_page_out_of_range_is_named(shared_stack: Stack, path: str, page: str):
    answer = await shared_stack.rest("GET", f"{path}?{page}")

    assert answer.status == 400
    assert page.split("=")[0] in answer.error["details"]


@pytest.mark.parametrize("path", ["/v1/orgs/{org}", "/v1/projects?org_id={org}", "/v1/projects/{project}"])
async def test_what_others_have_is_a_403_what_nobody_has_a_404_what_is_no_id_neither(shared_stack: Stack, path: str):
    people = shared_stack.people

    others = await shared_stack.rest("GET", path.format(org=people.foreign_org, project=people.foreign))
    nobodys = await shared_stack.rest("GET", path.format(org=UNKNOWN, project=UNKNOWN))
    no_id = await shared_stack.rest("GET", path.format(org="x", project="x"))

    assert (others.status, others.error["details"]["reason"]) == (403, "NOT_A_MEMBER")
    assert nobodys.status == 404
    assert nobodys.error["details"]["reason"] == ("PROJECT_NOT_FOUND" if "{project}" in path else "ORG_NOT_FOUND")
    assert no_id.status == (400 if "?" in path else 404)


async def test_a_member_of_one_project_is_no_member_of_its_sibling(unstarted: Stack):
    people = unstarted.people
    declared = people.declared()
    viewer = next(token for token in declared["tokens"] if token["id"] == "tok_viewer")
    viewer["roles"] = {str(people.project): "viewer"}
    people.write(declared)

    async with running_stack(unstarted) as stack:
        projects = await stack.ok("GET", f"/v1/projects?org_id={people.org}", token="viewer")
        sibling = await stack.rest("GET", f"/v1/projects/{people.staged}", token="viewer")

    assert [project["name"] for project in projects] == ["one"]
    assert (sibling.status, sibling.error["details"]["reason"]) == (403, "NOT_A_MEMBER")
