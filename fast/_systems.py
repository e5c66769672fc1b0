"""What a linear solver asks of its arguments, and the unit it solves in."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float

from rlverify.errors import Arguments

Matvec = Callable[[torch.Tensor], torch.Tensor]
STATUS = ("max_iterations", "converged", "not_positive_definite", "zero")


class Solution(NamedTuple):
    """What `conjugate_gradient` found, and how it ended."""

    x: Float[torch.Tensor, "P"]
    status: str  # converged, max_iterations, not_positive_definite or zero
    iterations: int  # products with the matrix whose step was taken
    residual: float  # ‖b − A x‖ / ‖b‖, as the recursion has it


def at_least_zero(check: Arguments, name: str, value: Any) -> None:
    """Require a finite number of at least 0."""
    check.number(name, value)
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(
            f"{check.function}: {name} came as {value}, wanted a finite number of at least 0."
        )


def finite(check: Arguments, **arrays: torch.Tensor) -> None:
    """Require arrays without NaN and infinities."""
    for name, array in arrays.items():
        if not bool(array.isfinite().all()):
            raise ValueError(f"{check.function}: {name} came with an element that is not finite.")


def power_of_two(array: torch.Tensor) -> torch.Tensor:
    """Return the greatest power of two not above the largest element; 1 where all are 0."""
    largest = array.abs().max()
    # a quotient that is a number is exact; torch.ldexp would go through float32
    unit = largest / (2 * torch.frexp(largest).mantissa)
    return torch.where(largest > 0, unit, torch.ones_like(unit))


def product_of(check: Arguments, matvec: Matvec, vector: torch.Tensor) -> torch.Tensor:
    """Return A v, if it is an array like v."""
    product = matvec(vector)
    came: Any = getattr(product, "shape", type(product).__name__)
    if came != vector.shape:
        came = came if isinstance(came, str) else f"shape {tuple(came)}"
        raise ValueError(
            f"{check.function}: matvec returned {came}, wanted shape {tuple(vector.shape)}."
        )
    return product.detach()
