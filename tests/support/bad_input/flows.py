"""Flows and canvases that every save, create, release and fork must refuse."""

from tests.support.bad_input.table import FLOW, NODES, Bad, Rest, Rpc, wrong

LIMIT = 300_000
"""Size limit of a flow in the tests that use this table."""
SAVE = "/v1/workflows/<workflow>/save"


def padded(size: int) -> str:
    """A flow of exactly so many bytes."""
    empty = f'{{"nodes": {NODES}, "pad": ""}}'
    return empty[:-2] + "x" * (size - len(empty)) + empty[-2:]


def nested(depth: int) -> str:
    """A flow of that depth, including its own object."""
    return f'{{"nodes": {NODES}, "deep": {"[" * (depth - 1)}{"]" * (depth - 1)}}}'


def node(members: str) -> str:
    return f'{{"nodes": [{{"id": "a", "type": "x.Y", {members}}}]}}'


def rest(flow: str | bytes = FLOW, flow_ui: str = "{}") -> Rest:
    raw = flow if isinstance(flow, bytes) else flow.encode()
    return Rest("POST", SAVE, b'{"flow": ' + raw + b', "flow_ui": ' + flow_ui.encode() + b"}")


def rpc(flow: str | bytes = FLOW, flow_ui: str = "{}") -> Rpc:
    raw = flow if isinstance(flow, bytes) else flow.encode()
    return Rpc(
        "SaveWorkflow", {"workflow_id": "<workflow>", "flow": {"utf8": raw}, "flow_ui": {"utf8": flow_ui.encode()}}
    )


def both(rule: str, flow: str, *fields: str, flow_ui: str = "{}") -> list[Bad]:
    return [wrong(rule, sent, *fields, reason="INVALID_FLOW") for sent in (rest(flow, flow_ui), rpc(flow, flow_ui))]


def straight(rule: str, flow: str | bytes, *fields: str) -> Bad:
    """Over gRPC a flow can be any bytes."""
    return wrong(rule, rpc(flow), *fields, reason="INVALID_FLOW")


def not_json(rule: str, flow: str | bytes) -> list[Bad]:
    """Over REST the whole body is invalid then."""
    return [wrong(rule, rest(flow)), straight(rule, flow, "flow")]


def too_large(rule: str, field: str, **documents: str) -> list[Bad]:
    return [
        Bad(rule, rest(**documents), "RESOURCE_EXHAUSTED", "FLOW_TOO_LARGE", (field,), (413, "payload_too_large")),
        Bad(rule, rpc(**documents), "RESOURCE_EXHAUSTED", "FLOW_TOO_LARGE", (field,)),
    ]


SHAPES = [
    *(both(f"a flow that is {text}", text, "flow") for text in ("[]", '"x"', "1", "true", "1.5")),
    *(both(f"a canvas that is {text}", FLOW, "flow_ui", flow_ui=text) for text in ("[]", '"x"', "1", "false")),
    *(
        both(f"nodes: {nodes}", nodes, "flow.nodes")
        for nodes in ("{}", '{"nodes": null}', '{"nodes": {}}', '{"nodes": "x"}', '{"nodes": 1}', '{"nodes": []}')
    ),
    *(
        both(f"a node that is {text}", f'{{"nodes": [{text}]}}', "flow.nodes[0]")
        for text in ("null", "[]", '"x"', "1", "true")
    ),
    both("a node with neither id nor type", '{"nodes": [{}]}', "flow.nodes[0].id", "flow.nodes[0].type"),
    *(
        both(f"a node's id that is {text}", f'{{"nodes": [{{"id": {text}, "type": "x.Y"}}]}}', "flow.nodes[0].id")
        for text in ("null", "1", '""', "[]", "{}")
    ),
    *(
        both(f"a node's type that is {text}", f'{{"nodes": [{{"id": "a", "type": {text}}}]}}', "flow.nodes[0].type")
        for text in ("null", "1", '""', '"plain"', '"a."', '".a"', '"a..b"', '"."', "[]")
    ),
    both("a node's id that an earlier one has", f'{{"nodes": [{NODES[1:-1]}, {NODES[1:-1]}]}}', "flow.nodes[1].id"),
    both(
        "several nodes that are wrong, each in its way",
        '{"nodes": [{"id": "a"}, 7, {"type": "x.Y"}]}',
        "flow.nodes[0].type",
        "flow.nodes[1]",
        "flow.nodes[2].id",
    ),
]

TWICE = [
    both("a key twice at the top of a flow", f'{{"nodes": [], "nodes": {NODES}}}', "flow.nodes"),
    both("a key twice deep in a flow", node('"in": {"b": [{"x": 1, "x": 1}]}'), "flow.nodes[0].in.b[0].x"),
    both("a key twice, once escaped", node('"x": 1, "\\u0078": 2'), "flow.nodes[0].x"),
    both("a key twice in a canvas", FLOW, "flow_ui.viewport.x", flow_ui='{"viewport": {"x": 1, "x": 2}}'),
    both(
        "keys twice in flow and canvas", node('"x": 1, "x": 2'), "flow.nodes[0].x", "flow_ui.y", flow_ui='{"y":1,"y":1}'
    ),
    both(
        "a key twice, then an integer of 5000 digits",
        node(f'"p": {{"x": 1, "x": 2}}, "n": {"9" * 5000}'),
        "flow.nodes[0].p.x",
    ),
    both("a key twice that is half a surrogate pair", node(r'"\ud800": 1, "\ud800": 2'), r"flow.nodes[0].\ud800"),
    [straight("a key twice, then no JSON", '{"a": {"x": 1, "x": 2}, oops', "flow")],
    [straight("a key twice, then 100,000 levels", f'{{"a": {{"x": 1, "x": 2}}, "b": {"[" * 100_000}', "flow")],
]

VALUES = [
    both("half a surrogate pair in a value", node(r'"x": "a\ud800"'), "flow.nodes[0].x"),
    both("half a surrogate pair in a key", node(r'"\udc00": 1'), "flow.nodes[0]"),
    both("half a surrogate pair in a canvas", FLOW, "flow_ui.x", flow_ui=r'{"x": "\ud83d"}'),
    both(
        "half a surrogate pair below a key that is one",
        node(r'"\ud800": {"x": "\ud801"}'),
        "flow.nodes[0]",
        r"flow.nodes[0].\ud800.x",
    ),
    *(both(f"the number {text}", node(f'"x": {text}'), "flow.nodes[0].x") for text in ("1e999", "-1e999")),
    both("an integer of 5000 digits", node(f'"x": {"9" * 5000}'), "flow.nodes[0].x"),
    both("a number out of range in a canvas", FLOW, "flow_ui.zoom", flow_ui='{"zoom": 1e400}'),
    both("201 levels", nested(201), "flow"),
    both("201 levels in a canvas", FLOW, "flow_ui", flow_ui=nested(201)),
]

TEXT = [
    *(not_json(f"{text} in a flow", node(f'"x": {text}')) for text in ("nope", "01", "+1", "'x'", '"\\x"')),
    not_json("a comma too many in a flow", f'{{"nodes": {NODES},}}'),
    not_json("a flow that ends too early", f'{{"nodes": {NODES}'),
    not_json("a flow with something after it", FLOW + " {}"),
    not_json("a byte order mark before a flow", "\ufeff" + FLOW),
    not_json("a flow in another encoding", node('"x": "é"').encode("latin-1")),
    not_json("half a surrogate pair as bytes", node('"x": "?"').encode().replace(b"?", b"\xed\xa0\x80")),
    *(
        [
            wrong(f"{text} in a flow", rest(node(f'"x": {text}'))),
            straight(f"{text} in a flow", node(f'"x": {text}'), "flow.nodes[0].x"),
        ]
        for text in ("NaN", "Infinity", "-Infinity")
    ),
    [straight("no bytes at all as a flow", b"", "flow")],
    [straight("null as a flow", "null", "flow")],
    [straight("100,000 levels", nested(100_000), "flow"), wrong("100,000 levels", rest(nested(100_000)))],
    [straight("NaN, then 100,000 levels", f'{{"x": NaN, "y": {"[" * 100_000}', "flow")],
]

MANY = node(", ".join(f'"{"😀" * 100}{number}": 1, "{"😀" * 100}{number}": 2' for number in range(50)))
"""More problems with longer names than an answer can contain."""

SIZES = [
    [
        Bad("more duplicated keys than an answer can hold", sent(MANY), "INVALID_ARGUMENT", "INVALID_FLOW")
        for sent in (rest, rpc)
    ],
    too_large("a flow one byte over the limit", "flow", flow=padded(LIMIT + 1)),
    too_large("a canvas one byte over the limit", "flow_ui", flow_ui=padded(LIMIT + 1)),
]

OTHER_CALLS = [
    Bad(rule, Rpc(rpc, {**fields, "name": "new", "flow": {"utf8": flow}, "flow_ui": {"utf8": b"{}"}}), code, reason)
    for rpc, fields in (
        ("CreateWorkflow", {"project_id": "<project>"}),
        ("ReleaseWorkflow", {"workflow_id": "<draft>"}),
        ("ForkWorkflow", {"workflow_id": "<workflow>"}),
    )
    for rule, flow, code, reason in (
        ("a flow without nodes", b"{}", "INVALID_ARGUMENT", "INVALID_FLOW"),
        ("a flow over the limit", padded(LIMIT + 1).encode(), "RESOURCE_EXHAUSTED", "FLOW_TOO_LARGE"),
    )
]

BAD = [*(row for rows in (*SHAPES, *TWICE, *VALUES, *TEXT, *SIZES) for row in rows), *OTHER_CALLS]
