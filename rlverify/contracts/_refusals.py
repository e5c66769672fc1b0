"""Refusals: an argument of the good case spoiled, and what must be said of it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rlverify.contract import BadInput, Case


def bad(
    function: str, argument: str, name: str, spoil: Callable[[Any], Any],
    error: type[Exception], message: str,
) -> BadInput:  # fmt: skip
    """Return one refusal: an argument, spoiled, and the message after the function's name."""

    def changes(case: Case) -> Mapping[str, Any]:
        return {argument: spoil(case[argument])}

    return BadInput(f"{argument}: {name}", changes, error, f"{function}: {message}")


def instead(
    function: str, argument: str, name: str, value: Any, error: type[Exception], message: str
) -> BadInput:
    """Return the refusal of a value that stands in for a good argument."""
    return bad(function, argument, name, lambda _: value, error, message)


def bad_masks(function: str, array: str) -> tuple[BadInput, ...]:
    """Return the refusals of masks beside an array [2, 3]."""
    return (
        bad(function, "mask", "numbers", lambda _: np.ones((2, 3)), TypeError,
            "mask came as dtype float64, wanted bool."),
        bad(function, "mask", "nothing real", lambda _: np.zeros((2, 3), dtype=bool), ValueError,
            "mask came without a True element, wanted at least one real one."),
        bad(function, "mask", "transposed", lambda _: np.ones((3, 2), dtype=bool), ValueError,
            f"mask has shape (3, 2), but {array} has shape (2, 3); they must agree."),
    )  # fmt: skip


def bad_floats(function: str, array: str, axes: str) -> tuple[BadInput, ...]:
    """Return the refusals of the first array of a function."""
    return (
        bad(function, array, "a list", np.ndarray.tolist, TypeError,
            f"{array} came as list, wanted a floating-point array {axes}."),
        bad(function, array, "integers", lambda x: x.astype(np.int64), TypeError,
            f"{array} came as dtype int64, wanted a floating-point dtype."),
    )  # fmt: skip
