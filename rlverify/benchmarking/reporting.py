"""Reporting: what `rlverify compare` found out, as lines to print; computes nothing."""

from typing import Any

from rich.text import Text

from rlverify.benchmarking.contesting import Comparison, Size
from rlverify.benchmarking.inference import COVERAGE, Interval
from rlverify.reporting import verdict_lines
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
