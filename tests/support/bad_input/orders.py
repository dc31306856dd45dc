"""Invalid plans, rollbacks, promotions, marks, runtimes and access keys."""

from typing import Any

from tests.support.bad_input.table import Bad, Rest, Rpc

PATHS = {"RollbackApp": "rollback", "PromoteApp": "promote", "PlanDeploy": "deploy/plan", "DeployApp": "deploy"}
WORKFLOW = {"workflow_id": "<workflow>"}


def orders(rpc: str, rule: str, body: dict[str, Any], code: str, reason: str, *fields: str) -> list[Bad]:
    """The same bad input for one app, over REST and gRPC."""
    path = f"/v1/apps/<app>/{PATHS[rpc]}"
    named = () if fields == ("reason",) else fields  # over REST that key has the contract's reason
    return [
        Bad(rule, Rest("POST", path, body), code, reason, named),
        Bad(rule, Rpc(rpc, {"app_id": "<app>", **body}), code, reason, fields),
    ]


INVALID, FAILED = "INVALID_ARGUMENT", "FAILED_PRECONDITION"
ORDERS = [
    orders("RollbackApp", "nobody's deployment", {"deployment_id": "<nobody>"}, INVALID, "DEPLOYMENT_NOT_FOUND",
           "deployment_id"),
    orders("RollbackApp", "another app's deployment", {"deployment_id": "<other_deployment>"}, INVALID,
           "DEPLOYMENT_NOT_FOUND", "deployment_id"),
    orders("RollbackApp", "another project's deployment", {"deployment_id": "<foreign_deployment>"}, INVALID,
           "DEPLOYMENT_NOT_FOUND", "deployment_id"),
    orders("RollbackApp", "a malformed deployment", {"deployment_id": "x"}, INVALID, "INVALID_REQUEST",
           "deployment_id"),
    orders("RollbackApp", "nothing older", {}, FAILED, "NOTHING_TO_ROLL_BACK_TO"),
    orders("RollbackApp", "no environment", {"environment": "moon"}, INVALID, "ENVIRONMENT_NOT_FOUND", "environment"),
    orders("RollbackApp", "a token of no plan", {"deployment_id": "<deployment>", "plan_token": "x"}, "ABORTED",
           "PLAN_OUTDATED", "plan_token"),
    orders("RollbackApp", "a long reason", {"reason": "r" * 513}, INVALID, "INVALID_REQUEST", "reason"),
    orders("PromoteApp", "one environment", {}, FAILED, "NO_OTHER_ENVIRONMENT"),
    orders("PromoteApp", "no target", {"environment": "moon"}, INVALID, "ENVIRONMENT_NOT_FOUND", "environment"),
    orders("PromoteApp", "no source", {"from_environment": ""}, INVALID, "ENVIRONMENT_NOT_FOUND", "from_environment"),
    orders("PromoteApp", "a long reason", {"reason": "r" * 513}, INVALID, "INVALID_REQUEST", "reason"),
    orders("PlanDeploy", "no workflow", {}, INVALID, "INVALID_REQUEST", "workflow_id"),
    orders("PlanDeploy", "an unknown type", {**WORKFLOW, "deployment_config": {}}, INVALID, "INVALID_REQUEST",
           "deployment_config.deployment_type"),
    orders("DeployApp", "a token of no plan", {**WORKFLOW, "plan_token": "x"}, "ABORTED", "PLAN_OUTDATED",
           "plan_token"),
]  # fmt: skip

MARKS = [
    Bad("an invalid health", Rpc("MarkDeployment", {"deployment_id": "<deployment>", "health": health}), INVALID,
        "INVALID_REQUEST", ("health",))
    for health in (0, 3, -1)
] + [
    Bad("an invalid health", Rest("POST", "/v1/deployments/<deployment>/health", body), INVALID, "INVALID_REQUEST",
        ("health",))
    for body in ({}, {"health": "fine"}, {"health": 7}, {"health": "unspecified"})
]  # fmt: skip

RUNTIME = {"version": "1", "label": "One"}
OPERATOR = {"token": "operator"}
RUNTIMES = [
    Bad("a known runtime", Rest("POST", "/v1/runtimes", {**RUNTIME, "version": "0.69"}, **OPERATOR), "ALREADY_EXISTS",
        "RUNTIME_EXISTS", ("version",)),
    Bad("a known runtime", Rpc("CreateRuntime", {**RUNTIME, "version": "0.69"}, **OPERATOR), "ALREADY_EXISTS",
        "RUNTIME_EXISTS", ("version",)),
    *(Bad("a runtime's version", Rpc("CreateRuntime", {**RUNTIME, "version": version}, **OPERATOR), INVALID,
          "INVALID_REQUEST", ("version",)) for version in ("", "a b", "1\n", "\0", "1" * 65)),
    *(Bad("a runtime's label", Rpc("CreateRuntime", {**RUNTIME, "label": label}, **OPERATOR), INVALID,
          "INVALID_REQUEST", ("label",)) for label in ("", " ", "l\0", "l" * 129)),
    *(Bad("no such runtime", sent, "NOT_FOUND", "RUNTIME_NOT_FOUND") for sent in (
        Rest("PUT", "/v1/runtimes/<nobody>", {}, **OPERATOR),
        Rest("GET", "/v1/runtimes/<nobody>/audit-events", **OPERATOR),
        Rpc("UpdateRuntime", {"runtime_id": "<nobody>"}, **OPERATOR),
        Rpc("ListRuntimeAuditEvents", {"runtime_id": "<nobody>"}, **OPERATOR),
    )),
    *(Bad("an org's admin", sent, "PERMISSION_DENIED", "ROLE_TOO_SMALL") for sent in (
        Rest("POST", "/v1/runtimes", RUNTIME),
        Rest("GET", "/v1/runtimes/<nobody>/audit-events"),
        Rpc("CreateRuntime", RUNTIME),
    )),
]  # fmt: skip

KEY = {"project_id": "<project>", "name": "key"}
KEYS = [
    *(Bad("a project that is not visible", sent, "NOT_FOUND", "PROJECT_NOT_FOUND")
      for given in ("<nobody>",)
      for sent in (
          Rest("GET", f"/v1/access-keys?project_id={given}"),
          Rest("POST", "/v1/access-keys", {**KEY, "project_id": given}),
          Rpc("ListAccessKeys", {"project_id": given}),
          Rpc("CreateAccessKey", {**KEY, "project_id": given}),
      )),
    *(Bad("a key's name", Rpc("CreateAccessKey", {**KEY, "name": name}), INVALID, "INVALID_REQUEST", ("name",))
      for name in ("", " ", "n\0", "n" * 129)),
    *(Bad("an expiry that is past or invalid", Rpc("CreateAccessKey", {**KEY, "expires_at": {"seconds": seconds}}),
          INVALID, "INVALID_REQUEST", ("expires_at",)) for seconds in (0, 1, 2**62)),
    Bad("an expiry that is not a time", Rest("POST", "/v1/access-keys", {**KEY, "expires_at": "soon"}), INVALID,
        "INVALID_REQUEST", ("expires_at",)),
    Bad("no such key", Rest("DELETE", "/v1/access-keys/<nobody>"), "NOT_FOUND", "ACCESS_KEY_NOT_FOUND"),
    Bad("no such key", Rpc("DeleteAccessKey", {"access_key_id": "<nobody>"}), "NOT_FOUND", "ACCESS_KEY_NOT_FOUND"),
    Bad("a malformed key", Rest("DELETE", "/v1/access-keys/x"), "NOT_FOUND", "INVALID_REQUEST", ("access_key_id",)),
]  # fmt: skip

BAD = [*(row for rows in ORDERS for row in rows), *MARKS, *RUNTIMES, *KEYS]
