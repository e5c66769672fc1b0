"""Indexing: which contracts there are, read from their source without running it.

Running it loads PyTorch, which takes seconds; `rlverify list` should not.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

from rlverify.contracts import TOPICS, contracts
from rlverify.presentation import Desk
from rlverify.tabulation import Column, table, text


@dataclass(frozen=True)
class Entry:
    """One line of the index.

    Attributes:
        name: the contract's.
        topic: its topic.
        summary: what it is, in one line.
        source: paper and equation.
    """

    name: str
    topic: str
    summary: str
    source: str


FIELDS = tuple(Entry.__dataclass_fields__)


def index() -> list[Entry]:
    """Return an entry for every contract, topic by topic, in a topic by name."""
    found: list[Entry] = []
    for file in (Path(__file__).parent / "contracts").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Contract":
                texts = _texts(node)
                if len(texts) < len(FIELDS):  # put together when run, so it has to be run
                    found = [Entry(*(getattr(c, name) for name in FIELDS)) for c in contracts()]
                    return _ordered(found)
                found.append(Entry(**texts))
    return _ordered(found)


def show_index(desk: Desk) -> bool:
    """Print the index: `rlverify list`."""
    entries = index()
    columns = [Column(title) for title in ("name", "topic", "summary")]
    rows = [[text(item.name, "bold"), text(item.topic), text(item.summary)] for item in entries]
    desk.write({}, [vars(item) for item in entries])
    desk.say(table(columns, rows, desk.width))
    return True


def _ordered(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (TOPICS.index(entry.topic), entry.name))


def _texts(call: ast.Call) -> dict[str, str]:
    """Return those fields of an entry that stand in a call as plain texts."""
    return {
        item.arg: item.value.value
        for item in call.keywords
        if item.arg in FIELDS
        and isinstance(item.value, ast.Constant)
        and isinstance(item.value.value, str)
    }
