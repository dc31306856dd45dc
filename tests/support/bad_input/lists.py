"""Invalid pages, sorts and filters of lists."""

from tests.support.bad_input.table import Bad, Rest, Rpc, wrong

LISTS = {
    "/v1/workflows?project_id=<project>": ("ListWorkflows", {"project_id": "<project>"}),
    "/v1/workflows/<workflow>/versions?": ("ListVersions", {"workflow_id": "<workflow>"}),
    "/v1/workflow-versions?workflow_id=<workflow>": None,
    "/v1/apps?project_id=<project>": ("ListApps", {"project_id": "<project>"}),
    "/v1/apps/<app>/deployments?": ("ListDeployments", {"app_id": "<app>"}),
    "/v1/runtimes?": ("ListRuntimes", {}),
    "/v1/access-keys?project_id=<project>": ("ListAccessKeys", {"project_id": "<project>"}),
    "/v1/apps/<app>/audit-events?": ("ListAuditEvents", {"app_id": "<app>"}),
    "/v1/workflow-audit-events?project_id=<project>": None,
    "/v1/app-audit-events?project_id=<project>": ("ListProjectAppAuditEvents", {"project_id": "<project>"}),
    "/v1/access-keys/audit-events?project_id=<project>": ("ListAccessKeyAuditEvents", {"project_id": "<project>"}),
    "/v1/orgs?": ("ListOrgs", {}),
    "/v1/projects?": ("ListProjects", {}),
    "/v1/users?": ("ListUsers", {}),
}
UNSORTED = (
    "/v1/workflow-audit-events?project_id=<project>",
    "/v1/app-audit-events?project_id=<project>",
    "/v1/access-keys/audit-events?project_id=<project>",
    "/v1/access-keys?project_id=<project>",
    "/v1/apps/<app>/audit-events?",
    "/v1/runtimes?",
    "/v1/orgs?",
    "/v1/projects?",
    "/v1/users?",
)

PAGES = (
    [
        row
        for path, rpc in LISTS.items()
        for field, numbers in {
            "page": (0, -1, 2**31 - 1),
            "page_size": (0, -1, 501),
        }.items()
        for number in numbers
        for row in [
            wrong(f"{field} {number}", Rest("GET", f"{path}&{field}={number}"), field),
            *([wrong(f"{field} {number}", Rpc(rpc[0], {**rpc[1], field: number}), field)] if rpc else []),
        ]
    ]
    + [
        wrong(f"page {text}", Rest("GET", f"/v1/workflows?project_id=<project>&page={text}"), "page")
        for text in ("x", "", "1.5", "15e-1", "2147483648", "9" * 30, "0x1", "%D9%A3", "null", "true")
    ]
    + [
        wrong(
            "page and page_size", Rest("GET", "/v1/apps?project_id=<project>&page=0&page_size=501"), "page", "page_size"
        ),
        wrong("page twice", Rest("GET", "/v1/apps?project_id=<project>&page=1&page=2"), "page"),
    ]
)

SORTS = [
    row
    for path, rpc in LISTS.items()
    if path not in UNSORTED
    for sort in ("nope", "created_at,", "--created_at", "id desc;--")
    for row in [
        wrong(f"sort {sort}", Rest("GET", f"{path}&sort={sort.replace(' ', '%20')}"), "sort"),
        *([wrong(f"sort {sort}", Rpc(rpc[0], {**rpc[1], "sort": sort}), "sort")] if rpc else []),
    ]
]


def filtered(path: str, key: str, text: str, field: str | None = None) -> Bad:
    return wrong(f"{key}={text}", Rest("GET", f"{path}&{key}={text}"), field or key)


WORKFLOWS, APPS, HISTORY = (
    "/v1/workflows?project_id=<project>",
    "/v1/apps?project_id=<project>",
    "/v1/apps/<app>/deployments?",
)
TIMES = (
    "x",
    "",
    "2026",
    "2026-01-31",
    "2026-13-01T00:00:00Z",
    "2026-01-01T00:00:00",
    "2026-01-01T25:00:00Z",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "now",
)

FILTERS = [
    *(filtered(WORKFLOWS, "status", text) for text in ("", "x", "DRAFT", "unspecified", "1")),
    *(filtered(HISTORY, "status", text) for text in ("", "live", "SUCCEEDED", "3")),
    *(
        filtered(path, f"{name}{mark}{operator}", text, f"{name}.{operator}")
        for path, name in (
            (WORKFLOWS, "created_at"),
            (WORKFLOWS, "updated_at"),
            ("/v1/workflow-audit-events?project_id=<project>", "created_at"),
            ("/v1/app-audit-events?project_id=<project>", "created_at"),
            (APPS, "created_at"),
            (HISTORY, "started_at"),
        )
        for mark, operator in ((":", "gte"), (".", "lte"))
        for text in TIMES[:3]
    ),
    *(filtered(HISTORY, "live_at", text) for text in TIMES),
    filtered(WORKFLOWS, "name", "", "name"),
    filtered(WORKFLOWS, "name", "%20", "name"),
    filtered(HISTORY, "environment", "", "environment"),
    filtered(HISTORY, "created_at:lte", "2020-01-01T00:00:00Z"),
    filtered(WORKFLOWS, "created_at:ne", "2020-01-01T00:00:00Z"),
    filtered("/v1/workflows/<workflow>/versions?", "created_at:gte", "2020-01-01T00:00:00Z"),
    filtered("/v1/runtimes?", "q", "x"),
    filtered(WORKFLOWS, "name", "a%00b", "name"),
    filtered(HISTORY, "environment", "a%00b", "environment"),
    wrong("a name of NUL to filter by", Rpc("ListWorkflows", {"project_id": "<project>", "name": "a\0"}), "name"),
    wrong(
        "an environment of NUL to filter by",
        Rpc("ListDeployments", {"app_id": "<app>", "environment": "\0"}),
        "environment",
    ),
    *(
        wrong(f"status number {number}", Rpc(name, {**fields, "status": number}), "status")
        for name, fields in (("ListWorkflows", {"project_id": "<project>"}), ("ListDeployments", {"app_id": "<app>"}))
        for number in (0, 99, -1)
    ),
    *(
        wrong(
            f"a time of {seconds} seconds",
            Rpc("ListDeployments", {"app_id": "<app>", "live_at": {"seconds": seconds}}),
            "live_at",
        )
        for seconds in (2**62, -(2**62), 253402300800)
    ),
    wrong(
        "a time in no calendar",
        Rpc("ListWorkflows", {"project_id": "<project>", "created_at": {"gte": {"seconds": -(2**50)}}}),
        "created_at.gte",
    ),
]

BAD = [*PAGES, *SORTS, *FILTERS]
