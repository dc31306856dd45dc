"""Hostile configs are refused quickly, in little memory, with an error that names the problem."""

import time
import tracemalloc

import pytest

from workflow_service.dynamiq_config.importing import import_config
from workflow_service.dynamiq_config.problems import MAX_NODES, MAX_VALUES
from workflow_service.dynamiq_config.yaml_reader import read_document
from workflow_service.errors import ConfigTooLarge, InvalidConfig

pytestmark = pytest.mark.slow

LIMIT = 4 << 20
SECONDS = 5  # of CPU, as the machine may be busy
MEMORY = 100 << 20


def billion_laughs(levels: int) -> str:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


def flow_of(count: int, node: str = "{type: x.Y}", **sections: str) -> str:
    names = [f"n{index}" for index in range(count)]
    extra = "".join(f"{key}: {value}\n" for key, value in sections.items())
    nodes = "".join(f"  {name}: {node}\n" for name in names)
    return f"{extra}nodes:\n{nodes}flows: {{f: {{nodes: [{', '.join(names)}]}}}}\nworkflows: {{w: {{flow: f}}}}"


def nested_flows(count: int, each: int) -> str:
    nodes = "".join(f"  n{n}: {{type: x.Y, flows: [{', '.join([f'f{n + 1}'] * each)}]}}\n" for n in range(count))
    flows = "".join(f"  f{n}: {{nodes: [n{n}]}}\n" for n in range(count + 1))
    return f"nodes:\n{nodes}  n{count}: {{type: x.Y}}\nflows:\n{flows}workflows: {{w: {{flow: f0}}}}"


HOSTILE = {
    "brackets": ("[" * LIMIT, InvalidConfig, "deeper than 200"),
    "braces": ("{a: " * (LIMIT // 4), InvalidConfig, "deeper than 200"),
    "dashes": ("- " * (LIMIT // 2), InvalidConfig, "deeper than 200"),
    "question marks": ("? " * (LIMIT // 2), InvalidConfig, "deeper than 200"),
    "depth by alias": (
        "a: &a " + "[" * 150 + "]" * 150 + "\nb: " + "[" * 150 + "*a" + "]" * 150, InvalidConfig, "deeper"),
    "depth by reference": (
        "r: ${a}\na: " + "[" * 150 + "]" * 150 + "\nb: " + "[" * 150 + '"${a}"' + "]" * 150, InvalidConfig, "deeper"),
    "billion laughs": (billion_laughs(30), ConfigTooLarge, "values"),
    "billion laughs by merging": (
        "a: &a {" + ", ".join(f"k{n}: 1" for n in range(1000)) + "}\nb: [" + "{<<: *a}, " * 1000 + "]",
        ConfigTooLarge, "values"),
    "text with many aliases": ('a: &a "' + "x" * 100_000 + '"\nb: [' + "*a, " * 1000 + "]", ConfigTooLarge, "aliases"),
    "billion laughs by reference": (
        "a0: " + "x" * 1000 + "\n" + "".join(f"a{n}: {f'${{a{n - 1}}}' * 10}\n" for n in range(1, 20)),
        ConfigTooLarge, "references"),
    "references": ("a: " + "${b}" * 200_000 + "\nb: x", ConfigTooLarge, "interpolations"),
    "unclosed interpolations": ("a: " + "${" * 400_000, ConfigTooLarge, "interpolations"),
    "reference chain": ("".join(f"a{n}: ${{a{n + 1}}}\n" for n in range(5000)) + "a5000: x", InvalidConfig, "in a row"),
    "keys": ("\n".join(f"k{n}: 1" for n in range(MAX_VALUES)), ConfigTooLarge, "values"),
    "a number of base 60": ("a: 1" + ":1" * 1_000_000, InvalidConfig, "workflows"),
    "a long number": ("a: !!int " + "1" * 1_000_000, InvalidConfig, "out of range"),
    "a long hexadecimal": ("a: 0x" + "f" * 1_000_000, InvalidConfig, "workflows"),
    "backslashes": ("a: " + "\\" * 2_000_000 + "${", InvalidConfig, "not closed"),
    "nodes": (flow_of(MAX_NODES + 1), ConfigTooLarge, "nodes"),
    "a prompt used by many nodes": (
        flow_of(1000, "{type: x.Y, prompt: p}", prompts="{p: {messages: [" + "x" * 100_000 + "]}}"),
        ConfigTooLarge, "written out"),
    "flows in flows": (nested_flows(20, 10), ConfigTooLarge, "nodes"),
    "deep flows": (nested_flows(100, 1), InvalidConfig, "one within the other"),
    "workflows": (
        "workflows: {" + ", ".join(f"w{n}: {{flow: f}}" for n in range(50_000)) + "}", ConfigTooLarge, "values"),
    "a large text": ("a: " + "x" * LIMIT, ConfigTooLarge, "at most 4 MiB"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_refused_quickly(name):
    text, error, sentence = HOSTILE[name]

    began = time.process_time()
    with pytest.raises(error, match=sentence):
        import_config(text, None, LIMIT)

    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize(
    "name",
    ["billion laughs", "text with many aliases", "brackets", "billion laughs by reference", "flows in flows"],
)
def test_a_hostile_config_is_refused_in_little_memory(name):
    text, error, _ = HOSTILE[name]

    tracemalloc.start()
    with pytest.raises(error):
        import_config(text, None, LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < MEMORY


def test_long_numbers_in_variables_are_imported_quickly():
    variables = ", ".join(["'${oc.env:A," + "1" * 990 + "x}'"] * 2000)
    text = f"nodes: {{n: {{type: x.Y, x: [{variables}]}}}}\nflows: {{f: {{nodes: [n]}}}}\nworkflows: {{w: {{flow: f}}}}"

    began = time.process_time()
    import_config(text, None, LIMIT)

    assert time.process_time() - began < SECONDS


def test_a_config_with_the_maximum_number_of_nodes_is_imported():
    flow, flow_ui, _ = import_config(flow_of(MAX_NODES, "{type: x.Y, depends: [{node: n0}]}"), None, 16 << 20)

    assert flow.count(b'"type"') == MAX_NODES
    assert len(flow_ui) < 16 << 20


def test_a_config_at_the_depth_limit_is_read():
    assert read_document("[" * 200 + "]" * 200, LIMIT)


def test_an_imported_flow_whose_canvas_exceeds_the_limit_is_refused():
    with pytest.raises(ConfigTooLarge, match="flow_ui"):
        import_config(flow_of(7000), None, LIMIT)
