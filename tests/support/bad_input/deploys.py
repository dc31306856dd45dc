"""Deploys of workflows and versions that do not exist or are another project's, and malformed ids in bodies."""

from tests.support.bad_input.table import Bad, Rest, Rpc

MALFORMED = ("x", "<workflow>0", "urn:uuid:<workflow>", "00000000-0000-0000-0000-00000000000g")


def deploys(rule: str, reason: str, field: str, code: str = "INVALID_ARGUMENT", **body: str) -> list[Bad]:
    """A body that names something invisible is a 400, for a deploy and a create, over REST and gRPC."""
    body = {"workflow_id": "<workflow>", **body}
    new = {"project_id": "<project>", "name": "x", **body}
    return [
        Bad(rule, Rest("POST", "/v1/apps/<app>/deploy", body), code, reason, (field,)),
        Bad(rule, Rest("POST", "/v1/apps", new), code, reason, (field,)),
        Bad(rule, Rpc("DeployApp", {"app_id": "<app>", **body}), code, reason, (field,)),
        Bad(rule, Rpc("CreateApp", new), code, reason, (field,)),
    ]


ROWS = [
    *(
        deploys(f"{whose} workflow to deploy", "WORKFLOW_NOT_FOUND", "workflow_id", workflow_id=given)
        for whose, given in (("nobody's", "<nobody>"), ("another project's", "<foreign_workflow>"))
    ),
    *(
        deploys(f"{whose} version to deploy", "VERSION_NOT_FOUND", "workflow_version_id", workflow_version_id=given)
        for whose, given in (("nobody's", "<nobody>"), ("another project's", "<foreign_version>"))
    ),
    deploys(
        "another workflow's version to deploy",
        "VERSION_OF_OTHER_WORKFLOW",
        "workflow_version_id",
        "FAILED_PRECONDITION",
        workflow_version_id="<other_version>",
    ),
    deploys("a draft to deploy", "WORKFLOW_NOT_RELEASED", "workflow_id", "FAILED_PRECONDITION", workflow_id="<draft>"),
    deploys("an unknown runtime", "RUNTIME_NOT_FOUND", "runtime_id", runtime_id="<nobody>"),
    deploys("an unknown environment", "ENVIRONMENT_NOT_FOUND", "environment", environment="staging"),
    deploys("no environment's name", "ENVIRONMENT_NOT_FOUND", "environment", environment=""),
    deploys("an environment of NUL", "INVALID_REQUEST", "environment", environment="production\0"),
    deploys("an environment of 10,000 letters", "ENVIRONMENT_NOT_FOUND", "environment", environment="é" * 10_000),
    *(
        deploys(f"a malformed {field} to deploy", "INVALID_REQUEST", field, **{field: given})
        for field in ("workflow_id", "workflow_version_id", "runtime_id")
        for given in MALFORMED
    ),
    deploys("an empty version to deploy", "INVALID_REQUEST", "workflow_version_id", workflow_version_id=""),
    deploys("latest as a version to deploy", "INVALID_REQUEST", "workflow_version_id", workflow_version_id="latest"),
]

BAD = [row for rows in ROWS for row in rows]
