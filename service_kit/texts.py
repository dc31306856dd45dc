"""Makes text from others safe to show."""

import re

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    """The text without control characters, which a terminal would execute."""
    return CONTROL.sub("�", text)
