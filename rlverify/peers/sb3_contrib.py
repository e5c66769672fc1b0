"""SB3 Contrib: the conjugate gradients of its TRPO."""

from collections.abc import Callable

import torch


def conjugate_gradient(
    matvec: Callable[[torch.Tensor], torch.Tensor],
    b: torch.Tensor,
    *,
    max_iterations: int,
    tolerance: float,
) -> torch.Tensor:
    """Solve by `conjugate_gradient_solver`, whose first guess is drawn."""
    from sb3_contrib.common.utils import conjugate_gradient_solver

    found: torch.Tensor = conjugate_gradient_solver(
        matvec, b, max_iter=max_iterations, residual_tol=tolerance
    )
    return found
