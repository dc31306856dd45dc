"""Pages about apps in a browser: what is live, history, deploying by a plan, rollback, promotion."""

import asyncio
from typing import Any

import pytest

from tests.support.console_pages import OVERFLOW, PHONE, Pages
from tests.support.waiting import eventually, ready

pytestmark = pytest.mark.browser

FOCUSED = "document.activeElement.labels?.[0]?.innerText ?? document.activeElement.innerText"
HOSTILE = '<script>alert("x")</script>\u202e"&'


async def app_of(pages: Pages, saves: int = 2, **fields: Any) -> tuple[Any, Any, list[Any]]:
    """An app of the project `staged` with version 1 live in both environments, its workflow and its versions."""
    stack, project = pages.stack, pages.stack.people.staged
    workflow, versions = await stack.workflow(saves, project=project)
    first = versions[0]["id"]
    app = await stack.app(
        workflow["id"], **{"project_id": str(project), "name": "totals", "workflow_version_id": first, **fields}
    )
    await stack.deploy(app["id"], workflow["id"], workflow_version_id=first, environment="staging")
    return app, workflow, versions


async def test_the_page_of_an_app_shows_what_is_live_and_links_to_its_history(pages: Pages):
    app, _, _ = await app_of(pages)
    async with pages.person("viewer", project=app["project_id"]) as page:
        await page.goto(f"/apps?project={app['project_id']}")
        row = page.get_by_role("row").filter(has_text=app["hostname"])
        assert "production flow v1" in " ".join((await row.inner_text()).split())
        await row.get_by_role("link", name="totals").click()
        production = page.locator("section.card", has=page.get_by_role("heading", name="Production"))
        assert "flow v1" in await production.inner_text()
        assert "Ada Lovelace" in await production.inner_text()
        assert await page.get_by_role("link", name="Deploy", exact=True).count() == 0

        await page.get_by_role("link", name="All of the history").click()

        assert await page.locator("tbody tr").count() == 2


async def test_the_console_deploys_by_a_plan_and_another_browser_shows_it(pages: Pages):
    app, _, versions = await app_of(pages)
    async with pages.person("admin") as page, pages.person("viewer") as other:
        await other.goto(f"/apps/{app['id']}")
        await asyncio.sleep(0.5)
        await page.goto(f"/apps/{app['id']}")
        await page.get_by_role("link", name="Deploy", exact=True).click()
        assert await page.get_by_label("Deployment").input_value() == app["id"]
        assert "v1 (deployed): save 1" in await page.get_by_label("Source version").inner_text()
        await page.get_by_label("Source version").select_option(versions[1]["id"])
        await page.get_by_role("button", name="Review the plan").click()
        plan = " ".join((await page.locator("table").inner_text()).split())
        assert "Flow flow v1 flow v2 Changes" in plan
        assert "Configuration Serverless Serverless Same" in plan
        await page.get_by_label("Reason").fill("Members get discounts")

        await page.get_by_role("button", name="Deploy").click()
        await page.wait_for_url(f"**/apps/{app['id']}")
        await other.get_by_text("Members get discounts").first.wait_for(timeout=5000)

        assert "it is live" in await page.get_by_role("status").inner_text()


async def test_an_outdated_plan_is_reported_with_the_new_one(pages: Pages):
    app, workflow, versions = await app_of(pages)
    async with pages.person("admin") as page:
        await page.goto(
            f"/deploy/plan?workflow_id={workflow['id']}&app_id={app['id']}&workflow_version_id={versions[1]['id']}"
        )
        await pages.stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"])

        await page.get_by_role("button", name="Deploy").click()

        assert "plan" in (await page.get_by_role("alert").inner_text()).lower()
        assert "Flow flow v2 flow v2 Same" in " ".join((await page.locator("table").inner_text()).split())
        await page.get_by_role("button", name="Deploy").click()
        await page.wait_for_url(f"**/apps/{app['id']}")


async def test_the_deploy_page_creates_an_app(pages: Pages):
    _, workflow, _ = await app_of(pages)
    async with pages.person("admin", java_script_enabled=False) as page:
        await page.goto(f"/deploy?workflow_id={workflow['id']}&app_id=new")
        await page.get_by_label("Name").fill("second")
        await page.get_by_role("button", name="Review the plan").click()
        await page.get_by_role("button", name="Create and deploy").click()

        await page.wait_for_url("**/apps/*")
        assert await page.get_by_role("heading", level=1).inner_text() == "second"


@pytest.mark.parametrize("by_row", [True, False])
async def test_the_console_rolls_back_without_scripts_and_without_the_workflow_service(pages: Pages, by_row: bool):
    app, workflow, versions = await app_of(pages)
    await pages.stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"])
    async with pages.person("editor", java_script_enabled=False) as page:
        await page.goto(f"/apps/{app['id']}/history?environment=production")
        await pages.stack.stop_workflow_service()
        try:
            if by_row:
                await page.get_by_role("link", name="Roll back to v1").click()
            else:
                await page.get_by_role("link", name="Roll back", exact=True).click()
            target = page.locator("section.card", has=page.get_by_role("heading", name="Back to"))
            assert "flow v1" in await target.inner_text()
            await page.get_by_label("Reason").fill("Wrong totals")
            await page.get_by_role("button", name="Roll back to v1").click()
            await page.wait_for_url(f"**/apps/{app['id']}")
            production = page.locator("section.card", has=page.get_by_role("heading", name="Production"))
            shown = await production.inner_text()
            await page.goto(f"/apps/{app['id']}/history")
            rows = await page.locator("tbody tr").count()
        finally:
            await pages.stack.start_workflow_service()
            await eventually(lambda: ready(pages.stack), 10)

    assert "flow v1" in shown
    assert "Wrong totals" in shown
    assert rows == 4


async def test_a_rollback_with_an_outdated_plan_changes_nothing_and_shows_the_new_plan(pages: Pages):
    app, workflow, versions = await app_of(pages)
    await pages.stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"])
    async with pages.person("editor") as page:
        await page.goto(f"/apps/{app['id']}/rollback")
        assert "was live before flow v2" in await page.locator("main").inner_text()
        newer = await pages.stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"])
        await page.get_by_role("button", name="Roll back to v1").click()

        assert "The plan is out of date" in await page.get_by_role("alert").inner_text()
        [newest, *_] = await pages.stack.ok("GET", f"/v1/apps/{app['id']}/deployments")
        assert newest["id"] == newer["id"]
        await page.get_by_role("button", name="Roll back to v2").click()
        await page.wait_for_url(f"**/apps/{app['id']}")


async def test_the_rollback_page_offers_nothing_without_an_older_deployment(pages: Pages):
    app, _, _ = await app_of(pages)
    async with pages.person("editor") as page:
        await page.goto(f"/apps/{app['id']}/rollback")

        assert "Nothing older was live in production" in await page.get_by_role("alert").inner_text()
        assert await page.get_by_role("button", name="Roll back").count() == 0


async def test_the_promote_page_shows_both_environments_and_whether_they_differ(pages: Pages):
    app, workflow, versions = await app_of(pages)
    await pages.stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"], environment="staging")
    async with pages.person("editor") as page:
        await page.goto(f"/apps/{app['id']}")
        await page.get_by_role("link", name="Promote").click()
        assert await page.get_by_text("Different digest").count() == 1
        await page.get_by_role("button", name="Promote v2 to production").click()
        await page.wait_for_url(f"**/apps/{app['id']}")
        await page.goto(f"/apps/{app['id']}/promote")

        assert await page.get_by_text("Same digest").count() == 1


async def test_promoting_a_deployment_marked_bad_needs_a_confirmation(pages: Pages):
    app, _, _ = await app_of(pages)
    [_, production] = await pages.stack.ok("GET", f"/v1/apps/{app['id']}/deployments")
    async with pages.person("editor") as page:
        await page.goto(f"/apps/{app['id']}/deployments/{production['id']}")
        await page.get_by_label("Note").fill("rounds down")
        await page.get_by_role("button", name="Mark bad").click()
        assert await page.get_by_text("Bad", exact=True).count() == 1

        await page.goto(f"/apps/{app['id']}/promote")
        await page.get_by_role("button", name="Promote").click()

        assert "bad" in await page.get_by_role("alert").inner_text()
        await page.get_by_label("although it is marked bad").check()
        await page.get_by_role("button", name="Promote").click()
        await page.wait_for_url(f"**/apps/{app['id']}")

        await page.goto(f"/apps/{app['id']}/rollback?deployment_id={production['id']}")
        assert "bad" in await page.get_by_role("alert").inner_text()
        await page.get_by_label("although it is marked bad").check()
        await page.get_by_role("button", name="Roll back to v1").click()
        await page.wait_for_url(f"**/apps/{app['id']}")


async def test_the_history_page_finds_what_was_live_at_a_time(pages: Pages):
    app, workflow, versions = await app_of(pages)
    [_, first] = await pages.stack.ok("GET", f"/v1/apps/{app['id']}/deployments")
    await asyncio.sleep(1.1)
    await pages.stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"])
    async with pages.person("viewer") as page:
        await page.goto(f"/apps/{app['id']}/history?environment=production&live_at=2020-01-01T00:00:00Z")
        assert await page.locator("tbody tr").count() == 0
        later = first["live_from"].replace("Z", "999Z")
        await page.goto(f"/apps/{app['id']}/history?environment=production&live_at={later}")

        assert await page.locator("tbody tr").count() == 1
        assert "v1" in await page.locator("tbody tr").inner_text()


async def test_the_console_shows_an_access_key_once_and_revokes_it(pages: Pages):
    app, _, _ = await app_of(pages)
    async with pages.person("admin") as page:
        await page.goto(f"/apps/{app['id']}/keys")
        await page.get_by_label("Name").fill("billing")
        await page.get_by_role("button", name="Create key").click()
        key = await page.locator(".host code").first.inner_text()
        await page.get_by_role("link", name="I have copied it").click()

        assert key.startswith("dynamiq_acc_")
        assert key not in await page.content()
        await page.get_by_role("button", name="Revoke billing").click()
        assert "Revoked" in await page.get_by_role("status").inner_text()


PAGES_OF_APPS = {
    "apps": "/apps?project={project}",
    "app": "/apps/{app}",
    "history": "/apps/{app}/history",
    "deployment": "/apps/{app}/deployments/{deployment}",
    "rollback": "/apps/{app}/rollback",
    "promote": "/apps/{app}/promote",
    "integration": "/apps/{app}/integration",
    "keys": "/apps/{app}/keys",
    "variables": "/apps/{app}/variables",
    "runs": "/apps/{app}/runs",
    "test": "/apps/{app}/test",
    "deploy": "/deploy?workflow_id={workflow}",
    "plan": "/deploy/plan?workflow_id={workflow}&app_id={app}",
    "audit": "/audit?app={app}",
}


@pytest.fixture(scope="module")
async def hostile(pages: Pages) -> dict[str, str]:
    """The ids in the paths of PAGES_OF_APPS, for an app with hostile text in every field."""
    stack, project, text = pages.stack, pages.stack.people.staged, (HOSTILE * 20)[:512]
    workflow, _ = await stack.workflow(1, project=project)
    await stack.ok("PUT", f"/v1/workflows/{workflow['id']}", {"description": text})
    await stack.save(workflow["id"], HOSTILE)
    app = await stack.app(workflow["id"], project_id=str(project), name="a" * 128, description=text)
    await stack.deploy(app["id"], workflow["id"], reason=text, environment="staging")
    [_, first] = await stack.ok("GET", f"/v1/apps/{app['id']}/deployments")
    await stack.ok("POST", f"/v1/deployments/{first['id']}/health", {"health": "bad", "note": text})
    await stack.ok("POST", "/v1/access-keys", {"project_id": str(project), "name": HOSTILE})
    return {"app": app["id"], "workflow": workflow["id"], "deployment": first["id"], "project": str(project)}


@pytest.mark.parametrize("name", PAGES_OF_APPS)
async def test_a_page_of_an_app_is_accessible_and_escapes_hostile_text(
    pages: Pages, hostile: dict[str, str], name: str
):
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="needs pip install '.[browser]'").Axe()
    async with pages.person("admin", project=hostile["project"]) as page:
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            await page.goto(PAGES_OF_APPS[name].format(**hostile))
            found = await axe.run(page)
            told = [(each["id"], each["nodes"][0]["html"][:300]) for each in found.response["violations"]]
            assert told == [], scheme
        await page.set_viewport_size(PHONE)
        assert not await page.evaluate(OVERFLOW)
        assert await page.locator("main script").count() == 0


@pytest.mark.parametrize("name", PAGES_OF_APPS)
async def test_a_page_of_an_app_works_without_scripts(pages: Pages, hostile: dict[str, str], name: str):
    async with pages.person("viewer", java_script_enabled=False) as page:
        answer = await page.goto(PAGES_OF_APPS[name].format(**hostile))

        assert answer is not None
        assert answer.status == 200
        assert await page.get_by_role("heading", level=1).count() == 1


async def test_an_app_is_rolled_back_by_keyboard_only(pages: Pages):
    app, workflow, versions = await app_of(pages)
    await pages.stack.deploy(app["id"], workflow["id"], workflow_version_id=versions[1]["id"])
    async with pages.person("editor", project=app["project_id"]) as page:
        await page.goto(f"/apps/{app['id']}")

        async def tab_to(text: str) -> None:
            for _ in range(60):
                await page.keyboard.press("Tab")
                if text in await page.evaluate(FOCUSED):
                    return
            raise AssertionError(f"Tab does not reach {text}")

        await tab_to("Roll back")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/rollback")
        await tab_to("Reason")
        await page.keyboard.type("Wrong totals")
        await tab_to("Roll back")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/apps/{app['id']}")

        production = page.locator("section.card", has=page.get_by_role("heading", name="Production"))
        assert "Wrong totals" in await production.inner_text()
        await page.keyboard.press("g")
        await page.keyboard.press("a")
        await page.wait_for_url("**/apps?*")


async def test_the_page_of_an_unknown_app_is_a_404(pages: Pages):
    async with pages.person("viewer") as page:
        for path in ("/apps/01a22cdd-ac98-71db-b404-0ab554580b3e", "/apps/x", "/apps/x/history"):
            answer = await page.goto(path)

            assert answer is not None
            assert answer.status == 404


async def test_the_deploy_page_deploys_an_old_version_to_an_app_far_down_the_list(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("console.pages.deploy.MOST_CHOICES", 1)
    app, workflow, versions = await app_of(pages, saves=4, name="zz far down")
    address = f"/deploy?workflow_id={workflow['id']}&app_id={app['id']}&workflow_version_id={versions[1]['id']}"
    async with pages.person("editor") as page:
        await page.goto(address)
        app_shown = await page.get_by_label("Deployment").input_value()
        offered = await page.get_by_label("Source version").locator("option").all_inner_texts()
        await page.get_by_role("button", name="Review the plan").click()
        plan = " ".join((await page.locator("table").inner_text()).split())

    assert app_shown == app["id"]
    assert [each.partition(":")[0] for each in offered] == ["v4", "v2", "v1 (deployed)"]
    assert "Flow flow v1 flow v2 Changes" in plan
