"""Reads and saves with `flowpin up --tls` next to the same without TLS."""

from tests.load.bench.context import Bench, Drive
from tests.load.bench.request import Request, post
from tests.load.bench.result import Row
from tests.load.bench.rows.cpu import cpu_row
from tests.load.bench.seeds import Seeds
from tests.load.bench.stack import running

NOTE = "of the rate without TLS, on connections that stay open; the gateway's channels to the services use TLS too"


def tls(bench: Bench, seeds: Seeds) -> list[Row]:
    """Rates on open connections, in percent of those without TLS in the same run."""
    with running(bench.scratch / "tls", "--tls") as stack:
        there = bench.on(stack)
        encrypted = Seeds(there)
        rows = []
        for what, plain, ours in (
            ("read", _read(bench, seeds), _read(there, encrypted)),
            ("save", _save(bench, seeds), _save(there, encrypted)),
        ):
            compared = bench.compare(plain, ours, pairs=3 if not bench.quick else 2)
            name = f"REST {what}, TLS"
            rows.append(
                Row(
                    name,
                    load=compared.ours,
                    ceiling=compared.ceiling.rate,
                    value=compared.percent,
                    unit="%",
                    note=NOTE,
                    raw=compared.raw,
                )
            )
            rows.append(cpu_row(name, compared, f"a REST {what} without TLS"))
        return rows


def _read(bench: Bench, seeds: Seeds) -> Drive:
    reads = [Request(path) for path in seeds.read.version_paths]
    return lambda: bench.rest(reads, bench.seconds(5, 1))


def _save(bench: Bench, seeds: Seeds) -> Drive:
    saves = [post(f"{history.path}/save", bench.content.body) for history in seeds.spread]
    return lambda: bench.rest(saves, bench.seconds(5, 1))
