"""Arithmetic with what a function returned: a law's own rounding, counted rather than guessed.

A law takes results that may each lie some way from the truth, computes with them, and has to
say how far the outcome may lie. `measured` makes the results tracked numbers, whose bounds are
those of the subject; everything computed from them then carries its bound along.
"""

from typing import Any

import numpy as np

from rlverify.contract import Claim
from rlverify.rounding import PRECISIONS, Tracked

UNIT = PRECISIONS["float64"].unit


def exactly(value: Any) -> Tracked:
    """Return a number as it stands, ready for arithmetic that counts its roundings."""
    return Tracked(float(value), UNIT)


def known_within(value: Any, allowed: Any) -> Tracked:
    """Return a number that is only known to lie within `allowed` of the truth."""
    units = float(allowed) / UNIT
    return Tracked(float(value), UNIT, abs(float(value)), 1, units, 0, units, units * units)


def measured(values: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return results as numbers that are known within their bounds."""
    numbers = np.empty(values.shape, dtype=object)
    for i in np.ndindex(values.shape):
        numbers[i] = known_within(values[i], allowed[i])
    return numbers


def vanishes(difference: Any, slack: float = 0.0) -> Claim:
    """Claim that a computed number is 0, to within its own bound and `slack`."""
    allowed = difference.running_bound() + slack
    return Claim(np.array([float(difference)]), np.zeros(1), np.array([allowed]))
