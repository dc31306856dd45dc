"""Checks one JSON Web Token against an issuer's keys: signature, issuer, audience and times."""

import base64
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from service_kit.access.file import Issuer

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

MAX_CHARACTERS = 8 << 10
MAX_SUBJECT_CHARACTERS = 255
"""OpenID Connect Core 1.0, section 2."""
LEEWAY_SECONDS = 30
"""Seconds by which an issuer's clock may be ahead."""
LAST_MOMENT = 253_402_300_799
"""The last second of the year 9999, the latest time that Python can represent."""


class Refused(Exception):
    """The token is invalid. The message says why, and contains no part of the token."""


class UnknownKey(Refused):
    """The known keys do not include the token's key id."""


def is_jwt(secret: str) -> bool:
    """Whether the text has the form of a signed token. Encrypted tokens have five parts and are never accepted."""
    return len(secret) <= MAX_CHARACTERS and secret.startswith("ey") and secret.count(".") == 2


def issuer_of(secret: str) -> str | None:
    """The unverified issuer of the token. Use it only to find the keys that verify the token."""
    payload = secret.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return issuer if isinstance(issuer, str) else None


def verified_claims(secret: str, keys: "KeySet | None", issuer: Issuer) -> Mapping[str, Any]:
    """The verified claims. `sub` and `exp` are present and valid. Raises Refused.

    `keys` are those of the issuer that `iss` names.
    """
    from joserfc import jwt
    from joserfc.errors import InvalidKeyIdError, JoseError

    if keys is None:
        raise UnknownKey("the issuer's keys have not been read yet")
    try:
        claims = jwt.decode(secret, keys, algorithms=list(issuer.algorithms)).claims
    except InvalidKeyIdError:
        raise UnknownKey("the issuer publishes no key of this id") from None
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise Refused(f"it cannot be verified ({type(error).__name__})") from None
    _check(claims, issuer)
    return claims


def _check(claims: Mapping[str, Any], issuer: Issuer) -> None:
    now = time.time()
    named = claims.get("aud")
    audiences = named if isinstance(named, list) else [named]
    subject, expires, begins = claims.get("sub"), _time(claims, "exp"), _time(claims, "nbf", 0)
    if not any(audience in issuer.audience for audience in audiences):
        raise Refused("it is for another audience")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARACTERS or not subject.isprintable():
        raise Refused("its `sub` is missing or is not a text of at most 255 characters")
    if now >= expires:
        raise Refused("it has expired")
    if now < begins - LEEWAY_SECONDS:
        raise Refused("it is not valid yet")


def _time(claims: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LAST_MOMENT:
        raise Refused(f"`{name}` is missing or not a time")
    return value
