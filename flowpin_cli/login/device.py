"""Signs a person in with a browser on another device (RFC 8628). The person types a code there while the command
waits."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from service_kit.openid.fetching import IssuerFailed, IssuerRefused, check_safe
from service_kit.openid.provider import Client, Provider
from service_kit.openid.tokens import Tokens, tokens_of_sign_in
from service_kit.texts import harmless

INTERVAL_SECONDS = 5.0
"""The default pause between two requests, and the time that `slow_down` adds to it."""
LONGEST_SECONDS = 60.0
"""The longest pause between two requests."""
MAX_CODE_CHARACTERS = 100
MAX_LINK_CHARACTERS = 1000


async def sign_in(provider: Provider, client: Client, show: Callable[[str, str], None], seconds: float) -> Tokens:
    """Call `show` with the link and the code, and wait until the person has signed in.

    The wait ends after `seconds`, or when the code expires. Raises IssuerFailed.
    """
    if not provider.device_endpoint:
        raise IssuerFailed(f"{provider.url} offers no sign-in on another device; use a machine with a browser")
    begun = await provider.begin_device(client)
    code, user_code, page = (begun.get(name) for name in ("device_code", "user_code", "verification_uri"))
    check_safe(page)
    if not (isinstance(code, str) and code and isinstance(user_code, str) and user_code):
        raise IssuerFailed("the issuer's answer has no device code")
    ends_at = time.monotonic() + min(seconds, _seconds(begun, "expires_in", seconds))
    show(harmless(str(page)[:MAX_LINK_CHARACTERS]), harmless(user_code[:MAX_CODE_CHARACTERS]))
    return await _answer(code, _seconds(begun, "interval", INTERVAL_SECONDS), provider, client, ends_at)


async def _answer(code: str, pause: float, provider: Provider, client: Client, ends_at: float) -> Tokens:
    why = ""
    while (left := ends_at - time.monotonic()) > 0:
        await asyncio.sleep(min(pause, LONGEST_SECONDS, left))
        try:
            answer = await provider.ask_device(code, client)
        except IssuerRefused as refused:
            if refused.error == "slow_down":
                pause += INTERVAL_SECONDS
            elif refused.error != "authorization_pending":
                raise
        except IssuerFailed as failed:  # tried again later, as the RFC requires after a connection timeout
            pause, why = pause * 2, f" ({failed})"
        else:
            return await tokens_of_sign_in(answer, provider, client, None)
    raise IssuerFailed(f"nobody signed in in time{why}; run `flowpin login` again")


def _seconds(answer: Mapping[str, Any], name: str, default: float) -> float:
    value = answer.get(name, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < float("inf") else default
