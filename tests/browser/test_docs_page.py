"""The page /docs in a real browser: complete, usable by keyboard and on a phone, and without any other origin."""

import json
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from gateway.openapi.document import document
from gateway.server import ALL_CONTRACTS, running_gateway
from gateway.settings import Settings
from tests.support.chromium import INSECURE_HOST

if TYPE_CHECKING:
    from playwright.async_api import Browser, Locator, Page

pytestmark = pytest.mark.browser
DOCUMENT = document(ALL_CONTRACTS)
OPERATIONS = {
    operation["operationId"]: (verb.upper(), path, operation)
    for tag in DOCUMENT["tags"]
    for path, verbs in DOCUMENT["paths"].items()
    for verb, operation in verbs.items()
    if tag["name"] in operation["tags"]
}
"""In the page's order: service by service."""
PHONE = {"width": 360, "height": 740}
COVERED = """card => {
  const { left, top, width } = card.querySelector("summary").getBoundingClientRect();
  return !card.contains(document.elementFromPoint(left + width / 2, top + 4));
}"""
OVERFLOW = "document.documentElement.scrollWidth > window.innerWidth"


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    """A gateway whose services are away: the page needs none of them."""
    settings = Settings(
        listen="127.0.0.1:0", workflow_target="127.0.0.1:1", deploy_target="127.0.0.1:1", drain_seconds=0
    )
    async with running_gateway(settings) as port:
        yield port


@pytest.fixture
async def page(browser: "Browser", port: int) -> "AsyncIterator[Page]":
    """The page, shown. Afterwards: nothing was asked of another origin, and the browser reported no problem."""
    origin = f"http://127.0.0.1:{port}"
    context = await browser.new_context(base_url=origin, permissions=["clipboard-read", "clipboard-write"])
    page = await context.new_page()
    requested, reported = watched(page)
    await shown(page, "/docs")
    yield page
    await context.close()
    assert [url for url in requested if not url.startswith((f"{origin}/", "data:"))] == []
    assert reported == []


def watched(page: "Page") -> tuple[list[str], list[str]]:
    """What the page asks for, and what the browser reports from now on: warnings, violations of CSP, exceptions."""
    requested: list[str] = []
    reported: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: reported.append(message.text))
    page.on("pageerror", lambda error: reported.append(str(error)))
    return requested, reported


async def shown(page: "Page", url: str) -> None:
    await page.goto(url)
    await page.locator("details.call").first.wait_for()


def card(page: "Page", operation: str) -> "Locator":
    return page.locator(f"details#{operation}")


async def inside_of(page: "Page", operation: str) -> "Locator":
    """What a card shows once it is open."""
    inside = card(page, operation).locator(".inside")
    await inside.wait_for()
    return inside


async def open_all(page: "Page") -> None:
    await page.evaluate("document.querySelectorAll('details').forEach((card) => { card.open = true; })")
    await page.wait_for_function("document.querySelectorAll('details:not(:has(.inside))').length === 0")


def resolved(parts: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Each part itself, or the component that it refers to."""
    shared = DOCUMENT["components"][kind]
    return [shared[each["$ref"].split("/")[-1]] if "$ref" in each else each for each in parts]


def parameters_of(operation: dict[str, Any]) -> list[str]:
    return [each["name"] for each in resolved(operation["parameters"], "parameters")]


def reasons_of(operation: dict[str, Any]) -> list[str]:
    """What its failures give as `reason`."""
    answers = resolved(operation["responses"].values(), "responses")
    lines = [line for answer in answers for line in answer["description"].split("\n")]
    return [line.split("`")[1] for line in lines if line.startswith("- `")]


async def test_every_operation_is_listed(page: "Page"):
    assert await page.locator("nav a").all_inner_texts() == list(OPERATIONS)
    assert await page.locator("details.call").evaluate_all("cards => cards.map((card) => card.id)") == list(OPERATIONS)
    for name, (verb, path, _) in OPERATIONS.items():
        text = await card(page, name).locator("summary").inner_text()
        assert text.split()[:2] == [verb, path]


async def test_an_operation_shows_its_parameters_errors_and_examples(page: "Page"):
    await card(page, "SaveWorkflow").locator("summary").click()

    inside = await inside_of(page, "SaveWorkflow")
    _, _, operation = OPERATIONS["SaveWorkflow"]
    example = operation["responses"]["200"]["content"]["application/json"]["example"]
    sections = await inside.locator("section > h3").all_inner_texts()
    curl, answer = await inside.locator("pre").all_inner_texts()
    assert sections == ["Parameters", "Body", "200 application/json", "Otherwise"]
    assert curl.startswith('curl "$FLOWPIN_URL/v1/workflows/')
    assert "-X POST" in curl
    assert json.loads(answer) == example


async def test_every_operation_shows_its_parameters_and_errors(page: "Page"):
    await open_all(page)

    for name, (_, _, operation) in OPERATIONS.items():
        rows = await card(page, name).locator("td:first-child").all_inner_texts()
        words = {word for row in rows for word in row.split()}
        assert {*parameters_of(operation), *reasons_of(operation)} <= words, name


async def test_links_lead_to_their_operations(page: "Page"):
    await page.get_by_role("link", name="PromoteApp").click()

    assert page.url.endswith("/docs#PromoteApp")
    await inside_of(page, "PromoteApp")
    assert not await card(page, "PromoteApp").evaluate(COVERED)
    targets = await page.locator("a").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    assert set(targets) == {"/openapi.json", *(f"#{name}" for name in OPERATIONS)}
    assert await (await page.request.get("/openapi.json")).json() == DOCUMENT


async def test_a_search_leaves_what_has_all_its_words(page: "Page"):
    await page.get_by_role("searchbox").fill("workflow VERSION_CONFLICT")

    assert await page.locator("details.call:visible").evaluate_all("cards => cards.map((card) => card.id)") == [
        name for name, (_, _, operation) in OPERATIONS.items() if "VERSION_CONFLICT" in reasons_of(operation)
    ]
    assert await page.locator("h2:visible").all_inner_texts() == ["WorkflowService"]
    assert await page.locator("nav b:visible").all_inner_texts() == ["WorkflowService"]
    assert await page.get_by_role("status").inner_text() == ""


async def test_a_search_that_finds_nothing_says_so(page: "Page"):
    await page.get_by_role("searchbox").fill("xyzzy")

    assert await page.locator("details.call:visible").count() == 0
    assert await page.get_by_role("status").inner_text() == "No call has “xyzzy”."


async def test_the_page_is_used_with_the_keyboard_alone(page: "Page"):
    await page.keyboard.press("Tab")
    await page.keyboard.type("LIVE_MOVED")
    for _ in range(2):  # past openapi.json, to the first call of the contents
        await page.keyboard.press("Tab")

    await page.keyboard.press("Enter")
    focused = page.locator(":focus")
    await inside_of(page, "PromoteApp")
    assert await focused.inner_text() == await card(page, "PromoteApp").locator("summary").inner_text()
    assert await focused.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
    await page.keyboard.press("Tab")
    assert await focused.inner_text() == "copy"
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Space")
    await card(page, "PromoteApp").locator(".inside").wait_for(state="hidden")


async def test_copy_puts_the_text_into_the_clipboard(page: "Page"):
    await card(page, "GetMe").locator("summary").click()

    await card(page, "GetMe").get_by_role("button", name="copy").first.click()

    await card(page, "GetMe").get_by_role("button", name="copied").wait_for()
    text = await card(page, "GetMe").locator("pre").first.inner_text()
    assert await page.evaluate("navigator.clipboard.readText()") == text


async def test_without_a_clipboard_there_is_no_button_for_it(browser: "Browser", port: int):
    context = await browser.new_context()
    page = await context.new_page()
    _, reported = watched(page)
    await shown(page, f"http://{INSECURE_HOST}:{port}/docs#GetMe")

    await inside_of(page, "GetMe")

    assert await page.locator("button:visible").count() == 0
    assert reported == []
    await context.close()


async def test_on_a_phone_nothing_is_wider_than_the_screen(page: "Page"):
    await page.set_viewport_size(PHONE)
    assert not await page.evaluate(OVERFLOW)

    await open_all(page)

    assert not await page.evaluate(OVERFLOW)
    broken = "names => names.filter((name) => name.offsetHeight > 25).map((name) => name.textContent)"
    assert await page.locator("section:last-child .type").evaluate_all(broken) == []
    wider = "cells => cells.filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent)"
    assert await page.locator("td, pre, summary").evaluate_all(wider) == []


async def test_on_a_phone_a_linked_operation_is_not_under_the_header(page: "Page"):
    await page.set_viewport_size(PHONE)

    await shown(page, "/docs#SaveWorkflow")
    await page.reload()
    await inside_of(page, "SaveWorkflow")

    assert not await card(page, "SaveWorkflow").evaluate(COVERED)
