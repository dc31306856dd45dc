"""Fixtures of the tests of hosting. Import them where they are used."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from run_service.hosting.client import HostClient
from tests.support.hosting.host_process import HostProcess, standin_runtime

SETTINGS = {
    "load_seconds": 10.0,
    "lock_seconds": 0.5,
    "fork_seconds": 2.0,
    "stuck_seconds": 0.5,
    "folder_bytes": 4 << 20,
    "memory_bytes": 192 << 20,
    "processes": 64,
}


@pytest.fixture(scope="module")
def host_process() -> Iterator[HostProcess]:
    """A host that serves a module."""
    process = HostProcess(**SETTINGS)
    process.start()
    yield process
    process.end()


@pytest.fixture(scope="module")
def runtime(host_process: HostProcess) -> Path:
    return standin_runtime(host_process.folder)


@pytest.fixture
async def host(host_process: HostProcess) -> AsyncIterator[HostClient]:
    """A router's connection. At the end the replicas that the test started are ended."""
    async with host_process.client() as client:
        yield client
        for replica in await client.list():
            await client.stop(replica.id, 0)


@pytest.fixture
def own_host() -> Iterator[HostProcess]:
    """A host that a test may kill."""
    process = HostProcess(**SETTINGS)
    process.start()
    yield process
    process.end()
