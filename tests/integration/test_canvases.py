"""Canvases without a version are validated, imported from a file, exported to a file, and list the known node types."""

import io
import json
import zipfile
from typing import Any

import pytest
import yaml

from service_kit.ids import new_id
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from tests.support.paths import DATA
from tests.support.refusals import refusal
from tests.support.stack import FLOW, FLOW_UI, Answer, Stack, running_stack
from tests.support.workflows import body_of, listed, workflow_now

CONFIG = (DATA / "config.yaml").read_text()
CONFIGS = {path.stem: path.read_text() for path in sorted((DATA / "configs").glob("*.yaml"))}
INPUT = "dynamiq.nodes.utils.Input"
SEVERAL = {"nodes": {"in": {"type": INPUT}}, "flows": {"f": {"nodes": ["in"]}}}
SEVERAL["workflows"] = {"one": {"flow": "f"}, "two": {"flow": "f"}}


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """Shared by all tests of this module; each test creates its own workflows."""
    return shared_stack


def node(name: str, node_type: str = "x.Y", *depends: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": node_type, "depends": [{"node": other} for other in depends], **more}


async def validate(stack: Stack, flow: bytes, token: str = "viewer") -> Any:
    return await stack.ok("POST", "/v1/workflows/validate", b'{"flow":' + flow + b"}", token=token)


async def problems(stack: Stack, flow: Any) -> tuple[bool, list[tuple[str, str]]]:
    """Whether the flow is valid, and the severity and path of each problem."""
    found = await validate(stack, flow if isinstance(flow, bytes) else json.dumps(flow).encode())
    assert all(problem["message"] for problem in found["problems"])
    return found["valid"], [(problem["severity"], problem["path"]) for problem in found["problems"]]


async def import_config(stack: Stack, config: str = CONFIG, **fields: Any) -> Answer:
    body = {"project_id": str(stack.people.project), "name": "taken-in", "config": config}
    options = {key: fields.pop(key) for key in ("token", "headers") if key in fields}
    return await stack.rest("POST", "/v1/workflows/import", body | fields, **options)


def files(answer: Answer) -> dict[str, str]:
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment; filename=workflow.zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


async def export(stack: Stack, flow: Any) -> Answer:
    body = {"project_id": str(stack.people.project), "flow": flow}
    return await stack.rest("POST", "/v1/workflows/export", body, token="viewer")


async def test_a_flow_without_problems_is_valid(stack: Stack):
    flow = {"nodes": [node("in", INPUT), node("out", "x.Y", "in")]}

    assert await validate(stack, json.dumps(flow).encode()) == {"valid": True, "problems": []}


async def test_validation_lists_errors_before_warnings_each_with_its_path(stack: Stack):
    flow = {"nodes": [node("No Slug"), node("b", "x.Y", "c", "nowhere"), node("c", "x.Y", "b")]}

    assert await problems(stack, flow) == (
        False,
        [
            ("error", "flow.nodes[1].depends[1].node"),
            ("error", "flow.nodes"),
            ("warning", "flow.nodes"),
            ("warning", "flow.nodes[0].id"),
            ("warning", "flow.nodes[0].depends"),
        ],
    )


async def test_a_flow_with_warnings_is_valid(stack: Stack):
    assert await problems(stack, {"nodes": []}) == (True, [("warning", "flow.nodes")])


@pytest.mark.parametrize(
    ("flow", "paths"),
    [
        (b"[]", ["flow"]),
        (b"{}", ["flow.nodes"]),
        (b'{"nodes": [{"id": "a", "type": "x.Y"}, {"id": "a", "type": "y"}, 7]}', None),
        (b'{"nodes": [], "nodes": []}', ["flow.nodes"]),
        (rb'{"nodes": [], "x": "\ud800"}', ["flow.x"]),
        (b'{"nodes": [], "x": 1e999}', ["flow.x"]),
        (b'{"nodes": [], "x": ' + b"[" * 200 + b"]" * 200 + b"}", ["flow"]),
    ],
)
async def test_validation_reports_an_error_for_a_flow_that_a_save_refuses(
    stack: Stack, flow: bytes, paths: list[str] | None
):
    valid, found = await problems(stack, flow)

    expected = paths or ["flow.nodes[1].id", "flow.nodes[1].type", "flow.nodes[2]"]
    assert (valid, found) == (False, [("error", path) for path in expected])
    saved = await stack.rest("POST", f"/v1/workflows/{(await stack.draft())['id']}/save", body_of(flow))
    assert (saved.status, saved.error["details"].keys() - {"reason"}) == (400, set(expected))


@pytest.mark.parametrize("token", ["viewer", "stranger", "service"])
async def test_any_token_may_validate_a_flow_and_nothing_is_stored(stack: Stack, token: str):
    before = await stack.row_counts()

    assert (await validate(stack, FLOW, token))["valid"]

    assert await stack.row_counts() == before


async def test_validation_export_and_import_have_the_size_limit_of_a_flow(unstarted: Stack):
    async with running_stack(unstarted, workflow={"max_flow_bytes": 2048}) as stack:
        for path, body in (
            ("/v1/workflows/validate", {"flow": {"nodes": [], "x": "x" * 2048}}),
            ("/v1/workflows/export", {"project_id": str(stack.people.project), "flow": {"nodes": [], "x": "x" * 2048}}),
        ):
            answer = await stack.rest("POST", path, body)
            assert answer.error["details"]["reason"] == "FLOW_TOO_LARGE"
            assert answer.status == 413
        answer = await import_config(stack, CONFIG + "# " + "x" * 2048)
        assert answer.error["details"]["reason"] == "CONFIG_TOO_LARGE"
        assert (answer.status, answer.error["code"]) == (413, "payload_too_large")


async def test_a_version_over_the_current_size_limit_is_not_exported(unstarted: Stack):
    flow = b'{"nodes":[{"id":"a","type":"x.Y"}],"x":"' + b"x" * 2048 + b'"}'
    async with running_stack(unstarted) as stack:
        path = f"/v1/workflows/{(await stack.draft())['id']}"
        await stack.ok("POST", f"{path}/save", body_of(flow, FLOW_UI))

    async with running_stack(unstarted, workflow={"max_flow_bytes": 2048}) as stack:
        answer = await stack.rest("GET", f"{path}/versions/1/export")

    assert (answer.status, answer.error["details"]["reason"]) == (413, "FLOW_TOO_LARGE")


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ('nodes: {"": {type: x.Y}}\nflows: {f: {nodes: [""]}}\nworkflows: {w: {flow: f}}', {"flow.nodes[0].id"}),
        (
            f"connections: {{c: {{x: {'[' * 196}{']' * 196}}}}}\n"
            f"nodes: {{a: {{type: x.Y, llm: {{in: {{in: {{in: {{in: {{type: x.Y, connection: c}}}}}}}}}}}}}}\n"
            "flows: {f: {nodes: [a]}}\nworkflows: {w: {flow: f}}",
            {"flow", "flow_ui"},
        ),
    ],
    ids=["a node without a name", "a flow that is too deep when it is expanded"],
)
async def test_an_import_of_a_flow_that_a_save_refuses_is_refused(stack: Stack, config: str, paths: set[str]):
    before = await stack.row_counts()

    answer = await import_config(stack, config)

    assert (answer.status, answer.error["details"]["reason"]) == (400, "INVALID_FLOW")
    assert answer.error["details"].keys() == paths | {"reason"}
    assert await stack.row_counts() == before


@pytest.mark.parametrize("file", CONFIGS)
async def test_an_imported_file_becomes_a_draft_with_a_canvas(stack: Stack, file: str):
    names = list(yaml.safe_load(CONFIGS[file])["workflows"])
    fields = {"workflow": names[-1]} if len(names) > 1 else {}

    answer = await import_config(stack, CONFIGS[file], **fields, description="from a file", token="editor")

    assert answer.status == 201
    draft = answer.data
    assert draft == await workflow_now(stack, draft["id"])
    assert (draft["status"], draft["name"], draft["description"]) == ("draft", "taken-in", "from a file")
    assert await listed(stack, draft["id"]) == []
    assert all(isinstance(warning, str) for warning in answer.body["warnings"])
    exported = files(await export(stack, draft["flow"]))
    again = (await import_config(stack, exported["config.yaml"])).data
    assert files(await export(stack, again["flow"])) == exported


async def test_every_imported_node_has_its_own_position(stack: Stack):
    draft = (await import_config(stack)).data

    drawn = [node["data"]["metadata"]["name"] for node in draft["flow_ui"]["nodes"]]
    places = {(node["position"]["x"], node["position"]["y"]) for node in draft["flow_ui"]["nodes"]}
    assert sorted(drawn) == sorted(node["id"] for node in draft["flow"]["nodes"])
    assert len(places) == len(drawn)


async def test_an_import_of_several_workflows_needs_the_name_of_one(stack: Stack):
    config = yaml.safe_dump(SEVERAL)

    refused = [await import_config(stack, config), await import_config(stack, config, workflow="three")]
    picked = await import_config(stack, config, workflow="two")

    for answer in refused:
        assert (answer.status, answer.error["details"]["reason"]) == (400, "SEVERAL_WORKFLOWS")
        assert "one, two" in answer.error["details"]["workflow"]
    assert picked.status == 201


async def test_an_import_that_fails_names_the_cause_and_stores_nothing(stack: Stack):
    before = await stack.row_counts()
    theirs = str(stack.people.foreign)

    for fields, status, named in (
        ({"config": "nodes: ["}, 400, "config"),
        ({"config": "- a"}, 400, "config"),
        ({"config": ""}, 400, "config"),
        ({"config": "a: &a [*a]"}, 400, "config"),
        ({"name": "No Slug"}, 400, "name"),
        ({"description": "x" * 513}, 400, "description"),
        ({"project_id": theirs}, 404, "project_id"),
        ({"token": "viewer"}, 403, "reason"),
    ):
        answer = await import_config(stack, **fields)
        assert answer.status == status, fields
        assert any(key.startswith(named) for key in answer.error["details"]), (fields, answer.error)

    assert await stack.row_counts() == before


async def test_an_import_sent_twice_with_one_key_happens_once(stack: Stack):
    headers = {"Idempotency-Key": str(new_id())}
    first = await import_config(stack, headers=headers)
    before = await stack.row_counts()

    repeat = await import_config(stack, headers=headers)

    assert (repeat.status, repeat.content) == (201, first.content)
    assert await stack.row_counts() == before


async def test_an_exported_version_has_its_flow_and_its_number(stack: Stack):
    workflow, _ = await stack.workflow(saves=2)
    path = f"/v1/workflows/{workflow['id']}/versions"
    await stack.ok("POST", f"{path}/1/archive")

    exported = {ref: files(await stack.rest("GET", f"{path}/{ref}/export", token="viewer")) for ref in ("1", "latest")}

    for number, ref in enumerate(exported, 1):
        flow = (await stack.ok("GET", f"{path}/{ref}"))["flow"]
        config = yaml.safe_load(exported[ref]["config.yaml"])
        (found,) = config["workflows"].values()
        assert found["version"] == number
        del found["version"]
        assert config == yaml.safe_load(files(await export(stack, flow))["config.yaml"])


async def test_a_version_that_the_sdk_could_not_load_is_not_exported(stack: Stack):
    path = f"/v1/workflows/{(await stack.draft())['id']}"
    flow = json.dumps({"nodes": [node("a", "x.Y", "nowhere")]}).encode()
    await stack.ok("POST", f"{path}/save", body_of(flow, FLOW_UI))

    answer = await stack.rest("GET", f"{path}/versions/1/export")

    assert (answer.status, answer.error["details"]["reason"]) == (400, "INVALID_FLOW")
    assert "flow.nodes[0].depends[0].node" in answer.error["details"]


async def test_all_node_types_are_listed_on_one_page_by_group_and_name(stack: Stack):
    answer = await stack.rest("GET", "/v1/agent-builder/nodes?page_size=1", token="stranger")

    keys = [(row["group"], row["name"]) for row in answer.data]
    assert keys == sorted(keys)
    assert len(keys) > 100
    assert list(answer.body) == ["data"]
    assert {"type": INPUT, "group": "utils", "name": "Input"} in answer.data


async def test_node_types_are_filtered_by_group(stack: Stack):
    every = await stack.ok("GET", "/v1/agent-builder/nodes")

    for group in sorted({row["group"] for row in every}):
        found = await stack.ok("GET", f"/v1/agent-builder/nodes?group={group}")
        assert found == [row for row in every if row["group"] == group]
    assert await stack.ok("GET", "/v1/agent-builder/nodes?group=nowhere") == []
    error = await refusal(stack.workflows.ListNodeTypes(pb.ListNodeTypesRequest()))
    assert error.code.name == "UNAUTHENTICATED"
