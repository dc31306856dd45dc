"""Signs a person in with a browser on this machine, which is redirected to a loopback port."""

from collections.abc import Callable

from flowpin_cli.login.asking import ask
from flowpin_cli.login.loopback import Loopback
from service_kit.openid.code_flow import link, new_attempt, redeem
from service_kit.openid.provider import Client, Provider
from service_kit.openid.tokens import Tokens


def sign_in(provider: Provider, client: Client, show: Callable[[str], None], seconds: float) -> Tokens:
    """Call `show` with the link, and wait at most `seconds` for the sign-in. Raises CannotRun."""
    attempt = new_attempt()
    with Loopback() as loopback:
        show(link(provider, client, loopback.redirect_uri, attempt))
        answer = loopback.answer(seconds)
    return ask(redeem(answer, provider, client, loopback.redirect_uri, attempt))
