"""Decides which certificates commands trust. For `flowpin up --tls`, these are the ones of its own authority."""

import ssl
from collections.abc import Mapping
from pathlib import Path

from flowpin_cli.errors import CannotRun

CA_VARIABLE = "FLOWPIN_CA"
"""The variable with the file (PEM) of the authority. Without it, the machine's authorities are trusted."""


def context_of(ca: str | Path | None) -> ssl.SSLContext | None:
    """The context that checks an installation's certificate. None for the machine's authorities. Raises CannotRun."""
    if not ca:
        return None
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # an SSLError is one
        raise CannotRun(f"{CA_VARIABLE} names {ca}, which cannot be used: {error.strerror or error}") from None


def trusted_by(variables: Mapping[str, str]) -> ssl.SSLContext | None:
    """Like `context_of`, for an installation's variables."""
    return context_of(variables.get(CA_VARIABLE))
