"""Work that several callers share is done once, and continues when they have left."""

import asyncio

import pytest

from service_kit.shared_work import SharedWork


class Work:
    def __init__(self) -> None:
        self.begun = 0
        self.goes_on = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        await self.goes_on.wait()
        return self.begun


async def test_concurrent_callers_share_the_same_work():
    shared, work = SharedWork[int](), Work()
    waiting = [asyncio.create_task(shared.run("a", work)) for _ in range(3)]
    other = asyncio.create_task(shared.run("b", work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    work.goes_on.set()

    assert await asyncio.gather(*waiting, other) == [2] * 4  # once per key
    assert await shared.run("a", work) == 3  # the result is not cached


async def test_shared_work_continues_when_its_callers_leave():
    shared, work = SharedWork[int](), Work()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await shared.run("a", work)
    again = asyncio.create_task(shared.run("a", work))
    await asyncio.sleep(0)
    work.goes_on.set()

    assert await again == 1


async def test_an_error_of_shared_work_is_raised_to_all_callers_and_not_logged_without_any(
    caplog: pytest.LogCaptureFixture,
):
    async def failing() -> int:
        await asyncio.sleep(0.01)
        raise ValueError("no")

    shared = SharedWork[int]()
    results = await asyncio.gather(*(shared.run("a", failing) for _ in range(2)), return_exceptions=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await shared.run("a", failing)
    await asyncio.sleep(0.05)

    assert [type(result) for result in results] == [ValueError, ValueError]
    assert caplog.text == ""
