"""Translates a flow to the mappings of a config.yaml: connections, prompts, nodes and flows, each keyed by id."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from service_kit.paths import Path, below
from service_kit.paths import shown as shown_path
from workflow_service.dynamiq_config import catalogue, secret_values
from workflow_service.dynamiq_config.connection_ids import ConnectionCollector
from workflow_service.dynamiq_config.connections import FILE_ID, dotted_type, own_name, without_secrets
from workflow_service.dynamiq_config.interpolation import ENV, Variable, escape
from workflow_service.dynamiq_config.nested_objects import NestedObject, built_objects
from workflow_service.dynamiq_config.problems import Problems, shown
from workflow_service.dynamiq_config.variable_names import Body, NewVariable, VariableNames

SUB_WORKFLOW = "dynamiq.nodes.operators.SubWorkflow"


class Config:
    """The mappings of one flow. `flows_found` lists the flow and its inner flows as (path, flow)."""

    def __init__(self, flow: dict[str, Any], *, keep_values: bool = False) -> None:
        """With `keep_values`, connections keep the saved values. These may be secret and must not be shown to
        people."""
        self.problems = Problems()
        self._keep_values = keep_values
        self._owner = ""
        self._confirmed = secret_values.confirmed_by(flow)
        self.flows_found: list[tuple[Path, dict[str, Any]]] = []
        # Nodes refer to entries in these sections, which are only read. The rest is modified here, so it is a copy.
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
        self.prompts = self._written_of("prompts", prompts, "flow.prompts")
        self.nodes = {
            name: self._written_of(name, node, self._sources["node", name][0]) for name, node in nodes.items()
        }
        self.flows = {
            name: self._written_of(name, found, self._sources["flow", name][0]) for name, found in flows.items()
        }

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
        """Whether the id is new. The same node may occur again, because flows can share nodes."""
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
                self.problems.error((path, "prompt"), "must be a prompt of the flow")
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

    def _written_of(self, owner: str, value: Any, path: Path) -> Any:
        """Like `_written`. Variables that replace secrets are named after the owner."""
        self._owner = owner
        return self._written(value, path)

    def _written(
        self, value: Any, path: Path, key: str = "", place: secret_values.Place = secret_values.NOWHERE
    ) -> Any:
        """The value of `key` as it is written to YAML: escaped, with variables as text, without secrets."""
        if isinstance(value, list):
            return [self._written(child, (path, index), key, place) for index, child in enumerate(value)]
        if not isinstance(value, dict):
            return self._plain(value, path, key, place)
        if (variable := Variable.of(value)) is not None:
            return self._variable(variable, path, key, place)
        if ENV in value:
            self.problems.error(path, 'must be {"$env": "NAME", "default"?}, with a plain value as default')
        type_name = dotted_type(value)
        if type_name and (key in ("connection", "connections", "db_connection") or catalogue.is_connection(type_name)):
            return self._hoisting.variables.write_one(key, self._body(value, path))
        within = "connection" if key == "connections" else None
        return {
            name: self._written(child, (path, name), within or name, self._below(place, name, child))
            for name, child in value.items()
        }

    @staticmethod
    def _below(place: secret_values.Place, key: str, child: Any) -> secret_values.Place:
        return secret_values.NOWHERE if key == secret_values.CONFIRMED or child is None else place.below(key)

    def _plain(self, value: Any, path: Path, key: str, place: secret_values.Place) -> Any:
        """Write a text, a number, true, false or null."""
        sentence = None if self._keep_values else secret_values.found_in(value, place)
        if sentence is not None:
            self.problems.warn_of_secret(path, sentence)
            if sentence == secret_values.FIELD or secret_values.is_one_token(value):
                return self._stand_in(key, json.dumps(value))
        return escape(value) if isinstance(value, str) else value

    def _variable(self, variable: Variable, path: Path, key: str, place: secret_values.Place) -> str:
        if self._keep_values:
            return variable.text()
        if not secret_values.may_be_read(variable, place, self._confirmed):
            self.problems.warn_of_secret(path, secret_values.VARIABLE)
            return self._stand_in(key, f"of {variable.name}")
        if variable.has_default and (sentence := secret_values.found_in(variable.default, place)) is not None:
            self.problems.warn_of_secret((path, "default"), sentence)
            return Variable(variable.name, "", True).text()
        return variable.text()

    def _stand_in(self, key: str, value: str) -> str:
        """A variable that replaces a secret, named after the owner and the field."""
        left_out = NewVariable(own_name(self._owner, key), self._owner, key, "", value)
        written: str = self._hoisting.variables.write_one(self._owner, {key: left_out})[key]
        return written

    def _body(self, connection: Mapping[str, Any], path: Path) -> Body:
        """The fields of a connection to write."""
        if not self._keep_values:
            return without_secrets(connection, path, self.problems, self._confirmed)
        return {
            key: self._written(value, (path, key), key)
            for key, value in connection.items()
            if key not in ("id", FILE_ID)  # the loader uses the key of the mapping as the id
        }


def _is_requirement(value: dict[str, Any]) -> bool:
    return isinstance(value.get("$type"), str) and isinstance(value.get("$id"), str)


def is_flow(value: Any) -> bool:
    """Whether the value is a flow: an object with a list of nodes."""
    nodes = value.get("nodes") if isinstance(value, dict) else None
    return isinstance(nodes, list) and all(_is_node(node) for node in nodes)


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("id"), str) and dotted_type(node) is not None
