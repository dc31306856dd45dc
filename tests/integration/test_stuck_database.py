"""A hanging connection to Postgres fails only the calls on it, for a limited time."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest

from service_kit.db import open_pool
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.settings import DatabaseLimits
from tests.support.database_proxy import DatabaseProxy
from tests.support.stack import Stack, running_stack, workflow_service_of
from tests.support.waiting import eventually, negated, serving, start_calls

pytestmark = pytest.mark.slow

CALLERS = 20
CONNECTIONS = 8
"""Those for reads and changes of one thing, the default of POOL_SIZE."""
BACKENDS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = $1
    ORDER BY query_start DESC
"""
BRIEFLY = {"database_statement_seconds": 1, "database_lock_seconds": 0.5}
"""A connection that is silent for two seconds is closed."""

Call = Callable[[], Awaitable[Any]]


@dataclass
class Seen:
    """The codes and times that callers have seen since the fault."""

    codes: Counter[str] = field(default_factory=Counter)
    longest: float = 0
    last_failure: float = 0
    """Seconds after the fault."""


@asynccontextmanager
async def calling(calls: list[Call]) -> AsyncIterator[Seen]:
    """Each of the calls is repeated by its own caller until the block ends."""
    seen, enough, began = Seen(), asyncio.Event(), time.monotonic()

    async def keep_calling(call: Call) -> None:
        while not enough.is_set():
            sent = time.monotonic()
            try:
                await call()
                seen.codes["OK"] += 1
            except grpc.aio.AioRpcError as error:
                seen.codes[error.code().name] += 1
                seen.last_failure = time.monotonic() - began
            seen.longest = max(seen.longest, time.monotonic() - sent)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as callers:
        for call in calls:
            callers.create_task(keep_calling(call))
        yield seen
        enough.set()


@dataclass
class Calls:
    """Calls for one workflow and for apps of it."""

    stack: Stack
    workflow_id: str
    version_id: str
    app_ids: list[str]

    def read(self, timeout: float = 30) -> Awaitable[Any]:
        request = workflow_pb2.GetVersionRequest(workflow_id=self.workflow_id, version="latest")
        return self.stack.workflows.GetVersion(request, metadata=self.stack.as_(), timeout=timeout)

    def head(self) -> Awaitable[Any]:
        """Read a workflow. Each call uses one connection of the pool for single objects."""
        request = workflow_pb2.GetWorkflowRequest(workflow_id=self.workflow_id)
        return self.stack.workflows.GetWorkflow(request, metadata=self.stack.as_(), timeout=30)

    def page(self, timeout: float = 30) -> Awaitable[Any]:
        request = workflow_pb2.ListVersionsRequest(workflow_id=self.workflow_id)
        return self.stack.workflows.ListVersions(request, metadata=self.stack.as_(), timeout=timeout)

    def deploys(self) -> list[Call]:
        return [lambda app_id=app_id: self.deploy(app_id) for app_id in self.app_ids]

    def deploy(self, app_id: str) -> Awaitable[Any]:
        request = deploy_pb2.DeployAppRequest(
            app_id=app_id, workflow_id=self.workflow_id, workflow_version_id=self.version_id
        )
        return self.stack.deploys.DeployApp(request, metadata=self.stack.as_(), timeout=30)


async def opened(connections: int, stack: Stack, service: str, table: str, *calls: Call) -> None:
    """Open all connections of a pool: it opens one when all others are busy, so calls wait briefly for a lock."""

    async def all_are() -> bool:
        async with admin.transaction():
            await admin.execute(f"LOCK TABLE {table}")
            waiting = await start_calls(*(call() for call in calls * connections))
        await asyncio.gather(*waiting)
        return len(await admin.fetch(BACKENDS, f"flowpin {stack.schemas[service]}")) == connections

    async with stack.database("admin", service) as admin:
        await eventually(all_are)


async def calls_on(stack: Stack, apps: int = 0, connections: int = CONNECTIONS) -> Calls:
    """The calls, when all connections of the workflow service are open, and with `apps` those of the deploy service."""
    workflow, versions = await stack.workflow()
    app_ids = [(await stack.app(workflow["id"]))["id"] for _ in range(apps)]
    calls = Calls(stack, workflow["id"], versions[0]["id"], app_ids)
    await opened(connections, stack, "workflow", "workflows", calls.page, calls.head)
    if apps:
        (deployment, *_) = await stack.ok("GET", f"/v1/apps/{app_ids[0]}/deployments")
        one = deploy_pb2.GetDeploymentRequest(app_id=app_ids[0], deployment_id=deployment["id"])
        await opened(
            connections,
            stack,
            "deploy",
            "deployments",
            lambda: stack.deploys.GetDeployment(one, metadata=stack.as_(), timeout=30),
        )
    await calls.page()  # also on the connections that the next calls use
    await calls.head()
    return calls


@asynccontextmanager
async def one_backend_stopped(stack: Stack, service: str) -> AsyncIterator[int]:
    """Stop the backend of the service that was used last. Yields the number of backends."""
    async with stack.database("admin", service) as admin:
        pids = [row["pid"] for row in await admin.fetch(BACKENDS, f"flowpin {stack.schemas[service]}")]
    os.kill(pids[0], signal.SIGSTOP)
    try:
        yield len(pids)
    finally:
        os.kill(pids[0], signal.SIGCONT)


@pytest.fixture
async def proxy(unstarted: Stack) -> AsyncIterator[DatabaseProxy]:
    async with DatabaseProxy(unstarted.urls["admin"]).running() as running:
        yield running


@asynccontextmanager
async def proxied_stack(unstarted: Stack, proxy: DatabaseProxy, **settings: Any) -> AsyncIterator[Stack]:
    """A stack whose services connect to Postgres through the proxy."""
    urls = {**unstarted.urls, **{role: proxy.url(role) for role in ("flowpin_workflow", "flowpin_deploy")}}
    async with running_stack(replace(unstarted, urls=urls), workflow=settings, deploy=settings) as stack:
        yield replace(stack, urls=unstarted.urls)


async def test_a_stopped_postgres_backend_fails_no_read(stack: Stack):
    calls = await calls_on(stack)

    async with one_backend_stopped(stack, "workflow") as backends, calling([calls.read] * CALLERS) as seen:
        await asyncio.sleep(2)

    assert backends == CONNECTIONS
    assert set(seen.codes) == {"OK"}
    assert seen.longest < 1, "the read is sent again on another connection"


async def test_a_stopped_postgres_backend_fails_only_the_deploys_on_it(unstarted: Stack):
    async with running_stack(unstarted, deploy=BRIEFLY) as stack:
        calls = await calls_on(stack, apps=CALLERS)

        # The backend is stopped while idle. One that holds locks on apps would delay deploys of these apps.
        async with one_backend_stopped(stack, "deploy") as backends, calling(calls.deploys()) as seen:
            await asyncio.sleep(4)

    assert backends == CONNECTIONS
    assert set(seen.codes) <= {"OK", "UNAVAILABLE"}
    assert seen.codes["UNAVAILABLE"] <= CALLERS, "the deploys of one statement"
    assert seen.codes["OK"] > 4 * CALLERS
    assert seen.longest < 3.5


async def test_half_open_connections_are_replaced_within_one_statement_timeout(unstarted: Stack, proxy: DatabaseProxy):
    async with proxied_stack(unstarted, proxy, **BRIEFLY) as stack:
        calls = await calls_on(stack, apps=4)

        async with calling([calls.read] * 8 + [calls.page] * 8 + calls.deploys()) as seen:
            await asyncio.sleep(0.3)
            proxy.freeze()
            await asyncio.sleep(5)
            recovered = seen.codes.copy()
            await asyncio.sleep(1)

    assert set(seen.codes) <= {"OK", "UNAVAILABLE"}
    assert seen.last_failure < 4
    assert seen.codes["OK"] > recovered["OK"]


async def test_a_single_caller_fails_on_at_most_one_half_open_connection(unstarted: Stack, proxy: DatabaseProxy):
    async with proxied_stack(unstarted, proxy, **BRIEFLY) as stack:
        calls = await calls_on(stack)
        proxy.freeze()

        async with calling([calls.page]) as seen:
            await asyncio.sleep(5)

    assert seen.codes["UNAVAILABLE"] == 1
    assert seen.last_failure < 3.5


async def test_tcp_notices_a_database_host_that_acknowledges_nothing(unstarted: Stack, proxy: DatabaseProxy):
    async with proxied_stack(unstarted, proxy, database_silence_seconds=1, database_statement_seconds=60) as stack:
        calls = await calls_on(stack)

        async with calling([calls.page] * CALLERS) as seen:
            proxy.drop_packets()
            await asyncio.sleep(5)

    assert seen.codes["UNAVAILABLE"] > 0
    assert seen.last_failure < 4


async def test_a_caller_that_times_out_frees_its_database_connection(unstarted: Stack, proxy: DatabaseProxy):
    async with proxied_stack(unstarted, proxy, page_pool_size=1) as stack:
        calls = await calls_on(stack)
        proxy.freeze()

        with pytest.raises(grpc.aio.AioRpcError):
            await calls.page(timeout=0.5)
        left = time.monotonic()
        await calls.page()
        seconds = time.monotonic() - left

    assert seconds < 2


async def test_statements_that_asyncpg_sends_by_itself_have_a_deadline(unstarted: Stack, proxy: DatabaseProxy):
    url, schema = proxy.url("flowpin_workflow"), unstarted.schemas["workflow"]
    async with open_pool(url, schema, 1, DatabaseLimits(statement=0.2, grace=0.1)) as pool:
        async with pool.acquire() as db:
            for number in range(100):  # the number of prepared statements that asyncpg caches
                await db.fetchval(f"SELECT {number}")
        began = time.monotonic()

        proxy.freezes_after = 1  # the next statement is prepared, but the close of the oldest gets no answer
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5), pool.acquire() as db:
                await db.fetchval("SELECT 100")
        seconds = time.monotonic() - began

    assert seconds < 2


async def test_a_service_stops_while_its_database_connections_hang(unstarted: Stack, proxy: DatabaseProxy):
    async with proxied_stack(unstarted, proxy) as stack:
        calls = await calls_on(stack)
        proxy.freeze(new_ones=True)
        waiting = await start_calls(*(calls.read() for _ in range(CALLERS)), calls.page())

        began = time.monotonic()
        await stack.stop_workflow_service()
        seconds = time.monotonic() - began
        await asyncio.gather(*waiting, return_exceptions=True)
        proxy.thaw()

    assert seconds < 6


async def test_health_reports_within_two_seconds_that_the_database_hangs(unstarted: Stack, proxy: DatabaseProxy):
    async with proxied_stack(unstarted, proxy) as stack:
        ports = (stack.workflow_port, stack.deploy_port)

        async def are_serving(wanted: bool) -> bool:
            return [await serving(port, "database") for port in ports] == [wanted, wanted]

        await eventually(lambda: are_serving(True), 5)

        proxy.freeze(new_ones=True)
        await eventually(lambda: are_serving(False), 2)
        proxy.thaw()
        await eventually(lambda: are_serving(True), 3)


async def test_health_stays_serving_with_dead_connections_to_a_working_database(unstarted: Stack, proxy: DatabaseProxy):
    async with proxied_stack(unstarted, proxy) as stack:
        await eventually(lambda: serving(stack.workflow_port), 5)

        proxy.freeze()
        states = []
        for _ in range(30):
            states.append(await serving(stack.workflow_port))
            await asyncio.sleep(0.1)

    assert all(states)


async def test_health_stays_serving_with_a_busy_connection_pool(unstarted: Stack):
    async with running_stack(unstarted, workflow={"pool_size": 1}) as stack:
        calls = await calls_on(stack, connections=1)
        async with stack.database("admin", "workflow") as admin, admin.transaction():
            await admin.execute("LOCK TABLE workflows")  # its reads wait
            busy = await start_calls(*(calls.head() for _ in range(3)))
            states = []
            for _ in range(20):
                states.append(await serving(stack.workflow_port))
                await asyncio.sleep(0.1)
        await asyncio.gather(*busy, return_exceptions=True)

    assert all(states)


async def test_a_connection_that_postgres_has_closed_unnoticed_is_a_database_failure(
    unstarted: Stack, proxy: DatabaseProxy
):
    """asyncpg has read the cause but not the end of the connection, so its next use raises InternalClientError."""
    async with proxied_stack(unstarted, proxy) as stack:
        calls = await calls_on(stack)
        await eventually(lambda: serving(stack.workflow_port), 5)
        proxy.hides_ends = True
        async with stack.database("admin", "workflow") as admin:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE $1",
                f"flowpin {stack.schemas['workflow']}%",
            )
        await asyncio.sleep(0.1)

        async with calling([calls.page]) as seen:
            await asyncio.sleep(1)
        still_serving = await serving(stack.workflow_port)
        proxy.freeze(new_ones=True)
        await eventually(lambda: negated(serving(stack.workflow_port)), 3)
        proxy.thaw()

    assert set(seen.codes) == {"OK", "UNAVAILABLE"}
    assert seen.codes["UNAVAILABLE"] <= 10
    assert still_serving


async def test_connections_are_opened_without_startup_parameters_that_pgbouncer_refuses(
    unstarted: Stack, proxy: DatabaseProxy
):
    urls = {**unstarted.urls, "flowpin_workflow": proxy.url("flowpin_workflow")}

    async with workflow_service_of(replace(unstarted, urls=urls)) as port:
        await eventually(lambda: serving(port), 5)

    names = {name for message in proxy.first_messages for name in message[8:].split(b"\0")[::2] if name}
    assert names == {b"user", b"database", b"application_name", b"client_encoding"}
