"""Commanding: `rlverify compare` and `rlverify bench`, once their words are understood."""

from collections.abc import Sequence
from typing import Any

from rlverify.benchmarking.contesting import contest
from rlverify.benchmarking.reporting import comparison_lines, comparison_record
from rlverify.preparation import usage
from rlverify.presentation import Desk


def shapes_of(given: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the sizes that words such as `128x4096` stand for.

    Raises:
        ValueError: one stands for none.
    """
    found = []
    for word in given:
        parts = word.split("x")
        if not all(part.isascii() and part.isdigit() and int(part) for part in parts):
            raise ValueError(f"--sizes came with {word!r}, wanted sizes such as 2048x8.")
        found.append(tuple(map(int, parts)))
    return found


def compare(
    desk: Desk, old: str, new: str, name: str, *, sizes: Sequence[str], strict: bool, **options: Any
) -> bool:
    """Tell whether one function may take the place of another; return whether it may."""
    with usage(), desk.progression(1) as progress:
        found = contest(old, new, name, sizes=shapes_of(sizes), **options, advance=progress.step)
        progress.done(f"{new}: {found.verdict}")
    ok = found.ok and not (strict and found.verdict == "INCONCLUSIVE")
    asked = {"old": old, "new": new, "contract": name, "sizes": sizes, "strict": strict, **options}
    desk.write(asked, [comparison_record(found)], ok=ok)
    desk.say(comparison_lines(found, options["threshold"], desk.width))
    return ok
