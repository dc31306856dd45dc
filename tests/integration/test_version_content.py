"""The flow and flow_ui of a version are read as saved, byte for byte."""

import hashlib

import pytest

from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.stack import FLOW, FLOW_UI, Stack
from tests.support.workflows import body_of, flow_of, save_request

NODES = rb'"nodes":[{"id":"a","type":"x.Y"}]'


def flow_with(members: bytes) -> bytes:
    return b"{" + NODES + b"," + members + b"}"


DOCUMENTS = {
    "the example": (FLOW, FLOW_UI),
    "integers over 2^53": (flow_with(b'"n":[9007199254740993,-18446744073709551617,1' + b"0" * 60 + b"]"), b"{}"),
    "kinds of numbers": (
        flow_with(b'"n":[1.0,1,-0,-0.0,1.50,1E+2,1e-400,0.1e00,123456789.123456789123]'),
        b'{"z":1.0}',
    ),
    "big exponents": (flow_with(b'"n":[1E21,1e308,-1e-307,5e-324,1E-400]'), b"{}"),
    "white space": (b"\r\n\t {  " + NODES + b'\n,\t"a" :\r[ 1 ,\n\n2 ] }\t\r\n ', b'{\n\n"x"\t:1 }  '),
    "order of keys": (b'{"z":{"b":1,"a":2},' + NODES + b',"a":0,"\xc3\xa9":1,"":2}', b'{"b":1,"a":{"d":1,"c":2}}'),
    "escapes": (flow_with(rb'"s":"\u0000\u001f\/\"\\\b\f\n\r\t\u0041\uD83D\uDE00"'), rb'{"\u0000":"\u0000"}'),
    "raw text": (flow_with('"s":"é😀\u2028\ufeff\x7f"'.encode()), '{"ключ":"值"}'.encode()),
    "raw and escaped": (flow_with('"s":"é\\u00e9\\u00E9"'.encode()), b'{"caf\xc3\xa9":"\\u00e9"}'),
    "a document that looks like the body of a save": (
        flow_with(b'"flow":{"flow_ui":{"data":1}}'),
        b'{"flow": {"utf8":"e30="}}',
    ),
    "a megabyte": (flow_with(b'"s":"' + b"x" * (1 << 20) + b'"'), b'{"s":[' + b"0 ," * 1000 + b"0]}"),
}


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


def in_a_body(document: str) -> tuple[bytes, bytes]:
    # White space around the value of a field belongs to the body, not to the document.
    flow, flow_ui = DOCUMENTS[document]
    return flow.strip(), flow_ui.strip()


async def assert_read(stack: Stack, workflow_id: str, flow: bytes, flow_ui: bytes, version: str | None) -> None:
    """Read the content over REST and gRPC, from the workflow and, if there is one, from the version."""
    spliced = b'"flow":' + flow + b',"flow_ui":' + flow_ui
    path = f"/v1/workflows/{workflow_id}"
    assert spliced in (await stack.rest("GET", path)).content
    answer = await stack.workflows.GetWorkflow(pb.GetWorkflowRequest(workflow_id=workflow_id), metadata=stack.as_())
    assert (answer.data.flow.utf8, answer.data.flow_ui.utf8) == (flow, flow_ui)
    if version is not None:
        assert spliced in (await stack.rest("GET", f"{path}/versions/{version}")).content
        request = pb.GetVersionRequest(workflow_id=workflow_id, version=version)
        read = (await stack.workflows.GetVersion(request, metadata=stack.as_())).data
        assert (read.flow.utf8, read.flow_ui.utf8) == (flow, flow_ui)
        assert read.canvas_digest == f"sha256:{hashlib.sha256(flow + bytes(1) + flow_ui).hexdigest()}"


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_content_saved_over_rest_is_read_unchanged(stack: Stack, document: str):
    flow, flow_ui = in_a_body(document)
    workflow = await stack.draft()

    saved = await stack.ok("POST", f"/v1/workflows/{workflow['id']}/save", body_of(flow, flow_ui))

    for version in (saved["id"], "latest", "1"):
        await assert_read(stack, workflow["id"], flow, flow_ui, version)


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_content_saved_over_grpc_is_read_unchanged(stack: Stack, document: str):
    flow, flow_ui = DOCUMENTS[document]
    workflow = await stack.draft()

    request = save_request(workflow["id"], flow, flow_ui)
    saved = (await stack.workflows.SaveWorkflow(request, metadata=stack.as_())).data

    await assert_read(stack, workflow["id"], flow, flow_ui, saved.id)


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_the_canvas_of_a_draft_is_read_unchanged(stack: Stack, document: str):
    flow, flow_ui = in_a_body(document)
    body = body_of(flow, flow_ui, name="draft", project_id=str(stack.people.project))

    created = await stack.rest("POST", "/v1/workflows", body)

    assert b'"flow":' + flow + b',"flow_ui":' + flow_ui in created.content
    await assert_read(stack, created.data["id"], flow, flow_ui, version=None)


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_content_of_a_release_is_read_unchanged(stack: Stack, document: str):
    flow, flow_ui = in_a_body(document)
    workflow = await stack.draft()

    path = f"/v1/workflows/{workflow['id']}/release"
    released = await stack.rest("POST", path, body_of(flow, flow_ui, name="a"))

    assert b'"flow":' + flow + b',"flow_ui":' + flow_ui in released.content
    await assert_read(stack, workflow["id"], flow, flow_ui, "1")


async def test_an_older_version_keeps_its_content_after_all_later_changes(stack: Stack):
    workflow = await stack.draft()
    path = f"/v1/workflows/{workflow['id']}"
    first = await stack.ok("POST", path + "/save", body_of(flow_of("first"), b'{ "first":1.0}'))

    await stack.ok("POST", path + "/save", body_of(flow_of("second")))
    await stack.ok("PUT", path, {"name": "renamed", "flow": {"nodes": []}})
    await stack.ok("POST", f"{path}/versions/1/archive")
    await stack.ok("POST", f"{path}/versions/1/unarchive")

    read = await stack.rest("GET", f"{path}/versions/{first['id']}")
    assert b'"flow":' + flow_of("first") + b',"flow_ui":{ "first":1.0}' in read.content


async def test_the_digest_covers_the_meaning_of_a_flow_and_the_canvas_digest_its_bytes(stack: Stack):
    workflow = await stack.draft()
    path = f"/v1/workflows/{workflow['id']}/save"
    saves = [
        (flow_with(b'"b":1,"a":"\\u00e9"'), b"{}"),
        (b'{ "a" : "\xc3\xa9" , "b":1, ' + NODES + b"}", b"{}"),
        (flow_with(b'"b":1.0,"a":"\\u00e9"'), b"{}"),
        (flow_with(b'"b":1,"a":"\\u00e9"'), b"{ }"),
    ]

    one, spaced, decimal, moved = [await stack.ok("POST", path, body_of(*save)) for save in saves]

    assert one["digest"] == spaced["digest"] == moved["digest"] != decimal["digest"]
    assert len({version["canvas_digest"] for version in (one, spaced, decimal, moved)}) == 4
    assert [version.get("identical_to") for version in (one, spaced, decimal, moved)] == [None, 1, None, 2]
