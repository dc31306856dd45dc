"""Signing in and out of the console by token and by link, its duration, and protection against other sites."""

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from console.security import POLICY
from console.sign_in_links import new_link
from tests.support.chromium import INSECURE_HOST
from tests.support.console_pages import Pages, session_cookie

pytestmark = pytest.mark.browser


def link_file(pages: Pages) -> Path:
    return pages.stack.people.path.parent / "sign-in"


async def test_a_visitor_is_sent_to_the_sign_in_page_and_back(pages: Pages):
    async with pages.stranger() as page:
        await page.goto("/workflows?status=draft")
        assert "/sign-in?back=" in page.url
        await page.get_by_label("Personal Access Token").fill(pages.stack.people.secret("admin"))
        await page.get_by_role("button", name="Sign in").click()

        await page.wait_for_url("**/workflows?status=draft")


async def test_a_wrong_token_is_reported_on_the_sign_in_form(pages: Pages):
    async with pages.stranger() as page:
        await page.goto("/sign-in")
        await page.get_by_label("Personal Access Token").fill("secret")
        await page.get_by_role("button", name="Sign in").click()
        assert await page.locator(".error").inner_text() == "The token must begin with dyn_pat_."

        await page.get_by_label("Personal Access Token").fill("dyn_pat_nobody")
        await page.get_by_role("button", name="Sign in").click()
        assert "revoked" in await page.get_by_role("alert").inner_text()


async def test_the_session_cookie_is_hidden_from_scripts_and_other_sites(pages: Pages):
    async with pages.person() as page:
        cookie: Any = await session_cookie(page.context)

        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
        assert pages.stack.people.secret("admin") not in cookie["value"]
        assert cookie["expires"] > time.time()


async def test_signing_out_deletes_the_session_cookie(pages: Pages):
    async with pages.person() as page:
        await page.locator("details.person summary").click()
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_url("**/sign-in")

        assert await session_cookie(page.context) is None
        await page.goto("/workflows")
        assert "/sign-in" in page.url


async def test_a_sign_in_link_works_once_and_opening_it_does_not_use_it(pages: Pages):
    path = new_link(link_file(pages), pages.stack.people.secret("admin"))

    async with pages.stranger() as page:
        await page.goto(path)
        await page.goto(path)  # opening it does not use it
        await page.get_by_role("button", name="Sign in on this browser").click()
        await page.wait_for_url("**/workflows")
    async with pages.stranger() as page:
        await page.goto(path)
        assert "used already" in await page.get_by_role("alert").inner_text()
    assert not link_file(pages).exists()


async def test_one_of_many_concurrent_uses_of_a_sign_in_link_succeeds(pages: Pages):
    path = new_link(link_file(pages), pages.stack.people.secret("admin"))
    headers = {"Sec-Fetch-Site": "same-origin"}

    async with aiohttp.ClientSession(pages.origin, headers=headers) as session:

        async def take() -> int:
            async with session.post(path, allow_redirects=False) as answer:
                return answer.status

        statuses = await asyncio.gather(*(take() for _ in range(10)))

    assert sorted(statuses) == [303, *[404] * 9]


@pytest.mark.parametrize("back", ["https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)", "x"])
async def test_signing_in_does_not_redirect_to_another_site(pages: Pages, back: str):
    async with pages.stranger() as page:
        await page.goto(f"/sign-in?back={back}")
        await page.get_by_label("Personal Access Token").fill(pages.stack.people.secret("admin"))
        await page.get_by_role("button", name="Sign in").click()

        await page.wait_for_url(f"{pages.origin}/workflows")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "ours"}, 403),
        ({"Origin": "ours"}, 303),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
async def test_the_console_accepts_forms_only_from_its_own_pages(pages: Pages, headers: dict[str, str], status: int):
    sent = {name: pages.origin if value == "ours" else value for name, value in headers.items()}

    async with (
        aiohttp.ClientSession(pages.origin) as session,
        session.post("/sign-out", headers=sent, allow_redirects=False) as answer,
    ):
        assert answer.status == status


async def test_signing_in_works_over_plain_http_on_a_network(pages: Pages):
    """In this case browsers send no Sec-Fetch-Site, so the Origin decides."""
    context = await pages.browser.new_context()
    page = await context.new_page()
    await page.goto(f"http://{INSECURE_HOST}:{pages.port}/sign-in")
    await page.get_by_label("Personal Access Token").fill(pages.stack.people.secret("admin"))
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/workflows")
    await context.close()


async def test_a_session_of_a_revoked_token_ends_within_two_seconds(pages: Pages):
    people = pages.stack.people
    declared = people.declared()
    async with pages.person("editor") as page:
        without = {**declared, "tokens": [each for each in declared["tokens"] if each["id"] != "tok_editor"]}
        people.path.write_text(yaml.safe_dump(without, sort_keys=False))
        try:
            await asyncio.sleep(2)
            await page.goto("/workflows")
            assert page.url.endswith("/sign-in?back=/workflows&ended=1")
            assert "revoked" in await page.get_by_role("alert").inner_text()
            assert await session_cookie(page.context) is None
        finally:
            people.write(declared)
            await asyncio.sleep(2)


@pytest.mark.parametrize("path", ["/", "/sign-in", "/nowhere", "/health/live", "/static/x/console.css", "/static/x/y"])
async def test_every_answer_of_the_console_has_its_security_headers(pages: Pages, path: str):
    async with aiohttp.ClientSession(pages.origin) as session, session.get(path, allow_redirects=False) as answer:
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"


async def test_static_files_of_the_console_are_cached_by_their_content(pages: Pages):
    async with pages.stranger() as page:
        await page.goto("/sign-in")
        address = await page.locator("link[rel=stylesheet]").get_attribute("href")
    async with aiohttp.ClientSession(pages.origin) as session:
        async with session.get(address) as answer:
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        async with session.get("/static/other/console.css") as answer:
            assert answer.headers["Cache-Control"] == "no-cache"
        async with session.get("/sign-in") as answer:
            assert answer.headers["Cache-Control"] == "no-store"
