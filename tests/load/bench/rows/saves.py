"""Saves on many workflows next to an empty RPC with the same body, and saves on one workflow next to pgbench."""

from tests.load.bench import floors
from tests.load.bench.context import Bench
from tests.load.bench.request import post
from tests.load.bench.result import Row, Target
from tests.load.bench.rows.cpu import cpu_row
from tests.load.bench.seeds import SPREAD, Seeds
from tests.load.bench.wrk import CONNECTIONS


def spread(bench: Bench, seeds: Seeds) -> list[Row]:
    """REST saves on a hundred workflows."""
    body, seconds = bench.content.body, bench.seconds(5, 1)
    saves = [post(f"{history.path}/save", body) for history in seeds.spread]
    compared = bench.compare(
        lambda: bench.rest(post("/v1/ping", body), seconds),
        lambda: bench.rest(saves, seconds),
        pairs=3 if not bench.quick else 2,
    )
    return [
        Row(
            "Save, spread",
            load=compared.ours,
            ceiling=compared.ceiling.rate,
            value=compared.percent,
            target=Target.at_least(50, "%"),
            note=f"POST …/save of {len(body):,} bytes over {SPREAD} workflows, against POST /v1/ping of the same body",
            raw=compared.raw,
        ),
        cpu_row("REST save", compared, "POST /v1/ping of the same body"),
    ]


def one_workflow(bench: Bench, seeds: Seeds) -> list[Row]:
    """REST saves on one workflow, which wait for each other."""
    body, seconds = bench.content.body, bench.seconds(5, 1)
    history = seeds.spread[0]
    script = floors.save_script(bench, seeds.spread[1])
    compared = bench.compare(
        lambda: bench.pgbench(script, floors.WORKFLOW, CONNECTIONS, seconds),
        lambda: bench.rest(post(f"{history.path}/save", body), seconds),
        pairs=3 if not bench.quick else 2,
    )
    return [
        Row(
            "Save, one workflow",
            load=compared.ours,
            ceiling=compared.ceiling.rate,
            value=compared.percent,
            target=Target.at_least(60, "%"),
            note=f"POST …/save on one workflow, against pgbench with its statement on one row, {CONNECTIONS} callers",
            raw=compared.raw,
        )
    ]
