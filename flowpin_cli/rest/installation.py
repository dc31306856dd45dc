"""The installation that a command calls, and the token for it."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flowpin_cli.errors import CannotRun
from flowpin_cli.login.kept import file_in, login_at
from flowpin_cli.machine.data_folder import found
from flowpin_cli.rest.trust import CA_VARIABLE

DEFAULT_DATA = Path(".flowpin")


@dataclass(frozen=True)
class Installation:
    """The URL of an installation, a token for it, and the default project."""

    url: str
    token: str
    project: str | None
    """An id or a name."""
    ca: str = ""
    """The file of the authority that signed its certificate. Empty for the authorities of the machine."""
    renew: Callable[[str], str] | None = None
    """Returns a new token for a refused one. None if the token cannot be renewed."""


def installation_of(data: Path | None, environ: Mapping[str, str]) -> Installation:
    """The installation of the folder `data`. By default, that of FLOWPIN_URL and FLOWPIN_TOKEN, or that of ./.flowpin.

    Without FLOWPIN_TOKEN in the environment, the token is that of `flowpin login` for this URL, or otherwise the
    folder's. A token from a folder is sent only to that folder's installation. Raises CannotRun if something is
    missing.
    """
    variables = variables_of(data, environ)
    url = variables["FLOWPIN_URL"].rstrip("/")
    project = variables.get("FLOWPIN_PROJECT") or variables.get("FLOWPIN_PROJECT_ID") or None
    ca = variables.get(CA_VARIABLE, "")
    given = environ.get("FLOWPIN_TOKEN") if data is None else None
    file = file_in(environ)
    if not given and (login := login_at(url, file)):
        renew = partial(_renewed, url, file)
        token = renew(login.token) if login.is_expired() else login.token
        return Installation(url, token, project, ca, renew)
    if not (token := given or variables.get("FLOWPIN_TOKEN", "")):
        raise CannotRun(f"FLOWPIN_URL is {url} and FLOWPIN_TOKEN is not set; set both, or run `flowpin login`")
    return Installation(url, token, project, ca)


def _renewed(url: str, file: Path, refused: str) -> str:
    from flowpin_cli.login.renewal import renewed

    return renewed(url, refused, file)


def variables_of(data: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the chosen installation, as `source DIR/env` would set them. Raises CannotRun without an
    installation."""
    ours = {name: value for name, value in environ.items() if name.startswith("FLOWPIN_") and value}
    if data is not None:
        return _kept(data)
    if "FLOWPIN_URL" in ours:
        kept = found(DEFAULT_DATA).env() if "FLOWPIN_TOKEN" not in ours else {}
        return (kept if kept.get("FLOWPIN_URL") == ours["FLOWPIN_URL"] else {}) | ours
    return _kept(DEFAULT_DATA) | ours


def _kept(data: Path) -> dict[str, str]:
    kept = found(data).env()
    if "FLOWPIN_URL" not in kept:
        raise CannotRun(
            f"there is no {data / 'env'}; start `flowpin up{option_of(data)}` first, name its folder with --data, "
            "or set FLOWPIN_URL and FLOWPIN_TOKEN"
        )
    return kept


def folder_of(data: Path | None, environ: Mapping[str, str]) -> Path:
    """The folder that a command changes: `data`, by default ./.flowpin.

    Raises CannotRun if the environment names another installation, because the person may mean that one.
    """
    meant = environ.get("FLOWPIN_URL", "").rstrip("/")
    kept = found(DEFAULT_DATA).env().get("FLOWPIN_URL") if data is None and meant else None
    if kept is not None and kept != meant:
        raise CannotRun(
            f"FLOWPIN_URL is {meant}, and {DEFAULT_DATA} is the folder of {kept}; say which one with --data"
        )
    return data or DEFAULT_DATA


def option_of(data: Path) -> str:
    """The option that selects this folder in a command. Empty for the default folder."""
    return "" if data.resolve() == DEFAULT_DATA.resolve() else f" --data {shlex.quote(str(data))}"
