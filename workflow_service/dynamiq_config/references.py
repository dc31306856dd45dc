"""Resolves each `${…}` of a config.yaml that refers to another place of the file. Environment variables stay."""

from typing import Any

from workflow_service.dynamiq_config.interpolation import ENV, Reference, Unreadable, Variable, parse
from workflow_service.errors import ConfigTooLarge, InvalidConfig
from workflow_service.flow import MAX_DEPTH

MAX_REFERENCES = 10_000
MAX_CHAIN = 20  # maximum length of a chain of references
_Path = tuple[str | int, ...]


def path_text(path: _Path) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".") or "config"


class Resolver:
    """Reads values of a document. Values that references repeat count against `limit`, in characters."""

    def __init__(self, document: dict[str, Any], limit: int) -> None:
        self._document = document
        self._left = limit
        self._limit = limit
        self._count = 0
        self._known: dict[_Path, tuple[Any, int, int]] = {}
        self._chain: list[_Path] = []
        self.named: set[str | int] = set()
        """Top-level keys of the document that references lead to."""

    def resolved(self) -> dict[str, Any]:
        """The whole document. Raises InvalidConfig with the path, or ConfigTooLarge."""
        return {key: self._value(value, (key,), 1) for key, value in self._document.items()}

    def _value(self, value: Any, path: _Path, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise InvalidConfig({path_text(path[:10]): f"is nested deeper than {MAX_DEPTH} levels"})
        if isinstance(value, str):
            return self._text(value, path, depth) if "${" in value else value
        if isinstance(value, list):
            return [self._value(child, (*path, index), depth + 1) for index, child in enumerate(value)]
        if isinstance(value, dict):
            if ENV in value:
                raise InvalidConfig({path_text(path): "holds `$env`, which a config writes as ${oc.env:NAME}"})
            return {key: self._value(child, (*path, key), depth + 1) for key, child in value.items()}
        return value

    def _text(self, text: str, path: _Path, depth: int) -> Any:
        self._count += text.count("${")
        if self._count > MAX_REFERENCES:
            raise ConfigTooLarge(f"holds more than {MAX_REFERENCES:,} interpolations")
        try:
            pieces = parse(text)
        except Unreadable as error:
            raise InvalidConfig({path_text(path): str(error)}) from None
        found = [self._piece(piece, path, depth) for piece in pieces]
        if len(found) == 1:
            return found[0]
        if any(isinstance(piece, dict | list) for piece in found):
            raise InvalidConfig({path_text(path): _mixed(found)})
        return "".join(map(str, found))

    def _piece(self, piece: str | Variable | Reference, path: _Path, depth: int) -> Any:
        if isinstance(piece, Variable):
            return piece.value()
        return self._follow(piece, path, depth) if isinstance(piece, Reference) else piece

    def _follow(self, reference: Reference, path: _Path, depth: int) -> Any:
        target, value = self._find(reference, path)
        self.named.add(target[0] if target else "")
        if target not in self._known:
            if target in self._chain or target == path[: len(target)]:
                raise InvalidConfig({path_text(path): "is a reference that leads back to itself"})
            if len(self._chain) == MAX_CHAIN:
                raise InvalidConfig({path_text(path): f"is the end of more than {MAX_CHAIN} references in a row"})
            self._chain.append(target)
            found = self._value(value, target, depth)
            self._chain.pop()
            self._known[target] = found, *measure(found)
        found, size, height = self._known[target]
        if depth + height > MAX_DEPTH:
            raise InvalidConfig({path_text(path[:10]): f"is nested deeper than {MAX_DEPTH} levels"})
        self._left -= size
        if self._left < 0:
            raise ConfigTooLarge(f"is larger than {self._limit / (1 << 20):g} MiB with its references written out")
        return found

    def _find(self, reference: Reference, path: _Path) -> tuple[_Path, Any]:
        base: _Path = path[: -reference.dots] if 0 < reference.dots <= len(path) else ()
        found: Any = self._document
        target: list[str | int] = []
        for key in (*base, *reference.keys):
            index: str | int = int(key) if isinstance(found, list) and str(key).isdecimal() else key
            try:
                found = found[index]
            except (KeyError, IndexError, TypeError):
                raise InvalidConfig({path_text(path): "is a reference to what is not in the file"}) from None
            target.append(index)
        return tuple(target), found


def _mixed(pieces: list[Any]) -> str:
    if not any(isinstance(piece, dict) and ENV in piece for piece in pieces):
        return "mixes text with a list or a mapping"
    return "has a variable within a longer text: write ${oc.env:NAME} alone, and set NAME to all of the text"


def measure(value: Any) -> tuple[int, int]:
    """The approximate number of characters of the value as JSON, and its depth."""
    if isinstance(value, str):
        return len(value) + 2, 0
    if not isinstance(value, dict | list):
        return 8, 0
    children = [measure(child) for child in (value.values() if isinstance(value, dict) else value)]
    keys = sum(len(key) + 4 for key in value) if isinstance(value, dict) else 0
    return 2 + keys + sum(size + 2 for size, _ in children), 1 + max((height for _, height in children), default=0)
