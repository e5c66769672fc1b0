"""Progression: how far the work is, on standard error: a bar on a terminal, lines in a pipe."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from rlverify.tabulation import show, text


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
        self.task: TaskID | None = None
        if screen.file.isatty():
            self.bar = Progress(
                SpinnerColumn(),
                BarColumn(bar_width=20),
                TextColumn("{task.completed:.0f} of {task.total:.0f}"),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
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
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, description=text(what).plain.replace("[", "\\["))

    def done(self, what: str) -> None:
        """Count one piece as done."""
        self.count += 1
        if self.bar is not None and self.task is not None:
            self.bar.advance(self.task)
        else:
            show(self.screen, [text(f"{self.count}/{self.total} {what}")])
