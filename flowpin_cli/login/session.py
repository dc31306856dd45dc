"""`flowpin login` and `flowpin logout`: store or remove the token for the chosen installation, and print the result."""

import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flowpin_cli import terminal
from flowpin_cli.errors import CannotRun, NotPermitted
from flowpin_cli.login import device, kept, sign_in
from flowpin_cli.login.asking import ask
from flowpin_cli.login.kept import Login
from flowpin_cli.login.renewal import revoke
from flowpin_cli.rest.calls import Calls
from flowpin_cli.rest.installation import Installation, variables_of
from flowpin_cli.rest.trust import CA_VARIABLE
from service_kit.openid.provider import Client, Provider, discover
from service_kit.openid.tokens import Tokens


@dataclass(frozen=True)
class Way:
    """How a person signs in."""

    seconds: float
    """How long the command waits for the person."""
    opens_browser: bool = True
    on_device: bool = False
    """Use a browser on another device, even if this machine has one."""


def begin(issuer: str, client: Client, data: Path | None, environ: Mapping[str, str], way: Way) -> None:
    """Sign in and keep the token, unless the installation refuses it. Raises CannotRun."""
    variables = variables_of(data, environ)
    url = variables["FLOWPIN_URL"].rstrip("/")
    file = kept.file_in(environ)
    kept.login_at(url, file)  # fails before the sign-in if the file cannot be used
    tokens = _signed_in(ask(discover(issuer)), client, way)
    login = Login(
        issuer,
        client.id,
        client.audience,
        tokens.subject,
        tokens.token,
        tokens.expires_at,
        tokens.refresh_token,
        client.scope,
        client.secret,
    )
    who = _name(Installation(url, login.token, None, variables.get(CA_VARIABLE, "")), login) or login.subject
    with kept.locked(file):
        kept.keep(url, login, file)
    terminal.hint(f"Signed in to {url} as {terminal.harmless(who)}.")
    if data is None and environ.get("FLOWPIN_TOKEN"):
        terminal.hint("FLOWPIN_TOKEN is set, and goes before it: unset it to use this sign-in.")


def _signed_in(provider: Provider, client: Client, way: Way) -> Tokens:
    if way.on_device or (way.opens_browser and provider.device_endpoint and not _has_browser()):

        def show_code(page: str, code: str) -> None:
            terminal.say(page)
            terminal.say(code)
            terminal.hint(f"Open this page on any device and type the code, within {way.seconds:g} seconds.")

        return ask(device.sign_in(provider, client, show_code, way.seconds))

    def show(link: str) -> None:
        terminal.say(link)
        terminal.hint(f"Waiting {way.seconds:g} seconds for a sign-in with this link in a browser of this machine.")
        if way.opens_browser:
            webbrowser.open(link)

    return sign_in.sign_in(provider, client, show, way.seconds)


def _has_browser() -> bool:
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _name(installation: Installation, login: Login) -> str:
    calls = Calls(installation)
    try:
        row = calls.get("/v1/me")
    except NotPermitted as error:
        raise NotPermitted(
            f"{installation.url} does not accept the token: {error}\n"
            f"  Its access.yaml must have the issuer {login.issuer} with the audience {login.audience}"
        ) from None
    finally:
        calls.close()
    names = [row.get(field) for field in ("first_name", "last_name", "email")]
    return " ".join(name for name in names if name)


def end(data: Path | None, environ: Mapping[str, str]) -> None:
    """Remove the token, and revoke it if the issuer supports that. Raises CannotRun."""
    url = variables_of(data, environ)["FLOWPIN_URL"].rstrip("/")
    file = kept.file_in(environ)
    with kept.locked(file):
        login = kept.forget(url, file)
    if login is None:
        terminal.hint(f"There was no sign-in to {url}.")
        return
    terminal.hint(f"Signed out of {url}.")
    try:
        if not revoke(login):
            terminal.hint(f"{login.issuer} offers no revocation; the token is valid until it expires.")
    except CannotRun as error:
        terminal.hint(f"The token was not revoked: {error}")
