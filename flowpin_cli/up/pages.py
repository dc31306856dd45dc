"""Prepares `flowpin up` for the console: a key for its cookies, and a one-time sign-in link."""

import secrets
import shlex

from console.sign_in_links import new_link
from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import DataFolder, Ports

KEY_FILE = "console.key"
SIGN_IN_FILE = "console.sign-in"
URL_VARIABLE = "FLOWPIN_CONSOLE_URL"


def console_key(folder: DataFolder) -> str:
    """The key for cookies. It is created once, so that people stay signed in after a restart."""
    key = folder.secret(KEY_FILE)
    if key is None:
        key = secrets.token_hex(32)
        folder.keep_secret(KEY_FILE, key)
    return key


def sign_in_link(folder: DataFolder, console_url: str, token: str) -> str:
    """A one-time link that signs in with the token. It replaces an earlier link."""
    return console_url + new_link(folder.path / SIGN_IN_FILE, token)


def link_of_last_run(folder: DataFolder) -> str:
    """A new sign-in link for the console of the folder. Raises CannotRun if `flowpin up` has started no console
    there."""
    env = folder.env()
    url, token = env.get(URL_VARIABLE), env.get("FLOWPIN_TOKEN")
    if not url or not token:
        raise CannotRun(f"{folder.path} has no console: start it with `flowpin up`, without --no-console")
    return sign_in_link(folder, url, token)


def told(folder: DataFolder, ports: Ports, token: str | None) -> str:
    """Lines for the person at the terminal. The link grants access, so it is shown only on a terminal, like the
    token."""
    url = ports.url_of(ports.console)
    if token is None:
        return f"Console  {url}\n  Sign in  with `flowpin sign-in --data {shlex.quote(str(folder.path))}`\n"
    return f"Console  {url}\n  Sign in  {sign_in_link(folder, url, token)}\n           (works once, for an hour)\n"
