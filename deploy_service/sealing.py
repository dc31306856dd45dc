"""Encrypts the values of variables: AES-GCM, with the newest of a list of keys, bound to the variable it is of."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deploy_service.errors import VariableKeysMissing, VariablesUnreadable

KEY = re.compile(r"[0-9a-fA-F]{64}")
NONCE_BYTES = 12
KEY_ID_BYTES = 8

Place: TypeAlias = tuple[UUID, UUID, str, str, bool]
"""Of a value: project, app, environment, name, and whether it is a secret. It opens in no other."""


@dataclass(frozen=True, slots=True)
class Sealed:
    key_id: bytes
    content: bytes


class Sealer:
    """Seals with the first of its keys, and opens with any."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        """Keys of 32 bytes, the newest first."""
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self._newest = next(iter(self._keys), None)

    @classmethod
    def of(cls, text: str) -> "Sealer":
        """The keys of a setting, hex with commas between them. Raises ValueError, which shows none of them."""
        keys = [key.strip() for key in text.split(",")] if text.strip() else []
        if wrong := [place for place, key in enumerate(keys, 1) if not KEY.fullmatch(key)]:
            raise ValueError(f"variable_keys: key {wrong[0]} is not 64 hexadecimal digits (openssl rand -hex 32)")
        return cls(bytes.fromhex(key) for key in keys)

    def seal(self, value: str, place: Place) -> Sealed:
        """Raises VariableKeysMissing."""
        if self._newest is None:
            raise VariableKeysMissing
        nonce = secrets.token_bytes(NONCE_BYTES)
        content = self._keys[self._newest].encrypt(nonce, value.encode(), _bound_to(place))
        return Sealed(self._newest, nonce + content)

    def open(self, sealed: Sealed, place: Place) -> str:
        """Raises VariablesUnreadable."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise VariablesUnreadable(place[3])
        nonce, content = sealed.content[:NONCE_BYTES], sealed.content[NONCE_BYTES:]
        try:
            return key.decrypt(nonce, content, _bound_to(place)).decode()
        except InvalidTag:
            raise VariablesUnreadable(place[3]) from None


def _key_id(key: bytes) -> bytes:
    """Tells keys apart, and nothing about them."""
    return hashlib.sha256(b"flowpin variable key " + key).digest()[:KEY_ID_BYTES]


def _bound_to(place: Place) -> bytes:
    project_id, app_id, environment, name, is_secret = place
    return "\0".join((str(project_id), str(app_id), environment, name, str(is_secret))).encode()
