"""Changes of the access file take effect while the services run."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from flowpin_cli.machine.health import until
from service_kit.access import tokens
from service_kit.access.file import Role
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.identity.v1 import identity_pb2
from tests.support.refusals import refusal
from tests.support.stack import Stack, running_stack, workflow_service_of

pytestmark = pytest.mark.slow

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health(port: int, part: str = "") -> int:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=part))
    return answer.status


async def seconds_until(is_true: Callable[[], Awaitable[bool]]) -> float:
    started = time.monotonic()
    assert await until(is_true, 5)
    return time.monotonic() - started


async def is_refused_everywhere(stack: Stack, token: str) -> bool:
    answers = [
        await stack.rest("GET", path, token=token)
        for path in ("/v1/me", f"/v1/workflows?project_id={stack.people.project}", "/v1/runtimes")
    ]
    return {answer.status for answer in answers} == {401}


async def test_a_revoked_token_is_refused_everywhere_within_two_seconds(stack: Stack):
    assert (await stack.rest("GET", "/v1/me", token="editor")).status == 200

    tokens.revoke_token(stack.people.path, "tok_editor")

    assert await seconds_until(lambda: is_refused_everywhere(stack, "editor")) < 2
    error = await refusal(stack.identity.GetMe(identity_pb2.GetMeRequest(), metadata=stack.as_("editor")))
    assert (error.code.name, error.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID")
    error = await refusal(stack.deploys.ListRuntimes(deploy_pb2.ListRuntimesRequest(), metadata=stack.as_("editor")))
    assert (error.code.name, error.reason) == ("UNAUTHENTICATED", "TOKEN_INVALID")
    assert (await stack.rest("GET", "/v1/me", token="viewer")).status == 200


async def test_a_new_token_is_accepted_within_two_seconds(stack: Stack):
    people = stack.people
    token = tokens.mint_token(people.path, people.user, {people.project: Role.VIEWER})
    headers = {"Authorization": f"Bearer {token.secret}"}

    async def opens() -> bool:
        return (await stack.rest("GET", "/v1/me", token=None, headers=headers)).status == 200

    assert await seconds_until(opens) < 2


@pytest.mark.parametrize(
    "content",
    [b"tokens: [", b"expires_at: 2024-13-45", None, b"", b"tokens: []", b"\xff"],
    ids=["not YAML", "no such month", "no file", "empty", "no tokens", "not UTF-8"],
)
async def test_the_last_good_access_file_is_used_when_a_new_one_is_wrong_and_health_reports_it(
    stack: Stack, content: bytes | None
):
    path = stack.people.path
    good = path.read_bytes()
    ports = (stack.workflow_port, stack.deploy_port)

    async def access_is(status: int) -> bool:
        return [await health(port, "access") for port in ports] == [status, status]

    async def health_is_good() -> bool:
        return await access_is(SERVING) and [await health(port) for port in ports] == [SERVING, SERVING]

    assert await until(health_is_good, 5)
    path.unlink() if content is None else path.write_bytes(content)

    assert await until(lambda: access_is(NOT_SERVING), 5)
    assert [await health(port) for port in ports] == [SERVING, SERVING]
    assert (await stack.rest("GET", "/v1/me", token="viewer")).status == 200
    path.write_bytes(good)
    assert await until(health_is_good, 5)


async def test_a_revocation_takes_effect_after_an_access_file_that_did_not_parse(stack: Stack):
    path = stack.people.path
    good = path.read_bytes()
    path.write_bytes(b"expires_at: 2024-13-45")
    await asyncio.sleep(0.7)
    path.write_bytes(good)

    tokens.revoke_token(path, "tok_editor")

    assert await seconds_until(lambda: is_refused_everywhere(stack, "editor")) < 2


async def test_a_service_is_not_serving_until_its_checks_have_passed(unstarted: Stack):
    async with unstarted.database("admin", "workflow") as admin:
        held = admin.transaction()
        await held.start()
        await admin.execute("LOCK TABLE schema_migrations")  # so that the check takes its time

        async with workflow_service_of(unstarted) as port:
            answers = [await health(port, part) for part in ("", "database")]
            await held.rollback()

    assert answers == [NOT_SERVING, NOT_SERVING]


async def test_a_service_on_an_older_schema_is_not_serving(unstarted: Stack):
    async with unstarted.database("admin", "workflow") as admin:
        await admin.execute("DELETE FROM schema_migrations")

    async with running_stack(unstarted) as stack:

        async def the_other_serves() -> bool:
            return await health(stack.deploy_port) == await health(stack.workflow_port, "access") == SERVING

        assert await until(the_other_serves, 5)
        assert [await health(stack.workflow_port, part) for part in ("", "database")] == [NOT_SERVING, NOT_SERVING]
