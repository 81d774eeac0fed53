"""The chart: one group of bars for each row that all servers are in, each bar a server's rate as part of the raw server's."""

from html import escape

from report.measure import Result
from report.rows import RAW, ROWS
from report.table import ratio

WIDTH, NAMES, RIGHT = 760, 180, 56
BAR, GAP, TITLE, TOP = 12, 3, 30, 48
# The raw server, and what may be above it.
FULL = 1.25

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 } .small { font-size: 11px; fill: #57606a }
  .bar { fill: #8c959f } .ours { fill: #1f6feb } .line { stroke: #57606a; stroke-dasharray: 3 3 } .base { stroke: #d0d7de }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .bar { fill: #6e7681 } .ours { fill: #58a6ff } .line { stroke: #9198a1 } .base { stroke: #30363d }
  }
"""


def svg(results: dict[str, dict[str, Result]], machine: dict[str, str]) -> str:
    scale = (WIDTH - NAMES - RIGHT) / FULL
    one = NAMES + scale
    parts, y = [], TOP
    for row in ROWS:
        bars = [] if row.servers else ratios(results.get(row.name, {}))
        if not bars:
            continue
        parts.append(f'<text class="title" x="8" y="{y + 18}">{escape(row.title[0].upper() + row.title[1:])}</text>')
        y += TITLE
        bottom = y + len(bars) * (BAR + GAP)
        parts.append(f'<path class="base" d="M{NAMES + 0.5} {y - 3}V{bottom}"/>')
        parts.append(f'<path class="line" d="M{one:.1f} {y - 3}V{bottom}"/>')
        for name, value in bars:
            kind = "ours" if name.startswith(("fullduplex", "hub")) else "bar"
            width = min(value, FULL) * scale
            middle = y + BAR - 2
            parts.append(f'<text x="{NAMES - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect class="{kind}" x="{NAMES}" y="{y}" width="{width:.1f}" height="{BAR}"/>')
            # In a column of their own, where no bar and no line meets them.
            parts.append(f'<text class="small" x="{WIDTH - 8}" y="{middle}" text-anchor="end">{value:.2f}</text>')
            y += BAR + GAP
    title = f"Rate as part of a raw epoll server's, one core, {machine['cpu']}, {machine['date']}"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 12}" width="{WIDTH}" height="{y + 12}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="small" x="8" y="20">{escape(title)}</text>',
        f'<text class="small" x="{one:.1f}" y="{TOP - 4}" text-anchor="middle">{RAW}</text>',
        *parts,
        "</svg>",
        "",
    ])


def ratios(results: dict[str, Result]) -> list[tuple[str, float]]:
    raw = results.get(RAW)
    values = [(name, ratio(result, raw)) for name, result in results.items() if name != RAW]
    return sorted(((name, value) for name, value in values if value is not None), key=lambda bar: -bar[1])
