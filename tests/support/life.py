"""An installation with a history, whose data folder is lost and restored, and its answers before and after."""

import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from service_kit.access.file import Role
from service_kit.access.tokens import mint_token, revoke_token, service_account
from tests.support.up_process import Up, call

FLOW = b'{ "nodes":[{"type":"x.Y",  "id":"n"}],\n\t"big": 9007199254740993, "nul": "\\u0000", "e": 1E+2, "v": %d }'


@dataclass
class Life:
    """An installation before its data folder was lost, and after its restore."""

    up: Up
    backup: Path
    workflow_id: str = ""
    app_id: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    """The answers before the loss, byte for byte."""
    rights: list[Any] = field(default_factory=list)
    structure: str = ""
    refusals: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)
    """Results of restores onto the existing data folder, by the state of its run."""

    def as_(self, name: str) -> dict[str, str]:
        return self.up.env | {"FLOWPIN_TOKEN": self.tokens[name]}


def body(env: dict[str, str], path: str) -> bytes:
    headers = {"Authorization": f"Bearer {env['FLOWPIN_TOKEN']}"}
    with urllib.request.urlopen(urllib.request.Request(env["FLOWPIN_URL"] + path, headers=headers)) as response:
        return response.read()


def save(env: dict[str, str], workflow_id: str, number: int) -> Any:
    content = b'{"flow": %s, "flow_ui": {}}' % (FLOW % number)
    headers = {"Authorization": f"Bearer {env['FLOWPIN_TOKEN']}"}
    url = f"{env['FLOWPIN_URL']}/v1/workflows/{workflow_id}/save"
    with urllib.request.urlopen(urllib.request.Request(url, content, headers)) as response:
        return json.load(response)["data"]


def deploy(env: dict[str, str], app_id: str, workflow_id: str, **fields: str) -> Any:
    return call(env, "POST", f"/v1/apps/{app_id}/deploy", {"workflow_id": workflow_id, **fields})["data"]


def make(env: dict[str, str]) -> tuple[str, str]:
    """A workflow with a version, and an app that serves it."""
    flow = {"nodes": [{"id": "n", "type": "x.Y"}]}
    fields = {"name": "kept", "project_id": env["FLOWPIN_PROJECT_ID"]}
    workflow_id = call(env, "POST", "/v1/workflows", {**fields, "flow": flow, "flow_ui": {}})["data"]["id"]
    save(env, workflow_id, 1)
    return workflow_id, call(env, "POST", "/v1/apps", {**fields, "workflow_id": workflow_id})["data"]["id"]


def the_main_job(life: Life) -> None:
    env = life.up.env
    life.workflow_id, life.app_id = make(env)
    first = call(env, "GET", f"/v1/workflows/{life.workflow_id}/versions/1")["data"]["id"]
    save(env, life.workflow_id, 2)
    deploy(env, life.app_id, life.workflow_id)
    deploy(env, life.app_id, life.workflow_id, workflow_version_id=first, reason="v2 miscounts")
    workflow, app = f"/v1/workflows/{life.workflow_id}", f"/v1/apps/{life.app_id}"
    paths = [workflow, f"{workflow}/versions", f"{workflow}/versions/1", f"{workflow}/versions/2", app]
    life.bodies = {path: body(env, path) for path in (*paths, f"{app}/deployments")}


def make_tokens(life: Life) -> None:
    life.tokens["admin"] = life.up.env["FLOWPIN_TOKEN"]
    access, roles = life.up.data / "access.yaml", {UUID(life.up.env["FLOWPIN_PROJECT_ID"]): Role.VIEWER}
    for name in ("viewer", "revoked"):
        token = mint_token(access, service_account(access, name).id, roles)
        life.tokens[name] = token.secret
    revoke_token(access, token.id)


@contextmanager
def writing(env: dict[str, str]) -> Iterator[None]:
    """Save and deploy in a loop until the block ends."""
    stop = threading.Event()
    workflow_id, app_id = make(env)

    def work() -> None:
        number = 10
        while not stop.is_set():
            number += 1
            version = save(env, workflow_id, number)
            deploy(env, app_id, workflow_id, workflow_version_id=version["id"])

    writer = threading.Thread(target=work)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()
