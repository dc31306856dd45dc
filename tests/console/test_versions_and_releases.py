"""Drafts, saves, versions, exports, templates and imports in the console, as a person uses it."""

import asyncio
import io
import json
import zipfile
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.console_pages import Pages
from tests.support.console_walks import flow_with, save_as

pytestmark = pytest.mark.browser


def new_name() -> str:
    return f"w-{uuid4().hex[:10]}"


async def test_the_list_of_workflows_labels_drafts_and_counts_versions_of_others(pages: Pages):
    name = new_name()
    await pages.stack.draft(name)
    released = new_name()
    await pages.stack.workflow(2, name=released)

    async with pages.person(project=str(pages.stack.people.project)) as page:
        assert "Draft" in await page.get_by_role("row").filter(has_text=name).inner_text()
        assert "2 versions" in await page.get_by_role("row").filter(has_text=released).inner_text()
        await page.get_by_role("link", name="Drafts").click()
        await page.get_by_role("row").filter(has_text=name).wait_for()
        assert await page.get_by_role("row").filter(has_text=released).count() == 0


async def test_leaving_a_draft_with_unsaved_changes_offers_to_delete_it(pages: Pages):
    draft = await pages.stack.draft(new_name())

    async with pages.person() as page:
        await page.goto(f"/workflows/{draft['id']}/save")
        await page.get_by_label("Version description").fill("not saved")
        await page.get_by_role("link", name="Apps").click()
        await page.get_by_role("button", name="Delete & leave").click()
        await page.wait_for_url("**/workflows")

        assert "deleted" in await page.get_by_role("status").inner_text()
    answer = await pages.stack.rest("GET", f"/v1/workflows/{draft['id']}")
    assert answer.status == 404


async def test_a_save_appends_a_version_and_leaving_unsaved_changes_asks(pages: Pages):
    workflow, _ = await pages.stack.workflow(1, name=new_name())

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}/save")
        await page.get_by_label("Version description").fill("not saved")
        await page.get_by_role("link", name="Templates").click()
        await page.get_by_role("button", name="Keep editing").click()
        assert page.url.endswith("/save")
        await save_as(page, flow_with("two"), "the second")

        await page.wait_for_url("**/versions/2")
        assert "v2 is saved" in await page.get_by_role("status").inner_text()
    versions = await pages.stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions")
    assert [each["version"] for each in versions] == [2, 1]


async def test_the_save_page_shows_the_next_number_and_asks_a_draft_for_its_name(pages: Pages):
    draft, name = await pages.stack.draft(new_name()), new_name()
    workflow, _ = await pages.stack.workflow(2, name=new_name())

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}/save")
        assert await page.get_by_role("heading", level=1).inner_text() == "Save v3"
        assert await page.get_by_label("Name", exact=True).count() == 0
        await page.goto(f"/workflows/{draft['id']}/save")
        assert "v1" in await page.get_by_role("heading", level=1).inner_text()
        await page.get_by_label("Name", exact=True).fill(name)
        await page.get_by_label("Version description").fill("the first")
        await page.get_by_role("button", name="Save and release").click()
        await page.wait_for_url("**/versions/1")

    released = await pages.stack.ok("GET", f"/v1/workflows/{draft['id']}")
    assert (released["status"], released["name"]) == ("released", name)
    assert released["latest_version"]["description"] == "the first"


async def test_the_version_history_shows_authors_times_and_the_current_version(pages: Pages):
    workflow, versions = await pages.stack.workflow(3, name=new_name())
    app = await pages.stack.app(workflow["id"], workflow_version_id=versions[1]["id"], name="orders")
    assert app

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}")
        rows = page.get_by_role("region", name="Version history").locator("tbody tr")
        texts = await rows.all_inner_texts()

        assert [text.split()[0] for text in texts] == ["v3", "v2", "v1"]
        assert "Current" in texts[0]
        assert "Preview" not in texts[0]
        assert all("Preview" in text for text in texts[1:])
        assert all("Ada Lovelace" in text and ("ago" in text or "just now" in text) for text in texts)
        assert "save 1" in texts[2]
        assert await rows.nth(1).locator("time").get_attribute("title")


async def test_an_older_version_is_previewed_and_restored_as_a_new_version(pages: Pages):
    workflow, versions = await pages.stack.workflow(2, name=new_name())

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}")
        await page.get_by_role("link", name="Preview v1").click()
        assert "read-only" in await page.get_by_role("region", name="Preview").inner_text()
        await page.get_by_role("link", name="Back to draft").click()
        await page.wait_for_url(f"**/workflows/{workflow['id']}")
        await page.get_by_role("link", name="Preview v1").click()
        await page.get_by_role("link", name="Replace draft with this version").click()
        assert "Nothing is saved yet" in await page.get_by_role("status").inner_text()
        assert len(await pages.stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions")) == 2
        await page.get_by_role("button", name="Save v3").click()
        await page.wait_for_url("**/versions/3")
        assert "identical to v1" in await page.locator("main").inner_text()

    restored = await pages.stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions/3")
    assert restored["digest"] == versions[0]["digest"]


async def test_a_previewed_version_has_a_test_page(pages: Pages):
    workflow, _ = await pages.stack.workflow(2, name=new_name())

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}/versions/1")
        await page.get_by_role("link", name="Test").click()
        await page.get_by_label("price").fill("2.5")
        await page.get_by_label("quantity").fill("4")
        await page.get_by_role("button", name="Run").click()

        # This installation has no run service, and the page says so.
        assert "Apps do not run here" in await page.get_by_role("alert").inner_text()


async def test_save_as_new_creates_a_workflow_without_the_history(pages: Pages):
    workflow, _ = await pages.stack.workflow(2, name=new_name())
    name = new_name()

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}/versions/1")
        await page.get_by_label("More").click()
        await page.get_by_role("button", name="Save as new").click()
        await page.get_by_label("Name", exact=True).fill(name)
        await page.get_by_role("dialog").get_by_role("button", name="Save as new").click()
        await page.get_by_role("heading", name=name).wait_for()

        assert workflow["id"] not in page.url
        rows = page.get_by_role("region", name="Version history").locator("tbody tr")
        assert await rows.count() == 1
    assert len(await pages.stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions")) == 2


@pytest.mark.parametrize("scripts", [True, False])
async def test_7_save_as_new_is_in_the_menu_of_the_workflow_and_opens_its_form(pages: Pages, scripts: bool):
    workflow, _ = await pages.stack.workflow(1, name=new_name())
    name = new_name()

    async with pages.person(java_script_enabled=scripts) as page:
        await page.goto(f"/workflows/{workflow['id']}")
        await page.get_by_label("More").click()
        await page.get_by_role("link", name="Save as new").click()
        await page.get_by_label("Name", exact=True).fill(name)
        await page.get_by_role("dialog").get_by_role("button", name="Save as new").click()

        await page.get_by_role("heading", name=name).wait_for()


async def test_an_export_from_the_console_is_a_zip_of_two_files(pages: Pages):
    workflow, _ = await pages.stack.workflow(1, name=new_name())

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}")
        async with page.expect_download() as download:
            await page.get_by_role("link", name="Export").click()
        found = await download.value
        content = await asyncio.to_thread(Path(str(await found.path())).read_bytes)

        assert found.suggested_filename == "workflow.zip"
        assert sorted(zipfile.ZipFile(io.BytesIO(content)).namelist()) == ["config.yaml", "main.py"]


async def test_an_export_of_a_flow_with_errors_shows_the_errors(pages: Pages):
    workflow, _ = await pages.stack.workflow(1, name=new_name())
    flow = {"nodes": [{"id": "x", "name": "x", "type": "dynamiq.nodes.Nothing"}]}
    await pages.stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", {"flow": flow, "flow_ui": {}})

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}")
        await page.get_by_role("link", name="Export").click()

        assert "type" in await page.get_by_role("alert").inner_text()


async def test_the_console_archives_versions_except_the_latest(pages: Pages):
    workflow, _ = await pages.stack.workflow(2, name=new_name())

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}/versions/2")
        await page.get_by_label("More").click()
        assert await page.get_by_role("button", name="Archive").count() == 0
        await page.goto(f"/workflows/{workflow['id']}/versions/1")
        await page.get_by_label("More").click()
        await page.get_by_role("button", name="Archive").click()
        await page.get_by_role("dialog").get_by_role("button", name="Archive").click()
        assert "v1 is archived" in await page.get_by_role("status").inner_text()
        await page.goto(f"/workflows/{workflow['id']}")
        rows = page.get_by_role("region", name="Version history").locator("tbody tr")
        assert await rows.count() == 1
        await page.get_by_role("link", name="With archived").click()
        assert "Archived" in await rows.nth(1).inner_text()


async def test_the_console_creates_a_draft_from_a_template(pages: Pages):
    name = new_name()

    async with pages.person(project=str(pages.stack.people.project)) as page:
        await page.get_by_role("link", name="Templates").click()
        await page.get_by_role("link", name="Use Route tickets").click()
        await page.get_by_label("Name", exact=True).fill(name)
        await page.get_by_role("button", name="Create draft").click()
        await page.get_by_role("heading", name=name).wait_for()

        assert "Draft" in await page.locator("header.page").inner_text()
        assert "Choice" in await page.locator("main").inner_text()


async def test_the_console_imports_a_config_yaml(pages: Pages):
    name = new_name()
    config = Path(__file__).parents[1] / "data" / "configs" / "dag.yaml"

    async with pages.person(project=str(pages.stack.people.project)) as page:
        await page.goto("/workflows/new")
        await page.get_by_label("Name", exact=True).fill(name)
        await page.get_by_label("Or a file").set_input_files(config)
        await page.get_by_role("button", name="Create draft").click()
        await page.get_by_role("heading", name=name).wait_for()

        assert "openai-1" in (await page.locator(".graph-text").inner_html()).lower()


async def test_the_console_saves_a_config_yaml_as_the_next_version(pages: Pages):
    workflow, _ = await pages.stack.workflow(1, name=new_name())
    config = Path(__file__).parents[1] / "data" / "config.yaml"

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}/save")
        await page.get_by_label("Or a file").set_input_files(config)
        await page.get_by_role("button", name="Save v2").click()
        await page.wait_for_url("**/versions/2")

    saved = await pages.stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions/2")
    assert [node["id"] for node in saved["flow"]["nodes"]] == ["input", "compute", "label", "output"]


async def test_the_save_page_shows_problems_by_node_before_saving(pages: Pages):
    workflow, _ = await pages.stack.workflow(1, name=new_name())
    flow = {"nodes": [{"id": "x", "name": "lost", "type": "dynamiq.nodes.Nothing", "depends": [{"node": "nobody"}]}]}

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}/save")
        await page.get_by_label("Flow", exact=True).fill(json.dumps(flow))
        await page.get_by_role("button", name="Check").click()

        problems = await page.get_by_role("region", name="Problems by node").inner_text()
        assert "Node lost" in problems
        assert "nobody" in problems
        assert json.loads(await page.get_by_label("Flow", exact=True).input_value()) == flow
    assert len(await pages.stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions")) == 1


async def test_the_save_page_reports_the_place_of_a_syntax_error(pages: Pages):
    workflow, _ = await pages.stack.workflow(1, name=new_name())

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}/save")
        await page.get_by_label("Flow", exact=True).fill('{"nodes": [\n}')
        await page.get_by_role("button", name="Save v2").click()

        assert "line 2, column 1" in await page.locator("#flow-error").inner_text()


async def test_a_save_conflict_in_the_console_shows_the_other_author_and_both_flows(pages: Pages):
    workflow, _ = await pages.stack.workflow(1, name=new_name())

    async with pages.person("editor") as one, pages.person("admin") as other:
        for page in (one, other):
            await page.goto(f"/workflows/{workflow['id']}/save")
        await save_as(one, flow_with("theirs"), "theirs")
        await one.wait_for_url("**/versions/2")
        await save_as(other, flow_with("mine"), "mine")
        conflict = other.get_by_role("alert")
        text = await conflict.inner_text()

        assert "Ada Lovelace saved v2 meanwhile" in text
        assert "Both of you changed: label" in text
        assert "theirs" in text
        assert "mine" in text
        assert "mine" in await other.get_by_label("Flow", exact=True).input_value()
        await other.get_by_role("button", name="Save mine on top of v2").click()
        await other.wait_for_url("**/versions/3")


async def test_the_compare_page_shows_both_values_of_each_difference(pages: Pages):
    workflow, _ = await pages.stack.workflow(1, name=new_name())
    for note in ("one", "two"):
        body = {"flow": flow_with(note), "flow_ui": {}}
        await pages.stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body)

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}")
        await page.get_by_role("link", name="Compare v2 with v3").click()
        values = page.get_by_role("region", name="Values")

        assert "'one'" in await values.inner_text()
        assert "'two'" in await values.inner_text()
        await page.get_by_label("From version").select_option("1")
        await page.get_by_role("button", name="Compare").click()
        await page.wait_for_url("**/compare/1/3")


async def test_a_save_form_that_is_sent_twice_saves_once(pages: Pages):
    workflow, _ = await pages.stack.workflow(1, name=new_name())

    async with pages.person() as page:
        await page.goto(f"/workflows/{workflow['id']}/save")
        await page.get_by_label("Version description").fill("once")
        await page.get_by_role("button", name="Save v2").dblclick()
        await page.wait_for_url("**/versions/2")
        await page.go_back()
        key = await page.locator("input[name=key]").get_attribute("value")
        assert key
    versions = await pages.stack.ok("GET", f"/v1/workflows/{workflow['id']}/versions")
    assert [each["version"] for each in versions] == [2, 1]
