"""Invalid bodies: not JSON, another shape, wrong types, missing or duplicate fields."""

from collections.abc import Mapping
from typing import Any

from tests.support.bad_input.table import FLOW, Bad, Rest, Rpc, wrong

CREATE, SAVE, RELEASE = "/v1/workflows", "/v1/workflows/<workflow>/save", "/v1/workflows/<draft>/release"
APPS, DEPLOY = "/v1/apps", "/v1/apps/<app>/deploy"

BODY_CALLS = [
    ("POST", CREATE),
    ("PUT", "/v1/workflows/<workflow>"),
    ("POST", SAVE),
    ("POST", RELEASE),
    ("POST", "/v1/workflows/export"),
    ("POST", "/v1/workflows/<workflow>/versions/<version>/archive"),
    ("POST", "/v1/workflows/<workflow>/versions/<version>/unarchive"),
    ("POST", APPS),
    ("PUT", "/v1/apps/<app>"),
    ("POST", DEPLOY),
    ("POST", "/v1/deployments/<deployment>/cancel"),
    ("POST", "/v1/ping"),
]

SHAPES = [
    wrong(f"a body that is {text[:20]!r}", Rest(method, path, text))
    for method, path in BODY_CALLS
    for text in (b"[]", b"null", b"{")
] + [
    wrong(f"a body that is {text[:20]!r}", Rest("POST", CREATE, text))
    for text in (
        b'"text"',
        b"7",
        b"true",
        b"plain words",
        b"{'name': 'x'}",
        b'{"name": "x",}',
        b'{"name": NaN}',
        b'{"name": "x"} {}',
        b"\xff\xfe",
        b'{"name": "\xff"}',
        b'\xef\xbb\xbf{"name": "x"}',
        b'{"name": "' + b"\x01" + b'"}',
        b"[" * 100_000,
        b'{"x": ' * 100_000,
        b'{"unknown": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"{" + b", ".join(b'"k%d": 1' % number for number in range(1001)) + b"}",
    )
]


def given(call: Mapping[str, Any], **other: Any) -> dict[str, Any]:
    return {**call, **other}


NEW_WORKFLOW = {
    "project_id": "<project>",
    "name": "flow",
    "flow": {"nodes": [{"id": "a", "type": "x.Y"}]},
    "flow_ui": {},
}
NEW_APP = {"project_id": "<project>", "name": "app", "workflow_id": "<workflow>"}

TYPES = [
    wrong(
        "wrong types, several at once",
        Rest("POST", CREATE, given(NEW_WORKFLOW, project_id=1, name=["x"], description={})),
        "project_id",
        "name",
        "description",
    ),
    wrong("text for an object", Rest("POST", APPS, given(NEW_APP, access_control="private")), "access_control"),
    wrong(
        "a list for an object",
        Rest("POST", DEPLOY, {"workflow_id": "<workflow>", "deployment_config": []}),
        "deployment_config",
    ),
    wrong("a number for an id", Rest("POST", DEPLOY, {"workflow_id": 12}), "workflow_id"),
    wrong("a number for a name", Rest("PUT", "/v1/workflows/<workflow>", {"name": 1.5}), "name"),
    wrong("false for a description", Rest("PUT", "/v1/apps/<app>", {"description": False}), "description"),
    wrong(
        "an enum that is a number",
        Rest("POST", APPS, given(NEW_APP, access_control={"access_type": 1})),
        "access_control.access_type",
    ),
    *(
        wrong(
            f"an enum without the name {name!r}",
            Rest("POST", APPS, given(NEW_APP, access_control={"access_type": name})),
            "access_control.access_type",
        )
        for name in ("", "PRIVATE", "secret", "unspecified", "ACCESS_TYPE_PUBLIC")
    ),
    *(
        wrong(
            f"an enum without the number {number}",
            Rpc("UpdateApp", {"app_id": "<app>", "access_control": {"access_type": number}}),
            "access_control.access_type",
        )
        for number in (0, 99)
    ),
    wrong("half a surrogate pair", Rest("PUT", "/v1/apps/<app>", rb'{"description": "\ud800"}'), "description"),
    wrong("half a surrogate pair as a key", Rest("PUT", "/v1/apps/<app>", rb'{"\ud800": 1, "name": 5}'), "name"),
]

MISSING = [
    wrong("nothing to create a workflow from", Rest("POST", CREATE), "project_id", "name", "flow", "flow_ui"),
    wrong("nothing to create a workflow from", Rpc("CreateWorkflow"), "project_id", "name", "flow", "flow_ui"),
    wrong("nulls to create a workflow from", Rest("POST", CREATE, dict.fromkeys(NEW_WORKFLOW)), *NEW_WORKFLOW),
    wrong("nothing to save", Rest("POST", SAVE), "flow", "flow_ui"),
    wrong("nothing to save", Rpc("SaveWorkflow", {"workflow_id": "<workflow>"}), "flow", "flow_ui"),
    wrong("no canvas to save", Rest("POST", SAVE, b'{"flow": ' + FLOW.encode() + b"}"), "flow_ui"),
    wrong("nothing to release", Rest("POST", RELEASE, {}), "name", "flow", "flow_ui"),
    wrong("nothing to release", Rpc("ReleaseWorkflow"), "workflow_id", "name", "flow", "flow_ui"),
    wrong("nothing to export", Rest("POST", "/v1/workflows/export", {}), "project_id", "flow"),
    wrong("nothing to create an app from", Rest("POST", APPS, {}), "project_id", "name", "workflow_id"),
    wrong("nothing to create an app from", Rpc("CreateApp"), "project_id", "name", "workflow_id"),
    wrong("nothing to deploy", Rest("POST", DEPLOY, {}), "workflow_id"),
    wrong("nothing to deploy", Rpc("DeployApp"), "app_id", "workflow_id"),
    wrong("no project of workflows", Rest("GET", "/v1/workflows"), "project_id"),
    wrong("no project of workflows", Rpc("ListWorkflows"), "project_id"),
    wrong("no project of apps", Rest("GET", "/v1/apps"), "project_id"),
    wrong("no project of apps", Rpc("ListApps"), "project_id"),
    wrong("no workflow of versions", Rest("GET", "/v1/workflow-versions"), "workflow_id"),
    wrong(
        "an access control that says nothing",
        Rest("PUT", "/v1/apps/<app>", {"access_control": {}}),
        "access_control.access_type",
    ),
    *(
        wrong(f"no id for {name}", Rpc(name, dict.fromkeys(fields, "")), *fields)
        for name, fields in {
            "GetWorkflow": ["workflow_id"],
            "UpdateWorkflow": ["workflow_id"],
            "DeleteWorkflow": ["workflow_id"],
            "ListVersions": ["workflow_id"],
            "GetVersion": ["workflow_id", "version"],
            "ArchiveVersion": ["workflow_id", "version"],
            "UnarchiveVersion": ["workflow_id", "version"],
            "ResolveVersion": ["project_id", "workflow_id"],
            "GetApp": ["app_id"],
            "UpdateApp": ["app_id"],
            "DeleteApp": ["app_id"],
            "ListDeployments": ["app_id"],
            "GetDeployment": ["app_id", "deployment_id"],
            "CancelDeployment": ["deployment_id"],
            "GetOrg": ["org_id"],
            "GetProject": ["project_id"],
        }.items()
    ),
    wrong(
        "wrong and missing fields together",
        Rest("POST", CREATE, {"name": 5, "flow_ui": {}, "project_id": "x"}),
        "name",
        "flow",
        "project_id",
    ),
]

TWICE = [
    wrong("a key twice in a body", Rest("PUT", "/v1/workflows/<workflow>", b'{"name": "a", "name": "b"}'), "name"),
    wrong("an unknown key twice in a body", Rest("PUT", "/v1/workflows/<workflow>", b'{"x": 1, "x": 2}'), "x"),
    wrong(
        "a key twice, once escaped",
        Rest("PUT", "/v1/workflows/<workflow>", rb'{"name": "a", "nam\u0065": "b"}'),
        "name",
    ),
    wrong("a flow twice", Rest("POST", SAVE, f'{{"flow": {FLOW}, "flow": {FLOW}, "flow_ui": {{}}}}'.encode()), "flow"),
    wrong(
        "a key twice in one of our objects",
        Rest("PUT", "/v1/apps/<app>", b'{"access_control": {"access_type": "private", "access_type": "public"}}'),
        "access_control.access_type",
    ),
    wrong(
        "a key twice, deep in one of our objects",
        Rest(
            "POST",
            DEPLOY,
            b'{"workflow_id": "<workflow>", "deployment_config": {"deployment_type": "server_based", "config":'
            b' {"autoscaling": {"min_replicas": 1, "min_replicas": 2}}}}',
        ),
        "deployment_config.config.autoscaling.min_replicas",
    ),
]

HTTP = [
    Bad("an unknown path", Rest("GET", "/v1/nothing"), "NOT_FOUND", None),
    Bad("an unknown path, without a token", Rest("GET", "/v2", token=None), "NOT_FOUND", None),
    Bad("a path with a slash too many", Rest("GET", "/v1/workflows/<workflow>/"), "NOT_FOUND", None),
    Bad("an internal RPC", Rest("POST", "/flowpin.workflow.v1.WorkflowService/ResolveVersion", {}), "NOT_FOUND", None),
    *(
        Bad("a method that the path does not take", Rest(method, path), "", None, http=(405, "method_not_allowed"))
        for method, path in (
            ("PATCH", "/v1/workflows/<workflow>"),
            ("DELETE", "/v1/workflows"),
            ("GET", SAVE),
            ("POST", "/v1/me"),
            ("PUT", DEPLOY),
            ("DELETE", "/v1/runtimes"),
        )
    ),
    Bad(
        "a body with a false Content-Encoding",
        Rest("POST", CREATE, b"{}", headers={"Content-Encoding": "gzip"}),
        "INVALID_ARGUMENT",
        None,
    ),
    *(
        wrong(
            f"an idempotency key that is {len(key)} characters",
            Rest("POST", path, body, headers={"Idempotency-Key": key}),
            "Idempotency-Key",
        )
        for path, body in ((CREATE, NEW_WORKFLOW), (APPS, NEW_APP))
        for key in ("k" * 256, " ", "clé")
    ),
    *(
        wrong(f"an idempotency key that is {len(key)} characters", Rpc(name, fields, metadata={"idempotency-key": key}))
        for name, fields in (
            ("CreateWorkflow", {**NEW_WORKFLOW, "flow": {"utf8": FLOW.encode()}, "flow_ui": {"utf8": b"{}"}}),
            ("CreateApp", NEW_APP),
        )
        for key in ("k" * 256, "", " ")
    ),
]

BAD = [*SHAPES, *TYPES, *MISSING, *TWICE, *HTTP]
