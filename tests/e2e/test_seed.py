"""Data of `flowpin seed` is the same as if it had been saved and deployed through the API."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.support.up_process import Up, call, flowpin, workflow_names
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

VERSIONS = 25
ARCHIVED = [4, 8, 12, 16, 20, 24]


@dataclass
class Seeded:
    up: Up
    made: dict[str, Any]

    @property
    def env(self) -> dict[str, str]:
        return self.up.env

    @property
    def workflow_id(self) -> str:
        return str(self.made["workflows"][0]["id"])

    def get(self, path: str) -> Any:
        return call(self.env, "GET", path)["data"]

    def post(self, path: str, body: object) -> Any:
        return call(self.env, "POST", path, body)["data"]

    def numbers(self, workflow_id: str, query: str) -> list[int]:
        return [row["version"] for row in self.get(f"/v1/workflows/{workflow_id}/versions?{query}")]


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    up = Up(tmp_path_factory.mktemp("seed") / "data").start().ready()
    words = ("--workflows", "3", "--versions", str(VERSIONS), "--archived-every", "4", "--apps", "4", "--json")
    done = flowpin("seed", "--data", str(up.data), *words)
    assert done.returncode == 0, done.stderr
    yield Seeded(up, json.loads(done.stdout))
    up.end()


def test_seed_prints_the_ids_of_the_first_the_middle_and_the_last_version(seeded: Seeded):
    assert len(seeded.made["workflows"]) == 3
    for workflow in seeded.made["workflows"]:
        for name, number in (("first", 1), ("middle", 13), ("last", VERSIONS)):
            version = seeded.get(f"/v1/workflows/{workflow['id']}/versions/{workflow[name]['id']}")
            assert (version["version"], version["current"]) == (number, number == VERSIONS)
            assert UUID(version["id"]).version == 7


def test_a_seeded_version_has_the_same_digest_as_a_save_of_its_flow(seeded: Seeded):
    body = {"name": "by-rest", "project_id": seeded.env["FLOWPIN_PROJECT_ID"], "flow": {"nodes": []}, "flow_ui": {}}
    by_rest = seeded.post("/v1/workflows", body | {"flow": {"nodes": [{"id": "n", "type": "x.Y"}]}})["id"]

    for workflow in seeded.made["workflows"]:
        for number in (1, 2, 3, 13, VERSIONS):
            version = seeded.get(f"/v1/workflows/{workflow['id']}/versions/{number}")
            content = {"flow": version["flow"], "flow_ui": version["flow_ui"]}
            saved = seeded.post(f"/v1/workflows/{by_rest}/save", content)
            assert saved["digest"] == version["digest"]


def test_a_save_of_a_seeded_flow_is_identical_to_the_seeded_version(seeded: Seeded):
    workflow_id = seeded.made["workflows"][2]["id"]
    last = seeded.get(f"/v1/workflows/{workflow_id}/versions/latest")

    saved = seeded.post(f"/v1/workflows/{workflow_id}/save", {"flow": last["flow"], "flow_ui": last["flow_ui"]})

    assert (saved["version"], saved["identical_to"]) == (VERSIONS + 1, VERSIONS)


def test_seeded_flows_are_valid_and_their_versions_differ_like_edits(seeded: Seeded):
    path = f"/v1/workflows/{seeded.workflow_id}"
    versions = [seeded.get(f"{path}/versions/{number}") for number in range(1, VERSIONS + 1)]

    checked = seeded.post("/v1/workflows/validate", {"flow": versions[-1]["flow"], "flow_ui": {}})
    digests = {version["digest"] for version in versions}
    diff = seeded.get(f"{path}/versions/1/diff/{VERSIONS}")

    assert checked == {"valid": True, "problems": []}
    assert VERSIONS / 2 < len(digests) <= VERSIONS
    assert len({version["description"] for version in versions}) > VERSIONS / 2
    assert diff["nodes"]["changed"] or diff["nodes"]["added"]
    assert len({node["type"] for node in versions[-1]["flow"]["nodes"]}) >= 5


def test_any_page_of_seeded_versions_lists_what_is_not_archived(seeded: Seeded):
    listed = [number for number in range(VERSIONS, 0, -1) if number not in ARCHIVED]
    workflow_id = seeded.workflow_id

    pages = [seeded.numbers(workflow_id, f"page_size=4&page={page}") for page in range(1, 7)]

    assert pages == [listed[start : start + 4] for start in range(0, 24, 4)]
    assert seeded.numbers(workflow_id, "page_size=100&include_archived=true") == list(range(VERSIONS, 0, -1))
    assert seeded.get(f"/v1/workflows/{workflow_id}")["version_count"] == len(listed)
    assert seeded.get(f"/v1/workflows/{workflow_id}/versions/4")["archived_at"] is not None


def test_times_and_ids_of_seeded_versions_rise_with_their_numbers(seeded: Seeded):
    rows = seeded.get(f"/v1/workflows/{seeded.workflow_id}/versions?page_size=100&include_archived=true&sort=version")

    assert [row["created_at"] for row in rows] == sorted({row["created_at"] for row in rows})
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)


def test_versions_of_a_seeded_workflow_can_be_saved_archived_and_unarchived(seeded: Seeded):
    workflow = seeded.made["workflows"][1]
    path, content = f"/v1/workflows/{workflow['id']}", {"flow": {"nodes": [{"id": "n", "type": "x.Y"}]}, "flow_ui": {}}

    saved = seeded.post(f"{path}/save", content)
    archived = seeded.post(f"{path}/versions/{workflow['last']['id']}/archive", {})
    unarchived = seeded.post(f"{path}/versions/4/unarchive", {})

    assert (saved["version"], saved["current"]) == (VERSIONS + 1, True)
    assert ("archived_at" in archived, "archived_at" in unarchived) == (True, False)
    assert seeded.get(path)["version_count"] == VERSIONS + 1 - len(ARCHIVED)


def test_a_seeded_app_serves_the_last_version_rolls_back_and_deploys(seeded: Seeded):
    workflow = seeded.made["workflows"][0]
    app_id = next(app["id"] for app in seeded.made["apps"] if app["workflow_id"] == workflow["id"])
    app, path = seeded.get(f"/v1/apps/{app_id}"), f"/v1/apps/{app_id}"
    history = seeded.get(f"{path}/deployments")

    back = seeded.post(f"{path}/rollback", {})
    order = {"workflow_id": workflow["id"], "workflow_version_id": workflow["last"]["id"]}
    again = seeded.post(f"{path}/deploy", order)

    assert len(seeded.made["apps"]) == 4
    assert app["workflow_version"]["label"] == f"v{VERSIONS}"
    assert [row["workflow_version"]["version"] for row in history] == [VERSIONS, 13, 1]
    assert [row["live_to"] for row in history[1:]] == [row["live_from"] for row in history[:-1]]
    assert (back["kind"], back["workflow_version"]["version"]) == ("rollback", 13)
    assert (again["live"], again["workflow_version"]["version"]) == (True, VERSIONS)


def test_seeded_data_has_its_audit_events(seeded: Seeded):
    events = seeded.get(f"/v1/workflows/{seeded.workflow_id}/audit-events?page_size=100")
    counts = {
        action: sum(event["action"] == action for event in events) for action in ("SaveWorkflow", "ArchiveVersion")
    }

    assert counts == {"SaveWorkflow": VERSIONS, "ArchiveVersion": len(ARCHIVED)}
    assert events[-1]["action"] == "CreateWorkflow"
    assert events[0]["details"] == {"version": f"v{VERSIONS}"}


def test_doctor_finds_no_problem_after_seed(seeded: Seeded):
    done = flowpin("doctor", "--data", str(seeded.up.data))

    assert done.returncode == 0, done.stdout


def test_seed_prints_a_few_ids_and_its_duration(seeded: Seeded):
    done = flowpin("seed", "--data", str(seeded.up.data), "--workflows", "7", "--versions", "1", "--bytes", "2000")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Made 7 versions in ")
    assert done.stdout.count("  workflow ") == 5
    assert "and 2 more workflows and 0 more apps" in done.stdout


def test_seeded_versions_have_about_the_requested_size(seeded: Seeded):
    words = ("--workflows", "1", "--versions", "40", "--bytes", "9000", "--json")
    made = json.loads(flowpin("seed", "--data", str(seeded.up.data), *words).stdout)
    last = seeded.get(f"/v1/workflows/{made['workflows'][0]['id']}/versions/latest")

    size = sum(len(json.dumps(last[name], separators=(",", ":"))) for name in ("flow", "flow_ui"))

    assert 8_000 < size < 12_000


def refused(*words: str) -> str:
    done = flowpin("seed", "--workflows", "1", "--versions", "1", *words)
    assert done.returncode == 1, done.stdout
    return done.stderr


def test_seed_without_a_running_up_says_what_to_start(seeded: Seeded, tmp_path: Path):
    access = ("--access-file", str(seeded.up.data / "access.yaml"))

    assert "there is no access file" in refused("--data", str(tmp_path))
    assert "`flowpin up` does not run on" in refused("--data", str(tmp_path), *access)


def test_seed_refuses_an_unknown_project_and_names_the_existing_ones(seeded: Seeded):
    said = refused("--data", str(seeded.up.data), "--project", str(UUID(int=7)))

    assert f"declares no project {UUID(int=7)}" in said
    assert seeded.env["FLOWPIN_PROJECT_ID"] in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_seed_leaves_no_partial_workflow(seeded: Seeded, number: signal.Signals):
    before = workflow_names(seeded.env)
    words = ("seed", "--data", str(seeded.up.data), "--workflows", "1", "--versions", "100000")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "flowpin_cli", *words],
        stderr=subprocess.PIPE,
        text=True,
        # A background job ignores SIGINT, and its children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    size = database_size(seeded)
    wait_until(lambda: database_size(seeded) > size + 10_000_000, 20)

    process.send_signal(number)
    _, said = process.communicate(timeout=20)

    assert process.returncode != 0
    assert "Traceback" not in said
    assert workflow_names(seeded.env) == before


def database_size(seeded: Seeded) -> int:
    return sum(file.stat().st_size for file in (seeded.up.data / "postgres" / "base").rglob("*") if file.is_file())


async def test_seed_fills_an_existing_postgres_by_its_url(tcp_postgres, tmp_path: Path):
    up = Up(tmp_path / "data").start(database_url=tcp_postgres.url()).ready()
    words = ("--workflows", "1", "--versions", "3", "--data", str(up.data))
    try:
        without = flowpin("seed", *words)
        done = flowpin("seed", *words, "--database-url", tcp_postgres.url(), "--json")
        made = json.loads(done.stdout)
        latest = call(up.env, "GET", f"/v1/workflows/{made['workflows'][0]['id']}/versions/latest")["data"]
    finally:
        up.end()

    assert (without.returncode, "has no Postgres of its own that runs" in without.stderr) == (1, True)
    assert latest["id"] == made["workflows"][0]["last"]["id"]


async def test_seed_refuses_a_database_without_the_schemas(seeded: Seeded, tcp_postgres):
    said = refused("--data", str(seeded.up.data), "--database-url", tcp_postgres.url())

    assert "the schema workflow in" in said
    assert "`flowpin up` runs it" in said
    assert tcp_postgres.password not in said
