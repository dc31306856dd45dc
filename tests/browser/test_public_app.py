"""In a real browser a page of another origin calls a public app, as the official chat widget does."""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from tests.support.apps.installation import Installation, running_installation

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.browser

CALL = """async ([url, headers]) => {
  try {
    const sent = { "Content-Type": "application/json", ...headers };
    const body = JSON.stringify({ input: { question: "why" } });
    const answer = await fetch(url, { method: "POST", headers: sent, body });
    return [answer.status, answer.headers.get("X-Flowpin-Version"), await answer.json()];
  } catch (error) { return String(error); }
}"""
STREAM = """async url => {
  const form = new FormData();
  form.append("input", JSON.stringify({ question: "why" }));
  form.append("stream", "true");
  const answer = await fetch(url, { method: "POST", body: form });
  return [answer.headers.get("Content-Type"), await answer.text()];
}"""


@pytest.fixture(scope="module")
async def installation(
    database_urls: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    async with running_installation(database_urls, tmp_path_factory.mktemp("public")) as running:
        yield running


@pytest.fixture
async def page(browser: "Browser") -> "AsyncIterator[Page]":
    """A page of another origin."""

    async def blank(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>A page</title>", content_type="text/html")

    site = web.Application()
    site.router.add_get("/", blank)
    runner = web.AppRunner(site)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    yield page
    await context.close()
    await runner.cleanup()


async def deployed(installation: Installation, **fields: Any) -> str:
    """Create an app and return its URL."""
    workflow, _ = await installation.stack.workflow()
    app = await installation.stack.app(workflow["id"], **fields)
    return f"http://127.0.0.1:{installation.port}/apps/{app['id']}"


async def test_a_page_of_another_origin_can_call_a_public_app(installation: Installation, page: "Page"):
    url = await deployed(installation, access_control={"access_type": "public"})

    answered = await page.evaluate(CALL, [url, {}])
    assert isinstance(answered, list), answered
    status, version, body = answered
    content_type, events = await page.evaluate(STREAM, url)

    assert (status, version, body["output"]["echo"]) == (200, "v1", {"question": "why"})
    assert content_type == "text/event-stream"
    assert events.startswith("event: completed")


async def test_a_page_of_another_origin_cannot_read_answers_of_a_private_app(installation: Installation, page: "Page"):
    url = await deployed(installation)

    said = await page.evaluate(CALL, [url, {"Authorization": f"Bearer {installation.key}"}])

    assert said == "TypeError: Failed to fetch"
