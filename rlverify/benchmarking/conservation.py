"""Conservation: results on disk, with the machine they are of, and what moved since."""

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlverify.benchmarking.inference import THRESHOLD
from rlverify.benchmarking.measurement import Row
from rlverify.machine import machine
from rlverify.serialization import document, write_atomically

FOLDER = Path("benchmarks") / "results"
# figures of machines that differ in one of these have nothing to say to each other
LIKE = ("processor", "cores", "memory", "system", "device", "threads", "dtype")
LIBRARIES = ("numpy", "scipy", "torch", "numba", "triton", "jax")
MOVED = 1.1
"""Medians of two runs of the same code differ by some percent; ratios below this are not told."""


def description(device: str, threads: int, dtype: str) -> dict[str, Any]:
    """Return what was measured on, as far as times depend on it."""
    return {
        **machine(device),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "threads": threads,
        "dtype": dtype,
        "versions": _versions(),
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _memory() -> str:
    with contextlib.suppress(AttributeError, ValueError, OSError):
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return f"{round(pages / 2**30)} GiB"
    return "unknown"


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _commit() -> str:
    """Return the commit of the suite's sources; empty where they are in no repository."""
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        ran = subprocess.run(words, check=True, capture_output=True, text=True)
        return ran.stdout.strip()
    return ""


def row_record(row: Row) -> dict[str, Any]:
    """Return a row as plain data."""
    return {
        **{name: value for name, value in vars(row).items() if name != "timing"},
        "seconds": None if row.timing is None else vars(row.timing),
        "nanoseconds": row.nanoseconds,
        "multiple": row.multiple,
    }


def file_name(where: Mapping[str, Any]) -> str:
    """Return a name that tells day, machine and device."""
    device = re.search(r"\((.*)\)", str(where["device"]))
    words = f"{device[1] if device else where['processor']} {where['dtype']}"
    plain = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    return f"{str(where['date'])[:10]}-{plain}.json"


def save(
    folder: Path, where: Mapping[str, Any], asked: Mapping[str, Any], rows: Sequence[Row]
) -> Path:
    """Write results to a folder; the file is there as a whole, or as it was before."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(where)
    records = [row_record(row) for row in rows]
    write_atomically(path, document("bench", asked, records, ok=True, machine=where))
    return path


@dataclass(frozen=True)
class Earlier:
    """The results of an earlier run.

    Attributes:
        machine: what they were measured on.
        medians: low, middle and high of each row's time, by `Row.key`.
    """

    machine: Mapping[str, Any]
    medians: Mapping[tuple[Any, ...], tuple[float, float, float]]


def load(path: Path) -> Earlier:
    """Read results that `save` has written.

    Raises:
        ValueError: there are none.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        medians = {}
        for row in told["results"]:
            if row["seconds"] is not None:
                key = row["contract"], tuple(row["shape"]), row["runner"], row["dtype"]
                times = row["seconds"]
                medians[key] = (times["low"], times["seconds"], times["high"])
        return Earlier(told["machine"], medians)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"--against {path}: no results of `rlverify bench` ({error}).") from None


def unlike(now: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """Return in what two machines differ so that times cannot be compared; empty if in nothing."""
    return "; ".join(
        f"{name} is {now.get(name)}, was {before.get(name)}"
        for name in LIKE
        if now.get(name) != before.get(name)
    )


@dataclass(frozen=True)
class Move:
    """A row whose time is another than it was.

    Attributes:
        row: as it is now.
        before: seconds, then.
        ratio: the time now over the time then.
    """

    row: Row
    before: float
    ratio: float


def moves(rows: Sequence[Row], earlier: Earlier) -> tuple[list[Move], int]:
    """Return what moved, slower first, and how many rows both runs have.

    A row moved if the intervals of both medians lie apart, by more than runs of the same code do.
    """
    found, common = [], 0
    for row in rows:
        known = earlier.medians.get(row.key)
        if known is None or row.timing is None:
            continue
        common += 1
        low, middle, high = known
        ratio = row.timing.seconds / middle
        apart = row.timing.low > THRESHOLD * high or THRESHOLD * row.timing.high < low
        if apart and max(ratio, 1 / ratio) > MOVED:
            found.append(Move(row, middle, ratio))
    return sorted(found, key=lambda move: -move.ratio), common
