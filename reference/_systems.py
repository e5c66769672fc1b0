"""What a linear solver asks of its arguments, and the unit it solves in."""

import math
from collections.abc import Callable
from numbers import Rational
from typing import Any

import numpy as np

from rlverify.errors import Arguments

Matvec = Callable[[np.ndarray], np.ndarray]


def at_least_zero(check: Arguments, name: str, value: Any) -> None:
    """Require a finite number of at least 0."""
    check.number(name, value)
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(
            f"{check.function}: {name} came as {value}, wanted a finite number of at least 0."
        )


def finite(check: Arguments, **arrays: np.ndarray) -> None:
    """Require arrays without NaN and infinities."""
    for name, array in arrays.items():
        if not all(math.isfinite(number) for number in array.flat):
            raise ValueError(f"{check.function}: {name} came with an element that is not finite.")


def power_of_two(array: np.ndarray) -> Any:
    """Return the greatest power of two not above the largest element; 1 for exact numbers."""
    largest = max(abs(number) for number in array)
    if isinstance(largest, Rational):
        return 1  # fractions neither overflow nor underflow
    return math.ldexp(1.0, math.frexp(largest)[1] - 1)


def product_of(check: Arguments, matvec: Matvec, vector: np.ndarray) -> np.ndarray:
    """Return A v, if it is an array like v."""
    product = matvec(vector)
    if getattr(product, "shape", None) != vector.shape:
        came = getattr(product, "shape", type(product).__name__)
        came = came if isinstance(came, str) else f"shape {came}"
        raise ValueError(f"{check.function}: matvec returned {came}, wanted shape {vector.shape}.")
    return product
