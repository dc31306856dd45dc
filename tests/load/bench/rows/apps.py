"""Running apps: cut-overs under load, the router's overhead, starts from idle, memory, and a plain uvicorn process."""

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

from flowpin_cli.machine.data_folder import DataFolder
from flowpin_cli.runtimes.folder import FOLDER_VARIABLE, Runtimes
from run_service.hosting.client import open_host
from tests.load.bench import processes
from tests.load.bench.context import Bench
from tests.load.bench.percentile import median, percentiles
from tests.load.bench.result import Row, Target
from tests.load.bench.seeds import Seeds
from tests.load.bench.stack import Stack, running
from tests.support.apps.app_calls import INPUT, App, Calls
from tests.support.hosting.host_process import answer
from tests.support.hosting.sdk_flows import multiplies
from tests.support.ports import free_port

CALLERS = 2
WARM_UP = 20
APPS = 50
"""Number of apps on one machine."""
SERVERLESS = {"deployment_type": "serverless"}
SERVER_BASED = {"deployment_type": "server_based", "config": {"autoscaling": {"min_replicas": 1}}}
PLAIN = Path(__file__).parents[2] / "peers" / "plain_app.py"
IMPORT_SECONDS = 180.0


def apps(bench: Bench, seeds: Seeds) -> list[Row]:
    """Run an installation in its own folder. FLOWPIN_RUNTIMES names a folder with a runtime."""
    installed = Runtimes(Path(os.environ[FOLDER_VARIABLE])).all() if FOLDER_VARIABLE in os.environ else []
    if not installed:
        return [Row("Apps", note=f"not measured: {FOLDER_VARIABLE} names no folder with a runtime")]
    runtime = Runtimes(Path(os.environ[FOLDER_VARIABLE])).of(installed[0].version)
    # With five minutes of warm replicas, those of 250 versions would run at the same time.
    settings = {FOLDER_VARIABLE: os.environ[FOLDER_VARIABLE], "RUN_IDLE_SECONDS": "1", "RUN_WARM_SECONDS": "20"}
    with running(bench.scratch / "apps", **settings) as stack:
        app = App(stack.env)
        app.save()
        app.create(SERVER_BASED)
        rows = [
            *_cut_overs(app, 1000 if not bench.quick else 60),
            *_wakes(stack, 30 if not bench.quick else 5),
            *asyncio.run(_added(stack, 500 if not bench.quick else 100)),
            *_memory(stack, APPS if not bench.quick else 5),
        ]
    return [*rows, *_plain(bench.scratch, runtime)]


def _cut_overs(app: App, count: int) -> list[Row]:
    versions = [app.save(), app.save()]
    deploys, rollbacks, answered, first_runs, late = [], [], [], [], 0
    live = before = app.deploy(versions[1])["id"]
    with app.called(CALLERS) as calls:
        for turn in range(count):
            back = turn % 2 == 1
            version = app.save() if turn % 4 == 0 else versions[0]
            began = time.monotonic()
            done = app.rollback(before) if back else app.deploy(version)
            before, live = live, done["id"]
            first = app.ask()
            if back:
                answered.append(1000 * (first.began - began))
                first_runs.append(1000 * (first.ended - first.began))
            late += first.version != done["workflow_version"]["label"]
            (rollbacks if back else deploys).append(1000 * (first.ended - began))
    wrong = late + _wrong(calls)
    p50, p99 = percentiles(deploys, 50, 99)
    note = f"{count} deploys and rollbacks in turn, {CALLERS} constant callers: from the request to the first answer"
    return [
        Row("App: deploy, p50", value=p50, target=Target.at_most(300, "ms"), note=note),
        Row("App: deploy, p99", value=p99, target=Target.at_most(1000, "ms"), note=note),
        Row(
            "App: rollback to a warm one, p50",
            value=median(rollbacks),
            target=Target.at_most(50, "ms"),
            note=f"{note}; {median(answered):.0f} ms until it is live, {median(first_runs):.0f} for the first run",
        ),
        Row(
            "App: failed or misrouted",
            value=wrong,
            target=Target.at_most(0, ""),
            note=f"of {len(calls.answers):,} calls, each compared with the version in its header",
        ),
    ]


def _wrong(calls: Calls) -> int:
    return sum(
        each.status != 200 or not str(each.output).startswith(f"{{'text': '{each.version} ") for each in calls.answers
    )


def _wakes(stack: Stack, count: int) -> list[Row]:
    """First calls of an app after RUN_IDLE_SECONDS without calls."""
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


def _memory(stack: Stack, count: int) -> list[Row]:
    """Memory of replicas that have answered once, and of all processes of apps."""
    before = _below_host_mb(stack, "Private_")
    for _ in range(count):
        app = App(stack.env)
        app.save()
        app.create(SERVER_BASED)
        found = app.ask()
        assert found.status == 200, found
    one_more = (_below_host_mb(stack, "Private_") - before) / count
    whole = _below_host_mb(stack, "Pss:") + (APPS - count) * one_more
    counted = f"{count} were up" if count == APPS else f"{count} were up, and the others are counted as one more each"
    return [
        Row(
            "App: memory of one more",
            value=one_more,
            target=Target.at_most(45, "MB"),
            note=f"private memory (smaps), the mean of {count} idle apps that have answered once",
        ),
        Row(
            f"App: memory of {APPS}",
            value=whole / 1e3,
            target=Target.at_most(3.5, "GB"),
            note=f"of all processes below the host process, shared memory counted once (Pss), idle; {counted}",
        ),
    ]


def _below_host_mb(stack: Stack, kind: str) -> float:
    host = next(pid for pid in processes.children(stack.up_pid) if "host" in processes.words(pid))
    return sum(_memory_bytes(pid, kind) for pid in _below(host)) / 1e6


def _below(parent: int) -> list[int]:
    direct = processes.children(parent)
    return [*direct, *(pid for child in direct for pid in _below(child))]


def _memory_bytes(pid: int, kind: str = "Private_") -> int:
    """Bytes of this kind in smaps."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(kind))


async def _added(stack: Stack, count: int) -> list[Row]:
    """One replica, called alternately through the router and by a loop on its own socket."""
    routed, bare = [], []
    app = App(stack.env)
    app.save()
    app.create(SERVER_BASED)
    line = http.client.HTTPConnection(app.address, timeout=30)
    socket = Path(DataFolder(stack.data).secret("host-socket") or "") / "host" / "socket"
    async with open_host(socket) as host:
        (replica,) = [each for each in await host.list() if each.labels["app_id"] == app.id]
        async with host.connect(replica.id) as connection:
            for turn in range(count + WARM_UP):
                found = app.ask(line)
                assert found.status == 200, found
                began = time.monotonic()
                await answer(connection, INPUT)
                if turn >= WARM_UP:
                    routed.append(1000 * (found.ended - found.began))
                    bare.append(1000 * (time.monotonic() - began))
    line.close()
    (routed_p50, routed_p99), (bare_p50, bare_p99) = percentiles(routed, 50, 99), percentiles(bare, 50, 99)
    note = f"one replica, called alternately {count} times: through the router, and by a bare loop on its socket"
    return [
        Row(
            "App: router and socket add, p50",
            value=routed_p50 - bare_p50,
            target=Target.at_most(1.5, "ms"),
            note=f"{note}; {routed_p50:.1f} and {bare_p50:.1f} ms",
        ),
        Row(
            "App: router and socket add, p99",
            value=routed_p99 - bare_p99,
            target=Target.at_most(5, "ms"),
            note=f"difference of the p99s, {routed_p99:.1f} and {bare_p99:.1f} ms",
        ),
    ]


def _plain(scratch: Path, runtime: Path) -> list[Row]:
    """A process that loads the SDK for one version: the cost of a deploy and an app without forks."""
    file, port = scratch / "plain.json", free_port()
    file.write_text(json.dumps(multiplies()))
    began = time.monotonic()
    process = subprocess.Popen([runtime / "bin" / "python", PLAIN, file, str(port)])
    try:
        _until(lambda: _asked(port), IMPORT_SECONDS)
        cold = time.monotonic() - began
        memory = _memory_bytes(process.pid) / 1e6
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
