"""The encrypted cookies: the session, and a message for the next page."""

import base64
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec
from aiohttp import web
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from service_kit.openid import code_flow

SESSION, FLASH, ATTEMPT = "flowpin_console", "flowpin_console_flash", "flowpin_console_attempt"
FLASH_SECONDS = 60
ATTEMPT_SECONDS = 600
"""How long a person has to sign in on the issuer's pages."""
T = TypeVar("T", bound=msgspec.Struct)

MAX_FLASH_CHARS = 600
PART_CHARS = 3900
"""Browsers store cookies of at most 4 KB, so a session with a longer token has several."""
MAX_PARTS = 4
"""Enough for the longest token that services accept, and the other fields of a session."""
MAX_BACK_CHARS = 1000
PARTS = (SESSION, *(f"{SESSION}_{number}" for number in range(2, MAX_PARTS + 1)))
COUNTS = tuple(str(number) for number in range(1, MAX_PARTS + 1))
EARLY_SECONDS = 30.0
"""How long before its expiry a token is renewed."""


class TokenTooLong(Exception):
    """The session does not fit into the cookies."""


class Project(msgspec.Struct, frozen=True):
    """A project as the pages need it."""

    id: str
    name: str
    environments: tuple[str, ...] = ("production",)
    """The names of environments, in promotion order."""
    role: str = "viewer"


class Session(msgspec.Struct, frozen=True):
    """The session of a signed-in person in one browser."""

    token: str
    name: str
    person_id: str = ""
    """Empty for a service account."""
    project: Project | None = None
    """The project last shown in lists. It is used while the workflow service, which has all projects, is down."""
    expires_at: float = 0.0
    """Seconds since 1970."""
    subject: str = ""
    """The claim `sub` of the person who signed in at the issuer. Empty for a Personal Access Token."""
    token_expires_at: float = 0.0
    """When the issuer's token expires, in seconds since 1970."""
    refresh_token: str = ""
    """The refresh token. Empty if the session ends with its token."""

    def is_due(self) -> bool:
        """Whether the token should be renewed."""
        return bool(self.refresh_token) and time.time() > self.token_expires_at - EARLY_SECONDS

    def has_token(self) -> bool:
        """Whether the issuer's token has not expired yet."""
        return time.time() < self.token_expires_at


class Attempt(msgspec.Struct, frozen=True):
    """A sign-in at the issuer that was started in this browser."""

    secrets: code_flow.Attempt
    back: str
    """The path that the person requested."""
    expires_at: float
    """Seconds since 1970."""


class Flash(msgspec.Struct, frozen=True):
    """A message for the page after a redirect."""

    kind: Literal["good", "bad", "note"]
    text: str


@dataclass(frozen=True, slots=True)
class Cookies:
    """Reads and writes the cookies."""

    fernet: MultiFernet
    is_secure: bool
    session_seconds: float

    def session(self, request: web.Request) -> Session | None:
        """The session. None without one, or after it has expired."""
        text = request.cookies.get(SESSION, "")
        count, dot, first = text.partition(".")
        if dot and count in COUNTS:
            text = "".join([first, *(request.cookies.get(name, "") for name in PARTS[1 : int(count)])])
        session = self._read(text, Session)
        return session if session is not None and session.expires_at > time.time() else None

    def keep_session(self, response: web.StreamResponse, session: Session) -> None:
        """Write the session. Writing it again does not extend it.

        If the refresh token does not fit in addition to the token, the session ends with the token. Raises
        TokenTooLong.
        """
        kept = self._ending(session)
        text = self._encrypted(kept)
        if kept.refresh_token and len(text) > MAX_PARTS * PART_CHARS:
            kept = self._ending(msgspec.structs.replace(kept, refresh_token=""))
            text = self._encrypted(kept)
        parts = [text[start : start + PART_CHARS] for start in range(0, len(text), PART_CHARS)]
        if len(parts) > MAX_PARTS:
            raise TokenTooLong
        if len(parts) > 1:
            parts[0] = f"{len(parts)}.{parts[0]}"
        for name, part in zip(PARTS, parts, strict=False):
            self._set(response, name, part, int(kept.expires_at - time.time()))

    def _ending(self, session: Session) -> Session:
        """The session with its expiry. Without a refresh token, it expires with its token."""
        expires_at = session.expires_at or time.time() + self.session_seconds
        if session.subject and not session.refresh_token:
            expires_at = min(expires_at, session.token_expires_at)
        return msgspec.structs.replace(session, expires_at=expires_at)

    def forget_session(self, response: web.StreamResponse) -> None:
        for name in PARTS:
            self._forget(response, name)

    def attempt(self, request: web.Request) -> Attempt | None:
        """The started sign-in at the issuer. None without one, or after it has expired."""
        attempt = self._read(request.cookies.get(ATTEMPT), Attempt)
        return attempt if attempt is not None and attempt.expires_at > time.time() else None

    def keep_attempt(self, response: web.StreamResponse, secrets: code_flow.Attempt, back: str) -> None:
        attempt = Attempt(secrets, back if len(back) <= MAX_BACK_CHARS else "/", time.time() + ATTEMPT_SECONDS)
        self._set(response, ATTEMPT, self._encrypted(attempt), ATTEMPT_SECONDS)

    def forget_attempt(self, response: web.StreamResponse) -> None:
        self._forget(response, ATTEMPT)

    def flash(self, request: web.Request) -> Flash | None:
        return self._read(request.cookies.get(FLASH), Flash)

    def keep_flash(self, response: web.StreamResponse, flash: Flash) -> None:
        text = flash.text if len(flash.text) <= MAX_FLASH_CHARS else f"{flash.text[:MAX_FLASH_CHARS]}…"
        self._set(response, FLASH, self._encrypted(Flash(flash.kind, text)), FLASH_SECONDS)

    def forget_flash(self, response: web.StreamResponse) -> None:
        self._forget(response, FLASH)

    def _read(self, text: str | None, kind: type[T]) -> T | None:
        if not text:
            return None
        try:
            return msgspec.json.decode(self.fernet.decrypt(text.encode()), type=kind)
        except (InvalidToken, msgspec.MsgspecError, UnicodeEncodeError):
            return None

    def _encrypted(self, value: msgspec.Struct) -> str:
        return self.fernet.encrypt(msgspec.json.encode(value)).decode()

    def _set(self, response: web.StreamResponse, name: str, text: str, seconds: int) -> None:
        response.set_cookie(name, text, max_age=seconds, path="/", secure=self.is_secure, httponly=True, samesite="Lax")

    def _forget(self, response: web.StreamResponse, name: str) -> None:
        response.del_cookie(name, path="/", secure=self.is_secure, httponly=True, samesite="Lax")


def open_cookies(key: SecretStr | None, is_secure: bool, session_seconds: float) -> Cookies:
    """The cookies, encrypted with `key`, which has the format of the setting."""
    keys: Sequence[bytes] = [bytes.fromhex(each) for each in key.get_secret_value().split(",")] if key else ()
    fernets = [Fernet(base64.urlsafe_b64encode(each)) for each in keys or [os.urandom(32)]]
    return Cookies(MultiFernet(fernets), is_secure, session_seconds)
