"""Formats versions, comparisons and deployments for people."""

import json
from collections.abc import Iterator
from typing import Any

from flowpin_cli.terminal import harmless, moment, paint, table

MAX_VALUE_CHARS = 100
LIVE_MARK = "●"

Json = dict[str, Any]


def version_lines(version: Json) -> Iterator[str]:
    """A version without its flow, and a list of its nodes."""
    archived = f"archived {moment(version['archived_at'])}" if "archived_at" in version else ""
    current = "current" if version["current"] else ""
    yield paint(version["label"], "bold") + "".join(f"  {state}" for state in (current, archived) if state)
    fields = {
        "description": version.get("description"),
        "note": version.get("note"),
        "created": f"{moment(version['created_at'])} by {version.get('created_by_name', version['created_by'])}",
        "digest": version["digest"],
        "identical to": f"v{version['identical_to']}" if "identical_to" in version else None,
        "id": version["id"],
    }
    for name, value in fields.items():
        if value:
            yield f"  {name:<12}  {harmless(str(value))}"
    for node in version.get("flow", {}).get("nodes", []):
        yield f"  {'node':<12}  {harmless(str(node.get('id')))}  {paint(harmless(str(node.get('type'))), 'dim')}"


def diff_lines(diff: Json) -> Iterator[str]:
    """The differences node by node: + is new, - is removed, ~ has changed."""
    nodes, edges = diff["nodes"], diff["edges"]
    for sign, colour, rows in (("+", "green", nodes["added"]), ("-", "red", nodes["removed"])):
        for node in rows:
            yield paint(harmless(f"{sign} node {node['id']}  {node['type']}"), colour)
    for node in nodes["changed"]:
        yield paint(harmless(f"~ node {node['id']}  {node['type']}"), "yellow")
        yield from _change_lines(node["changes"])
    if diff.get("flow"):
        yield paint("~ flow", "yellow")
        yield from _change_lines(diff["flow"])
    for sign, colour, rows in (("+", "green", edges["added"]), ("-", "red", edges["removed"])):
        for edge in rows:
            option = f" ({edge['option']})" if edge.get("option") else ""
            yield paint(harmless(f"{sign} edge {edge['from']} → {edge['to']}{option}"), colour)
    if diff["layout_changed"]:
        yield paint("~ layout", "yellow")
    if not any((*nodes.values(), *edges.values(), diff.get("flow"), diff["layout_changed"])):
        yield "The versions are the same."


def _change_lines(changes: list[Json]) -> Iterator[str]:
    for change in changes:
        yield f"    {harmless(change['path'])}"
        before, after = change.get("before"), change.get("after")
        if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
            yield from _text_lines(before, after)
            continue
        if "before" in change:
            yield paint(f"      - {_value(before)}", "red")
        if "after" in change:
            yield paint(f"      + {_value(after)}", "green")


def _text_lines(before: str, after: str) -> Iterator[str]:
    """Compare two texts line by line."""
    import difflib

    colours = {"-": "red", "+": "green", "@": "cyan"}
    for line in list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))[2:]:
        text = harmless(f"      {line[0]} {line[1:]}" if line[0] != "@" else f"      {line}")
        yield paint(text, colours[line[0]]) if line[0] in colours else text


def _value(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return harmless(text if len(text) <= MAX_VALUE_CHARS else text[:MAX_VALUE_CHARS] + "…")


HISTORY_HEADERS = ("", "DETAILS", "STATUS", "CREATED BY", "RUNTIME", "DATE", "KIND", "REASON")
STATUS_COLOURS = {"succeeded": "green", "failed": "red", "canceled": "dim"}


def history_row(row: Json) -> list[str]:
    """A row as on the platform's History tab: version, workflow description, status, person, runtime, start."""
    workflow = row["workflow"]
    details = f"{row['workflow_version']['label']}  {workflow.get('description') or workflow['name']}"
    health = f", {row['health']}" if "health" in row else ""
    return [
        LIVE_MARK if row["live"] else "",
        details,
        row["status"] + health,
        row.get("created_by_name", row["created_by"]),
        row["runtime"]["label"],
        moment(row["started_at"]),
        row["kind"],
        row.get("reason", ""),
    ]


def deployment_line(row: Json) -> str:
    """The result of a deployment in one line."""
    where = f"live in {row['environment']}" if row["live"] else f"in {row['environment']}"
    status = paint(row["status"], STATUS_COLOURS.get(row["status"], "yellow"))
    return f"{row['kind']} {row['workflow_version']['label']}  {status}, {where}  {paint(row['id'], 'dim')}"


def print_history(rows: list[Json]) -> None:
    """The deployments as a table."""
    colours: list[str | dict[str, str]] = ["green", "bold", STATUS_COLOURS, "", "", "", "", ""]
    table(HISTORY_HEADERS, map(history_row, rows), colours)


def changes_of(plan: Json) -> Json:
    """The changes of flow, runtime and config as texts. `deployment_config` has the last for programs."""
    return {name: change for name, change in plan.get("changes", {}).items() if name != "deployment_config"}


def plan_lines(plan: Json) -> Iterator[str]:
    """What a deployment would change, its warnings, and its blockers. For a rollback, first its target and why."""
    if "why" in plan:
        yield harmless(plan["why"])
    for name, change in changes_of(plan).items():
        if change["changed"] or change.get("before") != change["after"]:
            yield harmless(f"{name:<8}  {change.get('before', 'nothing')} ") + paint(
                f"→ {harmless(change['after'])}", "green"
            )
        else:
            yield harmless(f"{name:<8}  {change['after']}  ") + paint("stays", "dim")
    for warning in plan["warnings"]:
        yield paint(f"! {harmless(warning)}", "yellow")
    for blocker in plan["blockers"]:
        yield paint(f"✗ {harmless(blocker['message'])} ({blocker['reason']})", "red")
