"""Runs requests to an issuer, and converts failures to errors of the command."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from flowpin_cli.errors import CannotRun, NotPermitted
from service_kit.openid.fetching import IssuerFailed, IssuerRefused

T = TypeVar("T")


def ask(requests: Coroutine[Any, Any, T]) -> T:
    """Raises NotPermitted if the issuer refuses, and CannotRun if it cannot be used."""
    try:
        return asyncio.run(requests)
    except IssuerRefused as error:
        raise NotPermitted(str(error)) from None
    except IssuerFailed as error:
        raise CannotRun(str(error)) from None
