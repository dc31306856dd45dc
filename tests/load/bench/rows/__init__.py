"""The rows, in the order they are measured. `--rows` takes these names."""

from collections.abc import Callable, Mapping

from tests.load.bench.context import Bench
from tests.load.bench.result import Row
from tests.load.bench.rows import deploys, flat, large, overload, reads, restart, saves
from tests.load.bench.seeds import Seeds

Measure = Callable[[Bench, Seeds], list[Row]]

GROUPS: Mapping[str, Measure] = {
    "grpc-read": reads.grpc,
    "grpc-read-uncached": reads.grpc_uncached,
    "rest-read": reads.rest,
    "save-spread": saves.spread,
    "save-one": saves.one_workflow,
    "deploy": deploys.deploys,
    "pages": flat.pages,
    "flat": flat.flat,
    "large": large.large,
    "overload-saves": overload.saves,
    "overload-reads": overload.reads,
    "overload-grpc": overload.grpc,
}
AFTER_RESTART: Mapping[str, Measure] = {"start": restart.start, "memory": restart.memory, "flat-million": flat.million}
"""These get a stack that was started anew on the same data."""
