"""The table in Markdown, with the circumstances of the run."""

from collections.abc import Sequence

from tests.load.bench.report.summary import summary
from tests.load.bench.report.table import HEADINGS, cells
from tests.load.bench.result import Row

METHOD = """\
Everything runs on one machine: `flowpin up` (embedded Postgres, fsync on; both services and the gateway, one process
each; authentication and a log line a call on), and on the same cores what drives it: `h2load` for gRPC (32 calls under
way), `wrk` for REST (32 connections, answers checked), `pgbench` with the statements that the service itself sends,
recorded from it, as the floor. A ceiling is driven before and after each of our drives, and the ratio is the median
over the pairs; an answer that is not a success makes a row invalid. The ceiling of the REST rows is `Ping`, which goes
the same way: the gateway batches it as it batches the busiest routes.
`wrk` corrects its percentiles for coordinated omission. The mix and the restarts are driven in an open loop of our own:
the times of all calls are fixed in advance, and a call is timed from when it was due.
CPU is user and system time of each process over the drive, by call (g gateway, w workflow service, d deploy service,
p Postgres with its backends). A missed row stays in the table. "missed, as stripped" is counted apart: a program of
only the unavoidable steps, in the same run, misses the target as well, and ours is at 85 % of its rate or more."""


def markdown(rows: Sequence[Row], where: str, *, quick: bool) -> str:
    lines = [f"Measured {where}{', `--quick`' if quick else ''}.", "", f"{summary(rows)}.", "", METHOD, ""]
    lines += [_line(HEADINGS), _line(["---"] + ["---:"] * (len(HEADINGS) - 2) + ["---"])]
    lines += [_line(cells(row)) for row in rows]
    lines += ["", "What each row is:", ""]
    lines += [f"- **{row.name}**: {row.problem or row.note}" for row in rows if row.problem or row.note]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
