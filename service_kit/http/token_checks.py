"""Asks a service whether a token is valid, before the gateway reads the body that comes with it."""

import hashlib

from cachetools import LRUCache, TTLCache
from google.protobuf.descriptor import FileDescriptor

from service_kit.calls import Rpc
from service_kit.errors import ServiceError, TooManyRequests
from service_kit.ids import new_request_id
from service_kit.shared_work import SharedWork

VALID_SECONDS = 5.0
"""How long a valid token is remembered. This only decides whether a body is read; the service checks each call again.
"""
INVALID_SECONDS = 1.0
"""How long an invalid token is remembered. A new token must be valid everywhere within two seconds."""
REMEMBERED = 10_000
MAX_UNKNOWN = 32
"""Maximum number of concurrent checks of unknown tokens. They do not delay callers with known tokens."""


class TokenChecks:
    """Caches results by the token's SHA-256. For each token, only one check runs at a time, for any number of
    requests."""

    def __init__(self, ping: Rpc) -> None:
        """`ping` is an RPC of the service that gets the requests. It has no effect, and fails for an invalid token."""
        self._ping = ping
        self._valid: TTLCache[bytes, None] = TTLCache(REMEMBERED, VALID_SECONDS)
        self._invalid: TTLCache[bytes, ServiceError] = TTLCache(REMEMBERED, INVALID_SECONDS)
        self._known: LRUCache[bytes, None] = LRUCache(REMEMBERED)
        self._asked: SharedWork[ServiceError | None] = SharedWork()
        self._unknown = 0

    async def check(self, authorization: str) -> bytes:
        """The valid token's digest, which identifies its principal.

        Raises Unauthenticated or another error of the service, or TooManyRequests if there are too many unknown tokens.
        """
        key = digest_of(authorization)
        if key in self._valid:
            return key
        refusal = self._invalid.get(key)
        if refusal is None:
            refusal = await self._asked.run(key, lambda: self._ask(key, authorization))
        if refusal is not None:
            raise refusal.with_traceback(None)
        return key

    async def _ask(self, key: bytes, authorization: str) -> ServiceError | None:
        is_unknown = key not in self._known
        if is_unknown and self._unknown >= MAX_UNKNOWN:
            return TooManyRequests()
        self._unknown += is_unknown
        try:
            await self._ping(b"", {"authorization": authorization, "x-request-id": new_request_id()})
        except ServiceError as error:
            if error.reason == "TOKEN_INVALID":
                self._known.pop(key, None)
                self._invalid[key] = error
            return error.with_traceback(None)
        finally:
            self._unknown -= is_unknown
        self._valid[key] = self._known[key] = None
        return None


def digest_of(authorization: str) -> bytes:
    return hashlib.sha256(authorization.encode()).digest()


def ping_path(contracts: list[FileDescriptor]) -> str:
    """The path of the RPC `Ping` of a service with these `contracts`."""
    services = [service for contract in contracts for service in contract.services_by_name.values()]
    return next(f"/{service.full_name}/Ping" for service in services if "Ping" in service.methods_by_name)
