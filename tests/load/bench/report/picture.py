"""A picture with a bar for each row that has a target, readable on dark and light backgrounds."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from tests.load.bench.result import AS_STRIPPED, Row

WIDTH, BAR_HEIGHT, STEP, TOP = 960, 14, 24, 66
NAMES, FULL = 250, 340
"""The start of the bars, and the length of a bar that just meets its target."""
LONGEST = 1.35
COLOURS = {"passed": "#2f9e5b", "missed": "#d1495b", AS_STRIPPED: "#3f7fb5"}
STYLE = """
    text { font: 12px system-ui, sans-serif; fill: #24292f; }
    .title { font-weight: 600; font-size: 14px; }
    .faint { fill: #57606a; }
    .line { stroke: #57606a; }
    .track { fill: #8884; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; } .faint { fill: #9da7b1; } .line { stroke: #9da7b1; }
    }
"""


def svg(rows: Sequence[Row]) -> str:
    drawn = [row for row in rows if row.target is not None and row.value is not None]
    height = TOP + STEP * len(drawn) + 12
    met = NAMES + FULL
    bars = "\n".join(_bar(row, TOP + STEP * place) for place, row in enumerate(drawn))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" \
height="{height}" role="img" aria-label="Each figure next to its target">
  <style>{STYLE}  </style>
  <text class="title" x="12" y="22">Each figure next to its target</text>
{_legend(drawn)}
  <text class="faint" x="{met}" y="{TOP - 14}" text-anchor="middle">target</text>
{bars}
  <line class="line" x1="{met}" x2="{met}" y1="{TOP - 8}" y2="{height - 8}" stroke-dasharray="3 3"/>
</svg>
"""


def progress(row: Row) -> float:
    """The value relative to its target: 1 just meets it, more is better, for both kinds of targets."""
    if row.target is None or row.value is None:
        return 0.0
    if row.target.is_least:
        return max(0.0, row.value / row.target.bound)
    if row.value <= 0:
        return LONGEST
    return row.target.bound / row.value


def _legend(rows: Sequence[Row]) -> str:
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in COLOURS}
    return "\n".join(
        f'  <rect x="{x}" y="33" width="10" height="10" rx="2" fill="{COLOURS[verdict]}"/>\n'
        f'  <text x="{x + 16}" y="42">{count} {verdict}</text>'
        for x, (verdict, count) in zip((12, 112, 212), counts.items(), strict=True)
    )


def _bar(row: Row, y: int) -> str:
    length = FULL * min(LONGEST, progress(row))
    middle = y + BAR_HEIGHT - 3
    text = f"{row.shown_value} ({row.target})" + ("" if row.verdict == "passed" else f" {row.verdict}")
    return "\n".join(
        (
            f'  <text x="{NAMES - 10}" y="{middle}" text-anchor="end">{escape(row.name)}</text>',
            f'  <rect class="track" x="{NAMES}" y="{y}" width="{FULL * LONGEST:.0f}" height="{BAR_HEIGHT}" rx="3"/>',
            f'  <rect x="{NAMES}" y="{y}" width="{length:.1f}" height="{BAR_HEIGHT}" rx="3" '
            f'fill="{COLOURS.get(row.verdict, "#888")}"/>',
            f'  <text class="faint" x="{NAMES + FULL * LONGEST + 8:.0f}" y="{middle}">{escape(text)}</text>',
        )
    )
