"""Deploy and rollback by one caller next to pgbench with the same statements, and the CPU of many callers."""

import json
from itertools import islice, repeat

from tests.load.bench import floors
from tests.load.bench.caller import Caller
from tests.load.bench.context import Bench
from tests.load.bench.percentile import percentiles
from tests.load.bench.request import Request, post
from tests.load.bench.result import Load, Row, Target
from tests.load.bench.rows.cpu import PING, cpu_row
from tests.load.bench.seeds import Seeds

LEAST_MS = 15.0
TIMES_FLOOR = 8.0


def deploys(bench: Bench, seeds: Seeds) -> list[Row]:
    """Each deploy is of a version saved just before. Each rollback returns to what was live before."""
    app_id, floor_app = seeds.app(seeds.read), seeds.app(seeds.read)
    script = floors.deploy_script(bench, floor_app)
    seconds, count = bench.seconds(5, 1), 1000 if not bench.quick else 150
    deploy = post(f"/v1/apps/{app_id}/deploy", b'{"workflow_id": "%s"}' % seeds.read.workflow_id.encode())
    rollback = post(f"/v1/apps/{app_id}/rollback", b"{}")
    before = bench.pgbench(script, floors.DEPLOY, 1, seconds)
    with bench.caller() as caller:
        save = post(f"{seeds.read.path}/save", bench.content.body)
        deployed = bench.metered(lambda: _after_saves(caller, save, deploy, count))
        rolled_back = bench.metered(lambda: caller.drive(islice(repeat(rollback), count), 60))
    after = bench.pgbench(script, floors.DEPLOY, 1, seconds)
    floor = (before.p99_ms + after.p99_ms) / 2
    bound = max(LEAST_MS, TIMES_FLOOR * floor)
    note = f"p99 at one caller; 15 ms, or 8 times pgbench's p99 for the statements that write it, {floor:.1f} ms"
    raw = {"pgbench_p99_ms": [before.p99_ms, after.p99_ms], "pgbench_rate": [before.rate, after.rate]}
    return [
        Row(name, load, before.rate, load.p99_ms, target=Target.at_most(bound, "ms"), note=note, raw=raw)
        for name, load, note in (
            ("Deploy", deployed, f"{note}; CPU with the save before each"),
            ("Rollback", rolled_back, note),
        )
    ]


def cpu(bench: Bench, seeds: Seeds) -> list[Row]:
    """Deploys by many callers on fifty apps."""
    deploys, seconds = of_apps(seeds), bench.seconds(5, 1)
    compared = bench.compare(
        lambda: bench.rest(PING, seconds), lambda: bench.rest(deploys, seconds), pairs=3 if not bench.quick else 1
    )
    return [cpu_row("deploy", compared, "GET /v1/ping")]


def of_apps(seeds: Seeds) -> list[Request]:
    """Requests that deploy another version than the live one, app after app."""
    workflow_id = seeds.read.workflow_id
    return [
        post(
            f"/v1/apps/{app_id}/deploy",
            json.dumps({"workflow_id": workflow_id, "workflow_version_id": version_id}).encode(),
        )
        for version_id in seeds.read.version_ids[:2]
        for app_id in seeds.apps
    ]


def _after_saves(caller: Caller, save: Request, deploy: Request, count: int) -> Load:
    """Only the deploys are timed."""
    took = []
    for _ in range(count):
        caller.send(save)
        took.append(caller.timed(deploy))
    p50, p99 = percentiles(took, 50, 99)
    return Load(1000 * len(took) / sum(took), p50, p99, len(took))
