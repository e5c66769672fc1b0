"""How the arrays of a recording are laid out for a stranger's estimator, and its own laid back."""

from dataclasses import dataclass
from typing import Any

import numpy as np

LAYOUTS = ("time-major", "batch-major", "columns", "samples")


@dataclass(frozen=True)
class Arrangement:
    """How arrays are handed over.

    Attributes:
        library: `numpy`, `torch` or `jax`.
        dtype: of its floats.
        layout: one of `LAYOUTS`.
        float_flags: whether flags come as 0.0 and 1.0.
    """

    library: str
    dtype: str
    layout: str
    float_flags: bool

    @property
    def text(self) -> str:
        """The arrangement in words."""
        shapes = {"time-major": "[T, B]", "batch-major": "[B, T]", "columns": "one by one, [T]"}
        parts = [self.library, shapes.get(self.layout, "[B], one step each")]
        parts += [self.dtype] if self.dtype != "float64" else []
        return "; ".join([*parts, *(["flags as floats"] if self.float_flags else [])])

    def outward(self, array: Any, axes: str) -> Any:
        """Return an array as it is handed over."""
        if not isinstance(array, np.ndarray):
            return array
        if self.float_flags and array.dtype == bool:
            array = array.astype(np.float64)
        if "B" not in axes:
            return array
        if self.layout == "columns":
            return np.asarray(array[..., 0] if axes in ("B", "T B", "T+1 B") else array[:, 0])
        if axes == "B" or self.layout == "time-major":
            return array
        return array[0] if self.layout == "samples" else np.swapaxes(array, 0, 1).copy()

    def inward(self, array: Any, axes: str) -> Any:
        """Return an array as the suite has it."""
        if "B" not in axes or self.layout == "time-major":
            return array
        if self.layout == "columns":
            return array[:, None]
        return array[None] if self.layout == "samples" else np.swapaxes(array, 0, 1)
