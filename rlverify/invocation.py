"""Invocation: the options that commands of the command line share, and what they stand for."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlverify.preparation import usage

if TYPE_CHECKING:
    from rlverify.presentation import Desk


def _no_color(context: typer.Context, given: bool) -> None:
    if given:
        context.color = False  # commands below the one that it is given to inherit it


NoColor = Annotated[
    bool,
    typer.Option("--no-color", help="Print no colours; so does NO_COLOR.", callback=_no_color),
]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the results to FILE as JSON.")
]
Budget = Annotated[
    int | None, typer.Option("--budget", metavar="N", min=1, help="Number of drawn cases.")
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of the draws.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="Estimators; all if none is named.")
]


def desk_for(context: typer.Context, json: Path | None) -> "Desk":
    """Return where a command prints and writes; a file that cannot be written is refused."""
    from rlverify.presentation import Desk
    from rlverify.serialization import refuse_unwritable
    from rlverify.tabulation import console

    if json is not None:
        with usage():
            refuse_unwritable(json)
    colour = context.color is not False
    screen, errors = console(sys.stdout, colour=colour), console(sys.stderr, colour=colour)
    return Desk(str(context.info_name), screen, errors, json)


def status_of(ok: bool) -> int:
    """Return the exit status: 0 where all holds, 1 where something is wrong."""
    return 0 if ok else 1
