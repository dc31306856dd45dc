"""The database URL of each process: one role per purpose, on the embedded Postgres or another one."""

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.postgres.cluster import Cluster
from flowpin_cli.postgres.passwords import MIGRATOR_ROLES, SERVING_ROLES

OLDEST_SERVER = 15
CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Databases:
    """The administrator's URL, and a function from a role's name to its URL."""

    admin_url: str
    url_of: Callable[[str], str]
    are_external: bool

    def serving(self, service: str) -> dict[str, str]:
        """The variables for `<service> serve`."""
        return {f"{service.upper()}_DATABASE_URL": self.url_of(SERVING_ROLES[service])}

    def migrating(self, service: str) -> dict[str, str]:
        """The variables for `<service> migrate`, which creates the roles in them."""
        prefix = service.upper()
        return self.serving(service) | {
            f"{prefix}_MIGRATOR_DATABASE_URL": self.url_of(MIGRATOR_ROLES[service]),
            f"{prefix}_ADMIN_DATABASE_URL": self.admin_url,
        }


def embedded_databases(cluster: Cluster) -> Databases:
    """The roles' URLs on our own Postgres, with the passwords from the data folder."""
    return Databases(cluster.url(), cluster.url, are_external=False)


def external_databases(admin_url: str, folder: DataFolder) -> Databases:
    """The roles' URLs on another Postgres, with passwords that are created once and stored in the data folder."""
    kept = json.loads(folder.secret("database-passwords.json") or "{}")
    roles = (*SERVING_ROLES.values(), *MIGRATOR_ROLES.values())
    passwords = {role: kept.get(role) or secrets.token_urlsafe(24) for role in roles}
    if passwords != kept:
        folder.keep_secret("database-passwords.json", json.dumps(passwords, indent=1))
    return Databases(admin_url, lambda role: url_as(admin_url, role, passwords[role]), are_external=True)


def url_as(url: str, role: str, password: str) -> str:
    """The URL of the same database for another role."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query) if key not in ("user", "password", "passfile")]
    netloc = f"{quote(role, safe='')}:{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(query, safe="/:")))


def url_without_password(url: str) -> str:
    """The printable part of a database URL, even of a mistyped one."""
    # Up to the last "@", because a password with an unquoted "/" or "@" is secret too.
    shown = re.sub(r"//([^:@/]*).*@", r"//\1@", url)
    return re.sub(r"(password=)[^&]*", r"\1***", shown)


async def check_server(admin_url: str) -> str:
    """Return the server's version. Raises CannotRun if it does not answer, refuses, or is older than 15."""
    import asyncpg

    shown = url_without_password(admin_url)
    try:
        connection = await asyncpg.connect(admin_url, timeout=CONNECT_SECONDS)
        try:
            version = connection.get_server_version()
        finally:
            await connection.close()
    except ValueError:  # the message quotes the invalid part, which may be in the password
        raise CannotRun(f"{shown} is not a database URL; write postgresql://user:password@host:port/database") from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CannotRun(f"the database {shown} cannot be used: {str(error) or type(error).__name__}") from None
    if version.major < OLDEST_SERVER:
        raise CannotRun(f"the database {shown} is Postgres {version.major}; Flowpin needs {OLDEST_SERVER} or newer")
    return f"{version.major}.{version.minor}"
