"""Reads URLs of Postgres with an unquoted password, as Compose and shells insert it."""

import re
from urllib.parse import quote, urlsplit

HOST = r"(\[[^]]*\]|[^:,\[\]]*)(:\d*)?"
HOSTS = re.compile(f"{HOST}(,{HOST})*")
"""Hosts of a URL, separated by commas."""
MUST = "must be postgresql://user:password@host:port/database"


def quoted(url: str) -> str:
    """The URL with its user and password quoted where needed. They may contain `/`, `#`, `?`, `@` and `[`.

    A `%` with two hexadecimal digits counts as quoted. Raises ValueError, which does not repeat the URL.
    """
    if _is_well_formed(url):
        return url
    found = re.fullmatch(r"(postgres(?:ql)?://)([^:/@]+)(?::(.*))?@([^@]*)", url, re.DOTALL)
    if found is None:
        raise ValueError(MUST)
    scheme, user, password, rest = found.groups()
    secret = "" if password is None else f":{quote(password, safe='%')}"
    mended = f"{scheme}{quote(user, safe='%')}{secret}@{rest}"
    if not _is_well_formed(mended):
        raise ValueError(MUST)
    return mended


def _is_well_formed(url: str) -> bool:
    """Whether all parsers read the URL the same way."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not HOSTS.fullmatch(parts.netloc.rpartition("@")[2]):
        return False
    is_postgres = parts.scheme in ("postgres", "postgresql")
    # An "@" after the host is part of a password that contains "/", "#" or "?".
    astray = parts.fragment or parts.netloc.count("@") > 1 or "@" in parts.path
    return is_postgres and not astray and ("@" in parts.netloc or "@" not in parts.query)
