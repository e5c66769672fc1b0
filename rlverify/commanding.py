"""Commanding: what each command does, once its words are understood.

A command takes what was asked for and a `Desk`, prints what it found there, and returns
whether all holds. A refusal of what was asked for is a `Usage`, raised before any long work.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.text import Text

import rlverify
from rlverify import reporting, verifying
from rlverify.checking import drawn_cases
from rlverify.contract import Contract
from rlverify.contracts import contracts, find
from rlverify.diagnosis import matrix
from rlverify.judging import BUDGET, LAW_CASES, Verdict, refuse_unknown
from rlverify.machine import machine, refuse_device
from rlverify.preparation import Task, check_names, completed, refuse_unknown_checks
from rlverify.progression import Progression
from rlverify.serialization import (
    contract_record,
    document,
    left_out_record,
    matrix_record,
    row_record,
    verdict_record,
    write_atomically,
)
from rlverify.settings import Settings, Usage
from rlverify.tabulation import console, room_of, show


@dataclass(frozen=True)
class Desk:
    """Where a command prints and writes.

    Attributes:
        command: its name.
        screen: what is printed.
        errors: how far the work is.
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

    def say(self, lines: Sequence[Text]) -> None:
        """Print lines."""
        show(self.screen, lines)

    def write(
        self, arguments: Mapping[str, Any], results: Sequence[Any], ok: bool = True, **more: Any
    ) -> None:
        """Write the results, if a file is wanted."""
        if self.json is not None:
            text = document(self.command, arguments, results, ok=ok, **more)
            write_atomically(self.json, text)
'''
