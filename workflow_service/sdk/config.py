"""The mappings of a config.yaml, made of a flow: connections, prompts, nodes and flows, each keyed by id."""

from typing import Any

from workflow_service.sdk import catalogue
from workflow_service.sdk.connections import dotted_type, without_secrets
from workflow_service.sdk.hoisting import Hoisting
from workflow_service.sdk.interpolation import Variable, escape
from workflow_service.sdk.problems import Problems, shown

# What the SDK's loader hands on as it is, without building the nodes and connections in it.
_VERBATIM = ("agent_factory", "prompt", "response_format", "schema")
_SHARED = ("connections", "prompts")
_DETECTORS = {"llama_guard": "dynamiq.nodes.detectors.LlamaGuardDetector"}
_DETECTOR = "dynamiq.nodes.detectors.PromptInjectionDetector"


class Config:
    """The mappings of one flow. `flows_found` lists each flow, inner ones too, as (path, flow)."""

    def __init__(self, flow: dict[str, Any]) -> None:
        self.problems = Problems()
        self.hoisting = Hoisting(flow.get("connections"), self.problems)
        self.prompts: dict[str, Any] = {}
        self.nodes: dict[str, dict[str, Any]] = {}
        self.flows: dict[str, dict[str, Any]] = {}
        self.flows_found: list[tuple[str, dict[str, Any]]] = []
        self._sources: dict[str, Any] = {}
        self._prompts = flow.get("prompts") if isinstance(flow.get("prompts"), dict) else {}
        self.flow_id = self._flow(flow, "flow")
        self.hoisting.fill_in()

    def _flow(self, flow: dict[str, Any], path: str) -> str:
        flow_id = flow["id"] if isinstance(flow.get("id"), str) else "flow"
        if flow_id in self.flows:
            if self._sources.get(f"flow {flow_id}") != flow:
                self.problems.error(f"{path}.id", f"{shown(flow_id)} is the id of another flow too")
            return flow_id
        self._sources[f"flow {flow_id}"] = flow
        self.flows_found.append((path, flow))
        # Of the flow itself, these two are no keys but what its nodes name.
        aside = {key for key in _SHARED if path == "flow" and isinstance(flow.get(key), dict)}
        extra = {key: value for key, value in flow.items() if key not in {"id", "nodes", *aside}}
        self.flows[flow_id] = {"nodes": [escape(node["id"]) for node in flow["nodes"]]}
        self.flows[flow_id] |= {key: self._value(value, f"{path}.{key}", False) for key, value in extra.items()}
        for index, node in enumerate(flow["nodes"]):
            self._node(node, f"{path}.nodes[{index}]")
        return flow_id

    def _node(self, node: dict[str, Any], path: str) -> None:
        node_id = node["id"]
        if node_id not in self.nodes:
            self._sources[f"node {node_id}"] = node
            self.nodes[node_id] = {}
            self.nodes[node_id] |= self._object({key: v for key, v in node.items() if key != "id"}, path, True)
        elif self._sources[f"node {node_id}"] != node:
            self.problems.error(f"{path}.id", f"{shown(node_id)} is the id of another flow's node too")

    def _value(self, value: Any, path: str, build: bool) -> Any:
        if isinstance(value, str):
            return escape(value)
        if isinstance(value, list):
            return [self._value(child, f"{path}[{index}]", build) for index, child in enumerate(value)]
        return self._object(value, path, build) if isinstance(value, dict) else value

    def _object(self, value: dict[str, Any], path: str, build: bool, usual_type: str | None = None) -> Any:
        """`build` says whether the loader makes nodes and connections of what stands here."""
        if (variable := Variable.of(value)) is not None:
            return variable.text()
        if build and _is_requirement(value):
            self.problems.error(path, "is a requirement, which only the platform fills in")
            return None
        type_name = dotted_type(value) or usual_type
        if type_name and catalogue.is_connection(type_name):
            return without_secrets(value, path, self.problems)
        if build and type_name:
            self._check_type(type_name, path)
        result: dict[str, Any] = {}
        for key, child in value.items():
            where = f"{path}.{key}"
            if key == "connection":
                result[key] = None
                result[key] = self._connection(result, type_name if build else None, child, where, build)
            elif key == "connections" and isinstance(child, dict):
                result[key] = {name: self._definition(body, f"{where}.{name}") for name, body in child.items()}
            elif key == "hooks" and isinstance(child, list):
                result[key] = [self._hook(hook, f"{where}[{index}]", build) for index, hook in enumerate(child)]
            elif build and type_name and key in ("flow", "flows"):
                result[key] = self._inner_flows(child, where)
            elif build and type_name and key == "prompt" and isinstance(child, str):
                result[key] = self._prompt(child, where)
            else:
                result[key] = self._value(child, where, build and key not in _VERBATIM)
        return result

    def _check_type(self, type_name: str, path: str) -> None:
        if type_name.startswith("dynamiq.nodes.") and not catalogue.is_node_type(type_name):
            self.problems.error(f"{path}.type", f"{shown(type_name)} is no node type of the SDK")

    def _connection(self, owner: dict[str, Any], type_name: str | None, value: Any, path: str, build: bool) -> Any:
        name = dotted_type(value)
        if name and not (build and type_name):
            return without_secrets(value, path, self.problems)
        if value is None or not type_name:
            return self._value(value, path, build)
        if isinstance(value, str):
            self.hoisting.name(owner, path, value, catalogue.accepted_connections(type_name))
        elif name:
            self.hoisting.hold(owner, path, value)
        elif isinstance(value, dict) and _is_requirement(value):
            self.problems.error(path, "is a requirement, which only the platform fills in")
        else:
            self.problems.error(path, "must be an id, or a connection whose `type` names its class")
        return None

    def _definition(self, body: Any, path: str) -> Any:
        return without_secrets(body, path, self.problems) if dotted_type(body) else self._value(body, path, False)

    def _hook(self, hook: Any, path: str, build: bool) -> Any:
        """Of a hook the loader builds the detector alone, whose type may be told by its kind."""
        if not build or not isinstance(hook, dict) or not isinstance(detector := hook.get("detector"), dict):
            return self._value(hook, path, False)
        usual_type = _DETECTORS.get(str(detector.get("kind")), _DETECTOR)
        return {
            key: self._object(child, f"{path}.{key}", True, usual_type)
            if key == "detector"
            else self._value(child, f"{path}.{key}", False)
            for key, child in hook.items()
        }

    def _inner_flows(self, value: Any, path: str) -> Any:
        if isinstance(value, list):
            return [self._inner_flows(child, f"{path}[{index}]") for index, child in enumerate(value)]
        nodes = value.get("nodes") if isinstance(value, dict) else None
        if isinstance(nodes, list) and all(_is_node(node) for node in nodes):
            return escape(self._flow(value, path))
        if value is not None:
            self.problems.error(path, "must be a flow with a list `nodes`, each with an `id` and a dotted `type`")
        return None

    def _prompt(self, name: str, path: str) -> str:
        if isinstance(prompt := self._prompts.get(name), dict):
            self.prompts[name] = self._value(prompt, f"flow.prompts.{name}", False)
        else:
            self.problems.error(path, f"names no prompt: {shown(name)}")
        return escape(name)


def _is_requirement(value: dict[str, Any]) -> bool:
    return isinstance(value.get("$type"), str) and isinstance(value.get("$id"), str)


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("id"), str) and dotted_type(node) is not None
