"""What every test stands on: one embedded Postgres per run, schemas per test."""

import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

# Postgres is forked from this process, which uses gRPC: its fork handlers would crash the child before it begins.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

from flowpin_cli.machine.data_folder import locked
from flowpin_cli.machine.health import until
from flowpin_cli.machine.processes import start
from flowpin_cli.postgres.cluster import open_cluster
from tests.support.apps.world import Apps, running_apps
from tests.support.contract_errors import ContractErrors
from tests.support.stack import Stack, fresh_stack, running_stack

SERVICES = ("workflow", "deploy", "run")
ROLES = [name for service in SERVICES for name in (f"flowpin_{service}_migrator", f"flowpin_{service}")]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(ContractErrors(config))


@pytest.fixture(scope="session")
async def database_urls(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mapping[str, str]]:
    """A real Postgres for the run, and URLs by role; `admin` is the superuser's."""
    with locked(tmp_path_factory.mktemp("postgres")) as folder:
        async with open_cluster(folder) as cluster:
            process = start(cluster.command(), folder.fresh_log("postgres"))
            try:
                assert await until(lambda: cluster.is_ready(process), 20), "Postgres did not start"
                yield {"admin": cluster.url(), **{role: cluster.url(role) for role in ROLES}}
            finally:
                process.send_signal(signal.SIGINT)  # fast: SIGTERM would wait for clients
                process.wait(20)


@pytest.fixture
async def unstarted(database_urls: Mapping[str, str], tmp_path: Path) -> Stack:
    """Schemas and people, and nothing running: for tests that start the services their own way (`running_stack`)."""
    return await fresh_stack(database_urls, tmp_path)


@pytest.fixture
async def stack(unstarted: Stack) -> AsyncIterator[Stack]:
    """Workflow service, deploy service and gateway, running on schemas of this test's own."""
    async with running_stack(unstarted) as running:
        yield running


@pytest.fixture(scope="module")
async def shared_stack(
    database_urls: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """The same once for a module: for tables of calls that do not see each other's workflows."""
    async with running_stack(await fresh_stack(database_urls, tmp_path_factory.mktemp("stack"))) as running:
        yield running


@pytest.fixture
async def apps(database_urls: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Apps]:
    """The run service, with a scripted deploy service and host process beside it."""
    async with running_apps(database_urls, tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
async def shared_apps(
    database_urls: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Apps]:
    """The same once for a module: for calls that do not see each other."""
    async with running_apps(database_urls, tmp_path_factory.mktemp("apps")) as running:
        yield running
