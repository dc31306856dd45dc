"""`flowpin apply` changes an app to what a file says, and nothing when it already matches."""

import asyncio
import re
from pathlib import Path

import pytest

from flowpin_cli import applying
from flowpin_cli.errors import Conflict
from flowpin_cli.rest.calls import Calls
from flowpin_cli.rest.installation import Installation
from tests.support.commands import Commands, commands_of
from tests.support.stack import Stack

pytestmark = pytest.mark.slow


@pytest.fixture
async def flowpin(shared_stack: Stack, tmp_path) -> Commands:
    """The command line in a folder with the name of a workflow that has two versions."""
    await shared_stack.workflow(saves=2, name=name_of(tmp_path))
    return commands_of(shared_stack, tmp_path)


def name_of(folder: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", folder.name).strip("-")


def write(flowpin: Commands, text: str) -> None:
    (flowpin.folder / "app.yaml").write_text(text.replace("order-total", name_of(flowpin.folder)))


async def applied(flowpin: Commands, *words: str) -> tuple[int, str]:
    ran = await flowpin("apply", "-f", "app.yaml", *words)
    return ran.code, ran.out + ran.error


APP = "app: order-total\nworkflow: order-total\nversion: v1\n"


async def test_apply_creates_an_app_then_changes_nothing_then_deploys_a_new_version(flowpin):
    write(flowpin, APP)
    pending = await applied(flowpin, "--dry-run")
    made = await applied(flowpin, "--yes")
    again = await applied(flowpin, "--yes")
    nothing_pending = await applied(flowpin, "--dry-run")
    write(flowpin, APP.replace("v1", "latest"))
    would_move = await applied(flowpin, "--dry-run")
    moved = await applied(flowpin, "--yes")
    rows = (await flowpin.done("app", "history", name_of(flowpin.folder), "--json")).json

    assert (pending[0], made[0], again, nothing_pending[0]) == (6, 0, (0, "Nothing to do.\n"), 0)
    assert would_move[0] == 6
    assert f" v1 → {name_of(flowpin.folder)} v2" in would_move[1]
    assert moved[0] == 0
    assert [row["workflow_version"]["label"] for row in rows] == ["v2", "v1"]


async def test_apply_changes_nothing_without_a_confirmation(flowpin, shared_stack):
    write(flowpin, APP)

    code, said = await applied(flowpin)

    assert code == 2
    assert "--yes" in said
    apps = await shared_stack.ok("GET", f"/v1/apps?project_id={shared_stack.people.project}")
    assert name_of(flowpin.folder) not in [app["name"] for app in apps]


async def test_apply_sets_runtime_config_description_and_access(flowpin):
    write(flowpin, APP)
    await applied(flowpin, "--yes")
    config = "{deployment_type: server_based, config: {autoscaling: {min_replicas: 2}}}"
    more = f'runtime: "0.69"\nconfig: {config}\ndescription: Adds up\naccess: public\n'
    write(flowpin, APP + more)

    changed = await applied(flowpin, "--yes")
    again = await applied(flowpin, "--yes")
    app = (await flowpin.done("app", "get", name_of(flowpin.folder), "--json")).json

    assert changed[0] == 0
    assert again == (0, "Nothing to do.\n")
    assert app["deployment_config"]["config"]["autoscaling"]["min_replicas"] == 2
    assert (app["description"], app["access_control"]["access_type"]) == ("Adds up", "public")


async def test_apply_finds_a_version_by_label_and_by_digest(flowpin, shared_stack):
    digest = (await flowpin.done("workflow", "show", name_of(flowpin.folder), "v1", "--json")).json["digest"]
    await flowpin.done("workflow", "label", name_of(flowpin.folder), "production", "v1")
    write(flowpin, APP.replace("v1", f'"{digest}"'))
    made = await applied(flowpin, "--yes")
    write(flowpin, APP.replace("v1", '"@production"'))

    by_label = await applied(flowpin, "--yes")
    write(flowpin, APP.replace("v1", '"sha256:0"'))
    unknown = await applied(flowpin, "--yes")

    assert made[0] == 0
    assert by_label == (0, "Nothing to do.\n")
    assert unknown[0] == 3


async def test_apply_deploys_a_version_named_by_number_even_with_the_live_digest(flowpin, shared_stack):
    write(flowpin, APP)
    await applied(flowpin, "--yes")
    await flowpin.done("workflow", "restore", name_of(flowpin.folder), "v1")
    write(flowpin, APP.replace("v1", "v3"))

    assert (await applied(flowpin, "--dry-run"))[0] == 6


async def test_apply_refuses_to_deploy_after_another_deploy_since_its_plan(flowpin):
    """Another deploy happens between the plan and the deploy."""
    write(flowpin, APP)
    await applied(flowpin, "--yes")
    app = (await flowpin.done("app", "get", name_of(flowpin.folder), "--json")).json
    write(flowpin, APP.replace("v1", "v2"))
    installation = Installation(flowpin.environ["FLOWPIN_URL"], flowpin.environ["FLOWPIN_TOKEN"], "one")

    def apply_with_a_rival() -> None:
        calls = Calls(installation)
        applying_it = applying.Applying(calls, applying.read_wanted(flowpin.folder / "app.yaml"), None, as_json=True)
        rival = Calls(installation)
        body = {"workflow_id": app["workflow_id"], "reason": "a rival"}
        applying_it._confirm = lambda asks: rival.post(f"/v1/apps/{app['id']}/deploy", body)
        applying_it.run(dry_run=False, asks=True, waits=True)

    with pytest.raises(Conflict):
        await asyncio.to_thread(apply_with_a_rival)
    rows = (await flowpin.done("app", "history", name_of(flowpin.folder), "--json")).json
    assert [row.get("reason") for row in rows] == ["a rival", None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("app: a\nworkflow: w\n", "version is missing"),
        (APP + "enviroment: x\n", "enviroment is not known (is environment meant?)"),
        (APP + "runtime: 0.69\n", 'in quotes: "0.69"'),
        (APP + "access: everyone\n", "access must be private or public"),
        (APP + "config: serverless\n", "config must be a mapping"),
        ("- app\n", "must be a mapping"),
        ("a: [\n", "is not YAML"),
    ],
)
async def test_apply_names_a_wrong_file_and_makes_no_call(tmp_path, text, said):
    flowpin = Commands(tmp_path, {"FLOWPIN_URL": "http://127.0.0.1:9", "FLOWPIN_TOKEN": "x"})
    write(flowpin, text)

    code, out = await applied(flowpin)

    assert code == 2
    assert said in out
