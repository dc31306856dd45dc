"""The rules of the request headers that the gateway reads."""

import re
from collections.abc import Iterator, Mapping

from service_kit.access.caller import OFFICIAL_CLIENT
from service_kit.http.errors import TokenMissing, bad_header
from service_kit.idempotency import KEY

MAX_AGENT_CHARS = 100
ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


def authorization(headers: Mapping[str, str]) -> str:
    """The header with the bearer token. The services check whether the token is valid. Raises TokenMissing."""
    given = headers.get("Authorization", "")
    # gRPC carries printable ASCII only, and no token has other characters.
    if given[:7].lower() != "bearer " or not (given.isascii() and given.isprintable()):
        raise TokenMissing
    return given


def passed_on(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The caller's headers that services read, as metadata. Raises InvalidArgument."""
    key = headers.get("Idempotency-Key")
    if key is not None:
        if not KEY.fullmatch(key):
            raise bad_header("Idempotency-Key", "must be 1 to 255 printable ASCII characters and not blank")
        yield "idempotency-key", key
    etag = headers.get("If-Match")
    if etag is not None:
        if not (etag.isascii() and etag.isprintable()):
            raise bad_header("If-Match", "must be an ETag")
        yield "if-match", etag
    agent = headers.get("User-Agent", "")
    # Only the official client's User-Agent is passed on. It needs its own key, because gRPC's `user-agent` names the
    # gateway.
    if agent.startswith(OFFICIAL_CLIENT) and agent.isascii() and agent.isprintable():
        yield "rest-user-agent", agent[:MAX_AGENT_CHARS]


def is_current(headers: Mapping[str, str], etag: str) -> bool:
    """Whether If-None-Match names `etag`, by the weak comparison of RFC 9110."""
    given = headers.get("If-None-Match")
    if given is None:
        return False
    return given.strip() == "*" or etag.removeprefix("W/") in ENTITY_TAG.findall(given)
