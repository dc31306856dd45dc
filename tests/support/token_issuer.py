"""A test issuer for OpenID Connect, with real keys published over HTTP."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

AUDIENCE = "flowpin"
Kind = TypeVar("Kind", bound="TokenIssuer")


class TokenIssuer:
    """An issuer that signs any claims. Tests can change `is_up` and the published keys."""

    def __init__(self) -> None:
        self.url = ""
        self.is_up = True
        self.pause_seconds = 0.0
        """Pause between two bytes of the discovery document, in seconds."""
        self.reads = 0
        self.keys: dict[str, Any] = {"RS256": rsa("rsa-1"), "ES256": ECKey.generate_key("P-256", {"kid": "ec-1"})}
        self.keys["EdDSA"] = OKPKey.generate_key("Ed25519", {"kid": "ed-1"})
        self.other_rows: list[Any] = []
        """Further rows of the published key set."""

    def token(self, algorithm: str = "RS256", key: Any = None, **changes: Any) -> str:
        """A valid token except for `changes`. A claim that is None is omitted."""
        key = key or self.keys[algorithm]
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "exp": now + 600, "name": "Ada Lovelace"} | changes
        header = {"alg": algorithm, "kid": key.kid}
        return jwt.encode(header, {n: v for n, v in claims.items() if v is not None}, key, algorithms=[algorithm])

    def declared(self, *grants: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
        """Its row in access.yaml."""
        return {"url": self.url, "audience": AUDIENCE, "grants": list(grants), **changes}

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/.well-known/openid-configuration", self.discovery), web.get("/keys", self.published)]

    def document(self) -> dict[str, Any]:
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}

    async def discovery(self, request: web.Request) -> web.StreamResponse:
        if not self.pause_seconds:
            return web.json_response(self.document())
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        for byte in json.dumps(self.document()).encode():
            await answer.write(bytes([byte]))
            await asyncio.sleep(self.pause_seconds)
        return answer

    async def published(self, request: web.Request) -> web.Response:
        self.reads += 1
        if not self.is_up:
            raise web.HTTPServiceUnavailable
        rows = KeySet(list(self.keys.values())).as_dict(private=False)["keys"]
        return web.json_response({"keys": [*self.other_rows, *rows]})


def rsa(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid})


@asynccontextmanager
async def running_issuer(kind: type[Kind] = TokenIssuer) -> AsyncIterator[Kind]:
    issuer = kind()
    app = web.Application()
    app.add_routes(issuer.routes())
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield issuer
    finally:
        await runner.cleanup()
