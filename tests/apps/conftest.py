"""A host process whose replicas are forks of the real SDK's zygote; the import takes 20 s once."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from flowpin_cli.runtimes.folder import MANIFEST
from run_service.hosting.client import HostClient
from tests.support.hosting.host_process import HostProcess


@pytest.fixture(scope="session")
def runtime() -> Path:
    """The runtime's folder."""
    named = os.environ.get("SDK_PYTHON")
    if not named:
        pytest.skip("SDK_PYTHON names no Python with dynamiq==0.69.0 (README, Working on it)")
    return Path(named).absolute().parents[1]


@pytest.fixture(scope="session")
def runtimes(runtime: Path) -> Path:
    """The folder of runtimes, for `flowpin up`."""
    if not (runtime / MANIFEST).exists():
        pytest.skip("SDK_PYTHON is in no runtime that `flowpin runtime install` made (README, Working on it)")
    return runtime.parent


@pytest.fixture(scope="session")
def host_process(runtime: Path) -> Iterator[HostProcess]:
    process = HostProcess(memory_bytes=256 << 20, processes=256)
    process.start()
    yield process
    process.end()


@pytest.fixture
async def host(host_process: HostProcess) -> AsyncIterator[HostClient]:
    """A router's connection; what the test started is ended."""
    async with host_process.client(grace_seconds=1) as client:
        yield client
        for replica in await client.list():
            await client.stop(replica.id, 0)
