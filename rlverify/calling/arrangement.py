"""How arrays are laid out for a function, and its results laid back.

A contract's arrays have two axes. A function may want them so, or one column (or token
sequence) at a time, or with the axes exchanged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlverify.contract import Argument, Case, Contract

# by the axes of the contract's arrays: as they are, one by one, exchanged
_LAYOUTS = {
    "T B": ("time-major", "columns", "batch-major"),
    "B L": ("batch-major", "rows", "time-major"),
}
# the axis along which a contract's arrays are taken apart
_TAKEN_APART = {"columns": 1, "rows": 0}


def layouts(contract: Contract) -> tuple[str, ...]:
    """Return the names of the layouts that a contract's arrays can have, its own first."""
    axes = {item.axes for item in contract.arguments if item.kind == "float"}
    # results of other axes, such as a loss over all of it, cannot be laid back
    alike = len(axes) == 1 and not contract.axes
    return _LAYOUTS.get(axes.pop() if alike else "", ("as given",))


def is_leading(contract: Contract) -> bool:
    """Return whether every array may have leading axes, and the probe has none."""
    arrays = [item for item in contract.arguments if item.is_array]
    case = probe(contract)
    return all(
        item.axes.startswith("...") and np.ndim(case[item.name]) == len(item.axes.split()) - 1
        for item in arrays
    )


def without_leading(arguments: Sequence[Argument], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first of what leading axes hold."""
    changed = dict(values)
    for item in arguments:
        while item.axes.startswith("...") and np.ndim(changed[item.name]) >= len(item.axes.split()):
            changed[item.name] = changed[item.name][0]
    return changed


def is_flags(value: Any) -> bool:
    """Return whether a value is an array of flags."""
    return isinstance(value, np.ndarray) and value.dtype == bool


@dataclass(frozen=True)
class Arrangement:
    """How arrays are handed over.

    Attributes:
        library: `numpy`, `torch` or `jax`.
        layout: one of `layouts`.
        exchanged: whether that layout has the axes the other way round than the contract.
        float_flags: whether flags come as 0.0 and 1.0.
    """

    library: str
    layout: str
    exchanged: bool
    float_flags: bool

    @property
    def axis(self) -> int | None:
        """Return the axis along which arrays are taken apart, if they are."""
        return _TAKEN_APART.get(self.layout)

    def text(self, own: str) -> str:
        """Return the arrangement in words; `own` is the contract's layout."""
        words = {"columns": "column by column", "rows": "row by row"}
        parts = [self.library]
        if self.layout != own:
            parts.append(words.get(self.layout, self.layout))
        if self.float_flags:
            parts.append("flags as floats")
        return "; ".join(parts)

    def parts(self, arguments: list[tuple[str, Any]]) -> list[list[tuple[str, Any]]]:
        """Return the arguments of each call that one case takes."""
        if self.float_flags:
            arguments = [(name, v.astype(float) if is_flags(v) else v) for name, v in arguments]
        if self.exchanged:
            return [[(name, v.T if isinstance(v, np.ndarray) else v) for name, v in arguments]]
        axis = self.axis
        if axis is None:
            return [arguments]
        count = next(v.shape[axis] for _, v in arguments if np.ndim(v) == 2)

        def part(value: Any, i: int) -> Any:
            if not isinstance(value, np.ndarray):
                return value
            # what has one entry a column has a single one here
            return np.asarray(value[i] if value.ndim == 1 else value.take(i, axis))

        return [[(name, part(v, i)) for name, v in arguments] for i in range(count)]

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of one call's result, given the contract's."""
        if self.exchanged:
            return shape[::-1]
        return shape if self.axis is None else shape[1 - self.axis : 2 - self.axis]

    def gathered(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Return the results of one case's calls as the contract lays them out."""
        if self.axis is not None:
            return np.stack(arrays, axis=self.axis)
        return np.ascontiguousarray(arrays[0].T) if self.exchanged else arrays[0]


def probe(contract: Contract) -> Case:
    """Return a small case whose axes differ in length."""
    if contract.good is not None:
        return contract.good
    lengths = {"T": 3, "B": 2, "L": 3, "N": 4, "S": 5, "A": 2}
    values: dict[str, Any] = {}
    for i, item in enumerate(contract.arguments):
        axes = "T B" if item.axes == "..." else item.axes
        shape = tuple(lengths.get(axis, 2) for axis in axes.split())
        size = int(np.prod(shape))
        if item.kind == "float":
            values[item.name] = (np.arange(size) + i + 1.0).reshape(shape) / 4
        elif item.kind == "mask":
            values[item.name] = np.ones(shape, dtype=bool)
        elif item.kind == "flag":
            values[item.name] = np.arange(i, size + i).reshape(shape) % 4 == 3
        else:
            values[item.name] = 1 if item.kind == "count" else 0.5
    return Case(values, "chained", "probe")
