"""GetMe, orgs, projects and users return what the access file declares."""

import pytest

from service_kit.pb.flowpin.identity.v1 import identity_pb2 as pb
from tests.support.refusals import refusal
from tests.support.stack import Stack, running_stack

UNKNOWN = "01980000-0000-7000-8000-000000000000"


async def test_get_me_returns_the_person_of_the_token(shared_stack: Stack):
    me = await shared_stack.ok("GET", "/v1/me", token="viewer")

    assert me == {
        "id": str(shared_stack.people.user),
        "email": "ada@acme.test",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "timezone": "UTC",
    }


async def test_get_me_refuses_a_service_account(shared_stack: Stack):
    answer = await shared_stack.rest("GET", "/v1/me", token="service")
    error = await refusal(shared_stack.identity.GetMe(pb.GetMeRequest(), metadata=shared_stack.as_("service")))

    assert (answer.status, answer.error["code"]) == (403, "forbidden")
    assert (error.code.name, error.reason) == ("PERMISSION_DENIED", "NOT_A_PERSON")


async def test_a_malformed_idempotency_key_is_refused_also_by_calls_that_do_not_use_it(shared_stack: Stack):
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


async def test_projects_are_filtered_by_org(shared_stack: Stack):
    path = f"/v1/projects?org_id={shared_stack.people.foreign_org}"

    assert [project["name"] for project in await shared_stack.ok("GET", path, token="service")] == ["theirs"]


async def test_a_project_lists_its_environments_in_order(shared_stack: Stack):
    people = shared_stack.people

    assert await shared_stack.ok("GET", f"/v1/projects/{people.staged}") == {
        "id": str(people.staged),
        "name": "two",
        "org_id": str(people.org),
        "environments": ["staging", "production"],
        "role": "admin",
    }
    assert await shared_stack.ok("GET", f"/v1/orgs/{people.org}") == {"id": str(people.org), "name": "acme"}


@pytest.mark.parametrize(
    ("token", "role"), [("admin", "admin"), ("editor", "editor"), ("viewer", "viewer"), ("runner", "runner")]
)
async def test_a_project_shows_the_role_of_the_token(shared_stack: Stack, token: str, role: str):
    projects = await shared_stack.ok("GET", "/v1/projects", token=token)

    assert {project["role"] for project in projects} == {role}


@pytest.mark.parametrize(
    ("token", "users"),
    [
        ("viewer", [("Ada Lovelace", False), ("robot", True)]),
        ("stranger", [("Ada Lovelace", False), ("robot", True)]),
    ],
)
async def test_users_with_a_token_in_an_org_of_the_caller_are_listed(shared_stack: Stack, token: str, users: list):
    found = await shared_stack.ok("GET", "/v1/users", token=token)

    assert [(user["name"], user["service"]) for user in found] == users
    assert found[0]["id"] == str(shared_stack.people.user)


async def test_users_of_other_orgs_are_not_listed(unstarted: Stack):
    people = unstarted.people
    declared = people.declared()
    other = {"id": UNKNOWN, "email": "bob@globex.test", "first_name": "Bob", "last_name": "Other"}
    declared["users"].append(other)
    next(token for token in declared["tokens"] if token["id"] == "tok_stranger")["user"] = UNKNOWN
    people.write(declared)

    async with running_stack(unstarted) as stack:
        ours = await stack.ok("GET", "/v1/users", token="viewer")
        theirs = await stack.ok("GET", "/v1/users", token="stranger")

    assert "Bob Other" not in [user["name"] for user in ours]
    assert [user["name"] for user in theirs] == ["Bob Other", "robot"]


async def test_pages_of_projects_are_slices_of_the_list(shared_stack: Stack):
    found = [
        await shared_stack.rest("GET", f"/v1/projects?page_size=2&page={page}", token="service") for page in (1, 2, 3)
    ]

    assert [[project["name"] for project in answer.data] for answer in found] == [["one", "theirs"], ["two"], []]
    assert found[1].body["pagination"] == {"page": 2, "page_size": 2, "page_count": 2, "total_count": 3}


@pytest.mark.parametrize("page", ["page=0", "page_size=501", "page_size=0", "page=x"])
@pytest.mark.parametrize("path", ["/v1/orgs", "/v1/projects", "/v1/users"])
async def test_a_page_number_out_of_range_is_refused_by_name(shared_stack: Stack, path: str, page: str):
    answer = await shared_stack.rest("GET", f"{path}?{page}")

    assert answer.status == 400
    assert page.split("=")[0] in answer.error["details"]


@pytest.mark.parametrize("path", ["/v1/orgs/{org}", "/v1/projects?org_id={org}", "/v1/projects/{project}"])
async def test_a_foreign_org_or_project_is_a_403_and_an_unknown_one_a_404(shared_stack: Stack, path: str):
    people = shared_stack.people

    others = await shared_stack.rest("GET", path.format(org=people.foreign_org, project=people.foreign))
    nobodys = await shared_stack.rest("GET", path.format(org=UNKNOWN, project=UNKNOWN))
    no_id = await shared_stack.rest("GET", path.format(org="x", project="x"))

    assert (others.status, others.error["details"]["reason"]) == (403, "NOT_A_MEMBER")
    assert nobodys.status == 404
    assert nobodys.error["details"]["reason"] == ("PROJECT_NOT_FOUND" if "{project}" in path else "ORG_NOT_FOUND")
    assert no_id.status == (400 if "?" in path else 404)


async def test_a_member_of_one_project_is_not_a_member_of_its_sibling(unstarted: Stack):
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
