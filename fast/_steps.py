"""What the fast versions of several topics share: arrays already checked, not yet rounded."""

from typing import Any

import torch

from rlverify.fast.scan import (
    Decay,
    compute_dtype,
    plus_scaled,
    reverse_linear_recurrence,
    rounded,
    windowed_linear_recurrence,
)


def widened(*arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the arrays in the dtype they are computed in."""
    return tuple(array.to(compute_dtype(array.dtype)) for array in arrays)


def weight(number: Any, like: torch.Tensor) -> Decay:
    """Return a discount as the arithmetic uses it: a rounded number, or an array."""
    if isinstance(number, torch.Tensor):
        return number.to(compute_dtype(like.dtype))
    return rounded(number, like.dtype)


def cuts(terminated: torch.Tensor, truncated: torch.Tensor) -> torch.Tensor:
    """Return where a cut lies: either flag, or the last step."""
    cut = terminated | truncated
    cut[-1] = True
    return cut


def one_step(
    rewards: torch.Tensor,
    values: torch.Tensor,
    next_values: torch.Tensor,
    terminated: torch.Tensor,
    gamma: Decay,
) -> torch.Tensor:
    """Compute δ from checked and widened arrays, not rounded back."""
    bootstrap = torch.where(terminated, 0, next_values)
    # in place: a fresh array of a large shape costs more than the subtraction
    return plus_scaled(rewards, gamma, bootstrap).sub_(values)


def to_the_cut(
    rewards: torch.Tensor,
    next_values: torch.Tensor,
    terminated: torch.Tensor,
    truncated: torch.Tensor,
    gamma: Decay,
    n: int | None,
) -> torch.Tensor:
    """Compute G of at most n steps (None: of all) from checked and widened arrays."""
    cut = cuts(terminated, truncated)
    bootstrap = torch.where(cut & ~terminated, next_values, 0)
    earned = plus_scaled(rewards, gamma, bootstrap)
    if n is None:
        return reverse_linear_recurrence(earned, gamma, cut)
    return windowed_linear_recurrence(earned, gamma, cut, next_values, n=n)
