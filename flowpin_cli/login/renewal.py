"""Refreshes and revokes the stored token."""

from dataclasses import replace
from pathlib import Path

from flowpin_cli.errors import NotPermitted
from flowpin_cli.login import kept
from flowpin_cli.login.asking import ask
from flowpin_cli.login.kept import Login
from service_kit.openid.fetching import IssuerRefused
from service_kit.openid.provider import REVOKE_SECONDS, discover
from service_kit.openid.tokens import Tokens, refreshed


def renewed(url: str, refused: str, file: Path) -> str:
    """Replace the token `refused` for the gateway at `url`, and store the new one. Raises CannotRun.

    Concurrent commands refresh it only once: the others use the token that the first one stored.
    """
    with kept.locked(file):
        login = kept.login_at(url, file)
        if login is None:
            raise NotPermitted(f"you are signed out of {url}; run `flowpin login`")
        if login.token == refused or login.is_expired():
            login = _refreshed(login)
            kept.keep(url, login, file)
    return login.token


def _refreshed(login: Login) -> Login:
    if not login.refresh_token:
        raise NotPermitted(f"the sign-in has expired or is refused; sign in again: {login.command}")
    tokens = ask(_new_tokens(login))
    return replace(login, token=tokens.token, expires_at=tokens.expires_at, refresh_token=tokens.refresh_token)


async def _new_tokens(login: Login) -> Tokens:
    provider = await discover(login.issuer)
    try:
        return await refreshed(login.refresh_token, login.subject, provider, login.client)
    except IssuerRefused as error:
        raise IssuerRefused(f"the sign-in has ended ({error}); sign in again: {login.command}") from None


def revoke(login: Login) -> bool:
    """Revoke the token at the issuer. False if the issuer does not support that. Raises CannotRun."""
    return ask(_revoke(login))


async def _revoke(login: Login) -> bool:
    provider = await discover(login.issuer, REVOKE_SECONDS)
    if provider.revocation_endpoint:
        await provider.revoke(login.refresh_token or login.token, login.client)
    return bool(provider.revocation_endpoint)
