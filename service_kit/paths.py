"""The path of a value in a document. It is stored as a chain of keys, and only formatted for values that are reported.

If all paths were formatted, a million values below a key of a million characters would take a terabyte.
"""

from typing import TypeAlias

Path: TypeAlias = "str | tuple[Path, str | int]"
"""Text, or a path and the next key of an object or index of a list."""

MAX_KEY_CHARS = 120
MAX_PATH_CHARS = 1000


def below(path: Path, *keys: str | int) -> Path:
    for key in keys:
        path = path, key
    return path


def shown(path: Path) -> str:
    """A path such as `flow.nodes[2].depends`. Parts beyond the limits are replaced by "…"."""
    parts: list[str] = []
    while not isinstance(path, str):
        path, key = path
        parts.append(f"[{key}]" if isinstance(key, int) else f".{shown_key(key)}")
    parts.append(path)
    return _cut("".join(reversed(parts)), MAX_PATH_CHARS).removeprefix(".")


def shown_key(key: str) -> str:
    # Replace lone surrogates, which no message can contain.
    return _cut(key, MAX_KEY_CHARS).encode("utf-8", "backslashreplace").decode("utf-8")


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"
