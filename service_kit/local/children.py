"""The processes of one run: the command and the environment each is started with."""

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from service_kit.local.data_folder import LOOPBACK, DataFolder, Ports
from service_kit.local.databases import Databases
from service_kit.local.postgres import Cluster
from service_kit.local.processes import MARK_VARIABLE, Command
from service_kit.local.supervisor import Child


def postgres(cluster: Cluster) -> Child:
    return Child(
        "postgres",
        cluster.command(),
        cluster.folder.fresh_log("postgres"),
        stop_signal=signal.SIGINT,  # its "fast": ends sessions, writes what is in memory
        hurry_signal=signal.SIGQUIT,
        # Told to stop while recovering from a crash, Postgres 18.6 may wait for ever. Cut short, it recovers next time.
        drain_seconds=5.0,
        before_restart=cluster.forget_the_dead,
    )


@dataclass(frozen=True)
class Children:
    """Our own processes, each configured by its environment alone.

    The environment of `flowpin up` is passed on, so that any other setting of theirs can be given there.
    """

    folder: DataFolder
    ports: Ports
    environ: Mapping[str, str]

    def gateway(self) -> Child:
        return self._serving("gateway", "gateway", self.gateway_settings())

    def workflow(self, databases: Databases) -> Child:
        return self._serving("workflow", "workflow_service", self.workflow_settings(databases))

    def deploy(self, databases: Databases, token: str) -> Child:
        return self._serving("deploy", "deploy_service", self.deploy_settings(databases, token))

    def gateway_settings(self) -> dict[str, str]:
        """What we set of the gateway's settings; so for the services below."""
        targets = {f"GATEWAY_{service.upper()}_TARGET": self._at(service) for service in ("workflow", "deploy")}
        return {"GATEWAY_LISTEN": self._at("gateway"), **targets}

    def workflow_settings(self, databases: Databases) -> dict[str, str]:
        return {
            "WORKFLOW_LISTEN": self._at("workflow"),
            "WORKFLOW_ACCESS_FILE": str(self.folder.access_file),
            **databases.serving("workflow"),
        }

    def deploy_settings(self, databases: Databases, token: str) -> dict[str, str]:
        return {
            "DEPLOY_LISTEN": self._at("deploy"),
            "DEPLOY_ACCESS_FILE": str(self.folder.access_file),
            "DEPLOY_WORKFLOW_TARGET": self._at("workflow"),
            "DEPLOY_WORKFLOW_TOKEN": token,
            **databases.serving("deploy"),
        }

    def migration(self, service: str, databases: Databases) -> Command:
        # An administrator's URL may leave its password to PGPASSWORD; ours need nothing of the kind.
        environ = self.environ if databases.are_external else _without_libpq(self.environ)
        return self._command(f"{service}_service", "migrate", {**environ, **databases.migrating(service)})

    def _serving(self, name: str, module: str, settings: Mapping[str, str]) -> Child:
        command = self._command(module, "serve", {**_without_libpq(self.environ), **settings})
        return Child(name, command, self.folder.fresh_log(name))

    def _command(self, module: str, verb: str, env: Mapping[str, str]) -> Command:
        return Command([sys.executable, "-m", module, verb], {**env, MARK_VARIABLE: self.folder.mark})

    def _at(self, name: str) -> str:
        return f"{LOOPBACK}:{getattr(self.ports, name)}"


def _without_libpq(environ: Mapping[str, str]) -> dict[str, str]:
    """Without PGPASSWORD, PGPORT and the like, which would change what a URL means; how to encrypt stays."""
    return {name: value for name, value in environ.items() if not name.startswith("PG") or name.startswith("PGSSL")}
