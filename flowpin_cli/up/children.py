"""The command and the environment of each process of one run."""

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flowpin_cli.machine.data_folder import LOOPBACK, DataFolder, Ports
from flowpin_cli.machine.processes import MARK_VARIABLE, Command
from flowpin_cli.machine.supervisor import Child
from flowpin_cli.postgres.cluster import MAX_CONNECTIONS, Cluster
from flowpin_cli.postgres.urls import Databases
from flowpin_cli.up.apps import Apps
from flowpin_cli.up.pages import SIGN_IN_FILE, console_key
from flowpin_cli.up.workers import Workers, worker_name

if TYPE_CHECKING:
    from flowpin_cli.machine.local_authority import LocalAuthority

CONNECTIONS_PER_WORKER = 12
"""Default connections per worker: eight and three of the two pools, and one of the health check."""
OTHER_CONNECTIONS = 40
"""Connections for migrations, backups, people, and Postgres itself."""
METRICS_PORT_STEP = 10
"""Distance of the metrics ports of two workers, so that different services may have adjacent ports."""


def postgres(cluster: Cluster, workers: Workers) -> Child:
    command = cluster.command()
    needed = CONNECTIONS_PER_WORKER * (workers.workflow + workers.deploy) + OTHER_CONNECTIONS
    if needed > MAX_CONNECTIONS:
        command = replace(command, words=[*command.words, "-c", f"max_connections={needed}"])
    return Child(
        "postgres",
        command,
        cluster.folder.fresh_log("postgres"),
        stop_signal=signal.SIGINT,  # "fast" shutdown: ends sessions and writes to disk
        hurry_signal=signal.SIGQUIT,
        # If Postgres 18.6 is stopped while it recovers from a crash, it may wait forever. If it is then killed, it
        # recovers at the next start.
        drain_seconds=5.0,
        before_restart=cluster.forget_the_dead,
    )


@dataclass(frozen=True)
class Children:
    """Our own processes. Each is configured only by its environment.

    The environment of `flowpin up` is passed on, so it can contain any other setting of the processes.
    """

    folder: DataFolder
    ports: Ports
    environ: Mapping[str, str]
    workers: Workers
    apps: Apps | None = None
    """None if no apps run."""
    authority: "LocalAuthority | None" = None
    """None without TLS."""

    def gateways(self) -> list[Child]:
        settings = self.gateway_settings()
        return [self._serving("gateway", "gateway", number, settings) for number in numbers(self.workers.gateway)]

    def workflows(self, databases: Databases) -> list[Child]:
        return [
            self._serving("workflow", "workflow_service", number, self.workflow_settings(databases, number))
            for number in numbers(self.workers.workflow)
        ]

    def deploys(self, databases: Databases, token: str) -> list[Child]:
        return [
            self._serving("deploy", "deploy_service", number, self.deploy_settings(databases, token, number))
            for number in numbers(self.workers.deploy)
        ]

    def runs(self, databases: Databases, token: str | None) -> list[Child]:
        """The run service and the host of its replicas. Empty if no apps run."""
        if self.apps is None or token is None:
            return []
        host = self._command("run_service", "host", {**_without_libpq(self.environ), **self.apps.host_settings()})
        settings = self.run_settings(databases, token)
        return [Child("host", host, self.folder.fresh_log("host")), self._serving("run", "run_service", 1, settings)]

    def consoles(self) -> list[Child]:
        """The console, unless it is left out."""
        if not self.ports.console:
            return []
        key = {} if "CONSOLE_KEY" in self.environ else {"CONSOLE_KEY": console_key(self.folder)}
        return [self._serving("console", "console", 1, self.console_settings() | key)]

    def gateway_settings(self) -> dict[str, str]:
        """Settings of the gateway that `up` sets. The methods below do the same for the services."""
        settings = {
            "GATEWAY_LISTEN": f"{self.ports.host}:{self.ports.gateway}",
            "GATEWAY_WORKFLOW_TARGET": _all_at(self.ports.workflow),
            "GATEWAY_DEPLOY_TARGET": _all_at(self.ports.deploy),
        }
        settings |= {"GATEWAY_SHARE_PORT": "true"} if self.workers.gateway > 1 else {}
        return settings | ({"GATEWAY_RUN_TARGET": _at(self.ports.run)} if self.apps else {})

    def console_settings(self) -> dict[str, str]:
        settings = {
            "CONSOLE_LISTEN": f"{self.ports.host}:{self.ports.console}",
            "CONSOLE_SIGN_IN_FILE": str(self.folder.path / SIGN_IN_FILE),
            "CONSOLE_WORKFLOW_TARGET": _all_at(self.ports.workflow),
            "CONSOLE_DEPLOY_TARGET": _all_at(self.ports.deploy),
        }
        return settings | ({"CONSOLE_RUN_TARGET": _at(self.ports.run)} if self.apps else {})

    def workflow_settings(self, databases: Databases, number: int = 1) -> dict[str, str]:
        return {
            "WORKFLOW_LISTEN": _at(self.ports.workflow[number - 1]),
            "WORKFLOW_ACCESS_FILE": str(self.folder.access_file),
            "WORKFLOW_DEPLOY_TARGET": _all_at(self.ports.deploy),
            **databases.serving("workflow"),
        }

    def deploy_settings(self, databases: Databases, token: str, number: int = 1) -> dict[str, str]:
        return {
            "DEPLOY_LISTEN": _at(self.ports.deploy[number - 1]),
            "DEPLOY_ACCESS_FILE": str(self.folder.access_file),
            "DEPLOY_WORKFLOW_TARGET": _all_at(self.ports.workflow),
            "DEPLOY_WORKFLOW_TOKEN": token,
            **databases.serving("deploy"),
            **(self.apps.deploy_settings(self.ports, self.environ) if self.apps else {}),
        }

    def run_settings(self, databases: Databases, token: str) -> dict[str, str]:
        return {
            "RUN_LISTEN": f"{self.ports.host}:{self.ports.apps}",
            "RUN_GRPC_LISTEN": _at(self.ports.run),
            "RUN_ACCESS_FILE": str(self.folder.access_file),
            "RUN_DEPLOY_TARGET": _all_at(self.ports.deploy),
            "RUN_DEPLOY_TOKEN": token,
            "RUN_WORKFLOW_TARGET": _all_at(self.ports.workflow),
            **databases.serving("run"),
            **(self.apps.run_settings() if self.apps else {}),
        }

    def tls_settings(self, service: str) -> dict[str, str]:
        """TLS settings: each process has the same certificate, and checks that of services."""
        if self.authority is None:
            return {}
        files = {"CERT": self.authority.cert, "KEY": self.authority.key, "CA": self.authority.ca}
        return {f"{service.upper()}_TLS_{name}": str(file) for name, file in files.items()}

    def migration(self, service: str, databases: Databases) -> Command:
        # The password of an administrator's URL may be in PGPASSWORD. Our own URLs contain theirs.
        environ = self.environ if databases.are_external else _without_libpq(self.environ)
        return self._command(f"{service}_service", "migrate", {**environ, **databases.migrating(service)})

    def verification(self, databases: Databases) -> Command:
        environ = self.environ if databases.are_external else _without_libpq(self.environ)
        urls = databases.serving("workflow") | databases.serving("deploy")
        urls |= databases.serving("run") if self.apps else {"RUN_DATABASE_URL": ""}
        return self._command("flowpin_cli", "verify", {**environ, **urls})

    def _serving(self, service: str, module: str, number: int, settings: Mapping[str, str]) -> Child:
        name = worker_name(service, number)
        metrics = self._metrics_listen(service, number)
        command = self._command(
            module, "serve", {**_without_libpq(self.environ), **metrics, **self.tls_settings(service), **settings}
        )
        return Child(name, command, self.folder.fresh_log(name))

    def _metrics_listen(self, service: str, number: int) -> dict[str, str]:
        """The metrics address of each further worker, if the first one has one."""
        variable = f"{service.upper()}_METRICS_LISTEN"
        host, _, port = self.environ.get(variable, "").rpartition(":")
        if number == 1 or not port.isdecimal() or int(port) == 0:
            return {}
        return {variable: f"{host}:{int(port) + METRICS_PORT_STEP * (number - 1)}"}

    def _command(self, module: str, verb: str, env: Mapping[str, str]) -> Command:
        # With -P, modules are not imported from the current folder, where somebody may have put one of the same name.
        return Command([sys.executable, "-P", "-m", module, verb], {**env, MARK_VARIABLE: self.folder.mark})


def numbers(count: int) -> range:
    """The numbers of this many workers."""
    return range(1, count + 1)


def _at(port: int) -> str:
    return f"{LOOPBACK}:{port}"


def _all_at(ports: Sequence[int]) -> str:
    return ",".join(map(_at, ports))


def _without_libpq(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without PGPASSWORD, PGPORT and others that change the meaning of a URL. TLS settings stay."""
    return {name: value for name, value in environ.items() if not name.startswith("PG") or name.startswith("PGSSL")}
