"""Values of a flow as text for people: long values are cut, and credentials are hidden."""

import json
import re
from typing import Any

from console.graph.texts import cut

MAX_CHARS = 20_000
"""Limit of one value."""
HIDDEN = "(hidden)"
_CREDENTIAL = re.compile(
    r"(^|[_-])(api[_-]?key|access[_-]?key(_id)?|private[_-]?key|secret|passw(or)?d|token|authorization|cookie)$", re.I
)
_REFERENCE = re.compile(r"\$\{[^}]*\}")
"""A reference to a variable, which is not a credential itself."""


def is_credential(key: str, value: Any) -> bool:
    """Matches names of credentials: `api_key`, `access_token`, not `max_tokens`."""
    is_held = isinstance(value, str) and bool(value) and not _REFERENCE.fullmatch(value)
    return is_held and bool(_CREDENTIAL.search(key[-100:]))


def shown(value: Any, key: str = "") -> str:
    """A text unchanged, anything else as JSON, cut at MAX_CHARS."""
    if is_credential(key, value):
        return HIDDEN
    if isinstance(value, str):
        return cut(value, MAX_CHARS)
    if isinstance(value, dict | list):
        return cut(json.dumps(_covered(value), indent=2, ensure_ascii=False), MAX_CHARS)
    return cut(json.dumps(value), MAX_CHARS)


def _covered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: HIDDEN if is_credential(key, item) else _covered(item) for key, item in value.items()}
    return [_covered(item) for item in value] if isinstance(value, list) else value
