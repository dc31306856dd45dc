"""`flowpin login`."""

import os
from typing import Annotated

import typer

from flowpin_cli.commands.options import MARKUP, problems_told
from flowpin_cli.commands.remote import Data

app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)


@app.command()
def login(
    issuer: Annotated[
        str, typer.Option(envvar="FLOWPIN_ISSUER", metavar="URL", help="The OpenID Connect issuer, as in access.yaml.")
    ],
    client_id: Annotated[
        str, typer.Option(envvar="FLOWPIN_CLIENT_ID", metavar="ID", help="The public client registered there.")
    ],
    audience: Annotated[
        str | None,
        typer.Option(
            envvar="FLOWPIN_AUDIENCE", metavar="TEXT", help="The audience in access.yaml. Default: the client id."
        ),
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(
            envvar="FLOWPIN_SCOPE",
            metavar="TEXT",
            help="Scopes to ask for. Default: openid, profile, email, groups, offline_access, as far as it has them.",
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the link only, to open it in a browser of this machine.")
    ] = False,
    device: Annotated[
        bool,
        typer.Option("--device", help="Print a code to type on another device. Default where there is no browser."),
    ] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=3600, help="How long to wait for the sign-in.")
    ] = 120,
    data: Data = None,
) -> None:
    """Sign in with a browser at an OpenID Connect issuer. Commands use its token when FLOWPIN_TOKEN is not set.

    Example: `flowpin login --issuer https://sso.example.org --client-id flowpin`

    Where there is no browser, and with `--device`, it prints a page and a code, to sign in on any other device.

    The client is a public one with PKCE; its redirect URI is `http://127.0.0.1/callback`, with any port.

    Some issuers, such as Google, also want a secret of such a client: it is read from FLOWPIN_CLIENT_SECRET.

    Services accept a JSON Web Token with the audience: the access token is kept if it is such a one, else the ID token.
    It is refreshed when it expires, as long as the issuer allows that. The file is `flowpin/logins.json` in
    XDG_CONFIG_HOME or ~/.config.
    """
    from flowpin_cli.login.session import Way, begin
    from service_kit.openid.provider import Client

    if device and no_browser:
        raise typer.BadParameter("say either --device or --no-browser")
    with problems_told():
        client = Client(client_id, audience or client_id, os.environ.get("FLOWPIN_CLIENT_SECRET", ""), scope or "")
        begin(issuer, client, data, os.environ, Way(wait, not no_browser, device))
