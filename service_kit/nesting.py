"""Counts the levels of JSON text without parsing it, because the limit of parsers differs by version.

CPython's json and msgspec raise RecursionError at 1,000 levels on Python 3.11, at 1,500 on 3.12.1, and at 10,000 on
3.13. msgspec skips the text of a `Raw` with the same recursion.
"""

from itertools import accumulate

_PIECE = 64 << 10
"""Bytes per piece. Other threads can run between two pieces."""
_OTHERS = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = [1 if character in b"[{" else -1 for character in range(256)]


def is_deeper(text: bytes, levels: int) -> bool:
    """Whether lists and objects in JSON text are nested deeper than `levels`. The text may have syntax errors."""
    if text.count(b"[") + text.count(b"{") <= levels:
        return False
    depth, in_string, start = 0, 0, 0
    steps = _STEPS.__getitem__
    while start < len(text):
        end = start + _PIECE
        while text[end - 1 : end] == b"\\":  # a piece must not end within an escape
            end += 1
        without_escapes = text[start:end].replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = without_escapes.translate(None, _OTHERS).split(b'"')
        brackets = b"".join(pieces[in_string::2])
        if depth + max(accumulate(map(steps, brackets)), default=0) > levels:
            return True
        depth += 2 * (brackets.count(b"[") + brackets.count(b"{")) - len(brackets)
        in_string = (in_string + len(pieces) - 1) % 2
        start = end
    return False
