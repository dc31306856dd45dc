"""The rules of the request headers that the gateway reads."""

import re
from collections.abc import Iterator, Mapping

import uuid_utils

from gateway.errors import TokenMissing, bad_header
from service_kit.idempotency import KEY

REQUEST_ID = re.compile(r"[!-~]{1,128}")
ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


def request_id(headers: Mapping[str, str]) -> str:
    """The caller's, when it is fit for logs, or a new one."""
    given = headers.get("X-Request-Id")
    return given if given is not None and REQUEST_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    return uuid_utils.uuid7().hex


def authorization(headers: Mapping[str, str]) -> str:
    """The bearer token's header; whether it opens anything is for the services to say. Raises TokenMissing."""
    given = headers.get("Authorization", "")
    # gRPC carries printable ASCII only, and no token has other characters.
    if given[:7].lower() != "bearer " or not (given.isascii() and given.isprintable()):
        raise TokenMissing
    return given


def passed_on(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the services read of the caller's headers, as metadata. Raises InvalidArgument."""
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


def is_current(headers: Mapping[str, str], etag: str) -> bool:
    """Whether If-None-Match names `etag`, compared weakly as RFC 9110 wants."""
    given = headers.get("If-None-Match")
    if given is None:
        return False
    return given.strip() == "*" or etag.removeprefix("W/") in ENTITY_TAG.findall(given)
