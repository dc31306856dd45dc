"""A background task runs as long as the process: when the task ends, the process ends."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from service_kit.lifecycle import BackgroundTaskEnded, in_background

PROGRAM = """
import asyncio
from service_kit import command
from service_kit.lifecycle import in_background, until_stopped
from service_kit.settings import ServiceSettings

async def watch():
    await asyncio.sleep(0.1)
    raise LookupError("why it ended")

async def serve(settings):
    async with in_background(watch()):
        await until_stopped()

command.run("service", ServiceSettings, serve, "schema", None)
"""


async def runs_forever() -> None:
    await asyncio.Event().wait()


async def raises() -> None:
    await asyncio.sleep(0)
    raise ValueError("why it ended")


async def returns() -> None:
    await asyncio.sleep(0)


async def awaits_a_canceled_task() -> None:
    other = asyncio.ensure_future(runs_forever())
    await asyncio.sleep(0)
    other.cancel()
    await other


@pytest.mark.parametrize("work", [raises, returns, awaits_a_canceled_task])
async def test_a_background_task_that_ends_cancels_its_block(work):
    waits = runs_forever()
    with pytest.raises(BackgroundTaskEnded, match=work.__name__) as caught:
        async with (
            asyncio.timeout(2),
            in_background(runs_forever()),
            in_background(work()),
            in_background(runs_forever()),
        ):
            await waits

    assert caught.value.__cause__ is not None


async def test_a_block_cancels_its_background_task_and_waits_for_it():
    seen = []

    async def work() -> None:
        try:
            await runs_forever()
        finally:
            await asyncio.sleep(0.01)
            seen.append("cleaned up")

    async with in_background(work()):
        await asyncio.sleep(0)

    assert seen == ["cleaned up"]


@pytest.mark.parametrize("error", [RuntimeError("the port is taken"), asyncio.CancelledError()])
async def test_an_error_of_a_block_with_background_tasks_is_raised_unchanged(error):
    with pytest.raises(type(error)) as caught:
        async with in_background(runs_forever()), in_background(runs_forever()):
            raise error

    assert caught.value is error


def test_a_process_whose_background_task_ends_exits_with_a_code_and_the_traceback(tmp_path: Path):
    environ = {"DATABASE_URL": "postgresql://nobody@/nowhere", "PYTHONPATH": str(Path.cwd())}

    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, "serve"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=20
    )

    assert ran.returncode == 1
    assert "background_task_ended" in ran.stderr
    assert "LookupError: why it ended" in ran.stderr
    assert ran.stderr.endswith("service: the background task watch ended\n")
