"""pgbench: the same statements sent directly to Postgres."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.load.bench import tools
from tests.load.bench.percentile import percentiles
from tests.load.bench.result import Load, Unmeasurable

_TPS = re.compile(r"tps = ([\d.]+) \(without initial connection time\)")
_COUNT = re.compile(r"number of transactions actually processed: (\d+)")
_FAILED = re.compile(r"number of failed transactions: (\d+)")


@dataclass(frozen=True, slots=True)
class Script:
    """The statements that each client repeats. Variables are sent as parameters."""

    sql: str
    variables: Mapping[str, str] = field(default_factory=dict)


def drive(script: Script, url: str, clients: int, seconds: float, scratch: Path) -> Load:
    """Raises Unmeasurable when a transaction fails."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        (folder / "script.sql").write_text(script.sql)
        words = [tools.program("pgbench"), "--no-vacuum", "--protocol=prepared", f"--file={folder / 'script.sql'}"]
        words += [f"--client={clients}", "--jobs=1", f"--time={max(1, round(seconds))}"]
        words += ["--log", f"--log-prefix={folder / 'log'}"]
        words += [word for variable, value in script.variables.items() for word in ("-D", f"{variable}={value}")]
        output = tools.run([*words, url], seconds)
        took = [int(line.split()[2]) for log in folder.glob("log.*") for line in log.read_text().splitlines()]
    return parse(output, took)


def parse(output: str, took_us: list[int]) -> Load:
    tps, count, failed = _TPS.search(output), _COUNT.search(output), _FAILED.search(output)
    if tps is None or count is None:
        raise Unmeasurable("pgbench printed no results")
    if failed is not None and int(failed[1]):
        raise Unmeasurable(f"pgbench: {failed[1]} transactions failed")
    p50, p99 = percentiles((took / 1000 for took in took_us), 50, 99)
    return Load(float(tps[1]), p50, p99, int(count[1]))
