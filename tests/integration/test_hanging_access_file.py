"""When reading the access file hangs, the last good content is used, calls continue and health reports it."""

import asyncio
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from service_kit.access import registry
from service_kit.access.file import AccessFileError
from service_kit.access.registry import MOST_HUNG_READS, AccessRegistry
from tests.support.hanging_file import hanging
from tests.support.stack import People, Stack
from tests.support.waiting import eventually, negated, serving

pytestmark = pytest.mark.slow


def replace(people: People, *, without: str = "") -> None:
    """Replace the access file by a rename, as editors and `flowpin token` do."""
    declared = people.declared()
    declared["tokens"] = [token for token in declared["tokens"] if token["id"] != f"tok_{without}"]
    new = People(people.path.with_suffix(".new"))
    new.write(declared)
    new.path.replace(people.path)


async def may_call(stack: Stack, token: str) -> bool:
    """Whether at least one of two services accepts the token. Other answers must be 401."""
    answers = [await stack.rest("GET", path, token=token) for path in ("/v1/me", "/v1/runtimes")]
    assert {answer.status for answer in answers} <= {200, 401}
    return 200 in {answer.status for answer in answers}


@pytest.fixture
async def stack(stack: Stack) -> Stack:
    await eventually(lambda: access_is_serving(stack), 10)
    return stack


async def access_is_serving(stack: Stack) -> bool:
    return all([await serving(port, "access") for port in (stack.workflow_port, stack.deploy_port)])


async def test_calls_continue_while_reading_the_access_file_hangs_and_health_reports_it(stack: Stack):
    with ExitStack() as held:
        replace(stack.people)
        held.enter_context(hanging(stack.people.path))
        await eventually(lambda: negated(access_is_serving(stack)), 2.5)
        began = time.monotonic()
        answers = [await stack.rest("GET", "/v1/me") for _ in range(20)]
        seconds = time.monotonic() - began
        are_serving = [await serving(port) for port in (stack.workflow_port, stack.deploy_port)]

    assert {answer.status for answer in answers} == {200}
    assert seconds < 1
    assert are_serving == [True, True], "the last good file is used"
    await eventually(lambda: access_is_serving(stack), 2.5)


async def test_a_revocation_takes_effect_within_two_seconds_while_earlier_reads_hang(stack: Stack):
    with ExitStack() as held:
        for _ in range(MOST_HUNG_READS - 1):
            replace(stack.people)
            held.enter_context(hanging(stack.people.path))
            await asyncio.sleep(0.6)  # the file is being read by now
        replace(stack.people, without="editor")

        await eventually(lambda: negated(may_call(stack, "editor")), 2.5)
        await eventually(lambda: access_is_serving(stack), 2.5)

    await asyncio.sleep(1)
    assert not await may_call(stack, "editor"), "the result of a hanging read is not used"
    assert await may_call(stack, "viewer")


async def test_a_revocation_made_before_a_hang_takes_effect_within_two_seconds_of_its_end(stack: Stack):
    with ExitStack() as held:
        replace(stack.people, without="editor")
        held.enter_context(hanging(stack.people.path))
        await eventually(lambda: negated(access_is_serving(stack)), 2.5)
        await asyncio.sleep(1.5 * MOST_HUNG_READS)  # the largest allowed number of reads hang
        could_call = await may_call(stack, "editor")

    assert could_call
    await eventually(lambda: negated(may_call(stack, "editor")), 2.5)
    await eventually(lambda: access_is_serving(stack), 2.5)


async def test_a_pipe_in_place_of_the_access_file_is_refused_unread(stack: Stack):
    path = stack.people.path
    good = path.read_bytes()
    path.unlink()
    os.mkfifo(path)

    await eventually(lambda: negated(access_is_serving(stack)), 2.5)
    assert await may_call(stack, "viewer")
    path.unlink()
    path.write_bytes(good)
    await eventually(lambda: access_is_serving(stack), 2.5)


async def test_a_service_stops_while_reading_the_access_file_hangs(unstarted: Stack):
    path = unstarted.people.path
    environment = {
        "WORKFLOW_LISTEN": "127.0.0.1:0",
        "WORKFLOW_DATABASE_URL": unstarted.urls["flowpin_workflow"],
        "WORKFLOW_ACCESS_FILE": str(path),
        "WORKFLOW_DRAIN_SECONDS": "0",
        "WORKFLOW_LOG_FORMAT": "json",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "workflow_service", "serve", env={**os.environ, **environment},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await logged(process, b"listener_started")
    with ExitStack() as held:
        replace(unstarted.people)
        held.enter_context(hanging(path))
        await logged(process, b"access_file_refused")

        process.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(process.wait(), 5) == 0
        await process.communicate()


async def logged(process: asyncio.subprocess.Process, event: bytes) -> None:
    async with asyncio.timeout(20):
        async for line in process.stderr:
            if event in line:
                return
    raise AssertionError(f"it ended before it logged {event}")


def test_a_service_that_starts_waits_for_the_access_file_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    people = People(tmp_path / "access.yaml")
    people.write()
    monkeypatch.setattr(registry, "START_SECONDS", 0.3)

    with hanging(people.path), pytest.raises(AccessFileError, match=r"has not answered for 0\.3 s"):
        AccessRegistry(people.path)


@pytest.mark.parametrize("content", ["", "\n# nobody yet\n", "{}", "orgs: []\ntokens: []\n"])
def test_a_service_does_not_start_with_an_empty_access_file(tmp_path: Path, content: str):
    path = tmp_path / "access.yaml"
    path.write_text(content)

    with pytest.raises(AccessFileError, match="is empty"):
        AccessRegistry(path)
