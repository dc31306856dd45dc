"""Invalid names, descriptions and reasons."""

from tests.support.bad_input.ids import BYTES, CONTENT
from tests.support.bad_input.table import Bad, Rest, Rpc, wrong

SLUGLESS = ("Flow", "a b", "-a", "a-", "a--b", "a_b", "é", "a\n", "a\0", "a" * 129, "ß", " ", "a.b", "x" * 100_000)

WORKFLOW_TEXTS = (
    [
        row
        for name in ("", *SLUGLESS)
        for rule in [f"the workflow name {name[:20]!r}"]
        for row in (
            wrong(rule, Rest("POST", "/v1/workflows", {"project_id": "<project>", "name": name, **CONTENT}), "name"),
            wrong(rule, Rest("PUT", "/v1/workflows/<workflow>", {"name": name}), "name"),
            wrong(rule, Rest("POST", "/v1/workflows/<draft>/release", {"name": name, **CONTENT}), "name"),
            wrong(rule, Rest("POST", "/v1/workflows/<draft>/save", {"name": name, **CONTENT}), "name"),
            wrong(rule, Rpc("CreateWorkflow", {"project_id": "<project>", "name": name, **BYTES}), "name"),
            wrong(rule, Rpc("UpdateWorkflow", {"workflow_id": "<workflow>", "name": name}), "name"),
            wrong(rule, Rpc("SaveWorkflow", {"workflow_id": "<draft>", "name": name, **BYTES}), "name"),
        )
    ]
    + [
        row
        for rule, text in (("a description of 513", "d" * 513), ("a description with NUL", "d\0"))
        for row in (
            wrong(
                rule,
                Rest(
                    "POST",
                    "/v1/workflows",
                    {"project_id": "<project>", "name": "x", "description": text, **CONTENT},
                ),
                "description",
            ),
            wrong(rule, Rest("PUT", "/v1/workflows/<workflow>", {"description": text}), "description"),
            wrong(
                rule,
                Rest("POST", "/v1/workflows/<workflow>/save", {"description": text, **CONTENT}),
                "description",
            ),
            wrong(
                rule,
                Rest("POST", "/v1/workflows/<draft>/release", {"name": "x", "description": text, **CONTENT}),
                "description",
            ),
            wrong(
                rule, Rpc("SaveWorkflow", {"workflow_id": "<workflow>", "description": text, **BYTES}), "description"
            ),
        )
    ]
    + [
        wrong(
            "name and description",
            Rest("PUT", "/v1/workflows/<workflow>", {"name": "X", "description": "d" * 513}),
            "name",
            "description",
        ),
    ]
)

NEW_APP = {"project_id": "<project>", "workflow_id": "<workflow>", "name": "app"}

SIGNS = ("a@b", "a;b", "a&b", '"', "a\tb", "a\n", "a\0", "a\u00a0b", "a\u202eb", "a€")

APP_TEXTS = [
    row
    for name in ("", "   ", "\u200d", "a" * 129, *SIGNS)
    for rule in [f"the app name {name[:20]!r}"]
    for row in (
        wrong(rule, Rest("POST", "/v1/apps", {**NEW_APP, "name": name}), "name"),
        wrong(rule, Rest("PUT", "/v1/apps/<app>", {"name": name}), "name"),
        wrong(rule, Rpc("CreateApp", {**NEW_APP, "name": name}), "name"),
        wrong(rule, Rpc("UpdateApp", {"app_id": "<app>", "name": name}), "name"),
    )
] + [
    row
    for rule, text in (("513 characters", "d" * 513), ("text with NUL", "d\0"))
    for row in (
        wrong(rule, Rest("POST", "/v1/apps", {**NEW_APP, "description": text}), "description"),
        wrong(rule, Rest("PUT", "/v1/apps/<app>", {"description": text}), "description"),
        # Over REST the key `reason` of the details is the contract's reason. The message names the field.
        wrong(rule, Rpc("DeployApp", {"app_id": "<app>", "workflow_id": "<workflow>", "reason": text}), "reason"),
        Bad(
            rule,
            Rest("POST", "/v1/apps/<app>/deploy", {"workflow_id": "<workflow>", "reason": text}),
            "INVALID_ARGUMENT",
            "INVALID_REQUEST",
        ),
    )
]

BAD = [*WORKFLOW_TEXTS, *APP_TEXTS]
