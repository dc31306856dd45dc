"""A test issuer where people sign in: authorization code with PKCE, device codes, refresh and revocation."""

import base64
import hashlib
from typing import Any
from urllib.parse import quote_plus, urlencode

from aiohttp import web

from tests.support.token_issuer import TokenIssuer

CLIENT = "flowpin-cli"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class LoginIssuer(TokenIssuer):
    """Signs everybody in as Ada immediately. The attributes make it misbehave."""

    def __init__(self) -> None:
        super().__init__()
        self.redirect_changes: dict[str, str | None] = {}
        """Changed parameters of the redirect. None omits a parameter."""
        self.id_changes: dict[str, Any] = {}
        self.access_token: str | None = "opaque"
        self.token_error: tuple[int, dict[str, Any]] | None = None
        self.document_changes: dict[str, Any] = {}
        self.forms: list[dict[str, str]] = []
        """The requests to the token and revocation endpoints."""
        self.asked: dict[str, str] = {}
        """The last authorization request."""
        self.secret = ""
        """The client's secret. Empty for a public client."""
        self.device_answer: dict[str, Any] = {}
        """Changed fields in the answer to a device's request."""
        self.device_errors: list[str] = []
        """The errors that a polling device gets before the tokens."""
        self.refresh_padding = 0
        """Characters that make refresh tokens longer."""
        self._codes: set[str] = set()
        """Authorization codes. Each is accepted once."""
        self.generation = 0
        """The number of the current refresh token. Each is accepted once."""

    def routes(self) -> list[web.RouteDef]:
        return [
            *super().routes(),
            web.get("/authorize", self.authorize),
            web.post("/token", self.exchange),
            web.post("/revoke", self.revoke),
            web.post("/device", self.begin_device),
        ]

    def document(self) -> dict[str, Any]:
        endpoints = {
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "revocation_endpoint": f"{self.url}/revoke",
            "device_authorization_endpoint": f"{self.url}/device",
            "scopes_supported": ["openid", "email", "offline_access", "phone"],
            "authorization_response_iss_parameter_supported": True,
        }
        return {**super().document(), **endpoints, **self.document_changes}

    async def authorize(self, request: web.Request) -> web.Response:
        self.asked = dict(request.query)
        self._codes.add("the-code")
        answer = {"code": "the-code", "state": self.asked["state"], "iss": self.url, **self.redirect_changes}
        query = urlencode({name: value for name, value in answer.items() if value is not None})
        raise web.HTTPFound(f"{self.asked['redirect_uri']}?{query}")

    async def exchange(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        if self.token_error is not None:
            status, body = self.token_error
            return web.json_response(body, status=status)
        if not self._is_client(request, form):
            return web.json_response({"error": "invalid_client"}, status=401)
        if form["grant_type"] == DEVICE_GRANT and self.device_errors:
            return web.json_response({"error": self.device_errors.pop(0)}, status=400)
        if not self._is_granted(form):
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.generation += 1
        nonce = self.asked["nonce"] if form["grant_type"] == "authorization_code" else None
        claims = {"aud": CLIENT, "nonce": nonce, "jti": str(self.generation), **self.id_changes}
        return web.json_response(
            {
                "access_token": self.access_token,
                "token_type": "Bearer",
                "id_token": self.token(**claims),
                "refresh_token": self._refresh_token(),
            }
        )

    def _is_client(self, request: web.Request, form: dict[str, str]) -> bool:
        if not self.secret or form.get("client_secret") == self.secret:
            return form.get("client_id") == CLIENT
        basic = base64.b64encode(f"{CLIENT}:{quote_plus(self.secret)}".encode()).decode()
        return request.headers.get("Authorization") == f"Basic {basic}"

    def _refresh_token(self) -> str:
        return f"refresh-{self.generation}{'-' * self.refresh_padding}"

    async def begin_device(self, request: web.Request) -> web.Response:
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        page = {"verification_uri": f"{self.url}/device", "verification_uri_complete": f"{self.url}/device?code=WDJB"}
        answer = {"device_code": "the-device", "user_code": "WDJB-MJHT", "expires_in": 600, "interval": 0.01, **page}
        return web.json_response(answer | self.device_answer)

    def _is_granted(self, form: dict[str, str]) -> bool:
        if form["grant_type"] == "refresh_token":
            return form["refresh_token"] == self._refresh_token()
        if form["grant_type"] == DEVICE_GRANT:
            return form["device_code"] == "the-device"
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()
        is_code = form["code"] in self._codes
        self._codes.discard(form["code"])
        return (
            is_code
            and self.asked["code_challenge_method"] == "S256"
            and challenge.rstrip("=") == self.asked["code_challenge"]
            and form["redirect_uri"] == self.asked["redirect_uri"]
        )

    async def revoke(self, request: web.Request) -> web.Response:
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        return web.Response()
