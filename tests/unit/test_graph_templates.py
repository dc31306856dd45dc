"""The graph's HTML escapes all text of a flow, and fits the pages' content security policy."""

import json
import re
import time
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from console.graph import mark_changes, node_details, read_graph, value_changes
from tests.support.paths import ROOT

HOSTILE = "</svg><script>alert(1)</script>\"'><img src=x onerror=alert(2)> \u202e\0 {{ 7 * 7 }}"
PAGE = """
{% from "graph/graph.html" import graph, graph_text, node_panel, value_table %}
{{ graph(after, url, selected=ref) }}{{ graph(before, url, name="before", sync="pair") }}
{{ graph_text(after, url) }}{{ node_panel(details, url, "?") }}{{ value_table(changes, url) }}
"""


class Tags(HTMLParser):
    """The tags of a page with their attributes, and the text between."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def values(self, name: str) -> list[str | None]:
        return [attributes[name] for _, attributes in self.tags if name in attributes]


@pytest.fixture(scope="module")
def environment() -> Environment:
    loader = FileSystemLoader(ROOT / "console/templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def rendered(environment: Environment, before: Any, after: Any, ref: str = "", canvas: Any = None) -> str:
    graphs = (read_graph(json.dumps(flow).encode(), json.dumps(canvas).encode()) for flow in (before, after))
    old, new = mark_changes(*graphs)
    return environment.from_string(PAGE).render(
        before=old,
        after=new,
        ref=ref,
        url=lambda node: f"?node={quote(node, safe='')}",
        details=node_details(new, ref),
        changes=value_changes(old, new),
    )


def flow(**changes: Any) -> dict[str, Any]:
    node = {"id": "b", "name": "Second", "type": "dynamiq.nodes.tools.Python", "code": "x\ny\n"}
    return {
        "nodes": [{"id": "a", "type": "dynamiq.nodes.utils.Input"}, {**node, "depends": [{"node": "a"}], **changes}]
    }


def test_text_of_a_flow_is_escaped_in_the_graph(environment: Environment):
    node = {
        "id": HOSTILE, "name": HOSTILE, "type": f"dynamiq.nodes.tools.{HOSTILE}", HOSTILE: HOSTILE,
        "code": f"{HOSTILE}\n", "options": [{"id": HOSTILE, "name": HOSTILE}],
        "tools": [{"type": HOSTILE, "name": HOSTILE}],
        "depends": [{"node": HOSTILE, "option": HOSTILE}, {"node": "gone" + HOSTILE}],
    }  # fmt: skip
    canvas = {
        "nodes": [
            {"id": "n", "type": "note", "position": {"x": 1, "y": 1}, "data": {"text": HOSTILE}},
            {"id": "g", "type": "group", "position": {"x": 1, "y": 1}, "data": {"label": HOSTILE}},
        ]
    }

    page = Tags(rendered(environment, {"nodes": [node]}, {"nodes": [node | {"code": "y"}]}, HOSTILE, canvas))

    assert page.open == []
    assert {tag for tag, _ in page.tags} & {"script", "img"} == set()
    assert [name for _, attributes in page.tags for name in attributes if name.startswith("on")] == []
    assert any("<script>alert(1)" in text for text in page.texts)
    assert not any("49" in text for text in page.texts)


def test_the_graph_has_no_inline_style_or_script(environment: Environment):
    page = Tags(rendered(environment, flow(), flow(code="z"), "b"))

    assert page.values("style") == []
    assert {tag for tag, _ in page.tags} & {"style", "script"} == set()
    assert [url for url in page.values("href") if not str(url).startswith("?")] == []


def test_ids_in_the_graph_are_unique_and_every_reference_has_its_id(environment: Environment):
    page = Tags(rendered(environment, flow(), flow(code="z"), "b"))

    ids = page.values("id")
    assert len(ids) == len(set(ids))
    named = [name for key in ("aria-labelledby", "aria-describedby") for name in page.values(key)]
    drawn = [re.fullmatch(r"url\(#(.+)\)", str(value)) for key in ("marker-end", "fill") for value in page.values(key)]
    assert {*named, *(found[1] for found in drawn if found)} <= set(ids)


def test_a_node_in_the_graph_is_a_link_labeled_with_name_kind_and_change(environment: Environment):
    page = Tags(rendered(environment, flow(), flow(code="z"), "b"))

    nodes = [attributes for tag, attributes in page.tags if tag == "a" and "data-graph-node" in attributes]
    assert [(node["href"], node["aria-label"]) for node in nodes[:2]] == [
        ("?node=a", "a, Input"),
        ("?node=b", "Second, Python, changed"),
    ]
    assert [node.get("aria-current") for node in nodes[:2]] == [None, "true"]


def test_changes_in_the_graph_are_named_in_words(environment: Environment):
    after = {"nodes": [flow(code="z")["nodes"][1], {"id": "new", "type": "x.Y"}]}

    page = Tags(rendered(environment, flow(), after))

    assert {"changed", "added", "removed"} <= {text.strip() for text in page.texts}


def test_the_graph_of_an_empty_flow_says_that_it_is_empty(environment: Environment):
    page = Tags(rendered(environment, {}, {"nodes": []}))

    assert "This flow has no nodes." in page.texts
    assert "As a list: 0 nodes, 0 edges" in page.texts
    assert "No value differs." in page.texts


def test_a_graph_of_2000_nodes_is_rendered_in_little_time(environment: Environment):
    nodes = [
        {"id": f"n{n}", "name": f"Node {n}", "type": "dynamiq.nodes.llms.OpenAI", "depends": [{"node": f"n{n // 2}"}]}
        for n in range(2000)
    ]
    drawn = read_graph(json.dumps({"nodes": nodes}).encode(), None)
    template = environment.from_string('{% from "graph/graph.html" import graph %}{{ graph(drawn, url) }}')

    began = time.process_time()
    page = template.render(drawn=drawn, url=lambda node: f"?node={node}")
    taken = time.process_time() - began

    assert page.count("data-graph-node=") == 2000
    assert len(page) < 2_000_000
    assert taken < 2, "150 ms on an idle machine"
