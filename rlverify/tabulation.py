"""Tabulation: aligned lines, on a terminal of any width and in a pipe.

A line is a rich `Text` that fits its width, so that it is printed as it is. Nothing is ever
cut off: what is too long wraps, and a table that is too wide continues below itself with its
first columns repeated. Without a width, as in a pipe, a table has all its columns side by side.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

GAP = "  "


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        right: whether its cells stand to the right, as numbers do.
    """

    title: str
    right: bool = False


def clean(text: str) -> str:
    """Return a stranger's text without anything that moves the cursor or rings a bell."""
    plain = text.replace("\r\n", "\n").expandtabs()
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in plain
    )


def text(content: str, style: str = "") -> Text:
    """Return a text that is safe to print."""
    return Text(clean(content), style=style)


def wrapped(content: Text, width: int | None, indent: int = 0) -> list[Text]:
    """Return a text as lines: every line indented, none longer than the width."""
    lines = content.split("\n", allow_blank=True) if content else [Text()]
    if width is not None:
        console = Console(width=width, color_system=None)
        room = max(20, width - indent)
        lines = [
            part for line in lines for part in (line.wrap(console, room) if line else [Text()])
        ]
    found = []
    for line in lines:
        line.rstrip()
        found.append(Text(" " * indent).append_text(line) if line else Text())
    return found


def labelled(label: str, contents: Iterable[Text], width: int | None, room: int) -> list[Text]:
    """Return texts with a label before the first and the others below it."""
    lines = [line for content in contents for line in wrapped(content, width, room)]
    if lines:
        lines[0] = Text().append(f"  {label}".ljust(room), "dim").append_text(lines[0][room:])
    return lines


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int | None, keys: int = 1
) -> list[Text]:
    """Return a table as lines.

    Args:
        columns: their headings.
        rows: a cell a column.
        width: of the terminal; None for as wide as it takes.
        keys: how many of the first columns are repeated where the table continues below.
    """
    sizes = [
        max([cell_len(column.title), *(cell_len(row[i].plain) for row in rows)])
        for i, column in enumerate(columns)
    ]
    lines: list[Text] = []
    for band in _bands(sizes, width, keys):
        if lines:
            lines.append(Text())
        titles = [Text(columns[i].title, style="bold") for i in band]
        for cells in (titles, *([row[i] for i in band] for row in rows)):
            line = Text()
            for i, cell in zip(band, cells, strict=True):
                space = " " * (sizes[i] - cell_len(cell.plain))
                line.append(space if columns[i].right else "")
                line.append_text(cell)
                line.append(GAP if columns[i].right else f"{space}{GAP}")
            line.rstrip()
            lines.append(line)
    return lines


def _bands(sizes: Sequence[int], width: int | None, keys: int) -> list[list[int]]:
    """Return which columns stand side by side."""
    if width is None:
        return [list(range(len(sizes)))]
    head = list(range(keys))
    taken = sum(sizes[i] + len(GAP) for i in head)
    bands, left = [head.copy()], width - taken
    for i in range(keys, len(sizes)):
        if sizes[i] > left and len(bands[-1]) > keys:
            bands.append(head.copy())
            left = width - taken
        bands[-1].append(i)
        left -= sizes[i] + len(GAP)
    return bands


def console(stream: IO[str], *, colour: bool) -> Console:
    """Return a console for a stream; `NO_COLOR` and a pipe leave colours out by themselves."""
    plain = Console(file=stream)
    if not colour or plain.no_color or not plain.is_terminal:
        return Console(file=stream, color_system=None, highlight=False, markup=False, emoji=False)
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def room_of(screen: Console) -> int | None:
    """Return the width that lines may have; None where nobody folds them, as in a pipe."""
    return screen.width if screen.file.isatty() else None


def show(screen: Console, lines: Iterable[Text]) -> None:
    """Print lines as they are."""
    for line in lines:
        screen.print(line, soft_wrap=True)
