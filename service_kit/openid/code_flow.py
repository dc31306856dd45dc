"""The authorization code flow with PKCE: a person signs in with a browser, and the client gets the tokens."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from service_kit.openid.fetching import IssuerFailed, refusal
from service_kit.openid.provider import Client, Provider
from service_kit.openid.tokens import Tokens, tokens_of_sign_in


class Attempt(msgspec.Struct, frozen=True):
    """The secrets of one sign-in. Only the client that began it knows them."""

    state: str
    nonce: str
    verifier: str


def new_attempt() -> Attempt:
    return Attempt(*(secrets.token_urlsafe(32) for _ in range(3)))


def link(provider: Provider, client: Client, redirect_uri: str, attempt: Attempt) -> str:
    """The URL of the issuer's page where the person signs in."""
    digest = hashlib.sha256(attempt.verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": redirect_uri,
        "scope": provider.scope_of(client),
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        **client.asked_for(),
    }
    if "offline_access" in query["scope"].split():
        query["prompt"] = "consent"  # OpenID Connect Core 1.0, section 11
    mark = "&" if "?" in provider.authorization_endpoint else "?"
    return f"{provider.authorization_endpoint}{mark}{urlencode(query)}"


async def redeem(
    answer: Mapping[str, str], provider: Provider, client: Client, redirect_uri: str, attempt: Attempt
) -> Tokens:
    """The tokens for the parameters of the redirect. Raises IssuerFailed if the parameters are not from this
    sign-in."""
    code = _code_of(answer, provider, attempt.state)
    exchanged = await provider.exchange(code, attempt.verifier, redirect_uri, client)
    return await tokens_of_sign_in(exchanged, provider, client, attempt.nonce)


def _code_of(answer: Mapping[str, str], provider: Provider, state: str) -> str:
    if not secrets.compare_digest(answer.get("state", "").encode(), state.encode()):
        raise IssuerFailed("the answer is not that of this sign-in: its state differs. Sign in again")
    if answer.get("iss", "" if provider.names_itself else provider.url) != provider.url:
        raise IssuerFailed("the answer is that of another issuer. Sign in again")
    if "error" in answer:
        raise refusal(answer)
    if not answer.get("code"):
        raise IssuerFailed("the issuer's answer has no code")
    return answer["code"]
