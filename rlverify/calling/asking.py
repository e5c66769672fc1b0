"""What is asked of a user whose function's names say too little: a declaration, spelt out."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from rlverify.calling.completion import built_in_values
from rlverify.calling.declaration import Given
from rlverify.calling.description import Parameter
from rlverify.calling.expression import untold
from rlverify.contract import Argument


@dataclass(frozen=True)
class Choice:
    """One reading of a parameter: what it is given, and what that means in words."""

    given: Given
    text: str = ""


def call_line(
    name: str,
    given: Sequence[Given],
    parameters: Sequence[Parameter],
    built_in: Sequence[Argument] = (),
) -> str:
    """Return the `--call` line that declares a call."""
    order = [item.name if item.passing != "keyword" else "" for item in parameters]
    parts = []
    for i, item in enumerate(given):
        text = item.source or repr(item.constant)
        by_position = not item.parameter or order[i : i + 1] == [item.parameter]
        parts.append(text if by_position else f"{item.parameter}={text}")
    where = f" where {built_in_values(built_in)}" if built_in else ""
    return f'--call "{name}({", ".join(parts)}){where}"'


def guesses(unknown: list[str], left: list[str]) -> dict[str, list[Given]]:
    """Return what unknown parameters may be given: what nothing else tells, or None."""
    if len(unknown) > 2:  # too many to spell out: one example, in order
        padded = [*left, *[""] * len(unknown)]
        return {name: [Given(name, item)] for name, item in zip(unknown, padded, strict=False)}
    choices = left if len(left) >= len(unknown) else [*left, ""]
    return {name: [Given(name, item) for item in choices] for name in unknown}


def lines(
    name: str,
    parameters: Sequence[Parameter],
    arguments: tuple[Argument, ...],
    readings: dict[str, list[Choice]],
    asked: set[str],
) -> list[str]:
    """Return the declarations that are possible, at most six, with what sets them apart."""
    found: list[str] = []
    for combination in itertools.product(*readings.values()):
        given = [choice.given for choice in combination]
        open_ = [choice for choice in combination if choice.given.parameter in asked]
        sources = [choice.given.source for choice in open_ if choice.given.source]
        if len(set(sources)) < len(sources):  # one thing is not given twice
            continue
        built_in = untold([item.source for item in given], arguments)
        built_in = [item for item in built_in if not item.is_array]
        meant = "; ".join(f"{choice.given.parameter}: {choice.text}" for choice in open_)
        line = call_line(name, given, parameters, built_in)
        found.append(f"  {line}" + (f"    ({meant})" if meant else ""))
        if len(found) == 6:
            break
    return found
