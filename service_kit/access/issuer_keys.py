"""Reads the public keys of an OpenID Connect issuer from the URL in its discovery document."""

import time
from typing import TYPE_CHECKING, Any

import structlog

from service_kit.access.file import Issuer
from service_kit.access.key_sets import signing_keys

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

REFRESH_SECONDS = 600.0
"""Seconds between two reads of valid keys."""
SHORTEST_SECONDS = 60.0
"""Minimum seconds between two reads caused by tokens with unknown keys."""
RETRY_SECONDS = 10.0
"""Seconds until the next try after a failed read."""
READ_SECONDS = 5.0

log = structlog.get_logger()


class IssuerKeys:
    """The keys that were read last. They remain valid while the issuer does not answer."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.current: KeySet | None = None
        self._published: Any = None
        self._due_at = float("-inf")
        self._read_at = float("-inf")

    def is_due(self, now: float) -> bool:
        return now >= self._due_at

    def ask_for_newer(self) -> bool:
        """Request a read of the keys, because a token names an unknown key. They are read at most once a minute.

        Returns whether a read is due, so that the token may soon be valid.
        """
        if self.current is None:
            return True
        self._due_at = min(self._due_at, self._read_at + SHORTEST_SECONDS)
        return self.is_due(time.monotonic())

    async def read(self) -> bool:
        """Read the keys. Returns whether they have changed. Does not raise if the issuer cannot be read."""
        try:
            published, keys = await self._fetch()
        except Exception as error:  # no answer of an issuer may affect the tokens of others
            self._due_at = time.monotonic() + RETRY_SECONDS
            log.error("issuer_keys_not_read", issuer=self.issuer.url, error=f"{type(error).__name__}: {error}"[:300])
            return False
        self._read_at = time.monotonic()
        self._due_at = self._read_at + REFRESH_SECONDS
        if published == self._published:
            return False
        self._published, self.current = published, keys
        log.info("issuer_keys_read", issuer=self.issuer.url, keys=len(keys.keys))
        return True

    async def _fetch(self) -> "tuple[Any, KeySet]":
        from service_kit.openid.fetching import fetch

        url = self.issuer.jwks_url
        if not url:
            document = f"{self.issuer.url.rstrip('/')}/.well-known/openid-configuration"
            discovered = await fetch(document, seconds=READ_SECONDS)
            if discovered["issuer"] != self.issuer.url:
                raise ValueError("the discovery document is another issuer's")
            url = discovered["jwks_uri"]
        published = await fetch(url, seconds=READ_SECONDS)
        return published["keys"], signing_keys(published)
