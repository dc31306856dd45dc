"""The page /docs in a real browser: complete, usable by keyboard and on a phone, without requests to other origins."""

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
"""The operations in the order of the page's sections."""
TAGS = [tag["name"] for tag in DOCUMENT["tags"]]
PHONE = {"width": 360, "height": 740}
COVERED = """card => {
  const { left, top, width } = card.querySelector("summary").getBoundingClientRect();
  return !card.contains(document.elementFromPoint(left + width / 2, top + 4));
}"""
OVERFLOW = "document.documentElement.scrollWidth > window.innerWidth"


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    """The port of a gateway without services, which the page does not need."""
    settings = Settings(
        listen="127.0.0.1:0", workflow_target="127.0.0.1:1", deploy_target="127.0.0.1:1", drain_seconds=0
    )
    async with running_gateway(settings) as port:
        yield port


@pytest.fixture
async def page(browser: "Browser", port: int) -> "AsyncIterator[Page]":
    """The loaded page. At the end it checks that no other origin was called and the browser reported no problem."""
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
    """The URLs requested from now on, and the warnings, CSP violations and exceptions that the browser reports."""
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


async def content_of(page: "Page", operation: str) -> "Locator":
    """The content of an open card."""
    inside = card(page, operation).locator(".inside")
    await inside.wait_for()
    return inside


async def open_all(page: "Page") -> None:
    await page.evaluate("document.querySelectorAll('details').forEach((card) => { card.open = true; })")
    await page.wait_for_function("document.querySelectorAll('details:not(:has(.inside))').length === 0")


async def listed(page: "Page") -> list[str]:
    """The ids of the visible operations, in order."""
    ids: list[str] = await page.locator("details.call:visible").evaluate_all("cards => cards.map((card) => card.id)")
    return ids


def resolved(parts: Iterable[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The parts, with each reference replaced by its component."""
    shared = DOCUMENT["components"][kind]
    return [shared[each["$ref"].split("/")[-1]] if "$ref" in each else each for each in parts]


def parameters_of(operation: dict[str, Any]) -> list[str]:
    return [each["name"] for each in resolved(operation["parameters"], "parameters")]


def reasons_of(operation: dict[str, Any]) -> list[str]:
    """The `reason` of each documented error."""
    answers = resolved(operation["responses"].values(), "responses")
    lines = [line for answer in answers for line in answer["description"].split("\n")]
    return [line.split("`")[1] for line in lines if line.startswith("- `")]


async def test_the_docs_page_lists_every_operation(page: "Page"):
    assert await page.locator("nav a.call").all_inner_texts() == list(OPERATIONS)
    assert await page.locator("details.call").evaluate_all("cards => cards.map((card) => card.id)") == list(OPERATIONS)
    for name, (verb, path, _) in OPERATIONS.items():
        text = await card(page, name).locator("summary").inner_text()
        assert text.split()[:2] == [verb, path]


async def test_an_operation_on_the_docs_page_has_sections_examples_and_commands(page: "Page"):
    await card(page, "SaveWorkflow").locator("summary").click()

    inside = await content_of(page, "SaveWorkflow")
    _, _, operation = OPERATIONS["SaveWorkflow"]
    example = operation["responses"]["200"]["content"]["application/json"]["example"]
    sections = await inside.locator("section > h3").all_inner_texts()
    curl, answer, grpcurl = await inside.locator("pre").all_inner_texts()
    assert sections == ["Parameters", "Body", "200 application/json", "Otherwise", "gRPC"]
    assert grpcurl.endswith('"$FLOWPIN_WORKFLOW_GRPC" flowpin.workflow.v1.WorkflowService/SaveWorkflow')
    assert curl.startswith('curl "$FLOWPIN_URL/v1/workflows/')
    assert "-X POST" in curl
    assert json.loads(answer) == example


async def test_every_operation_on_the_docs_page_shows_its_parameters_and_errors(page: "Page"):
    await open_all(page)

    for name, (_, _, operation) in OPERATIONS.items():
        rows = await card(page, name).locator("td:first-child").all_inner_texts()
        words = {word for row in rows for word in row.split()}
        assert {*parameters_of(operation), *reasons_of(operation)} <= words, name


async def test_links_on_the_docs_page_lead_to_their_operations(page: "Page"):
    await page.get_by_role("link", name="PromoteApp").click()

    assert page.url.endswith("/docs#PromoteApp")
    await content_of(page, "PromoteApp")
    assert not await card(page, "PromoteApp").evaluate(COVERED)
    targets = await page.locator("a").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    sections = [name.replace(" ", "-") for name in TAGS]
    assert set(targets) == {"/openapi.json", *(f"#{name}" for name in (*OPERATIONS, *sections))}
    assert await (await page.request.get("/openapi.json")).json() == DOCUMENT


async def test_a_search_on_the_docs_page_finds_operations_with_all_its_words(page: "Page"):
    await page.get_by_role("searchbox").fill("workflow VERSION_CONFLICT")

    wanted = [name for name, (_, _, operation) in OPERATIONS.items() if "VERSION_CONFLICT" in reasons_of(operation)]
    assert await listed(page) == wanted
    assert await page.locator("nav a.call:visible").all_inner_texts() == wanted
    assert await page.locator("h2:visible").all_inner_texts() == []
    assert await page.get_by_role("status").inner_text() == f"{len(wanted)} of {len(OPERATIONS)} calls"

    await page.get_by_role("searchbox").fill("")

    assert await listed(page) == list(OPERATIONS)
    assert await page.locator("nav b").all_inner_texts() == TAGS


async def test_a_search_on_the_docs_page_ranks_names_before_descriptions_before_fields(page: "Page"):
    await page.get_by_role("searchbox").fill("fork")

    found = await listed(page)

    assert found[0] == "ForkWorkflow"
    await page.get_by_role("searchbox").fill("label")
    found = await listed(page)
    by_name = [name for name in found if "label" in f"{name} {OPERATIONS[name][1]}".lower()]
    assert found[: len(by_name)] == by_name
    assert len(by_name) < len(found)
    said = [name for name in found[len(by_name) :] if "label" in OPERATIONS[name][2]["description"].lower()]
    assert found[len(by_name) : len(by_name) + len(said)] == said


async def test_the_docs_page_begins_with_how_to_get_a_token(page: "Page"):
    text = await page.locator("main").inner_text()

    assert text.index("flowpin token new") < text.index("CreateWorkflow, SaveWorkflow, CreateApp") < text.index(TAGS[0])
    assert await page.locator("main > section > h2").all_inner_texts() == TAGS


async def test_a_deep_link_on_the_docs_page_opens_its_operation_even_when_a_search_hides_it(page: "Page"):
    await page.get_by_role("searchbox").fill("GetMe")
    await page.evaluate("location.hash = 'CreateAccessKey'")

    await content_of(page, "CreateAccessKey")
    assert not await card(page, "CreateAccessKey").evaluate(COVERED)
    assert await page.locator(".marked").evaluate_all("marked => marked.map((each) => each.id)") == ["CreateAccessKey"]

    await page.get_by_role("link", name="Deployments", exact=True).click()

    await page.locator("h2#Deployments.marked").wait_for()
    assert await page.locator("h2#Deployments").evaluate("h2 => h2.getBoundingClientRect().top") < 200
    assert await page.locator(".marked").count() == 1


async def test_a_search_on_the_docs_page_says_that_nothing_was_found(page: "Page"):
    await page.get_by_role("searchbox").fill("xyzzy")

    assert await page.locator("details.call:visible").count() == 0
    assert await page.get_by_role("status").inner_text() == "No call has “xyzzy”."


async def test_the_docs_page_works_by_keyboard_only(page: "Page"):
    await page.keyboard.press("Tab")
    await page.keyboard.type("LIVE_MOVED")
    for _ in range(2):  # past openapi.json, to the first call of the contents
        await page.keyboard.press("Tab")

    await page.keyboard.press("Enter")
    focused = page.locator(":focus")
    await content_of(page, "PromoteApp")
    assert await focused.inner_text() == await card(page, "PromoteApp").locator("summary").inner_text()
    assert await focused.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
    await page.keyboard.press("Tab")
    assert await focused.inner_text() == "copy"
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Space")
    await card(page, "PromoteApp").locator(".inside").wait_for(state="hidden")


async def test_the_copy_button_of_the_docs_page_puts_the_text_into_the_clipboard(page: "Page"):
    await card(page, "GetMe").locator("summary").click()

    await card(page, "GetMe").get_by_role("button", name="copy").first.click()

    await card(page, "GetMe").get_by_role("button", name="copied").wait_for()
    text = await card(page, "GetMe").locator("pre").first.inner_text()
    assert await page.evaluate("navigator.clipboard.readText()") == text


async def test_the_docs_page_has_no_copy_button_without_a_clipboard(browser: "Browser", port: int):
    context = await browser.new_context()
    page = await context.new_page()
    _, reported = watched(page)
    await shown(page, f"http://{INSECURE_HOST}:{port}/docs#GetMe")

    await content_of(page, "GetMe")

    assert await page.locator("button:visible").count() == 0
    assert reported == []
    await context.close()


async def test_the_docs_page_fits_the_screen_of_a_phone(page: "Page"):
    await page.set_viewport_size(PHONE)
    assert not await page.evaluate(OVERFLOW)

    await open_all(page)

    assert not await page.evaluate(OVERFLOW)
    broken = "names => names.filter((name) => name.offsetHeight > 25).map((name) => name.textContent)"
    assert await page.locator("section:last-child .type").evaluate_all(broken) == []
    wider = "cells => cells.filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent)"
    assert await page.locator("td, pre, summary").evaluate_all(wider) == []


async def test_a_button_opens_the_contents_of_the_docs_page_on_a_phone(page: "Page"):
    await page.set_viewport_size(PHONE)
    menu = page.get_by_role("button", name="Calls")
    assert await page.locator("nav").is_hidden()

    await menu.click()

    assert await page.locator("nav").is_visible()
    boxes = [await page.locator(each).bounding_box() for each in ("header", "nav")]
    assert (boxes[1]["x"], boxes[1]["width"]) == (0, 360)
    assert boxes[1]["y"] == pytest.approx(boxes[0]["height"], abs=2)
    assert await page.locator("nav").evaluate("nav => nav.scrollHeight > nav.clientHeight")
    assert await menu.get_attribute("aria-expanded") == "true"
    await page.get_by_role("link", name="RollbackApp").click()
    await content_of(page, "RollbackApp")
    assert await page.locator("nav").is_hidden()
    assert not await card(page, "RollbackApp").evaluate(COVERED)


async def test_a_linked_operation_is_not_under_the_header_of_the_docs_page_on_a_phone(page: "Page"):
    await page.set_viewport_size(PHONE)

    await shown(page, "/docs#SaveWorkflow")
    await page.reload()
    await content_of(page, "SaveWorkflow")

    assert not await card(page, "SaveWorkflow").evaluate(COVERED)
