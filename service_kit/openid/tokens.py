"""Chooses the token that an installation accepts from those of an issuer. Checks it as services do."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import KeySet

from service_kit.access.file import Issuer
from service_kit.access.key_sets import signing_keys
from service_kit.access.web_tokens import Refused, is_jwt, issuer_of, verified_claims
from service_kit.openid.fetching import IssuerFailed, fetch
from service_kit.openid.provider import Client, Provider


@dataclass(frozen=True)
class Tokens:
    """The result of a sign-in or a refresh."""

    subject: str
    """The claim `sub` of the person."""
    token: str = field(repr=False)
    """The token that services accept."""
    expires_at: float
    """When `token` expires, in seconds since 1970."""
    refresh_token: str = field(repr=False)
    """Empty if the issuer gave none."""


async def read_keys(provider: Provider) -> KeySet:
    """The issuer's public keys. Raises IssuerFailed."""
    try:
        return signing_keys(await fetch(provider.jwks_uri))
    except (ValueError, TypeError, KeyError):
        raise IssuerFailed(f"{provider.jwks_uri} has no keys that can be used") from None


async def tokens_of_sign_in(answer: Mapping[str, Any], provider: Provider, client: Client, nonce: str | None) -> Tokens:
    """The tokens in the answer that ends a sign-in. `nonce` is that of the request, if there was one.

    Raises IssuerFailed if they are not from this sign-in.
    """
    keys = await read_keys(provider)
    subject = _subject(answer, keys, provider, client, nonce)
    return _tokens(answer, keys, provider, client, subject)


async def refreshed(refresh_token: str, subject: str, provider: Provider, client: Client) -> Tokens:
    """New tokens of the same person. The refresh token may be a new one too. Raises IssuerFailed."""
    answer = await provider.refresh(refresh_token, client)
    return _tokens({"refresh_token": refresh_token} | answer, await read_keys(provider), provider, client, subject)


def _subject(answer: Mapping[str, Any], keys: KeySet, provider: Provider, client: Client, nonce: str | None) -> str:
    """The subject of the ID token, which must be for this client and this sign-in."""
    try:
        claims = _claims(answer.get("id_token"), keys, provider, client.id)
    except Refused as refused:
        raise IssuerFailed(f"the issuer's ID token is not valid: {refused}") from None
    if nonce is not None and not secrets.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
        raise IssuerFailed("the issuer's ID token is not of this sign-in: its nonce differs. Sign in again")
    if claims.get("azp", client.id) != client.id:
        raise IssuerFailed("the issuer's ID token was made for another client")
    return str(claims["sub"])


def _tokens(answer: Mapping[str, Any], keys: KeySet, provider: Provider, client: Client, subject: str) -> Tokens:
    """The token with the audience and this subject: the access token if it fits, otherwise the ID token."""
    reasons = []
    for kind in ("access_token", "id_token"):
        try:
            claims = _claims(answer.get(kind), keys, provider, client.audience)
            if claims["sub"] != subject:
                raise Refused("it is another person's")
        except Refused as refused:
            reasons.append(f"{kind}: {refused}")
        else:
            return Tokens(subject, answer[kind], float(claims["exp"]), str(answer.get("refresh_token") or ""))
    raise IssuerFailed(f"{provider.url} made no token for the audience {client.audience} ({'; '.join(reasons)})")


def _claims(token: object, keys: KeySet, provider: Provider, audience: str) -> Mapping[str, Any]:
    if not isinstance(token, str) or not is_jwt(token):
        raise Refused("there is no JSON Web Token")
    if issuer_of(token) != provider.url:
        raise Refused("another issuer made it")
    return verified_claims(token, keys, Issuer.model_validate({"url": provider.url, "audience": audience}))
