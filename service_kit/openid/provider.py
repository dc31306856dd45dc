"""An OpenID Connect issuer as its discovery document describes it, and the requests to its endpoints."""

import re
from dataclasses import dataclass, field
from typing import Any

from service_kit.openid.fetching import SECONDS, IssuerFailed, check_safe, fetch
from service_kit.texts import harmless

URI = re.compile("[A-Za-z][A-Za-z0-9+.-]*:")
REVOKE_SECONDS = 5.0
WANTED_SCOPES = ("profile", "email", "groups", "offline_access")
"""Scopes that are requested if the issuer supports them. The last one is for a refresh token."""


@dataclass(frozen=True)
class Client:
    """The client as it is registered at the issuer."""

    id: str
    audience: str
    """The audience in access.yaml: the client's id, or the audience of access tokens."""
    secret: str = field(default="", repr=False)
    """Empty for a public client."""
    scope: str = ""
    """Scopes, separated by spaces. Empty means the useful ones that the issuer supports."""

    def asked_for(self) -> dict[str, str]:
        """Parameters that request an access token with the audience. Without them, the token is for the issuer itself.

        A URI is requested as a `resource` (RFC 8707). Some issuers support `audience` instead; others ignore it.
        """
        if self.audience == self.id:
            return {}
        return {"audience": self.audience} | ({"resource": self.audience} if URI.match(self.audience) else {})


@dataclass(frozen=True)
class Provider:
    url: str
    """The claim `iss` of its tokens."""
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    revocation_endpoint: str
    """Empty if the issuer does not support revocation."""
    device_endpoint: str
    """The endpoint of device authorization (RFC 8628). Empty if the issuer does not support it."""
    scopes: frozenset[str]
    names_itself: bool
    """Whether each authorization response must have the parameter `iss` (RFC 9207)."""
    takes_basic: bool
    """Whether a client's secret is sent as HTTP Basic authentication instead of in the form."""

    def scope_of(self, client: Client) -> str:
        """The scopes to request, separated by spaces."""
        default = (scope for scope in WANTED_SCOPES if scope in self.scopes)
        return " ".join(dict.fromkeys(["openid", *(client.scope.split() or default)]))

    async def exchange(self, code: str, verifier: str, redirect_uri: str, client: Client) -> dict[str, Any]:
        """The tokens for an authorization code. Raises IssuerFailed."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect_uri,
        }
        return await self._send(self.token_endpoint, form | client.asked_for(), client)

    async def refresh(self, refresh_token: str, client: Client) -> dict[str, Any]:
        """New tokens for a refresh token. Raises IssuerFailed."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self._send(self.token_endpoint, form | client.asked_for(), client)

    async def revoke(self, token: str, client: Client) -> None:
        """Revoke a token and the tokens that were made from it (RFC 7009). Raises IssuerFailed."""
        await self._send(self.revocation_endpoint, {"token": token}, client, REVOKE_SECONDS)

    async def begin_device(self, client: Client) -> dict[str, Any]:
        """The codes of a sign-in on another device (RFC 8628, section 3.2). Raises IssuerFailed."""
        return await self._send(self.device_endpoint, {"scope": self.scope_of(client)} | client.asked_for(), client)

    async def ask_device(self, device_code: str, client: Client) -> dict[str, Any]:
        """The tokens, once the person has signed in. Raises IssuerRefused until then, or IssuerFailed."""
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device_code}
        return await self._send(self.token_endpoint, form | client.asked_for(), client)

    async def _send(
        self, endpoint: str, form: dict[str, str], client: Client, seconds: float = SECONDS
    ) -> dict[str, Any]:
        if client.secret and self.takes_basic:
            return await fetch(endpoint, form, secret=(client.id, client.secret), seconds=seconds)
        secret = {"client_secret": client.secret} if client.secret else {}
        return await fetch(endpoint, form | {"client_id": client.id} | secret, seconds=seconds)


async def discover(url: str, seconds: float = SECONDS) -> Provider:
    """Read the issuer's discovery document. Raises IssuerFailed."""
    found = await fetch(f"{url.rstrip('/')}/.well-known/openid-configuration", seconds=seconds)
    if found.get("issuer") != url:
        other = harmless(str(found.get("issuer"))[:300])
        raise IssuerFailed(f"the discovery document of {url} is that of {other}; use this as the issuer's URL")
    methods = found.get("code_challenge_methods_supported", ["S256"])
    if not isinstance(methods, list) or "S256" not in methods:
        raise IssuerFailed(f"{url} does not offer PKCE with S256, which a sign-in needs")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        check_safe(found.get(name))
    revocation, device = found.get("revocation_endpoint"), found.get("device_authorization_endpoint")
    for optional in (revocation, device):
        if optional:
            check_safe(optional)
    return Provider(
        url,
        found["authorization_endpoint"],
        found["token_endpoint"],
        found["jwks_uri"],
        revocation or "",
        device or "",
        _texts(found.get("scopes_supported", ["profile", "email"])),
        found.get("authorization_response_iss_parameter_supported") is True,
        "client_secret_basic" in _texts(found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])),
    )


def _texts(values: object) -> frozenset[str]:
    return frozenset(value for value in values if isinstance(value, str)) if isinstance(values, list) else frozenset()
