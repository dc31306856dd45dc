"""The sections of the document, named after resources."""

import re

from gateway.routes import Route

TAGS: dict[str, tuple[str, str]] = {
    "Workflows": (
        r"/v1/(workflows|workflow-audit-events|agent-builder)(/.*)?",
        "Canvases that people edit. A workflow is a draft until it is released. Then each save appends a version.",
    ),
    "Versions": (
        r"/v1/(workflow-versions|workflows/\{workflow_id\}/versions)(/.*)?",
        "The result of each save: numbered and immutable. Read, compare, export, restore and archive them.",
    ),
    "Labels": (
        r"/v1/workflows/\{workflow_id\}/labels(/.*)?",
        "Names for versions, which can be moved. Use `@name` wherever a version is expected.",
    ),
    "Apps": (
        r"/v1/(app-audit-events|apps(/\{app_id\}(/archive|/unarchive|/audit-events)?)?)",
        "An app serves one pinned version in each environment of its project until the next deployment to it.",
    ),
    "Deployments": (
        r"/v1/(apps/\{app_id\}/(deploy|rollback|promote|deployments)(/.*)?|deployments/.*|live-pins)",
        "Each pins a version, a runtime and a configuration. An app's history lists the newest first.",
    ),
    "Variables": (
        r"/v1/apps/\{app_id\}/variables(/.*)?",
        "Environment variables of an app's replicas. Values are stored encrypted. Secrets are never returned.",
    ),
    "Runs": (
        r"/v1/(runs/.*|apps/\{app_id\}/(invoke|runs)|workflows/test|workflows/\{workflow_id\}/versions/\{version\}/test)",
        "Calls of apps, and tests of flows that need no app.",
    ),
    "Runtimes": (
        r"/v1/runtimes(/.*)?",
        "The environments that flows run in: releases of the SDK that deployments pin.",
    ),
    "Access keys": (r"/v1/access-keys(/.*)?", "Keys for calling a project's apps."),
    "Account": (
        r"/v1/(me|orgs|projects|users|ping)(/.*)?",
        "Who is calling, and the orgs, projects and people that they see.",
    ),
}
"""The paths and the description of each section."""
FIRST = ("Runs", "Versions", "Labels")
"""Checked first, because their paths also match other sections."""


def tag_of(route: Route) -> str:
    """Raises LookupError for a path that is in no section."""
    for name in (*FIRST, *TAGS):
        if re.fullmatch(TAGS[name][0], route.template):
            return name
    raise LookupError(f"{route.template} is in no section of gateway/openapi/tags.py")
