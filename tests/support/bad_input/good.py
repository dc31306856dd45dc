"""Unusual but valid input."""

from tests.support.bad_input.flows import LIMIT, SAVE, nested, node, padded, rest, rpc
from tests.support.bad_input.ids import BYTES, CONTENT
from tests.support.bad_input.table import FLOW, Good, Rest, Rpc

NEW = {"project_id": "<project>", "name": "odd", **CONTENT}
NEW_APP = {"project_id": "<project>", "name": "a./_'- 9", "workflow_id": "<workflow>"}
NULLS = dict.fromkeys(
    ("workflow_version_id", "runtime_id", "description", "access_control", "deployment_config", "environment")
)
UPPER = "/v1/workflows/<upper_workflow>"

GOOD = [
    Good("a flow of exactly the limit", rest(padded(LIMIT))),
    Good("a flow of exactly the limit, straight", rpc(padded(LIMIT))),
    Good("a canvas of exactly the limit", rest(flow_ui=padded(LIMIT))),
    Good("200 levels", rest(nested(200))),
    Good("200 levels of canvas", rest(flow_ui=nested(200))),
    Good("NUL escaped in a flow", rest(node(r'"x": "\u0000"'))),
    Good("a surrogate pair in a flow", rest(node(r'"x": "\ud83d\ude00"'))),
    Good("an integer of 4000 digits", rest(node(f'"x": {"9" * 4000}'))),
    Good("a number too small to differ from zero", rest(node('"x": 1e-999'))),
    Good("minus zero and exponents", rest(node('"x": [-0, -0.0, 1E+2, 1.0e-7]'))),
    Good("the same key in two objects", rest(node('"x": [{"k": 1}, {"k": 1}]'))),
    Good("keys that differ in case", rest(node('"k": 1, "K": 1'))),
    Good("an empty key", rest(node('"": {"": 1}'))),
    Good("a nested key called nodes", rest(node('"nodes": null'))),
    Good("white space around everything", rest(f" \n\t\r{FLOW}\n ")),
    Good("unknown keys", Rest("POST", SAVE, {**CONTENT, "id": 7, "version": [], "nested": {"deep": {"x": 1}}})),
    Good(
        "an unknown key with half a surrogate pair",
        Rest("PUT", "/v1/workflows/<workflow>", rb'{"x": "\ud800", "name": "odd"}'),
    ),
    Good("an ignored flow in an update", Rest("PUT", "/v1/workflows/<workflow>", {"flow": 5, "flow_ui": []})),
    Good("an empty body", Rest("PUT", "/v1/workflows/<workflow>", b"")),
    Good("an empty body of an app", Rest("PUT", "/v1/apps/<app>", b"")),
    Good("an archive without a body", Rest("POST", "/v1/workflows/<workflow>/versions/<old_version>/archive")),
    Good("archiving a version twice", Rest("POST", "/v1/workflows/<workflow>/versions/1/archive")),
    Good("an unarchive with a body", Rest("POST", "/v1/workflows/<workflow>/versions/1/unarchive", {"x": 1})),
    Good("another content type", Rest("POST", SAVE, CONTENT, headers={"Content-Type": "text/plain"})),
    Good("null for optional fields", Rest("POST", "/v1/apps", {**NEW_APP, **NULLS}), 201),
    Good("a null description", Rest("POST", "/v1/workflows", {**NEW, "description": None}), 201),
    Good(
        "the longest name and description",
        Rest("POST", "/v1/workflows", {**NEW, "name": "a" * 128, "description": "é" * 512}),
        201,
    ),
    Good("descriptions of astral characters", Rest("POST", SAVE, {**CONTENT, "description": "😀" * 512})),
    Good(
        "line breaks in a description", Rest("PUT", "/v1/workflows/<workflow>", {"description": "a\r\n\tb\u2028\x7f"})
    ),
    Good("two workflows of one name", Rest("POST", "/v1/workflows", NEW), 201),
    Good("a name on a released workflow that is not a slug", Rest("POST", SAVE, {**CONTENT, "name": "No Slug"})),
    Good("upper-case ids in a path", Rest("GET", UPPER)),
    Good("upper-case ids in a query", Rest("GET", "/v1/workflow-versions?workflow_id=<upper_workflow>")),
    Good("upper-case ids straight", Rpc("GetWorkflow", {"workflow_id": "<upper_workflow>"})),
    Good("unknown query keys", Rest("GET", "/v1/workflows/<workflow>?x=1&x=2&page.x=0")),
    Good("page_size 500", Rest("GET", "/v1/workflows?project_id=<project>&page_size=500")),
    Good("a page after the last", Rest("GET", "/v1/workflows?project_id=<project>&page=10000000&page_size=500")),
    Good(
        "a page after the last of versions",
        Rest("GET", "/v1/workflows/<workflow>/versions?page=10000000&page_size=500"),
    ),
    Good(
        "a page after the last of deployments",
        Rest("GET", "/v1/apps/<app>/deployments?page=10000000&page_size=500&sort=started_at"),
    ),
    Good(
        "a page after the last of deployments found",
        Rest("GET", "/v1/apps/<app>/deployments?page=10000000&status=failed"),
    ),
    Good("an empty sort", Rest("GET", "/v1/apps?project_id=<project>&sort=")),
    Good("several sorts", Rest("GET", "/v1/apps?project_id=<project>&sort=-name,created_at,name")),
    Good(
        "the first and the last moment",
        Rest(
            "GET",
            "/v1/workflows?project_id=<project>&created_at:gte=0001-01-01T00:00:00Z&created_at:lte=9999-12-31T23:59:59Z",
        ),
    ),
    Good("a filter that finds nothing", Rest("GET", "/v1/workflows?project_id=<project>&name=%25_%27%3B--")),
    Good("an unknown environment to filter by", Rest("GET", "/v1/apps/<app>/deployments?environment=nowhere")),
    Good("a body on a GET", Rest("GET", "/v1/runtimes", b"not json")),
    Good("a key of 255 characters", Rest("POST", "/v1/workflows", NEW, headers={"Idempotency-Key": "~" * 255}), 201),
    Good(
        "a key of 255 characters, straight",
        Rpc("SaveWorkflow", {"workflow_id": "<workflow>", **BYTES}, metadata={"idempotency-key": "!" * 255}),
    ),
    Good("an invalid request id", Rest("GET", "/v1/me", headers={"X-Request-Id": "a b\tc" + "x" * 300})),
    Good(
        "a server_based configuration at its bounds",
        Rest(
            "POST",
            "/v1/apps/<app>/deploy",
            {
                "workflow_id": "<workflow>",
                "deployment_config": {
                    "deployment_type": "server_based",
                    "config": {"autoscaling": {"min_replicas": 100}},
                },
            },
        ),
        201,
    ),
]
