"""Serialization: what was found out as JSON, and files that are whole or not there.

Every document has the same frame: `schema`, `version`, `command`, `arguments`, `ok`,
`results`. JSON has no NaN and no infinities: they stand as the texts "nan", "inf" and "-inf".
"""

import contextlib
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import rlverify
from rlverify.citations import LEFT_OUT, citation

if TYPE_CHECKING:
    from rlverify.citations import Citation
    from rlverify.contract import Case, Contract
    from rlverify.diagnosis import Matrix
    from rlverify.judging import Verdict
    from rlverify.verifying import Row

SCHEMA = "rlverify/1"


# --- records as dictionaries ---------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Return a value as what JSON has; functions and the like become their text."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [plain(item) for item in value]
    return str(value)


def case_record(case: "Case | None") -> dict[str, Any] | None:
    """Return a case; None for None."""
    if case is None:
        return None
    return {"arguments": plain(case.arguments), "kind": case.kind, "label": case.label}


def citation_record(entry: "Citation") -> dict[str, Any]:
    """Return a public report of a mistake."""
    return {**vars(entry), "link": entry.link}


def verdict_record(verdict: "Verdict") -> dict[str, Any]:
    """Return a verdict."""
    record = {k: v for k, v in vars(verdict).items() if k not in ("tallies", "smallest")}
    record["title"] = verdict.title
    record["citations"] = [citation_record(entry) for entry in verdict.citations]
    record["smallest"] = case_record(verdict.smallest)
    record["checks"] = [
        {
            "check": tally.check,
            "sentence": tally.sentence,
            "applied": tally.applied,
            "failed": tally.failed,
            "worst": tally.worst,
        }
        for tally in verdict.tallies
    ]
    return record


def row_record(row: "Row") -> dict[str, Any]:
    """Return a row of `rlverify verify`."""
    return {
        **vars(row),
        "verdict": verdict_record(row.verdict),
        "rollouts": None if row.rollouts is None else verdict_record(row.rollouts),
        "laws": {"held": row.laws[0], "total": row.laws[1]},
        "mutants": vars(row.mutants),
    }


def matrix_record(found: "Matrix") -> dict[str, Any]:
    """Return a bug × check matrix."""
    return {
        "contract": found.contract.name,
        "checks": found.checks,
        "bugs": [
            {**bug_record(row.bug.id), "visible": row.visible, "killed_by": row.killed_by}
            for row in found.rows
        ],
        "unkilled": found.unkilled,
        "idle": found.idle,
        "flagged": found.flagged,
    }


def bug_record(bug_id: str) -> dict[str, Any]:
    """Return a known bug by its id, with the report behind it."""
    entry = citation(bug_id)
    return {"id": bug_id, "name": entry.name, "sentence": entry.sentence, "link": entry.link}


def contract_record(contract: "Contract") -> dict[str, Any]:
    """Return what a contract says, for `rlverify explain`."""
    return {
        "name": contract.name,
        "topic": contract.topic,
        "summary": contract.summary,
        "source": contract.source,
        "arguments": [vars(argument) for argument in contract.arguments],
        "outputs": contract.outputs,
        "laws": [
            {"name": law.name, "sentence": law.sentence, "claim": law.claim}
            for law in contract.laws
        ],
        "conventions": [
            {"name": item.name, "sentence": item.sentence} for item in contract.conventions
        ],
        "known_bugs": [bug_record(bug.id) for bug in contract.known_bugs],
        "equivalents": [
            {"id": item.id, "sentence": item.sentence} for item in contract.equivalents
        ],
    }


def document(
    command: str, arguments: Mapping[str, Any], results: Sequence[Any], *, ok: bool, **more: Any
) -> str:
    """Return a JSON document in the common frame."""
    frame = {
        "schema": SCHEMA,
        "version": rlverify.__version__,
        "command": command,
        "arguments": arguments,
        "ok": ok,
        **more,
        "results": results,
    }
    return json.dumps(plain(frame), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def left_out_record() -> dict[str, str]:
    """Return the mistakes that no edit can express, with the reasons."""
    return dict(LEFT_OUT)


# --- files ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a new empty file in the folder of `path`, and see to it that it does not stay."""
    beside = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    # made like any other new file, so that the user's umask decides who may read it
    os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def refuse_unwritable(path: Path) -> None:
    """Refuse a path that `write_atomically` could not write, before any work is done.

    Raises:
        ValueError: with the reason.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise ValueError(f"--json {path}: it is no file; name one.")
    if not path.parent.is_dir():
        raise ValueError(f"--json {path}: there is no folder {path.parent}; make it first.")
    try:
        with _beside(path):
            pass
    except OSError as error:
        raise ValueError(
            f"--json {path}: {path.parent} cannot be written to: {error.strerror}."
        ) from None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there as a whole or as it was before, whatever happens."""
    path = path.resolve()  # a link stays one
    if isinstance(content, str):
        # half a surrogate, which a candidate may print, is written as the escape that JSON has
        content = content.encode("utf-8", errors="backslashreplace")
    with _beside(path) as beside:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
