"""A config.yaml is imported as a complete flow, and its export is the same."""

import json
import os
import random
from unittest import mock

import pytest
import yaml

from tests.support.paths import DATA
from workflow_service.dynamiq_config.exporting import export_config
from workflow_service.dynamiq_config.importing import import_config
from workflow_service.dynamiq_config.yaml_reader import MAX_CHARS_READ_AGAIN, read_document
from workflow_service.errors import InvalidConfig, SeveralWorkflows
from workflow_service.flow import check_content

CONFIGS = {path.stem: path.read_text() for path in sorted((DATA / "configs").glob("*.yaml"))}
WORKFLOWS = [
    (name, workflow)
    for name, text in CONFIGS.items()
    for workflow in yaml.safe_load(text)["workflows"]
]  # fmt: skip
LIMIT = 1 << 20


def flow_of(text: str, workflow: str | None = None) -> dict:
    return json.loads(import_config(text, workflow, LIMIT)[0])


def config(nodes: dict, **sections) -> str:
    flows = {"f": {"nodes": list(nodes)}}
    document = {"nodes": nodes, "flows": flows, "workflows": {"w": {"flow": "f"}}, **sections}
    return yaml.dump(document, sort_keys=False)


def node(**fields) -> dict:
    return {"type": "x.Y", **fields}


def problems_of(text: str, workflow: str | None = None) -> dict[str, str]:
    with pytest.raises(InvalidConfig) as caught:
        import_config(text, workflow, LIMIT)
    return dict(caught.value.fields)


@pytest.mark.parametrize(("name", "workflow"), WORKFLOWS)
def test_a_real_config_exports_the_same_after_each_import(name, workflow):
    flow, flow_ui, _ = import_config(CONFIGS[name], workflow, LIMIT)
    first, _ = export_config(json.loads(flow))
    second, _ = export_config(flow_of(first))
    third, _ = export_config(flow_of(second))

    check_content(flow, flow_ui, LIMIT)
    assert first == second == third


def test_the_examples_export_imports_as_the_same_flow():
    text = (DATA / "config.yaml").read_text()

    assert export_config(flow_of(text))[0] == text


def test_the_same_config_imports_to_the_same_bytes():
    text = CONFIGS["families"]

    assert import_config(text, None, LIMIT) == import_config(text, None, LIMIT)


def test_an_import_puts_connections_and_prompts_where_they_are_named():
    prompt = {"messages": [{"role": "user", "content": "Hi"}]}
    connection = {"type": "dynamiq.connections.OpenAI", "id": "other", "api_key": "${oc.env:KEY}"}
    llm = {"type": "dynamiq.nodes.llms.OpenAI", "connection": "c", "prompt": "p"}

    flow = flow_of(
        config({"a": node(llm=llm, deep=[[{"x": llm}]])}, connections={"c": connection}, prompts={"p": prompt})
    )

    written = {
        "type": "dynamiq.nodes.llms.OpenAI",
        "connection": {"$id": "c", "type": "dynamiq.connections.OpenAI", "api_key": {"$env": "KEY"}},
        "prompt": {"id": "p", **prompt},
    }
    assert flow["nodes"] == [{"id": "a", "type": "x.Y", "llm": written, "deep": [[{"x": written}]]}]


def test_a_connection_that_was_exported_for_an_id_is_imported_as_that_id():
    flow = {
        "nodes": [
            {
                "id": "a",
                "type": "dynamiq.nodes.llms.OpenAI",
                "model": "gpt-4o",
                "connection": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            }
        ]
    }

    assert flow_of(export_config(flow)[0])["nodes"] == flow["nodes"]


def test_an_import_puts_a_flow_into_the_node_that_names_it():
    flows = {"f": {"nodes": ["a"]}, "inner": {"name": "In", "nodes": ["b"]}}

    flow = flow_of(config({"a": node(map={"type": "x.Sub", "flow": "inner"}), "b": node()}, flows=flows))

    inner = {"id": "inner", "nodes": [{"id": "b", "type": "x.Y"}], "name": "In"}
    assert flow == {"id": "f", "nodes": [{"id": "a", "type": "x.Y", "map": {"type": "x.Sub", "flow": inner}}]}


def test_an_import_keeps_the_flows_keys_and_warns_about_unused_parts():
    flows = {"f": {"nodes": ["a", "a"], "name": "F", "id": "g"}, "unused": {"nodes": ["b"]}}
    text = config(
        {"a": node(id="z"), "b": node()}, flows=flows, connections={"c": {}}, prompts={"p": {}}, other=1, ref="${other}"
    )

    flow, _, warnings = import_config(text, None, LIMIT)

    assert json.loads(flow) == {"id": "f", "nodes": [{"id": "a", "type": "x.Y"}], "name": "F"}
    paths = {warning.path for warning in warnings}
    assert paths >= {"nodes.b", "connections.c", "prompts.p", "ref"}
    assert "other" not in paths


def test_an_import_of_a_file_with_several_workflows_takes_the_named_one():
    sections = {
        "workflows": {"w": {"flow": "f"}, "v": {"flow": "g", "version": 2}},
        "flows": {"f": {"nodes": ["a"]}, "g": {"nodes": ["b"]}},
    }
    text = config({"a": node(), "b": node()}, **sections)

    assert flow_of(text, "v")["nodes"][0]["id"] == "b"
    for name in (None, "", "nobody"):
        with pytest.raises(SeveralWorkflows, match=r"one of w, v\."):
            import_config(text, name, LIMIT)


def test_an_import_does_not_read_environment_variables():
    with mock.patch.object(os, "environ", None), mock.patch.object(os, "getenv", None):
        flow = flow_of(config({"a": node(home="${oc.env:HOME}", path='${oc.env:PATH,"x"}')}))

    assert flow["nodes"][0]["home"] == {"$env": "HOME"}
    assert flow["nodes"][0]["path"] == {"$env": "PATH", "default": "x"}


def test_an_import_resolves_references_within_the_file():
    fields = {
        "whole": "${values.list}",
        "item": "${values.list[1].x}",
        "mixed": "a ${values.n} ${.sibling} b",
        "literal": r"\${values.n}",
        "sibling": "s",
        "key": "${nodes.a.sibling}",
        "twice": "${again}",
    }
    text = config({"a": node(**fields)}, values={"list": [1, {"x": True}], "n": 1.5}, again="${values.list}")

    assert flow_of(text)["nodes"][0] == {
        "id": "a",
        "type": "x.Y",
        "whole": [1, {"x": True}],
        "item": True,
        "mixed": "a 1.5 s b",
        "literal": "${values.n}",
        "sibling": "s",
        "key": "s",
        "twice": [1, {"x": True}],
    }


def test_an_import_reads_yaml_values_as_the_sdks_loader_does():
    text = """
    nodes:
      a: {type: x.Y, date: 2024-01-01, big: 1e5, small: .5, octal: 010, base: 1:30, on: [off], 404: 1.0, tilde: ~,
          quoted: "1", tagged: !!str 5, block: "a\\tb"}
      b: {<<: [{type: x.Y, k: 1}, {k: 2, l: 3}], l: 4}
    flows: {f: {nodes: [a, b]}}
    workflows: {w: {flow: f}}
    """

    a, b = flow_of(text)["nodes"]

    assert a == {
        "id": "a",
        "type": "x.Y",
        "date": "2024-01-01",
        "big": 1e5,
        "small": 0.5,
        "octal": 8,
        "base": 90,
        "on": [False],
        "404": 1.0,
        "tilde": None,
        "quoted": "1",
        "tagged": "5",
        "block": "a\tb",
    }
    assert b == {"id": "b", "k": 1, "l": 4, "type": "x.Y"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k: |\n  \ttext\n  more\n", "\ttext\nmore\n"),
        ("k: {a: 1, omitted:, b: 2}", {"a": 1, "omitted": None, "b": 2}),
        ("k: [a: {x:}, b]", [{"a": {"x": None}}, "b"]),
        ("k: !", None),
    ],
)
def test_yaml_that_only_pyyaml_accepts_is_imported(text, value):
    assert read_document(text, LIMIT) == {"k": value}


def test_a_long_yaml_text_that_libyaml_refuses_is_not_tried_again():
    text = "k: {a:, b: 1}\nt: " + "x" * MAX_CHARS_READ_AGAIN

    assert list(problems_of(text)) == ["config"]


def test_a_variable_within_a_longer_text_is_refused_with_advice():
    (sentence,) = problems_of(config({"a": node(v="https://${oc.env:API_HOST}/v1")})).values()

    assert sentence == (
        "has a variable within a longer text: write ${oc.env:NAME} alone, and set NAME to all of the text"
    )


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("http://${oc.env:HOST}/x", "nodes.a.v"),
        ("${oc.decode:${oc.env:PORT}}", "nodes.a.v"),
        ("${env:X}", "nodes.a.v"),
        ("${oc.env:A,${b}}", "nodes.a.v"),
        ("${nowhere}", "nodes.a.v"),
        ("${nodes.a.v}", "nodes.a.v"),
        ("${nodes.a}", "nodes.a.v"),
        ("${nodes.b.v}", "nodes.b.v"),
        ("x ${nodes}", "nodes.a.v"),
        ("${", "nodes.a.v"),
        ([{"k": "x ${oc.env:A}"}], "nodes.a.v[0].k"),
        ({"$env": "A"}, "nodes.a.v"),
    ],
)
def test_an_unsupported_interpolation_is_refused_with_its_path(value, path):
    assert list(problems_of(config({"a": node(v=value), "b": node(v=value)}))) == [path]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "config"),
        ("[1]", "config"),
        ("a: [", "config"),
        ("a: \0", "config"),
        ("a: 1\n---\nb: 2", "config"),
        ("a: 1\na: 2", "config"),
        ("x: {[1]: 2}", "config.x"),
        ("x: [0, .nan]", "config.x[1]"),
        ("x: .inf", "config.x"),
        ("x: !!binary aGk=", "config.x"),
        ("x: !!python/object/apply:os.system [id]", "config.x"),
        ("x: !!int a", "config.x"),
        ("x: *nothing", "config.x"),
        ("x: &a [*a]", "config.x[0]"),
        ("x: {<<: 1}", "config.x.<<"),
        ("nodes: {}", "workflows"),
        ("workflows: [1]", "workflows"),
        ("workflows: {w: 1}", "workflows.w"),
        ("workflows: {w: {}}", "workflows.w.flow"),
        ("workflows: {w: {flow: f}}", "workflows.w.flow"),
        ("workflows: {w: {flow: f}}\nflows: {f: {}}", "flows.f.nodes"),
        ("workflows: {w: {flow: f}}\nflows: {f: {nodes: []}}", "flows.f.nodes"),
        ("workflows: {w: {flow: f}}\nflows: {f: {nodes: [1]}}", "flows.f.nodes"),
        ("workflows: {w: {flow: f}}\nflows: {f: {nodes: [a]}}", "flows.f.nodes[0]"),
        (config({"a": {}}), "nodes.a.type"),
        (config({"a": node(connection="c")}), "nodes.a.connection"),
        (config({"a": node(llm=node(prompt="p"))}), "nodes.a.llm.prompt"),
        (config({"a": node(flow="g")}), "nodes.a.flow"),
        (config({"a": node(flow="f")}), "nodes.a.flow"),
    ],
)
def test_each_problem_of_an_imported_config_is_named_with_its_path(text, path):
    assert list(problems_of(text)) == [path]


def test_a_problem_that_prevents_an_export_is_a_warning_of_the_import():
    flow, _, warnings = import_config(
        config({"a": node(depends=[{"node": "b"}]), "b": node()}, flows={"f": {"nodes": ["a"]}}), None, LIMIT
    )

    assert json.loads(flow)["nodes"][0]["depends"] == [{"node": "b"}]
    assert ("flow.nodes[0].depends[0].node", "warning") in {(warning.path, warning.severity) for warning in warnings}


def test_any_exported_flow_exports_the_same_after_an_import():
    chance = random.Random(7)
    for _ in range(200):
        flow = {
            "id": chance.choice(["f", "${f}", "1e5"]),
            "nodes": [any_node(chance, f"n{index}") for index in range(3)],
        }
        first, _ = export_config(flow)

        assert export_config(flow_of(first))[0] == first


def any_node(chance: random.Random, node_id: str) -> dict:
    kind = chance.choice(
        ["dynamiq.nodes.llms.OpenAI", "dynamiq.nodes.tools.SQLExecutor", "dynamiq.nodes.audio.TextToSpeech"]
    )
    fields = {any_text(chance) or "k": any_value(chance, 3) for _ in range(3)}
    host = {"$env": "HOST", "default": any_text(chance)}
    inline = {"type": "dynamiq.connections.OpenAI", "api_key": any_text(chance)}
    if kind.endswith("SQLExecutor"):
        inline = {"type": "dynamiq.connections.PostgreSQL", "port": 1, "host": host}
    connection = chance.choice(["c1", "openai", inline])
    if isinstance(connection, str):
        connection += kind[-3:]
    return {"id": node_id, "type": kind, "model": "m", "connection": connection, "f": fields}


def any_value(chance: random.Random, depth: int):
    pick = chance.randrange(9 if depth else 6)
    if pick < 3:
        return any_text(chance)
    if pick < 6:
        return chance.choice([None, True, 0, -1, 1.5, 1e21, 2**70, -0.0])
    if pick == 6:
        return {"$env": "KEY"} | chance.choice([{}, {"default": None}, {"default": any_text(chance)}])
    children = [any_value(chance, depth - 1) for _ in range(chance.randrange(3))]
    return children if pick == 7 else {f"k{any_text(chance)}": child for child in children}


def any_text(chance: random.Random) -> str:
    parts = [
        "a",
        " ",
        "${",
        "}",
        "\\",
        '"',
        "'",
        "\n",
        "\t",
        ":",
        "#",
        "-",
        "é",
        "😀",
        "1",
        "e5",
        "null",
        "on",
        "<<",
        "*",
        "&",
        "!",
        "\x85",
        "$",
    ]
    return "".join(chance.choice(parts) for _ in range(chance.randrange(5)))
