"""Callers without permission: without a token, with a wrong one, or without the role."""

from typing import Any

from tests.support.bad_input.ids import APP_CALLS, BYTES, CONTENT, WORKFLOW_CALLS
from tests.support.bad_input.table import Bad, Rest, Rpc

READS: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = [
    (("GET", "/v1/me"), ("GetMe",)),
    (("GET", "/v1/workflows?project_id=<project>"), ("ListWorkflows", {"project_id": "<project>"})),
    (("GET", "/v1/apps?project_id=<project>"), ("ListApps", {"project_id": "<project>"})),
    (("POST", "/v1/workflows/<workflow>/save", CONTENT), ("SaveWorkflow", {"workflow_id": "<workflow>", **BYTES})),
    (
        ("POST", "/v1/apps/<app>/deploy", {"workflow_id": "<workflow>"}),
        ("DeployApp", {"app_id": "<app>", "workflow_id": "<workflow>"}),
    ),
    (("GET", "/v1/runtimes"), ("ListRuntimes",)),
]
HEADERS = (
    "",
    "Bearer",
    "Bearer ",
    "Basic YTpi",
    "dyn_pat_x",
    "Token dyn_pat_x",
    "Bearer dyn_pat_nobody",
    "Bearer x y z",
)
UNFIT = ("Bearer dyn_pat_é", "Bearer " + "x" * 4000)


def unauthenticated(rule: str, rest: Rest, rpc: Rpc) -> list[Bad]:
    return [Bad(rule, sent, "UNAUTHENTICATED", "TOKEN_INVALID") for sent in (rest, rpc)]


TOKENS = (
    [
        row
        for rest, rpc in READS
        for name in (None, "nobody", "expired", "revoked")
        for row in unauthenticated(f"the token of {name}", Rest(*rest, token=name), Rpc(*rpc, token=name))
    ]
    + [
        row
        for header in HEADERS
        for row in unauthenticated(
            f"the header {header!r}",
            Rest("GET", "/v1/me", token=None, headers={"Authorization": header}),
            Rpc("GetMe", token=None, metadata={"authorization": header}),
        )
    ]
    + [
        Bad(
            "a malformed authorization header",
            Rest("GET", "/v1/runtimes", token=None, headers={"Authorization": header}),
            "UNAUTHENTICATED",
            "TOKEN_INVALID",
        )
        for header in UNFIT
    ]
)

EDITS: list[tuple[str, str, Any, str, dict[str, Any]]] = [
    (
        "POST",
        "/v1/workflows",
        {"project_id": "<project>", "name": "x", **CONTENT},
        "CreateWorkflow",
        {"project_id": "<project>", "name": "x", **BYTES},
    ),
    *(
        (method, path.format(id="<workflow>"), body, name, {"workflow_id": "<workflow>", **fields})
        for method, path, body, name, fields in WORKFLOW_CALLS
        if method != "GET"
    ),
    (
        "POST",
        "/v1/apps",
        {"project_id": "<project>", "name": "x", "workflow_id": "<workflow>"},
        "CreateApp",
        {"project_id": "<project>", "name": "x", "workflow_id": "<workflow>"},
    ),
    *(
        (method, path.format(id="<app>"), body, name, {"app_id": "<app>", **fields})
        for method, path, body, name, fields in APP_CALLS
        if method != "GET" and not name.startswith("Plan")
    ),
    ("POST", "/v1/deployments/<deployment>/cancel", None, "CancelDeployment", {"deployment_id": "<deployment>"}),
    (
        "POST",
        "/v1/deployments/<deployment>/health",
        {"health": "bad"},
        "MarkDeployment",
        {"deployment_id": "<deployment>", "health": 2},
    ),
]

ROLES = (
    [
        Bad("a viewer who changes something", sent, "PERMISSION_DENIED", "ROLE_TOO_SMALL")
        for method, path, body, name, fields in EDITS
        for sent in (Rest(method, path, body, token="viewer"), Rpc(name, fields, token="viewer"))
    ]
    + [
        Bad("an editor who deletes permanently", sent, "PERMISSION_DENIED", "ROLE_TOO_SMALL")
        for sent in (
            Rest("DELETE", "/v1/workflows/<workflow>", token="editor"),
            Rest("DELETE", "/v1/apps/<app>", token="editor"),
            Rest("POST", "/v1/apps/<app>/archive", token="editor"),
            Rpc("UnarchiveApp", {"app_id": "<app>"}, token="editor"),
            Rpc("DeleteWorkflow", {"workflow_id": "<workflow>"}, token="editor"),
            Rpc("DeleteApp", {"app_id": "<app>"}, token="editor"),
        )
    ]
    + [
        Bad(
            "a service account that calls GetMe",
            Rest("GET", "/v1/me", token="service"),
            "PERMISSION_DENIED",
            "NOT_A_PERSON",
        ),
        Bad(
            "a service account that saves",
            Rest("POST", "/v1/workflows/<workflow>/save", CONTENT, token="service"),
            "PERMISSION_DENIED",
            "ROLE_TOO_SMALL",
        ),
    ]
)

STRANGERS = [
    Bad("a stranger", sent, "NOT_FOUND", reason)
    for reason, sent in (
        ("WORKFLOW_NOT_FOUND", Rest("GET", "/v1/workflows/<workflow>", token="stranger")),
        ("WORKFLOW_NOT_FOUND", Rest("DELETE", "/v1/workflows/<draft>", token="stranger")),
        ("WORKFLOW_NOT_FOUND", Rest("GET", "/v1/workflows/<workflow>/versions/<version>", token="stranger")),
        ("WORKFLOW_NOT_FOUND", Rpc("SaveWorkflow", {"workflow_id": "<workflow>", **BYTES}, token="stranger")),
        ("APP_NOT_FOUND", Rest("DELETE", "/v1/apps/<app>", token="stranger")),
        ("APP_NOT_FOUND", Rpc("DeployApp", {"app_id": "<app>", "workflow_id": "<foreign_workflow>"}, token="stranger")),
        ("DEPLOYMENT_NOT_FOUND", Rpc("CancelDeployment", {"deployment_id": "<deployment>"}, token="stranger")),
    )
]

BAD = [*TOKENS, *ROLES, *STRANGERS]
