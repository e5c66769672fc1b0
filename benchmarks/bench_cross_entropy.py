"""Electing the elite, beside a sort of everything and a copy of the bytes."""

import math

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "cross_entropy"
Tensor = torch.Tensor


def sorted_episodes(returns: Tensor, *, fraction: float) -> Tensor:
    """Sort all returns for the threshold."""
    count = max(1, math.ceil(fraction * len(returns)))
    return returns >= returns.sort(descending=True).values[count - 1]


def sorted_steps(returns_to_go: Tensor, mask: Tensor | None, *, fraction: float) -> Tensor:
    """Sort all real returns for the threshold."""
    real = returns_to_go.flatten() if mask is None else returns_to_go[mask]
    count = max(1, math.ceil(fraction * len(real)))
    elite = returns_to_go >= real.sort(descending=True).values[count - 1]
    return elite if mask is None else elite & mask


PEERS = {"elite_episodes": sorted_episodes, "elite_steps": sorted_steps}
