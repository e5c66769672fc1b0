"""Settings: what a user's `pyproject.toml` says under `[tool.rlverify]`.

    [tool.rlverify]
    budget = 400                       # drawn cases; the command line overrides it
    seed = 7

    [tool.rlverify.candidates.mine]    # checked by `rlverify check mine`, or `rlverify check`
    target = "src/mine.py:compute"     # seen from the folder of this file
    as = "gae"
    call = "compute(rewards, values+bootstrap, done:after, gamma, lam) -> advantages"
    conventions = ["next_values=by-shift"]
    excused = { "law: split-at-ends" = "our buffers never hold two episodes" }

The file is the nearest one upwards from the current folder. A key that is not known is
refused, so that a misspelt one cannot quietly mean nothing.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

TABLE = "tool.rlverify"


class SettingsError(ValueError):
    """The settings say something that is not known, or not of the right type."""


@dataclass(frozen=True)
class Task:
    """One candidate to check; the fields are the arguments of `rlverify.check`.

    Attributes:
        target: names the function.
        contract: what it is held to.
        call: how it is called.
        arrays: its array library.
        layout: its layout.
        dtype: the dtype it is judged in.
        conventions: declared readings.
        factor: declared constant bias.
        excused: check → reason why it may fail.
    """

    target: str
    contract: str
    call: str | None = None
    arrays: str | None = None
    layout: str | None = None
    dtype: str | None = None
    conventions: tuple[str, ...] = ()
    factor: Fraction | None = None
    excused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """The table `[tool.rlverify]`.

    Attributes:
        path: the file; None where there is none.
        budget: number of drawn cases, if it is set.
        seed: of the draws, if it is set.
        candidates: by name.
    """

    path: Path | None = None
    budget: int | None = None
    seed: int | None = None
    candidates: Mapping[str, Task] = field(default_factory=dict)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint for a word that is not known: the nearest one, or all there are."""
    there = list(known)
    near = difflib.get_close_matches(word, there, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are: {', '.join(there)}." if there else "there are none."


def fraction(text: str) -> Fraction:
    """Return the number that `1/2`, `0.5` or `2` stands for.

    Raises:
        ValueError: it stands for none.
    """
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"factor came as {text!r}, wanted a number such as 1/2 or 0.5.") from None


def find_file(start: Path) -> Path | None:
    """Return the nearest `pyproject.toml` in a folder or above it."""
    for folder in (start, *start.parents):
        if (folder / "pyproject.toml").is_file():
            return folder / "pyproject.toml"
    return None


def read_settings(start: Path | None = None) -> Settings:
    """Return the settings that hold in a folder, by default the current one.

    Raises:
        SettingsError: the file cannot be read, or says something that is not known.
    """
    path = find_file(Path.cwd() if start is None else start)
    if path is None:
        return Settings()
    try:
        whole = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    tool = whole.get("tool", {})
    table = tool.get("rlverify", {}) if isinstance(tool, dict) else {}
    reader = _Reader(path)
    reader.is_table(table, TABLE)
    reader.only(table, ("budget", "seed", "candidates"), TABLE)
    candidates = reader.table(table, "candidates", TABLE)
    return Settings(
        path,
        reader.integer(table, "budget", 1),
        reader.integer(table, "seed", 0),
        {name: reader.candidate(name, entry) for name, entry in candidates.items()},
    )


class _Reader:
    """Reads tables of one file; every refusal names the file and the table."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse(self, where: str, problem: str) -> SettingsError:
        return SettingsError(f"{self.path}: [{where}] {problem}")

    def is_table(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise self.refuse(where, f"came as {value!r}, wanted a table.")

    def only(self, table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
        for key in table:
            if key not in known:
                raise self.refuse(where, f"has no key {key!r}; {nearest(key, known)}")

    def table(self, table: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
        value = table.get(key, {})
        self.is_table(value, f"{where}.{key}")
        return dict(value)

    def integer(self, table: Mapping[str, Any], key: str, least: int) -> int | None:
        value = table.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            wanted = f"wanted an integer of at least {least}."
            raise self.refuse(TABLE, f"{key} came as {value!r}, {wanted}")
        return value

    def text(self, table: Mapping[str, Any], key: str, where: str) -> str | None:
        value = table.get(key)
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise self.refuse(where, f"{key} came as {value!r}, wanted a text.")
        return value

    def candidate(self, name: str, entry: Any) -> Task:
        where = f"{TABLE}.candidates.{name}"
        self.is_table(entry, where)
        texts = ("target", "as", "call", "arrays", "layout", "dtype")
        self.only(entry, (*texts, "conventions", "factor", "excused"), where)
        found = {key: self.text(entry, key, where) for key in texts}
        target, contract = found["target"], found["as"]
        if target is None or contract is None:
            lacks = "target" if target is None else "as"
            such = "mine.py:compute" if target is None else "gae"
            raise self.refuse(where, f'lacks {lacks}, such as {lacks} = "{such}".')
        return Task(
            self.from_here(target),
            contract,
            found["call"],
            found["arrays"],
            found["layout"],
            found["dtype"],
            self.conventions(entry, where),
            self.factor(entry, where),
            self.excused(entry, where),
        )

    def from_here(self, target: str) -> str:
        """Return a target whose file, given from the folder of the settings, is seen from here."""
        place, colon, function = target.rpartition(":")
        if not place.endswith(".py") or Path(place).is_absolute():
            return target
        return f"{os.path.relpath(self.path.parent / place)}{colon}{function}"

    def conventions(self, entry: Mapping[str, Any], where: str) -> tuple[str, ...]:
        value = entry.get("conventions", [])
        if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            wanted = 'wanted a list such as ["layout=batch-major"].'
            raise self.refuse(where, f"conventions came as {value!r}, {wanted}")
        return tuple(value)

    def factor(self, entry: Mapping[str, Any], where: str) -> Fraction | None:
        value = entry.get("factor")
        if value is None:
            return None
        try:
            return fraction(str(value))
        except ValueError as error:
            raise self.refuse(where, str(error)) from None

    def excused(self, entry: Mapping[str, Any], where: str) -> dict[str, str]:
        excused = self.table(entry, "excused", where)
        for check, reason in excused.items():
            if not (isinstance(reason, str) and reason.strip()):
                wanted = "wanted the reason why it may fail."
                raise self.refuse(f"{where}.excused", f"{check!r} came as {reason!r}, {wanted}")
        return excused
