"""Prepares `flowpin up` to run apps: runtimes, folders, a key for variables, and an access key for callers."""

import asyncio
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib import request as http
from uuid import UUID

from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import DataFolder, Ports
from flowpin_cli.machine.processes import Account
from flowpin_cli.postgres.socket_folder import socket_folder
from flowpin_cli.rest.trust import context_of
from flowpin_cli.runtimes.folder import Runtimes, runtimes_of
from flowpin_cli.runtimes.registry import Registry

VARIABLE_KEY_FILE = "variables.key"
OFFLINE_KEY_FILE = "offline.key"
ACCESS_KEY_FILE = "access-key"
ACCESS_KEY_NAME = "flowpin up"
CALL_SECONDS = 10.0


def how_apps_run(option: str) -> str:
    """The hint for the person at the terminal if no runtime is installed."""
    return f"Apps are records here. `flowpin runtime install{option}` installs what they run in; then start again.\n"


@dataclass(frozen=True)
class Apps:
    """The settings with which apps run on this machine."""

    folder: DataFolder
    runtimes: Runtimes
    sockets: Path

    def deploy_settings(self, ports: Ports, environ: Mapping[str, str]) -> dict[str, str]:
        """Settings of the deploy service, except those in the environment."""
        settings = {
            "DEPLOY_ROLLOUT_DRIVER": "local",
            "DEPLOY_APPS_DOMAIN": f"{_apps_url(ports)}/{{app}}",
            "DEPLOY_VARIABLE_KEYS": self._key(VARIABLE_KEY_FILE),
        }
        return {name: value for name, value in settings.items() if name not in environ}

    def run_settings(self) -> dict[str, str]:
        return {
            "RUN_HOST_SOCKET": str(self._socket),
            "RUN_RUNTIMES": str(self.runtimes.path),
            "RUN_OFFLINE_FOLDER": str(self.folder.path / "offline"),
            "RUN_OFFLINE_KEYS": self._key(OFFLINE_KEY_FILE),
        }

    def host_settings(self) -> dict[str, str]:
        newest = self.runtimes.all()[0]
        return {
            "RUN_HOST_SOCKET": str(self._socket),
            "RUN_HOST_FOLDER": str(self.folder.path / "apps"),
            "RUN_PRELOAD": str(self.runtimes.of(newest.version)),
        }

    async def variables(self, ports: Ports, token: str, project_id: UUID) -> dict[str, str]:
        """Variables for callers of apps: the URL of apps, and an access key of the project, which is created once."""
        key = self.folder.secret(ACCESS_KEY_FILE)
        if key is None:
            key = await asyncio.to_thread(_new_access_key, ports, token, project_id)
            self.folder.keep_secret(ACCESS_KEY_FILE, key)
        return {"FLOWPIN_APPS_URL": _apps_url(ports), "FLOWPIN_ACCESS_KEY": key, "DYNAMIQ_ACCESS_KEY": key}

    async def register(self, ports: Ports, token: str) -> str | None:
        """Register the installed runtimes, so that deployments pin their locks. Returns a sentence if that was
        refused."""
        try:
            await asyncio.to_thread(Registry(ports.url_of(ports.gateway), token, ports.ca).register, self.runtimes)
        except CannotRun as problem:
            return f"The runtimes' locks are not registered, so deployments do not pin them: {problem}\n"
        return None

    def told(self, ports: Ports) -> str:
        """A line for the person at the terminal."""
        versions = ", ".join(each.version for each in self.runtimes.all())
        return f"Apps answer at {_apps_url(ports)}/<app id>, with FLOWPIN_ACCESS_KEY, on runtime {versions}.\n"

    @property
    def _socket(self) -> Path:
        return self.sockets / "host" / "socket"

    def _key(self, file: str) -> str:
        """The key for variables. It is created once, and stored in a file that only this user can read."""
        key = self.folder.secret(file)
        if key is None:
            key = secrets.token_hex(32)
            self.folder.keep_secret(file, key)
        return key


@contextmanager
def open_apps(folder: DataFolder, environ: Mapping[str, str]) -> Iterator[Apps | None]:
    """None if no runtime is installed. As root, lets other users pass through the data folder, but not list it, because
    each project's replicas run as a separate user."""
    runtimes = runtimes_of(folder.path, environ)
    if not runtimes.all():
        yield None
        return
    if os.geteuid() == 0:
        folder.path.chmod(0o711)
    with socket_folder(folder, Account(os.geteuid(), os.getegid()), "host-socket") as sockets:
        yield Apps(folder, runtimes, sockets)


def _apps_url(ports: Ports) -> str:
    return f"{ports.url_of(ports.apps)}/apps"


def _new_access_key(ports: Ports, token: str, project_id: UUID) -> str:
    """Create an access key through the gateway. Uses only the standard library, because a process that forks must not
    load gRPC."""
    body = json.dumps({"project_id": str(project_id), "name": ACCESS_KEY_NAME}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    call = http.Request(f"{ports.url_of(ports.gateway)}/v1/access-keys", body, headers)  # noqa: S310 - http to ourselves
    try:
        with http.urlopen(call, timeout=CALL_SECONDS, context=context_of(ports.ca)) as answer:  # noqa: S310
            return str(json.load(answer)["data"]["key"])
    except (OSError, ValueError, KeyError) as error:
        said = ""
        with suppress(Exception):
            said = error.read().decode()[:500]  # type: ignore[union-attr]
        raise CannotRun(f"no access key could be made for callers of apps: {error} {said}") from None
