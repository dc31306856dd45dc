"""Which certificates the commands trust: of `flowpin up --tls`, those of its own authority."""

import ssl
from collections.abc import Mapping
from pathlib import Path

from flowpin_cli.errors import CannotRun

CA_VARIABLE = "FLOWPIN_CA"
"""The file (PEM) of the authority; without it the machine's authorities are trusted."""


def context_of(ca: str | Path | None) -> ssl.SSLContext | None:
    """To check an installation's certificate with; None for the machine's authorities. Raises CannotRun."""
    if not ca:
        return None
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # an SSLError is one
        raise CannotRun(f"{CA_VARIABLE} names {ca}, which cannot be used: {error.strerror or error}") from None


def trusted_by(variables: Mapping[str, str]) -> ssl.SSLContext | None:
    """The same, of an installation's variables."""
    return context_of(variables.get(CA_VARIABLE))
