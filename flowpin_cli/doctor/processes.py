"""Checks whether `flowpin up` runs on the folder, and whether all of its processes are ready for calls."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

from flowpin_cli.doctor.finding import Finding, ok, problem, unchecked, warning
from flowpin_cli.machine.data_folder import LOOPBACK, DataFolder, Ports, last_ports, reached_at
from flowpin_cli.machine.health import speaks_tls, unready
from flowpin_cli.machine.processes import processes_of
from flowpin_cli.up.workers import worker_name
from service_kit.healthcheck import is_serving

ANSWER_SECONDS = 3.0


def examine(folder: DataFolder, held_by: str | None) -> Iterator[Finding]:
    ports = last_ports(folder)
    if held_by is None:
        yield unchecked("`flowpin up` does not run here: there are no processes to ask", "flowpin up")
        if folder.path.is_dir() and (orphans := processes_of(folder)):
            pids = ", ".join(map(str, sorted(orphans)))
            yield warning(f"Processes of an earlier run are left: {pids}", "nothing: the next `flowpin up` ends them")
        if ports and _is_taken(ports.gateway, reached_at(ports.host)):
            yield warning(
                f"The gateway's port of the last run, {ports.gateway}, is taken by another program",
                "end that program, or choose another port: flowpin up --port",
            )
        return
    yield ok(f"`flowpin up` runs (pid {held_by})")
    if ports is None:
        yield problem(f"{folder.path / 'ports.json'} cannot be read", "restart `flowpin up`")
        return
    for service, its_ports in (("workflow", ports.workflow), ("deploy", ports.deploy)):
        for number, port in enumerate(its_ports, 1):
            name = worker_name(service, number)
            title = f"The {service} service" + (f" {number}" if number > 1 else "")
            yield _state(folder, title, name, port, _serves(port, ports.ca))
    yield _state(folder, "The gateway", "gateway", ports.gateway, asyncio.run(_gateway_answers(ports)))
    if ports.ca:
        yield from _without_tls(ports)


def _without_tls(ports: Ports) -> Iterator[Finding]:
    """Listeners of `flowpin up --tls` without TLS. A setting in the environment can cause this."""
    listeners = {f"The workflow service, on port {port},": (port, LOOPBACK) for port in ports.workflow}
    listeners |= {f"The deploy service, on port {port},": (port, LOOPBACK) for port in ports.deploy}
    listeners |= {"The run service": (ports.run, LOOPBACK)} if ports.run else {}
    at = {"The gateway": ports.gateway, "The console": ports.console, "The listener of apps": ports.apps}
    listeners |= {name: (port, reached_at(ports.host)) for name, port in at.items() if port}

    async def asked() -> list[str]:
        return [name for name, (port, host) in listeners.items() if not await speaks_tls(port, host, ports.ca)]

    try:
        without = asyncio.run(asked())
    except OSError as error:
        yield problem(f"{ports.ca} cannot be used: {error}", "restart `flowpin up --tls`, which makes it anew")
        return
    for name in without:
        yield problem(f"{name} does not speak TLS with a certificate of {ports.ca}", "restart `flowpin up --tls`")
    if not without:
        yield ok(f"All {len(listeners)} listeners speak TLS, with a certificate of {ports.ca}")


def _serves(port: int, ca: str) -> bool:
    return is_serving(f"{LOOPBACK}:{port}", Path(ca) if ca else None, LOOPBACK)


def _is_taken(port: int, host: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


async def _gateway_answers(ports: Ports) -> bool:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return "gateway" not in await unready(ports.gateway, reached_at(ports.host), ports.ca)
    except TimeoutError:
        return False


def _state(folder: DataFolder, title: str, name: str, port: int, is_ready: bool) -> Finding:
    if is_ready:
        return ok(f"{title} is ready, on port {port}")
    log = folder.path / "logs" / f"{name}.log"
    return problem(f"{title} is not ready, on port {port}", f"read the end of {log}; then restart `flowpin up`")
