"""Under constant load no call fails during deploys. After a deploy is answered, the old deployment gets no new call."""

import asyncio
from dataclasses import dataclass, field

from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb
from tests.support.apps.stand_in_host import flow
from tests.support.apps.world import Apps, running_apps
from tests.support.stack import Answer
from tests.support.waiting import eventually

CALLERS = 6
DEPLOYS = 12


@dataclass
class Load:
    """Callers that call without a pause and record which deployments were live when each call began."""

    apps: Apps
    allowed: set[str] = field(default_factory=set)
    """Deployments that may answer a call that begins now."""
    answers: list[tuple[set[str], Answer]] = field(default_factory=list)
    is_over: bool = False

    async def call(self) -> None:
        while not self.is_over:
            allowed = set(self.allowed)
            answer = await self.apps.call({"sleep": 0.005})
            self.answers.append((allowed | self.allowed, answer))

    def begin_deploy(self, pin: pb.Pin) -> None:
        self.allowed.add(pin.deployment_id)

    def end_deploy(self, pin: pb.Pin) -> None:
        self.allowed.clear()
        self.allowed.add(pin.deployment_id)


async def deploy(apps: Apps, load: Load, document: bytes) -> None:
    """Deploy in the steps of `StandInRouting.deploy`, so that the load knows when the new deployment may answer."""
    pin = apps.routing.pin(apps.app, document)
    apps.app.rolling_out["production"] = [pin]
    await apps.routing.send(apps.app)
    await apps.routing.reported(pin)
    load.begin_deploy(pin)
    apps.app.rolling_out["production"], apps.app.live["production"] = [], pin
    await apps.routing.send(apps.app)
    await apps.routing.taken_up(apps.app)
    load.end_deploy(pin)


async def test_after_a_deploy_is_answered_no_call_fails_or_reaches_the_old_deployment(apps: Apps):
    load = Load(apps, {apps.live.deployment_id})
    callers = [asyncio.create_task(load.call()) for _ in range(CALLERS)]
    for number in range(DEPLOYS):
        await deploy(apps, load, flow(f"flow {number % 3}"))
        await asyncio.sleep(0.05)
    load.is_over = True
    await asyncio.gather(*callers)

    assert len(load.answers) > 10 * DEPLOYS
    assert {answer.status for _, answer in load.answers} == {200}
    strays = [answer for allowed, answer in load.answers if answer.headers["X-Flowpin-Deployment"] not in allowed]
    assert strays == []


async def test_a_call_is_answered_by_the_deployment_that_was_live_when_its_head_was_read(database_urls, tmp_path):
    half, rest = asyncio.Event(), asyncio.Event()

    async def slow_body():
        yield b'{"input": '
        half.set()
        await rest.wait()
        yield b"{}}"

    async with running_apps(database_urls, tmp_path, warm_seconds=0) as apps:
        await apps.call()
        calling = asyncio.create_task(apps.call(body=slow_body(), headers={"Content-Type": "application/json"}))
        await half.wait()
        await asyncio.sleep(0.2)
        await apps.routing.deploy(apps.app, flow("two"))
        await asyncio.sleep(0.2)
        rest.set()
        answer = await calling

        assert answer.body["output"]["flow"] == "one"
        assert answer.headers["X-Flowpin-Deployment"] == apps.live.deployment_id
        assert apps.host.starts["one"] == 1
        assert (await apps.call()).body["output"]["flow"] == "two"


async def test_the_last_routes_are_used_while_the_stream_is_lost_and_health_reports_it(apps: Apps):
    await apps.call()
    await apps.running_routing.aclose()

    async def knows_it() -> bool:
        return "not streamed" in (await apps.health()).body["routes"]

    await eventually(knows_it)
    await asyncio.sleep(0.5)  # the router tries to watch again in this time
    answer = await apps.call()
    apps.routing.acknowledged.clear()
    apps.app.live["production"] = apps.routing.pin(apps.app, flow("two"))
    apps.app.revision += 1
    await apps.start_routing()
    await apps.routing.taken_up(apps.app)

    assert answer.body["output"]["flow"] == "one"
    assert (await apps.health()).status == 200
    assert (await apps.call()).body["output"]["flow"] == "two"


async def test_a_router_that_stops_returns_its_lease(database_urls, tmp_path):
    async with running_apps(database_urls, tmp_path) as apps:
        routing = apps.routing
        async with apps.run_service():
            pass

        assert routing.leavings == 1


async def test_a_replica_that_ended_is_replaced_while_the_deploy_service_is_down(apps: Apps):
    apps.routing.variables = {"COLOUR": "red"}
    await apps.call()
    await apps.running_routing.aclose()
    [replica] = apps.host.of_flow("one")
    await apps.host.end(replica, "KILLED", "It was killed.")

    async with asyncio.timeout(10):
        answer = await apps.call()

    assert answer.status == 200
    [fresh] = apps.host.of_flow("one")
    assert fresh.variables == {"COLOUR": "red"}
