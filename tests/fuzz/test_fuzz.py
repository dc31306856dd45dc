"""The gateway answers any request as its OpenAPI document says."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.apps.installation import Installation, running_installation
from tests.support.paths import ROOT
from tests.support.stack import Stack

SCHEMATHESIS = Path(sys.executable).with_name("st")
SEEDED, RUNS = 20, 5


@pytest.fixture(autouse=True)
def logged() -> Iterator[list]:
    with capture_logs() as lines:
        yield lines


async def seed(stack: Stack, folder: Path) -> None:
    """Create things for Schemathesis to find. Their ids are written to files that its configuration names."""
    project = stack.people.staged
    workflows = [(await stack.workflow(saves=2, project=project))[0]["id"] for _ in range(SEEDED)]
    apps = [await stack.app(workflow, project_id=str(project)) for workflow in workflows]
    calls = [await stack.rest("POST", f"/v1/apps/{app['id']}/invoke", {"input": {}}) for app in apps[:RUNS]]
    assert {call.status for call in calls} == {200}
    new = [{"version": str(number), "label": "fuzz"} for number in range(SEEDED)]
    runtimes = [await stack.ok("POST", "/v1/runtimes", each, token="operator") for each in new]
    ids = {
        "project_id": [str(project)],
        "workflow_id": workflows,
        "runtime_id": [each["id"] for each in runtimes],
        "app_id": [app["id"] for app in apps],
        "run_id": [call.body["id"] for call in calls],
        "deployment_id": [app["latest_deployment_id"] for app in apps],
    }
    for name, found in ids.items():
        (folder / f"{name}.txt").write_text("\n".join(f'"{each}"' for each in found))
    shutil.copy(Path(__file__).with_name("schemathesis.toml"), folder)


@pytest.fixture
async def installation(database_urls: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Installation]:
    """An installation with a run service and a stand-in runtime. It waits for rollouts less than Schemathesis."""
    async with running_installation(database_urls, tmp_path, deploy={"wait_seconds": 5}, wake_seconds=5) as running:
        yield running


@pytest.mark.fuzz
async def test_schemathesis_finds_no_answer_that_the_openapi_document_does_not_describe(
    installation: Installation, tmp_path: Path, logged: list
):
    stack = installation.stack
    await seed(stack, tmp_path)
    logged.clear()

    process = await asyncio.create_subprocess_exec(
        SCHEMATHESIS, "--config-file", tmp_path / "schemathesis.toml",
        "run", "--seed", "1", f"http://127.0.0.1:{stack.gateway_port}/openapi.json",
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FLOWPIN_TOKEN": stack.people.secret("operator")},
    )  # fmt: skip
    output, _ = await process.communicate()

    print(output.decode())  # noqa: T201 - what it found
    assert process.returncode == 0
    assert [line for line in logged if line["log_level"] in ("error", "critical")] == []
    succeeded = {
        line["rpc"].rpartition("/")[2] for line in logged if line["event"] == "rpc_handled" and line["code"] == "OK"
    }
    assert {
        "CreateWorkflow",
        "SaveWorkflow",
        "CreateApp",
        "GetDeployment",
        "GetRun",
    } <= succeeded
