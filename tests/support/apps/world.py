"""A real run service with a scripted deploy service and a scripted host process."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr

from run_service.service import running_run_service
from run_service.settings import Settings
from service_kit.channel import open_channel
from service_kit.ids import new_id
from service_kit.pb.flowpin.routing.v1 import routing_pb2 as pb
from service_kit.pb.flowpin.run.v1.run_pb2_grpc import RunServiceStub
from tests.support.apps.stand_in_host import StandInHost, flow, running_host
from tests.support.apps.stand_in_routing import App, StandInRouting, running_routing
from tests.support.databases import fresh_database
from tests.support.stack import Answer, People
from tests.support.waiting import eventually

KEY = "dynamiq_acc_" + "k" * 64
FOREIGN_KEY = "dynamiq_acc_" + "f" * 64


@dataclass
class Apps:
    """A run service, and the app `app` of `people.project`, which serves the flow `one` and has the key KEY."""

    people: People
    urls: Mapping[str, str]
    folder: Path
    routing: StandInRouting
    host: StandInHost = None  # type: ignore[assignment]  # set while running
    app: App = None  # type: ignore[assignment]
    other: App = None  # type: ignore[assignment]  # for tests with a second one
    live: pb.Pin = None  # type: ignore[assignment]
    session: aiohttp.ClientSession = None  # type: ignore[assignment]
    runs: RunServiceStub = None  # type: ignore[assignment]
    port: int = 0
    grpc_port: int = 0
    routing_port: int = 0
    running_host: AsyncExitStack = field(default_factory=AsyncExitStack)
    running_routing: AsyncExitStack = field(default_factory=AsyncExitStack)
    running_service: AsyncExitStack = field(default_factory=AsyncExitStack)

    def url(self, app: App | None = None, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/apps/{(app or self.app).app_id}{path}"

    async def call(
        self,
        given: Any = None,
        *,
        app: App | None = None,
        key: str | None = KEY,
        method: str = "POST",
        url: str | None = None,
        body: Any = None,
        headers: Any = None,
        **more: Any,
    ) -> Answer:
        """Call an app with an input and further fields of the body, or with a whole `body`."""
        sent = {"Content-Type": "application/json"} if body is None or isinstance(body, bytes) else {}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        content = body if body is not None else json.dumps({"input": given or {}, **more}).encode()
        async with self.session.request(
            method, url or self.url(app), data=content, headers={**sent, **(headers or {})}
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def health(self) -> Answer:
        return await self.call(method="GET", url=f"http://127.0.0.1:{self.port}/health/ready", key=None)

    async def is_ready(self) -> bool:
        return (await self.health()).status == 200

    async def start_host(self) -> None:
        self.host = await self.running_host.enter_async_context(running_host(self.folder / "host.sock"))

    async def start_routing(self) -> None:
        self.routing_port = await self.running_routing.enter_async_context(
            running_routing(self.routing, self.routing_port)
        )

    @asynccontextmanager
    async def run_service(self, **settings: Any) -> AsyncIterator[None]:
        chosen = Settings(
            listen="127.0.0.1:0",
            grpc_listen="127.0.0.1:0",
            database_url=SecretStr(self.urls["flowpin_run"]),
            access_file=self.people.path,
            deploy_target=f"127.0.0.1:{self.routing_port}",
            deploy_token=SecretStr("not looked at"),
            host_socket=self.folder / "host.sock",
            drain_seconds=0,
            **settings,
        )
        async with (
            running_run_service(chosen, "run") as ports,
            open_channel(f"127.0.0.1:{ports.grpc}") as channel,
        ):
            self.port, self.grpc_port, self.runs = ports.apps, ports.grpc, RunServiceStub(channel)
            yield

    def as_(self, name: str = "viewer") -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.people.secret(name)}"),)


@asynccontextmanager
async def fresh_apps(database_urls: Mapping[str, str], folder: Path) -> AsyncIterator[Apps]:
    """An installation that is not started yet."""
    people = People(folder / "access.yaml")
    people.write()
    async with fresh_database(database_urls) as urls:
        apps = Apps(people, urls, folder, StandInRouting())
        apps.routing.keys = {
            people.project: {KEY: {"id": new_id()}},
            people.foreign: {FOREIGN_KEY: {"id": new_id()}},
        }
        apps.app = apps.routing.app(people.project)
        apps.live = apps.app.live["production"] = apps.routing.pin(apps.app, flow("one"))
        yield apps


@asynccontextmanager
async def running_apps(
    urls: Mapping[str, str], folder: Path, *, variables: Mapping[str, str] | None = None, **settings: Any
) -> AsyncIterator[Apps]:
    """`variables` are those of every app, from the start."""
    async with AsyncExitStack() as running:
        apps = await running.enter_async_context(fresh_apps(urls, folder))
        apps.routing.variables = dict(variables or {})
        running.push_async_callback(apps.running_routing.aclose)
        running.push_async_callback(apps.running_host.aclose)
        await apps.start_routing()
        await apps.start_host()
        apps.session = await running.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        running.push_async_callback(apps.running_service.aclose)
        await apps.running_service.enter_async_context(apps.run_service(**settings))
        await eventually(apps.is_ready, seconds=30)
        yield apps
