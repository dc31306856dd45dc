"""Apps that run: cut-overs under load, what the router adds, waking up, memory; beside a plain uvicorn process."""

import asyncio
import http.client
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from flowpin_cli.runtimes.folder import FOLDER_VARIABLE, Runtimes
from tests.load.bench import processes
from tests.load.bench.context import Bench
from tests.load.bench.percentile import median, percentiles
from tests.load.bench.result import Row, Target
from tests.load.bench.seeds import Seeds
from tests.load.bench.stack import Stack, running
from tests.support.apps.app_calls import INPUT, App, Calls
from tests.support.hosting.host_process import HostProcess, answer, spec_of
from tests.support.hosting.sdk_flows import multiplies
from tests.support.ports import free_port

CALLERS = 2
SERVERLESS = {"deployment_type": "serverless"}
SERVER_BASED = {"deployment_type": "server_based", "config": {"autoscaling": {"min_replicas": 1}}}
PLAIN = Path(__file__).parents[2] / "peers" / "plain_app.py"
IMPORT_SECONDS = 180.0


def apps(bench: Bench, seeds: Seeds) -> list[Row]:
    """On a folder of its own. FLOWPIN_RUNTIMES names a folder with a runtime."""
    installed = Runtimes(Path(os.environ[FOLDER_VARIABLE])).all() if FOLDER_VARIABLE in os.environ else []
    if not installed:
        return [Row("Apps", note=f"not measured: {FOLDER_VARIABLE} names no folder with a runtime")]
    runtime = Runtimes(Path(os.environ[FOLDER_VARIABLE])).of(installed[0].version)
    with running(bench.scratch / "apps", RUN_IDLE_SECONDS="1") as stack:
        app = App(stack.env)
        app.save()
        app.create(SERVER_BASED)
        rows = [
            *_cut_overs(app, 1000 if not bench.quick else 60),
            *_wakes(stack, 30 if not bench.quick else 5),
            _memory(stack, 20 if not bench.quick else 5),
        ]
        routed = _calls_ms(app, 300 if not bench.quick else 60)
    return [*rows, *_added(routed, runtime), *_plain(bench.scratch, runtime)]


def _cut_overs(app: App, count: int) -> list[Row]:
    versions = [app.save(), app.save()]
    deploys, rollbacks, late = [], [], 0
    app.deploy(versions[1])
    with app.called(CALLERS) as calls:
        for turn in range(count):
            back = turn % 2 == 1
            began = time.monotonic()
            done = app.rollback() if back else app.deploy(app.save() if turn % 4 == 0 else versions[turn % 2])
            first = app.ask()
            late += first.version != done["workflow_version"]["label"]
            (rollbacks if back else deploys).append(1000 * (first.ended - began))
    wrong = late + _wrong(calls)
    p50, p99 = percentiles(deploys, 50, 99)
    note = f"{count} deploys and rollbacks in turn, {CALLERS} constant callers: from the request to the first answer"
    return [
        Row("App: deploy, p50", value=p50, target=Target.at_most(300, "ms"), note=note),
        Row("App: deploy, p99", value=p99, target=Target.at_most(1000, "ms"), note=note),
        Row("App: rollback to a warm one, p50", value=median(rollbacks), target=Target.at_most(50, "ms"), note=note),
        Row(
            "App: failed or misrouted",
            value=wrong,
            target=Target.at_most(0, ""),
            note=f"of {len(calls.answers):,} calls, each held against the version that its header names",
        ),
    ]


def _wrong(calls: Calls) -> int:
    return sum(
        each.status != 200 or not str(each.output).startswith(f"{{'text': '{each.version} ") for each in calls.answers
    )


def _wakes(stack: Stack, count: int) -> list[Row]:
    """First calls of an app that nobody has called for RUN_IDLE_SECONDS."""
    app = App(stack.env)
    app.save()
    app.create(SERVERLESS)
    app.ask()
    took = []
    for _ in range(count):
        time.sleep(3)
        found = app.ask()
        assert found.status == 200, found
        took.append(1000 * (found.ended - found.began))
    return [
        Row(
            "App: wake from zero, p50",
            value=median(took),
            target=Target.at_most(250, "ms"),
            note=f"a call of a serverless app without a replica, with its answer; {count} times",
        )
    ]


def _memory(stack: Stack, count: int) -> Row:
    """Private memory of replicas that have answered once."""
    before = _private_mb(stack)
    for _ in range(count):
        app = App(stack.env)
        app.save()
        app.create(SERVER_BASED)
        app.ask()
    return Row(
        "App: memory of one more",
        value=(_private_mb(stack) - before) / count,
        target=Target.at_most(45, "MB"),
        note=f"private memory (smaps), the mean of {count} idle apps that have answered once",
    )


def _private_mb(stack: Stack) -> float:
    host = next(pid for pid in processes.children(stack.up_pid) if "host" in processes.words(pid))
    return sum(_private_bytes(pid) for pid in _below(host)) / 1e6


def _below(parent: int) -> list[int]:
    direct = processes.children(parent)
    return [*direct, *(pid for child in direct for pid in _below(child))]


def _private_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def _calls_ms(app: App, count: int) -> list[float]:
    connection = http.client.HTTPConnection(app.address, timeout=30)
    found = [app.ask(connection) for _ in range(count)]
    connection.close()
    return [1000 * (each.ended - each.began) for each in found[count // 10 :]]


def _added(routed: list[float], runtime: Path) -> list[Row]:
    """The same flow called through the router, and by a bare loop on a replica's socket."""
    bare = asyncio.run(_bare_ms(runtime, len(routed)))
    note = f"p50 {median(routed):.1f} ms through the router, {median(bare):.1f} ms by a bare loop on a replica's socket"
    p99s = percentiles(routed, 99)[0] - percentiles(bare, 99)[0]
    return [
        Row(
            "App: router and socket add, p50",
            value=median(routed) - median(bare),
            unit="ms",
            note=f"{note}; not judged: replicas of two hosts differ by more than the router costs (wanted: 1.5)",
        ),
        Row(
            "App: router and socket add, p99",
            value=p99s,
            unit="ms",
            note="difference of the p99s, not judged (wanted: 5)",
        ),
    ]


async def _bare_ms(runtime: Path, count: int) -> list[float]:
    process = HostProcess()
    process.start()
    took = []
    try:
        async with process.client() as host:
            replica = await host.start(spec_of(runtime, multiplies(), slots=4))
            async with host.connect(replica.id) as connection:
                for _ in range(count):
                    began = time.monotonic()
                    await answer(connection, INPUT)
                    took.append(1000 * (time.monotonic() - began))
            await host.stop(replica.id, 1)
    finally:
        process.end()
    return took


def _plain(scratch: Path, runtime: Path) -> list[Row]:
    """A process that loads the SDK for its one version: what a deploy and an app cost without forks."""
    file, port = scratch / "plain.json", free_port()
    file.write_text(json.dumps(multiplies()))
    began = time.monotonic()
    process = subprocess.Popen([runtime / "bin" / "python", PLAIN, file, str(port)])
    try:
        _until(lambda: _asked(port), IMPORT_SECONDS)
        cold = time.monotonic() - began
        memory = _private_bytes(process.pid) / 1e6
    finally:
        process.terminate()
        process.wait(10)
    note = "a plain uvicorn process with the SDK and one version, for comparison"
    return [
        Row("Plain process: deploy", value=cold, unit="s", note=f"{note}: from its start to its first answer"),
        Row("Plain process: memory", value=memory, unit="MB", note=f"{note}: private, after one answer"),
    ]


def _asked(port: int) -> bool:
    call = HttpRequest(f"http://127.0.0.1:{port}/", json.dumps({"input": INPUT}).encode())
    try:
        with urlopen(call, timeout=30) as found:
            return b"total=10.0" in found.read()
    except OSError:
        return False


def _until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.05)
