"""The Audit page: the events of all workflows and apps of a project together, or of one of them."""

from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from console.server import running_console
from console.settings import Settings
from tests.support.console_pages import Pages

pytestmark = pytest.mark.browser


async def named(pages: Pages) -> tuple[Any, Any, str, str]:
    """A workflow and an app with unique names."""
    workflow_name, app_name = f"w-{uuid4().hex[:8]}", f"App {uuid4().hex[:8]}"
    workflow, _ = await pages.stack.workflow(name=workflow_name)
    app = await pages.stack.app(workflow["id"], name=app_name)
    return workflow, app, workflow_name, app_name


async def rows(page: Any) -> list[str]:
    """The action and the subject of each row."""
    return [" ".join([*(await row.locator("th, a").all_inner_texts())]) for row in await page.locator("tbody tr").all()]


async def test_the_audit_page_lists_events_of_all_workflows_and_apps_or_of_one(pages: Pages):
    workflow, app, workflow_name, app_name = await named(pages)
    await pages.stack.save(workflow["id"])
    await pages.stack.deploy(app["id"], workflow["id"])
    await pages.stack.rest("DELETE", f"/v1/apps/{app['id']}")
    async with pages.person("viewer", project=str(pages.stack.people.project)) as page:
        await page.goto("/audit")
        newest = (await rows(page))[:6]
        await page.get_by_role("link", name=app_name).first.click()
        await page.wait_for_url(f"**app={app['id']}")
        of_app = await rows(page)
        await page.get_by_label("Of what").select_option(label=workflow_name)
        await page.get_by_role("button", name="Show", exact=True).click()
        await page.wait_for_url(f"**{workflow['id']}")
        of_workflow = await rows(page)
        await page.get_by_role("link", name="Open the workflow").click()
        await page.wait_for_url(f"**/workflows/{workflow['id']}")

    assert newest == [
        f"DeleteApp {app_name}",
        f"DeployApp {app_name}",
        f"SaveWorkflow {workflow_name}",
        f"CreateApp {app_name}",
        f"SaveWorkflow {workflow_name}",
        f"CreateWorkflow {workflow_name}",
    ]
    assert of_app == ["DeleteApp", "DeployApp", "CreateApp"]
    assert of_workflow == ["SaveWorkflow", "SaveWorkflow", "CreateWorkflow"]


async def test_the_audit_page_shows_all_older_events_page_by_page_without_scripts(pages: Pages):
    project = str(pages.stack.people.project)
    workflow, app, _, _ = await named(pages)
    for _ in range(30):
        await pages.stack.save(workflow["id"])
        await pages.stack.deploy(app["id"], workflow["id"])
    expected = [
        event
        for path in ("workflow", "app")
        for event in await pages.stack.ok("GET", f"/v1/{path}-audit-events?project_id={project}&page_size=500")
    ]
    expected.sort(key=lambda event: datetime.fromisoformat(event["created_at"]), reverse=True)
    async with pages.person("viewer", project=project, java_script_enabled=False) as page:
        await page.goto("/audit")
        shown = await rows(page)
        await page.get_by_role("link", name="Older").click()
        shown += await rows(page)
        await page.get_by_role("link", name="Newest").click()
        again = await rows(page)

    assert (
        shown
        == [
            f"{event['action']} {event.get('workflow_name') or event.get('app_name') or 'draft, deleted'}"
            for event in expected[:100]
        ][: len(shown)]
    )
    assert len(shown) > 60
    assert again == shown[:50]


async def test_the_audit_page_shows_events_of_one_service_while_the_other_is_down(pages: Pages):
    _, _, workflow_name, app_name = await named(pages)
    settings = Settings(
        listen="127.0.0.1:0",
        workflow_target=f"127.0.0.1:{pages.stack.workflow_port}",
        deploy_target="127.0.0.1:1",
        drain_seconds=0,
        timeout_seconds=2,
    )
    project = str(pages.stack.people.project)
    async with (
        running_console(settings) as port,
        Pages(pages.browser, pages.stack, port).person(project=project) as page,
    ):
        await page.goto("/audit")
        shown = await page.locator("main").inner_text()
        banner = await page.get_by_role("status").first.inner_text()

    assert workflow_name in shown
    assert app_name not in shown
    assert "The deploy service does not answer" in banner
