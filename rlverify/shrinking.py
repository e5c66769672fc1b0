"""Shrinking: makes a failing case as small and as plain as it can be while it still fails.

Greedy and deterministic: whole columns and steps go first, then flags, then the scalars, then
single numbers. A change is kept when the predicate still holds. Nothing here knows an
estimator; what belongs together is read off the argument records.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rlverify.contract import Argument, Case, Contract
from rlverify.inputs import rechained

PLAIN_NUMBERS = (0.0, 1.0, 2.0)
PLAIN_DISCOUNTS = (1.0, 0.5)
# attempts cost by the size of the case: 600 small ones, or some forty of a thousand steps;
# either is about a second
ATTEMPTS, ELEMENTS = 600, 200_000


def _array_axes(contract: Contract, case: Case) -> list[Argument]:
    return [a for a in contract.arguments if isinstance(case[a.name], np.ndarray)]


def _without(case: Case, names: list[str], axis: int, index: int) -> Case:
    return case.but(**{name: np.delete(case[name], index, axis=axis) for name in names})


def _shorter(contract: Contract, case: Case) -> Iterator[Case]:
    """Yield the case with one slice of one axis left out, halves first."""
    arrays = _array_axes(contract, case)
    names = [a.name for a in arrays]
    shape = case[names[0]].shape
    for axis in range(len(shape)):
        length = shape[axis]
        if length > 3:
            half = length // 2
            for keep in (slice(None, half), slice(half, None)):
                index = [slice(None)] * len(shape)
                index[axis] = keep
                yield case.but(**{name: case[name][tuple(index)].copy() for name in names})
        if length > 1:
            for i in reversed(range(length)):
                yield _without(case, names, axis, i)


def _plainer(contract: Contract, case: Case) -> Iterator[Case]:
    """Yield the case with one flag, scalar or number made plainer."""
    for argument in contract.arguments:
        value = case[argument.name]
        if argument.kind == "mask" and isinstance(value, np.ndarray) and value.all():
            yield case.but(**{argument.name: None})
        if argument.kind == "discount" and isinstance(value, np.ndarray):
            yield from (case.but(**{argument.name: plain}) for plain in PLAIN_DISCOUNTS)
        if argument.kind in ("discount", "number") and isinstance(value, float):
            for plain in PLAIN_DISCOUNTS:
                if value != plain and _simpler(plain, value):
                    yield case.but(**{argument.name: plain})
        if argument.kind == "count" and isinstance(value, int) and value > 1:
            yield case.but(**{argument.name: value - 1})
    for argument in _array_axes(contract, case):
        value = case[argument.name]
        for index in np.ndindex(value.shape):
            if value.dtype == bool:
                target = argument.kind == "mask"  # the plain mask is all real, the plain flag unset
                if bool(value[index]) != target:
                    yield case.but(**{argument.name: _put(value, index, target)})
            else:
                for plain in PLAIN_NUMBERS:
                    if _simpler(plain, float(value[index])):
                        yield case.but(**{argument.name: _put(value, index, plain)})


def _simpler(plain: float, value: float) -> bool:
    order = (*PLAIN_NUMBERS, *PLAIN_DISCOUNTS)
    return value not in order or order.index(plain) < order.index(value)


def _put(array: np.ndarray, index: tuple[int, ...], value: Any) -> np.ndarray:
    changed = array.copy()
    changed[index] = value
    return changed


def shrink(contract: Contract, case: Case, fails: Callable[[Case], bool]) -> Case:
    """Return a smallest case on which `fails` still holds.

    Args:
        contract: names the arguments and what each is.
        case: a failing case.
        fails: whether a case fails in the same way; must be deterministic and must not raise.
    """
    left = 1.0
    changed = True
    while changed and left > 0:
        changed = False
        for step in (_shorter, _plainer):
            restart = True
            while restart and left > 0:
                restart = False
                for smaller in step(contract, case):
                    left -= max(1 / ATTEMPTS, smaller.size / ELEMENTS)
                    smaller = rechained(smaller)
                    if smaller.key() != case.key() and fails(smaller):
                        case, changed, restart = smaller, True, True
                        break
                    if left <= 0:
                        break
    return case
