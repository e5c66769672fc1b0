"""What the contracts of the topic `trpo` share: known bugs and refusals."""

import numpy as np

from rlverify.contract import BadInput, Claim, KnownBug
from rlverify.contracts._refusals import bad

LENGTH = "np.sqrt(2 * delta / curvature)"
LENGTH_BUGS = (
    KnownBug("F10a", LENGTH, "np.sqrt(delta / curvature)", helper="_length"),
    KnownBug("F10b", LENGTH, "2 * delta / curvature", helper="_length"),
    KnownBug("F10c", LENGTH, "np.sqrt(2 * delta * curvature)", helper="_length"),
    KnownBug("F10d", "direction[i] * product[i]", "direction[i] * direction[i]", helper="_length"),
)

ACCEPTS = "reached(LEAST, improvement) * reached(divergence, delta)"
SEARCH_BUGS = (
    KnownBug(
        "F1",
        "parameters.copy()",
        "(trials[-1].parameters if trials else parameters).copy()",
        helper="_first_accepted",
    ),
    KnownBug("F2a", ACCEPTS, "reached(LEAST, improvement)", helper="_accepts"),
    KnownBug("F2b", ACCEPTS, "reached(divergence, delta)", helper="_accepts"),
)


def said(holds: bool, slack: float) -> Claim:
    """Claim that something holds."""
    return Claim(np.array([0.0 if holds else 1.0]), np.zeros(1), np.array([slack]))


def bad_search(function: str) -> tuple[BadInput, ...]:
    """Return the refusals of what a line search is told."""
    return (
        bad(function, "delta", "zero", lambda _: 0.0, ValueError,
            "delta came as 0.0, wanted a finite number above 0."),
        bad(function, "backtrack", "one", lambda _: 1.0, ValueError,
            "backtrack came as 1.0, wanted a number between 0 and 1."),
        bad(function, "backtrack", "NaN", lambda _: float("nan"), ValueError,
            "backtrack came as nan, wanted a number between 0 and 1."),
        bad(function, "max_backtracks", "none", lambda _: 0, ValueError,
            "max_backtracks came as 0, wanted an integer of at least 1."),
        bad(function, "max_backtracks", "a float", lambda _: 10.0, TypeError,
            "max_backtracks came as float, wanted an integer."),
    )  # fmt: skip
