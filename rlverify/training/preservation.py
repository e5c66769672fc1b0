"""Preservation: runs in files, from which they go on as if they had never stopped.

A run's folder holds `state.npz`: every array of its `Stand`, and as JSON what was run. The file
is written beside its place and then put there at once, so that whenever a run is killed the
folder holds one that is whole. Nothing in it is executed when it is read.
"""

import dataclasses
import io
import json
import platform
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import rlverify
from rlverify.serialization import plain, write_atomically
from rlverify.training.initialization import Moment, Task
from rlverify.training.running import Curve, Stand

FORMAT = 1
FILE = "state.npz"


def asked(task: Task) -> dict[str, Any]:
    """Return what a run is, as what JSON has: two runs with equal records are one."""
    return {
        "algorithm": task.algorithm,
        "environment": task.problem.name,
        "seed": task.seed,
        "settings": plain(dataclasses.asdict(task.settings)),
    }


def versions() -> dict[str, str]:
    """Return the versions that the last digits of a result depend on."""
    import gymnasium
    import torch

    return {
        "rlverify": rlverify.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "gymnasium": gymnasium.__version__,
    }


def refuse_folder(folder: Path, *, resume: bool) -> None:
    """Refuse a folder that a run cannot be saved in, or would overwrite another in.

    Raises:
        ValueError: with what to do about it.
    """
    file = folder / FILE
    if resume and not file.is_file():
        raise ValueError(f"--resume: {folder} holds no saved run.")
    if file.exists() and not resume:
        raise ValueError(
            f"--out {folder}: it holds a run; --resume goes on with it, another --out begins one."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{FILE}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"--out {folder}: it cannot be written to: {error.strerror}.") from None


def save(folder: Path, task: Task, stand: Stand) -> None:
    """Write where a run is into its folder."""
    told = {
        "format": FORMAT,
        "versions": versions(),
        "asked": asked(task),
        "moment": dataclasses.asdict(stand.moment),
    }
    arrays = {"run": np.array(json.dumps(told, sort_keys=True))}
    for part, content in _parts(stand).items():
        arrays |= {f"{part}.{name}": array for name, array in content.items()}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    write_atomically(folder / FILE, file.getvalue())


def _parts(stand: Stand) -> dict[str, dict[str, np.ndarray]]:
    curve = {item.name: getattr(stand.curve, item.name) for item in dataclasses.fields(Curve)}
    return {"state": stand.state, "position": stand.position, "curve": curve}


def load(folder: Path, task: Task) -> tuple[Stand, list[str]]:
    """Return where the saved run of a task is, and which versions have changed since.

    Raises:
        ValueError: the file cannot be read, or it holds a run of something else.
    """
    file = folder / FILE
    try:
        # opened here, because NumPy leaves a file open that it cannot read
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        told = json.loads(str(arrays.pop("run")))
        kept = told["format"], told["asked"], told["versions"], Moment(**told["moment"])
        parts: dict[str, dict[str, np.ndarray]] = {"state": {}, "position": {}, "curve": {}}
        for name, array in arrays.items():
            part, _, item = name.partition(".")
            parts[part][item] = array
        curve = Curve(**parts["curve"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as problem:
        raise ValueError(f"--resume: {file} is no saved run, or a broken one: {problem}") from None
    version, was, made_with, moment = kept
    if version != FORMAT:
        raise ValueError(f"--resume: {file} is of format {version}, this version reads {FORMAT}.")
    _refuse_other(folder, was, asked(task))
    changed = [
        f"{name} {made_with.get(name, 'missing')}, now {now}"
        for name, now in versions().items()
        if made_with.get(name) != now
    ]
    return Stand(moment, parts["state"], parts["position"], curve), changed


def _refuse_other(folder: Path, was: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse a run of something else, with every difference."""
    flat = [{**{k: v for k, v in it.items() if k != "settings"}, **it["settings"]}
            for it in (was, wanted)]  # fmt: skip
    differing = [
        f"{name} {flat[0].get(name, 'missing')!r} (asked for {flat[1].get(name, 'missing')!r})"
        for name in dict.fromkeys([*flat[0], *flat[1]])
        if flat[0].get(name, "missing") != flat[1].get(name, "missing")
    ]
    if differing:
        raise ValueError(
            f"--resume: the run in {folder} has {', '.join(differing)}; "
            "ask for the same, or begin another run with --out."
        )
