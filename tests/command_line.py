"""The command line run inside the tests: in a folder, on a terminal."""

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rlverify import cli

CANDIDATES = """
import time
import numpy as np

def good(rewards, values, next_values, terminated, truncated, gamma, lam):
    print("\\x1b[31mhello\\x1b[0m\\a")
    advantages, following = np.zeros_like(rewards), 0
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * np.where(terminated[t], 0, next_values[t]) - values[t]
        following = delta + gamma * lam * np.where(terminated[t] | truncated[t], 0, following)
        advantages[t] = following
    return advantages

def half(rewards, values, next_values, terminated, truncated, gamma, lam):
    return good(rewards, values, next_values, terminated, truncated, gamma, lam) / 2

def batch(rewards, values, next_values, terminated, truncated, gamma, lam):
    given = rewards.T, values.T, next_values.T, terminated.T, truncated.T
    return good(*given, gamma, lam).T

def bad(rewards, values, next_values, terminated, truncated, gamma, lam):
    return good(rewards, values, next_values, terminated, terminated, gamma, lam)

def odd(a, b, c, d, e, f, g):
    return bad(a, b, c, d, e, f, g)

def raising(rewards, values, next_values, terminated, truncated, gamma, lam):
    raise RuntimeError("boom [red]\\x1b[31m\\nand more")

def hanging(rewards, values, next_values, terminated, truncated, gamma, lam):
    while True:
        time.sleep(1)
"""
CALL = "odd(rewards, values, next_values, terminated, truncated, gamma, lam)"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class Ran(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Ran]


def runner(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Return a function that runs the command line in a folder, whatever the surroundings say."""
    monkeypatch.chdir(folder)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def command(*words: str) -> Ran:
        status = cli.main(words)
        return Ran(status, *capsys.readouterr())

    return command


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shower(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that runs the command line on a terminal, and returns what it shows."""

    def command(*words: str, columns: int = 120) -> str:
        screen = Terminal()
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(columns))
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", screen)
            run(*words)
        return screen.getvalue()

    return command


def loaded(path: Path) -> Any:
    """Return a JSON document, strictly: NaN and Infinity are no JSON."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} in {path.name}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
