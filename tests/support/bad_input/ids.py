"""Ids of nothing, of what the caller cannot see, or of another parent's child."""

from typing import Any

from tests.support.bad_input.table import FLOW, Bad, Rest, Rpc, wrong

CONTENT = {"flow": {"nodes": [{"id": "a", "type": "x.Y"}]}, "flow_ui": {}}
BYTES = {"flow": {"utf8": FLOW.encode()}, "flow_ui": {"utf8": b"{}"}}

# The REST call, the RPC, and the field that gets the ids below.
WORKFLOW_CALLS: list[tuple[str, str, Any, str, dict[str, Any]]] = [
    ("GET", "/v1/workflows/{id}", None, "GetWorkflow", {}),
    ("PUT", "/v1/workflows/{id}", {"name": "x"}, "UpdateWorkflow", {"name": "x"}),
    ("DELETE", "/v1/workflows/{id}", None, "DeleteWorkflow", {}),
    ("POST", "/v1/workflows/{id}/save", CONTENT, "SaveWorkflow", BYTES),
    ("POST", "/v1/workflows/{id}/release", {**CONTENT, "name": "x"}, "ReleaseWorkflow", {**BYTES, "name": "x"}),
    ("GET", "/v1/workflows/{id}/versions", None, "ListVersions", {}),
    ("GET", "/v1/workflows/{id}/versions/latest", None, "GetVersion", {"version": "latest"}),
    ("GET", "/v1/workflows/{id}/versions/1", None, "GetVersion", {"version": "1"}),
    ("POST", "/v1/workflows/{id}/versions/1/archive", None, "ArchiveVersion", {"version": "1"}),
    ("POST", "/v1/workflows/{id}/versions/1/unarchive", None, "UnarchiveVersion", {"version": "1"}),
]
APP_CALLS: list[tuple[str, str, Any, str, dict[str, Any]]] = [
    ("GET", "/v1/apps/{id}", None, "GetApp", {}),
    ("PUT", "/v1/apps/{id}", {"name": "x"}, "UpdateApp", {"name": "x"}),
    ("DELETE", "/v1/apps/{id}", None, "DeleteApp", {}),
    ("POST", "/v1/apps/{id}/deploy", {"workflow_id": "<workflow>"}, "DeployApp", {"workflow_id": "<workflow>"}),
    ("GET", "/v1/apps/{id}/deployments", None, "ListDeployments", {}),
    ("POST", "/v1/apps/{id}/archive", None, "ArchiveApp", {}),
    ("POST", "/v1/apps/{id}/unarchive", None, "UnarchiveApp", {}),
    ("POST", "/v1/apps/{id}/deploy/plan", {"workflow_id": "<workflow>"}, "PlanDeploy", {"workflow_id": "<workflow>"}),
    ("POST", "/v1/apps/{id}/rollback/plan", None, "PlanRollback", {}),
    ("POST", "/v1/apps/{id}/rollback", None, "RollbackApp", {}),
    ("POST", "/v1/apps/{id}/promote", None, "PromoteApp", {}),
    ("GET", "/v1/apps/{id}/audit-events", None, "ListAuditEvents", {}),
]


def unseen(calls: list[tuple[str, str, Any, str, dict[str, Any]]], field: str, noun: str) -> list[Bad]:
    """Each call with an unknown id, an id of another project, and a malformed id."""
    rows = []
    for method, path, body, name, fields in calls:
        for rule, given in (("no", "<nobody>"), ("another project's", f"<foreign_{noun}>")):
            reason = f"{noun.upper()}_NOT_FOUND"
            rows += [
                Bad(f"the id of {rule} {noun}", Rest(method, path.format(id=given), body), "NOT_FOUND", reason),
                Bad(f"the id of {rule} {noun}", Rpc(name, {field: given, **fields}), "NOT_FOUND", reason),
            ]
        rest, rpc = Rest(method, path.format(id="not-a-uuid"), body), Rpc(name, {field: "not-a-uuid", **fields})
        rows += [malformed_in_path("malformed", rest, field), wrong("a malformed id", rpc, field)]
    return rows


def malformed_in_path(text: str, sent: Rest, field: str) -> Bad:
    return Bad(f"the malformed id {text}", sent, "NOT_FOUND", "INVALID_REQUEST", (field,))


VERSIONS = (
    [
        Bad(f"{rule} as a version ({face})", sent, "NOT_FOUND", "VERSION_NOT_FOUND")
        for rule, workflow, version in (
            ("an id of nothing", "<workflow>", "<nobody>"),
            ("another workflow's", "<workflow>", "<other_version>"),
            ("another project's", "<workflow>", "<foreign_version>"),
            ("a workflow's own id", "<workflow>", "<workflow>"),
            ("a number that was never saved", "<workflow>", "99"),
            ("the largest number", "<workflow>", "2147483647"),
            ("the latest of a draft", "<draft>", "latest"),
            ("the first of a draft", "<draft>", "1"),
        )
        for face, sent in [
            ("get", Rest("GET", f"/v1/workflows/{workflow}/versions/{version}")),
            ("archive", Rest("POST", f"/v1/workflows/{workflow}/versions/{version}/archive")),
            ("unarchive", Rest("POST", f"/v1/workflows/{workflow}/versions/{version}/unarchive")),
            ("gRPC get", Rpc("GetVersion", {"workflow_id": workflow, "version": version})),
            ("gRPC archive", Rpc("ArchiveVersion", {"workflow_id": workflow, "version": version})),
            ("gRPC unarchive", Rpc("UnarchiveVersion", {"workflow_id": workflow, "version": version})),
        ]
    ]
    + [
        row
        for version in ("x", "0", "-1", "1.5", "+1", "2147483648", "99999999999999999999", "LATEST", "٣", "%00")
        for row in (
            malformed_in_path(version, Rest("GET", f"/v1/workflows/<workflow>/versions/{version}"), "version"),
            wrong(
                f"the version {version}",
                Rpc("GetVersion", {"workflow_id": "<workflow>", "version": version}),
                "version",
            ),
        )
    ]
    + [
        wrong("the version x", Rpc(rpc, {"workflow_id": "<workflow>", "version": "x"}), "version")
        for rpc in ("ArchiveVersion", "UnarchiveVersion", "DeleteVersion", "RestoreVersion", "ExportVersion")
    ]
)

DEPLOYMENTS = [
    Bad(f"{rule} as a deployment", sent, "NOT_FOUND", "DEPLOYMENT_NOT_FOUND")
    for rule, app, deployment in (
        ("an id of nothing", "<app>", "<nobody>"),
        ("another app's", "<app>", "<other_deployment>"),
        ("its own under another app", "<other_app>", "<deployment>"),
        ("another project's", "<app>", "<foreign_deployment>"),
        ("another project's, under its app", "<foreign_app>", "<foreign_deployment>"),
        ("an app's own id", "<app>", "<app>"),
    )
    for sent in (
        Rest("GET", f"/v1/apps/{app}/deployments/{deployment}"),
        Rpc("GetDeployment", {"app_id": app, "deployment_id": deployment}),
    )
] + [
    *(
        Bad("an unknown or another project's deployment to cancel", sent, "NOT_FOUND", "DEPLOYMENT_NOT_FOUND")
        for given in ("<nobody>", "<foreign_deployment>")
        for sent in (
            Rest("POST", f"/v1/deployments/{given}/cancel"),
            Rpc("CancelDeployment", {"deployment_id": given}),
        )
    ),
    *(
        Bad("an unknown or another project's deployment to mark", sent, "NOT_FOUND", "DEPLOYMENT_NOT_FOUND")
        for given in ("<nobody>", "<foreign_deployment>")
        for sent in (
            Rest("POST", f"/v1/deployments/{given}/health", {"health": "bad"}),
            Rpc("MarkDeployment", {"deployment_id": given, "health": 2}),
        )
    ),
    malformed_in_path("x", Rest("POST", "/v1/deployments/x/cancel"), "deployment_id"),
    malformed_in_path("x", Rest("GET", "/v1/apps/<app>/deployments/x"), "deployment_id"),
    wrong("a malformed id", Rpc("GetDeployment", {"app_id": "x", "deployment_id": "y"}), "app_id", "deployment_id"),
]

PROJECTS = [
    row
    for rule, given in (("nobody's", "<nobody>"), ("another's", "<foreign_project>"))
    for row in (
        Bad(
            f"{rule} project (workflows)",
            Rest("GET", f"/v1/workflows?project_id={given}"),
            "NOT_FOUND",
            "PROJECT_NOT_FOUND",
        ),
        Bad(f"{rule} project (apps)", Rest("GET", f"/v1/apps?project_id={given}"), "NOT_FOUND", "PROJECT_NOT_FOUND"),
        Bad(
            f"{rule} project",
            Rest("POST", "/v1/workflows", {"project_id": given, "name": "x", **CONTENT}),
            "NOT_FOUND",
            "PROJECT_NOT_FOUND",
        ),
        Bad(
            f"{rule} project",
            Rest("POST", "/v1/workflows/export", {"project_id": given, **CONTENT}),
            "NOT_FOUND",
            "PROJECT_NOT_FOUND",
        ),
        Bad(
            f"{rule} project",
            Rest("POST", "/v1/apps", {"project_id": given, "name": "x", "workflow_id": "<workflow>"}),
            "NOT_FOUND",
            "PROJECT_NOT_FOUND",
        ),
        Bad(f"{rule} project", Rpc("ListWorkflows", {"project_id": given}), "NOT_FOUND", "PROJECT_NOT_FOUND"),
        Bad(
            f"{rule} project",
            Rpc("CreateWorkflow", {"project_id": given, "name": "x", **BYTES}),
            "NOT_FOUND",
            "PROJECT_NOT_FOUND",
        ),
        Bad(
            f"{rule} project",
            Rpc("ResolveVersion", {"project_id": given, "workflow_id": "<workflow>"}),
            "NOT_FOUND",
            "PROJECT_NOT_FOUND",
        ),
        Bad(f"{rule} project", Rpc("ListApps", {"project_id": given}), "NOT_FOUND", "PROJECT_NOT_FOUND"),
        Bad(
            f"{rule} project",
            Rpc("CreateApp", {"project_id": given, "name": "x", "workflow_id": "<workflow>"}),
            "NOT_FOUND",
            "PROJECT_NOT_FOUND",
        ),
    )
] + [
    Bad("no such project", Rest("GET", "/v1/projects/<nobody>"), "NOT_FOUND", "PROJECT_NOT_FOUND"),
    Bad("another's project", Rest("GET", "/v1/projects/<foreign_project>"), "PERMISSION_DENIED", "NOT_A_MEMBER"),
    Bad("no such org", Rest("GET", "/v1/orgs/<nobody>"), "NOT_FOUND", "ORG_NOT_FOUND"),
    Bad("another's org", Rest("GET", "/v1/orgs/<foreign_org>"), "PERMISSION_DENIED", "NOT_A_MEMBER"),
    Bad("another's org", Rest("GET", "/v1/projects?org_id=<foreign_org>"), "PERMISSION_DENIED", "NOT_A_MEMBER"),
    Bad("no such org of projects", Rest("GET", "/v1/projects?org_id=<nobody>"), "NOT_FOUND", "ORG_NOT_FOUND"),
    malformed_in_path("x", Rest("GET", "/v1/projects/x"), "project_id"),
    malformed_in_path("x", Rest("GET", "/v1/orgs/x"), "org_id"),
    wrong("a malformed org", Rest("GET", "/v1/projects?org_id=x"), "org_id"),
    wrong("an empty org", Rest("GET", "/v1/projects?org_id="), "org_id"),
    wrong("a malformed project", Rest("GET", "/v1/workflows?project_id=x"), "project_id"),
    wrong("a malformed workflow", Rest("GET", "/v1/workflow-versions?workflow_id=x"), "workflow_id"),
    Bad(
        "no such workflow", Rest("GET", "/v1/workflow-versions?workflow_id=<nobody>"), "NOT_FOUND", "WORKFLOW_NOT_FOUND"
    ),
    Bad(
        "another's workflow",
        Rest("GET", "/v1/workflow-versions?workflow_id=<foreign_workflow>"),
        "NOT_FOUND",
        "WORKFLOW_NOT_FOUND",
    ),
    wrong("a malformed workflow of apps", Rest("GET", "/v1/apps?project_id=<project>&workflow_id=x"), "workflow_id"),
]


RULES = [
    Bad(rule, sent, "FAILED_PRECONDITION", reason)
    for rule, reason, calls in (
        (
            "the latest version to archive",
            "VERSION_IS_LATEST",
            [
                Rest("POST", "/v1/workflows/<workflow>/versions/latest/archive"),
                Rest("POST", "/v1/workflows/<workflow>/versions/<version>/archive"),
                Rpc("ArchiveVersion", {"workflow_id": "<workflow>", "version": "2"}),
            ],
        ),
        (
            "a released workflow to release",
            "WORKFLOW_NOT_DRAFT",
            [
                Rest("POST", "/v1/workflows/<workflow>/release", {**CONTENT, "name": "x"}),
                Rpc("ReleaseWorkflow", {"workflow_id": "<workflow>", **BYTES, "name": "x"}),
            ],
        ),
        (
            "a finished deployment to cancel",
            "DEPLOYMENT_FINISHED",
            [
                Rest("POST", "/v1/deployments/<deployment>/cancel"),
                Rpc("CancelDeployment", {"deployment_id": "<deployment>"}),
            ],
        ),
    )
    for sent in calls
]

BAD = [
    *unseen(WORKFLOW_CALLS, "workflow_id", "workflow"),
    *unseen(APP_CALLS, "app_id", "app"),
    *VERSIONS,
    *DEPLOYMENTS,
    *PROJECTS,
    *RULES,
]
