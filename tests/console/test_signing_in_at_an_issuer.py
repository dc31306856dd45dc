"""Signing in at an issuer in Chromium. The issuer is another site, so cookies must survive the redirect back."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from console.cookies import PARTS, SESSION
from tests.support.chromium import INSECURE_HOST
from tests.support.issuer_console import running_issuer_console
from tests.support.login_issuer import CLIENT, LoginIssuer
from tests.support.stack import Stack
from tests.support.token_issuer import running_issuer

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture
async def issuer() -> AsyncIterator[LoginIssuer]:
    async with running_issuer(LoginIssuer) as issuer:
        yield issuer


@pytest.fixture
async def page(unstarted: Stack, issuer: LoginIssuer, browser: "Browser") -> "AsyncIterator[Page]":
    """A page of a visitor who is not signed in. At the end it checks that the browser reported nothing."""
    grant = {"subject": "ada", "roles": {str(unstarted.people.project): "editor"}}
    reported: list[str] = []
    async with running_issuer_console(
        unstarted, issuer.declared(grant, audience=CLIENT), host=INSECURE_HOST
    ) as console:
        context = await browser.new_context(base_url=console)
        page = await context.new_page()
        page.on("pageerror", lambda error: reported.append(str(error)))
        page.on("dialog", lambda dialog: reported.append(dialog.message))
        page.on("console", lambda said: reported.append(said.text) if "Content Security Policy" in said.text else None)
        yield page
        await context.close()
    assert reported == []


async def sign_in(page: "Page") -> None:
    await page.goto("/apps?status=live")
    await page.get_by_role("link", name="Sign in with 127.0.0.1").click()


async def test_the_sign_in_button_leads_to_the_issuer_and_back_to_the_page(page: "Page"):
    await sign_in(page)
    await page.wait_for_url("**/apps?status=live")

    [cookie] = await page.context.cookies(page.url)
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (SESSION, True, "Lax")
    await page.locator("details.person summary").click()
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/sign-in")
    assert await page.context.cookies(page.url) == []


async def test_the_session_stores_a_long_token_completely(page: "Page", issuer: LoginIssuer):
    issuer.id_changes = {"groups": ["x" * 5500]}
    await sign_in(page)
    await page.wait_for_url("**/apps?status=live")
    await page.goto("/workflows")

    assert page.url.endswith("/workflows")
    assert {cookie["name"] for cookie in await page.context.cookies(page.url)} == set(PARTS[:3])


async def test_hostile_text_of_an_issuer_is_escaped(page: "Page", issuer: LoginIssuer):
    words = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    issuer.redirect_changes = {"code": None, "error": "access_denied", "error_description": words}
    await sign_in(page)

    assert words in await page.get_by_role("alert").inner_text()
    assert await page.locator("main img").count() == 1  # the mark


async def test_a_token_signs_in_while_the_issuer_is_down(page: "Page", issuer: LoginIssuer, unstarted: Stack):
    issuer.document_changes = {"issuer": "https://somebody.else"}
    await sign_in(page)
    assert "Nobody was signed in" in await page.get_by_role("alert").inner_text()

    await page.get_by_label("Personal Access Token").fill(unstarted.people.secret("viewer"))
    await page.get_by_role("button", name="Sign in with the token").click()
    await page.wait_for_url("**/apps?status=live")
