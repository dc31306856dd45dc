"""Finds ids by what a person types: names, version numbers, labels."""

import re
from typing import Any

from flowpin_cli.errors import NotFound, WrongUsage
from flowpin_cli.rest.calls import Calls, Json, part

UUID_PATTERN = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
VERSION_PATTERN = re.compile(r"v?([1-9][0-9]{0,9})")


def is_id(text: str) -> bool:
    return UUID_PATTERN.fullmatch(text) is not None


def project_id(calls: Calls, named: str | None) -> str:
    """The id of the project `named`. By default, that of the project in the environment, or the only one."""
    wanted = named or calls.project
    if wanted and is_id(wanted):
        return wanted
    projects = calls.rows("/v1/projects")
    if wanted:
        return _only("project", wanted, [row for row in projects if row["name"] == wanted])
    if len(projects) != 1:
        names = ", ".join(row["name"] for row in projects) or "none"
        raise WrongUsage(f"choose a project with --project or FLOWPIN_PROJECT; this token sees: {names}")
    return str(projects[0]["id"])


def workflow_id(calls: Calls, named: str, project: str | None) -> str:
    if is_id(named):
        return named
    rows = calls.rows("/v1/workflows", project_id=project_id(calls, project), name=named)
    return _only("workflow", named, [row for row in rows if row["name"] == named])


def app_id(calls: Calls, named: str, project: str | None) -> str:
    if is_id(named):
        return named
    rows = calls.rows("/v1/apps", project_id=project_id(calls, project), include_archived=True)
    found = [row for row in rows if row["name"] == named]
    return _only("app", named, [row for row in found if "archived_at" not in row] or found)


def runtime_id(calls: Calls, named: str | None) -> str | None:
    """The runtime's id for an id, a version such as 0.69, or a label. None for None."""
    if named is None or is_id(named):
        return named
    return _only(
        "runtime", named, [row for row in calls.rows("/v1/runtimes") if named in (row["version"], row["label"])]
    )


def version_in_path(spec: str) -> str:
    """A version (id, `latest`, 3, v3 or @label) as a part of a path."""
    if match := VERSION_PATTERN.fullmatch(spec):
        return match[1]
    if spec == "latest" or is_id(spec) or re.fullmatch(r"@[a-z][a-z0-9-]*", spec):
        return part(spec)
    raise WrongUsage(f"VERSION must be a number (3 or v3), latest, a label (@production) or an id, not {spec}")


def version_in_body(calls: Calls, workflow: str, spec: str | None) -> str | None:
    """The version as DeployApp expects it: an id or @label. None for the latest one."""
    if spec is None or spec == "latest":
        return None
    if is_id(spec) or spec.startswith("@"):
        return version_in_path(spec)
    return str(calls.get(f"/v1/workflows/{workflow}/versions/{version_in_path(spec)}")["id"])


def deployment_of(calls: Calls, app: str, spec: str, environment: str | None) -> Json:
    """A deployment by its id, or the newest successful one of a version number."""
    if is_id(spec):
        return dict(calls.get(f"/v1/apps/{app}/deployments/{spec}"))
    match = VERSION_PATTERN.fullmatch(spec)
    if match is None:
        raise WrongUsage(f"a deployment must be a version number (3 or v3) or an id, not {spec}")
    for row in calls.rows(f"/v1/apps/{app}/deployments", environment=environment, status="succeeded"):
        if row["workflow_version"]["version"] == int(match[1]):
            return dict(row)
    raise NotFound(f"v{match[1]} was never live in this app; `flowpin app history` shows what was")


def _only(kind: str, named: str, found: list[Any]) -> str:
    if not found:
        raise NotFound(f"there is no {kind} {named}; `flowpin {kind} list` shows all")
    if len(found) > 1:
        raise WrongUsage(f"{len(found)} {kind}s are called {named}; say which: {', '.join(row['id'] for row in found)}")
    return str(found[0]["id"])
