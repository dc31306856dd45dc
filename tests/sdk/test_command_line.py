"""The official command line works unchanged with a real `flowpin up`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.sdk.command_line import CommandLine
from tests.support.up_process import PATIENCE, Up, answers, call, flowpin
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sdk

FLOW = ROOT / "flowpin_cli" / "example_flow.json"
INPUT_ONLY = {"id": str(uuid4()), "nodes": [{"id": "input", "name": "input", "type": "dynamiq.nodes.utils.Input"}]}
LISTED = 27
"""More workflows than a page has by default."""


@dataclass(frozen=True)
class Running:
    """A `flowpin up` with a second project of LISTED workflows, and a project in another org."""

    data: Path
    env: dict[str, str]
    busy: str
    foreign_org: str
    foreign: str

    def call(self, method: str, path: str, body: object = None) -> dict:
        return call(self.env, method, path, body)


@pytest.fixture(scope="module")
def running(sdk_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    up = Up(tmp_path_factory.mktemp("sdk") / "data").start()
    try:
        up.ready()
        running = Running(up.data, up.env, busy=str(uuid4()), foreign_org=str(uuid4()), foreign=str(uuid4()))
        declare_more(running)
        for number in range(LISTED):
            body = {"name": f"w-{number}", "project_id": running.busy, "flow": INPUT_ONLY, "flow_ui": {}}
            running.call("POST", "/v1/workflows", body)
        yield running
    finally:
        up.end()


def declare_more(running: Running) -> None:
    path = running.data / "access.yaml"
    access = yaml.safe_load(path.read_text())
    org_id = running.env["FLOWPIN_ORG_ID"]
    access["orgs"].append({"id": running.foreign_org, "name": "Elsewhere"})
    access["projects"].append({"id": running.busy, "name": "busy", "org_id": org_id})
    access["projects"].append({"id": running.foreign, "name": "foreign", "org_id": running.foreign_org})
    path.write_text(yaml.safe_dump(access, sort_keys=False))

    def known() -> bool:
        projects = running.call("GET", f"/v1/projects?org_id={org_id}")["data"]
        return running.busy in [project["id"] for project in projects]

    wait_until(known, PATIENCE)


@pytest.fixture
def dynamiq(sdk_python: Path, running: Running, tmp_path: Path) -> CommandLine:
    return CommandLine(sdk_python, running.env, tmp_path)


@pytest.fixture
def draft(running: Running) -> str:
    """The id of a workflow without a version, as the platform's editor begins one."""
    body = {"name": "draft", "project_id": running.env["FLOWPIN_PROJECT_ID"], "flow": INPUT_ONLY, "flow_ui": {}}
    return running.call("POST", "/v1/workflows", body)["data"]["id"]


@pytest.fixture
def workflow(running: Running) -> str:
    """The id of a workflow with one version."""
    flow = json.loads(FLOW.read_text())
    body = {"name": "saved-before", "project_id": running.env["FLOWPIN_PROJECT_ID"], "flow": flow, "flow_ui": {}}
    workflow_id = running.call("POST", "/v1/workflows", body)["data"]["id"]
    running.call("POST", f"/v1/workflows/{workflow_id}/save", body)
    return workflow_id


def changed_flow(folder: Path) -> str:
    flow = json.loads(FLOW.read_text())
    flow["nodes"][1]["expressions"][0]["expression"] = "price * quantity * 2"
    path = folder / "changed.json"
    path.write_text(json.dumps(flow))
    return f"@{path}"


# identity


def test_whoami_shows_person_org_and_project_with_the_variables_of_env(dynamiq, running):
    said = dynamiq.done("whoami").fields

    me = running.call("GET", "/v1/me")["data"]
    assert me["email"] in said["User"]
    assert me["id"] in said["User"]
    assert said["Token"].strip() == "dyn_... (env DYNAMIQ_API_TOKEN)"
    assert said["Host"].strip() == f"{running.env['FLOWPIN_URL']} (env DYNAMIQ_API_BASE_URL)"
    assert said["Org"].strip() == f"Local [{running.env['FLOWPIN_ORG_ID']}] (env DYNAMIQ_ORG_ID)"
    assert said["Project"].strip() == f"default [{running.env['FLOWPIN_PROJECT_ID']}] (env DYNAMIQ_PROJECT_ID)"


def test_whoami_as_json_finds_no_problem(dynamiq, running):
    report = dynamiq.done("whoami", "--json").json

    assert (report["ok"], report["problems"], report["token"]["accepted"]) == (True, [], True)
    assert report["user"]["email"] == running.call("GET", "/v1/me")["data"]["email"]
    assert report["project"]["org_id"] == report["org"]["id"] == running.env["FLOWPIN_ORG_ID"]


def test_whoami_accepts_the_token_of_a_service_account(dynamiq, running):
    words = ["--service", "robot", "--role", "viewer", "--project", running.env["FLOWPIN_PROJECT_ID"]]
    minted = flowpin("token", "new", *words, "--data", str(running.data)).stdout.split()
    token = next(word for word in minted if word.startswith("dyn_pat_"))
    wait_until(lambda: answers(running.env | {"FLOWPIN_TOKEN": token}), PATIENCE)

    report = dynamiq.done("whoami", "--json", DYNAMIQ_API_TOKEN=token).json

    assert report["user"] is None
    assert "403 from /v1/me" in report["user_note"]


def test_a_wrong_token_is_rejected_and_named(dynamiq, running):
    wrong = "dyn_pat_" + "x" * 43

    whoami = dynamiq.refused("whoami", DYNAMIQ_API_TOKEN=wrong)
    listing = dynamiq.refused("workflow", "list", DYNAMIQ_API_TOKEN=wrong)

    assert f"Token rejected (401) by {running.env['FLOWPIN_URL']}" in whoami.error
    assert whoami.fields["Token"].endswith("REJECTED (401)")
    status, error = listing.http_error
    assert (status, error["code"]) == (401, "unauthorized")


def test_a_selected_org_and_project_are_used_without_variables(dynamiq, running):
    org_id, busy = running.env["FLOWPIN_ORG_ID"], running.busy
    unset = {"DYNAMIQ_ORG_ID": None, "DYNAMIQ_PROJECT_ID": None}

    orgs = dynamiq.done("org", "list", **unset)
    set_org = dynamiq.done("org", "set", "--id", org_id, **unset)
    projects = dynamiq.done("project", "list", **unset)
    set_project = dynamiq.done("project", "set", "--id", busy, **unset)
    whoami = dynamiq.done("whoami", "--json", **unset)

    assert orgs.table == {org_id: "Local"}
    assert set_org.stdout.strip() == f"Current organization set to: {org_id}"
    assert projects.table == {running.env["FLOWPIN_PROJECT_ID"]: "default", busy: "busy"}
    assert set_project.stdout.strip() == f"Current project set to: {busy}"
    assert whoami.json["org"] | whoami.json["project"] == {
        "id": busy, "source": "config file", "accessible": True, "status": 200, "name": "busy", "org_id": org_id,
    }  # fmt: skip


def test_a_foreign_org_or_project_is_a_403_and_an_unknown_project_a_404(dynamiq, running):
    nowhere = str(uuid4())

    foreign_org = dynamiq.refused("org", "set", "--id", running.foreign_org)
    foreign = dynamiq.refused("project", "set", "--id", running.foreign)
    unknown = dynamiq.refused("project", "set", "--id", nowhere)

    assert foreign_org.error == f"Organization {running.foreign_org} is not accessible with this token (403)."
    assert foreign.error == f"Project {running.foreign} is not accessible with this token (403)."
    assert unknown.error == f"Project {nowhere} was not found (404)."


def test_a_project_without_access_can_neither_be_read_nor_changed(dynamiq, running, workflow):
    foreign = {"DYNAMIQ_PROJECT_ID": running.foreign}

    whoami = dynamiq.refused("whoami", "--json", **foreign)
    listing = dynamiq.refused("workflow", "list", **foreign)
    deploy = dynamiq.refused("app", "deploy", "--name", "Elsewhere", "--workflow", workflow, **foreign)

    assert whoami.json["problems"] == [f"Project {running.foreign} is not accessible with this token (403)."]
    assert listing.http_error[0] == 404
    assert deploy.http_error[0] == 404


# workflows


def test_a_list_of_the_command_line_is_the_first_page_with_the_total(dynamiq, running):
    listing = dynamiq.done("workflow", "list", DYNAMIQ_PROJECT_ID=running.busy)

    assert f"note: showing 25 of {LISTED}." in listing.stderr
    assert listing.json["pagination"] == {"page": 1, "page_size": 25, "page_count": 2, "total_count": LISTED}
    assert [row["name"] for row in listing.json["data"]] == [f"w-{n}" for n in range(LISTED - 1, 1, -1)]
    assert "flow" not in listing.json["data"][0]


def test_a_list_of_the_command_line_with_all_reads_every_page(dynamiq, running):
    listing = dynamiq.done("workflow", "list", "--all", "--page-size", "10", DYNAMIQ_PROJECT_ID=running.busy)

    assert listing.json["count"] == LISTED
    assert [row["name"] for row in listing.json["data"]] == [f"w-{n}" for n in range(LISTED - 1, -1, -1)]


def test_a_compact_list_of_the_command_line_has_id_name_and_status(dynamiq, running):
    listing = dynamiq.done("workflow", "list", "--all", "--compact", DYNAMIQ_PROJECT_ID=running.busy)

    assert listing.json["count"] == LISTED
    assert {frozenset(row) for row in listing.json["items"]} == {frozenset({"id", "name", "status"})}
    assert {row["status"] for row in listing.json["items"]} == {"draft"}


def test_a_list_of_the_command_line_shows_the_requested_page(dynamiq, running):
    words = ["--compact", "--page", "6", "--page-size", "5"]

    listing = dynamiq.done("workflow", "list", *words, DYNAMIQ_PROJECT_ID=running.busy)

    assert (listing.json["count"], listing.json["total_count"]) == (2, LISTED)
    assert [row["name"] for row in listing.json["items"]] == ["w-1", "w-0"]


def test_the_command_line_creates_deploys_and_rolls_back_a_workflow(dynamiq, tmp_path):
    changed = changed_flow(tmp_path)

    created = dynamiq.done("workflow", "create", '{"name": "order-total"}').json["data"]
    v1 = dynamiq.done("workflow", "save", created["id"], f"@{FLOW}").json["data"]
    released = dynamiq.done("workflow", "release", created["id"], "--name", "order-total-2").json["data"]
    verified = dynamiq.done("workflow", "verify", created["id"]).json
    deploy = dynamiq.done("app", "deploy", "--name", "Order total", "--workflow", created["id"])
    app = deploy.json["data"]
    v2 = dynamiq.done("workflow", "save", created["id"], changed).json["data"]
    unmoved = dynamiq.done("app", "get", app["id"]).json["data"]
    redeploy = dynamiq.done("app", "redeploy", app["id"], "--workflow", created["id"]).json["data"]
    back = ["--workflow", created["id"], "--version", v1["id"]]
    rollback = dynamiq.done("app", "redeploy", app["id"], *back).json["data"]
    versions = dynamiq.done("workflow", "versions", created["id"]).json
    history = dynamiq.done("app", "deployments", app["id"]).json
    final = dynamiq.done("app", "get", app["id"]).json["data"]

    assert (created["status"], created["version_count"], created["next_version"]) == ("draft", 0, 1)
    assert (v1["version"], v1["label"], v1["current"], v1["workflow_id"]) == (1, "v1", True, created["id"])
    assert (released["name"], released["status"], released["version_count"]) == ("order-total-2", "released", 1)
    assert released["flow"] == json.loads(FLOW.read_text())
    assert (verified["node_count"], verified["has_flow_ui"], verified["problems"]) == (4, True, [])
    assert f"deployed app {app['id']} at {app['hostname']}" in deploy.stderr
    assert (app["workflow_version"]["label"], app["access_control"]) == ("v1", {"access_type": "private"})
    assert app["deployment_config"] == {"deployment_type": "serverless", "config": {}}
    assert (v2["version"], v2["digest"] == v1["digest"]) == (2, False)
    assert unmoved == app
    assert (redeploy["kind"], redeploy["status"], redeploy["live"]) == ("deploy", "succeeded", True)
    assert redeploy["workflow_version_id"] == v2["id"]
    assert (rollback["kind"], rollback["status"], rollback["live"]) == ("rollback", "succeeded", True)
    assert rollback["workflow_version"]["digest"] == v1["digest"]
    assert [(row["id"], row["current"]) for row in versions["data"]] == [(v2["id"], True), (v1["id"], False)]
    assert [(row["kind"], row["workflow_version_id"], row["live"]) for row in history["data"]] == [
        ("rollback", v1["id"], True),
        ("deploy", v2["id"], False),
        ("deploy", v1["id"], False),
    ]
    assert history["pagination"]["total_count"] == 3
    assert (final["hostname"], final["latest_deployment_id"]) == (app["hostname"], rollback["id"])
    assert final["workflow_version_id"] == v1["id"]


def test_the_command_line_reads_a_workflow_as_it_was_created(dynamiq, running, tmp_path):
    flow_ui = dynamiq.done("workflow", "flow-ui", f"@{FLOW}").json
    body = {"name": "whole", "description": "«ü»", "flow": json.loads(FLOW.read_text()), "flow_ui": flow_ui}
    payload = tmp_path / "payload.json"
    payload.write_text(json.dumps(body))

    created = dynamiq.done("workflow", "create", f"@{payload}").json["data"]
    got = dynamiq.done("workflow", "get", created["id"]).json["data"]

    assert got == created
    assert {name: got[name] for name in body} == body
    assert got["project_id"] == running.env["FLOWPIN_PROJECT_ID"]
    assert len(flow_ui["nodes"]) == 4


def test_the_command_line_releases_a_draft_once_and_only_with_more_than_the_starter_node(dynamiq, draft):
    starter = dynamiq.refused("workflow", "release", draft)
    released = dynamiq.done("workflow", "release", draft, "--name", "drafted", "--flow", f"@{FLOW}").json["data"]
    again = dynamiq.refused("workflow", "release", draft)

    assert "still holds only the starter Input node" in starter.error
    assert (released["name"], released["status"], released["latest_version"]["version"]) == ("drafted", "released", 1)
    status, error = again.http_error
    assert (status, error["message"]) == (400, "Only draft workflows can be released.")


def test_workflow_verify_refuses_a_draft_with_the_starter_node_only(dynamiq, draft):
    verified = dynamiq.refused("workflow", "verify", draft)

    assert verified.json["node_count"] == 1
    assert "holds only the starter node" in verified.error


def test_a_flow_is_validated_with_the_node_types_of_the_platform(dynamiq, tmp_path):
    wrong = json.loads(FLOW.read_text())
    wrong["nodes"][1]["type"] = "dynamiq.nodes.operators.Expresion"
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(wrong))

    valid = dynamiq.done("workflow", "validate", f"@{FLOW}")
    invalid = dynamiq.refused("workflow", "validate", f"@{path}")

    assert valid.json == {"valid": True, "nodes": 4}
    assert "could not reach" not in valid.stderr
    assert "'dynamiq.nodes.operators.Expresion' is not a type the platform accepts" in invalid.stderr
    assert invalid.error == "1 problem(s); fix them before saving."


def test_the_command_line_lists_the_node_types_of_a_group(dynamiq, running):
    llms = dynamiq.done("workflow", "node-types", "llms").json

    every = running.call("GET", "/v1/agent-builder/nodes")["data"]
    assert llms == {"data": [row for row in every if row["group"] == "llms"]}
    assert "dynamiq.nodes.llms.OpenAI" in [row["type"] for row in llms["data"]]


def test_the_command_line_shows_the_field_of_a_wrong_name(dynamiq):
    status, error = dynamiq.refused("workflow", "create", '{"name": "Not A Slug"}').http_error

    assert (status, error["code"]) == (400, "bad_request")
    assert "name" in error["details"]


def test_the_command_line_does_not_find_an_unknown_workflow(dynamiq):
    unknown = str(uuid4())

    refusals = [
        dynamiq.refused("workflow", "get", unknown),
        dynamiq.refused("workflow", "get", "no-id"),
        dynamiq.refused("workflow", "save", unknown, f"@{FLOW}"),
    ]

    answers = [refusal.http_error for refusal in refusals]
    assert [(status, error["code"]) for status, error in answers] == [(404, "not_found")] * 3


# apps


def test_a_redeployed_app_keeps_every_option_of_its_first_deployment(dynamiq, running, workflow):
    version = running.call("GET", f"/v1/workflows/{workflow}/versions/latest")["data"]["id"]
    runtime = running.call("GET", "/v1/runtimes")["data"][0]["id"]
    target = {"name": "cpu", "target": {"type": "utilization", "average_utilization": 70}}
    scaling = {"min_replicas": 2, "max_replicas": 5, "metrics": [{"type": "resource", "resource": target}]}
    words = ["--type", "server_based", "--autoscaling", json.dumps(scaling), "--access", "public"]
    words += ["--version", version, "--runtime", runtime, "--description", "All of it"]

    app = dynamiq.done("app", "deploy", "--name", "Scaled", "--workflow", workflow, *words).json["data"]
    redeployed = dynamiq.done("app", "redeploy", app["id"], "--workflow", workflow).json["data"]

    config = {"deployment_type": "server_based", "config": {"autoscaling": scaling}}
    assert (app["deployment_config"], redeployed["deployment_config"]) == (config, config)
    assert (app["workflow_version_id"], redeployed["workflow_version_id"]) == (version, version)
    assert (app["runtime_id"], redeployed["runtime_id"]) == (runtime, runtime)
    assert (app["access_control"], app["description"]) == ({"access_type": "public"}, "All of it")


def test_invalid_scaling_is_refused_with_its_field(dynamiq, workflow):
    words = ["--type", "server_based", "--autoscaling", '{"min_replicas": 3, "max_replicas": 2}']

    refused = dynamiq.refused("app", "deploy", "--name", "Unscaled", "--workflow", workflow, *words)

    status, error = refused.http_error
    assert status == 400
    assert any("replicas" in path for path in error["details"])


def test_apps_are_listed_by_name_by_workflow_and_with_the_archived(dynamiq, running, workflow):
    apps = {}
    for name in ("B", "A", "C"):
        body = {"name": name, "project_id": running.env["FLOWPIN_PROJECT_ID"], "workflow_id": workflow}
        apps[name] = running.call("POST", "/v1/apps", body)["data"]["id"]
    running.call("POST", f"/v1/apps/{apps['C']}/archive")

    here = dynamiq.done("app", "list", "--workflow", workflow).json
    archived = dynamiq.done("app", "list", "--workflow", workflow, "--include-archived", "--all", "--compact").json

    assert [row["name"] for row in here["data"]] == ["A", "B"]
    assert here["pagination"]["total_count"] == 2
    assert [(row["id"], row["name"]) for row in archived["items"]] == [(apps[name], name) for name in "ABC"]


def test_an_app_deleted_by_the_command_line_is_not_found(dynamiq, running, workflow):
    body = {"name": "Gone", "project_id": running.env["FLOWPIN_PROJECT_ID"], "workflow_id": workflow}
    app = running.call("POST", "/v1/apps", body)["data"]["id"]

    deleted = dynamiq.done("app", "delete", app, "--yes")

    assert deleted.json == {"message": "deleted"}
    assert running.call("GET", f"/v1/apps?project_id={body['project_id']}&workflow_id={workflow}")["data"] == []


def test_the_command_line_is_refused_a_deploy_of_something_that_cannot_run(dynamiq, running, draft, workflow):
    body = {"name": "Steady", "project_id": running.env["FLOWPIN_PROJECT_ID"], "workflow_id": workflow}
    app = running.call("POST", "/v1/apps", body)["data"]["id"]
    unknown = str(uuid4())

    never_saved = dynamiq.refused("app", "deploy", "--name", "Never", "--workflow", draft)
    unknown_workflow = dynamiq.refused("app", "redeploy", app, "--workflow", unknown)
    unknown_version = dynamiq.refused("app", "redeploy", app, "--workflow", workflow, "--version", unknown)
    unknown_app = dynamiq.refused("app", "redeploy", unknown, "--workflow", workflow)

    answered = [ran.http_error for ran in (never_saved, unknown_workflow, unknown_version, unknown_app)]
    assert [status for status, _ in answered] == [400, 400, 400, 404]
    assert len({error["details"]["reason"] for _, error in answered}) == 4
    assert running.call("GET", f"/v1/apps/{app}/deployments")["pagination"]["total_count"] == 1
