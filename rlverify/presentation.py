"""Presentation: where a command prints, writes its results, and says how far it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from rlverify.serialization import document, write_atomically
from rlverify.tabulation import clean, room_of, show, text


@dataclass(frozen=True)
class Desk:
    """What a command works at.

    Attributes:
        command: its name.
        screen: standard output, for what was found out.
        errors: standard error, for how far the work is.
        json: the file for the results, if one is wanted.
    """

    command: str
    screen: Console
    errors: Console
    json: Path | None

    @property
    def width(self) -> int | None:
        """Return the width of the terminal; None in a pipe."""
        return room_of(self.screen)

    def say(self, lines: Iterable[Text]) -> None:
        """Print lines."""
        show(self.screen, lines)

    def write(
        self,
        arguments: Mapping[str, Any],
        results: Sequence[Any],
        *,
        ok: bool = True,
        **more: Any,
    ) -> None:
        """Write the results to the file, if one is wanted."""
        if self.json is not None:
            write_atomically(self.json, document(self.command, arguments, results, ok=ok, **more))

    def progression(self, total: int) -> "Progression":
        """Return a counter of so many pieces of work."""
        return Progression(self.errors, total)


class Progression:
    """Counts pieces of work; used as a context manager.

    A terminal shows a bar that vanishes at the end, a pipe gets one line a piece when it is
    done.
    """

    def __init__(self, screen: Console, total: int) -> None:
        self.screen = screen
        self.total = total
        self.count = 0
        self.bar: Progress | None = None
        self.task = TaskID(0)
        if screen.file.isatty():
            self.bar = Progress(
                SpinnerColumn(),
                BarColumn(bar_width=20),
                TextColumn("{task.completed:.0f} of {task.total:.0f}"),
                TimeElapsedColumn(),
                TextColumn("{task.description}", markup=False),
                console=screen,
                transient=True,
            )
            self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> "Progression":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def step(self, what: str) -> None:
        """Say what is being done."""
        if self.bar is not None:
            self.bar.update(self.task, description=clean(what))

    def reach(self, count: int, what: str, *, told: bool) -> None:
        """Say that so many pieces are done, all together; in a pipe only where it is `told`."""
        self.count = count
        if self.bar is not None:
            self.bar.update(self.task, completed=count, description=clean(what))
        elif told:
            show(self.screen, [text(f"{count}/{self.total} {what}")])

    def done(self, what: str) -> None:
        """Count one piece as done."""
        self.count += 1
        if self.bar is not None:
            self.bar.advance(self.task)
        else:
            show(self.screen, [text(f"{self.count}/{self.total} {what}")])
