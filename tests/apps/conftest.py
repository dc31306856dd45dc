"""A `flowpin up` whose replicas are forks of a zygote with the real SDK. The SDK is imported once, in 20 s."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.runtimes.folder import MANIFEST
from run_service.hosting.client import HostClient, open_host
from tests.support.up_process import Up


@pytest.fixture(scope="session")
def runtime() -> Path:
    """The folder of the runtime."""
    named = os.environ.get("SDK_PYTHON")
    if not named:
        pytest.skip("SDK_PYTHON names no Python with dynamiq==0.69.0 (CONTRIBUTING.md)")
    return Path(named).absolute().parents[1]


@pytest.fixture(scope="session")
def runtimes(runtime: Path) -> Path:
    """The folder of runtimes, for `flowpin up`."""
    if not (runtime / MANIFEST).exists():
        pytest.skip("SDK_PYTHON is in no runtime that `flowpin runtime install` made (CONTRIBUTING.md)")
    return runtime.parent


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory, runtimes: Path) -> Iterator[Up]:
    """Shared by all tests of this folder, as it imports the SDK. Its replicas have less memory than usual."""
    limits = {"RUN_REPLICA_MEMORY_BYTES": str(256 << 20), "RUN_REPLICA_PROCESSES": "256"}
    up = Up(tmp_path_factory.mktemp("apps") / "data", FLOWPIN_RUNTIMES=str(runtimes), **limits).start()
    try:
        yield up.ready()
    finally:
        up.end()


@pytest.fixture
async def host(up: Up) -> AsyncIterator[HostClient]:
    """A second connection to the host process. Replicas that the test starts are ended."""
    folder = DataFolder(up.data).secret("host-socket")
    assert folder is not None
    async with open_host(Path(folder) / "host" / "socket", grace_seconds=1) as client:
        before = {replica.id for replica in await client.list()}
        yield client
        for replica in await client.list():
            if replica.id not in before:
                await client.stop(replica.id, 0)
