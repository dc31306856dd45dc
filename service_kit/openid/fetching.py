"""HTTP requests to an issuer. Answers are JSON of limited size. Redirects are refused, and URLs must be https or name
this machine."""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from service_kit.access.file import is_safe_url
from service_kit.texts import harmless

SECONDS = 10.0
"""Seconds that a request and its answer may take."""
MAX_BYTES = 256 << 10
MAX_SAID_CHARACTERS = 300


class IssuerFailed(Exception):
    """The issuer or its answer cannot be used. The message says why, and is safe to show."""


class IssuerRefused(IssuerFailed):
    """The issuer answered with an error of OAuth 2.0, whose code is `error`."""

    def __init__(self, message: str, error: str = "") -> None:
        super().__init__(message)
        self.error = error


async def fetch(
    url: str,
    form: Mapping[str, str] | None = None,
    *,
    secret: tuple[str, str] | None = None,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """The JSON object at `url`, or the answer to a POST of `form`. An empty answer is an empty object.

    `secret` is a client's id and secret, which are sent as HTTP Basic authentication (RFC 6749, section 2.3.1). Raises
    IssuerRefused for an error of OAuth 2.0, and IssuerFailed if there is no usable answer.
    """
    check_safe(url)
    parts = urlsplit(url)
    where = f"{parts.netloc.rpartition('@')[2]}{parts.path}"
    try:
        status, body = await _sent(url, form, secret, seconds)
    except TimeoutError:
        raise IssuerFailed(f"{where} cannot be reached: no answer within {seconds:g} seconds") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise IssuerFailed(f"{where} cannot be reached: {harmless(_reason(error))}") from None
    answer = _object(body or b"{}")
    if 400 <= status < 500 and answer and "error" in answer:
        raise refusal(answer)
    if status >= 300:
        raise IssuerFailed(f"{where} answers {status}")
    if answer is None:
        raise IssuerFailed(f"{where} does not answer with a JSON object; is the issuer's URL right?")
    return answer


async def _sent(
    url: str, form: Mapping[str, str] | None, secret: tuple[str, str] | None, seconds: float
) -> tuple[int, bytes]:
    """The status and the answer, up to the size limit."""
    headers = {"Accept": "application/json", "User-Agent": "flowpin"}
    if secret is not None:
        pair = ":".join(map(quote_plus, secret)).encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds), headers=headers) as session,
        session.request(
            "GET" if form is None else "POST", url, data=form, allow_redirects=False, proxy=_proxy(url)
        ) as answer,
    ):
        body = b""
        while len(body) < MAX_BYTES and (more := await answer.content.read(MAX_BYTES - len(body))):
            body += more
        return answer.status, body


def _proxy(url: str) -> str | None:
    """The proxy from the environment. aiohttp's `trust_env` would also send the credentials of ~/.netrc for the
    issuer's host."""
    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.netloc.rpartition("@")[2]) else getproxies().get(parts.scheme)
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", error)
    return str(getattr(cause, "strerror", None) or error or type(error).__name__)[:MAX_SAID_CHARACTERS]


def refusal(answer: Mapping[str, Any]) -> IssuerRefused:
    """The error in an answer of the issuer, with its description."""
    said = ": ".join(str(answer[name]) for name in ("error", "error_description") if answer.get(name))
    message = f"the issuer refused: {harmless(said[:MAX_SAID_CHARACTERS]).rstrip('.')}"
    return IssuerRefused(message, str(answer.get("error")))


def check_safe(url: object) -> None:
    """Raises IssuerFailed unless the transport protects the data: https, or this machine."""
    if not isinstance(url, str) or not is_safe_url(url):
        said = harmless(str(url)[:MAX_SAID_CHARACTERS])
        raise IssuerFailed(f"an issuer's URLs must be https (http is accepted for this machine only), not {said}")


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        answered = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answered if isinstance(answered, dict) else None
