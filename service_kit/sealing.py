"""Encrypts stored data with AES-GCM and the newest of a list of keys. Each value is bound to the place where it is
stored."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY = re.compile(r"[0-9a-fA-F]{64}")
NONCE_BYTES = 12
KEY_ID_BYTES = 8


class NoKeys(Exception):
    """No key to encrypt with is set."""


class CannotOpen(Exception):
    """The value was encrypted with a missing key or for another place, or has been changed."""


@dataclass(frozen=True, slots=True)
class Sealed:
    key_id: bytes
    """KEY_ID_BYTES long."""
    content: bytes


class KeyRing:
    """Encrypts with the first of its keys, and decrypts with any."""

    def __init__(self, keys: Iterable[bytes], purpose: bytes) -> None:
        """Keys of 32 bytes, the newest first. Different values of `purpose` give different key ids for the same key."""
        self._keys = {_key_id(key, purpose): AESGCM(key) for key in keys}
        self._newest = next(iter(self._keys), None)

    @classmethod
    def of(cls, text: str, setting: str, purpose: bytes) -> "KeyRing":
        """Parse the setting: keys in hex, separated by commas. Raises ValueError without the keys in its text."""
        keys = [key.strip() for key in text.split(",")] if text.strip() else []
        if wrong := [place for place, key in enumerate(keys, 1) if not KEY.fullmatch(key)]:
            raise ValueError(f"{setting}: key {wrong[0]} is not 64 hexadecimal digits (openssl rand -hex 32)")
        return cls((bytes.fromhex(key) for key in keys), purpose)

    def seal(self, content: bytes, place: bytes) -> Sealed:
        """Raises NoKeys."""
        if self._newest is None:
            raise NoKeys
        nonce = secrets.token_bytes(NONCE_BYTES)
        return Sealed(self._newest, nonce + self._keys[self._newest].encrypt(nonce, content, place))

    def open(self, sealed: Sealed, place: bytes) -> bytes:
        """Raises CannotOpen."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise CannotOpen
        try:
            return key.decrypt(sealed.content[:NONCE_BYTES], sealed.content[NONCE_BYTES:], place)
        except (InvalidTag, ValueError):  # ValueError means that it is too short for a nonce and a tag
            raise CannotOpen from None


def _key_id(key: bytes, purpose: bytes) -> bytes:
    """Identifies a key without revealing anything about it."""
    return hashlib.sha256(b"flowpin " + purpose + b" key " + key).digest()[:KEY_ID_BYTES]
