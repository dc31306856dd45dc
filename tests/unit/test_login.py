"""`flowpin login` accepts only the answer to its own request, and only a token that services accept."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from flowpin_cli.errors import CannotRun, NotPermitted
from flowpin_cli.login.loopback import Loopback
from flowpin_cli.login.sign_in import sign_in
from service_kit.openid import fetching
from service_kit.openid.fetching import IssuerFailed
from service_kit.openid.provider import Client, discover
from service_kit.openid.tokens import Tokens
from tests.support.login_issuer import CLIENT, LoginIssuer
from tests.support.token_issuer import running_issuer

HOST = "127.0.0.1"


@pytest.fixture
async def issuer() -> AsyncIterator[LoginIssuer]:
    async with running_issuer(LoginIssuer) as issuer:
        yield issuer


async def signed_in(issuer: LoginIssuer, **changes: Any) -> tuple[Tokens, str]:
    """The tokens, and the page that the browser shows at the end."""
    loop, pages = asyncio.get_running_loop(), []

    async def visit(link: str) -> str:
        async with aiohttp.ClientSession() as browser, browser.get(link) as page:
            assert page.url.host == HOST
            return await page.text()

    def show(link: str) -> None:
        pages.append(asyncio.run_coroutine_threadsafe(visit(link), loop))

    client = Client(**{"id": CLIENT, "audience": CLIENT, **changes})
    tokens = await asyncio.to_thread(sign_in, await discover(issuer.url), client, show, 5)
    return tokens, await asyncio.wrap_future(pages[0])


async def test_a_person_gets_the_id_token_when_the_access_token_is_not_a_json_web_token(issuer):
    login, page = await signed_in(issuer)

    assert login.token.count(".") == 2
    assert (login.subject, login.refresh_token) == ("ada", "refresh-1")
    assert login.expires_at == pytest.approx(time.time() + 600, abs=30)
    assert "go on in the terminal" in page
    assert issuer.asked["scope"] == "openid email offline_access"
    assert issuer.asked["prompt"] == "consent"
    assert "resource" not in issuer.asked


async def test_an_access_token_with_the_audience_has_precedence_over_the_id_token(issuer):
    issuer.access_token = issuer.token(aud="https://flowpin.test", sub="ada")

    login, _ = await signed_in(issuer, audience="https://flowpin.test", scope="groups")

    assert login.token == issuer.access_token
    assert issuer.asked["resource"] == issuer.forms[0]["resource"] == "https://flowpin.test"
    assert issuer.asked["scope"] == "openid groups"


@pytest.mark.parametrize(
    ("audience", "parameters"),
    [
        (CLIENT, {}),
        ("api", {"audience": "api"}),
        ("urn:api", {"audience": "urn:api", "resource": "urn:api"}),
        ("https://[", {"audience": "https://[", "resource": "https://["}),
    ],
)
def test_only_a_uri_is_requested_as_a_resource(audience, parameters):
    assert Client(CLIENT, audience).asked_for() == parameters


async def test_an_access_token_for_another_audience_is_not_kept(issuer):
    issuer.access_token = issuer.token(aud="account", sub="ada")

    login, _ = await signed_in(issuer)

    assert login.token != issuer.access_token


@pytest.mark.parametrize(
    ("redirect", "message"),
    [
        ({"state": "other"}, "state differs"),
        ({"state": None}, "state differs"),
        ({"state": "é"}, "state differs"),
        ({"iss": "https://other.test"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"code": None}, "no code"),
        ({"code": None, "error": "access_denied", "error_description": "Not\x1b[31m you."}, "access_denied: Not�"),
    ],
)
async def test_a_wrong_redirect_ends_the_sign_in(issuer, redirect, message):
    issuer.redirect_changes = redirect

    with pytest.raises(CannotRun, match=message):
        await signed_in(issuer)

    assert issuer.forms == []  # no code was redeemed


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"nonce": "other"}, "nonce differs"),
        ({"nonce": None}, "nonce differs"),
        ({"aud": "other"}, "another audience"),
        ({"azp": "other"}, "another client"),
        ({"iss": "https://other.test"}, "another issuer made it"),
        ({"exp": 1}, "expired"),
        ({"sub": ""}, "`sub`"),
    ],
)
async def test_an_id_token_of_another_sign_in_is_refused(issuer, claims, message):
    issuer.id_changes = claims

    with pytest.raises(CannotRun, match=message):
        await signed_in(issuer)


async def test_an_id_token_with_a_forged_signature_is_refused(issuer):
    real, forger = issuer.token, LoginIssuer().keys["RS256"]
    issuer.token = lambda **claims: real(key=forger, **claims)  # its key has the id of the real one

    with pytest.raises(CannotRun, match=r"cannot be verified \(BadSignatureError\)"):
        await signed_in(issuer)


@pytest.mark.parametrize("methods", [None, ["client_secret_post", "client_secret_basic"], ["client_secret_post"]])
async def test_a_clients_secret_is_sent_by_a_method_that_the_issuer_supports(issuer, methods):
    issuer.secret = "a secret: with %"
    if methods:
        issuer.document_changes = {"token_endpoint_auth_methods_supported": methods}

    tokens, _ = await signed_in(issuer, secret=issuer.secret)

    assert tokens.subject == "ada"
    assert ("client_secret" in issuer.forms[0]) == (methods == ["client_secret_post"])
    with pytest.raises(CannotRun, match="invalid_client"):
        await signed_in(issuer, secret="another")


async def test_an_access_token_of_another_person_is_refused(issuer):
    issuer.access_token = issuer.token(aud="api", sub="eve")

    with pytest.raises(CannotRun, match="another person's"):
        await signed_in(issuer, audience="api")


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        ((400, {"error": "invalid_client", "error_description": "Unknown."}), NotPermitted, "invalid_client: Unknown"),
        ((503, {"error": "temporarily_unavailable"}), CannotRun, "answers 503"),
        ((404, {}), CannotRun, "answers 404"),
        ((200, {}), CannotRun, "ID token is not valid"),
    ],
)
async def test_errors_of_the_token_endpoint_are_reported(issuer, answer, kind, message):
    issuer.token_error = answer

    with pytest.raises(CannotRun, match=message) as refused:
        await signed_in(issuer)

    assert isinstance(refused.value, NotPermitted) == (kind is NotPermitted)
    assert "the-code" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"issuer": "https://other.test"}, "is that of https://other.test"),
        ({"token_endpoint": "http://elsewhere.test/token"}, "must be https"),
        ({"authorization_endpoint": None}, "must be https"),
        ({"revocation_endpoint": "ftp://elsewhere.test"}, "must be https"),
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
    ],
)
async def test_an_unsafe_discovery_document_is_refused(issuer, changes, message):
    issuer.document_changes = changes

    with pytest.raises(IssuerFailed, match=message):
        await discover(issuer.url)


@pytest.mark.parametrize(
    "url",
    ["http://issuer.test", "http://127.0.0.1.issuer.test", "file:///etc/passwd", "", "https://", "sso.example.org"],
)
async def test_an_unsafe_issuer_url_is_refused(url):
    with pytest.raises(IssuerFailed, match="must be https"):
        await discover(url)


async def test_an_issuer_that_redirects_or_sends_too_much_is_refused(issuer, monkeypatch):
    issuer.document_changes = {"padding": "x" * 2000}
    monkeypatch.setattr(fetching, "MAX_BYTES", 1000)

    with pytest.raises(IssuerFailed, match="JSON object"):
        await discover(issuer.url)
    with pytest.raises(IssuerFailed, match="answers 302"):
        await fetching.fetch(f"{issuer.url}/authorize?state=s&redirect_uri={issuer.url}/keys")


async def test_an_issuer_that_sends_a_byte_at_a_time_times_out(issuer):
    issuer.pause_seconds = 0.05

    with pytest.raises(IssuerFailed, match=r"no answer within 0\.2 seconds"):
        await discover(issuer.url, 0.2)


async def test_an_unreachable_issuer_is_reported():
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(IssuerFailed, match=f"{HOST}:{port}/.well-known/openid-configuration cannot be reached"):
        await discover(f"http://{HOST}:{port}")


def test_the_wait_for_a_sign_in_times_out():
    with Loopback() as loopback, pytest.raises(CannotRun, match=r"within 0\.05 seconds"):
        loopback.answer(0.05)


async def test_the_sign_in_listener_answers_one_request_and_ends():
    """An idle connection, as browsers open them, and a request for an icon do not count."""
    async with asyncio.timeout(5), aiohttp.ClientSession() as browser:
        with Loopback() as loopback:
            port = int(loopback.redirect_uri.split(":")[2].split("/")[0])
            with socket.create_connection((HOST, port)):
                async with browser.get(f"http://{HOST}:{port}/favicon.ico") as icon:
                    assert icon.status == 404
                async with browser.get(f"{loopback.redirect_uri}?state=a&code=b") as page:
                    assert (page.status, page.headers["Cache-Control"]) == (200, "no-store")
                async with browser.get(f"{loopback.redirect_uri}?state=c&code=d") as second:
                    assert second.status == 404
            answer = await asyncio.to_thread(loopback.answer, 1)
        with pytest.raises(aiohttp.ClientConnectionError):
            await browser.get(loopback.redirect_uri)

    assert answer == {"state": "a", "code": "b"}


@pytest.mark.parametrize("url", ["https://ada:secret@127.0.0.1:9/é", "https://127.0.0.1:x", "https://a b"])
async def test_a_malformed_url_is_reported_without_its_password(url):
    with pytest.raises(IssuerFailed, match="cannot be reached") as refused:
        await discover(url)

    assert "secret" not in str(refused.value)
