"""Sign-ins at an OpenID Connect issuer, and renewals of sessions with its refresh tokens."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import structlog
from cachetools import TTLCache
from msgspec.structs import replace

from console.cookies import Session
from console.settings import Settings
from service_kit.errors import TooManyRequests, Unauthenticated, Unavailable
from service_kit.http.token_checks import digest_of
from service_kit.openid import code_flow
from service_kit.openid.code_flow import Attempt
from service_kit.openid.fetching import IssuerFailed, IssuerRefused
from service_kit.openid.provider import REVOKE_SECONDS, Client, Provider, discover
from service_kit.openid.tokens import Tokens, refreshed
from service_kit.shared_work import SharedWork

CALLBACK = "/sign-in/issuer/callback"
DISCOVERED_SECONDS = 600.0
"""How long the discovery document is cached."""
FAILED_SECONDS = 2.0
"""How long a failure to read it is cached."""
MAX_SIGN_INS = 8
"""Limit of concurrent sign-ins. The issuer may be slow, and other pages must not wait for it."""
MAX_RENEWALS = 8
"""Limit of concurrent renewals of sessions. Further ones wait."""
RENEW_SECONDS = 15.0
"""How long a request waits for a renewal when its token has expired."""
RENEW_EARLY_SECONDS = 1.0
"""How long it waits while its token is still valid."""
RENEWED_SECONDS = 60.0
"""How long a renewed session is cached, for requests that were sent with the old cookie."""
MAX_RENEWED = 10_000
MAX_FOLLOWED = 10
"""Limit of consecutive renewals of one session in a lookup."""

log = structlog.get_logger()


class SignInEnded(Unauthenticated):
    reason = "SIGN_IN_ENDED"


class IssuerAway(Unavailable):
    reason = "ISSUER_UNAVAILABLE"


class Issuer:
    """The issuer. Its methods raise IssuerFailed, or TooManyRequests for too many concurrent sign-ins."""

    def __init__(self, url: str, client: Client, console_url: str) -> None:
        self._url = url
        self._client = client
        self._redirect_uri = console_url + CALLBACK
        self._provider: Provider | None = None
        self._failure = IssuerFailed()
        self._due_at = float("-inf")
        self._discovering = asyncio.Lock()
        self._sign_ins = 0
        self._places = asyncio.Semaphore(MAX_RENEWALS)
        self._renewals: SharedWork[Session] = SharedWork()
        self._renewed: TTLCache[bytes, Session] = TTLCache(MAX_RENEWED, RENEWED_SECONDS)

    @property
    def name(self) -> str:
        """The name shown to people: its host."""
        return urlsplit(self._url).netloc.rpartition("@")[2]

    async def link(self, attempt: Attempt) -> str:
        """The URL of the issuer's sign-in page."""
        async with self._place():
            return code_flow.link(await self._discovered(), self._client, self._redirect_uri, attempt)

    async def redeem(self, answer: Mapping[str, str], attempt: Attempt) -> Tokens:
        """The tokens for the parameters of the redirect."""
        async with self._place():
            provider = await self._discovered()
            return await code_flow.redeem(answer, provider, self._client, self._redirect_uri, attempt)

    async def renew(self, session: Session) -> Session:
        """The session with a new token, requested once for all requests with the same refresh token.

        Raises SignInEnded if the issuer refuses, or IssuerAway if it cannot be used and the token has expired.
        """
        newest = self._newest(session)
        if newest.is_due():
            wait = RENEW_EARLY_SECONDS if newest.has_token() else RENEW_SECONDS
            try:
                async with asyncio.timeout(wait):
                    newest = await self._renewals.run(newest.refresh_token, partial(self._renew, newest))
            except (IssuerFailed, TimeoutError) as error:
                why = str(error) or f"no answer within {wait:g} seconds"
                if isinstance(error, IssuerRefused) and error.error == "invalid_grant":
                    log.info("sign_in_ended", issuer=self._url, error=why)
                    raise SignInEnded("The issuer has ended the sign-in.") from None
                log.warning("session_not_renewed", issuer=self._url, error=why)
                if not newest.has_token():
                    raise IssuerAway(f"The sign-in must be renewed at {self.name}, which now fails.") from None
        # This browser may show another project now.
        return replace(newest, project=session.project, expires_at=session.expires_at)

    def _newest(self, session: Session) -> Session:
        """The session's cached renewal, because concurrent requests have the same old cookie."""
        for _ in range(MAX_FOLLOWED):
            renewed = self._renewed.get(digest_of(session.refresh_token))
            if renewed is None or renewed.refresh_token == session.refresh_token:
                return renewed or session
            session = renewed
        return session

    async def _renew(self, session: Session) -> Session:
        async with self._places:
            tokens = await refreshed(session.refresh_token, session.subject, await self._discovered(), self._client)
        renewed = replace(
            session, token=tokens.token, token_expires_at=tokens.expires_at, refresh_token=tokens.refresh_token
        )
        self._renewed[digest_of(session.refresh_token)] = renewed
        return renewed

    async def revoke(self, refresh_token: str) -> None:
        """End the sign-in at the issuer, if it supports that. Also raises TimeoutError."""
        async with asyncio.timeout(REVOKE_SECONDS), self._place():
            provider = await self._discovered()
            if provider.revocation_endpoint:
                await provider.revoke(refresh_token, self._client)

    async def _discovered(self) -> Provider:
        """The discovery document as last read, also while the issuer does not answer."""
        async with self._discovering:
            if time.monotonic() >= self._due_at:
                try:
                    self._provider = await discover(self._url)
                    self._due_at = time.monotonic() + DISCOVERED_SECONDS
                except IssuerFailed as failure:
                    self._failure, self._due_at = failure, time.monotonic() + FAILED_SECONDS
        if self._provider is None:
            raise self._failure.with_traceback(None)
        return self._provider

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._sign_ins >= MAX_SIGN_INS:
            raise TooManyRequests
        self._sign_ins += 1
        try:
            yield
        finally:
            self._sign_ins -= 1


def issuer_of(settings: Settings) -> Issuer | None:
    """The issuer of the settings. None without one."""
    if settings.issuer is None or settings.client is None or settings.url is None:
        return None
    return Issuer(settings.issuer, settings.client, settings.url)
