"""Illustration: the learning curve as a picture."""

import io
from pathlib import Path

import numpy as np

from rlverify.serialization import write_atomically
from rlverify.training.initialization import Task
from rlverify.training.running import WINDOW, Curve

SUFFIXES = (".svg", ".png")
MISSING = "no picture: matplotlib is missing; pip install 'rlverify[plots]' brings it"


def refuse_picture(path: Path) -> None:
    """Refuse a file that no picture can be written to.

    Raises:
        ValueError: with the reason.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--picture {path}: wanted a file that ends in {' or '.join(SUFFIXES)}.")
    if path.is_dir():
        raise ValueError(f"--picture {path}: it is a folder; name a file.")
    if not path.resolve().parent.is_dir():
        raise ValueError(f"--picture {path}: there is no folder {path.parent}; make it first.")


def can_draw() -> bool:
    """Tell whether matplotlib is there."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def draw(path: Path, task: Task, curve: Curve, target: float | None) -> None:
    """Write the picture: every episode a dot, the mean of the last 100 a line."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # the same run gives the same file: no date, and names that do not depend on chance
    with rc_context({"svg.hashsalt": "rlverify", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.scatter(
            curve.steps,
            curve.totals,
            s=4,
            color="0.7",
            linewidths=0,
            rasterized=True,
            label="an episode",
        )
        if len(curve.totals) >= WINDOW:
            means = np.convolve(curve.totals, np.full(WINDOW, 1 / WINDOW), mode="valid")
            axes.plot(curve.steps[WINDOW - 1 :], means, color="C0", label=f"mean of {WINDOW}")
        if target is not None:
            axes.axhline(target, color="C3", linestyle="--", linewidth=1, label="target")
        axes.set_xlim(0, task.settings.steps)
        axes.set_xlabel("tokens" if task.algorithm == "grpo" else "steps of the environments")
        axes.set_ylabel("return")
        axes.set_title(f"{task.algorithm} on {task.problem.name}, seed {task.seed}")
        axes.legend(loc="best", frameon=False)
        file = io.BytesIO()
        kind = path.suffix.lower()[1:]
        dateless = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(file, format=kind, dpi=150, metadata=dateless)
    write_atomically(path, file.getvalue())
