"""Whether `flowpin up` runs on the folder, and whether all of its processes are ready to be called."""

import asyncio
import socket
from collections.abc import Iterator

from flowpin_cli.doctor.finding import Finding, ok, problem, unchecked, warning
from flowpin_cli.machine.data_folder import LOOPBACK, DataFolder, last_ports
from flowpin_cli.machine.health import unready
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
            yield warning(f"Processes of an earlier run are left: {pids}", "nothing; the next `flowpin up` ends them")
        if ports and _is_taken(ports.gateway):
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
            yield _state(folder, title, name, port, is_serving(f"{LOOPBACK}:{port}"))
    yield _state(folder, "The gateway", "gateway", ports.gateway, asyncio.run(_gateway_answers(ports.gateway)))


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


async def _gateway_answers(port: int) -> bool:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return "gateway" not in await unready(port)
    except TimeoutError:
        return False


def _state(folder: DataFolder, title: str, name: str, port: int, is_ready: bool) -> Finding:
    if is_ready:
        return ok(f"{title} is ready, on port {port}")
    log = folder.path / "logs" / f"{name}.log"
    return problem(f"{title} is not ready, on port {port}", f"read the end of {log}; then restart `flowpin up`")
