"""The mappings of a config.yaml, made of a flow: connections, prompts, nodes and flows, each keyed by id."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from service_kit.paths import Path, below
from service_kit.paths import shown as shown_path
from workflow_service.dynamiq_config import catalogue
from workflow_service.dynamiq_config.connection_ids import ConnectionCollector
from workflow_service.dynamiq_config.connections import FILE_ID, dotted_type, without_secrets
from workflow_service.dynamiq_config.interpolation import ENV, Variable, escape
from workflow_service.dynamiq_config.nested_objects import NestedObject, built_objects
from workflow_service.dynamiq_config.problems import Problems, shown
from workflow_service.dynamiq_config.variable_names import Body, VariableNames

SUB_WORKFLOW = "dynamiq.nodes.operators.SubWorkflow"


class Config:
    """The mappings of one flow. `flows_found` lists each flow, inner ones too, as (path, flow)."""

    def __init__(self, flow: dict[str, Any], *, keep_values: bool = False) -> None:
        """With `keep_values` connections have the values that were saved, which may be secrets: never for people."""
        self.problems = Problems()
        self._keep_values = keep_values
        self.flows_found: list[tuple[Path, dict[str, Any]]] = []
        # What its nodes name stands beside the flow, not in it; the rest is changed on the way, so it is a copy.
        shared = {key: flow[key] for key in ("connections", "prompts") if isinstance(flow.get(key), dict)}
        own = json.loads(json.dumps({key: value for key, value in flow.items() if key not in shared}))
        names = VariableNames(with_defaults=not keep_values)
        self._hoisting = ConnectionCollector(shared.get("connections", {}), self.problems, names, self._body)
        self._shared_prompts: dict[str, Any] = shared.get("prompts", {})
        self._sources: dict[tuple[str, str], tuple[Path, bytes]] = {}
        prompts: dict[str, Any] = {}
        nodes: dict[str, dict[str, Any]] = {}
        flows: dict[str, dict[str, Any]] = {}
        self._prompts, self._nodes, self._flows = prompts, nodes, flows
        self.flow_id = self._flow(own, "flow")
        self._hoisting.fill_in()
        self.connections, self.comments = self._hoisting.connections, self._hoisting.comments
        self.prompts = self._written(prompts, "flow.prompts")
        self.nodes = {name: self._written(node, self._sources["node", name][0]) for name, node in nodes.items()}
        self.flows = {name: self._written(found, self._sources["flow", name][0]) for name, found in flows.items()}

    def _flow(self, flow: dict[str, Any], path: Path) -> str:
        flow_id = flow["id"] if isinstance(flow.get("id"), str) else "flow"
        if self._is_new("flow", flow_id, flow, path):
            self.flows_found.append((path, flow))
            extra = {key: value for key, value in flow.items() if key not in ("id", "nodes")}
            self._flows[flow_id] = {"nodes": [node["id"] for node in flow["nodes"]], **extra}
            for index, node in enumerate(flow["nodes"]):
                self._node(node, below(path, "nodes", index))
        return flow_id

    def _node(self, node: dict[str, Any], path: Path) -> None:
        if self._is_new("node", node["id"], node, path):
            self._nodes[node["id"]] = {key: value for key, value in node.items() if key != "id"}
            for built in built_objects(self._nodes[node["id"]], path):
                self._build(built)

    def _is_new(self, what: str, name: str, value: dict[str, Any], path: Path) -> bool:
        """Whether the id stands for the first time. It may stand again for the same: flows can share a node."""
        digest = hashlib.sha256(json.dumps(value).encode()).digest()
        first, same = self._sources.setdefault((what, name), (path, digest))
        if same != digest:
            self.problems.error((path, "id"), f"{shown(name)} is the id of {shown_path(first)} too")
        return first is path

    def _build(self, built: NestedObject) -> None:
        value, path = built.value, built.path
        if _is_requirement(value):
            self.problems.error(path, "is a requirement, which only the platform fills in")
        if not built.type:
            return
        if built.type == SUB_WORKFLOW and value.get("flow") is None:
            self.problems.warn(path, "names a workflow of the platform; the archive does not hold it")
        if value.get("connection") is not None:
            self._connection(built, value["connection"])
        if isinstance(prompt := value.get("prompt"), str) and prompt:
            if isinstance(found := self._shared_prompts.get(prompt), dict):
                self._prompts[prompt] = found
            else:
                self.problems.error((path, "prompt"), "names no prompt of the flow")
        if value.get("flow"):
            value["flow"] = self._inner_flow(value["flow"], (path, "flow"))
        if isinstance(flows := value.get("flows"), list):
            value["flows"] = [self._inner_flow(flow, below(path, "flows", index)) for index, flow in enumerate(flows)]

    def _connection(self, built: NestedObject, connection: Any) -> None:
        path = (built.path, "connection")
        accepted = catalogue.accepted_connections(built.type or "")
        if isinstance(connection, str):
            self._hoisting.name(built.value, path, connection, accepted)
        elif dotted_type(connection):
            self._hoisting.hold(built.value, path, connection, accepted)
        elif isinstance(connection, dict) and _is_requirement(connection):
            self.problems.error(path, "is a requirement, which only the platform fills in")
        else:
            self.problems.error(path, "must be an id, or a connection whose `type` names its class")

    def _inner_flow(self, flow: Any, path: Path) -> str | None:
        if is_flow(flow):
            return self._flow(flow, path)
        self.problems.error(path, "must be a flow with a list `nodes`, each with an `id` and a dotted `type`")
        return None

    def _written(self, value: Any, path: Path, key: str = "") -> Any:
        """The value under `key` as YAML holds it: escaped, variables as text, no secrets in what is a connection."""
        if isinstance(value, str):
            return escape(value)
        if isinstance(value, list):
            return [self._written(child, (path, index), key) for index, child in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if (variable := Variable.of(value)) is not None:
            return variable.text()
        if ENV in value:
            self.problems.error(path, 'must be {"$env": "NAME", "default"?}, with a plain value as default')
        type_name = dotted_type(value)
        if type_name and (key == "connection" or catalogue.is_connection(type_name)):
            return self._hoisting.variables.write_one(key, self._body(value, path))
        within = "connection" if key == "connections" else None
        return {name: self._written(child, (path, name), within or name) for name, child in value.items()}

    def _body(self, connection: Mapping[str, Any], path: Path) -> Body:
        """The fields of a connection."""
        if not self._keep_values:
            return without_secrets(connection, path, self.problems)
        return {
            key: self._written(value, (path, key), key)
            for key, value in connection.items()
            if key not in ("id", FILE_ID)  # the loader takes the key it stands under for its id
        }


def _is_requirement(value: dict[str, Any]) -> bool:
    return isinstance(value.get("$type"), str) and isinstance(value.get("$id"), str)


def is_flow(value: Any) -> bool:
    """Whether it has a list of nodes, as a flow in a node must have."""
    nodes = value.get("nodes") if isinstance(value, dict) else None
    return isinstance(nodes, list) and all(_is_node(node) for node in nodes)


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("id"), str) and dotted_type(node) is not None
