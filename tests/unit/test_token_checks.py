"""The gateway checks each token with one call at a time, caches the result briefly, and limits unknown tokens."""

import asyncio

import pytest

from service_kit.errors import ServiceError, TooManyRequests, Unauthenticated, Unavailable
from service_kit.http import token_checks
from service_kit.http.token_checks import TokenChecks


class Service:
    """Answers `Ping`: knows the valid tokens, records the calls, and can be made to wait."""

    def __init__(self, *valid: str) -> None:
        self.valid = set(valid)
        self.asked: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.failure: ServiceError | None = None

    async def ping(self, message: bytes, metadata: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        self.asked.append(metadata["authorization"])
        await self.answers.wait()
        if self.failure is not None:
            raise self.failure
        if metadata["authorization"] not in self.valid:
            raise Unauthenticated("The token is not known.")
        return b"", {}


async def test_a_valid_token_is_checked_by_one_call_at_a_time_and_then_cached():
    service = Service("Bearer good")
    checks = TokenChecks(service.ping)

    await asyncio.gather(*(checks.check("Bearer good") for _ in range(20)))
    await checks.check("Bearer good")

    assert service.asked == ["Bearer good"]


async def test_an_invalid_token_is_cached_for_less_time_than_a_change_may_take(monkeypatch: pytest.MonkeyPatch):
    assert token_checks.INVALID_SECONDS <= 1
    monkeypatch.setattr(token_checks, "INVALID_SECONDS", 0.05)
    service = Service()
    checks = TokenChecks(service.ping)

    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await checks.check("Bearer new")
    asked = len(service.asked)
    service.valid.add("Bearer new")
    await asyncio.sleep(0.1)
    await checks.check("Bearer new")

    assert asked == 1


async def test_a_failed_token_check_is_not_cached():
    service = Service("Bearer good")
    service.failure = Unavailable("The service cannot be reached.")
    checks = TokenChecks(service.ping)

    with pytest.raises(Unavailable):
        await checks.check("Bearer good")
    service.failure = None
    await checks.check("Bearer good")

    assert len(service.asked) == 2


async def test_checks_of_unknown_tokens_do_not_delay_a_known_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(token_checks, "VALID_SECONDS", 0)
    service = Service("Bearer good")
    checks = TokenChecks(service.ping)
    await checks.check("Bearer good")
    service.answers.clear()
    unknown = [asyncio.create_task(checks.check(f"Bearer {number}")) for number in range(token_checks.MAX_UNKNOWN)]
    await asyncio.sleep(0)

    with pytest.raises(TooManyRequests):
        await checks.check("Bearer one more")
    known = asyncio.create_task(checks.check("Bearer good"))
    await asyncio.sleep(0)
    service.answers.set()

    await known
    answers = await asyncio.gather(*unknown, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unauthenticated}
    with pytest.raises(Unauthenticated):
        await checks.check("Bearer one more")


async def test_a_canceled_caller_does_not_cancel_a_shared_token_check():
    service = Service("Bearer good")
    service.answers.clear()
    checks = TokenChecks(service.ping)
    leaving = asyncio.create_task(checks.check("Bearer good"))
    staying = asyncio.create_task(checks.check("Bearer good"))
    await asyncio.sleep(0)

    leaving.cancel()
    service.answers.set()

    await staying
    assert len(service.asked) == 1
