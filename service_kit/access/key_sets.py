"""The public keys of an issuer, from its JSON Web Key Set (RFC 7517)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from joserfc.jwk import Key, KeySet

MAX_KEYS = 100


def signing_keys(document: Mapping[str, Any]) -> "KeySet":
    """The keys that verify signatures. Keys of unknown types and incomplete keys are ignored, as in section 5.

    Raises ValueError if no key is left or there are more than MAX_KEYS, and TypeError or KeyError for another document.
    """
    from joserfc.jwk import KeySet

    rows = [row for row in document["keys"] if isinstance(row, dict) and row.get("use", "sig") == "sig"]
    if len(rows) > MAX_KEYS:
        raise ValueError(f"the issuer publishes more than {MAX_KEYS} keys")
    keys = [key for row in rows if (key := _key(row)) is not None]
    if not keys:
        raise ValueError("the issuer publishes no keys that can be used")
    return KeySet(keys)


def _key(row: Mapping[str, Any]) -> "Key | None":
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry

    try:
        return JWKRegistry.import_key(dict(row))
    except (JoseError, ValueError, TypeError, KeyError):
        return None
