"""The Test pages of apps and versions: a control for each field of the flow's Input node, and the answer, whole or
streamed. Everything runs except the SDK, which a stand-in replaces that follows the input."""

import json
import os
import shlex
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from console.server import running_console
from console.settings import Settings
from tests.support.apps.installation import Installation, running_installation
from tests.support.console_pages import OVERFLOW, PHONE, Pages
from tests.support.paths import ROOT
from tests.support.stack import FLOW, FLOW_UI

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.browser

HOSTILE = "<script>alert(1)</script>"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "description": f"What to ask {HOSTILE}", "default": "why"},
        "count": {"type": "int"},
        "brief": {"type": "bool"},
        "files": {"type": "list[files]"},
        HOSTILE: {"type": "Any"},
    },
    "required": ["question", "count"],
}
CODE = dedent("""
    def run(value, emit, canceled):
        source = {"id": "compute", "name": "compute", "type": "dynamiq.nodes.llms.OpenAI"}
        for number in range(value.get("count", 0)):
            data = {"choices": [{"delta": {"content": f"part {number} "}}]}
            if emit:
                emit("streaming", {"entity_id": "compute", "source": source, "data": data})
            if canceled.wait(0.05):
                return None
        if value.get("question") == "fail":
            raise ValueError("the model refused <script>")
        return {"echo": value}
""")


@dataclass
class Called:
    pages: Pages
    installation: Installation
    app: Any

    @property
    def path(self) -> str:
        return f"/apps/{self.app['id']}/test"


@pytest.fixture(scope="module")
async def called(
    browser: Any, database_urls: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Called]:
    folder = tmp_path_factory.mktemp("trials")
    async with running_installation(database_urls, folder) as installation:
        stack = installation.stack
        settings = Settings(
            listen="127.0.0.1:0",
            workflow_target=f"127.0.0.1:{stack.workflow_port}",
            deploy_target=f"127.0.0.1:{stack.deploy_port}",
            run_target=installation.run_target,
            drain_seconds=0,
        )
        app = await app_of(installation, SCHEMA)
        async with running_console(settings) as port:
            yield Called(Pages(browser, stack, port), installation, app)


async def app_of(installation: Installation, schema: Any, **fields: Any) -> Any:
    """An app whose flow's Input node has this schema."""
    stack = installation.stack
    flow = {**json.loads(FLOW), "code": CODE}
    next(node for node in flow["nodes"] if node["id"] == "input")["schema"] = schema
    draft = await stack.draft(f"asked-{uuid4().hex[:8]}")
    body = {"flow": flow, "flow_ui": json.loads(FLOW_UI)}
    await stack.ok("POST", f"/v1/workflows/{draft['id']}/save", body)
    return await stack.app(draft["id"], **fields)


async def answer(page: "Page") -> str:
    return " ".join((await page.get_by_role("region", name="Answer").inner_text()).split())


async def test_the_test_page_has_a_control_for_each_input_field(called: Called):
    async with called.pages.person("editor") as page:
        await page.goto(called.path)

        assert await page.get_by_label("question").input_value() == "why"
        assert await page.get_by_label("question").get_attribute("required") is not None
        assert await page.get_by_label("count").get_attribute("type") == "number"
        assert await page.get_by_label("brief").locator("option").all_inner_texts() == ["Not given", "true", "false"]
        assert f"What to ask {HOSTILE}" in await page.locator("[data-run-form]").inner_text()
        assert await page.get_by_label("files").is_disabled()
        assert "answered with 501" in await page.locator("[data-run-form]").inner_text()


@pytest.mark.parametrize("scripts", [True, False])
async def test_the_test_page_sends_typed_values_and_shows_the_version_that_answered(called: Called, scripts: bool):
    async with called.pages.person("editor", java_script_enabled=scripts) as page:
        await page.goto(called.path)
        await page.get_by_label("count").fill("2")
        await page.get_by_label("brief").select_option("true")
        await page.get_by_label(HOSTILE).fill('{"a": [1]}')
        await page.get_by_role("button", name="Run").click()

        card = await answer(page)
        text = await page.get_by_role("region", name="Answer").locator("pre").inner_text()
        assert json.loads(text) == {"echo": {"question": "why", "count": 2, "brief": True, HOSTILE: {"a": [1]}}}
        assert "Completed" in card
        assert "Version v1" in card
        assert await page.get_by_label("count").input_value() == "2"


async def test_the_test_page_reports_a_wrong_input_at_its_field_and_does_not_call_the_app(called: Called):
    async with called.pages.person("editor", java_script_enabled=False) as page:
        await page.goto(called.path)
        await page.evaluate("document.querySelector('form[data-run-form]').noValidate = true")
        await page.get_by_label("question").fill("")
        await page.get_by_role("button", name="Run").click()

        assert await page.locator(".wrong .error").all_inner_texts() == ["is required", "is required"]
        assert await page.get_by_role("region", name="Answer").count() == 0


async def test_the_test_page_shows_a_stream_as_it_arrives_with_its_nodes(called: Called):
    async with called.pages.person("editor") as page:
        await page.goto(called.path)
        await page.get_by_label("count").fill("40")
        await page.get_by_label("Stream").check()
        await page.get_by_role("button", name="Run").click()
        await page.get_by_text("part 3 ").wait_for()
        early = await answer(page)
        await page.get_by_text("Completed").first.wait_for()
        late = await answer(page)

    assert "Running" in early
    assert "part 39" not in early
    assert "part 39" in late
    assert "compute Completed 40" in late
    assert '"count": 40' in late


async def test_the_test_page_shows_a_whole_stream_without_scripts(called: Called):
    async with called.pages.person("editor", java_script_enabled=False) as page:
        await page.goto(called.path)
        await page.get_by_label("count").fill("3")
        await page.get_by_label("Stream").check()
        await page.get_by_role("button", name="Run").click()

        assert "compute Completed 3 " in await answer(page)
        assert "part 0 part 1 part 2" in await answer(page)


@pytest.mark.parametrize("streams", [True, False])
async def test_the_test_page_shows_why_a_run_failed(called: Called, streams: bool):
    async with called.pages.person("editor") as page:
        await page.goto(called.path)
        await page.get_by_label("question").fill("fail")
        await page.get_by_label("count").fill("1")
        await page.get_by_label("Stream").set_checked(streams)
        await page.get_by_role("button", name="Run").click()

        await page.get_by_role("alert").wait_for()
        assert "the model refused <script>" in await page.get_by_role("alert").inner_text()
        assert await page.get_by_text("Failed", exact=True).count() == 1


async def test_the_stop_button_of_the_test_page_cancels_the_run(called: Called):
    async with called.pages.person("editor") as page:
        await page.goto(called.path)
        await page.get_by_label("count").fill("1000")
        await page.get_by_label("Stream").check()
        await page.get_by_role("button", name="Run").click()
        await page.get_by_text("part 1 ").wait_for()
        await page.get_by_role("button", name="Stop").click()
        await page.get_by_text("Stopped").wait_for()
        await page.goto(f"/apps/{called.app['id']}/runs?status=canceled")
        for _ in range(20):
            if await page.get_by_text("Canceled").count() > 1:
                break
            await page.wait_for_timeout(200)
            await page.reload()

        assert await page.locator("tbody tr").count() == 1


async def test_a_version_is_tested_with_the_same_form_as_an_app(called: Called):
    async with called.pages.person("editor") as page:
        await page.goto(f"/workflows/{called.app['workflow_id']}/versions/1/test")
        await page.get_by_label("count").fill("2")
        await page.get_by_label("Stream").check()
        await page.get_by_role("button", name="Run").click()
        await page.get_by_text("Completed").first.wait_for()

        assert "part 0 part 1" in await answer(page)


async def test_the_test_page_accepts_json_and_reports_the_place_of_a_syntax_error(called: Called):
    async with called.pages.person("editor") as page:
        await page.goto(called.path)
        await page.get_by_role("link", name="JSON").click()
        assert json.loads(await page.get_by_role("textbox", name="Input").input_value())["question"] == "why"
        await page.get_by_role("textbox", name="Input").fill('{"count": 1,\n}')
        await page.get_by_role("button", name="Run").click()
        assert "line 2, column 1" in await page.locator("#input-error").inner_text()
        await page.get_by_role("textbox", name="Input").fill('{"free": 1}')
        await page.get_by_role("button", name="Run").click()

        assert '"free": 1' in await answer(page)


async def test_the_code_examples_of_an_app_contain_the_fields_of_its_live_flow(called: Called):
    async with called.pages.person("viewer") as page:
        await page.goto(f"/apps/{called.app['id']}/integration")
        shell, python, *_ = await page.locator("pre").all_inner_texts()

    given = {"question": "why", "count": 0, "brief": False}
    sent = shlex.split(shell)[-1]
    assert json.loads(sent) == {"input": given}
    assert f'json={{"input": {given!r}}}' in python


async def test_the_test_page_is_accessible_and_fits_a_phone(called: Called):
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="needs pip install '.[browser]'").Axe()
    async with called.pages.person("editor") as page:
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            await page.goto(called.path)
            await page.get_by_label("count").fill("2")
            await page.get_by_label("Stream").check()
            await page.get_by_role("button", name="Run").click()
            await page.get_by_text("Completed").first.wait_for()
            found = await axe.run(page)
            told = [(each["id"], each["nodes"][0]["html"][:300]) for each in found.response["violations"]]
            assert told == [], scheme
        await page.set_viewport_size(PHONE)
        assert not await page.evaluate(OVERFLOW)


async def test_a_screenshot_of_the_test_page_is_taken_for_the_docs(called: Called, tmp_path: Path):
    """With FLOWPIN_PICTURES=1 the picture replaces that in docs/console."""
    picture = (ROOT / "docs/console" if os.environ.get("FLOWPIN_PICTURES") else tmp_path) / "test.png"
    shown = {name: about for name, about in SCHEMA["properties"].items() if name != HOSTILE}
    shown["question"] = {"type": "string", "description": "What the customer asks", "default": "Where is my order?"}
    about = {"name": "support", "description": "Answers what customers ask"}
    app = await app_of(called.installation, {**SCHEMA, "properties": shown}, **about)
    async with called.pages.person("admin", viewport={"width": 1120, "height": 860}) as page:
        await page.goto(f"/apps/{app['id']}/test")
        await page.get_by_label("count").fill("3")
        await page.get_by_label("Stream").check()
        await page.get_by_role("button", name="Run").click()
        await page.get_by_text("Completed").first.wait_for()
        await page.evaluate("window.scrollTo(0, 0)")
        await page.screenshot(path=picture)

    assert picture.stat().st_size > 5_000
