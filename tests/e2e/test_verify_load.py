"""`flowpin verify --load` finds no violation under faults, and finds each guard that is removed from the product."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowpin_cli.verify.load.at_rest import AT_REST
from flowpin_cli.verify.load.history import CHECKS
from flowpin_cli.verify.load.options import LoadOptions
from flowpin_cli.verify.load.report import RECOVERY
from flowpin_cli.verify.load.run import load
from tests.support.hosting.host_process import standin_runtimes
from tests.support.patched_product import Patch, patched_product
from tests.support.paths import ROOT
from tests.support.up_process import flowpin
from tests.support.waiting import wait_until

IN_PAIRS = "CASE WHEN {number} < 5 THEN {number} ELSE (({number} - 1) # 1) + 1 END"
"""SQL that swaps the order of numbers: 6 before 5, 8 before 7, and so on."""


@dataclass(frozen=True)
class Broken:
    """A product without a guard: its patches, the checks that must find it, the faults, and the seconds."""

    patches: tuple[Patch, ...]
    checks: set[str]
    faults: tuple[str, ...] = ("reset",)
    seconds: float = 6
    runs_apps: bool = False


WITHOUT = {
    "the check of the base": Broken(
        (Patch("workflow_service/conflicts.py", "if latest.id not in base.version_ids:", "if False:"),),
        {"one winner a base"},
    ),
    "numbers of versions that grow": Broken(
        (
            Patch(
                "workflow_service/repository/version_inserts.py",
                "SELECT w.project_id, w.before + new.place AS number,",
                f"SELECT w.project_id, {IN_PAIRS.format(number='(w.before + new.place)')} AS number,",
            ),
        ),
        {"save order"},
    ),
    "numbers of deployments that grow": Broken(
        (
            Patch(
                "deploy_service/repository/deployment_inserts.py",
                "RETURNING a.project_id, a.id, a.deployment_count AS number",
                f"RETURNING a.project_id, a.id, {IN_PAIRS.format(number='a.deployment_count')} AS number",
            ),
        ),
        {"deploy order"},
    ),
    "a separate query for each read of an app": Broken(
        (
            Patch(
                "deploy_service/app_reads.py",
                "return await self._found.get((projects, app_id))",
                "return self.__dict__.setdefault(app_id, await self._found.get((projects, app_id)))",
            ),
        ),
        {"live forward"},
    ),
    "the version's id in the cache of versions": Broken(
        (
            Patch("workflow_service/version_cache.py", "self._kept.get(state.id)", "self._kept.get(workflow_id)"),
            Patch("workflow_service/version_cache.py", "self._kept[version.id] =", "self._kept[workflow_id] ="),
        ),
        {"reads exact"},
    ),
    "the bytes that were sent": Broken(
        (
            Patch(
                "workflow_service/repository/version_inserts.py",
                "lambda new, place: new.content.flow)",
                'lambda new, place: new.content.flow.replace(b"1E+2", b"100"))',
            ),
        ),
        {"saves kept"},
    ),
    "the version that a deploy asks for": Broken(
        (
            Patch(
                "deploy_service/deploying.py",
                "project.id, asked.workflow_id, asked.version_id, known)",
                "project.id, asked.workflow_id, None, None)",
            ),
        ),
        {"deploys kept"},
    ),
    "the last good access file": Broken(
        (
            Patch(
                "service_kit/access/registry.py",
                "if principal is None or not",
                "if principal is None or self.error or not",
            ),
        ),
        {"true refusals"},
        ("access-file",),
    ),
    "a service that is started again": Broken(
        (
            Patch(
                "flowpin_cli/machine/supervisor.py", "            child.before_restart()\n            child.start()", ""
            ),
        ),
        {"recovery"},
        ("kill",),
        20,
    ),
    "an immediate restart": Broken(
        (Patch("flowpin_cli/machine/supervisor.py", "FIRST_PAUSE_SECONDS * 2 **", "100 * 2 **"),),
        {"recovery"},
        ("kill",),
        20,
    ),
    "audit events of rollbacks": Broken(
        (
            Patch(
                "deploy_service/repository/deployment_inserts.py",
                "WHERE action IS NOT NULL",
                "WHERE action <> 'RollbackApp'",
            ),
        ),
        {"at rest"},
    ),
    "the kept answers of idempotency keys": Broken(
        (
            Patch(
                "service_kit/idempotency/__init__.py",
                "await repository.insert_answer(db, scope, await self._digest(), answer.SerializeToString())",
                "pass",
            ),
        ),
        {"saves once", "deploys once", "keys once"},
    ),
    "the comparison of ETags": Broken(
        (Patch("service_kit/http/headers.py", "return given.strip() ==", "return bool(given) or given.strip() =="),),
        {"etags"},
    ),
    "the state of cached versions": Broken(
        (
            Patch(
                "workflow_service/version_cache.py",
                "return self.revision == state.revision and self.current == state.current",
                "return True",
            ),
        ),
        {"latest forward"},
    ),
    "the routes that a router has acknowledged": Broken(
        (
            Patch("run_service/supply/route_table.py", "from collections.abc", "import asyncio\nfrom collections.abc"),
            Patch(
                "run_service/supply/route_table.py",
                "self._routes[changed[-1].app_id] = changed[-1]",
                "asyncio.get_running_loop().call_later(0.5, self._routes.__setitem__, changed[-1].app_id, changed[-1])"
                " if changed[-1].app_id in self._routes else self._routes.__setitem__(changed[-1].app_id, changed[-1])",
            ),
        ),
        {"calls routed"},
        seconds=12,
        runs_apps=True,
    ),
    "a replica of exactly the pinned version": Broken(
        (
            Patch(
                "run_service/supply/replicas.py",
                "return self._group(self._serving.get(pin.deployment_id, pin.made_from), pin.deployment_id)",
                "return next(g for made, g in self._groups.items() if made.app_id == pin.made_from.app_id)",
            ),
        ),
        {"calls exact"},
        seconds=12,
        runs_apps=True,
    ),
    "the routes while the deploy service is away": Broken(
        (
            Patch(
                "run_service/supply/route_feed.py",
                "            CONNECTED.set(0)",
                "            CONNECTED.set(0)\n            self._table.is_known = False",
            ),
            Patch("run_service/supply/route_feed.py", "FIRST_PAUSE_SECONDS = 0.1", "FIRST_PAUSE_SECONDS = 6"),
        ),
        {"calls answered"},
        ("kill",),
        20,
        runs_apps=True,
    ),
    "one moment for both spans of a cut-over": Broken(
        (
            Patch(
                "deploy_service/repository/deployment_inserts.py",
                "coalesce(ended.live_to, clock_timestamp())",
                "clock_timestamp() + interval '1 ms'",
            ),
        ),
        {"live spans"},
    ),
}

LOST = {"saves kept", "deploys kept"}
"""The checks that find commits lost in a crash of Postgres. A setting of Postgres causes it, without a patch."""


def test_every_check_of_verify_load_has_a_broken_product():
    found = LOST.union(*(broken.checks for broken in WITHOUT.values()))

    assert found == {*CHECKS, RECOVERY, AT_REST}


def options(folder: Path, seconds: float, *faults: str, **more: object) -> LoadOptions:
    return LoadOptions(
        **{"environ": os.environ, **more},
        seconds=seconds,
        seed=1,
        savers=4,
        deployers=2,
        faults=faults,
        history=folder / "history.jsonl",
    )


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.slow
@pytest.mark.load
def test_twenty_seconds_of_faults_cause_no_violation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FLOWPIN_RUNTIMES", str(standin_runtimes(tmp_path)))
    history = tmp_path / "history.jsonl"
    words = ["--load", "20s", "--fault", "kill,kill-apps,reset", "--seed", "1", "--savers", "4", "--deployers", "2"]

    ran = flowpin("verify", *words, "--history", str(history), "--json")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    assert report["called_apps"] is True
    assert report["calls"]["apps call"]["answered"] > 50
    assert set(report["faults"]) == {"kill", "kill-apps", "reset"}
    assert sum(kind["answered"] for kind in report["calls"].values()) > 200
    assert len(history.read_text().splitlines()) > 200


@pytest.mark.faults
async def test_verify_load_finds_commits_lost_without_synchronous_commit(tmp_path: Path):
    settings = {"synchronous_commit": "off", "wal_writer_delay": "1s"}

    report = await load(options(tmp_path, 20, "kill", postgres_settings=settings))

    assert {violation.check for violation in report.violations} >= LOST


@pytest.mark.faults
@pytest.mark.parametrize("guard", WITHOUT)
async def test_verify_load_finds_a_removed_guard(tmp_path: Path, guard: str):
    broken = WITHOUT[guard]

    environ = patched_product(tmp_path / "product", *broken.patches)
    if broken.runs_apps:
        environ["FLOWPIN_RUNTIMES"] = str(standin_runtimes(tmp_path))
    report = await load(options(tmp_path, broken.seconds, *broken.faults, environ=environ))

    assert broken.checks <= {violation.check for violation in report.violations}, report.violations[:5]


@pytest.mark.slow
@pytest.mark.load
def test_an_interrupted_verify_load_removes_its_installation(tmp_path: Path):
    words = ["verify", "--load", "1m", "--fault", "freeze,full-disk", "--history", str(tmp_path / "history.jsonl")]
    environ = {**os.environ, "TMPDIR": str(tmp_path / "installations")}
    (tmp_path / "installations").mkdir()
    process = subprocess.Popen([sys.executable, "-P", "-m", "flowpin_cli", *words], cwd=ROOT, env=environ)
    wait_until(lambda: "fault" in read(tmp_path / "history.jsonl"), 60)

    process.terminate()

    assert process.wait(40) == 2
    assert list((tmp_path / "installations").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--load", "soon"], "20s, 5m or 1h"),
        (["--load", "1s", "--fault", "flood"], "kill, freeze"),
        (["--load", "1s", "--data", "nowhere"], "FLOWPIN_URL"),
        (["--load", "1s", "--workers", "2"], "--fault starts"),
    ],
)
def test_verify_load_that_cannot_run_says_why_and_exits_with_2(words: list[str], said: str):
    ran = flowpin("verify", *words)

    assert ran.returncode == 2
    assert said in ran.stderr
