"""The table on the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.load.bench.result import AS_STRIPPED, Load, Row, shown

COLOURS = {"passed": "green", "missed": "red", AS_STRIPPED: "cyan", "not measured": "yellow", "": "default"}
HEADINGS = ("row", "rate /s", "p50 ms", "p99 ms", "CPU µs a call", "ceiling /s", "found", "target", "")
LETTERS = {"gateway": "g", "workflow": "w", "deploy": "d", "postgres": "p"}


def cells(row: Row) -> tuple[str, ...]:
    """One cell for each heading."""
    return (
        row.name,
        *_of_load(row.load),
        shown(row.ceiling, "") if row.ceiling is not None else "",
        row.shown_value,
        str(row.target) if row.target else "",
        row.verdict,
    )


def cpu(load: Load) -> str:
    """CPU by process, without idle ones."""
    used = ((letter, load.cpu_us.get(name, 0)) for name, letter in LETTERS.items())
    return " ".join(f"{letter} {us:,.0f}" for letter, us in used if us >= 1)


def print_table(rows: Sequence[Row], console: Console) -> None:
    table = Table(title="Flowpin on this machine", caption="CPU of g gateway, w workflow, d deploy service, p Postgres")
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if 0 < number < len(HEADINGS) - 1 else "left", no_wrap=number == 0)
    for row in rows:
        table.add_row(*cells(row), style=COLOURS[row.verdict])
    console.print(table)
    for row in rows:
        if row.problem:
            console.print(f"[yellow]{row.name} was not measured:[/] {row.problem}", highlight=False)


def _of_load(load: Load | None) -> tuple[str, str, str, str]:
    if load is None:
        return "", "", "", ""
    return shown(load.rate, ""), shown(load.p50_ms, ""), shown(load.p99_ms, ""), cpu(load)
