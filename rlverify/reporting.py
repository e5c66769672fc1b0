"""Reporting: verdicts, rows, matrices and explanations as lines to print; computes nothing.

Every function here takes the width of the terminal, or None for a pipe, and returns lines
(`rlverify.tabulation`). As JSON the same things are told by `rlverify.serialization`.
"""

import math
from collections.abc import Mapping, Sequence

from rich.text import Text

from rlverify.checking import HARD
from rlverify.citations import LEFT_OUT, citation
from rlverify.diagnosis import LEAST_VISIBLE, Matrix
from rlverify.explanation import WIDTH, explain, explanation
from rlverify.judging import Verdict
from rlverify.tabulation import Column, clean, labelled, table, text, wrapped
from rlverify.tallying import Tally
from rlverify.verifying import Row

__all__ = [
    "WIDTH",
    "explain",
    "explanation",
    "headed",
    "left_out_lines",
    "matrix_lines",
    "row_lines",
    "verdict_lines",
]

ROOM = 15  # for the labels of a verdict

_STYLES = {
    "EXACT": "bold green",
    "TIGHT": "bold green",
    "BOUND": "green",
    "CONVENTION": "bold yellow",
    "KNOWN-BIAS": "bold yellow",
    "UNDECIDABLE": "bold magenta",
    "WRONG": "bold red",
}


def number(value: float | None) -> str:
    """Return a figure in few characters; `-` where there is none."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf"
    if value >= 10_000:
        return f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def share(value: float) -> str:
    """Return a share in percent."""
    return (
        f"{100 * value:.0f} %" if value >= LEAST_VISIBLE or value == 0 else f"{100 * value:.1f} %"
    )


def graded(verdict: Verdict, title: str) -> Text:
    """Return a title in the colour of the grade; what passes where declared is yellow or green."""
    style = _STYLES[verdict.grade]
    return text(title, style.replace("yellow", "green") if verdict.ok else style)


# --- a verdict -----------------------------------------------------------------------------------


def verdict_lines(verdict: Verdict, width: int | None) -> list[Text]:
    """Return all that `rlverify check` tells about a candidate."""
    title = graded(verdict, verdict.title)
    title.append(clean(f"  {verdict.name} as {verdict.contract} in {verdict.dtype}"), "bold")
    lines = [*wrapped(title, width), Text()]

    def say(label: str, *contents: str) -> None:
        told = [text(content) for content in contents if content]
        lines.extend(labelled(label, told, width, ROOM))

    say("diagnosis", verdict.diagnosis, *(entry.link for entry in verdict.citations))
    say("convention", *_convention(verdict))
    excuses = [note for note in verdict.notes if "excuse" in note.split(":")[0]]
    say("called", verdict.call, *(note for note in verdict.notes if note not in excuses))
    say("worst error", _worst(verdict))
    if not _speechless(verdict):
        say("precision", verdict.precision)
    say("holds", _held(verdict))
    if verdict.ok and verdict.broken:
        say("differs", f"{len(verdict.broken)} checks fail, as what is declared explains")
    else:
        broken = [tally for tally in verdict.tallies if tally.check in verdict.broken]
        say("broken", *map(_broken, broken))
    say("excused", *excuses)
    say("printed", verdict.printed.strip("\n"))
    if verdict.counterexample:
        # from the first column on and never folded, so that it can be copied into a file
        program = "# the smallest input found that shows it, as a program\n"
        lines += [Text(), *wrapped(text(program + verdict.counterexample), None)]
    return lines


def _speechless(verdict: Verdict) -> bool:
    """Whether there are cases without numbers, so that figures about numbers mislead."""
    return any(f"behaviour: {kind}" in verdict.broken for kind in HARD)


def _worst(verdict: Verdict) -> str:
    where = f", at {verdict.where}" if verdict.where else ""
    if _speechless(verdict):
        return f"no numbers to judge on some of {verdict.draws} cases"
    return f"{number(verdict.worst)} in units of its bound{where}; {verdict.draws} cases"


def _convention(verdict: Verdict) -> list[str]:
    if not verdict.convention and verdict.grade != "KNOWN-BIAS":
        return []
    if verdict.ok:
        return [f"{verdict.qualifier}, as declared"]
    if verdict.grade == "KNOWN-BIAS":
        option = f"  --factor {verdict.qualifier}"
        return ["a constant factor; if that is what you mean, declare it with", option]
    options = " ".join(f"--convention {name}" for name in verdict.convention.split(", "))
    return [f"{verdict.convention}; if that is what you mean, declare it with", f"  {options}"]


def _held(verdict: Verdict) -> str:
    parts = []
    for kind, plural in (("law", "laws"), ("example", "examples"), ("behaviour", "behaviours")):
        asked = [t for t in verdict.tallies if t.check.startswith(f"{kind}: ") and t.applied]
        if asked:
            parts.append(f"{sum(not t.failed for t in asked)} of {len(asked)} {plural}")
    return ", ".join(parts)


def _broken(tally: Tally) -> str:
    count = f"{tally.failed} of {tally.applied} cases"
    failure = tally.finding.failure if tally.finding is not None else None
    happened = f": {failure.sentence}" if failure and tally.check.startswith("behaviour") else ""
    return f"{tally.check} - {tally.sentence} (fails on {count}){happened}"


def headed(explained: str) -> list[Text]:
    """Return an explanation with its headings in bold."""
    lines = explained.splitlines()
    heads = [i == 0 or (line.endswith(":") and line[0] != " ") for i, line in enumerate(lines)]
    return [text(line, "bold" if head else "") for line, head in zip(lines, heads, strict=True)]


# --- rows of `verify` ----------------------------------------------------------------------------

_ROW_COLUMNS = (
    Column("function"),
    Column("dtype"),
    Column("grade"),
    Column("worst", right=True),
    Column("laws", right=True),
    Column("bugs", right=True),
    Column("least visible"),
    Column("rollouts"),
    Column("gradient", right=True),
    Column("ns/element", right=True),
    Column("× copy", right=True),
    Column("ok"),
)
LEGEND = {
    "worst, rollouts, gradient": "greatest error in units of its bound; above 1 is wrong",
    "rollouts": "grade and worst error on recorded ones, and how many there are",
    "bugs": "known bugs killed by a check that works without the reference",
    "least visible": "the bug that the fewest draws show, and their share",
    "× copy": "the time over that of a copy of the same bytes",
}


def row_lines(
    rows: Sequence[Row], machine: Mapping[str, str | int], seconds: float, width: int | None
) -> list[Text]:
    """Return the table of `rlverify verify`, its totals, and all that is wrong."""
    lines = table(_ROW_COLUMNS, [_cells(row) for row in rows], width, keys=2)
    wrong = [row for row in rows if not row.ok]
    mutants = {row.contract: row.mutants for row in rows}
    killed, total = (sum(getattr(m, k) for m in mutants.values()) for k in ("killed", "total"))
    count = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
    told = f"{len(wrong)} of {count} wrong" if wrong else f"{count}, all ok"
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['device']}"
    closing = Text().append(told, "bold red" if wrong else "bold green")
    distinct = len({name for m in mutants.values() for name in m.mistakes})
    closing.append(f"; {killed} of {total} known bugs killed, {distinct} distinct mistakes; ")
    closing.append(f"{seconds:.0f} s on {where}, ")
    closing.append(f"torch {machine['torch']}")
    lines.append(Text())
    for label, meaning in LEGEND.items():
        lines += labelled(label, [text(meaning, "dim")], width, 29)
    lines += [Text(), *wrapped(closing, width)]
    for row in wrong:
        lines += [Text(), *_row_details(row, width)]
    return lines


def _cells(row: Row) -> list[Text]:
    verdict, mutants, (held, laws) = row.verdict, row.mutants, row.laws
    least = f"{mutants.least_visible} {share(mutants.visible)}"
    rollouts = Text("-")
    if row.rollouts is not None:
        rollouts = graded(row.rollouts, row.rollouts.grade)
        rollouts.append(f" {number(row.rollouts.worst)} ({row.rollouts.draws})")
    return [
        text(row.contract, "bold"),
        text(verdict.dtype),
        graded(verdict, verdict.title),
        text(number(verdict.worst), "" if verdict.worst <= 1 else "bold red"),
        text(f"{held}/{laws}", "" if held == laws else "bold red"),
        text(f"{mutants.killed}/{mutants.total}", "bold red" if mutants.unkilled else ""),
        text(least, "yellow" if mutants.visible < LEAST_VISIBLE else ""),
        rollouts,
        text(number(row.gradient), "" if (row.gradient or 0) <= 1 else "bold red"),
        text(number(row.nanoseconds)),
        text(number(row.copies)),
        text("yes", "green") if row.ok else text("NO", "bold red"),
    ]


def _row_details(row: Row, width: int | None) -> list[Text]:
    heading = f"{row.contract} in {row.verdict.dtype} is not right:"
    lines = wrapped(text(heading, "bold red"), width)
    silent = [t.check for t in row.verdict.tallies if t.check.startswith("law") and not t.applied]
    facts = {
        "gradient": f"{number(row.gradient)} in units of its bound"
        if row.gradient is not None and not row.gradient <= 1
        else "",
        "not killed": ", ".join(row.mutants.unkilled),
        "flagged": ", ".join(row.mutants.flagged),
        "said nothing": ", ".join(silent),
    }
    for label, content in facts.items():
        lines += labelled(label, [text(content)] if content else [], width, ROOM)
    if not row.verdict.ok:
        lines += [Text(), *verdict_lines(row.verdict, width)]
    if row.rollouts is not None and not row.rollouts.ok:
        lines += [Text(), Text("  on recorded rollouts:"), *verdict_lines(row.rollouts, width)]
    return lines


# --- the bug × check matrix ----------------------------------------------------------------------


def matrix_lines(matrix: Matrix, width: int | None) -> list[Text]:
    """Return the block of one function: a row a known bug, a letter a check that kills it."""
    letters = {name: _letter(i) for i, name in enumerate(matrix.checks)}
    columns = (Column("bug"), Column("name"), Column("visible", right=True), Column("killed by"))
    rows = []
    for row in matrix.rows:
        marks = " ".join(
            letter if name in row.killed_by else "." * len(letter)
            for name, letter in letters.items()
        )
        rows.append(
            [
                text(row.bug.id, "bold"),
                text(citation(row.bug.id).name),
                text(share(row.visible), "bold red" if row.visible < LEAST_VISIBLE else ""),
                text(marks) if row.killed_by else text("no check: EMPTY ROW", "bold red"),
            ]
        )
    lines = [text(matrix.contract.name, "bold"), Text(), *table(columns, rows, width), Text()]
    for name, letter in letters.items():
        kills = sum(name in row.killed_by for row in matrix.rows)
        told = text(f"{letter}  {name} ")
        if name in matrix.idle:
            told.append("EMPTY COLUMN", "bold red")
        else:
            told.append(f"(kills {kills})", "dim")
        lines += wrapped(told, width)
    problems = matrix.holes
    lines += [Text(), *(line for told in problems for line in wrapped(text(told, "red"), width))]
    return lines if problems else lines[:-1]


def _letter(i: int) -> str:
    """Return a name for column i: a to z, then a1, b1, ..."""
    return chr(ord("a") + i % 26) + (str(i // 26) if i >= 26 else "")


def left_out_lines(width: int | None) -> list[Text]:
    """Return the mistakes that no edit of these functions expresses, with the reasons."""
    lines = [text("Left out, because no edit of these functions expresses them", "bold"), Text()]
    for bug_id, reason in LEFT_OUT.items():
        lines += labelled(bug_id, [text(reason)], width, 11)
    return lines
