"""Reads and writes `${…}` of a config.yaml as OmegaConf does: escapes, environment variables, references."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ENV = "$env"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_INNER = 1000  # maximum characters of a number or a reference, because the patterns backtrack
_KEY = r"[^\\${}()\[\]:.,\s'\"]+"
_REFERENCE = re.compile(rf"(\.*)((?:{_KEY}|\[{_KEY}\])(?:\.{_KEY}|\[{_KEY}\])*)")
_UNQUOTED_ESCAPE = re.compile(r"\\([\\()\[\]{}:=, \t])")
# From OmegaConf's grammar: a number with a leading zero is text. Quantifiers are possessive, because 1,000 digits and a
# letter took 12 ms without.
_DIGITS = r"\d(?:_?\d)*+"
_UNSIGNED = r"(?:0|[1-9](?:_?\d)*+)"
_POINT = rf"(?:{_UNSIGNED}?\.{_DIGITS}|{_UNSIGNED}\.)"
_INTEGER = re.compile(rf"[+-]?{_UNSIGNED}")
_FLOAT = re.compile(rf"[+-]?(?:(?:{_POINT}|{_UNSIGNED})[eE][+-]?{_DIGITS}|{_POINT}|[iI][nN][fF]|[nN][aA][nN])")


_NOT_PLAIN = 'has a default that is not a plain value: put it in quotes, as in ${oc.env:NAME,"a, b"}'
_NOT_NESTED = (
    'has a default that is another variable: write ${oc.env:NAME}, or a plain default, as in ${oc.env:NAME,"text"}'
)


class Unreadable(Exception):
    """An interpolation that cannot be imported. The message is a sentence about the value."""


@dataclass(frozen=True, slots=True)
class Variable:
    """`${oc.env:NAME}`, optionally with a default. With `has_default`, a `default` of None means `null`."""

    name: str
    default: str | None = None
    has_default: bool = False

    @classmethod
    def of(cls, value: Any) -> "Variable | None":
        """The variable of `{"$env": "NAME", "default"?}` in a flow."""
        if not isinstance(value, dict) or not value.keys() <= {ENV, "default"}:
            return None
        name, default = value.get(ENV), value.get("default")
        if not isinstance(name, str) or not NAME.fullmatch(name) or isinstance(default, dict | list):
            return None
        # OmegaConf always returns text, even if the default is of another type.
        return cls(name, default if default is None else str(default), "default" in value)

    def value(self) -> dict[str, Any]:
        return {ENV: self.name} | ({"default": self.default} if self.has_default else {})

    def text(self) -> str:
        if not self.has_default:
            return f"${{oc.env:{self.name}}}"
        if self.default is None:
            return f"${{oc.env:{self.name},null}}"
        # In quoted text, OmegaConf reads two backslashes as one before a quote, before `${` and at the end.
        *parts, last = re.split(r'("|\$\{)', self.default)
        body = (f"{part}{_backslashes(part)}\\{mark}" for part, mark in zip(parts[::2], parts[1::2], strict=True))
        return f'${{oc.env:{self.name},"{"".join(body)}{last}{_backslashes(last)}"}}'


@dataclass(frozen=True, slots=True)
class Reference:
    """`${a.b[0]}`: another value of the file. The path starts at the root, or `dots - 1` levels above the value's
    parent."""

    dots: int
    keys: tuple[str, ...]


def escape(text: str) -> str:
    """The text with each literal `${` escaped, and the backslashes before it."""
    *parts, last = text.split("${")
    return "".join(f"{part}{_backslashes(part)}\\${{" for part in parts) + last


def _backslashes(text: str) -> str:
    """The backslashes at the end of the text."""
    return text[len(text.rstrip("\\")) :]


def parse(text: str) -> list[str | Variable | Reference]:
    """The pieces of a text, without escapes. Raises Unreadable."""
    pieces: list[str | Variable | Reference] = []
    literal, position = [], 0
    while (opening := text.find("${", position)) >= 0:
        before = text[position:opening]
        backslashes = len(_backslashes(before))
        literal.append(before[: len(before) - (backslashes + 1) // 2])
        if backslashes % 2:
            literal.append("${")
            position = opening + 2
            continue
        if any(literal):
            pieces.append("".join(literal))
        position = _end(text, opening + 2)
        pieces.append(_interpolation(_trimmed(text[opening + 2 : position - 1])))
        literal = []
    literal.append(text[position:])
    return [*pieces, "".join(literal)] if any(literal) or not pieces else pieces


def _end(text: str, start: int) -> int:
    """The index at which the interpolation that opens before `start` ends."""
    depth, quote, position = 1, "", start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if not depth:
                return position + 1
        position += 1
    raise Unreadable("has a ${ that is not closed")


def _interpolation(inner: str) -> Variable | Reference:
    resolver, colon, arguments = inner.partition(":")
    if colon and resolver.strip() == "oc.env":
        return _variable(arguments)
    if len(inner) <= _MAX_INNER and (match := _REFERENCE.fullmatch(inner)):
        return Reference(len(match[1]), tuple(_keys(match[2])))
    if colon and resolver.strip() == "oc.decode":
        raise Unreadable(
            "uses oc.decode: write ${oc.env:NAME}, which the SDK converts to a number or boolean where the field is one"
        )
    raise Unreadable("must use only ${oc.env:NAME} or the path of another value")


def _keys(path: str) -> Iterator[str]:
    return (key for key in re.split(r"[.\[\]]", path) if key)


def _variable(arguments: str) -> Variable:
    name, comma, default = (_trimmed(part) for part in arguments.partition(","))
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1]
    if not NAME.fullmatch(name):
        raise Unreadable("must name a variable that a shell can set")
    return Variable(name, _default(default), True) if comma else Variable(name)


def _trimmed(text: str) -> str:
    """The text without surrounding white space. White space at the end stays if it follows a backslash or a colon."""
    found = text.strip(" \t\n\r")
    after = text[text.index(found) + len(found) :]
    if len(_backslashes(found)) % 2:
        return found + after[:1]
    ends_with_colon = found.endswith(":") and not len(_backslashes(found[:-1])) % 2
    return found + after if ends_with_colon else found


def _default(text: str) -> str | None:
    if text[:1] in ('"', "'"):
        return _unquoted(text)
    if "${" in text:
        raise Unreadable(_NOT_NESTED)
    if text[:1] in ("[", "{") or "," in _UNQUOTED_ESCAPE.sub("", text):
        raise Unreadable(_NOT_PLAIN)
    if text.lower() == "null":
        return None
    if text.lower() in ("true", "false"):
        return text.capitalize()
    # OmegaConf parses the default as a value, and then converts it to text.
    if len(text) <= _MAX_INNER and _INTEGER.fullmatch(text):
        return str(int(text))
    if len(text) <= _MAX_INNER and _FLOAT.fullmatch(text):
        return str(float(text))
    return _UNQUOTED_ESCAPE.sub(r"\1", text)


def _unquoted(text: str) -> str:
    quote = text[0]
    *parts, last = re.split(rf"({quote}|\$\{{)", text[1:-1])
    halves = []
    for part, mark in zip(parts[::2], parts[1::2], strict=True):
        backslashes = len(_backslashes(part))
        if not backslashes % 2:
            # The text contains a quote that ends it early, or an interpolation.
            raise Unreadable(_NOT_NESTED if mark == "${" else _NOT_PLAIN)
        halves += [part[: len(part) - backslashes // 2 - 1], mark]
    if len(text) < 2 or text[-1] != quote or len(_backslashes(last)) % 2:
        raise Unreadable(_NOT_PLAIN)
    return "".join(halves) + last[: len(last) - len(_backslashes(last)) // 2]
