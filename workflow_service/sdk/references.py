"""Resolves the `${…}` of a config.yaml that name another place of the file; variables of the environment stay."""

from typing import Any

from workflow_service.errors import ConfigTooLarge, InvalidConfig
from workflow_service.flow import MAX_DEPTH
from workflow_service.sdk.interpolation import Reference, Unreadable, Variable, parse

MAX_CHAIN = 20  # references that lead one to the next
_Path = tuple[str | int, ...]


def path_text(path: _Path) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".") or "config"


class Resolver:
    """Reads values of a document. What references repeat counts against `limit`, in characters."""

    def __init__(self, document: dict[str, Any], limit: int) -> None:
        self._document = document
        self._left = limit
        self._limit = limit
        self._known: dict[_Path, tuple[Any, int]] = {}
        self._chain: list[_Path] = []
        self.named: set[str | int] = set()
        """The keys at the top of the document that a reference leads to."""

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
            if Variable.of(value) is not None:
                raise InvalidConfig({path_text(path): "holds `$env`, which a config writes as ${oc.env:NAME}"})
            return {key: self._value(child, (*path, key), depth + 1) for key, child in value.items()}
        return value

    def _text(self, text: str, path: _Path, depth: int) -> Any:
        try:
            pieces = parse(text)
        except Unreadable as error:
            raise InvalidConfig({path_text(path): str(error)}) from None
        found = [self._piece(piece, path, depth) for piece in pieces]
        if len(found) == 1:
            return found[0]
        if any(isinstance(piece, dict | list) for piece in found):
            sentence = "mixes text with a variable of the environment, or with a list or mapping"
            raise InvalidConfig({path_text(path): sentence})
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
            self._known[target] = found, _characters(found)
        found, size = self._known[target]
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


def _characters(value: Any) -> int:
    """About as many as its JSON has."""
    if isinstance(value, dict):
        return sum(len(key) + 6 + _characters(child) for key, child in value.items())
    if isinstance(value, list):
        return sum(2 + _characters(child) for child in value)
    return len(value) + 2 if isinstance(value, str) else 8
