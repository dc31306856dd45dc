"""The processes of the run service, `migrate`, `serve` and `host`, configured by environment variables only."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from run_service.hosting.client import HostGone, open_host
from service_kit.ids import new_id
from tests.support.apps.stand_in_host import flow, running_host
from tests.support.apps.stand_in_routing import StandInRouting, running_routing
from tests.support.apps.world import KEY
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.stack import People
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


Process = asyncio.subprocess.Process


@asynccontextmanager
async def process(command: str, environ: Mapping[str, str]) -> AsyncIterator[Process]:
    given = {**os.environ, "RUN_LOG_FORMAT": "json", **environ}
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "run_service", command), cwd=ROOT, env=given, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


@pytest.fixture
def environ(database_urls: Mapping[str, str], tmp_path: Path) -> dict[str, str]:
    People(tmp_path / "access.yaml").write()
    return {
        "RUN_DATABASE_URL": database_urls["flowpin_run"],
        "RUN_MIGRATOR_DATABASE_URL": database_urls["flowpin_run_migrator"],
        "RUN_ADMIN_DATABASE_URL": database_urls["admin"],
        "RUN_ACCESS_FILE": str(tmp_path / "access.yaml"),
        "RUN_LISTEN": f"127.0.0.1:{free_port()}",
        "RUN_GRPC_LISTEN": "127.0.0.1:0",
        "RUN_DEPLOY_TOKEN": "not looked at",
        "RUN_HOST_SOCKET": str(tmp_path / "host.sock"),
        "RUN_HOST_FOLDER": str(tmp_path / "host"),
    }


async def test_the_run_service_migrates_serves_and_stops(environ: dict[str, str], tmp_path: Path):
    routing = StandInRouting()
    people = People(tmp_path / "access.yaml")
    routing.keys = {people.project: {KEY: {"id": new_id()}}}
    app = routing.app(people.project)
    app.live["production"] = routing.pin(app, flow("one"))
    async with process("migrate", environ) as migrating:
        _, said = await migrating.communicate()
        assert migrating.returncode == 0, said.decode()

    async with (
        running_routing(routing) as port,
        running_host(tmp_path / "host.sock"),
        process("serve", environ | {"RUN_DEPLOY_TARGET": f"127.0.0.1:{port}"}) as serving,
        aiohttp.ClientSession() as session,
    ):
        url = f"http://{environ['RUN_LISTEN']}/apps/{app.app_id}"
        bearer = {"Authorization": f"Bearer {KEY}"}

        async def answers() -> bool:
            try:
                async with session.post(url, json={"input": {}}, headers=bearer) as answer:
                    return answer.status == 200
            except aiohttp.ClientConnectionError:
                assert serving.returncode is None
                return False

        await eventually(answers, seconds=60)
        serving.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(serving.communicate(), 30)

    assert serving.returncode == 0, said.decode()
    assert b'"event":"run_ended"' in said
    assert KEY.encode() not in said
    assert routing.leavings == 1


async def test_the_host_process_is_ready_for_routers_and_stops(environ: dict[str, str], tmp_path: Path):
    async with process("host", environ) as hosting:

        async def is_ready() -> bool:
            try:
                async with open_host(tmp_path / "host.sock") as host:
                    return await host.list() == []
            except HostGone:
                assert hosting.returncode is None
                return False

        await eventually(is_ready, seconds=60)
        hosting.send_signal(signal.SIGTERM)
        await asyncio.wait_for(hosting.communicate(), 30)

    assert hosting.returncode == 0


async def test_the_run_service_does_not_start_without_a_token_for_the_deploy_service(environ: dict[str, str]):
    del environ["RUN_DEPLOY_TOKEN"]

    async with process("serve", environ) as serving:
        _, said = await serving.communicate()

    assert serving.returncode == 1
    assert said.decode().strip().splitlines()[-1] == "run_service: serve needs the setting deploy_token"
