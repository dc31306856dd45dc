"""The graph in a real browser: by mouse, by keyboard, without JavaScript, on a phone, and with 2,000 nodes."""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from console.graph import mark_changes, node_details, read_graph, value_changes
from tests.support.chromium import running_chromium
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.browser
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Graph</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/graph.css">
<script type="module" src="/graph.js"></script></head><body>
{% from "graph/graph.html" import graph, graph_text, node_panel, value_table %}
{% if pair %}<div class="graph-pair">{{ graph(pair[0], url, name="before", sync="pair") }}
{{ graph(pair[1], url, name="after", sync="pair") }}</div>{{ value_table(changes, url) }}
{% else %}<div class="graph-page">{{ graph(drawn, url, ref) }}{{ node_panel(details, url, path) }}</div>
{{ graph_text(drawn, url) }}{% endif %}</body></html>"""
PHONE = {"width": 360, "height": 740}
OVERFLOW = "document.documentElement.scrollWidth > window.innerWidth"
DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
VIEW = "() => document.querySelector('[data-graph-svg]').getAttribute('viewBox').split(' ').map(Number)"


def chain(count: int, **last: Any) -> bytes:
    nodes = [
        {"id": f"n{n}", "name": f"Step {n}", "type": "dynamiq.nodes.tools.Python",
         "depends": [{"node": f"n{n - 3}"}] if n > 2 else []}
        for n in range(count)
    ]  # fmt: skip
    nodes[-1] |= last
    return json.dumps({"nodes": nodes}).encode()


FLOWS = {"small": chain(7), "edited": chain(7, code="changed"), "large": chain(2000)}


@pytest.fixture(scope="module")
async def browser() -> "AsyncIterator[Browser]":
    async with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
async def origin() -> AsyncIterator[str]:
    """A server of pages with a graph and the console's content security policy."""
    loader = FileSystemLoader(ROOT / "console/templates")
    template = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(PAGE)

    async def page(request: web.Request) -> web.Response:
        ref, path = request.query.get("node", ""), request.path
        context: dict[str, Any] = {"url": lambda node: f"{path}?node={quote(node, safe='')}", "path": path, "ref": ref}
        if path == "/pair":
            pair = mark_changes(read_graph(FLOWS["small"], None), read_graph(FLOWS["edited"], None))
            context |= {"pair": pair, "changes": value_changes(*pair)}
        else:
            drawn = read_graph(FLOWS[path[1:]], None)
            context |= {"pair": None, "drawn": drawn, "details": node_details(drawn, ref)}
        text = template.render(context)
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": POLICY})

    app = web.Application()
    app.router.add_get("/{name:small|large|pair}", page)
    app.router.add_static("/", ROOT / "console/static")
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


@pytest.fixture
async def page(browser: "Browser", origin: str) -> "AsyncIterator[Page]":
    """A page. At the end it checks that the browser reported no problem, such as a policy violation."""
    context = await browser.new_context(base_url=origin, viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    reported: list[str] = []
    page.on("console", lambda message: reported.append(message.text))
    page.on("pageerror", lambda error: reported.append(str(error)))
    yield page
    await context.close()
    assert reported == []


async def view(page: "Page") -> list[float]:
    """x, y, width and height of the visible part of the graph."""
    await page.evaluate(DRAWN)
    found: list[float] = await page.evaluate(VIEW)
    return found


async def test_a_node_of_the_graph_shows_its_settings_without_reloading_the_page(page: "Page"):
    await page.goto("/small")
    await page.evaluate("window.isTheSame = true")

    await page.get_by_role("link", name="Step 4, Python").click()

    await page.get_by_role("heading", name="Step 4").wait_for()
    assert page.url.endswith("/small?node=n4")
    assert await page.evaluate("window.isTheSame")
    assert await page.locator("[aria-current]").get_attribute("data-graph-node") == "n4"
    await page.locator("[data-graph-link=n1]").click()
    await page.get_by_role("heading", name="Step 1").wait_for()
    await page.locator("[data-graph-close]").click()
    await page.get_by_text("Select a node to see its settings.").wait_for()
    assert await page.evaluate("window.isTheSame")
    assert await page.locator("[aria-current]").count() == 0


async def test_the_keyboard_moves_the_graph_and_opens_a_node(page: "Page"):
    await page.goto("/small")
    await page.locator("[data-graph-canvas]").focus()
    start = await view(page)

    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowDown")
    moved = await view(page)
    await page.keyboard.press("+")
    closer = await view(page)
    await page.keyboard.press("-")
    back = await view(page)
    await page.keyboard.press("0")
    fitted = await view(page)
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")

    assert (moved[0] > start[0], moved[1] > start[1]) == (True, True)
    assert closer[2] < moved[2]
    assert back[2] == pytest.approx(moved[2])
    assert fitted == pytest.approx(start)
    await page.get_by_role("heading", name="Step 0").wait_for()
    assert await page.evaluate("document.activeElement.textContent") == "Step 0"


async def test_the_focused_node_of_the_graph_is_visible(page: "Page"):
    await page.goto("/large")
    await page.locator("[data-graph-canvas]").focus()
    for _ in range(40):
        await page.keyboard.press("Tab")

    left, top, width, height = await view(page)

    x, y = await page.evaluate("(({ e, f }) => [e, f])(document.activeElement.transform.baseVal[0].matrix)")
    assert left <= x <= left + width
    assert top <= y <= top + height


async def test_dragging_moves_the_graph_and_does_not_follow_links(page: "Page"):
    await page.goto("/small")
    start = await view(page)
    box = await page.get_by_role("link", name="Step 3, Python").bounding_box()
    assert box is not None

    await page.mouse.move(box["x"] + 50, box["y"] + 20)
    await page.mouse.down()
    await page.mouse.move(box["x"] - 50, box["y"] + 60, steps=5)
    await page.mouse.up()

    moved = await view(page)
    assert (moved[0] > start[0], moved[1] < start[1]) == (True, True)
    assert page.url.endswith("/small")
    await page.get_by_role("link", name="Step 3, Python").click()
    await page.get_by_role("heading", name="Step 3").wait_for()


async def test_the_wheel_zooms_the_graph_with_ctrl_and_otherwise_scrolls_the_page(page: "Page"):
    await page.set_viewport_size({"width": 1280, "height": 300})
    await page.goto("/small")
    start = await view(page)
    await page.mouse.move(300, 150)

    await page.mouse.wheel(0, 120)
    await page.wait_for_function("window.scrollY > 0")
    unchanged = await view(page)
    await page.keyboard.down("Control")
    await page.mouse.wheel(0, -60)
    await page.wait_for_function(f"({VIEW})()[2] < {start[2]}")

    assert unchanged == start


async def test_the_buttons_of_the_graph_zoom(page: "Page"):
    await page.goto("/small")
    start = await view(page)

    await page.get_by_role("button", name="Zoom out").click()
    further = await view(page)
    await page.get_by_role("button", name="Fit").click()

    assert further[2] > start[2]
    assert await view(page) == pytest.approx(start)


async def test_two_compared_graphs_move_together_and_mark_changes(page: "Page"):
    await page.goto("/pair")
    await page.locator("[data-graph-canvas]").first.focus()

    await page.keyboard.press("ArrowLeft")
    await page.evaluate(DRAWN)

    views = await page.locator("[data-graph-svg]").evaluate_all("all => all.map((svg) => svg.getAttribute('viewBox'))")
    assert views[0] == views[1]
    assert await page.get_by_role("link", name="Step 6, Python, changed").count() == 2
    assert await page.get_by_role("row", name="Step 6 code added").count() == 1


async def test_nodes_of_the_graph_are_links_to_their_settings_without_javascript(browser: "Browser", origin: str):
    context = await browser.new_context(base_url=origin, java_script_enabled=False)
    page = await context.new_page()
    await page.goto("/small")

    await page.get_by_role("link", name="Step 4, Python").click()

    assert page.url.endswith("/small?node=n4")
    assert await page.get_by_role("heading", name="Step 4").is_visible()
    assert not await page.get_by_role("button", name="Fit").is_visible()
    await page.goto("/large")
    assert await page.locator(".graph-name").last.is_visible()
    await context.close()


@pytest.mark.parametrize("path", ["/small?node=n4", "/large", "/pair"])
async def test_the_graph_fits_the_screen_of_a_phone(page: "Page", path: str):
    await page.set_viewport_size(PHONE)

    await page.goto(path)

    assert not await page.evaluate(OVERFLOW)


async def test_a_graph_of_2000_nodes_draws_quickly_and_only_the_visible_part(page: "Page"):
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})

    await page.goto("/large")
    await page.evaluate(DRAWN)

    metrics = {found["name"]: found["value"] for found in (await session.send("Performance.getMetrics"))["metrics"]}
    assert await page.locator(".graph-box").count() == 2000
    assert 0 < await page.locator(".graph-node.is-near").count() < 200
    assert metrics["TaskDuration"] < 3, "300 ms on an idle machine"
    await page.locator("[data-graph-canvas]").focus()
    await page.keyboard.press("0")
    await page.evaluate(DRAWN)
    assert await page.locator(".graph-node.is-near").count() == 2000
