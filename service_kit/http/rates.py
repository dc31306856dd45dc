"""A rate limit for each principal, and the headers `RateLimit-Policy` and `RateLimit` (IETF draft)."""

import math
import time

import limits
from aiohttp import web
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from service_kit.errors import ResourceExhausted

HEADERS = web.RequestKey("rate_limit_headers", dict[str, str])


class RateLimited(ResourceExhausted):
    reason = "RATE_LIMITED"

    def __init__(self, policy: str, retry_after: float) -> None:
        super().__init__(f"This caller may send {policy}. Nothing was changed.", retry_after=retry_after)


class RateLimiter:
    """Counts requests by principal, only in this process."""

    def __init__(self, rate: str) -> None:
        """`rate` is for example "100/second" or "6000 per minute". Raises ValueError."""
        self._policy = rate
        self._rate = limits.parse(rate)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def check(self, request: web.Request, principal: bytes) -> None:
        """Count a request. Raises RateLimited."""
        key = principal.hex()
        is_allowed = self._limiter.hit(self._rate, key)
        window = self._limiter.get_window_stats(self._rate, key)
        seconds = max(0.0, window.reset_time - time.time())
        request[HEADERS] = {
            "RateLimit-Policy": f'"principal";q={self._rate.amount};w={self._rate.get_expiry()}',
            "RateLimit": f'"principal";r={window.remaining};t={math.ceil(seconds)}',
        }
        if not is_allowed:
            raise RateLimited(self._policy, max(seconds, 0.1))
