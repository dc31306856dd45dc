"""Accepts the JSON Web Tokens (RFC 7519) of the OpenID Connect issuers that access.yaml declares."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import NAMESPACE_URL, UUID, uuid5

import structlog
from cachetools import LRUCache

from service_kit.access.caller import Principal
from service_kit.access.file import Issuer, Role, Token, User, hash_token
from service_kit.access.issuer_keys import IssuerKeys
from service_kit.access.web_tokens import Refused, UnknownKey, issuer_of, verified_claims
from service_kit.errors import Unavailable

REMEMBERED = 20_000
"""Maximum verified tokens whose claims are cached, so that a signature is checked only once."""
MAX_GROUPS = 1_000
LOOK_SECONDS = 0.2
"""Seconds between two checks whether an issuer's keys must be read."""

MakePrincipal: TypeAlias = Callable[[User, Token], Principal]
"""Knows the declared orgs and projects."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Identity:
    """The claims of a verified token that are used."""

    issuer: str
    subject: str
    name: str
    email: str
    groups: frozenset[str]
    expires_at: datetime

    def principal(self, sha256: str, issuer: Issuer, principal_of: MakePrincipal) -> Principal:
        # All tokens of this subject of this issuer have the same user.
        user = User(id=uuid5(NAMESPACE_URL, f"{self.issuer}\n{self.subject}"), name=self.name, email=self.email)
        roles: dict[UUID, Role] = {}
        is_operator = False
        for grant in issuer.grants:
            if grant.subject == self.subject if grant.subject else grant.group in self.groups:
                is_operator = is_operator or grant.operator
                for scope, role in grant.roles.items():
                    roles[scope] = max(role, roles.get(scope, role))
        token_id = f"{self.issuer} {self.subject}"  # audit events contain it
        token = Token(
            id=token_id,
            user=user.id,
            sha256=sha256,
            roles=roles,
            operator=is_operator,
            expires_at=self.expires_at,
        )
        return principal_of(user, token)


class IssuerKeysNotRead(Unavailable):
    reason = "ISSUER_KEYS_NOT_READ"

    def __init__(self) -> None:
        super().__init__("The keys of the token's issuer are being read. Try again shortly.", retry_after=1)


class Issuers:
    """The declared issuers with their keys, and their verified tokens."""

    def __init__(self, issuers: Sequence[Issuer], principal_of: MakePrincipal) -> None:
        self._keys: dict[str, IssuerKeys] = {}
        self._identities: LRUCache[str, Identity] = LRUCache(REMEMBERED)
        """Identities by the token's SHA-256."""
        self._principals: LRUCache[str, Principal] = LRUCache(REMEMBERED)
        self.declare(issuers, principal_of)

    def declare(self, issuers: Sequence[Issuer], principal_of: MakePrincipal) -> None:
        """Use these issuers of access.yaml from now on. Keys of unchanged issuers are kept."""
        known = self._keys
        self._keys = {
            issuer.url: known[issuer.url]
            if issuer.url in known and known[issuer.url].issuer == issuer
            else IssuerKeys(issuer)
            for issuer in issuers
        }
        for url in known.keys() - {url for url, keys in self._keys.items() if known.get(url) is keys}:
            self._forget(url)
        self._principals.clear()
        self._principal_of = principal_of

    def verify(self, secret: str) -> Principal | None:
        """The token's owner. None if the token is invalid, or from an undeclared issuer.

        Raises IssuerKeysNotRead if this cannot be decided before the issuer's keys are read.
        """
        sha256 = hash_token(secret)
        if sha256 not in self._identities:
            url = issuer_of(secret)
            keys = self._keys.get(url) if url is not None else None
            if keys is None:
                return None
            try:
                claims = verified_claims(secret, keys.current, keys.issuer)
            except UnknownKey:
                if keys.ask_for_newer():
                    raise IssuerKeysNotRead from None
                return None
            except Refused as refused:
                log.info("web_token_refused", issuer=url, error=str(refused))
                return None
            self._identities[sha256] = _identity(claims, keys.issuer)
        return self.known(sha256)

    def known(self, sha256: str) -> Principal | None:
        """The owner of the verified token with this hash. None if it was never verified or has expired."""
        principal = self._principals.get(sha256)
        if principal is None:
            identity = self._identities.get(sha256)
            if identity is None:
                return None
            principal = identity.principal(sha256, self._keys[identity.issuer].issuer, self._principal_of)
            self._principals[sha256] = principal
        return principal if principal.token.is_valid(datetime.now(UTC)) else None

    async def follow(self) -> None:
        """Read the issuers' keys when they are due, until canceled. An issuer that does not answer does not delay
        others."""
        reading: dict[str, asyncio.Task[bool]] = {}
        try:
            while True:
                for url, keys in self._keys.items():
                    if url not in reading and keys.is_due(time.monotonic()):
                        reading[url] = asyncio.create_task(keys.read())
                await asyncio.sleep(LOOK_SECONDS)
                for url in [url for url, task in reading.items() if task.done()]:
                    if reading.pop(url).result():
                        self._forget(url)
        finally:
            for task in reading.values():
                task.cancel()

    def _forget(self, url: str) -> None:
        """Forget the verified tokens of an issuer whose keys have changed, because a removed key may have signed
        them."""
        for sha256 in [sha256 for sha256, identity in self._identities.items() if identity.issuer == url]:
            del self._identities[sha256]
            self._principals.pop(sha256, None)


def _identity(claims: Mapping[str, Any], issuer: Issuer) -> Identity:
    groups = claims.get(issuer.groups_claim, ())
    if isinstance(groups, str):
        groups = [groups]
    names = (claims.get("name"), claims.get("preferred_username"), claims.get("email"), claims["sub"])
    return Identity(
        issuer=issuer.url,
        subject=claims["sub"],
        name=next(name for name in names if isinstance(name, str) and name)[:200],
        email=claims["email"][:200] if isinstance(claims.get("email"), str) else "",
        groups=frozenset(group for group in groups[:MAX_GROUPS] if isinstance(group, str))
        if isinstance(groups, list)
        else frozenset(),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )
