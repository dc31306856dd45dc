"""Text that others wrote, made fit to be shown."""

import re

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    """The text without control characters, because others wrote it and a terminal would obey them."""
    return CONTROL.sub("�", text)
