"""`flowpin demo`: does the main job on a running `flowpin up`, and prints each call and its answer."""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from flowpin_cli.errors import CannotRun
from flowpin_cli.rest import names
from flowpin_cli.rest.calls import Calls
from flowpin_cli.rest.installation import Installation, installation_of, variables_of
from flowpin_cli.rest.trust import context_of

CALL_SECONDS = 30.0
ROLLOUT_SECONDS = 120.0
"""Timeout of a call. The first call of an app after the start waits for the import of the SDK."""
POLL_SECONDS = 0.1

Json = dict[str, Any]


def play(data: Path | None, environ: Mapping[str, str], console: Console) -> None:
    """Raises CannotRun if the server does not answer, refuses, or returns something unexpected."""
    installation = installation_of(data, environ)
    calls = Calls(installation)
    try:
        project_id = names.project_id(calls, None)
    finally:
        calls.close()
    console.print(f"Calls {installation.url}, project {project_id}.", markup=False, highlight=False, soft_wrap=True)
    access_key = variables_of(data, environ).get("FLOWPIN_ACCESS_KEY")
    asyncio.run(_play(installation, project_id, access_key, console))


async def _play(installation: Installation, project_id: str, access_key: str | None, console: Console) -> None:
    async with aiohttp.ClientSession(
        base_url=installation.url,
        headers={"Authorization": f"Bearer {installation.token}"},
        timeout=aiohttp.ClientTimeout(total=CALL_SECONDS),
        connector=aiohttp.TCPConnector(ssl=context_of(installation.ca) or True),
    ) as session:
        await MainJob(session, project_id, access_key, console).play()


class MainJob:
    """The calls of the main job, in order."""

    def __init__(
        self, session: aiohttp.ClientSession, project_id: str, access_key: str | None, console: Console
    ) -> None:
        self._session = session
        self._project_id = project_id
        self._access_key = access_key
        self._console = console
        self._flow = _example("example_flow.json")
        self._flow_ui = _example("example_flow_ui.json")

    async def play(self) -> None:
        self._title("Create a workflow. It is a draft until its first version is saved.")
        body = {"name": "demo-total", "project_id": self._project_id, "flow": self._flow, "flow_ui": self._flow_ui}
        workflow = await self._call("POST", "/v1/workflows", body, show=("id", "name", "status"))

        self._title("Save it three times. Each save is a version that never changes again.")
        versions = [await self._save(workflow["id"], number) for number in (1, 2, 3)]

        self._title("Deploy the latest version as an app.")
        name = f"demo {secrets.token_hex(3)}"
        body = {"name": name, "project_id": self._project_id, "workflow_id": workflow["id"]}
        app = await self._call("POST", "/v1/apps", body, show=("id", "name"))
        await self._succeeded(app["id"], app["latest_deployment_id"])
        await self._check_serves(app["id"], versions[2])

        self._title("Save again. The app still serves what was deployed.")
        versions.append(await self._save(workflow["id"], 4))
        await self._check_serves(app["id"], versions[2])

        self._title("Deploy the new version.")
        await self._deploy(app["id"], workflow["id"], versions[3], kind="deploy")

        self._title("Read the history, newest first.")
        await self._history(app["id"], [versions[3], versions[2]])

        self._title("Roll back: deploy the older version. It is the newest row of the history.")
        await self._deploy(app["id"], workflow["id"], versions[2], kind="rollback")
        await self._history(app["id"], [versions[2], versions[3], versions[2]])
        self._say("\n[bold green]The main job works.[/]")
        if self._access_key is None:
            self._say("Apps are records here; `flowpin runtime install` and a new `flowpin up` let them answer calls.")

    async def _save(self, workflow_id: str, number: int) -> Json:
        flow = json.loads(json.dumps(self._flow).replace("total=", f"total (v{number}) = "))
        body = {"flow": flow, "flow_ui": self._flow_ui, "description": f"the demo's save {number}"}
        path = f"/v1/workflows/{workflow_id}/save"
        version: Json = await self._call("POST", path, body, show=("version", "label", "id"))
        _must(version["version"] == number, f"save {number} was answered with version {version['version']}")
        return version

    async def _deploy(self, app_id: str, workflow_id: str, version: Json, kind: str) -> None:
        body = {"workflow_id": workflow_id, "workflow_version_id": version["id"]}
        path = f"/v1/apps/{app_id}/deploy"
        deployment = await self._call("POST", path, body, show=("id", "kind", "workflow_version.label", "status"))
        _must(deployment["kind"] == kind, f"the deployment is a {deployment['kind']}, not a {kind}")
        await self._succeeded(app_id, deployment["id"])
        await self._check_serves(app_id, version)

    async def _succeeded(self, app_id: str, deployment_id: str) -> None:
        path = f"/v1/apps/{app_id}/deployments/{deployment_id}"
        deadline = time.monotonic() + ROLLOUT_SECONDS
        deployment = await self._call("GET", path)
        while deployment["status"] in ("pending", "deploying") and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            deployment = await self._call("GET", path)
        self._show("GET", path, 200, deployment, ("status", "live", "workflow_version.label"))
        _must(deployment["status"] == "succeeded", f"the deployment {deployment_id} is {deployment['status']}")

    async def _check_serves(self, app_id: str, version: Json) -> None:
        app = await self._call("GET", f"/v1/apps/{app_id}", show=("name", "workflow_version.label"))
        served = app["workflow_version"]["version"]
        _must(served == version["version"], f"the app serves v{served} where v{version['version']} was deployed")
        if self._access_key is not None:
            await self._call_app(app["hostname"], version)

    async def _call_app(self, url: str, version: Json) -> None:
        """Call the app as its users do: with an access key, at the app's URL."""
        body = {"input": {"price": 2.5, "quantity": 4}}
        headers = {"Authorization": f"Bearer {self._access_key}"}
        try:
            async with self._session.post(url, json=body, headers=headers) as response:
                answer = json.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise CannotRun(f"POST {url} got no usable answer: {error}") from None
        served = response.headers.get("X-Flowpin-Version")
        self._say(f"[cyan]POST {url}[/] → {response.status}")
        self._say(f"    [dim]X-Flowpin-Version[/] {served}  [dim]answer[/] {json.dumps(answer)}")
        _must(response.ok, f"the app answers {response.status}")
        _must(served == version["label"], f"the app was called and answered with {served}, not {version['label']}")
        _must("total" in json.dumps(answer["output"]), "the answer has no total")

    async def _history(self, app_id: str, expected: list[Json]) -> None:
        shown = ("kind", "workflow_version.label", "status", "live")
        rows = await self._call("GET", f"/v1/apps/{app_id}/deployments", show=shown)
        versions = [row["workflow_version"]["version"] for row in rows]
        _must(versions == [version["version"] for version in expected], f"the history reads {versions}")
        _must([row["live"] for row in rows] == [True] + [False] * (len(rows) - 1), "not only the newest is live")

    async def _call(self, method: str, path: str, body: Json | None = None, show: tuple[str, ...] = ()) -> Any:
        try:
            async with self._session.request(method, path, json=body) as response:
                answer = json.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise CannotRun(f"{method} {path} got no usable answer: {error}; is `flowpin up` running?") from None
        if not response.ok:
            raise CannotRun(f"{method} {path} was answered with {response.status}: {json.dumps(answer.get('error'))}")
        if show:
            self._show(method, path, response.status, answer["data"], show)
        return answer["data"]

    def _title(self, text: str) -> None:
        self._say(f"\n[bold]{text}[/]")

    def _show(self, method: str, path: str, status: int, data: Any, fields: tuple[str, ...]) -> None:
        self._say(f"[cyan]{method} {path}[/] → {status}")
        for row in data if isinstance(data, list) else [data]:
            self._say("    " + "  ".join(f"[dim]{field}[/] {_field(row, field)}" for field in fields))

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def _field(data: Json, path: str) -> str:
    value: Any = data
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return str(value) if not isinstance(value, bool) else str(value).lower()


def _example(name: str) -> Json:
    example: Json = json.loads(files("flowpin_cli").joinpath(name).read_text())
    return example


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CannotRun(f"this is unexpected: {otherwise}")
