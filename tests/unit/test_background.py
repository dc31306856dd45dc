"""A task that runs as long as the process ends the process when it ends."""

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


async def for_ever() -> None:
    await asyncio.Event().wait()


async def raises() -> None:
    await asyncio.sleep(0)
    raise ValueError("why it ended")


async def returns() -> None:
    await asyncio.sleep(0)


async def awaits_what_was_canceled() -> None:
    other = asyncio.ensure_future(for_ever())
    await asyncio.sleep(0)
    other.cancel()
    await other


@pytest.mark.parametrize("work", [raises, returns, awaits_what_was_canceled])
async def test_one_that_ends_cancels_what_it_worked_for(work):
    waits = for_ever()
    with pytest.raises(BackgroundTaskEnded, match=work.__name__) as caught:
        async with asyncio.timeout(2), in_background(for_ever()), in_background(work()), in_background(for_ever()):
            await waits

    assert caught.value.__cause__ is not None


async def test_a_background_task_is_canceled_with_the_block_and_waited_for():
    seen = []

    async def work() -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0.01)
            seen.append("cleaned up")

    async with in_background(work()):
        await asyncio.sleep(0)

    assert seen == ["cleaned up"]


@pytest.mark.parametrize("error", [RuntimeError("the port is taken"), asyncio.CancelledError()])
async def test_what_the_block_raises_is_raised_as_it_is(error):
    with pytest.raises(type(error)) as caught:
        async with in_background(for_ever()), in_background(for_ever()):
            raise error

    assert caught.value is error


def test_a_process_exits_with_a_code_and_the_traceback(tmp_path: Path):
    environ = {"DATABASE_URL": "postgresql://nobody@/nowhere", "PYTHONPATH": str(Path.cwd())}

    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, "serve"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=20
    )

    assert ran.returncode == 1
    assert "background_task_ended" in ran.stderr
    assert "LookupError: why it ended" in ran.stderr
    assert ran.stderr.endswith("service: the background task watch ended\n")
