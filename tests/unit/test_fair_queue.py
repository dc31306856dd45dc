"""The fair queue: who works, who waits, who is refused."""

import asyncio
from itertools import pairwise

import pytest

from service_kit import fair_queue
from service_kit.errors import TooManyRequests
from service_kit.fair_queue import FairQueue


def enter(queue: FairQueue, principal: str) -> asyncio.Task[None]:
    return asyncio.create_task(queue.enter(principal))


async def test_a_free_place_is_taken_at_once():
    queue = FairQueue(at_work=2)

    await queue.enter("a")
    await queue.enter("a")

    assert (queue.at_work, queue.waiting) == (2, 0)


async def test_one_principal_may_use_every_place_and_is_then_refused():
    queue = FairQueue(at_work=8)
    for _ in range(8):
        await queue.enter("a")

    assert queue.is_full_for("a")
    with pytest.raises(TooManyRequests):
        await queue.enter("a")


async def test_a_principal_enters_although_another_one_holds_every_place():
    queue = FairQueue(at_work=8)
    for _ in range(8):
        await queue.enter("slow")

    assert not queue.is_full_for("b")
    await asyncio.wait_for(queue.enter("b"), 1)


async def test_the_places_beyond_the_bound_are_bounded_too():
    queue = FairQueue(at_work=2)
    for number in range(4):
        await queue.enter(f"principal {number}")

    with pytest.raises(TooManyRequests):
        await queue.enter("one more")


async def test_principals_take_turns():
    queue = FairQueue(at_work=1, waiting=100)
    order: list[str] = []
    await queue.enter("first")

    async def work(principal: str) -> None:
        await queue.enter(principal)
        order.append(principal)
        queue.leave(principal)

    await queue.enter("second")  # the last place beyond the bound: everyone else waits
    many = [asyncio.create_task(work("many")) for _ in range(20)]
    await asyncio.sleep(0)
    few = asyncio.create_task(work("few"))
    await asyncio.sleep(0)
    queue.leave("first")
    queue.leave("second")
    await asyncio.gather(*many, few)

    assert order.index("few") <= 1


async def test_the_longest_queue_gives_way_when_too_many_wait():
    queue = FairQueue(at_work=1, waiting=4)
    await queue.enter("x")
    await queue.enter("y")
    many = [enter(queue, "many") for _ in range(4)]
    await asyncio.sleep(0)

    few = enter(queue, "few")
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert [task.done() for task in many] == [False, False, False, True]
    assert isinstance(many[3].exception(), TooManyRequests)
    assert queue.is_full_for("many")
    assert not queue.is_full_for("few")
    assert not few.done()
    for task in (*many[:3], few):
        task.cancel()


async def test_a_caller_that_leaves_frees_its_place_in_the_queue():
    queue = FairQueue(at_work=1, waiting=1)
    await queue.enter("x")
    await queue.enter("y")
    leaving = enter(queue, "a")
    await asyncio.sleep(0)

    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving

    assert queue.waiting == 0
    staying = enter(queue, "a")
    await asyncio.sleep(0)
    queue.leave("x")
    queue.leave("y")
    await asyncio.wait_for(staying, 1)


async def test_a_place_that_arrives_with_the_cancellation_is_given_back():
    queue = FairQueue(at_work=1, waiting=2)
    await queue.enter("x")
    await queue.enter("y")
    leaving = enter(queue, "a")
    await asyncio.sleep(0)

    queue.leave("x")
    queue.leave("y")
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving

    assert queue.at_work == 0


async def test_everyone_leaves_and_nothing_is_left():
    queue = FairQueue(at_work=3, waiting=50)

    async def work(principal: str) -> None:
        await queue.enter(principal)
        await asyncio.sleep(0.001)
        queue.leave(principal)

    await asyncio.gather(*(work(f"p{number % 7}") for number in range(50)))

    assert (queue.at_work, queue.waiting) == (0, 0)


async def test_one_principal_begins_a_few_calls_in_a_turn_and_another_is_not_held_up():
    queue = FairQueue(at_work=64, waiting=100, calls_a_turn=2)
    many = [enter(queue, "many") for _ in range(5)]
    few = enter(queue, "few")

    begun = [0]
    while begun[-1] < 5:
        await asyncio.sleep(0)
        begun.append(queue._at_work["many"])
        assert few.done() or begun[-1] <= 2

    assert max(later - earlier for earlier, later in pairwise(begun)) == 2
    await asyncio.gather(*many, few)


async def test_one_who_calls_alone_does_not_wait_and_waits_once_another_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fair_queue, "SHARED_SECONDS", 0.05)
    queue = FairQueue(at_work=2, waiting=10, all_for_one=True)
    await queue.enter("a")
    await asyncio.sleep(0.06)
    for _ in range(4):
        await queue.enter("a")
        await asyncio.sleep(0)  # the next turn

    await asyncio.wait_for(queue.enter("b"), 1)
    waiting = enter(queue, "a")
    await asyncio.sleep(0.01)

    assert (queue.at_work, queue.waiting) == (6, 1)
    await asyncio.sleep(0.06)
    queue.leave("b")
    await asyncio.wait_for(waiting, 1)
