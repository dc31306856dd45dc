"""Converts one workflow of a config.yaml to a flow and its canvas, with all references resolved."""

import json
from typing import Any

from service_kit import problems
from service_kit.paths import Path, below
from service_kit.paths import shown as shown_path
from workflow_service.dynamiq_config import catalogue
from workflow_service.dynamiq_config.checks import problems as problems_of
from workflow_service.dynamiq_config.connections import FILE_ID, by_reference, dotted_type, in_common
from workflow_service.dynamiq_config.interpolation import Variable
from workflow_service.dynamiq_config.layout import lay_out
from workflow_service.dynamiq_config.nested_objects import NestedObject, built_objects
from workflow_service.dynamiq_config.problems import MAX_NODES, Problem, Problems, shown
from workflow_service.dynamiq_config.references import Resolver
from workflow_service.dynamiq_config.variable_names import VariableNames
from workflow_service.dynamiq_config.yaml_reader import read_document
from workflow_service.errors import ConfigTooLarge, InvalidConfig, SeveralWorkflows
from workflow_service.flow import Content, check_content

MAX_FLOWS = 50  # maximum nesting of flows
SECTIONS = ("connections", "prompts", "nodes", "flows", "workflows")
MAX_NAMING_ROUNDS = 5
_MAX_NAMED = 50  # maximum workflows that an error lists


def import_content(text: str, workflow: str | None, limit: int) -> tuple[Content, list[Problem]]:
    """The content to save, and warnings. Raises the errors of import_config and check_content."""
    flow, flow_ui, found = import_config(text, workflow, limit)
    return check_content(flow, flow_ui, limit), found


def import_config(text: str, workflow: str | None, limit: int) -> tuple[bytes, bytes, list[Problem]]:
    """The flow and its canvas as JSON, of at most `limit` bytes each, and warnings.

    `workflow` selects one of several. No other file is read. Raises InvalidConfig, SeveralWorkflows or ConfigTooLarge.
    """
    document = read_document(text, limit)
    if not isinstance(document, dict):
        raise InvalidConfig({"config": "must be a mapping with `nodes`, `flows` and `workflows`"})
    resolver = Resolver(document, limit)
    file = _File(resolver.resolved(), limit)
    flow = file.flow(*file.choose(workflow))
    file.name_plain_connections(document)
    for key in document:
        if key not in (*SECTIONS, *resolver.named):
            file.problems.warn(key, "is not part of a workflow and is omitted")
    file.report_unused()
    found = [Problem(problem.path, problem.message, "warning") for problem in problems_of(flow)]
    canvas = lay_out(flow)
    return _json("flow", flow, limit), _json("flow_ui", canvas, limit), [*file.problems.found, *found]


def _json(field: str, value: dict[str, Any], limit: int) -> bytes:
    utf8 = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    if len(utf8) > limit:
        raise ConfigTooLarge(f"makes a {field} larger than {limit / (1 << 20):g} MiB")
    return utf8


class _File:
    """The sections of a file, each a mapping of mappings by id, and which of their entries were used."""

    def __init__(self, document: dict[str, Any], limit: int) -> None:
        self.problems = Problems("config")
        self._limit, self._left, self._count = limit, limit, 0
        self._open: list[str] = []
        self._used: set[tuple[str, str]] = set()
        self._connected: dict[str, list[NestedObject]] = {}
        self._sections = {section: _mapping(document, section) for section in SECTIONS}
        wrong = problems.Problems()
        for section, entries in self._sections.items():
            for key, entry in entries.items():
                if not isinstance(entry, dict):
                    wrong.add((section, key), "must be a mapping")
        if wrong:
            raise InvalidConfig(wrong)

    def choose(self, workflow: str | None) -> tuple[str, Path]:
        """The flow of the requested workflow, or of the only one, and its path."""
        names = list(self._sections["workflows"])
        if not names:
            raise InvalidConfig({"workflows": "cannot be empty"})
        if workflow not in names and (workflow or len(names) > 1):
            more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
            raise SeveralWorkflows(", ".join(shown(name)[1:-1] for name in names[:_MAX_NAMED]) + more)
        name = workflow or names[0]
        flow_id = self._sections["workflows"][name].get("flow")
        if not isinstance(flow_id, str):
            raise InvalidConfig({shown_path(below("workflows", name, "flow")): "must be the id of a flow"})
        return flow_id, below("workflows", name, "flow")

    def flow(self, flow_id: str, path: Path) -> dict[str, Any]:
        flow = self._entry("flows", flow_id, path)
        ids = flow.get("nodes")
        if not isinstance(ids, list) or not ids or not all(isinstance(node_id, str) for node_id in ids):
            where = shown_path(below("flows", flow_id, "nodes"))
            raise InvalidConfig({where: "must be a list of ids that is not empty"})
        if flow_id in self._open:
            raise InvalidConfig({shown_path(path): f"names the flow {shown(flow_id)}, which contains it"})
        if len(self._open) == MAX_FLOWS:
            raise InvalidConfig({shown_path(path): f"is the end of more than {MAX_FLOWS} flows, one within the other"})
        # The loader ignores duplicates of an id.
        ids = list(dict.fromkeys(ids))
        self._count += len(ids)
        if self._count > MAX_NODES:
            raise ConfigTooLarge(f"makes a flow of more than {MAX_NODES:,} nodes")
        self._open.append(flow_id)
        nodes = [self._node(node_id, below("flows", flow_id, "nodes", index)) for index, node_id in enumerate(ids)]
        self._open.pop()
        return {"id": flow_id, "nodes": nodes} | {key: v for key, v in flow.items() if key not in ("id", "nodes")}

    def name_plain_connections(self, document: dict[str, Any]) -> None:
        """Replace a connection by its id if the file has only what an export writes for an id."""
        plain = {}
        for name, uses in self._connected.items():
            types = in_common([catalogue.accepted_connections(built.type or "") for built in uses])
            if types:
                plain[name] = by_reference(types[0], name)
        # The names of one connection's variables depend on the other connections.
        for _ in range(MAX_NAMING_ROUNDS):
            others = (self._sections["connections"][name] for name in self._connected if name not in plain)
            found = (Variable.of(value) for other in others for value in other.values())
            written = VariableNames(variable.name for variable in found if variable).write(plain)
            same = {name: body for name, body in plain.items() if written[name] == document["connections"][name]}
            if len(same) == len(plain):
                break
            plain = same
        else:
            return
        for name in plain:
            for built in self._connected[name]:
                built.value["connection"] = name

    def report_unused(self) -> None:
        for section in ("nodes", "connections", "prompts"):
            for name in self._sections[section]:
                if (section, name) not in self._used:
                    self.problems.warn((section, name), "is not used by the workflow and is omitted")

    def _entry(self, section: str, name: str, path: Path) -> dict[str, Any]:
        """A copy of the section's entry with this id. Its size counts against the limit."""
        found = self._sections[section].get(name)
        if found is None:
            raise InvalidConfig({shown_path(path): f"must be an entry of `{section}`"})
        self._used.add((section, name))
        copied = json.dumps(found, ensure_ascii=False)
        self._left -= len(copied)
        if self._left < 0:
            raise ConfigTooLarge(f"is larger than {self._limit / (1 << 20):g} MiB with what it names written out")
        entry: dict[str, Any] = json.loads(copied)
        return entry

    def _node(self, node_id: str, path: Path) -> dict[str, Any]:
        node = {"id": node_id} | {key: v for key, v in self._entry("nodes", node_id, path).items() if key != "id"}
        if dotted_type(node) is None:
            where = shown_path(below("nodes", node_id, "type"))
            raise InvalidConfig({where: "must be a dotted name, such as dynamiq.nodes.utils.Input"})
        for built in built_objects(node, ("nodes", node_id)):
            if built.type:
                self._write_out(built)
        return node

    def _write_out(self, built: NestedObject) -> None:
        value, path = built.value, built.path
        if isinstance(name := value.get("connection"), str):
            entry = self._entry("connections", name, (path, "connection"))
            value["connection"] = {FILE_ID: name} | {key: v for key, v in entry.items() if key != "id"}
            self._connected.setdefault(name, []).append(built)
        if isinstance(name := value.get("prompt"), str):
            entry = self._entry("prompts", name, (path, "prompt"))
            value["prompt"] = {"id": name} | {key: v for key, v in entry.items() if key != "id"}
        if isinstance(name := value.get("flow"), str):
            value["flow"] = self.flow(name, (path, "flow"))
        if isinstance(names := value.get("flows"), list):
            value["flows"] = [
                self.flow(name, below(path, "flows", index)) if isinstance(name, str) else name
                for index, name in enumerate(names)
            ]


def _mapping(document: dict[str, Any], section: str) -> dict[str, Any]:
    found = document.get(section)
    if found is not None and not isinstance(found, dict):
        raise InvalidConfig({section: "must be a mapping by id"})
    return found or {}
