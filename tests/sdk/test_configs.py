"""The SDK itself loads and runs exported configs, in its own Python."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.paths import DATA, ROOT
from workflow_service.dynamiq_config import catalogue
from workflow_service.dynamiq_config.config import Config
from workflow_service.dynamiq_config.exporting import export_config, text_of
from workflow_service.dynamiq_config.importing import import_config
from workflow_service.dynamiq_config.loadable import loadable_of

pytestmark = pytest.mark.sdk

CONFIGS = {path.stem: path.read_text() for path in [*sorted((DATA / "configs").glob("*.yaml")), DATA / "config.yaml"]}
WORKFLOWS = [(name, workflow) for name, text in CONFIGS.items() for workflow in yaml.safe_load(text)["workflows"]]
INPUTS = {
    "decisions": {"orders": [{"amount": 50}, {"amount": 200}], "count": 2},
    "config": {"price": 2.5, "quantity": 4},
}
SCRIPTS = ROOT / "tests" / "support" / "sdk"
LIMIT = 1 << 20


def sdk(python: Path, script: str, requests: object) -> list:
    """The output of a script of tests/support/sdk, run with the Python of the SDK."""
    ran = subprocess.run(
        [python, SCRIPTS / script],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout)


def exported(text: str, workflow: str | None = None) -> str:
    return export_config(json.loads(import_config(text, workflow, LIMIT)[0]), 3)[0]


def loadable(text: str, workflow: str | None = None) -> str:
    """The config that replicas load. It is JSON, and so also YAML."""
    document = loadable_of(import_config(text, workflow, LIMIT)[0])
    assert document is not None
    return document.decode()


def dummies(text: str) -> dict[str, str]:
    """A value for each variable without a default. OPENAI_API_KEY is read even when no variable is named."""
    return dict.fromkeys([*re.findall(r'oc\.env:\s*(\w+)(?:}|,"")', text), "OPENAI_API_KEY"], "1")


@pytest.fixture(scope="session")
def answers(sdk_python: Path) -> dict[tuple[str, str, str], dict]:
    """Each workflow of each config, before and after export, and as replicas load it.

    One process loads them all, as importing the SDK takes long.
    """
    asked, requests = [], []
    for name, workflow in WORKFLOWS:
        after, loaded = exported(CONFIGS[name], workflow), loadable(CONFIGS[name], workflow)
        texts = (("before", CONFIGS[name], workflow), ("after", after, None), ("loaded", loaded, None))
        for when, text, picked in texts:
            asked.append((name, workflow, when))
            requests.append({"text": text, "workflow": picked, "env": dummies(text), "input_data": INPUTS.get(name)})
    return dict(zip(asked, sdk(sdk_python, "load_configs.py", requests), strict=True))


@pytest.mark.parametrize(("name", "workflow"), WORKFLOWS)
def test_the_sdk_loads_an_exported_config(answers, name, workflow):
    after = answers[name, workflow, "after"]

    assert after.get("error") is None
    assert after["version"] == "3"


@pytest.mark.parametrize(("name", "workflow"), [pair for pair in WORKFLOWS if pair[0] != "families"])
def test_the_sdk_loads_an_imported_and_exported_config_as_before(answers, name, workflow):
    before, after = (answers[name, workflow, when] for when in ("before", "after"))

    assert before.get("error") is None
    assert after["nodes"] == before["nodes"]


@pytest.mark.parametrize(("name", "workflow"), [pair for pair in WORKFLOWS if pair[0] != "families"])
def test_replicas_load_the_same_config_that_was_imported(answers, name, workflow):
    before, loaded = (answers[name, workflow, when] for when in ("before", "loaded"))

    assert loaded.get("error") is None
    assert loaded["nodes"] == before["nodes"]


@pytest.mark.parametrize("name", INPUTS)
def test_an_exported_flow_without_keys_runs_to_the_same_output(answers, name):
    (workflow,) = yaml.safe_load(CONFIGS[name])["workflows"]
    before, after, loaded = (answers[name, workflow, when] for when in ("before", "after", "loaded"))

    assert before["status"] == after["status"] == loaded["status"] == "success"
    assert after["output"] == loaded["output"] == before["output"]


@pytest.mark.load
def test_the_sdk_loads_a_connection_of_any_class_when_its_variables_are_set(sdk_python):
    """Both exports are tried: of an inline connection full of secrets, and of the id of a connection."""
    secret = "sk-canary"
    nodes = []
    for node_type in catalogue.node_types():
        for index, kind in enumerate(catalogue.accepted_connections(node_type.type)):
            fields = dict.fromkeys(catalogue.connection_fields(kind) or (), secret)
            inline = {"type": kind, **fields, "headers": {"Authorization": secret}}
            nodes.append({"id": f"{node_type.type}-{index}", "type": "my.Node", "connection": inline})
        if catalogue.accepted_connections(node_type.type):
            nodes.append({"id": node_type.type, "type": node_type.type, "connection": f"id of {node_type.type}"})
    text = text_of(Config({"nodes": nodes}))

    assert secret not in text
    # This class refuses both together.
    env = {**dummies(text), "STEEL_API_KEY": "1", "STEELBROWSER_BASE_URL": ""}
    (answer,) = sdk(sdk_python, "load_configs.py", [{"text": text, "workflow": None, "env": env, "connections": True}])
    assert answer.get("error") is None
    assert len(answer["connections"]) == len(yaml.safe_load(text)["connections"])
