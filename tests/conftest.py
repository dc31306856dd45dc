"""Fixtures for all tests: one embedded Postgres per run, a new database per test."""

import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Postgres is forked from this process, which uses gRPC. gRPC's fork handlers would crash the child.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

from flowpin_cli.machine.data_folder import locked
from flowpin_cli.machine.health import until
from flowpin_cli.machine.processes import start
from flowpin_cli.postgres.cluster import open_cluster
from tests.support.apps.world import Apps, running_apps
from tests.support.chromium import running_chromium
from tests.support.contract_errors import OPTION, ContractErrors
from tests.support.databases import create_original
from tests.support.fast_postgres import ask_for_no_password, fast_folder, keep_little_log, url
from tests.support.stack import Stack, fresh_stack, running_stack

if TYPE_CHECKING:
    from playwright.async_api import Browser

SERVICES = ("workflow", "deploy", "run")
ROLES = [name for service in SERVICES for name in (f"flowpin_{service}_migrator", f"flowpin_{service}")]


def pytest_addoption(parser: pytest.Parser) -> None:
    text = (
        "add the errors that services answered to this JSON file, and compare it with the contracts after a whole run"
    )
    parser.addoption(OPTION, metavar="FILE", help=text)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(ContractErrors(config))


@pytest.fixture(scope="session")
async def database_urls() -> AsyncIterator[Mapping[str, str]]:
    """URLs of a real Postgres for the run, by role. `admin` is the superuser's."""
    with fast_folder() as parent, locked(parent) as folder:
        async with open_cluster(folder) as cluster:
            ask_for_no_password(cluster)
            keep_little_log(cluster)
            process = start(cluster.command(), folder.fresh_log("postgres"))
            try:
                assert await until(lambda: cluster.is_ready(process), 20), "Postgres did not start"
                urls = {"admin": url(cluster), **{role: url(cluster, role) for role in ROLES}}
                await create_original(urls)
                yield urls
            finally:
                process.send_signal(signal.SIGINT)  # fast shutdown: SIGTERM would wait for clients
                process.wait(20)


@pytest.fixture
async def unstarted(database_urls: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Stack]:
    """A database and people without running services, for tests that start them with `running_stack`."""
    async with fresh_stack(database_urls, tmp_path) as stack:
        yield stack


@pytest.fixture
async def stack(unstarted: Stack) -> AsyncIterator[Stack]:
    """Workflow service, deploy service and gateway on a database of this test."""
    async with running_stack(unstarted) as running:
        yield running


@pytest.fixture(scope="module")
async def shared_stack(
    database_urls: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """The same, started once for a module, for tests that do not see each other's workflows."""
    folder = tmp_path_factory.mktemp("stack")
    async with fresh_stack(database_urls, folder) as unstarted, running_stack(unstarted) as running:
        yield running


@pytest.fixture
async def apps(database_urls: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Apps]:
    """The run service with a scripted deploy service and host process."""
    async with running_apps(database_urls, tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
async def shared_apps(
    database_urls: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Apps]:
    """The same, started once for a module, for calls that do not affect each other."""
    async with running_apps(database_urls, tmp_path_factory.mktemp("apps")) as running:
        yield running


@pytest.fixture(scope="session")
async def browser() -> "AsyncIterator[Browser]":
    """One browser for all tests of pages. Each test opens its own contexts."""
    async with running_chromium() as browser:
        yield browser
