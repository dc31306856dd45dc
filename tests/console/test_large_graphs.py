"""The page of a workflow with 2,000 nodes is drawn in under a second."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.console_pages import Pages
from tests.support.up_process import machine_is_quiet

pytestmark = pytest.mark.browser

NODES = 2_000
SECONDS = 1.0
BUSY_SECONDS = 30.0
"""The limit while other tests keep the machine busy."""
TRIES = 5
"""The fastest one counts."""
PAINTED = """async () => {
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() / 1000;
}"""
"""Seconds from the request of the page until it is painted."""


def large_flow() -> dict[str, Any]:
    """Each node depends on up to two earlier ones. There are no positions, so the console lays it out."""
    nodes: list[dict[str, Any]] = [{"id": "n0", "name": "start", "type": "dynamiq.nodes.utils.Input"}]
    for number in range(1, NODES):
        before = {(number - 1) // 2, max(0, number - 7)}
        depends = [{"node": f"n{each}"} for each in sorted(before)]
        node = {"id": f"n{number}", "name": f"step {number}", "type": "dynamiq.nodes.tools.Python"}
        nodes.append({**node, "code": "def run(input_data):\n    return input_data\n", "depends": depends})
    return {"id": "large", "nodes": nodes}


async def test_the_page_of_2000_nodes_is_drawn_in_under_a_second_and_can_be_moved(pages: Pages):
    draft = await pages.stack.draft(f"large-{uuid4().hex[:8]}")
    body = {"flow": large_flow(), "flow_ui": {}}
    await pages.stack.ok("POST", f"/v1/workflows/{draft['id']}/save", body)

    was_quiet = machine_is_quiet()
    async with pages.person("viewer") as page:
        took = []
        for _ in range(TRIES):
            await page.goto(f"/workflows/{draft['id']}")
            took.append(await page.evaluate(PAINTED))
        before = await page.locator("[data-graph-svg]").get_attribute("viewBox")
        await page.locator("[data-graph-canvas]").focus()
        await page.keyboard.press("ArrowRight")
        await page.wait_for_timeout(500)
        after = await page.locator("[data-graph-svg]").get_attribute("viewBox")

        assert await page.locator("[data-graph-node]").count() == NODES
        assert min(took) < (SECONDS if was_quiet and machine_is_quiet() else BUSY_SECONDS), took
        assert before != after

        assert await page.locator(".graph-text tr").count() == 0
        await page.get_by_role("link", name="As a list").click()
        await page.wait_for_url("**list=yes#graph-list")
        assert await page.locator(".graph-text tbody tr").count() == NODES
