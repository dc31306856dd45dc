"""Failed and canceled rollouts on the pages of an app. Rollouts follow a script: an app's first one succeeds, its
second fails, its third never ends."""

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from console.server import running_console
from console.settings import Settings
from tests.support.console_pages import Pages
from tests.support.stack import fresh_stack, running_stack

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
async def scripted(
    browser: "Browser", database_urls: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pages]:
    deploy = {"rollout_driver": "scripted", "rollout_script": "ok,fail,hang", "wait_seconds": 1}
    folder = tmp_path_factory.mktemp("scripted")
    async with fresh_stack(database_urls, folder) as unstarted, running_stack(unstarted, deploy=deploy) as stack:
        settings = Settings(
            listen="127.0.0.1:0",
            workflow_target=f"127.0.0.1:{stack.workflow_port}",
            deploy_target=f"127.0.0.1:{stack.deploy_port}",
            drain_seconds=0,
        )
        async with running_console(settings) as port:
            yield Pages(browser, stack, port)


async def live_app(pages: Pages) -> tuple[str, str]:
    """The path of the app, and that of a plan to deploy v2 to it."""
    workflow, versions = await pages.stack.workflow(2)
    app = await pages.stack.app(workflow["id"], workflow_version_id=versions[0]["id"])
    deploy = f"/deploy/plan?workflow_id={workflow['id']}&app_id={app['id']}&workflow_version_id={versions[1]['id']}"
    return f"/apps/{app['id']}", deploy


async def deploy(page: "Page", plan: str) -> None:
    await page.goto(plan)
    await page.get_by_role("button", name="Deploy").click()
    await page.wait_for_url("**/apps/*")


async def production(page: "Page") -> str:
    card = page.locator("section.card", has=page.get_by_role("heading", name="Production"))
    return await card.inner_text()


async def test_the_console_shows_why_a_rollout_failed_and_what_stays_live(scripted: Pages):
    path, plan = await live_app(scripted)
    async with scripted.person("editor") as page:
        await deploy(page, plan)
        await page.goto(path)
        assert "flow v1" in await production(page)
        await page.goto(f"{path}/history?status=failed")
        row = page.locator("tbody tr")
        assert await row.count() == 1
        assert "Failed" in await row.inner_text()
        assert "The script says that this rollout fails." in await row.inner_text()
        await row.get_by_role("link", name="v2").first.click()

        alert = await page.get_by_role("alert").inner_text()
        assert "It did not go live." in alert
        assert "The script says that this rollout fails." in alert
        assert "What was live before stays live." in alert


@pytest.mark.parametrize("scripts", [True, False])
async def test_the_console_cancels_a_rollout_from_its_row(scripted: Pages, scripts: bool):
    path, plan = await live_app(scripted)
    async with (
        scripted.person("editor", java_script_enabled=scripts) as page,
        scripted.person("viewer") as other,
    ):
        await deploy(page, plan)
        await deploy(page, plan)
        await other.goto(path)
        assert await other.get_by_text("Deploying", exact=True).count() == 1
        assert await other.get_by_role("link", name="Cancel", exact=True).count() == 0
        await page.goto(f"{path}/history?status=deploying")
        await page.get_by_role("link", name="Cancel", exact=True).click()
        await page.get_by_role("button", name="Cancel this deployment").click()

        assert "What is live stays live" in await page.get_by_role("status").inner_text()
        assert await page.get_by_text("Canceled", exact=True).count() == 1
        assert await page.get_by_role("button", name="Cancel this deployment").count() == 0
        await other.get_by_text("Canceled", exact=True).wait_for()
        assert "flow v1" in await production(other)


async def test_a_deploy_form_that_is_sent_twice_deploys_once(scripted: Pages):
    path, plan = await live_app(scripted)
    async with scripted.person("editor") as page:
        await page.goto(plan)
        form: dict[str, Any] = await page.evaluate(
            "Object.fromEntries(new FormData(document.querySelector('main form[method=post]')))"
        )
        action = await page.locator("main form[method=post]").get_attribute("action")
        assert form["key"]
        assert action
        for _ in range(2):
            answer = await page.request.post(
                scripted.origin + action, form=form, headers={"Sec-Fetch-Site": "same-origin"}, max_redirects=0
            )
            assert answer.status == 303
        await page.goto(f"{path}/history")

        assert await page.locator("tbody tr").count() == 2
