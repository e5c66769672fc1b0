"""Multiplication: matrix products of tracked numbers, all elements at once.

NumPy multiplies matrices of objects by calling `Tracked.__mul__` and `Tracked.__add__` for every
multiply-add, about 3 µs each. An `Accounted` array is an array of the same objects whose `@` (and
nothing else) does with arrays of their fields what those two methods do with one pair of numbers:
the same products and the same sums in the same order, left to right, so the same values and bounds.
Whole updates are compared on numbers of this kind: networks are most of their work (decision 0009).
"""

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlverify.rounding import Tracked

BLOCK = 1 << 17  # multiply-adds at a time: their fields stay in the cache
FIELDS = ("value", "magnitude", "terms", "weight", "depth", "running", "variance")
_read = operator.attrgetter(*FIELDS)


class Accounted(np.ndarray):
    """An array of objects whose matrix products are computed field by field.

    What is cut from it, reshaped or computed elementwise is of this kind too; where somebody
    makes a plain array out of it, products are slower and otherwise the same.
    """

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        """Compute on plain arrays of objects, but matrix products by fields."""
        plain = [np.asarray(x) if isinstance(x, Accounted) else x for x in inputs]
        if ufunc is np.matmul and method == "__call__" and out is None:
            result = product(*plain)
            if result is not None:
                return result
        if out is not None:
            options["out"] = tuple(np.asarray(x) if isinstance(x, Accounted) else x for x in out)
        found = getattr(ufunc, method)(*plain, **options)
        if out is not None:
            return out[0] if len(out) == 1 else out
        is_array = isinstance(found, np.ndarray) and found.dtype == object
        return found.view(Accounted) if is_array else found


def accounted(array: np.ndarray) -> np.ndarray:
    """Return an array of objects as one with quick matrix products; others unchanged."""
    return array.view(Accounted) if array.dtype == object else array


@dataclass(frozen=True)
class _Numbers:
    """The fields of an array of tracked numbers, each an array."""

    value: np.ndarray
    magnitude: np.ndarray
    terms: np.ndarray
    weight: np.ndarray
    depth: np.ndarray
    running: np.ndarray
    variance: np.ndarray

    @property
    def exact(self) -> np.ndarray:
        exact: np.ndarray = (self.running == 0) & (self.weight == 0) & (self.terms <= 1)
        return exact

    @property
    def rounds_nothing(self) -> np.ndarray:
        power = np.abs(np.frexp(self.value)[0]) == 0.5
        nothing: np.ndarray = self.exact & ((self.value == 0) | power)
        return nothing

    def free(self, u: float) -> np.ndarray:
        count = 2 * (self.depth + self.terms) * u
        closure = np.where(count >= 1, np.inf, 1 / (1 - count))
        several = np.maximum(self.terms - 1, 0) * self.magnitude
        added = np.where(self.terms == 2, np.abs(self.value), several)
        free: np.ndarray = (self.weight + added) * closure
        return free

    def shaped(self, *shape: int) -> "_Numbers":
        return _Numbers(*(getattr(self, name).reshape(shape) for name in FIELDS))

    def rows(self, start: int, end: int) -> "_Numbers":
        return _Numbers(*(getattr(self, name)[start:end] for name in FIELDS))


def _numbers(array: np.ndarray) -> _Numbers | None:
    """Return the fields of the numbers, or None where something else stands among them."""
    flat = array.reshape(-1).tolist()
    if not all(type(x) is Tracked for x in flat):
        return None
    columns = np.array([_read(x) for x in flat], dtype=np.float64).reshape(-1, len(FIELDS)).T
    return _Numbers(*(column.reshape(array.shape) for column in columns))


def product(a: Any, b: Any) -> np.ndarray | None:
    """Return the matrix product of tracked numbers, or None where it is none."""
    if not all(isinstance(x, np.ndarray) and x.ndim in (1, 2) for x in (a, b)) or not a.size:
        return None
    left, right = _numbers(a), _numbers(b)
    if left is None or right is None or a.shape[-1] != b.shape[0]:
        return None
    u = a.reshape(-1)[0].u
    rows = a.shape[0] if a.ndim == 2 else 1
    inner, columns = b.shape[0], b.shape[1] if b.ndim == 2 else 1
    left, right = left.shaped(rows, inner, 1), right.shaped(1, inner, columns)
    step = max(1, BLOCK // (inner * columns))
    blocks = [
        number
        for start in range(0, rows, step)
        for number in _summed(left.rows(start, start + step), right, u)
    ]
    result = np.empty(len(blocks), dtype=object)
    result[:] = blocks
    result = result.reshape(a.shape[:-1] + b.shape[1:]).view(Accounted)
    return result if result.ndim else result[()]


def _summed(a: _Numbers, b: _Numbers, u: float) -> Iterator[Tracked]:
    """Yield Σₖ aᵢₖ bₖⱼ, row by row: `Tracked.__mul__` of each pair, `Tracked.__add__` along k."""
    with np.errstate(all="ignore"):  # NaN and inf are answers like others here
        both = (a.terms > 1) & (b.terms > 1)  # such factors are each closed into one term

        def open_or(closed: np.ndarray, field: np.ndarray) -> np.ndarray:
            return np.where(both, closed, field)

        a_weight, b_weight = open_or(a.free(u), a.weight), open_or(b.free(u), b.weight)
        a_size = open_or(np.abs(a.value), a.magnitude)
        b_size = open_or(np.abs(b.value), b.magnitude)
        value = a.value * b.value
        magnitude = a_size * b_size
        terms = open_or(np.ones(()), a.terms * b.terms)
        a_zero, b_zero = (x.exact & (x.value == 0) for x in (a, b))
        counted = np.where(a_zero | b_zero, 0.0, 1.0)
        rounded = np.where(a.rounds_nothing | b.rounds_nothing, 0.0, 1.0)
        weight = a_weight * b_size + a_size * b_weight + u * a_weight * b_weight
        weight = weight + counted * magnitude
        depth = open_or(np.zeros(()), a.depth + b.depth) + counted
        running = np.abs(a.value) * b.running + np.abs(b.value) * a.running
        running = running + u * a.running * b.running + rounded * np.abs(value)
        variance = b.value * b.value * a.variance + a.value * a.value * b.variance
        variance = variance + rounded * value * value

        # an exact zero is added without a rounding, and so is the first term
        there = ~((magnitude == 0) & (running == 0) & (weight == 0) & (terms <= 1))
        added = there & (np.add.accumulate(there, axis=1, dtype=np.int64) > 1)
        partial = np.add.accumulate(value, axis=1)
        running = running + np.where(added, np.abs(partial), 0.0)
        variance = variance + np.where(added, partial * partial, 0.0)
        columns = (
            partial[:, -1],
            magnitude.sum(axis=1),
            np.where(there, terms, 0.0).sum(axis=1),
            weight.sum(axis=1),
            np.where(there, depth, 0.0).max(axis=1),
            running.sum(axis=1),
            variance.sum(axis=1),
        )
    for number in zip(*(column.reshape(-1).tolist() for column in columns), strict=True):
        v, size, count, heavy, deep, ran, spread = number
        yield Tracked(v, u, size, int(count), heavy, int(deep), ran, spread)
