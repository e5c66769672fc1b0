"""How long finite differences take: this library, and one gradient by autograd.

The objective dominates; what is timed here is a cheap one, so mostly the overhead of a call.
"""

from collections.abc import Callable

import pytest
import torch

from rlverify.contracts import find

pytestmark = pytest.mark.benchmark(max_time=0.2, min_rounds=5, warmup=True, warmup_iterations=2)

NAMES = ["forward_difference", "central_difference"]
SHAPES = find("forward_difference").sizes[1:]
ids = ["x".join(map(str, shape)) for shape in SHAPES]


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
@pytest.mark.parametrize("name", NAMES)
def test_fast(name: str, shape: tuple[int, ...], race: Callable) -> None:
    race(name, shape)


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
@pytest.mark.parametrize("name", NAMES)
def test_copy(name: str, shape: tuple[int, ...], race_copy: Callable) -> None:
    race_copy(name, shape)


def batched(objective: Callable, parameters: torch.Tensor, *, step: float) -> torch.Tensor:
    """Return central differences of all points at once, for an objective that can be batched."""
    moves = step * torch.eye(len(parameters), dtype=parameters.dtype)
    points = torch.cat([parameters + moves, parameters - moves])
    # the polynomial reads θ₀, θ₁, …: the rows of the transpose are those, for all points
    ahead, behind = objective(points.T).chunk(2)
    return (ahead - behind) / (2 * step)


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
def test_batched(shape: tuple[int, ...], race: Callable) -> None:
    race("central_difference", shape, batched)
