"""Encrypts the values of variables. Each value is bound to its variable."""

from typing import TypeAlias
from uuid import UUID

from deploy_service.errors import VariableKeysMissing, VariablesUnreadable
from service_kit.sealing import CannotOpen, KeyRing, NoKeys, Sealed

Place: TypeAlias = tuple[UUID, UUID, str, str, bool]
"""Identifies a variable: project, app, environment, name, and whether it is secret. A value cannot be decrypted as that
of another variable."""


class Sealer:
    """Encrypts with the first of its keys, and decrypts with any."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    @classmethod
    def of(cls, text: str) -> "Sealer":
        """Parse the setting: keys in hex, separated by commas. Raises ValueError without the keys in its text."""
        return cls(KeyRing.of(text, "variable_keys", b"variable"))

    def seal(self, value: str, place: Place) -> Sealed:
        """Raises VariableKeysMissing."""
        try:
            return self._keys.seal(value.encode(), _bound_to(place))
        except NoKeys:
            raise VariableKeysMissing from None

    def open(self, sealed: Sealed, place: Place) -> str:
        """Raises VariablesUnreadable."""
        try:
            return self._keys.open(sealed, _bound_to(place)).decode()
        except CannotOpen:
            raise VariablesUnreadable(place[3]) from None


def _bound_to(place: Place) -> bytes:
    project_id, app_id, environment, name, is_secret = place
    return "\0".join((str(project_id), str(app_id), environment, name, str(is_secret))).encode()
