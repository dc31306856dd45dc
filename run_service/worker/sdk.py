"""All code that uses the SDK: imports it, loads a flow and runs it. Other modules call this module `engine`."""

import importlib
import json
import logging
import pkgutil
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import dynamiq.connections
import dynamiq.nodes
from dynamiq import Workflow
from dynamiq.callbacks.streaming import StreamingQueueCallbackHandler
from dynamiq.flows import Flow
from dynamiq.nodes import Node
from dynamiq.nodes.utils import Output
from dynamiq.runnables import RunnableConfig, RunnableStatus
from dynamiq.serializers.loaders.yaml import WorkflowYAMLLoader
from dynamiq.types.cancellation import CancellationConfig, CancellationToken
from dynamiq.types.streaming import StreamingEventMessage
from dynamiq.utils import format_value, jsonpath
from omegaconf import OmegaConf  # a dependency of the SDK, whose loader reads files with it

from .outcome import LoadFailed, Outcome

Emit = Callable[[str, Any], None]
"""Receives an event's name and its data, which can be written as JSON."""
Cancellation = CancellationToken

PARSED_PATHS = 4096
"""Maximum parsed JSONPaths in the cache."""
UNSET = re.compile(r"Environment variable '([^']+)' not found")
WARM_UP = {
    "nodes": {"input": {"type": "dynamiq.nodes.utils.Input", "name": "input"}},
    "flows": {"flow": {"nodes": ["input"]}},
    "workflows": {"workflow": {"flow": "flow"}},
}


def prepare() -> None:
    """Import everything that flows may need, so that replicas share it. Takes about 20 s and 560 MB. It must not run a
    flow."""
    for module in pkgutil.iter_modules(dynamiq.nodes.__path__, "dynamiq.nodes."):
        try:
            importlib.import_module(module.name)
        except Exception as error:
            logging.getLogger(__name__).warning("%s cannot be imported: %s", module.name, error)
    keep_parsed_paths()
    load(json.dumps(WARM_UP))


def keep_parsed_paths() -> None:
    """Parse each JSONPath of a flow once. The SDK (0.69.0) parses it several times in each run, which takes nine tenths
    of a small run's CPU time. Runs can share a parsed path, because they only read it."""
    if hasattr(jsonpath, "parse"):  # not part of the SDK's interface
        jsonpath.parse = lru_cache(PARSED_PATHS)(jsonpath.parse)


def load(document: str) -> Workflow:
    """Load the flow of a JSON document in the form of the SDK's loader. Raises LoadFailed."""
    try:
        with _unset_variables() as unset:
            # The same steps as the loader's for a file. Its YAML reader is not used, because it reads some JSON strings
            # and numbers differently.
            data = OmegaConf.to_container(OmegaConf.create(json.loads(document)), resolve=True)
            workflow = Workflow.from_yaml_file_data(WorkflowYAMLLoader.parse(data))
        missing = _required(workflow.flow)
    except Exception as error:
        text = str(error)
        named = [found[1]] if (found := UNSET.search(text)) else [name for name in unset if name in text]
        if named:
            raise LoadFailed("VARIABLE_MISSING", _missing(named)) from error
        hint = f" These variables are not set: {', '.join(unset)}." if unset else ""
        raise LoadFailed("FLOW_INVALID", f"The flow cannot be loaded: {text[:2000]}{hint}") from error
    if missing:
        raise LoadFailed("VARIABLE_MISSING", _missing(sorted(missing)))
    return workflow


def run(workflow: Workflow, value: dict[str, Any], emit: Emit | None, cancellation: CancellationToken) -> Outcome:
    """Run a copy of the flow: concurrent runs of one object mix up their answers (dynamiq 0.69.0)."""
    copy = Workflow(id=workflow.id, name=workflow.name, version=workflow.version, flow=workflow.flow.clone())
    config = RunnableConfig(
        callbacks=[] if emit is None else [Streaming(emit)], cancellation=CancellationConfig(token=cancellation)
    )
    result = copy.run_sync(input_data=value, config=config)
    if result.status == RunnableStatus.CANCELED or (
        result.status == RunnableStatus.FAILURE and cancellation.is_canceled
    ):
        return Outcome("canceled", error="The run was canceled.")
    if result.status != RunnableStatus.SUCCESS:
        error = result.error
        failed = error.failed_nodes[0] if error is not None and error.failed_nodes else None
        if failed is not None:
            return Outcome("failed", error=failed.error_message or error.message, node=failed.name or failed.id)
        return Outcome("failed", error=error.message if error is not None else "The flow failed without an error.")
    return Outcome("completed", output=_output(copy.flow, result.output))


class Streaming(StreamingQueueCallbackHandler):  # type: ignore[misc]
    """Passes on what nodes stream. The SDK's own iterators can lose the last event. Their closing events are omitted,
    because the end of a run is reported separately. Agents look for this base class (dynamiq 0.69.0)."""

    def __init__(self, emit: Emit) -> None:
        super().__init__()
        self._emit = emit

    def send_to_queue(self, event: StreamingEventMessage) -> None:
        self._emit(event.event, json.loads(json.dumps(event.to_dict(), default=_plain)))

    def on_workflow_start(self, *_args: Any, **_kwargs: Any) -> None: ...
    def on_workflow_end(self, *_args: Any, **_kwargs: Any) -> None: ...
    def on_workflow_error(self, *_args: Any, **_kwargs: Any) -> None: ...
    def on_workflow_canceled(self, *_args: Any, **_kwargs: Any) -> None: ...


def _output(flow: Flow, results: dict[str, Any]) -> Any:
    """The output of the Output node. If there are several, or none and so the last nodes count, their outputs by
    name."""
    needed = {dependency.node.id for node in flow.nodes for dependency in node.depends}
    ends = [node for node in flow.nodes if isinstance(node, Output)]
    ends = ends or [node for node in flow.nodes if node.id not in needed]
    outputs = {node.name or node.id: format_value(results[node.id].get("output")) for node in ends}
    only = next(iter(outputs.values())) if len(outputs) == 1 else outputs
    return json.loads(json.dumps(only, default=_plain))


def _plain(value: Any) -> Any:
    """A JSON value for an object that JSON cannot represent."""
    formatted = format_value(value)
    return formatted if isinstance(formatted, dict | list | str | int | float | bool | None) else str(value)


@contextmanager
def _unset_variables() -> Iterator[list[str]]:
    """Collects the variables that connection classes did not find. The SDK only logs them."""
    unset: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if (found := UNSET.search(record.getMessage())) and found[1] not in unset:
                unset.append(found[1])

    collect, logger = Collect(), logging.getLogger("dynamiq.utils.logger")
    logger.addHandler(collect)
    logging.disable(logging.NOTSET)
    try:
        yield unset
    finally:
        logging.disable(logging.CRITICAL)  # replicas write no log, so the SDK's lines only cost time
        logger.removeHandler(collect)


def _required(flow: Flow) -> set[str]:
    """The variables that connections of the flow require and that are not set.

    A connection class reads its key with `partial(get_env_var, NAME)`, which returns None for a missing variable. Most
    flows then load, but every run fails.
    """
    names = set()
    for connection in _connections(flow, set()):
        for name, field in type(connection).model_fields.items():
            reads = field.default_factory
            required = field.annotation in (str, int)
            if required and isinstance(reads, partial) and len(reads.args) == 1 and getattr(connection, name) is None:
                names.add(reads.args[0])
    return names


def _connections(value: Any, seen: set[int]) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _connections(item, seen)
    elif isinstance(value, dict):
        yield from _connections(list(value.values()), seen)
    elif isinstance(value, dynamiq.connections.BaseConnection):
        yield value
    elif isinstance(value, Flow | Node) and id(value) not in seen:
        seen.add(id(value))
        yield from _connections([getattr(value, name, None) for name in type(value).model_fields], seen)


def _missing(names: list[str]) -> str:
    if len(names) == 1:
        return f"The flow needs the variable {names[0]}, which is not set."
    return f"The flow needs the variables {', '.join(names)}, which are not set."
