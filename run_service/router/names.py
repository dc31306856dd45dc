"""Finds the app that a request names, in its Host header or, where names do not resolve, in its path."""

import re
from dataclasses import dataclass
from uuid import UUID

NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:--(.{1,128}))?", re.IGNORECASE | re.DOTALL)
APPS = "/apps/"


@dataclass(frozen=True, slots=True)
class AppName:
    app_id: UUID
    environment: str | None
    """None means the app's default environment."""


@dataclass(frozen=True, slots=True)
class Address:
    """The app and the path that a request names."""

    app: AppName
    path: str
    """Empty, or starts with a slash."""


def address_of(host: str, path: str, domain: str) -> Address | None:
    """None if neither the host nor the path names an app. `path` is decoded. `domain` is the domain of apps."""
    app = _app_in_host(host, domain.lower())
    if app is not None:
        return Address(app, path)
    if not path.startswith(APPS):
        return None
    name, slash, rest = path.removeprefix(APPS).partition("/")
    app = _app_named(name)
    return Address(app, slash + rest) if app is not None else None


def _app_in_host(host: str, domain: str) -> AppName | None:
    name, _, port = host.lower().rpartition(":")
    if not name or not port.isdigit():
        name = host.lower()
    name = name.removesuffix(".")
    return _app_named(name.removesuffix(f".{domain}")) if name.endswith(f".{domain}") else None


def _app_named(name: str) -> AppName | None:
    found = NAME.fullmatch(name)
    return AppName(UUID(found[1]), found[2]) if found else None
