"""Variables of apps are stored encrypted and sent to replicas. Secrets cannot be read back."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from service_kit.channel import open_channel
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.deploy.v1.deploy_pb2_grpc import DeployServiceStub
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb
from service_kit.pb.flowpin.routing.v1.routing_pb2_grpc import RoutingServiceStub
from tests.support.refusals import refusal
from tests.support.router_client import RouterClient, router_client
from tests.support.stack import Stack, deploy_service_of, fresh_stack, running_stack
from tests.support.waiting import eventually

OLD, NEW = "0a" * 32, "1b" * 32
SECRET = "canary-of-a-secret"


@pytest.fixture(scope="module")
async def running(database_urls, tmp_path_factory) -> AsyncIterator[Stack]:
    async with (
        fresh_stack(database_urls, tmp_path_factory.mktemp("stack")) as unstarted,
        running_stack(unstarted, deploy={"variable_keys": SecretStr(OLD)}) as stack,
    ):
        yield stack


@pytest.fixture
async def app(running: Stack) -> Any:
    """An app in a project with the environments staging and production."""
    workflow, _ = await running.workflow(project=running.people.staged)
    app = await running.app(workflow["id"], project_id=str(running.people.staged))
    await running.deploy(app["id"], workflow["id"], environment="staging")
    return app


async def put(stack: Stack, app: Any, name: str, value: str, **fields: Any) -> Any:
    return await stack.ok("PUT", f"/v1/apps/{app['id']}/variables/{name}", {"value": value, **fields})


async def of_replicas(stack: Stack, app: Any, environment: str, port: int = 0) -> pb.GetVariablesResponse:
    request = pb.GetVariablesRequest(project_id=str(stack.people.staged), app_id=app["id"], environment=environment)
    async with open_channel(f"127.0.0.1:{port or stack.deploy_port}") as channel:
        return await RoutingServiceStub(channel).GetVariables(request, metadata=stack.as_("runner"))


async def test_a_plain_variable_can_be_read_and_a_secret_one_cannot(running: Stack, app: Any):
    plain = await put(running, app, "PLAIN", "1")
    secret = await put(running, app, "TOKEN", SECRET, secret=True, environment="production")

    listed = await running.ok("GET", f"/v1/apps/{app['id']}/variables")
    got = await running.ok("GET", f"/v1/apps/{app['id']}/variables/TOKEN?environment=production")

    assert listed == [plain, secret]
    assert got == secret
    assert (plain["value"], plain["secret"], "environment" in plain) == ("1", False, False)
    assert ("value" in secret, secret["secret"], secret["environment"]) == (False, True, "production")
    assert plain["updated_by"] == str(running.people.user)


async def test_a_variable_of_an_environment_takes_precedence_over_one_of_all_environments(running: Stack, app: Any):
    await put(running, app, "A", "of all")
    await put(running, app, "B", "of all")
    await put(running, app, "B", SECRET, secret=True, environment="staging")

    staging, production = [await of_replicas(running, app, name) for name in ("staging", "production")]

    assert dict(staging.variables) == {"A": "of all", "B": SECRET}
    assert dict(production.variables) == {"A": "of all", "B": "of all"}


async def test_a_changed_variable_is_sent_to_routers_for_the_deployments_that_it_affects(running: Stack, app: Any):
    async with router_client(running) as router:
        before = revisions(router, app)
        await put(running, app, "A", "1", environment="staging")
        await eventually(lambda: has_changed(router, app, before))
        after_one = revisions(router, app)
        await running.ok("DELETE", f"/v1/apps/{app['id']}/variables/A?environment=staging")
        await put(running, app, "B", "1")
        await eventually(lambda: has_revisions(router, app, [3, 1]))

        assert before == [0, 0]
        assert after_one == [1, 0]
        assert (await of_replicas(running, app, "staging")).revision == 3


def revisions(router: RouterClient, app: Any) -> list[int]:
    return [each.live.variables_revision for each in router.routes[app["id"]].environments]


async def has_changed(router: RouterClient, app: Any, before: list[int]) -> bool:
    return revisions(router, app) != before


async def has_revisions(router: RouterClient, app: Any, expected: list[int]) -> bool:
    return revisions(router, app) == expected


async def test_setting_a_variable_to_its_value_changes_nothing(running: Stack, app: Any):
    first = await put(running, app, "A", SECRET, secret=True)

    again = await put(running, app, "A", SECRET, secret=True)
    other = await put(running, app, "A", SECRET)

    assert again == first
    assert other["value"] == SECRET
    assert (await of_replicas(running, app, "production")).revision == 2


async def test_the_value_of_a_variable_is_in_no_audit_event_and_no_log(running: Stack, app: Any):
    with capture_logs() as logs:
        await put(running, app, "TOKEN", SECRET, secret=True)
        await running.rest("PUT", f"/v1/apps/{app['id']}/variables/path", {"value": SECRET})
        await running.ok("DELETE", f"/v1/apps/{app['id']}/variables/TOKEN")
        await put(running, app, "TOKEN", SECRET, secret=True, environment="staging")

    events = await running.ok("GET", f"/v1/apps/{app['id']}/audit-events")
    assert [(each["action"], each["details"]) for each in events[:3]] == [
        ("SetVariable", {"name": "TOKEN", "environment": "staging"}),
        ("DeleteVariable", {"name": "TOKEN"}),
        ("SetVariable", {"name": "TOKEN"}),
    ]
    assert SECRET not in str(logs)
    async with running.database("admin", "deploy") as db:
        tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", running.schemas["deploy"])
        for (table,) in tables:
            rows = await db.fetch(f"SELECT t::text AS row FROM {table} t")
            assert not any(SECRET in row["row"] or SECRET.encode().hex() in row["row"] for row in rows), table


async def test_a_deleted_variable_is_not_found(running: Stack, app: Any):
    path = f"/v1/apps/{app['id']}/variables/A"
    await put(running, app, "A", "1")

    await running.ok("DELETE", path)

    for method in ("GET", "DELETE"):
        assert (await running.rest(method, path)).refusal[:2] == (404, "VARIABLE_NOT_FOUND")
    assert not (await of_replicas(running, app, "production")).variables


@pytest.mark.parametrize("name", ["lower", "1A", "A-B", "A" * 129, "PATH", "LD_PRELOAD", "PYTHONPATH", "HOME", "A\n"])
async def test_an_invalid_name_of_a_variable_is_refused(running: Stack, app: Any, name: str):
    request = deploy_pb2.SetVariableRequest(app_id=app["id"], name=name, value="1")

    error = await refusal(running.deploys.SetVariable(request, metadata=running.as_()))

    assert (error.reason, set(error.fields)) == ("INVALID_REQUEST", {"name"})


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({}, (400, "INVALID_REQUEST", {"value"})),
        ({"value": "ü" * (16 << 10) + "x"}, (400, "INVALID_REQUEST", {"value"})),
        ({"value": "1", "environment": "moon"}, (400, "ENVIRONMENT_NOT_FOUND", {"environment"})),
    ],
)
async def test_a_variable_with_a_wrong_field_is_refused(running: Stack, app: Any, body: Any, refused: Any):
    answer = await running.rest("PUT", f"/v1/apps/{app['id']}/variables/A", body)

    assert answer.refusal == refused
    assert await running.ok("GET", f"/v1/apps/{app['id']}/variables") == []


async def test_an_invalid_page_of_variables_is_refused(running: Stack, app: Any):
    answer = await running.rest("GET", f"/v1/apps/{app['id']}/variables?page=0")

    assert answer.refusal == (400, "INVALID_REQUEST", {"page"})


async def test_variables_are_listed_in_pages(running: Stack, app: Any):
    for name in ("B", "A", "C"):
        await put(running, app, name, "1")

    answer = await running.rest("GET", f"/v1/apps/{app['id']}/variables?page=2&page_size=2")

    assert [each["name"] for each in answer.data] == ["C"]
    assert answer.body["pagination"] == {"page": 2, "page_size": 2, "page_count": 2, "total_count": 3}


async def test_calls_on_a_variable_refuse_an_unknown_environment(running: Stack, app: Any):
    for method in ("GET", "DELETE"):
        answer = await running.rest(method, f"/v1/apps/{app['id']}/variables/A?environment=moon")
        assert answer.refusal[:2] == (400, "ENVIRONMENT_NOT_FOUND")


async def test_the_number_of_variables_of_an_app_is_limited(running: Stack, app: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("deploy_service.servicer.variables.MAX_VARIABLES", 1)
    await put(running, app, "A", "1")

    answer = await running.rest("PUT", f"/v1/apps/{app['id']}/variables/B", {"value": "1"})

    assert answer.refusal[:2] == (400, "TOO_MANY_VARIABLES")
    await put(running, app, "A", "2")


async def test_setting_a_variable_without_an_encryption_key_fails_with_advice(shared_stack: Stack):
    workflow, _ = await shared_stack.workflow()
    app = await shared_stack.app(workflow["id"])

    answer = await shared_stack.rest("PUT", f"/v1/apps/{app['id']}/variables/A", {"value": "1"})

    assert answer.refusal[:2] == (400, "VARIABLE_KEYS_MISSING")
    assert "DEPLOY_VARIABLE_KEYS" in answer.error["message"]


async def test_values_encrypted_with_the_old_key_are_read_after_a_new_key_is_added(running: Stack, app: Any):
    await put(running, app, "OLD", "1")

    async with deploy_service_of(running, variable_keys=SecretStr(f"{NEW},{OLD}")) as port:
        async with open_channel(f"127.0.0.1:{port}") as channel:
            request = deploy_pb2.SetVariableRequest(app_id=app["id"], name="NEW", value="2")
            await DeployServiceStub(channel).SetVariable(request, metadata=running.as_())
        both = await of_replicas(running, app, "production", port)
    async with deploy_service_of(running, variable_keys=SecretStr(NEW)) as port:
        unreadable = await refusal(of_replicas(running, app, "production", port))

    assert dict(both.variables) == {"OLD": "1", "NEW": "2"}
    assert (unreadable.code.name, unreadable.reason) == ("FAILED_PRECONDITION", "VARIABLES_UNREADABLE")
    for path in ("", "/NEW"):
        answer = await running.rest("GET", f"/v1/apps/{app['id']}/variables{path}")
        assert answer.refusal[:2] == (400, "VARIABLES_UNREADABLE")
