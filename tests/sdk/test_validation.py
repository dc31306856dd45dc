"""Validation refuses the same flows as the loader of the SDK. Both get flows with one change."""

import copy
import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import sdk_samples as samples
from tests.support.paths import DATA, ROOT
from tests.support.stack import FLOW
from workflow_service.dynamiq_config import catalogue, schemas
from workflow_service.dynamiq_config.checks import problems
from workflow_service.dynamiq_config.importing import import_config
from workflow_service.dynamiq_config.rules import RULES

pytestmark = pytest.mark.sdk

SCRIPT = ROOT / "tests" / "support" / "sdk" / "load_flows.py"
CONFIGS = {path.stem: path.read_text() for path in sorted((DATA / "configs").glob("*.yaml"))}
ASKS_PROVIDER = {"SpeechToText.validate_provider_config", "TextToSpeech.validate_provider_config"}
"""What a provider of speech can do is said by its adapter's code alone."""
ASKS_MODEL = {"Agent.validate_inference_mode"}
"""What a model can do is in litellm's tables, which change with its releases."""
NEVER_REFUSES = {
    *(f"Agent.{name}" for name in ("_ensure_context_manager_tool", "_ensure_todo_tools", "_resolve_cache_control")),
    *(f"Agent.{name}" for name in ("validate_input_fields", "validate_provider_config")),
    *(f"{name}.setup_headers" for name in ("Dynamiq", "ElevenLabs", "Exa", "Firecrawl", "Jina", "Linkup", "Serply")),
    *(
        "Whisper.setup_headers",
        "MiniMax.setup_connection",
        "AutoSplitterRule.normalize_rule_values",
        "BaseLLM.set_model",
    ),
    *("BedrockCacheControl._accept_cache_tools", "Cohere._normalize_strict_tools"),
    *("HumanFeedbackTool.update_description", "MemoryStoreTool.describe_memories"),
    "Stagehand.warn_on_cross_provider_fallback",
}
CHECKED_ELSEWHERE = {
    "Flow.validate_nodes",  # checks.py
    "NodeDependency.validate_trigger",  # checks.py
    "Node.validate_streaming_vs_error_handling_timeout",  # only with a queue, which a flow cannot contain
    "DetectorConfig._connection_matches_kind",
    "PromptInjectionHook._detector_takes_a_message",
}
KNOWN = {
    # The SDK accepts an object that it has built as a list: pydantic iterates over its fields.
    *(("list of anything", field) for field in ("choices", "installed_packages", "format_schema", "parameters")),
    *(("list of anything", f"{kind}headers_to_split_on") for kind in ("", "markdown_", "html_")),
    # The provider's adapter decides.
    ("provider", "diarize"), ("provider", "timestamps"), ("provider", "sample_rate"), ("provider", "prompt"),
    ("provider", "speed"), ("provider", "language"), ("provider", "output_format"), ("provider", "instructions"),
}  # fmt: skip
SPEECH = ("dynamiq.nodes.audio.SpeechToText", "dynamiq.nodes.audio.TextToSpeech")


@pytest.fixture(scope="module")
def refusal(sdk_python: Path) -> Iterator[Callable[[dict], str | None]]:
    """The reason why the SDK does not load a flow. One process loads all, as importing the SDK takes twenty seconds."""
    names = {field.env for name in CONNECTIONS for field in (catalogue.connection_fields(name) or {}).values()}
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env |= {name: "1" for name in names if name and name not in ("STEELBROWSER_BASE_URL", "MILVUS_URI")}
    env |= dict.fromkeys(("PINECONE_CLOUD", "PINECONE_REGION", "PINECONE_ENVIRONMENT", "PINECONE_POD_TYPE"), "1")
    command = [sdk_python, SCRIPT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdin
        assert process.stdout

        def ask(flow: dict) -> str | None:
            process.stdin.write(json.dumps(flow) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


CONNECTIONS = [
    name for name, row in schemas.rows().items() if "dynamiq.connections.BaseConnection" in row.get("above", ())
]


def errors(flow: dict) -> list[str]:
    return [f"{problem.path} {problem.message}" for problem in problems(flow) if problem.severity == "error"]


def differs(flow: dict, refusal: Callable[[dict], str | None]) -> str | None:
    """The answers of both, if exactly one of them loads the flow."""
    ours, theirs = errors(flow), refusal(flow)
    return None if bool(ours) == bool(theirs) else f"ours {ours}, theirs {theirs}"


def real_flows() -> list[dict]:
    flows = [json.loads(FLOW)]
    for text in CONFIGS.values():
        workflows = yaml.safe_load(text)["workflows"]
        flows += [json.loads(import_config(text, workflow, 1 << 20)[0]) for workflow in workflows]
    return flows


def objects_in(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths of all objects that have a class."""
    if isinstance(value, dict):
        if isinstance(value.get("type"), str) and "." in value["type"]:
            yield path
        children = value.items()
    else:
        children = enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        if key not in ("schema", "response_format", "agent_factory"):
            yield from objects_in(child, (*path, key))


def changed(flow: dict, path: tuple, change: Callable[[dict], object]) -> dict:
    made = copy.deepcopy(flow)
    found = made
    for key in path:
        found = found[key]
    change(found)
    return made


def mutations(flow: dict) -> Iterator[tuple[str, dict]]:
    """Flows with one change each, after the name of the change."""
    chance = random.Random(20)
    for path in objects_in(flow):
        found = flow
        for key in path:
            found = found[key]
        for key in found:
            if key == "id" and len(path) == 2:
                continue  # the light check covers these
            if key != "type" or len(path) > 2:
                yield f"{path} without {key}", changed(flow, path, lambda made, key=key: made.pop(key))
            values = (
                [5, "x", [], True, {"a": 1}] if key not in ("depends", "type", "connection", "flow", "flows") else []
            )
            for value in chance.sample(values, min(3, len(values))):
                yield (
                    f"{path}.{key} = {value}",
                    changed(flow, path, lambda made, key=key, v=value: made.update({key: v})),
                )
        for kind in ("dynamiq.nodes.tools.Nope", "dynamiq.connections.OpenAI", "dynamiq.nodes.tools.Python", "a b.c"):
            yield f"{path} is {kind}", changed(flow, path, lambda made, kind=kind: made.update(type=kind))
        for key, value in (("max_retries", "x"), ("timeout_seconds", -1), ("timeout_seconds", "5"), ("max_retries", 1)):
            handling = {"error_handling": {key: value}}
            yield f"{path} {handling}", changed(flow, path, lambda made, handling=handling: made.update(handling))
    for index, node in enumerate(flow["nodes"]):
        for dependency in node.get("depends", [])[:1]:
            path = ("nodes", index, "depends")
            yield f"{path} twice", changed(flow, path, lambda made, one=dependency: made.append(one))
            for key, value in (("trigger", "never"), ("condition", {"operator": "x"}), ("option", 5), ("more", 1)):
                with_more = {**dependency, key: value}
                yield f"{path} {key}", changed(flow, path, lambda made, one=with_more: made.__setitem__(0, one))
    for key, value in (
        ("id", ""), ("id", 5), ("name", 5), ("max_node_workers", "x"), ("max_node_workers", 2), ("executor", "x"),
        ("checkpoint", {"enabled": "x"}), ("checkpoint", {"backend": {"type": "dynamiq.Nope"}}), ("checkpoint", 5),
        ("checkpoint", {"enabled": True, "backend": {"type": "dynamiq.checkpoints.backends.InMemory"}}),
    ):  # fmt: skip
        yield f"{key} = {value}", changed(flow, (), lambda made, key=key, value=value: made.update({key: value}))


@pytest.mark.load
def test_validation_refuses_a_changed_flow_exactly_when_the_sdk_does(refusal):
    tried, wrong = 0, []
    for flow in real_flows():
        assert differs(flow, refusal) is None
        for what, made in mutations(flow):
            tried += 1
            if (found := differs(made, refusal)) is not None:
                wrong.append(f"{what}: {found}")

    assert wrong == []
    assert tried > 1000


@pytest.mark.load
def test_validation_accepts_the_same_field_values_of_each_class_as_the_sdk(refusal):
    """Each kind of field is tried once with many values, and once without it if it is required."""
    tried, wrong, seen = 0, [], set()
    for name in samples.nodes():
        base = samples.node(name)
        assert differs({"id": "f", "nodes": [base]}, refusal) is None, name
        for key, found in samples.own_fields(name).items():
            if (kind := (key, json.dumps(found))) in seen or is_known(name, key):
                continue
            seen.add(kind)
            values = [
                {**base, key: value} for value in samples.VALUES if key != "connection" or not isinstance(value, str)
            ]
            for node in (*values, {kept: value for kept, value in base.items() if kept != key}):
                tried += 1
                if (differs({"id": "f", "nodes": [node]}, refusal)) is not None:
                    wrong.append(f"{name}.{key}: {differs({'id': 'f', 'nodes': [node]}, refusal)}")

    assert wrong == []
    assert tried > 10_000


def is_known(name: str, key: str) -> bool:
    return ("list of anything", key) in KNOWN or (name in SPEECH and ("provider", key) in KNOWN)


@pytest.mark.parametrize("name", CONNECTIONS)
def test_validation_accepts_the_same_connections_as_the_sdk(refusal, name):
    if schemas.rows()[name].get("abstract"):
        return
    base = {"type": name, **samples.sample(name)}
    for key in samples.schema(name)["properties"]:
        for value in ("x", 5, [], {"a": 1}, None, True) if key not in ("id", "type") else ():
            node = {"id": "n", "type": "dynamiq.nodes.tools.Python", "code": "x", "connection": {**base, key: value}}
            assert differs({"id": "f", "nodes": [node]}, refusal) is None, key
    for key in base:
        connection = {kept: value for kept, value in base.items() if kept != key or key == "type"}
        node = {"id": "n", "type": "dynamiq.nodes.tools.Python", "code": "x", "connection": connection}
        assert differs({"id": "f", "nodes": [node]}, refusal) is None, key


def test_each_validator_of_the_sdk_has_a_rule_or_never_refuses():
    named = {rule for row in schemas.rows().values() for rule in row.get("rules", ())}

    assert named - RULES.keys() - NEVER_REFUSES - CHECKED_ELSEWHERE == ASKS_PROVIDER | ASKS_MODEL
