"""Values that a field of the right type cannot hold: pages, sorts, filters, texts, configurations."""

from typing import Any

from tests.integration.bad_input_table import FLOW, Bad, Rest, Rpc, wrong

LISTS = {
    "/v1/workflows?project_id=<project>": ("ListWorkflows", {"project_id": "<project>"}),
    "/v1/workflows/<workflow>/versions?": ("ListVersions", {"workflow_id": "<workflow>"}),
    "/v1/workflow-versions?workflow_id=<workflow>": None,
    "/v1/apps?project_id=<project>": ("ListApps", {"project_id": "<project>"}),
    "/v1/apps/<app>/deployments?": ("ListDeployments", {"app_id": "<app>"}),
    "/v1/runtimes?": ("ListRuntimes", {}),
    "/v1/orgs?": ("ListOrgs", {}),
    "/v1/projects?": ("ListProjects", {}),
}
UNSORTED = ("/v1/runtimes?", "/v1/orgs?", "/v1/projects?")

PAGES = [
    row
    for path, rpc in LISTS.items()
    for field, numbers in {
        "page": (0, -1, 10_000_001, 2**31 - 1, -(2**31)),
        "page_size": (0, -1, 501, 2**31 - 1),
    }.items()
    for number in numbers
    for row in [
        wrong(f"{field} {number}", Rest("GET", f"{path}&{field}={number}"), field),
        *([wrong(f"{field} {number}", Rpc(rpc[0], {**rpc[1], field: number}), field)] if rpc else []),
    ]
] + [
    wrong(f"page {text}", Rest("GET", f"/v1/workflows?project_id=<project>&page={text}"), "page")
    for text in ("x", "", "1.5", "1e3", "2147483648", "9" * 30, "0x1", "%D9%A3", "null", "true")
] + [
    wrong("page and page_size", Rest("GET", "/v1/apps?project_id=<project>&page=0&page_size=501"), "page", "page_size"),
    wrong("page twice", Rest("GET", "/v1/apps?project_id=<project>&page=1&page=2"), "page"),
]

SORTS = [
    row
    for path, rpc in LISTS.items()
    if path not in UNSORTED
    for sort in ("nope", "name;DROP TABLE workflows", "created_at,", "-", "--created_at", "id desc", "project_id", "%00")
    for row in [
        wrong(f"sort {sort}", Rest("GET", f"{path}&sort={sort.replace(' ', '%20')}"), "sort"),
        *([wrong(f"sort {sort}", Rpc(rpc[0], {**rpc[1], "sort": sort}), "sort")] if rpc else []),
    ]
]


def filtered(path: str, key: str, text: str, field: str | None = None) -> Bad:
    return wrong(f"{key}={text}", Rest("GET", f"{path}&{key}={text}"), field or key)


WORKFLOWS, APPS, HISTORY = "/v1/workflows?project_id=<project>", "/v1/apps?project_id=<project>", "/v1/apps/<app>/deployments?"
TIMES = ("x", "", "2026", "2026-01-31", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T25:00:00Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "now")

FILTERS = [
    *(filtered(WORKFLOWS, "status", text) for text in ("", "x", "DRAFT", "unspecified", "1")),
    *(filtered(HISTORY, "status", text) for text in ("", "live", "SUCCEEDED", "3")),
    *(
        filtered(path, f"{name}{mark}{operator}", text, f"{name}.{operator}")
        for path, name in ((WORKFLOWS, "created_at"), (WORKFLOWS, "updated_at"), (APPS, "created_at"), (HISTORY, "started_at"))
        for mark, operator in ((":", "gte"), (".", "lte"))
        for text in TIMES
    ),
    *(filtered(HISTORY, "live_at", text) for text in TIMES),
    filtered(WORKFLOWS, "name", "a%00b", "name"),
    filtered(HISTORY, "environment", "a%00b", "environment"),
    wrong("a name of NUL to filter by", Rpc("ListWorkflows", {"project_id": "<project>", "name": "a\0"}), "name"),
    wrong("an environment of NUL to filter by", Rpc("ListDeployments", {"app_id": "<app>", "environment": "\0"}), "environment"),
    *(
        wrong(f"status number {number}", Rpc(name, {**fields, "status": number}), "status")
        for name, fields in (("ListWorkflows", {"project_id": "<project>"}), ("ListDeployments", {"app_id": "<app>"}))
        for number in (0, 99, -1)
    ),
    *(
        wrong(f"a time of {seconds} seconds", Rpc("ListDeployments", {"app_id": "<app>", "live_at": {"seconds": seconds}}), "live_at")
        for seconds in (2**62, -(2**62), 253402300800)
    ),
    wrong(
        "a time in no calendar",
        Rpc("ListWorkflows", {"project_id": "<project>", "created_at": {"gte": {"seconds": -(2**50)}}}),
        "created_at.gte",
    ),
]

SLUGLESS = ("Flow", "a b", "-a", "a-", "a--b", "a_b", "é", "a\n", "a\0", "a" * 129, "ß", " ", "a.b", "x" * 100_000)
JSON_CONTENT = {"flow": {"nodes": [{"id": "a", "type": "x.Y"}]}, "flow_ui": {}}
CONTENT = {"flow": {"utf8": FLOW.encode()}, "flow_ui": {"utf8": b"{}"}}

WORKFLOW_TEXTS = [
    row
    for name in ("", *SLUGLESS)
    for rule in [f"the workflow name {name[:20]!r}"]
    for row in (
        wrong(rule, Rest("POST", "/v1/workflows", {"project_id": "<project>", "name": name, **JSON_CONTENT}), "name"),
        wrong(rule, Rest("PUT", "/v1/workflows/<workflow>", {"name": name}), "name"),
        wrong(rule, Rest("POST", "/v1/workflows/<draft>/release", {"name": name, **JSON_CONTENT}), "name"),
        wrong(rule, Rest("POST", "/v1/workflows/<draft>/save", {"name": name, **JSON_CONTENT}), "name"),
        wrong(rule, Rpc("CreateWorkflow", {"project_id": "<project>", "name": name, **CONTENT}), "name"),
        wrong(rule, Rpc("UpdateWorkflow", {"workflow_id": "<workflow>", "name": name}), "name"),
        wrong(rule, Rpc("SaveWorkflow", {"workflow_id": "<draft>", "name": name, **CONTENT}), "name"),
    )
] + [
    row
    for rule, text in (("a description of 513", "d" * 513), ("a description with NUL", "d\0"))
    for row in (
        wrong(rule, Rest("POST", "/v1/workflows", {"project_id": "<project>", "name": "x", "description": text, **JSON_CONTENT}), "description"),
        wrong(rule, Rest("PUT", "/v1/workflows/<workflow>", {"description": text}), "description"),
        wrong(rule, Rest("POST", "/v1/workflows/<workflow>/save", {"description": text, **JSON_CONTENT}), "description"),
        wrong(rule, Rest("POST", "/v1/workflows/<draft>/release", {"name": "x", "description": text, **JSON_CONTENT}), "description"),
        wrong(rule, Rpc("SaveWorkflow", {"workflow_id": "<workflow>", "description": text, **CONTENT}), "description"),
    )
] + [
    wrong("name and description", Rest("PUT", "/v1/workflows/<workflow>", {"name": "X", "description": "d" * 513}), "name", "description"),
]

NEW_APP = {"project_id": "<project>", "workflow_id": "<workflow>", "name": "app"}

APP_TEXTS = [
    row
    for name in ("", "   ", "a\tb", "a\n", "a\0", "a@b", "é", "a" * 129, '"', "a;b", "a&b")
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
        # Over REST the key `reason` of the details is the contract's reason; the message has the field's sentence.
        wrong(rule, Rpc("DeployApp", {"app_id": "<app>", "workflow_id": "<workflow>", "reason": text}), "reason"),
        Bad(rule, Rest("POST", "/v1/apps/<app>/deploy", {"workflow_id": "<workflow>", "reason": text}), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    )
]

SCALING = "deployment_config.config.autoscaling"


def metric(**other: Any) -> dict[str, Any]:
    target = {"type": "utilization", "average_utilization": 80, **other.pop("target", {})}
    return {"type": "resource", **other, "resource": {"name": "cpu", **other.get("resource", {}), "target": target}}


def server_based(**autoscaling: Any) -> dict[str, Any]:
    return {"deployment_type": "server_based", "config": {"autoscaling": autoscaling}}


CONFIGS = [
    wrong(f"{rule} as a configuration", Rest(method, path, {**body, "deployment_config": config}), *fields)
    for method, path, body in (
        ("POST", "/v1/apps", NEW_APP),
        ("POST", "/v1/apps/<app>/deploy", {"workflow_id": "<workflow>"}),
    )
    for rule, config, fields in (
        ("text", "serverless", ("deployment_config",)),
        ("nothing", {}, ("deployment_config.deployment_type",)),
        ("null", {"deployment_type": None}, ("deployment_config.deployment_type",)),
        ("no such type", {"deployment_type": "kubernetes"}, ("deployment_config.deployment_type",)),
        ("serverless with autoscaling", {"deployment_type": "serverless", "config": {"autoscaling": {"min_replicas": 1}}}, (SCALING,)),
        ("server_based without config", {"deployment_type": "server_based"}, (SCALING,)),
        ("server_based with an empty config", {"deployment_type": "server_based", "config": {}}, (SCALING,)),
        ("server_based with a null", server_based() | {"config": {"autoscaling": None}}, (SCALING,)),
        ("server_based with a list", server_based() | {"config": {"autoscaling": []}}, (SCALING,)),
        ("no bounds", server_based(), (f"{SCALING}.min_replicas",)),
        *((f"at least {least}", server_based(min_replicas=least), (f"{SCALING}.min_replicas",)) for least in (0, -1, 101, 2**31 - 1)),
        *((f"at least {least}", server_based(min_replicas=least), (f"{SCALING}.min_replicas",)) for least in ("1", 1.5, 2**31, True)),
        ("most below least", server_based(min_replicas=3, max_replicas=2), (f"{SCALING}.max_replicas",)),
        ("most 0", server_based(min_replicas=1, max_replicas=0), (f"{SCALING}.max_replicas",)),
        ("most 101", server_based(min_replicas=1, max_replicas=101), (f"{SCALING}.max_replicas",)),
        ("metrics that are no list", server_based(min_replicas=1, metrics={}), (f"{SCALING}.metrics",)),
        ("a metric that is null", server_based(min_replicas=1, metrics=[None]), (f"{SCALING}.metrics[0]",)),
        ("a metric that is empty", server_based(min_replicas=1, metrics=[{}]), (f"{SCALING}.metrics[0].type", f"{SCALING}.metrics[0].resource")),
        ("a metric of another type", server_based(min_replicas=1, metrics=[metric(), metric(type="pods")]), (f"{SCALING}.metrics[1].type",)),
        ("a metric of another resource", server_based(min_replicas=1, metrics=[metric(resource={"name": "disk"})]), (f"{SCALING}.metrics[0].resource.name",)),
        *(
            (f"a target of {percent}", server_based(min_replicas=1, metrics=[metric(target={"average_utilization": percent})]), (f"{SCALING}.metrics[0].resource.target.average_utilization",))
            for percent in (0, 101, -5, "80", 80.5)
        ),
        (
            "several wrongs",
            server_based(min_replicas=0, metrics=[metric(type="x", target={"type": "y"})]),
            (f"{SCALING}.min_replicas", f"{SCALING}.metrics[0].type", f"{SCALING}.metrics[0].resource.target.type"),
        ),
    )
] + [
    wrong("no type of configuration", Rpc("CreateApp", {**NEW_APP, "deployment_config": {}}), "deployment_config.deployment_type"),
    wrong("an unknown type of configuration", Rpc("CreateApp", {**NEW_APP, "deployment_config": {"deployment_type": 9}}), "deployment_config.deployment_type"),
    wrong(
        "most below least",
        Rpc("DeployApp", {"app_id": "<app>", "workflow_id": "<workflow>", "deployment_config": {"deployment_type": 2, "config": {"autoscaling": {"min_replicas": 5, "max_replicas": 4}}}}),
        f"{SCALING}.max_replicas",
    ),
]

BAD = [*PAGES, *SORTS, *FILTERS, *WORKFLOW_TEXTS, *APP_TEXTS, *CONFIGS]
