"""Calls succeed with two replicas when one of them does not answer or fails every call."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from gateway.server import running_gateway
from gateway.settings import Settings
from service_kit import comments
from service_kit.calls import KEYED, MOST_SECOND_TRIES, SecondTries
from service_kit.channel import PING_TIMEOUT_MS, may_be_several, open_channel
from service_kit.errors import NotFound, ServiceError, Unreachable
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.pb.flowpin.workflow.v1.workflow_pb2_grpc import WorkflowServiceStub
from tests.support.observed_services import WORKFLOW, Backend, Observed, running_world
from tests.support.replica_proxy import ReplicaProxy
from tests.support.stack import FLOW, FLOW_UI, Stack, workflow_service_of

pytestmark = pytest.mark.slow

VERSION = f"/v1/workflows/{WORKFLOW}/versions/latest"
SAVE = f"/v1/workflows/{WORKFLOW}/save"
DOCUMENTS = b'{"flow": {}, "flow_ui": {}}'
NOTICED_SECONDS = 3.0
"""Half a second of silence and 1.5 for the ping, on a machine that is busy."""


@asynccontextmanager
async def two_replicas(**settings: Any) -> AsyncIterator[tuple[Any, Observed]]:
    """A gateway with two replicas of both services. `world.observed` records the calls of the first."""
    other = Observed()
    async with running_world(others=[Backend(other)], second_try_seconds=0.2, **settings) as world:
        yield world, other
        world.observed.go_on.set()


async def test_an_unanswered_read_is_sent_to_another_replica():
    async with two_replicas() as (world, other):
        world.observed.hangs = True
        began = time.monotonic()
        answers = await asyncio.gather(*(world.get(VERSION) for _ in range(10)))
        seconds = time.monotonic() - began

    assert {answer.status for answer in answers} == {200}
    assert seconds < 2
    assert world.observed.requests
    assert other.requests


async def test_an_unanswered_write_is_sent_once():
    async with two_replicas(timeout_seconds=1) as (world, other):
        world.observed.hangs = True
        answers = [await world.post(SAVE, DOCUMENTS, idempotency_key=f"key-{number}") for number in range(4)]

    assert Counter(answer.status for answer in answers) == {200: 2, 504: 2}
    assert (
        "It is not known whether a change was made" in max(answers, key=lambda answer: answer.status).error["message"]
    )
    assert len(world.observed.requests) + len(other.requests) == 4


async def test_a_token_is_checked_by_another_replica_when_one_does_not_answer():
    async with two_replicas() as (world, _):
        world.observed.hangs_at_ping = True
        began = time.monotonic()
        answers = [await world.post(SAVE, DOCUMENTS, authorization=f"Bearer dyn_pat_{n}") for n in range(4)]
        seconds = time.monotonic() - began

    assert {answer.status for answer in answers} == {200}
    assert seconds < 3


async def test_the_gateway_is_ready_while_one_replica_of_each_service_answers():
    async with two_replicas() as (world, _):
        world.observed.hangs_at_health = True
        answers = []
        for _ in range(4):
            answers.append(await world.get("/health/ready"))
            await asyncio.sleep(0.6)  # longer than an answer is remembered

    assert {answer.status for answer in answers} == {200}


async def test_a_second_try_waits_while_there_are_too_many():
    tries = SecondTries(after_seconds=0.05)
    first: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    assert all(tries.begin() for _ in range(MOST_SECOND_TRIES))

    async def again():
        return b"second", {}

    race = asyncio.create_task(tries.race(first, again))
    await asyncio.sleep(0.2)
    has_waited = not race.done()
    tries.end()

    assert has_waited
    assert await race == (b"second", {})
    assert (tries.begin(), tries.begin()) == (True, False), "the race has ended one second try and no other"


FAILED, LOST = NotFound("Not found."), Unreachable()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(LOST, b"answer", b"answer"), (b"answer", LOST, b"answer"), (LOST, FAILED, FAILED), (LOST, LOST, LOST)],
)
async def test_the_answer_of_the_earliest_try_that_reached_a_replica_is_used(first, second, expected):
    async def outcome(what, seconds=0.0):
        await asyncio.sleep(seconds)
        if isinstance(what, ServiceError):
            raise what
        return what, {}

    race = SecondTries(after_seconds=0.05).race(outcome(first, 0.02), lambda: outcome(second))

    if isinstance(expected, bytes):
        assert await race == (expected, {})
    else:
        with pytest.raises(type(expected)):
            await race


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("127.0.0.1:1", False),
        ("[::1]:1", False),
        ("workflow:50051", True),
        ("127.0.0.1:1,127.0.0.1:2", True),
        ("dns:///workflow:1", True),
    ],
)
def test_a_target_with_a_host_name_may_have_several_replicas(targets, expected):
    assert may_be_several(targets) is expected


def test_the_rpcs_sent_again_with_an_idempotency_key_are_those_of_the_contracts():
    listed = set()
    for contract in (workflow_pb2, deploy_pb2):
        for service in contract.DESCRIPTOR.services_by_name.values():
            sentence = re.search(r"([\w\s,]+) also read `idempotency-key`", comments.kept()[service.full_name])[1]
            listed |= set(re.findall(r"[A-Z]\w+", sentence))

    assert listed == KEYED


@asynccontextmanager
async def in_front_of(stack: Stack, *ports: int, **front: Any) -> AsyncIterator[tuple[Stack, WorkflowServiceStub]]:
    """A gateway and a stub that call the replicas of the workflow service at `ports`."""
    targets = ",".join(f"127.0.0.1:{port}" for port in ports)
    deploy_target = f"127.0.0.1:{stack.deploy_port}"
    settings = Settings(
        listen="127.0.0.1:0", workflow_target=targets, deploy_target=deploy_target, drain_seconds=0, **front
    )
    async with (
        running_gateway(settings) as port,
        open_channel(targets, *workflow_pb2.DESCRIPTOR.services_by_name.values()) as channel,
    ):
        yield replace(stack, gateway_port=port), WorkflowServiceStub(channel)


async def test_a_lost_replica_fails_only_its_writes_in_progress_without_a_key(stack: Stack):
    workflow, (version,) = await stack.workflow()
    path, proxy = f"/v1/workflows/{workflow['id']}", ReplicaProxy()
    body = {"flow": json.loads(FLOW), "flow_ui": json.loads(FLOW_UI)}
    request = workflow_pb2.GetVersionRequest(workflow_id=workflow["id"], version="1")

    async with (
        workflow_service_of(stack) as proxy.behind,
        proxy.running(),
        in_front_of(stack, proxy.port, stack.workflow_port) as (twice, stub),
    ):
        begun: dict[str, list[asyncio.Task[Any]]] = {"read": [], "keyed": [], "plain": [], "grpc": []}

        def read():
            return twice.rest("GET", f"{path}/versions/1")

        def save(headers: Any = None):
            return twice.rest("POST", f"{path}/save", body, headers=headers)

        def read_by_grpc():
            return stub.GetVersion(request, metadata=stack.as_(), timeout=30)

        for _ in range(4):  # connects both replicas
            await asyncio.gather(read(), read_by_grpc())
        proxy.vanish()
        began = time.monotonic()
        for number in range(4):
            headers = {"Idempotency-Key": f"key-{number}"}
            for kind, call in (("read", read()), ("keyed", save(headers)), ("plain", save()), ("grpc", read_by_grpc())):
                begun[kind].append(asyncio.create_task(in_task(call)))
                await asyncio.sleep(0.03)  # so that the calls do not share a batch
        answers = {kind: await asyncio.gather(*tasks) for kind, tasks in begun.items()}
        seconds = time.monotonic() - began
        later = [await save() for _ in range(6)]
        proxy.come_back()

    assert {answer.status for answer in answers["read"] + answers["keyed"] + later} == {200}
    assert {answer.data.id for answer in answers["grpc"]} == {version["id"]}
    refused = [answer for answer in answers["plain"] if answer.status != 200]
    assert {answer.status for answer in refused} <= {503}
    assert all("It is not known whether a change was made" in answer.error["message"] for answer in refused)
    assert seconds < NOTICED_SECONDS + 1


async def test_a_replica_that_is_slow_to_accept_a_connection_is_waited_for(stack: Stack):
    workflow, (version,) = await stack.workflow()
    request = workflow_pb2.GetVersionRequest(workflow_id=workflow["id"], version="1")
    proxy = ReplicaProxy()
    proxy.behind = stack.workflow_port

    async with proxy.running(), in_front_of(stack, proxy.port) as (_, stub):
        proxy.vanish()
        read = asyncio.create_task(in_task(stub.GetVersion(request, metadata=stack.as_(), timeout=10)))
        await asyncio.sleep(0.5)
        proxy.come_back()
        answer = await read

    assert answer.data.id == version["id"]


async def test_unanswered_reads_of_a_batch_are_sent_to_another_replica(stack: Stack):
    workflow, _ = await stack.workflow()
    path, proxy = f"/v1/workflows/{workflow['id']}/versions/1", ReplicaProxy()

    async with (
        workflow_service_of(stack) as proxy.behind,
        proxy.running(),
        in_front_of(stack, proxy.port, stack.workflow_port, second_try_seconds=0.1) as (twice, _),
    ):
        for _ in range(4):
            await twice.ok("GET", path)
        proxy.vanish()
        began = time.monotonic()
        rounds = [await asyncio.gather(*(twice.rest("GET", path) for _ in range(8))) for _ in range(2)]
        seconds = time.monotonic() - began
        proxy.come_back()

    assert {answer.status for answers in rounds for answer in answers} == {200}
    assert seconds < PING_TIMEOUT_MS / 1000, "the connection stays in use"


async def in_task(call: Any) -> Any:
    return await call


async def test_a_replica_that_fails_every_call_gets_no_further_calls(stack: Stack):
    workflow, _ = await stack.workflow()
    nowhere = {**stack.urls, "flowpin_workflow": "postgresql://flowpin_workflow@/flowpin?host=/nowhere"}
    flow, flow_ui = workflow_pb2.Json(utf8=FLOW), workflow_pb2.Json(utf8=FLOW_UI)
    request = workflow_pb2.SaveWorkflowRequest(workflow_id=workflow["id"], flow=flow, flow_ui=flow_ui)

    async def save(stub: WorkflowServiceStub) -> str:
        code = await stub.SaveWorkflow(request, metadata=stack.as_()).code()
        await asyncio.sleep(0.05)
        return code.name

    async with (
        workflow_service_of(replace(stack, urls=nowhere)) as broken,
        in_front_of(stack, broken, stack.workflow_port) as (_, stub),
    ):
        deadline = time.monotonic() + NOTICED_SECONDS
        at_first = [await save(stub) for _ in range(10)]
        while time.monotonic() < deadline:
            await save(stub)
        then = [await save(stub) for _ in range(20)]

    assert "UNAVAILABLE" in at_first
    assert set(then) == {"OK"}
