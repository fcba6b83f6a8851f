"""The outcome as text: Markdown, or the same table without its bars."""

from collections.abc import Iterable, Mapping, Sequence

from comparison.goals import Goal, Medians

UNITS = {
    "rate": "GB/s",
    "cpu": "CPU s/GB",
    "p50": "p50 us",
    "p99": "p99 us",
    "each": "CPU us each",
    "conns": "connections/s",
    "busy": "MiB busy",
    "rest": "MiB at rest",
    "memory": "KiB each",
    "after": "x after a burst",
    "descriptors": "descriptors each",
    "first": "ms",
    "speed": "MB/s",
    "core": "% of a core",
    "started": "ms to start",
    "kept": "% arrived",
    "slower": "x as late",
}
_NOT_MEASURED = "not measured"


def number(value: float | None) -> str:
    """Return a figure with three significant digits."""
    if value is None:
        return _NOT_MEASURED
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(head: Sequence[str], lines: Iterable[Sequence[str]], markdown: bool) -> str:
    """Return lines of equally many cells, in columns."""
    body = [list(line) for line in lines]
    widths = [max(len(line[place]) for line in (head, *body)) for place in range(len(head))]
    rule = ["-" * width for width in widths]
    bars = ("| ", " | ", " |") if markdown else ("", "  ", "")
    rows = (
        bars[1].join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in (list(head), rule, *body)
    )
    return "\n".join((bars[0] + row + bars[2]).rstrip() for row in rows)


def goals(titles: Mapping[str, str], wanted: Sequence[Goal], medians: Medians, markdown: bool) -> str:
    """Return the table of goals: figure, the peer's figure, ratio, goal, met or not.

    The titles are those of the rows by their names, here and in `figures`.
    """
    lines = []
    for goal in wanted:
        own = medians.get((goal.row, "ferrule"), {}).get(goal.figure)
        other = medians.get((goal.row, goal.peer), {}).get(goal.figure) if goal.peer else None
        met = goal.met(medians)
        lines.append(
            (
                titles[goal.row],
                UNITS[goal.figure],
                number(own),
                number(other) if goal.peer else "",
                number(goal.ratio(medians)) if goal.peer else "",
                goal.describe(),
                {True: "yes", False: "NO", None: _NOT_MEASURED}[met],
            )
        )
    return table(("row", "figure", "ferrule", "peer", "ratio", "goal", "met"), lines, markdown)


def figures(
    titles: Mapping[str, str],
    runs: Mapping[tuple[str, str], Sequence[Mapping[str, float]]],
    medians: Medians,
    markdown: bool,
) -> str:
    """Return the table of every peer's figures: the median, and the least and the most of the runs."""
    peers = list(dict.fromkeys(peer for row in titles for named, peer in runs if named == row))
    lines = []
    for row, title in titles.items():
        names = dict.fromkeys(name for peer in peers for name in medians.get((row, peer), ()))
        for name in names:
            cells = []
            for peer in peers:
                values = [run[name] for run in runs.get((row, peer), ()) if name in run]
                middle = medians.get((row, peer), {}).get(name)
                spread = f" [{number(min(values))}-{number(max(values))}]" if len(values) > 1 else ""
                cells.append("" if middle is None else number(middle) + spread)
            lines.append((title, UNITS[name], *cells))
    return table(("row", "figure", *peers), lines, markdown)
