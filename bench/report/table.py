"""The table for the terminal."""

from statistics import median

from report.measure import Result
from report.rows import GOALS, RAW, Goal, Row

# From here on the generator's core is busy: the rate is its limit as much as the server's.
GENERATOR_LIMIT = 0.95
# With less, on both cores, something else ran there.
QUIET = 0.5
# Of the rate from run to run, as part of its median; above it the median says little.
STEADY = 0.3

FIGURES = {
    "rate": "rate",
    "server_cpu_us": "CPU",
    "server_user_us": "user CPU",
    "reply_bytes": "reply",
    "idle_bytes": "idle",
    "after_bytes": "after traffic",
    "one": "1 in flight",
    "sixteen": "16 in flight",
}

# What a row shows, as heading and figure, in place of rates.
SPECIAL = {
    "idle": {"idle": "idle_bytes", "after a message": "after_bytes", "all closed": "closed_bytes", "process before": "before_bytes"},
    "idle-room": {"idle": "idle_bytes", "all closed": "closed_bytes", "process before": "before_bytes"},
    "idle-v1": {
        "idle": "idle_bytes",
        "after a minute": "after_bytes",
        "all closed": "closed_bytes",
        "process before": "before_bytes",
        "CPU us": "minute_cpu_us",
        "user us": "minute_user_us",
    },
    "instructions": {"1 in flight": "one", "16 in flight": "sixteen"},
}


def ratio(result: Result, raw: Result | None, figure: str = "rate") -> float | None:
    """Of the medians of the same runs."""
    ours, theirs = result.figure(figure), raw.figure(figure) if raw else None
    return ours / theirs if ours is not None and theirs else None


def spread(result: Result, raw: Result) -> str:
    """Of the ratio, from run to run."""
    ratios = [ours["rate"] / theirs["rate"] for ours, theirs in zip(result.runs, raw.runs)]
    return f"{min(ratios):.2f}..{max(ratios):.2f}" if len(ratios) > 1 else ""


def unsteady(results: dict[str, Result]) -> str:
    found = []
    for name, result in results.items():
        rates = [run["rate"] for run in result.runs if "rate" in run]
        if rates and (apart := (max(rates) - min(rates)) / median(rates)) > STEADY:
            found.append(f"{name} {apart:.0%}")
    return ", ".join(found)


def number(value: float | None) -> str:
    """With three digits that count, or all."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 if abs(value) < 10 else 1}f}" if abs(value) >= 1 else f"{value:.3f}"


def lines(row: Row, results: dict[str, Result], zlib: float) -> list[str]:
    """The row as a table, and its goals."""
    head, cells = special(row, results) if row.name in SPECIAL else usual(row, results)
    table = aligned([head, *cells])
    for name, result in results.items():
        if result.reason not in ("", "-"):
            table.append(f"{name} {result.reason}")
    missing = [name for name, result in results.items() if result.reason == "-"]
    if missing:
        table.append(f"can't: {', '.join(missing)}")
    if any((result.figure("generator_cpu") or 0) >= GENERATOR_LIMIT for result in results.values()):
        table.append("* the generator was the limit: compare CPU")
    if names := unsteady(results):
        table.append(f"~ rates differ by more than {STEADY:.0%} of the median from run to run: {names}")
    if all(busiest(result) < QUIET for result in results.values() if result.runs) and row.name not in SPECIAL:
        table.append("! no server and no generator had its core for itself: rates mean nothing")
    return [f"{row.name}: {row.title}", *table, *(verdict for _, verdict in verdicts(row, results, zlib)), ""]


def busiest(result: Result) -> float:
    return max(result.figure("server_cpu") or 0, result.figure("generator_cpu") or 0)


def usual(row: Row, results: dict[str, Result]) -> tuple[list[str], list[list[str]]]:
    """CPU is the server's for each message; the last columns say how busy the two cores were."""
    raw = results.get(RAW)
    head = [f"{row.unit}", "rate/s", "ratio", "min..max", "CPU us", "user us", "p50 us", "p99 us", "server", "load"]
    if row.name == "deflate":
        head.append("reply B")
    cells = []
    for name, result in results.items():
        if not result.runs:
            continue
        busy = result.figure("generator_cpu") or 0
        line = [name, number(result.figure("rate"))]
        line += [f"{ratio(result, raw):.2f}", spread(result, raw)] if raw and raw.runs else ["-", ""]
        line += [number(result.figure(figure)) for figure in ("server_cpu_us", "server_user_us", "p50_us", "p99_us")]
        line.append(f"{result.figure('server_cpu'):.0%}")
        line.append(f"{busy:.0%}{'*' if busy >= GENERATOR_LIMIT else ''}")
        if row.name == "deflate":
            line.append(number(result.figure("reply_bytes")))
        cells.append(line)
    return head, cells


def special(row: Row, results: dict[str, Result]) -> tuple[list[str], list[list[str]]]:
    figures = SPECIAL[row.name]
    cells = [
        [name, *(number(result.figure(figure)) for figure in figures.values())]
        for name, result in results.items()
        if result.runs
    ]
    return ["server", *figures], cells


def aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(zip(row, widths))).rstrip()
        for row in rows
    ]


def verdicts(row: Row, results: dict[str, Result], zlib: float) -> list[tuple[bool, str]]:
    """Of each goal, for each of our servers that was measured: whether it is met, and the sentence."""
    found = []
    for goal in GOALS:
        for name in goal.servers:
            value = judged(goal, results.get(name), results, zlib) if goal.row == row.name else None
            if value is not None:
                met = goal.met(value)
                to = f" x {goal.to}" if goal.to else ""
                text = f"{name}: {FIGURES[goal.figure]} {number(value)}{to}, goal {goal.sign} {goal.bound:g}"
                other = ratio(results[name], results.get(goal.beside), goal.figure)
                text += f" ({number(other)} x {goal.beside})" if other is not None else ""
                found.append((met, f"goal {'met   ' if met else 'MISSED'} {text}"))
    return found


def judged(goal: Goal, result: Result | None, results: dict[str, Result], zlib: float) -> float | None:
    if result is None or not result.runs:
        return None
    if goal.to == "zlib":
        return result.figure(goal.figure) / zlib
    if goal.to:
        return ratio(result, results.get(goal.to), goal.figure)
    return result.figure(goal.figure)
