"""Packs a flow for the Dynamiq SDK: a ZIP of config.yaml, which Workflow.from_yaml_file loads, and main.py."""

import io
import re
import zipfile
from typing import Any

import yaml

from workflow_service.dynamiq_config.checks import checked
from workflow_service.dynamiq_config.config import Config
from workflow_service.dynamiq_config.interpolation import escape
from workflow_service.dynamiq_config.problems import Problem
from workflow_service.errors import InvalidFlow
from workflow_service.flow import parse_flow

WORKFLOW_ID = "workflow"
MAIN = """\
import sys

from dynamiq import Workflow

wf = Workflow.from_yaml_file(file_path="config.yaml")
result = wf.run(input_data={})
print(result)
if result.status != "success":
    sys.exit(1)
"""
# A fixed time, the earliest that a ZIP can contain, so that the same flow gives the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)


def export_flow(flow: bytes, limit: int, version: int | None = None) -> bytes:
    """The archive for a document of at most `limit` bytes. Raises FlowTooLarge or InvalidFlow."""
    archive, _ = export_zip(parse_flow(flow, limit), version)
    return archive


def export_zip(flow: dict[str, Any], version: int | None = None) -> tuple[bytes, list[Problem]]:
    """The archive for a flow that passed the light check, and warnings. Raises InvalidFlow if the flow has errors."""
    text, warnings = export_config(flow, version)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in (("config.yaml", text), ("main.py", MAIN)):
            file.writestr(zipfile.ZipInfo(name, EPOCH), content.encode("utf-8"), zipfile.ZIP_DEFLATED)
    return archive.getvalue(), warnings


def export_config(flow: dict[str, Any], version: int | None = None) -> tuple[str, list[Problem]]:
    """Only the config.yaml of the archive."""
    config, problems = checked(flow)
    errors = {problem.path: problem.message for problem in problems if problem.severity == "error"}
    if config is None or errors:
        raise InvalidFlow(errors)
    return text_of(config, version), problems


def mappings_of(config: Config, version: int | None = None) -> dict[str, Any]:
    """All sections except the connections."""
    workflow = {"flow": escape(config.flow_id)} | ({} if version is None else {"version": version})
    prompts = {"prompts": config.prompts} if config.prompts else {}
    return prompts | {"nodes": config.nodes, "flows": config.flows, "workflows": {WORKFLOW_ID: workflow}}


def text_of(config: Config, version: int | None = None) -> str:
    """The config.yaml of these mappings."""
    rest = mappings_of(config, version)
    if not config.connections:
        return "connections: {}\n" + _dump(rest)
    entries = []
    for name, body in config.connections.items():
        if comment := config.comments.get(name):
            entries.append(f"  # {comment}\n")
        _, _, entry = _dump({"connections": {name: body}}).partition("\n")
        entries.append(entry)
    return "connections:\n" + "".join(entries) + _dump(rest)


def _dump(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False)


class _Dumper(yaml.CSafeDumper):
    """Writes every value in full, without anchors and aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


# The SDK's loader reads 1e5 as a number, PyYAML as text. So text that looks like such a number is quoted.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
