"""Preparation: what a user asks for, from command line and settings, made ready to be judged."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rlverify.peers import peer_of
from rlverify.settings import Settings, Task, nearest

if TYPE_CHECKING:
    from rlverify.contract import Contract


class Usage(ValueError):
    """A command was used wrongly; the text is what the user reads."""


@contextlib.contextmanager
def usage() -> Iterator[None]:
    """Take refusals of what the user asked for as bad usage."""
    try:
        yield
    except ValueError as refusal:
        raise Usage(str(refusal)) from refusal


def tasks(settings: Settings, asked: str | None, **options: Any) -> list[Task]:
    """Return the candidates that a command line asks for.

    Args:
        settings: of the user's project.
        asked: `PLACE:FUNCTION`, the name of a configured candidate, or None for all of them.
        options: fields of `Task` given on the command line; None and () stand for not given.

    Raises:
        ValueError: there is no such candidate, or no contract is named.
    """
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if asked is not None and ":" in asked:
        if "contract" not in given:
            raise ValueError(
                f"--as is missing: which estimator is {asked} meant to be? Such as --as gae; "
                "'rlverify list' shows all."
            )
        if asked.startswith("peer:"):
            peer = peer_of(asked, given["contract"])
            return [Task(**{"call": peer.call, **given, "target": peer.target})]
        return [Task(target=asked, **given)]
    configured = settings.candidates
    if asked is not None and asked not in configured:
        raise ValueError(
            f"target came as {asked!r}, wanted MODULE:FUNCTION, FILE.py:FUNCTION or a candidate "
            f"of [tool.rlverify.candidates]; {nearest(asked, configured)}"
        )
    if not configured:
        raise ValueError(
            "no target is given, such as mine.py:compute, and no pyproject.toml here or above "
            "has a table [tool.rlverify.candidates.NAME]."
        )
    chosen = list(configured.values()) if asked is None else [configured[asked]]
    return [replace(task, **given) for task in chosen]


def check_names(contract: "Contract") -> list[str]:
    """Return the name of every check that a candidate for a contract goes through."""
    from rlverify.checking import MISBEHAVIOUR
    from rlverify.derivation import CONSTANTS, GRADIENT

    return [
        "reference",
        *(f"behaviour: {kind}" for kind in MISBEHAVIOUR),
        *(f"example: {example.name}" for example in contract.examples),
        *((GRADIENT, CONSTANTS) if contract.gradient_judged else ()),
        *(f"law: {law.name}" for law in contract.laws),
    ]


def refuse_unknown_checks(asker: str, names: Iterable[str], known: Sequence[str]) -> None:
    """Refuse names of checks that do not exist.

    Raises:
        ValueError: with the nearest one that does.
    """
    for name in names:
        if name not in known:
            raise ValueError(f"{asker}: there is no check {name!r}; {nearest(name, known)}")
