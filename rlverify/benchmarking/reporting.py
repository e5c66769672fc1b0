"""Reporting: what `compare` and `bench` found out, as lines to print; computes nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from rlverify.benchmarking.conservation import Move
from rlverify.benchmarking.contesting import Comparison, Size
from rlverify.benchmarking.inference import COVERAGE, Interval
from rlverify.benchmarking.measurement import Row
from rlverify.reporting import number, verdict_lines
from rlverify.serialization import verdict_record
from rlverify.tabulation import Column, labelled, table, text, wrapped

ROOM = 15
_STYLES = {
    "FASTER": "bold green",
    "SAME": "bold green",
    "INCONCLUSIVE": "bold yellow",
    "SLOWER": "bold red",
    "WRONG": "bold red",
}
_COLUMNS = (
    Column("size"),
    Column("elements", right=True),
    Column("old", right=True),
    Column("new", right=True),
    Column("new / old", right=True),
    Column("interval", right=True),
    Column("old / old", right=True),
    Column("rounds", right=True),
    Column("verdict"),
)


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it, with three digits."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _between(interval: Interval) -> str:
    return f"{interval.low:.3f} to {interval.high:.3f}"


def _cells(size: Size) -> list[Text]:
    race = size.race
    return [
        text("x".join(map(str, size.shape)), "bold"),
        text(str(size.elements)),
        text(duration(race.seconds[0])),
        text(duration(race.seconds[2])),
        text(f"{race.ratio.ratio:.3f}"),
        text(_between(race.ratio)),
        text(_between(race.same)),
        text(str(race.rounds)),
        text(race.verdict, _STYLES[race.verdict]),
    ]


def comparison_lines(found: Comparison, threshold: float, width: int | None) -> list[Text]:
    """Return all that `rlverify compare` tells."""
    title = text(found.verdict, _STYLES[found.verdict])
    title.append(f"  {found.names[1]} against {found.names[0]}", "bold")
    title.append(f" as {found.contract} in {found.dtype}", "bold")
    lines = [*wrapped(title, width), Text()]
    wrong = [verdict for verdict in found.verdicts if not verdict.ok]
    for name, verdict in zip(found.names, found.verdicts, strict=True):
        told = f"{verdict.title}, {verdict.draws} cases, called {verdict.call}"
        lines += labelled("old" if name is found.names[0] else "new", [text(told)], width, ROOM)
    if found.foul:
        lines += labelled("not timed", [text(found.foul, "red")], width, ROOM)
    for verdict in wrong:
        lines += [Text(), *verdict_lines(verdict, width)]
    if found.sizes:
        lines += [Text(), *table(_COLUMNS, [_cells(size) for size in found.sizes], width), Text()]
        meanings = {
            "interval": f"{100 * COVERAGE:.0f} % bootstrap interval of the median paired ratio",
            "old / old": "the same for the old one in two processes: what cannot be told apart",
            "threshold": f"{threshold:g}; a smaller ratio does not matter",
        }
        for label, meaning in meanings.items():
            lines += labelled(label, [text(meaning, "dim")], width, ROOM)
    return lines


def comparison_record(found: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data."""
    return {
        **{k: v for k, v in vars(found).items() if k not in ("sizes", "verdicts")},
        "verdicts": [verdict_record(verdict) for verdict in found.verdicts],
        "sizes": [
            {
                "shape": size.shape,
                "elements": size.elements,
                **vars(size.race),
                "ratio": vars(size.race.ratio),
                "same": vars(size.race.same),
                "seconds": dict(zip(("old", "again", "new"), size.race.seconds, strict=True)),
            }
            for size in found.sizes
        ],
    }


# --- rows of `bench` -----------------------------------------------------------------------------

_ROW_COLUMNS = (
    Column("function"),
    Column("size"),
    Column("runner"),
    Column("time", right=True),
    Column("± %", right=True),
    Column("ns/element", right=True),
    Column("× floor", right=True),
    Column("% of floor", right=True),
    Column("floor"),
)
LEGEND = {
    "± %": f"half of the {100 * COVERAGE:.0f} % bootstrap interval of the median",
    "× floor": "the time over that of the floor, in the same minute",
    "% of floor": "the time of the floor over it",
    "copy": "a copy of the bytes that must be read and written",
    "gradient": "one loss of the same network and its gradient",
}


def _row_cells(row: Row, first: bool) -> list[Text]:
    names = [text(row.contract, "bold"), text("x".join(map(str, row.shape)))]
    names = names if first else [text(""), text("")]
    if row.timing is None:
        untimed = text(f"not timed: {row.problem}", "red")
        return [*names, text(row.runner), untimed, *[text("")] * 5]
    timing, multiple = row.timing, row.multiple or 1.0
    spread = 50 * (timing.high - timing.low) / timing.seconds
    return [
        *names,
        text(row.runner, "bold" if row.runner.startswith("fast") else ""),
        text(duration(timing.seconds)),
        text(f"{spread:.0f}"),
        text(number(row.nanoseconds)),
        text(number(multiple)),
        text(number(100 / multiple)),
        text(f"{row.floor} {duration(row.least)}"),
    ]


def row_lines(rows: Sequence[Row], width: int | None) -> list[Text]:
    """Return the table of `rlverify bench`."""
    cells, before = [], None
    for row in rows:
        cells.append(_row_cells(row, (row.contract, row.shape) != before))
        before = (row.contract, row.shape)
    lines = [*table(_ROW_COLUMNS, cells, width, keys=3), Text()]
    for label, meaning in LEGEND.items():
        lines += labelled(label, [text(meaning, "dim")], width, ROOM)
    return lines


def machine_lines(where: Mapping[str, Any], seconds: float, width: int | None) -> list[Text]:
    """Return what was measured on."""
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    told = (
        f"{seconds:.0f} s on {where['processor']}, {where['cores']} cores, {where['memory']}, "
        f"{where['device']}, {where['threads']} thread{'s' * (where['threads'] > 1)}, "
        f"{where['dtype']}; {versions}"
    )
    return [Text(), *wrapped(text(told), width)]


def move_lines(moved: Sequence[Move], common: int, width: int | None) -> list[Text]:
    """Return what moved between two runs."""
    columns = (
        Column("function"), Column("size"), Column("runner"), Column("before", right=True),
        Column("now", right=True), Column("now / before", right=True),
    )  # fmt: skip
    told = f"{len(moved)} of {common} times moved" if moved else f"none of {common} times moved"
    lines = [Text(), text(told, "bold")]
    cells = [
        [
            text(move.row.contract, "bold"),
            text("x".join(map(str, move.row.shape))),
            text(move.row.runner),
            text(duration(move.before)),
            text(duration(move.row.timing.seconds if move.row.timing else 0.0)),
            text(f"{move.ratio:.2f}", "red" if move.ratio > 1 else "green"),
        ]
        for move in moved
    ]
    return [*lines, *(table(columns, cells, width, keys=3) if moved else [])]
