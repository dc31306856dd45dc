"""The groups of rows in the order of measurement. `--rows` accepts these names."""

from collections.abc import Callable, Mapping

from tests.load.bench.context import Bench
from tests.load.bench.result import Row
from tests.load.bench.rows import (
    apps,
    deploys,
    flat,
    large,
    mix,
    overload,
    process_restart,
    reads,
    restart,
    saves,
    storage,
    tls,
    workers,
)
from tests.load.bench.seeds import Seeds

Measure = Callable[[Bench, Seeds], list[Row]]

GROUPS: Mapping[str, Measure] = {
    "grpc-read": reads.grpc,
    "grpc-read-uncached": reads.grpc_uncached,
    "rest-read": reads.rest,
    "save-spread": saves.spread,
    "save-one": saves.one_workflow,
    "deploy": deploys.deploys,
    "deploy-cpu": deploys.cpu,
    "mix": mix.mix,
    "pages": flat.pages,
    "flat": flat.flat,
    "large": large.large,
    "overload-saves": overload.saves,
    "overload-reads": overload.reads,
    "overload-grpc": overload.grpc,
    "tls": tls.tls,
    "storage": storage.storage,
    "workers": workers.workers,
    "apps": apps.apps,
}
AFTER_RESTART: Mapping[str, Measure] = {
    "start": restart.start,
    "memory": restart.memory,
    "flat-million": flat.million,
    "process-restart": process_restart.restarts,
}
"""Groups that get a restarted stack on the same data."""
LONG = ("tls", "storage", "process-restart", "workers", "apps")
"""Groups that --quick leaves out unless they are named."""
