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


def _axes(contract: Contract, case: Case) -> dict[str, list[tuple[str, int]]]:
    """Return for each axis the arrays that have it, each with the place, counted from the end.

    Leading axes are told apart by how far they are from the named ones.
    """
    found: dict[str, list[tuple[str, int]]] = {}
    sized = any(item.kind == "sizes" for item in contract.arguments)
    for item in _array_axes(contract, case):
        names = item.axes.split()
        rank, named = case[item.name].ndim, [name for name in names if name != "..."]
        places = {name: j - len(named) for j, name in enumerate(named) if len(named) - j <= rank}
        if names[:1] != ["..."] and rank > len(named):  # further axes that have no name
            places = {name: j - rank for j, name in enumerate(named)}
        if names[:1] == ["..."]:
            places |= {f"...{j}": -len(named) - j for j in range(1, rank - len(named) + 1)}
        for name, place in places.items():
            if not sized or name == "N":  # the other axes belong to the sizes
                found.setdefault(name, []).append((item.name, place))
    return found


def _kept(case: Case, places: list[tuple[str, int]], length: int, index: list[int]) -> Case:
    return case.but(
        **{
            name: np.take(case[name], index, axis=place)
            for name, place in places
            if case[name].shape[place] == length  # what broadcasts has one entry for all
        }
    )


def _shorter(contract: Contract, case: Case) -> Iterator[Case]:
    """Yield the case with one slice of one axis left out, halves first."""
    for places in _axes(contract, case).values():
        length = max(case[name].shape[place] for name, place in places)
        if length > 3:
            half = length // 2
            for keep in (range(half), range(half, length)):
                yield _kept(case, places, length, list(keep))
        if length > 1:
            for i in reversed(range(length)):
                yield _kept(case, places, length, [j for j in range(length) if j != i])


def _plainer(contract: Contract, case: Case) -> Iterator[Case]:
    """Yield the case with one flag, scalar or number made plainer."""
    for argument in contract.arguments:
        value = case[argument.name]
        if argument.kind in ("mask", "legal") and isinstance(value, np.ndarray) and value.all():
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
                # the plain mask is all real, the plain flag unset
                target = argument.kind in ("mask", "legal")
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
