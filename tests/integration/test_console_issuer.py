"""A sign-in to the console at an issuer succeeds only in the browser that began it, and lasts as its token does."""

import asyncio
import html
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from yarl import URL

from console.cookies import ATTEMPT, PARTS, SESSION
from tests.support.issuer_console import running_issuer_console
from tests.support.login_issuer import CLIENT, LoginIssuer
from tests.support.stack import Stack
from tests.support.token_issuer import running_issuer


@pytest.fixture
async def issuer() -> AsyncIterator[LoginIssuer]:
    async with running_issuer(LoginIssuer) as issuer:
        yield issuer


@dataclass
class Page:
    status: int
    url: URL
    text: str
    cookies: Any = field(repr=False)
    """The cookies that the last answer sets."""


@dataclass
class Browser:
    """A cookie jar, and requests that follow redirects like browsers."""

    console: str
    session: aiohttp.ClientSession

    async def go(self, path: str, *, follow: bool = True, method: str = "GET", **options: Any) -> Page:
        headers = options.pop("headers", {}) | ({"Sec-Fetch-Site": "same-origin"} if method == "POST" else {})
        url = self.console + path
        async with self.session.request(method, url, allow_redirects=follow, headers=headers, **options) as answer:
            location = answer.headers.get("Location", "")
            return Page(answer.status, URL(location or str(answer.url)), await answer.text(), answer.cookies)

    async def sign_in(self, back: str = "/apps") -> Page:
        return await self.go(f"/sign-in/issuer?back={back}")

    def cookies(self) -> dict[str, str]:
        return {
            name: morsel.value for name, morsel in self.session.cookie_jar.filter_cookies(URL(self.console)).items()
        }


@asynccontextmanager
async def open_browser(console: str) -> AsyncIterator[Browser]:
    jar = aiohttp.CookieJar(unsafe=True)  # the host of the console is an IP address
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Browser(console, session)


@pytest.fixture
async def console(unstarted: Stack, issuer: LoginIssuer) -> AsyncIterator[str]:
    grant = {"subject": "ada", "roles": {str(unstarted.people.project): "editor"}}
    async with running_issuer_console(unstarted, issuer.declared(grant, audience=CLIENT)) as console:
        yield console


@pytest.fixture
async def browser(console: str) -> AsyncIterator[Browser]:
    async with open_browser(console) as browser:
        yield browser


async def sign_in_only(browser: Browser) -> Page:
    """Sign in without opening a page, which would renew a token that expires soon."""
    return await browser.go(await callback(await browser.go("/sign-in/issuer", follow=False)), follow=False)


def is_sign_in(page: Page) -> bool:
    return page.url.path.startswith("/sign-in") and "Personal Access Token" in page.text


async def test_a_person_signs_in_to_the_console_at_the_issuer_and_returns_to_the_page(browser, issuer):
    issuer.id_changes = {"email": "ada@acme.test"}
    before = await browser.go("/apps?status=live")
    page = await browser.sign_in("/apps")

    assert f"Sign in with {URL(issuer.url).host}" in before.text
    assert (page.status, page.url.path) == (200, "/apps")
    assert "ada@acme.test" in page.text
    assert issuer.asked["code_challenge_method"] == "S256"
    assert issuer.asked["redirect_uri"] == f"{browser.console}/sign-in/issuer/callback"
    assert browser.cookies().keys() == {SESSION}


async def test_cookies_of_a_sign_in_are_encrypted_and_hidden_from_scripts(browser, issuer):
    begun = await browser.go("/sign-in/issuer", follow=False)
    attempt = begun.cookies[ATTEMPT]
    page = await browser.go(await callback(begun), follow=False)
    session = page.cookies[SESSION]

    for cookie in (attempt, session):
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
        assert issuer.forms[0]["code_verifier"] not in cookie.value
        assert not cookie.value.startswith("ey")  # as JSON in base64 does
    assert int(attempt["max-age"]) <= 600


async def callback(begun: Page) -> str:
    """The path to which the issuer redirects."""
    async with aiohttp.ClientSession() as session, session.get(begun.url, allow_redirects=False) as answer:
        return URL(answer.headers["Location"]).raw_path_qs


async def test_a_redirect_with_another_state_does_not_sign_in(browser, issuer):
    issuer.redirect_changes = {"state": "of-somebody-else"}

    page = await browser.sign_in()

    assert page.status == 400
    assert is_sign_in(page)
    assert "was not started in this browser" in page.text
    assert issuer.forms == []
    assert SESSION not in browser.cookies()


async def test_a_link_to_a_foreign_sign_in_does_not_sign_in_another_browser(browser, issuer):
    """The victim opens the address of the last step of the attacker's own sign-in."""
    path = await callback(await browser.go("/sign-in/issuer", follow=False))

    async with open_browser(browser.console) as victim:
        page = await victim.go(path)

        assert page.status == 400
        assert "was not started in this browser" in page.text
        assert SESSION not in victim.cookies()
    assert issuer.forms == []


async def test_an_authorization_code_is_accepted_once(browser, issuer):
    begun = await browser.go("/sign-in/issuer", follow=False)
    path, cookies = await callback(begun), browser.cookies()
    first = await browser.go(path, follow=False)
    again = await browser.go(path)
    async with open_browser(browser.console) as copy:
        copy.session.cookie_jar.update_cookies(cookies, URL(browser.console))
        replayed = await copy.go(path)

        assert SESSION not in copy.cookies()
    assert first.status == 303
    assert (again.status, "was not started" in again.text) == (400, True)
    assert (replayed.status, "invalid_grant" in replayed.text) == (400, True)
    assert len(issuer.forms) == 2


@pytest.mark.parametrize(
    "claims",
    [{"nonce": "other"}, {"nonce": None}, {"aud": "other"}, {"azp": "other"}, {"exp": 1}, {"iss": "https://x.test"}],
)
async def test_an_id_token_of_another_sign_in_does_not_sign_in(browser, issuer, claims):
    issuer.id_changes = claims

    page = await browser.sign_in()

    assert page.status == 502
    assert "Nobody was signed in" in page.text
    assert SESSION not in browser.cookies()


@pytest.mark.parametrize("iss", ["https://other.test", None])
async def test_a_redirect_of_another_issuer_does_not_sign_in(browser, issuer, iss):
    issuer.redirect_changes = {"iss": iss}

    page = await browser.sign_in()

    assert (page.status, "of another issuer" in page.text) == (502, True)
    assert issuer.forms == []


pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e" + "A" * 5000


async def test_an_error_of_the_issuer_is_shown_as_escaped_and_shortened_text(browser, issuer):
    issuer.redirect_changes = {"code": None, "error": "access_denied", "error_description": HOSTILE}

    page = await browser.sign_in()

    assert page.status == 400
    assert "access_denied" in page.text
    assert html.escape("<script>alert(1)</script>") in page.text
    assert "<script>alert" not in page.text
    assert "\x1b" not in page.text
    assert "A" * 400 not in page.text


async def test_an_error_text_in_a_link_without_a_sign_in_is_not_shown(browser):
    page = await browser.go("/sign-in/issuer/callback?error=call&error_description=0900-1234&state=x")

    assert page.status == 400
    assert "0900" not in page.text


async def test_an_error_of_the_token_endpoint_is_shown_as_escaped_text(browser, issuer):
    issuer.token_error = (401, {"error": "invalid_client", "error_description": "<b>No</b>"})

    page = await browser.sign_in()

    assert page.status == 400
    assert "invalid_client: &lt;b&gt;No" in page.text


async def test_a_personal_access_token_signs_in_while_the_issuer_fails(browser, issuer, unstarted):
    issuer.document_changes = {"issuer": "https://somebody.else"}
    refused = await browser.sign_in()
    token = unstarted.people.secret("viewer")
    page = await browser.go("/sign-in", method="POST", data={"token": token, "back": "/apps"})

    assert (refused.status, is_sign_in(refused)) == (502, True)
    assert (page.status, page.url.path) == (200, "/apps")


@pytest.mark.parametrize("back", ["https://evil.test/", "//evil.test/", "/\\evil.test", "/%0d%0aSet-Cookie:x"])
async def test_a_sign_in_does_not_redirect_to_another_site(browser, back):
    begun = await browser.go(f"/sign-in/issuer?back={back}", follow=False)
    page = await browser.go(await callback(begun), follow=False)

    assert (page.status, str(page.url)) == (303, "/")


async def test_a_token_that_the_services_refuse_does_not_sign_in(unstarted, issuer):
    row = issuer.declared(audience="another")
    async with (
        running_issuer_console(unstarted, row, client_id=CLIENT) as console,
        open_browser(console) as browser,
    ):
        page = await browser.sign_in()

        assert (page.status, is_sign_in(page)) == (400, True)
        assert SESSION not in browser.cookies()


async def test_a_confidential_client_sends_its_secret_to_the_issuer_only(unstarted, issuer):
    issuer.secret = "a secret"
    async with (
        running_issuer_console(unstarted, issuer.declared(audience=CLIENT), client_secret="a secret") as console,
        open_browser(console) as browser,
    ):
        page = await browser.sign_in()

    assert page.status == 200
    assert "a secret" not in page.text + str(issuer.asked)
    assert "client_secret" not in issuer.forms[0]  # it is sent as HTTP Basic authentication


def expiring(seconds: float) -> dict[str, Any]:
    return {"exp": int(time.time() + seconds)}


async def test_concurrent_requests_renew_a_console_session_once(browser, issuer):
    issuer.id_changes = expiring(20)
    await sign_in_only(browser)
    old, issuer.id_changes = browser.cookies()[SESSION], expiring(600)

    pages = await asyncio.gather(*(browser.go("/workflows", follow=False) for _ in range(5)))
    await browser.go("/apps")

    assert {page.status for page in pages} == {200}
    assert [form["grant_type"] for form in issuer.forms] == ["authorization_code", "refresh_token"]
    assert browser.cookies()[SESSION] != old


async def test_a_request_with_the_cookie_from_before_a_renewal_is_answered_for_some_time(browser, issuer):
    """A request that is sent before the answer with the new cookie arrives."""
    issuer.id_changes = expiring(20)
    await sign_in_only(browser)
    old, issuer.id_changes = browser.cookies(), expiring(600)
    await browser.go("/apps")

    async with open_browser(browser.console) as late:
        late.session.cookie_jar.update_cookies(old, URL(browser.console))
        page = await late.go("/apps", follow=False)

        assert page.status == 200
        assert page.cookies[SESSION].value != old[SESSION]
    assert issuer.generation == 2


async def test_a_temporary_error_of_a_renewal_does_not_end_the_session(browser, issuer):
    issuer.id_changes = expiring(20)
    await sign_in_only(browser)
    issuer.token_error = (429, {"error": "slow_down"})

    page = await browser.go("/apps", follow=False)

    assert page.status == 200
    assert SESSION in browser.cookies()


async def test_a_token_valid_for_seconds_is_renewed_also_from_an_old_cookie(browser, issuer):
    issuer.id_changes = expiring(10)
    await sign_in_only(browser)
    old = browser.cookies()
    for _ in range(3):
        assert (await browser.go("/apps", follow=False)).status == 200

    async with open_browser(browser.console) as late:
        late.session.cookie_jar.update_cookies(old, URL(browser.console))
        assert (await late.go("/apps", follow=False)).status == 200


async def test_the_answer_of_a_stream_sets_the_cookie_of_a_renewed_session(browser, issuer, unstarted):
    issuer.id_changes = expiring(20)
    await sign_in_only(browser)
    workflow, _ = await unstarted.workflow()
    issuer.id_changes = expiring(600)

    async with browser.session.get(f"{browser.console}/workflows/{workflow['id']}/watch") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert SESSION in answer.cookies


async def test_a_console_session_ends_when_the_issuer_refuses_its_renewal(browser, issuer):
    issuer.id_changes = expiring(20)
    await sign_in_only(browser)
    issuer.token_error = (400, {"error": "invalid_grant"})

    page = await browser.go("/apps")

    assert is_sign_in(page)
    assert "ended=1" in str(page.url)
    assert SESSION not in browser.cookies()


async def test_a_console_session_lasts_as_long_as_its_token_while_the_issuer_fails(browser, issuer):
    issuer.id_changes = expiring(2)
    await sign_in_only(browser)
    issuer.token_error = (503, {})
    valid = await browser.go("/apps", follow=False)
    await asyncio.sleep(2)
    expired = await browser.go("/apps", follow=False)
    issuer.token_error, issuer.id_changes = None, expiring(600)
    back = await browser.go("/apps", follow=False)

    assert valid.status == 200
    assert (expired.status, "must be renewed at" in expired.text) == (503, True)
    assert back.status == 200


async def test_a_console_session_without_a_refresh_token_ends_with_its_token(browser, issuer):
    issuer.refresh_padding = 20_000  # the token is too long for the cookies
    issuer.id_changes = expiring(100)
    page = await sign_in_only(browser)

    assert 90 <= int(page.cookies[SESSION]["max-age"]) <= 100
    assert (await browser.go("/apps")).status == 200
    assert len(issuer.forms) == 1  # nothing is renewed


@pytest.mark.parametrize(("padding", "cookies"), [(10, 1), (3000, 2)])
async def test_a_long_token_is_split_into_several_cookies(browser, issuer, padding, cookies):
    """Longer ones are tested in Chromium, because aiohttp sends at most 8,190 bytes of cookies."""
    issuer.id_changes = {"groups": ["x" * padding]}
    page = await browser.sign_in()
    again = await browser.go("/workflows")
    kept = browser.cookies()
    await browser.go("/sign-out", method="POST", follow=False)

    assert page.status == again.status == 200
    assert kept.keys() == set(PARTS[:cookies])
    assert all(len(name) + len(value) < 4096 for name, value in kept.items())
    assert browser.cookies() == {}


async def test_a_session_with_mismatched_cookies_is_signed_out(browser, issuer):
    issuer.id_changes = {"groups": ["x" * 3000]}
    await browser.sign_in()
    browser.session.cookie_jar.update_cookies({PARTS[1]: "other"}, URL(browser.console))

    assert is_sign_in(await browser.go("/apps"))


async def test_a_token_longer_than_the_services_accept_does_not_sign_in(browser, issuer):
    issuer.id_changes = {"groups": ["x" * 9000]}

    page = await browser.sign_in()

    assert (page.status, "Nobody was signed in" in page.text) == (502, True)


async def test_signing_out_revokes_the_refresh_token_at_the_issuer(browser, issuer):
    await browser.sign_in()
    page = await browser.go("/sign-out", method="POST", follow=False)

    assert page.status == 303
    assert issuer.forms[-1] == {"token": "refresh-1", "client_id": CLIENT}
    assert browser.cookies() == {}


async def test_sign_ins_at_a_slow_issuer_do_not_delay_other_pages(browser, issuer, unstarted):
    token = unstarted.people.secret("viewer")
    await browser.go("/sign-in", method="POST", data={"token": token, "back": "/apps"})
    issuer.pause_seconds = 0.002
    waiting = [asyncio.create_task(browser.go("/sign-in/issuer", follow=False)) for _ in range(40)]
    await asyncio.sleep(0.2)
    started = time.monotonic()
    page = await browser.go("/apps")
    took = time.monotonic() - started
    statuses = sorted([each.status for each in await asyncio.gather(*waiting)])

    assert page.status == 200
    assert took < 2
    assert statuses == [303] * 8 + [429] * 32


async def test_the_cookies_of_the_longest_token_are_accepted(browser):
    page = await browser.go("/sign-in", headers={"Cookie": f"a={'b' * 16_000}"})

    assert page.status == 200
