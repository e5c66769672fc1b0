"""What is made of strangers' functions: `python tests/strangers_table.py`.

Judges every row of `update_strangers.py` and `value_strangers.py` and writes docs/strangers.md;
`--check` writes nothing. `test_strangers_updates.py` and `test_strangers_values.py` judge the rows
one by one, and fail where the page is stale.
"""

import inspect
import sys
from itertools import groupby
from pathlib import Path

from update_strangers import BUDGET
from update_strangers import ROWS as UPDATES
from value_strangers import ROWS as VALUES

ROWS = [*VALUES, *UPDATES]
PAGE = Path(__file__).resolve().parents[1] / "docs" / "strangers.md"
COMMAND = "python tests/strangers_table.py"

HEAD = f"""\
# Strangers' functions, and their verdicts

Written by `{COMMAND}`, which judges every function on {BUDGET} draws; tests do the same. The
functions stand in `tests/strangers`, spelt as libraries and tutorials spell them; names and
built-in values are understood as `docs/calling.md` says, and where a call is shown it has to be
declared. `right` is EXACT, TIGHT or BOUND: within what rounding explains. A convention passes
where it is declared. `rlverify explain NAME` says what the ids mean, and where the report is.

What looks wrong and is not, is right here: the ratio of negated log-probabilities
(`from_negated`), the bound by the sign of the advantage (`edge_by_sign`), the clamp on one side
(`one_sided`), Welford's one sample after another, and what follows an end multiplied by 0, as long
as it is a finite number (`train`). WRONG without an id means that no known mistake
explains it; the sentence of the verdict says what is broken. `svd` is one that is not a mistake:
its weights are orthogonal, but another function of the same normals, so only its laws tell."""


def first_line(row):
    """Return what a function says it does."""
    return inspect.getdoc(row.function).splitlines()[0].rstrip(".")


def page(rows=ROWS):
    """Return the whole page."""
    parts = [HEAD]
    for contract, group in groupby(rows, key=lambda row: row.contract):
        parts += [
            "",
            f"## {contract}",
            "",
            "| function | what it does | verdict |",
            "|---|---|---|",
        ]
        for row in group:
            call = f'<br>`--call "{row.call}"`' if row.call else ""
            name = row.path.partition(":")[2]
            parts.append(f"| `{name}` | {first_line(row)}{call} | {row.verdict} |")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    differing = [f"{row.path}: {found}" for row in ROWS if (found := row.found()) != row.verdict]
    if differing:
        sys.exit("\n".join(["these have other verdicts:", *differing]))
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit(f"stale; run {COMMAND}")
