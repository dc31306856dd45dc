"""Finds errors that the SDK's loader would raise. The loader builds inner objects first; each is checked by the schema
of its class.

Nothing is loaded here. Classes outside `dynamiq.` are accepted as they are.
"""

from typing import Any

from service_kit.paths import Path, below
from workflow_service.dynamiq_config import schemas
from workflow_service.dynamiq_config.config import is_flow
from workflow_service.dynamiq_config.connections import FILE_ID, dotted_type
from workflow_service.dynamiq_config.interpolation import Variable
from workflow_service.dynamiq_config.problems import Problems, shown
from workflow_service.dynamiq_config.rules import BUILT
from workflow_service.dynamiq_config.schemas import AGENT, DEPENDENCY, FLOW, PROMPT, UNKNOWN

_SDK = "dynamiq."
_NODE = "dynamiq.nodes.Node"
_CONNECTION = "dynamiq.connections.BaseConnection"
_VERBATIM = ("agent_factory", "response_format", "schema")
_VERBATIM_PARTS = (*_VERBATIM, "connection", "prompt")
"""Keys whose values the loader passes on unchanged, without a class."""
_DETECTOR = "dynamiq.nodes.agents.hooks.DetectorConfig"
_PROMPT_INJECTION = "prompt_injection"
_UNKNOWN = {BUILT: UNKNOWN}


class Loading:
    """Checks flows whose nodes name entries of `connections` and `prompts`."""

    def __init__(self, connections: Any, prompts: Any, problems: Problems) -> None:
        self._connections = connections if isinstance(connections, dict) else {}
        self._prompts = prompts if isinstance(prompts, dict) else {}
        self._problems = problems
        self._named: dict[str, dict[str, str]] = {}
        self._named_prompts: set[str] = set()

    def check_flow(self, flow: dict[str, Any], path: Path) -> None:
        """Check a flow that passed the light check, and its inner flows."""
        flow_id = flow.get("id")
        if flow_id is not None and not (isinstance(flow_id, str) and flow_id):
            self._problems.error((path, "id"), "must be a string that is not empty")
        own = {key: value for key, value in flow.items() if key not in ("id", "nodes", "connections", "prompts")}
        if isinstance(checkpoint := own.get("checkpoint"), dict) and isinstance(checkpoint.get("backend"), dict):
            where = below(path, "checkpoint", "backend")
            own["checkpoint"] = checkpoint | {"backend": self._backend(checkpoint["backend"], where)}
        self._check(own, FLOW, path)
        for index, node in enumerate(flow["nodes"]):
            where = below(path, "nodes", index)
            built = self._object(node, where)[BUILT]
            if built != UNKNOWN and not schemas.is_a(built, _NODE):
                self._problems.error((where, "type"), f"{shown(node['type'])} is not a node type of the SDK")

    def _check(self, fields: dict[str, Any], name: str, path: Path) -> None:
        for keys, sentence in schemas.wrong_with(fields, name):
            # Below a field of a connection, keys may be secret too.
            shown_keys = keys[: keys.index("connection") + 2] if "connection" in keys else keys
            self._problems.error(below(path, *shown_keys), sentence)

    def _object(self, value: dict[str, Any], path: Path) -> dict[str, str]:
        """Check an object whose `type` names a class. Returns what the loader would build of it."""
        fields: dict[str, Any] = {}
        for key, child in value.items():  # not a comprehension: each level may use only two frames
            if key == "flow":
                fields[key] = self._flow(child, (path, key))
            elif key == "flows":
                fields[key] = self._flows(child, (path, key))
            elif key == "connection":
                fields[key] = self._connection(child, (path, key))
            elif key == "prompt":
                fields[key] = self._prompt(child, (path, key))
            elif key == "hooks":
                fields[key] = self._hooks(child, (path, key))
            elif key in _VERBATIM:
                fields[key] = child
            elif key not in ("type", "depends"):
                fields[key] = self._value(child, (path, key))
        name = self._class(value, path)
        if name == UNKNOWN:
            return _UNKNOWN
        if schemas.is_a(name, AGENT) and isinstance(hooks := fields.get("hooks"), list):
            fields["hooks"] = [self._hook(hook, below(path, "hooks", index)) for index, hook in enumerate(hooks)]
        self._check(fields, name, path)
        return {BUILT: name}

    def _value(self, value: Any, path: Path) -> Any:
        if isinstance(value, list):
            items = []
            for index, child in enumerate(value):
                items.append(self._value(child, (path, index)))
            return items
        if not isinstance(value, dict) or Variable.of(value) is not None:
            return value
        written = value.get("type")
        if isinstance(written, str) and "." in written:
            return self._object(value, path)
        if isinstance(written, int | float) and written:
            self._problems.error((path, "type"), "must be a string")
        fields = {}
        for key, child in value.items():
            if key == "hooks":
                fields[key] = self._hooks(child, (path, key))
            else:
                fields[key] = child if key in _VERBATIM_PARTS else self._value(child, (path, key))
        return fields

    def _class(self, value: dict[str, Any], path: Path) -> str:
        """The class that a dotted `type` names. UNKNOWN if it is not from the SDK."""
        written = value["type"]
        if dotted_type(value) is None:
            self._problems.error((path, "type"), "must be a dotted name, such as dynamiq.nodes.utils.Input")
        elif (name := schemas.class_name(written)) is not None:
            return name
        elif written.startswith(_SDK):
            self._problems.error((path, "type"), f"{shown(written)} is not a class of the SDK that a flow can contain")
        return UNKNOWN

    def _flow(self, value: Any, path: Path) -> Any:
        if is_flow(value):
            self.check_flow(value, path)
        return {BUILT: FLOW} if value else None

    def _flows(self, value: Any, path: Path) -> Any:
        if not isinstance(value, list):
            self._problems.error(path, "must be a list of flows")
            return []
        return [self._flow(flow, (path, index)) for index, flow in enumerate(value)]

    def _connection(self, value: Any, path: Path) -> Any:
        if value is None:
            return None
        if isinstance(value, str):
            if value not in self._named:
                # Export writes the class that the nodes expect if the connection has no class.
                found = self._connections.get(value)
                where = ("flow.connections", value)
                self._named[value] = self._connection_object(found, where) if found else _UNKNOWN
            return self._named[value]
        return self._connection_object(value, path)

    def _connection_object(self, value: Any, path: Path) -> dict[str, str]:
        if dotted_type(value) is None:
            return _UNKNOWN  # the export reports it
        name = self._class(value, path)
        if name == UNKNOWN:
            return _UNKNOWN
        if not schemas.is_a(name, _CONNECTION):
            self._problems.error((path, "type"), f"{shown(value['type'])} is not a connection of the SDK")
            return _UNKNOWN
        # Its id is the key under which export writes it.
        fields = {key: child for key, child in value.items() if key not in ("type", "id", FILE_ID)}
        for keys, sentence in schemas.wrong_with(fields, name):
            self._problems.error(below(path, *keys[:1]), sentence)  # keys below a field may be secret
        return {BUILT: name}

    def _prompt(self, value: Any, path: Path) -> Any:
        if isinstance(value, str) and value:
            found = self._prompts.get(value)
            if isinstance(found, dict) and value not in self._named_prompts:
                self._named_prompts.add(value)
                self._check(found, PROMPT, ("flow.prompts", value))
            return {BUILT: PROMPT}
        if isinstance(value, dict) and value:
            if Variable.of(value) is None:
                self._check(value, PROMPT, path)
            return {BUILT: PROMPT}
        return value

    def _backend(self, value: dict[str, Any], path: Path) -> Any:
        return self._object(value, path) if "type" in value and isinstance(value["type"], str) else value

    def _hooks(self, value: Any, path: Path) -> Any:
        if not isinstance(value, list):
            return value
        return [self._with_detector(hook, (path, index)) for index, hook in enumerate(value)]

    def _with_detector(self, hook: Any, path: Path) -> Any:
        """The hook after loading: the loader builds only its detector."""
        detector = hook.get("detector") if isinstance(hook, dict) else None
        if not isinstance(detector, dict):
            return hook
        where = (path, "detector")
        written = detector.get("type")
        if isinstance(written, str) and "." in written:
            return hook | {"detector": self._object(detector, where)}
        connection = self._connection(detector.get("connection"), (where, "connection"))
        return hook | {"detector": detector | {"connection": connection}}

    def _hook(self, hook: Any, path: Path) -> Any:
        """Check a hook of an agent. The agent builds it from its `type`, which is a short name or a class."""
        if not isinstance(hook, dict):
            return hook
        if not hook.get("type"):
            self._problems.error((path, "type"), "is required")
            return _UNKNOWN
        name = schemas.hook_class(str(hook["type"]))
        if name is None:
            if not str(hook["type"]).startswith(_SDK) and "." in str(hook["type"]):
                return _UNKNOWN
            self._problems.error((path, "type"), "must be a hook of the SDK")
            return _UNKNOWN
        fields = {key: value for key, value in hook.items() if key != "type"}
        detector = fields.get("detector")
        if name == schemas.hook_class(_PROMPT_INJECTION) and isinstance(detector, dict) and BUILT not in detector:
            self._check(detector, _DETECTOR, (path, "detector"))
            fields["detector"] = _UNKNOWN
        self._check(fields, name, path)
        return {BUILT: name, "name": fields.get("name")}


def dependency_problems(dependency: dict[str, Any]) -> list[schemas.Wrong]:
    """The problems of a dependency's fields, except `node`."""
    return schemas.wrong_with(dependency | {"node": _UNKNOWN}, DEPENDENCY)
