"""The fair queue: which calls run, wait or are refused."""

import asyncio
from itertools import pairwise

import pytest

from service_kit import fair_queue
from service_kit.errors import TooManyRequests
from service_kit.fair_queue import FairQueue


def enter(queue: FairQueue, principal: str) -> asyncio.Task[None]:
    return asyncio.create_task(queue.enter(principal))


async def test_a_call_takes_a_free_place_immediately():
    queue = FairQueue(at_work=2)

    await queue.enter("a")
    await queue.enter("a")

    assert (queue.at_work, queue.waiting) == (2, 0)


async def test_one_principal_may_fill_the_queue_and_is_then_refused():
    queue = FairQueue(at_work=8)
    for _ in range(8):
        await queue.enter("a")

    assert queue.is_full_for("a")
    with pytest.raises(TooManyRequests):
        await queue.enter("a")


async def test_a_principal_gets_a_place_while_another_holds_all():
    queue = FairQueue(at_work=8)
    for _ in range(8):
        await queue.enter("slow")

    assert not queue.is_full_for("b")
    await asyncio.wait_for(queue.enter("b"), 1)


async def test_the_additional_places_of_principals_are_limited_too():
    queue = FairQueue(at_work=2)
    for number in range(4):
        await queue.enter(f"principal {number}")

    with pytest.raises(TooManyRequests):
        await queue.enter("one more")


async def test_waiting_principals_take_turns():
    queue = FairQueue(at_work=1, waiting=100)
    order: list[str] = []
    await queue.enter("first")

    async def work(principal: str) -> None:
        await queue.enter(principal)
        order.append(principal)
        queue.leave(principal)

    await queue.enter("second")  # the last additional place: everyone else waits
    many = [asyncio.create_task(work("many")) for _ in range(20)]
    await asyncio.sleep(0)
    few = asyncio.create_task(work("few"))
    await asyncio.sleep(0)
    queue.leave("first")
    queue.leave("second")
    await asyncio.gather(*many, few)

    assert order.index("few") <= 1


async def test_a_full_queue_refuses_a_call_of_the_principal_with_most_waiting_calls():
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


async def test_a_canceled_call_frees_its_place_in_the_queue():
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


async def test_a_place_assigned_to_a_call_that_is_being_canceled_is_freed():
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


async def test_the_fair_queue_is_empty_after_all_calls():
    queue = FairQueue(at_work=3, waiting=50)

    async def work(principal: str) -> None:
        await queue.enter(principal)
        await asyncio.sleep(0.001)
        queue.leave(principal)

    await asyncio.gather(*(work(f"p{number % 7}") for number in range(50)))

    assert (queue.at_work, queue.waiting) == (0, 0)


async def test_a_principal_begins_a_limited_number_of_calls_per_turn_of_the_loop():
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


async def test_a_principal_begins_fewer_calls_per_turn_while_another_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fair_queue, "SHARED_SECONDS", 0.05)
    queue = FairQueue(at_work=64, waiting=100, calls_a_turn=4, calls_a_turn_shared=1)

    async def begun_in_a_turn() -> int:
        calls = [enter(queue, "many") for _ in range(8)]
        before = queue._at_work.get("many", 0)
        await asyncio.sleep(0)  # they enter
        begun = queue._at_work["many"] - before
        await asyncio.gather(*calls)
        return begun

    await queue.enter("another")
    beside_another = await begun_in_a_turn()
    await asyncio.sleep(0.06)
    alone = await begun_in_a_turn()

    assert (beside_another, alone) == (1, 4)


async def test_a_principal_that_calls_alone_waits_above_its_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fair_queue, "SHARED_SECONDS", 0)
    queue = FairQueue(at_work=2, waiting=10, most_for_one=3)
    await queue.enter("a")
    for _ in range(2):
        await asyncio.sleep(0.01)  # the next turn, in which nobody else called
        await queue.enter("a")

    waiting = enter(queue, "a")
    await asyncio.sleep(0.01)

    assert (queue.at_work, queue.waiting) == (3, 1)
    queue.leave("a")
    await asyncio.wait_for(waiting, 1)


async def test_a_principal_may_use_more_places_only_while_nobody_else_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fair_queue, "SHARED_SECONDS", 0.05)
    queue = FairQueue(at_work=2, waiting=10, most_for_one=12)
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
