"""How long finite differences take: this library, all points at once, a copy of the bytes.

The objective dominates; what is timed here is a cheap one, so mostly the overhead of a call.
"""

from collections.abc import Callable

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "finite_difference"


def batched(objective: Callable, parameters: torch.Tensor, *, step: float) -> torch.Tensor:
    """Return central differences of all points at once, for an objective that can be batched."""
    moves = step * torch.eye(len(parameters), dtype=parameters.dtype)
    points = torch.cat([parameters + moves, parameters - moves])
    # the polynomial reads θ₀, θ₁, …: the rows of the transpose are those, for all points
    ahead, behind = objective(points.T).chunk(2)
    return (ahead - behind) / (2 * step)


PEERS = {"central_difference": batched}
