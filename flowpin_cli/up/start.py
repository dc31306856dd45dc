"""`flowpin up`, from top to bottom."""

import asyncio
import os
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from flowpin_cli.console import Announcer
from flowpin_cli.errors import CannotRun
from flowpin_cli.machine.data_folder import LOOPBACK, DataFolder, Ports, choose_ports, locked, reached_at
from flowpin_cli.machine.health import accepts, unready, until
from flowpin_cli.machine.processes import describe_exit, end_orphans, last_lines, run_to_end
from flowpin_cli.machine.supervisor import Supervisor
from flowpin_cli.postgres.cluster import START_SECONDS, open_cluster
from flowpin_cli.postgres.urls import Databases, check_server, embedded_databases, external_databases
from flowpin_cli.rest.installation import option_of
from flowpin_cli.rest.trust import CA_VARIABLE
from flowpin_cli.up import children
from flowpin_cli.up.apps import how_apps_run, open_apps
from flowpin_cli.up.children import Children
from flowpin_cli.up.pages import URL_VARIABLE, told
from flowpin_cli.up.upgrade import is_upgrade, verified
from flowpin_cli.up.workers import Workers, worker_name, workers

if TYPE_CHECKING:
    from flowpin_cli.machine.local_authority import LocalAuthority
    from flowpin_cli.up.identity import Identity

HEALTHY_SECONDS = 60.0
STOP_ORDER = ("console", "gateway", "run", "host", "deploy", "workflow", "postgres")
APPS_PORT = 8081
CONSOLE_PORT = 8082


@dataclass(frozen=True)
class Options:
    """The person's options. Port 0 picks a free port."""

    data: Path
    port: int
    database_url: str | None
    workers: int | None = None
    """Number of processes of each kind. None chooses it by the number of cores."""
    apps_port: int | None = None
    """None means APPS_PORT, or a free port if `port` is 0."""
    host: str = LOOPBACK
    """The address on which gateway, apps and console listen."""
    console_port: int | None = None
    """0 picks a free port. None means CONSOLE_PORT, or a free port if `port` is 0."""
    has_console: bool = True
    tls: bool = False
    """Whether all listeners and channels use TLS, with a certificate of an authority in the data folder."""


def up(options: Options, environ: Mapping[str, str], console: Console) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP. Raises CannotRun."""
    with locked(options.data) as folder:
        asyncio.run(_run(folder, options, environ, Announcer(console)))


@dataclass(frozen=True)
class Run:
    """State that the steps of the start share."""

    folder: DataFolder
    options: Options
    environ: Mapping[str, str]
    announcer: Announcer
    supervisor: Supervisor
    until_stopped: AsyncExitStack


async def _run(folder: DataFolder, options: Options, environ: Mapping[str, str], announcer: Announcer) -> None:
    supervisor = Supervisor(announcer.say)
    with _stop_signals(supervisor):
        async with AsyncExitStack() as until_stopped:
            run = Run(folder, options, environ, announcer, supervisor, until_stopped)
            try:
                await supervisor.until_ended(_start(run))
            finally:
                if supervisor.children:
                    announcer.say("Stopping …")
                await supervisor.stop(STOP_ORDER)
    announcer.say("Stopped; nothing is left running.")


async def _start(run: Run) -> None:
    with run.announcer.starting():
        end_orphans(run.folder)
        count = workers(run.options.workers)
        apps = run.until_stopped.enter_context(open_apps(run.folder, run.environ))
        authority = _authority(run) if run.options.tls else None
        ports = choose_ports(
            run.folder,
            run.options.port,
            workflow=count.workflow,
            deploy=count.deploy,
            apps=_port(run.options, run.options.apps_port, APPS_PORT) if apps else None,
            host=run.options.host,
            console=_port(run.options, run.options.console_port, CONSOLE_PORT) if run.options.has_console else None,
            ca="" if authority is None else str(authority.ca),
        )
        ours = Children(run.folder, ports, run.environ, count, apps, authority)
        databases = await _database(run, count)
        run.supervisor.start(*ours.gateways(), *ours.consoles())
        with run.announcer.step("Who may call"):
            from flowpin_cli.up.identity import ensure_identity

            identity = ensure_identity(run.folder, runs_apps=apps is not None)
        # They find the schema as soon as it exists, so they can start before it.
        run.supervisor.start(
            *ours.workflows(databases),
            *ours.deploys(databases, identity.deploy_token),
            *ours.runs(databases, identity.run_token),
        )
        with run.announcer.step("Roles, schemas and migrations"):
            has_upgraded = await is_upgrade(databases)
            services = ("workflow", "deploy", "run") if apps else ("workflow", "deploy")
            await asyncio.gather(*(_migrate(ours, service, databases) for service in services))
        with run.announcer.step(_described(count)):
            await _all_healthy(ports, run.supervisor)
    variables = _variables(ports, identity)
    problem = None
    if apps:
        problem = await apps.register(ports, identity.person_token)
        variables |= await apps.variables(ports, identity.person_token, identity.project_id)
    if ports.console:
        variables[URL_VARIABLE] = ports.url_of(ports.console)
    run.folder.write_env(variables)
    env_file, option = shlex.quote(str(run.folder.env_file)), option_of(run.folder.path)
    run.announcer.ready(
        ports.url_of(ports.gateway), identity.person_token, str(identity.project_id), env_file, option, ports.ca
    )
    if ports.console:
        run.announcer.say("  " + told(run.folder, ports, identity.person_token if run.announcer.is_terminal else None))
    run.announcer.say(apps.told(ports) if apps else how_apps_run(option))
    if problem:
        run.announcer.say(problem)
    if has_upgraded:
        run.announcer.say("The schemas were upgraded; their history is being verified …")
        run.announcer.say(await verified(ours.verification(databases), run.folder.fresh_log("verify")))


def _authority(run: Run) -> "LocalAuthority":
    with run.announcer.step("Certificates"):
        from flowpin_cli.machine.local_authority import LocalAuthority

        authority = LocalAuthority(run.folder.tls)
        authority.prepare(reached_at(run.options.host))
    return authority


async def _database(run: Run, count: Workers) -> Databases:
    if run.options.database_url is not None:
        with run.announcer.step("Postgres, yours"):
            await check_server(run.options.database_url)
        return external_databases(run.options.database_url, run.folder)
    with run.announcer.step("Postgres, embedded"):
        cluster = await run.until_stopped.enter_async_context(open_cluster(run.folder))
        child = children.postgres(cluster, count)
        run.supervisor.start(child)
        if not await until(lambda: cluster.is_ready(child.process), START_SECONDS):
            raise CannotRun(f"Postgres did not start. The end of {child.log}:\n{last_lines(child.log)}")
    return embedded_databases(cluster)


async def _migrate(ours: Children, service: str, databases: Databases) -> None:
    log = ours.folder.fresh_log(f"{service}-migrate")
    if code := await run_to_end(ours.migration(service, databases), log):
        raise CannotRun(f"{service} migrate {describe_exit(code)}. The end of {log}:\n{last_lines(log)}")


async def _all_healthy(ports: Ports, supervisor: Supervisor) -> None:
    async def not_healthy() -> list[str]:
        workers = {worker_name("workflow", number): port for number, port in enumerate(ports.workflow, 1)}
        workers |= {worker_name("deploy", number): port for number, port in enumerate(ports.deploy, 1)}
        away = [name for name, port in workers.items() if not await accepts(port)]
        host = reached_at(ports.host)
        if ports.console and not await accepts(ports.console, host):
            away.append("console")
        return away or await unready(ports.gateway, host, ports.ca)

    async def healthy() -> bool:
        return not await not_healthy()

    if not await until(healthy, HEALTHY_SECONDS):
        for name in await not_healthy():
            log = supervisor.children[name].log
            raise CannotRun(f"{name} is not ready after {HEALTHY_SECONDS:.0f} s. The end of {log}:\n{last_lines(log)}")


def _variables(ports: Ports, identity: "Identity") -> dict[str, str]:
    url, token = ports.url_of(ports.gateway), identity.person_token
    return {
        "FLOWPIN_URL": url,
        "FLOWPIN_TOKEN": token,
        "FLOWPIN_ORG_ID": str(identity.org_id),
        "FLOWPIN_PROJECT_ID": str(identity.project_id),
        "FLOWPIN_WORKFLOW_GRPC": _grpc_name(ports.workflow),
        "FLOWPIN_DEPLOY_GRPC": _grpc_name(ports.deploy),
        "FLOWPIN_PID": str(os.getpid()),
        **({CA_VARIABLE: ports.ca} if ports.ca else {}),
        # Variables that clients of the Dynamiq platform read.
        "DYNAMIQ_API_BASE_URL": url,
        "DYNAMIQ_API_TOKEN": token,
        "DYNAMIQ_PERSONAL_ACCESS_TOKEN": token,
        "DYNAMIQ_ORG_ID": str(identity.org_id),
        "DYNAMIQ_PROJECT_ID": str(identity.project_id),
    }


def _grpc_name(ports: Sequence[int]) -> str:
    """The address of one worker as host:port. For several workers, gRPC's name of an address list, which libraries
    based on gRPC's C core accept."""
    return ("ipv4:" if len(ports) > 1 else "") + ",".join(f"{LOOPBACK}:{port}" for port in ports)


def _port(options: Options, asked: int | None, usual: int) -> int:
    if asked is not None:
        return asked
    return usual if options.port else 0


def _described(count: Workers) -> str:
    if count == Workers():
        return "Workflow service, deploy service and gateway"
    return f"{count.workflow} workflow services, {count.deploy} deploy services and {count.gateway} gateways"


@contextmanager
def _stop_signals(supervisor: Supervisor) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # ignored under nohup
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, supervisor.ask_to_stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
