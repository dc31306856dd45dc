"""The health part `writes` reports whether Postgres accepts changes. The service stays SERVING, as reads continue."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.support.crashing_postgres import CrashingPostgres, crashing_postgres
from tests.support.databases import migrate
from tests.support.stack import Answer, People, Stack, running_stack
from tests.support.waiting import eventually, serving
from tests.support.workflows import body_of, flow_of

pytestmark = pytest.mark.slow

DISK_BYTES = 256 << 20


@asynccontextmanager
async def stack_on(postgres: CrashingPostgres, folder: Path) -> AsyncIterator[Stack]:
    people = People(folder / "access.yaml")
    people.write()
    unstarted = Stack(people, postgres.urls)
    await migrate(postgres.urls)
    async with running_stack(unstarted) as stack:
        yield stack


async def said(stack: Stack, part: str) -> list[bool]:
    """The health of a part, as reported by the workflow service and the deploy service."""
    return [await serving(port, part) for port in (stack.workflow_port, stack.deploy_port)]


async def takes_writes(stack: Stack) -> bool:
    return all(await said(stack, "writes"))


async def takes_none(stack: Stack) -> bool:
    return not any(await said(stack, "writes"))


async def seen_without_writes(stack: Stack, workflow_id: str) -> tuple[Answer, Answer, Answer, list[bool]]:
    path = f"/v1/workflows/{workflow_id}"
    refused = await stack.rest("POST", f"{path}/save", body_of(flow_of("x" * 100_000)))
    read = await stack.rest("GET", f"{path}/versions/latest")
    ready = await stack.rest("GET", "/health/ready", token=None)
    return refused, read, ready, await said(stack, "")


def assert_reads_only(seen: tuple[Answer, Answer, Answer, list[bool]], sentence: str) -> None:
    refused, read, ready, whole = seen
    assert (refused.status, read.status, ready.status) == (503, 200, 200)
    assert sentence in refused.error["message"]
    assert ready.body["writes"] == {"workflow": "not_serving", "deploy": "not_serving"}
    assert ready.body["services"] == {"workflow": "serving", "deploy": "serving"}
    assert whole == [True, True]


async def test_writes_are_not_served_while_postgres_is_read_only(tmp_path: Path):
    async with crashing_postgres(tmp_path / "data") as postgres, stack_on(postgres, tmp_path) as stack:
        workflow, _ = await stack.workflow()
        await eventually(lambda: takes_writes(stack), 5)
        admin = await asyncpg.connect(postgres.cluster.url(), server_settings={"default_transaction_read_only": "off"})

        await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await admin.execute("SELECT pg_reload_conf()")
        await eventually(lambda: takes_none(stack), 2)
        seen = await seen_without_writes(stack, workflow["id"])
        await admin.execute("ALTER SYSTEM RESET ALL")
        await admin.execute("SELECT pg_reload_conf()")
        await eventually(lambda: takes_writes(stack), 2)
        await admin.close()

        assert_reads_only(seen, "The database is read-only right now.")
        assert (await stack.save(workflow["id"], "after"))["version"] == 2


async def test_writes_are_not_served_without_a_database(tmp_path: Path):
    async with crashing_postgres(tmp_path / "data") as postgres, stack_on(postgres, tmp_path) as stack:
        await eventually(lambda: takes_writes(stack), 5)

        await postgres.crash()
        await eventually(lambda: takes_none(stack), 2)
        whole = await said(stack, "")
        await postgres.start()
        await eventually(lambda: takes_writes(stack), 3)

    assert whole == [False, False]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a separate disk needs root")
    words = [mount, "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_writes_are_not_served_while_the_disk_is_full(small_disk: Path, tmp_path: Path):
    async with crashing_postgres(small_disk / "data") as postgres, stack_on(postgres, tmp_path) as stack:
        workflow, _ = await stack.workflow()
        await eventually(lambda: takes_writes(stack), 5)
        filler = small_disk / "filler"

        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize)
        await eventually(lambda: takes_none(stack), 2)
        seen = await seen_without_writes(stack, workflow["id"])
        filler.unlink()
        await eventually(lambda: takes_writes(stack), 2)

        assert_reads_only(seen, "The disk of the database is full.")
        assert (await stack.save(workflow["id"], "after"))["version"] == 2
