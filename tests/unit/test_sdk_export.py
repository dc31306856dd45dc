"""The exported archive, and the problems that prevent an export."""

import io
import json
import zipfile

import pytest
import yaml

from tests.support import stack
from tests.support.paths import DATA
from workflow_service.dynamiq_config.exporting import MAIN, export_zip
from workflow_service.errors import InvalidFlow
from workflow_service.flow import MAX_DEPTH, parse_flow

FLOW = json.loads(stack.FLOW)


def files_of(flow: dict) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(export_zip(flow)[0])) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def node(name: str = "a", **fields) -> dict:
    return {"id": name, "type": "x.Y", **fields}


def config_of(*nodes: dict, **flow) -> dict:
    return yaml.safe_load(files_of({"nodes": list(nodes), **flow})["config.yaml"])


def problems_of(*nodes: dict) -> dict[str, str]:
    with pytest.raises(InvalidFlow) as caught:
        export_zip({"nodes": list(nodes)})
    return dict(caught.value.fields)


def test_the_examples_export_matches_its_expected_file():
    assert files_of(FLOW) == {"config.yaml": (DATA / "config.yaml").read_text(), "main.py": MAIN}


def test_the_same_flow_exports_to_the_same_bytes():
    assert export_zip(FLOW) == export_zip(json.loads(json.dumps(FLOW)))


def test_a_flow_without_nodes_is_exported():
    assert config_of() == {
        "connections": {},
        "nodes": {},
        "flows": {"flow": {"nodes": []}},
        "workflows": {"workflow": {"flow": "flow"}},
    }


def test_an_exported_node_is_keyed_by_its_id_and_otherwise_unchanged():
    config = config_of(node("b", z=1, a=[1.0, None]), node("a"), id="f", note="kept")

    assert list(config["nodes"]) == ["b", "a"]
    assert list(config["nodes"]["b"].items()) == [("type", "x.Y"), ("z", 1), ("a", [1.0, None])]
    assert config["flows"] == {"f": {"nodes": ["b", "a"], "note": "kept"}}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("${x}", r"\${x}"),
        ("a ${x} ${", r"a \${x} \${"),
        ("$x {x} $", "$x {x} $"),
        ("$${x}", r"$\${x}"),
        # The loader reads two backslashes before a `${` as one, so each has to be written twice.
        (r"\${x}", r"\\\${x}"),
        (r"\\${x}", r"\\\\\${x}"),
        (r"C:\dir", r"C:\dir"),
    ],
)
def test_text_that_looks_like_a_variable_is_escaped_in_an_export(text, written):
    config = config_of(node(code=text, deep=[{"k": text}]), note=text)

    assert config["nodes"]["a"]["code"] == written
    assert config["nodes"]["a"]["deep"] == [{"k": written}]
    assert config["flows"]["flow"]["note"] == written


def test_ids_in_an_export_are_escaped_where_they_are_values():
    config = config_of(node("${n}"), id="${f}")

    assert config["nodes"].keys() == {"${n}"}
    assert config["flows"] == {"${f}": {"nodes": [r"\${n}"]}}
    assert config["workflows"]["workflow"]["flow"] == r"\${f}"


@pytest.mark.parametrize("text", ["1e5", "12E3", "1_0e5", "+1e-3", "1.5e5", "yes", "null", "0x1f", "2024-01-01", "1"])
def test_text_that_yaml_would_read_as_another_type_is_quoted(text):
    written = files_of({"nodes": [node(text, v=text)]})["config.yaml"]

    assert f"  '{text}':\n" in written
    assert f"    v: '{text}'\n" in written


@pytest.mark.parametrize(
    "text", ["é", "😀", "\x00\x07", "\x85\u2028\ufeff", "a: b # c", "- d", " x ", "a\n\n b\n", "x " * 200]
)
def test_any_text_in_an_export_reads_back_unchanged(text):
    assert config_of(node(v=text))["nodes"]["a"]["v"] == text


def test_numbers_in_an_export_keep_their_type():
    numbers = [1, 1.0, 2**70, 1e16, 5e-324, -0.0, True]

    read = config_of(node(v=numbers))["nodes"]["a"]["v"]

    assert list(map(repr, read)) == list(map(repr, numbers))


def test_an_export_has_no_yaml_aliases():
    shared = {"a": [1]}

    assert "&" not in files_of({"nodes": [node("a", v=shared), node("b", v=shared)]})["config.yaml"]


def test_a_flow_at_the_depth_limit_exports():
    depth = MAX_DEPTH - 3
    flow = parse_flow(b'{"nodes":[{"id":"a","type":"x.Y","v":' + b"[" * depth + b"]" * depth + b"}]}", 1 << 20)

    assert files_of(flow)


def test_a_null_connection_is_exported_as_null():
    assert config_of(node(connection=None))["nodes"]["a"]["connection"] is None


@pytest.mark.parametrize(
    ("depends", "path"),
    [
        (None, ".depends"),
        ({}, ".depends"),
        ("b", ".depends"),
        (["b"], ".depends[0]"),
        ([{}], ".depends[0]"),
        ([{"node": 1}], ".depends[0]"),
        ([{"node": "b"}, {"node": "b", "more": 1}], ".depends[1]"),
        ([{"node": "nobody"}], ".depends[0].node"),
    ],
)
def test_a_malformed_dependency_prevents_the_export(depends, path):
    assert list(problems_of(node(depends=depends), node("b"))) == ["flow.nodes[0]" + path]


def test_a_dependency_with_an_option_and_a_trigger_is_exported():
    depends = [{"node": "b", "option": "o"}, {"node": "c", "option": None, "trigger": "failure"}]

    assert config_of(node(depends=depends), node("b"), node("c"))["nodes"]["a"]["depends"] == depends


def test_every_problem_that_prevents_an_export_is_listed():
    found = problems_of(node("a", connection="c", depends=[{"node": "x"}]), node("b", depends="a"))

    assert list(found) == ["flow.nodes[0].connection", "flow.nodes[0].depends[0].node", "flow.nodes[1].depends"]


@pytest.mark.parametrize(
    ("edges", "circle"), [({"a": "a"}, "a"), ({"a": "b", "b": "a"}, "ab"), ({"a": "b", "b": "c", "c": "b"}, "bc")]
)
def test_a_circle_of_dependencies_prevents_the_export_and_is_named(edges, circle):
    nodes = [node(name, depends=[{"node": edges[name]}] if name in edges else []) for name in "abc"]

    before, _, named = problems_of(*nodes)["flow.nodes"].partition(": ")

    assert before == "depend on each other in a circle"
    assert set(named.split(" → ")) == set(circle)


def test_two_paths_to_one_node_are_not_a_circle():
    edges = {"b": "a", "c": "a"}
    nodes = [node(name, depends=[{"node": edges[name]}] if name in edges else []) for name in "abc"]

    assert config_of(*nodes, node("d", depends=[{"node": "b"}, {"node": "c"}]))["nodes"].keys() == set("abcd")


def test_an_export_has_the_version_number_in_its_workflow():
    with zipfile.ZipFile(io.BytesIO(export_zip({"nodes": []}, 3)[0])) as archive:
        config = yaml.safe_load(archive.read("config.yaml"))

    assert config["workflows"] == {"workflow": {"flow": "flow", "version": 3}}


def test_an_export_returns_warnings_with_the_archive():
    _, warnings = export_zip({"nodes": [node("Not A Slug")]})

    assert {warning.path for warning in warnings} == {"flow.nodes", "flow.nodes[0].id", "flow.nodes[0].depends"}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"$env": "KEY"}, "${oc.env:KEY}"),
        ({"$env": "KEY", "default": "a b"}, '${oc.env:KEY,"a b"}'),
        ({"$env": "KEY", "default": None}, "${oc.env:KEY,null}"),
        ({"$env": "KEY", "default": 8080}, '${oc.env:KEY,"8080"}'),
        ({"$env": "KEY", "default": 'a"${b}\\'}, r'${oc.env:KEY,"a\"\${b}\\"}'),
    ],
)
def test_an_environment_variable_is_exported_as_an_interpolation(value, written):
    assert config_of(node(deep=[{"k": value}]))["nodes"]["a"]["deep"] == [{"k": written}]


@pytest.mark.parametrize(
    "value", [{"$env": "not a name"}, {"$env": 1}, {"$env": "A", "default": []}, {"$env": "A", "b": 1}]
)
def test_a_malformed_environment_variable_prevents_the_export(value):
    assert list(problems_of(node(deep=[value]))) == ["flow.nodes[0].deep[0]"]


def test_a_requirement_reference_prevents_the_export():
    reference = {"$type": "requirement", "$id": "r1"}
    llm = {"type": "dynamiq.nodes.llms.OpenAI", "model": "gpt-4o", "connection": reference}

    assert list(problems_of(node(llm=llm), node("b", user=[reference]))) == [
        "flow.nodes[0].llm.connection",
        "flow.nodes[1].user[0]",
    ]


def test_prompts_that_nodes_name_are_exported_in_their_section():
    inline = {"id": "q", "messages": []}
    config = config_of(node(prompt="p"), node("b", prompt=inline), prompts={"p": {"messages": []}, "unused": {}})

    assert config["prompts"] == {"p": {"messages": []}}
    assert (config["nodes"]["a"]["prompt"], config["nodes"]["b"]["prompt"]) == ("p", inline)
    assert list(problems_of(node(prompt="nobody"))) == ["flow.nodes[0].prompt"]


def test_a_flow_inside_a_node_is_exported_in_its_section():
    inner = {"id": "inner", "name": "n", "nodes": [node("x"), node("y", depends=[{"node": "x"}])]}

    config = config_of(node("a", flow=inner), node("b", node={"type": "x.Map", "flow": inner}), id="outer")

    assert config["flows"] == {"outer": {"nodes": ["a", "b"]}, "inner": {"nodes": ["x", "y"], "name": "n"}}
    assert list(config["nodes"]) == ["a", "x", "y", "b"]
    assert (config["nodes"]["a"]["flow"], config["nodes"]["b"]["node"]["flow"]) == ("inner", "inner")


@pytest.mark.parametrize(
    ("flow", "path"),
    [
        ("name", "flow.nodes[0].flow"),
        ({"nodes": [{}]}, "flow.nodes[0].flow"),
        ({"id": "i", "nodes": [node("b")]}, "flow.nodes[1].id"),
        ({"id": "i", "nodes": [node("x", depends=[{"node": "b"}])]}, "flow.nodes[0].flow.nodes[0].depends[0].node"),
        ({"nodes": [node("x")]}, "flow.nodes[0].flow.id"),
    ],
)
def test_a_problem_of_a_flow_inside_a_node_prevents_the_export(flow, path):
    assert list(problems_of(node("a", flow=flow), node("b", other=1))) == [path]
