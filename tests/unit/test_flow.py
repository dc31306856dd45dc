"""The quick check of a saved flow, and its digests."""

import hashlib
import json
import sys
from random import Random
from typing import Any

import pytest

from service_kit.documents import LARGE_DOCUMENT_BYTES
from service_kit.paths import MAX_KEY_CHARS, MAX_PATH_CHARS
from service_kit.problems import MAX_PROBLEMS
from workflow_service.canonical import read_in_pieces, read_plain
from workflow_service.errors import FlowTooLarge, InvalidFlow
from workflow_service.flow import MAX_DEPTH, check_content, parse_flow

LIMIT = 1 << 20
NODES = b'"nodes":[{"id":"a","type":"x.Y"}]'
MUCH = 100_000  # deeper than Python's own parser goes


def flow_with(member: bytes) -> bytes:
    return b"{" + NODES + b"," + member + b"}"


def problems_of(flow: bytes, flow_ui: bytes = b"{}") -> dict[str, str]:
    with pytest.raises(InvalidFlow) as caught:
        check_content(flow, flow_ui, LIMIT)
    assert caught.value.status  # fits into a message
    return dict(caught.value.fields)


@pytest.mark.parametrize(
    ("value", "digest"),
    [
        (b'{"nodes": []}', "acf2fa576acb702442f9d0101673354c398db67315c066ca48be8db8e0d2c75b"),
        (b'{"nodes":[]}', "acf2fa576acb702442f9d0101673354c398db67315c066ca48be8db8e0d2c75b"),
        (b'{"b":1.0,"a":"\\u00e9"}', "f26729478cbf5d0777a869dd9c1caa9f5bc05eb4813fe5d93985be452a99cd5f"),
    ],
)
def test_the_digests_in_the_contract_follow_from_its_definition(value, digest):
    canonical = json.dumps(json.loads(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert hashlib.sha256(canonical.encode()).hexdigest() == digest


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        (b' {\r\n\t"b" : 2 , "a":1}', '{"a":1,"b":2}'),
        (b'{"a":1.0}', '{"a":1.0}'),
        (b'{"a":1}', '{"a":1}'),
        (b'{"a":-0.0,"b":-0}', '{"a":-0.0,"b":0}'),
        (b'{"a":9007199254740993}', '{"a":9007199254740993}'),
        (b'{"a":123456789012345678901234567890}', '{"a":123456789012345678901234567890}'),
        (b'{"a":1E21,"b":1e16,"c":0.1e-6,"d":5e-324,"e":1e-400}', '{"a":1e+21,"b":1e+16,"c":1e-07,"d":5e-324,"e":0.0}'),
        (rb'{"a":"\u00e9\u0000\/\ud83d\ude00\u2028"}', '{"a":"é\\u0000/😀\u2028"}'),
        ('{"é":"é","e":"\x7f"}'.encode(), '{"e":"\x7f","é":"é"}'),
        ('{"\U0001f600":1,"\uffff":2}'.encode(), '{"\uffff":2,"\U0001f600":1}'),  # by code point, not by UTF-16
        (b'{"a":[true,false,null,{},[]]}', '{"a":[true,false,null,{},[]]}'),
    ],
)
def test_the_digest_is_computed_from_the_canonical_text(sent, canonical):
    flow = b'{"nodes":[{"id":"a","type":"x.Y","v":' + sent + b"}]}"

    content = check_content(flow, b"{}", LIMIT)

    expected = '{"nodes":[{"id":"a","type":"x.Y","v":' + canonical + "}]}"
    assert content.digest == hashlib.sha256(expected.encode()).digest()


def test_the_canvas_digest_is_computed_from_the_exact_bytes_of_flow_and_flow_ui():
    flow, flow_ui = flow_with(b'"a":  1'), b'{ "zoom":1.50}'

    content = check_content(flow, flow_ui, LIMIT)

    assert content.canvas_digest == hashlib.sha256(flow + b"\0" + flow_ui).digest()
    assert (content.flow, content.flow_ui) == (flow, flow_ui)


@pytest.mark.parametrize(
    ("flow", "problems"),
    [
        (b"", {"flow": "is not JSON: Expecting value at line 1, column 1"}),
        (b"[]", {"flow": "must be an object"}),
        (b"null", {"flow": "must be an object"}),
        (b"{", {"flow": "is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"}),
        (b'{"a":"\xff"}', {"flow": "is not UTF-8 at byte 6"}),
        (flow_with(b'"a":{"b":1,"c":2,"b":3}'), {"flow.a.b": "must not be duplicated"}),
        (flow_with(rb'"a":[{"b":1,"\u0062":3}]'), {"flow.a[0].b": "must not be duplicated"}),
        (flow_with(rb'"a":{"b":["\ud800"]}'), {"flow.a.b[0]": "must not contain half of a surrogate pair"}),
        (flow_with(rb'"a":{"\udc00":1}'), {"flow.a": "must not contain half of a surrogate pair"}),
        (flow_with(b'"a":[0,1E400]'), {"flow.a[1]": "is a number out of range"}),
        (flow_with(b'"a":NaN'), {"flow.a": "is a number out of range"}),
        (flow_with(b'"a":-Infinity'), {"flow.a": "is a number out of range"}),
        (flow_with(b'"a":' + b"9" * 5000), {"flow.a": "is a number out of range"}),
        (flow_with(b'"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH), {"flow": "is nested deeper than 200 levels"}),
        (flow_with(b'"a":' + b"[" * MUCH + b"]" * MUCH), {"flow": "is nested deeper than 200 levels"}),
        (b"{}", {"flow.nodes": "must be a list"}),
        (b'{"nodes":{}}', {"flow.nodes": "must be a list"}),
        (b'{"nodes":[]}', {"flow.nodes": "cannot be empty"}),
        (b'{"nodes":[1]}', {"flow.nodes[0]": "must be an object"}),
        *(
            (
                b'{"nodes":[{"id":"a","type":"' + name + b'"}]}',
                {"flow.nodes[0].type": "must be a dotted name, such as dynamiq.nodes.utils.Input"},
            )
            for name in (
                b"@n8n/n8n-nodes-langchain.chatTrigger",
                b"a b.c",
                b"1.2",
                b".a.b",
                b"a.b.",
                b"a.b-c",
                b"a.b\\n",
            )
        ),
        (
            b'{"nodes":[{"id":"","type":"x.Y"},{"id":1,"type":"nodots"},{"type":"x..Y"},{"id":"b"}]}',
            {
                "flow.nodes[0].id": "must be a string that is not empty",
                "flow.nodes[1].id": "must be a string that is not empty",
                "flow.nodes[1].type": "must be a dotted name, such as dynamiq.nodes.utils.Input",
                "flow.nodes[2].id": "must be a string that is not empty",
                "flow.nodes[2].type": "must be a dotted name, such as dynamiq.nodes.utils.Input",
                "flow.nodes[3].type": "must be a dotted name, such as dynamiq.nodes.utils.Input",
            },
        ),
        (
            b'{"nodes":[{"id":"a","type":"x.Y"},{"id":"a","type":"x.Y"}]}',
            {"flow.nodes[1].id": "'a' is the id of an earlier node too"},
        ),
    ],
)
def test_each_problem_of_a_flow_is_named_with_its_path(flow, problems):
    assert problems_of(flow) == problems


@pytest.mark.parametrize("end", [b"]", b"", b"oops"], ids=["closed", "open", "wrong"])
@pytest.mark.parametrize("padding", [0, LARGE_DOCUMENT_BYTES], ids=["small", "large"])
@pytest.mark.parametrize("levels", [MAX_DEPTH, 990, 1400, 5000, MUCH])
def test_a_flow_with_too_many_levels_is_refused_with_the_same_message_on_every_python(levels, padding, end):
    flow = flow_with(b'"padding":"' + b"x" * padding + b'","a":' + b"[" * levels + end * levels)

    assert problems_of(flow) == {"flow": "is nested deeper than 200 levels"}


@pytest.mark.parametrize("padding", [0, LARGE_DOCUMENT_BYTES], ids=["small", "large"])
@pytest.mark.parametrize("number", [b"9" * 4301, b"-" + b"9" * 4301])
def test_digits_of_an_integer_are_limited_even_where_python_does_not_limit_them(no_digits_limit, number, padding):
    flow = flow_with(b'"padding":"' + b"x" * padding + b'","a":' + number)

    assert problems_of(flow) == {"flow.a": "is a number out of range"}


@pytest.fixture
def no_digits_limit():
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(limit)


@pytest.mark.parametrize(
    "second",
    [b'"b":oops', b'"b":' + b"9" * 5000, b'"b":' + b"[" * MUCH + b"]" * MUCH, b'"b":NaN', rb'"b":"\ud800"'],
    ids=["syntax", "digits", "depth", "nan", "surrogate"],
)
@pytest.mark.parametrize("first", [b'"a":{"c":1,"c":2}', b'"a":NaN', rb'"\ud800":{"c":1,"c":2}'])
def test_a_flow_with_two_syntax_problems_is_refused_with_a_path(first, second):
    problems = problems_of(flow_with(first + b"," + second))

    assert problems
    assert all(path.startswith("flow") for path in problems)


def test_the_first_problems_of_a_flow_are_named_and_the_others_counted():
    with pytest.raises(InvalidFlow) as caught:
        check_content(b'{"nodes":[' + b",".join([b"{}"] * 1000) + b"]}", b"{}", LIMIT)

    problems = caught.value.fields
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems["flow.nodes[49].type"]
    assert problems["flow"] == f"has {2 * 1000 - MAX_PROBLEMS:,} more problems"
    assert caught.value.message.endswith(f"and {2 * 1000 - caught.value.message.count('must be')} more")


def test_a_long_path_of_a_problem_is_shortened():
    key = b"k" * 10_000
    levels = b"".join(b'{"%s":' % key[:100] for _ in range(100)) + rb'"\ud800"' + b"}" * 100

    (long_key,) = problems_of(flow_with(b'"' + key + b'":[' + rb'"\ud800"' + b"]"))
    (long_path,) = problems_of(flow_with(b'"a":' + levels))

    assert long_key == f"flow.{'k' * MAX_KEY_CHARS}…[0]"
    assert len(long_path) == MAX_PATH_CHARS + 1
    assert long_path.startswith("flow.a.kkk")
    assert long_path.endswith("…")


def test_flow_ui_is_checked_for_its_syntax_only():
    assert problems_of(flow_with(b'"a":1'), b'["no object"]') == {"flow_ui": "must be an object"}
    assert problems_of(b"{}", b'{"a":1,"a":2}') == {
        "flow.nodes": "must be a list",
        "flow_ui.a": "must not be duplicated",
    }


def test_a_flow_at_the_depth_limit_is_accepted():
    depth = MAX_DEPTH - 1
    assert check_content(flow_with(b'"a":' + b"[" * depth + b"]" * depth), b"{}", LIMIT)


@pytest.mark.parametrize("field", ["flow", "flow_ui"])
def test_a_document_over_the_size_limit_is_named(field):
    flow = flow_with(b'"a":1')
    documents = {"flow": flow, "flow_ui": b"{}"} | {field: flow + b" " * 100}

    with pytest.raises(FlowTooLarge) as caught:
        check_content(**documents, limit=len(flow))

    assert list(caught.value.fields) == [field]
    assert check_content(flow, b"{}", limit=len(flow))


def test_an_exported_flow_may_have_no_nodes():
    assert parse_flow(b'{"nodes": []}', LIMIT) == {"nodes": []}


def some_document(random: Random, depth: int = 0) -> Any:
    """Random JSON with more unusual values than real documents have."""
    kind = random.choice(["text", "number", "word"] + ["list", "object"] * (4 if depth < 2 else depth < 6))
    if kind == "text":
        return "".join(random.choices(TEXTS, k=random.randrange(6)))
    if kind == "number":
        scale = 10 ** random.uniform(-7, 19)
        return random.choice(
            [random.uniform(-scale, scale), int(scale), -(2**63), 2**64, 10**40, 0.0, -0.0, 1e16, 1e-4]
        )
    if kind == "word":
        return random.choice([True, False, None])
    if kind == "list":
        return [some_document(random, depth + 1) for _ in range(random.randrange(5))]
    return {"".join(random.choices(TEXTS, k=2)): some_document(random, depth + 1) for _ in range(random.randrange(5))}


TEXTS = [*map(chr, range(0x20)), *'aZ09:"\\/{}[],', "\x7f", "é", "\u2028", "\ud7ff", "\ue000", "\uffff", "\U0001f600"]


def test_the_fast_codec_writes_the_same_text_as_cpythons_or_declines():
    random = Random(20261121)
    agreed = 0

    for _ in range(3000):
        document = some_document(random)
        sent = json.dumps(document, ensure_ascii=random.random() < 0.5, indent=random.choice([None, 1])).encode()
        plain = read_plain(sent, exactly=True)

        canonical = json.dumps(json.loads(sent), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert plain is None or plain == (document, canonical)
        agreed += plain is not None
    assert agreed > 1500


def test_a_document_hashed_in_pieces_has_the_same_canonical_bytes():
    random = Random(20261122)
    agreed = 0

    for _ in range(1000):
        document = {key: some_document(random, depth=1) for key in random.choices(TEXTS, k=3)}
        document["nodes"] = [some_document(random, depth=2) for _ in range(random.randrange(4))]
        sent = json.dumps(document, ensure_ascii=random.random() < 0.5, indent=random.choice([None, 1])).encode()
        plain = read_in_pieces(sent, lambda value, utf8: value, exactly=True)

        canonical = json.dumps(json.loads(sent), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert plain is None or plain == (document, hashlib.sha256(canonical).digest())
        agreed += plain is not None
    assert agreed > 400


@pytest.mark.parametrize(
    ("member", "path"),
    [
        (b'"nodes":[{"id":"a","type":"x.Y"},{"id":"a","type":"x.Y"}]', "flow.nodes[1].id"),
        (b'"nodes":[{"id":"a","type":"xY"}]', "flow.nodes[0].type"),
        (b'"nodes":[7]', "flow.nodes[0]"),
        (b'"nodes":{}', "flow.nodes"),
        (NODES + b',"a":1,"a":2', "flow.a"),
        (NODES + b',"a":{"b":1,"b":2}', "flow.a.b"),
        (NODES + b',"a":[{"b":1,"b":2}]', "flow.a[0].b"),
        (NODES + b',"a":[1e999]', "flow.a[0]"),
        (NODES + b',"a":' + b"[" * 200 + b"]" * 200, "flow"),
    ],
)
def test_a_large_flow_is_checked_like_a_small_one(member, path):
    padding = b',"padding":"' + b"x" * LARGE_DOCUMENT_BYTES + b'"'

    assert list(problems_of(b"{" + member + padding + b"}")) == [path]


def test_a_large_flow_may_be_as_deep_as_a_small_one():
    deep = b',"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    flow = b"{" + NODES + deep + b',"padding":"' + b"x" * LARGE_DOCUMENT_BYTES + b'"}'

    expected = json.dumps(json.loads(flow), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert check_content(flow, b"{}", LIMIT).digest == hashlib.sha256(expected.encode()).digest()


@pytest.mark.parametrize(
    "sent",
    [
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":[2]}}',
        b'{"a":1,"\\u0061":"\\u003a"}',
        b'{"a:":1,"a:":2}',
        b'{"\\u003A":1,"a":1,"a":1}',
        b"[1e16]",
        b"[1e-5]",
        b"[1e999]",
        b"[NaN]",
        b'["\\ud800"]',
        b'["\xff"]',
        b'["\x01"]',
        b"[01]",
        b"[1,]",
        b"[1]x",
        b"[" + b"1" * 5000 + b"]",
    ],
)
def test_the_fast_codec_declines_what_only_cpythons_can_judge(sent):
    assert read_plain(sent, exactly=True) is None
