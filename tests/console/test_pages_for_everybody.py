"""Pages work without scripts, by keyboard, on a phone, in dark mode and with assistive technology. Text is escaped."""

import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import aiohttp
import pytest

from console.server import running_console
from console.settings import Settings
from tests.support.console_pages import OVERFLOW, PHONE, Pages
from tests.support.console_walks import HOSTILE, LONG, flow_with, layout

if TYPE_CHECKING:
    from playwright.async_api import Dialog

pytestmark = pytest.mark.browser
SCREENS = Path(__file__).parents[2] / "docs" / "console"
PAGES = {
    "workflows": "/workflows",
    "workflow": "/workflows/{workflow}",
    "node": "/workflows/{workflow}?node=compute",
    "version": "/workflows/{workflow}/versions/1",
    "compare": "/workflows/{workflow}/compare/1/2",
    "save": "/workflows/{workflow}/save",
    "restore": "/workflows/{workflow}/save?from=1",
    "try": "/workflows/{workflow}/versions/1/test",
    "draft": "/workflows/{draft}",
    "save-draft": "/workflows/{draft}/save",
    "new": "/workflows/new",
    "templates": "/templates",
    "audit": "/audit",
    "audit-workflow": "/audit?workflow={workflow}",
    "failed": "/workflows/01980000-0000-7000-8000-000000000000",
}


HEIGHTS = {"workflow": 1060, "compare": 980}
"""Heights of pictures for the docs that need more than the default."""


@pytest.fixture(scope="module")
async def hostile(pages: Pages) -> dict[str, str]:
    """The ids in the paths of PAGES, for a workflow and a draft with hostile text in every field."""
    stack = pages.stack
    draft = await stack.draft(f"draft-{uuid4().hex[:8]}")
    workflow = await stack.draft(f"hostile-{uuid4().hex[:8]}")
    for each in (draft, workflow):
        await stack.ok("PUT", f"/v1/workflows/{each['id']}", {"description": LONG[:512]})
    for note in ("one", "two"):
        node = {"name": HOSTILE, "code": f"# {HOSTILE}\n# {note}\n{'y' * 10_000}"}
        body = {"flow": flow_with(note, label=node), "flow_ui": layout(), "description": LONG[:512]}
        await stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body)
    await stack.ok("PUT", f"/v1/workflows/{workflow['id']}/versions/1/note", {"note": LONG})
    return {"workflow": workflow["id"], "draft": draft["id"]}


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_of_the_console_is_accessible_and_escapes_hostile_text(
    pages: Pages, hostile: dict[str, str], name: str
):
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="needs pip install '.[browser]'").Axe()
    path = PAGES[name].format(**hostile)
    said: list[str] = []

    async def accept(dialog: "Dialog") -> None:
        if dialog.type != "beforeunload":  # asked by pages with unsaved changes
            said.append(dialog.message)
        await dialog.accept()

    async with pages.person(project=str(pages.stack.people.project)) as page:
        page.on("dialog", accept)
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            await page.goto(path)
            found = await axe.run(page)
            told = [(each["id"], each["nodes"][0]["html"][:300]) for each in found.response["violations"]]
            assert told == [], scheme
        await page.set_viewport_size(PHONE)
        assert not await page.evaluate(OVERFLOW)
        if name not in ("failed", "templates", "new", "audit", "audit-workflow", "workflows", "try"):
            assert "<script>alert" in await page.locator("body").inner_text() or await page.locator("textarea").count()
    assert said == []


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_of_the_console_works_without_scripts(pages: Pages, hostile: dict[str, str], name: str):
    path = PAGES[name].format(**hostile)

    async with pages.person(java_script_enabled=False) as page:
        answer = await page.goto(path)
        assert answer is not None
        assert answer.status == (404 if name == "failed" else 200)
        assert await page.get_by_role("heading", level=1).count() == 1


async def test_a_version_is_saved_restored_and_archived_without_scripts(pages: Pages):
    workflow, _ = await pages.stack.workflow(1, name=f"w-{uuid4().hex[:8]}")

    async with pages.person(java_script_enabled=False) as page:
        await page.goto(f"/workflows/{workflow['id']}/save")
        await page.get_by_label("Version description").fill("without scripts")
        await page.get_by_role("button", name="Save v2").click()
        assert "v2 is saved" in await page.get_by_role("status").inner_text()
        await page.goto(f"/workflows/{workflow['id']}/versions/1")
        await page.get_by_label("More").click()
        await page.get_by_role("button", name="Archive").click()
        await page.get_by_role("dialog").get_by_role("button", name="Archive").click()
        assert "v1 is archived" in await page.get_by_role("status").inner_text()
        await page.get_by_role("link", name="Replace draft with this version").click()
        await page.get_by_role("button", name="Save v3").click()
        assert "v3 is saved" in await page.get_by_role("status").inner_text()


async def test_a_workflow_is_found_and_opened_by_keyboard_only(pages: Pages):
    name = f"keys-{uuid4().hex[:8]}"
    workflow, _ = await pages.stack.workflow(2, name=name)

    async with pages.person(project=str(pages.stack.people.project)) as page:
        await page.keyboard.press("g")
        await page.keyboard.press("t")
        await page.wait_for_url("**/templates*")
        await page.keyboard.press("g")
        await page.keyboard.press("w")
        await page.wait_for_url("**/workflows*")
        await page.keyboard.press("/")
        await page.keyboard.type(name)
        await page.get_by_role("link", name=name).wait_for()
        await page.wait_for_url(f"**name={name}*")
        for _ in range(12):
            await page.keyboard.press("Tab")
            if await page.locator(":focus").inner_text() == name:
                break
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/workflows/{workflow['id']}")
        await page.keyboard.press("?")
        await page.get_by_role("dialog", name="Keys and help").wait_for()
        await page.keyboard.press("Escape")
        await page.get_by_role("dialog", name="Keys and help").wait_for(state="hidden")


async def test_a_viewer_is_offered_no_changes_in_the_console(pages: Pages, hostile: dict[str, str]):
    async with pages.person("viewer", project=str(pages.stack.people.project)) as page:
        assert await page.get_by_role("link", name="New workflow").count() == 0
        await page.goto(f"/workflows/{hostile['workflow']}/versions/1")
        names = await page.locator("main a, main button").all_inner_texts()
        assert not {"Deploy", "Test", "Archive", "Delete", "Save as new", "Replace draft with this version"} & set(
            names
        )
        assert "Export" in names


async def test_a_viewer_who_submits_a_save_is_refused(pages: Pages, hostile: dict[str, str]):
    async with pages.person("viewer") as page:
        await page.goto(f"/workflows/{hostile['workflow']}/save")
        await page.get_by_role("button", name="Save v3").click()

        assert "Your role does not allow this" in await page.get_by_role("alert").inner_text()


async def test_the_copy_button_puts_the_whole_id_into_the_clipboard(pages: Pages, hostile: dict[str, str]):
    async with pages.person(permissions=["clipboard-read", "clipboard-write"]) as page:
        await page.goto(f"/workflows/{hostile['workflow']}")
        await page.get_by_role("button", name="Copy the workflow's id").click()
        await page.get_by_role("button", name="Copied").wait_for()

        assert await page.evaluate("navigator.clipboard.readText()") == hostile["workflow"]


async def test_a_selected_node_is_shown_beside_the_graph(pages: Pages, hostile: dict[str, str]):
    async with pages.person() as page:
        await page.goto(f"/workflows/{hostile['workflow']}")
        await page.locator("[data-graph-node] >> text=compute").first.click()
        await page.get_by_role("heading", name="compute").wait_for()

        assert "price or 0" in await page.locator("[data-graph-panel]").inner_text()


async def test_versions_are_shown_with_a_banner_while_the_deploy_service_is_down(pages: Pages):
    workflow, _ = await pages.stack.workflow(2, name=f"w-{uuid4().hex[:8]}")
    settings = Settings(
        listen="127.0.0.1:0",
        workflow_target=f"127.0.0.1:{pages.stack.workflow_port}",
        deploy_target="127.0.0.1:1",
        drain_seconds=0,
        timeout_seconds=2,
    )
    async with running_console(settings) as port, Pages(pages.browser, pages.stack, port).person() as page:
        await page.goto(f"/workflows/{workflow['id']}")

        assert "The deploy service does not answer" in await page.get_by_role("status").first.inner_text()
        assert await page.get_by_role("link", name="Preview v1").count() == 1


async def test_the_page_of_a_workflow_is_fast_for_one_caller(pages: Pages):
    """With 10,000 versions it is measured by hand (docs/console.md)."""
    workflow, _ = await pages.stack.workflow(30, name=f"w-{uuid4().hex[:8]}")
    headers = {"Sec-Fetch-Site": "same-origin"}
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(pages.origin, headers=headers, cookie_jar=jar) as session:
        async with session.post("/sign-in", data={"token": pages.stack.people.secret("admin")}) as answer:
            assert answer.status == 200
        seconds = []
        for _ in range(40):
            started = time.perf_counter()
            async with session.get(f"/workflows/{workflow['id']}") as answer:
                await answer.read()
            seconds.append(time.perf_counter() - started)

    assert statistics.median(seconds) < 1.5, "150 ms on a quiet machine"


@pytest.mark.parametrize("name", ["workflows", "workflow", "version", "compare", "save", "templates", "audit"])
async def test_a_screenshot_of_a_console_page_is_taken_for_the_docs(
    pages: Pages, tmp_path: Path, name: str, request: pytest.FixtureRequest
):
    """With FLOWPIN_PICTURES=1 the pictures replace those in docs/console."""
    folder = SCREENS if os.environ.get("FLOWPIN_PICTURES") else tmp_path
    workflow = await _sample_workflow(pages)
    size = {"width": 1120, "height": HEIGHTS.get(name, 760)}
    async with pages.person(project=str(pages.stack.people.project), viewport=size) as page:
        await page.goto(PAGES[name].format(workflow=workflow, draft=workflow))
        await page.screenshot(path=folder / f"{name}.png")

    assert (folder / f"{name}.png").stat().st_size > 5_000


async def _sample_workflow(pages: Pages) -> str:
    """The id of a realistic workflow, created once."""
    stack = pages.stack
    rows = await stack.ok("GET", f"/v1/workflows?project_id={stack.people.project}&name=order-total")
    if rows:
        return str(rows[0]["id"])
    workflow = await stack.draft("order-total")
    about = {"description": "Totals an order and words the result."}
    await stack.ok("PUT", f"/v1/workflows/{workflow['id']}", about)
    for note, said in (
        ("total=", "First release"),
        ("The total is ", "Words the total"),
        ("Total: ", "Shorter, as support asked"),
        ("The total is ", "Back to the longer wording"),
    ):
        body = {"flow": flow_with(note), "flow_ui": layout(), "description": said}
        await stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body)
    versions = await stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions")
    await stack.app(workflow["id"], name="checkout", workflow_version_id=versions[1]["id"])
    return str(workflow["id"])
