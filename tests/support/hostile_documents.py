"""Flows and configs that cost much more than their size suggests: the worst that were found, of any size."""

from collections.abc import Callable

NODE = b'{"id":"a","type":"x.Y"'


def filled(size: int, item: bytes) -> bytes:
    """The item repeated, separated by commas."""
    return b",".join([item] * (size // (len(item) + 1)))


def numbered(size: int, item: bytes) -> bytes:
    """An item with `%x` repeated, each with its number."""
    return b",".join(item.replace(b"%x", b"%x" % number) for number in range(size // (len(item) + 4)))


def flow(value: bytes) -> bytes:
    return b'{"nodes":[' + NODE + b'}],"x":' + value + b"}"


def node(value: bytes) -> bytes:
    return b'{"nodes":[' + NODE + b',"x":' + value + b"}]}"


def nodes(items: bytes) -> bytes:
    return b'{"nodes":[' + items + b"]}"


def in_list(item: bytes) -> Callable[[int], bytes]:
    return lambda size: flow(b"[" + filled(size, item) + b"]")


def below_long_key(item: bytes) -> Callable[[int], bytes]:
    """Each path, written out, is half as long as the document."""
    return lambda size: node(b'{"' + b"k" * (size // 2) + b'":[' + filled(size // 2, item) + b"]}")


def flows_in_flows(size: int) -> bytes:
    levels = 40
    opening = b"".join(b'{"id":"f%x","nodes":[{"id":"n%x","type":"x.Y","flow":' % (n, n) for n in range(levels))
    text = b'{"id":"z","nodes":[],"t":"' + b"x" * (size - 100 * levels) + b'"}'
    return nodes(NODE + b',"flow":' + opening + text + b"}]}" * levels + b"}")


FLOWS: dict[str, Callable[[int], bytes]] = {
    "lists": in_list(b"[]"),
    "numbers": in_list(b"1"),
    "objects": lambda size: node(b"[" + filled(size, b'{"a":1}') + b"]"),
    "keys": lambda size: flow(b"{" + numbered(size, b'"%x":1') + b"}"),
    "levels": in_list(b"[" * 190 + b"]" * 190),
    "too many levels": in_list(b"[" * 201 + b"]" * 201),
    "floats": in_list(b"0.1234567890123456789e-7"),
    "digits": in_list(b"1" * 4300),
    "too many digits": in_list(b"1" * 4301),
    "out of range": in_list(b"1e999"),
    "half surrogate pairs": in_list(b'"\\ud800"'),
    "keys twice": in_list(b'{"a":1,"a":2}'),
    "a long key": below_long_key(b"1"),
    "a long key, half surrogate pairs": below_long_key(b'"\\ud800"'),
    "a long key twice": below_long_key(b'{"a":1,"a":2}'),
    "nodes": lambda size: nodes(numbered(size, b'{"id":"%x","type":"x.Y"}')),
    "nodes without anything": lambda size: nodes(filled(size, b"{}")),
    "nodes that are numbers": lambda size: nodes(filled(size, b"1")),
    "a chain": lambda size: nodes(
        b",".join(b'{"id":"%x","type":"x.Y","depends":[{"node":"%x"}]}' % (n, n + 1) for n in range(size // 62))
    ),
    "wrong dependencies": lambda size: nodes(NODE + b',"depends":[' + filled(size, b"1") + b"]}"),
    "connections": in_list(b'{"type":"dynamiq.nodes.llms.OpenAI","connection":{"type":"a.B","c":"x"}}'),
    "flows in flows": flows_in_flows,
    "openings": lambda size: flow(b'"' + b"${" * (size // 2) + b'"'),
    "no JSON": lambda size: flow(b"[" + filled(size, b"[]") + b",]"),
    "no UTF-8": lambda size: flow(b"[" + filled(size, b"[]") + b',"\xff"]'),
}
"""Each function makes a document of about the given size, which must be at least 10,000."""


def another(document: bytes) -> bytes:
    """A document that differs from it in each number and each list."""
    return document.replace(b"1", b"2").replace(b"[]", b"{}")


def config(value: str) -> str:
    return "nodes:\n  n: {type: x.Y, x: " + value + "}\nflows: {f: {nodes: [n]}}\nworkflows: {w: {flow: f}}\n"


def config_of_nodes(size: int) -> str:
    names = [f"n{number}" for number in range(min(10_000, size // 30))]
    entries = "".join(f"  {name}: {{type: x.Y}}\n" for name in names)
    return f"nodes:\n{entries}flows: {{f: {{nodes: [{','.join(names)}]}}}}\nworkflows: {{w: {{flow: f}}}}\n"


CONFIGS: dict[str, Callable[[int], str]] = {
    "lists": lambda size: config("[" + "[]," * (size // 3) + "]"),
    "levels": lambda size: config("[" + ("[" * 150 + "]" * 150 + ",") * (size // 301) + "]"),
    "variables": lambda size: config("[" + f"'${{oc.env:A,{'1' * 990}x}}'," * min(9999, size // 1010) + "]"),
    "numbers of base 60": lambda size: config("[" + ("1" + ":1" * 480 + ",") * (size // 962) + "]"),
    "text": lambda size: config("'" + "x" * size + "'"),
    "nodes": config_of_nodes,
    "no YAML": lambda size: config("[" + "[]," * (size // 3) + "}"),
}
