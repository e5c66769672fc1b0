"""Indexing: which contracts there are, read from their source without running it.

Running it loads PyTorch, which takes seconds; `rlverify list` should not.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

from rlverify.contracts import TOPICS, contracts


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
    """Return an entry for every contract, in the order of `rlverify.list_contracts()`."""
    folder = Path(__file__).parent / "contracts"
    found: list[Entry] = []
    for topic in TOPICS:
        tree = ast.parse((folder / f"{topic}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Contract"):
                continue
            texts = {
                item.arg: item.value.value
                for item in node.keywords
                if item.arg in FIELDS
                and isinstance(item.value, ast.Constant)
                and isinstance(item.value.value, str)
            }
            if len(texts) < len(FIELDS):  # put together when run, so it has to be run
                return [Entry(*(getattr(c, name) for name in FIELDS)) for c in contracts()]
            found.append(Entry(**{str(name): text for name, text in texts.items()}))
    return found
