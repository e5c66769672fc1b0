"""How long pathwise gradients take: this library, autograd through the sample, a copy."""

from collections.abc import Callable

import pytest
import torch

from rlverify.contracts import find

pytestmark = pytest.mark.benchmark(max_time=0.2, min_rounds=5, warmup=True, warmup_iterations=2)

NAME = "gaussian_pathwise_gradient"
SHAPES = find(NAME).sizes[1:]
ids = ["x".join(map(str, shape)) for shape in SHAPES]


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
def test_fast(shape: tuple[int, ...], race: Callable) -> None:
    race(NAME, shape)


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
def test_copy(shape: tuple[int, ...], race_copy: Callable) -> None:
    race_copy(NAME, shape)


def through_the_sample(
    mean: torch.Tensor,
    log_std: torch.Tensor,
    normals: torch.Tensor,
    reward_gradients: torch.Tensor,
) -> object:
    """Return the gradients of the actions, weighed by the slopes: a backward pass."""
    from rlverify.fast.pathwise import GaussianGradient

    leaves = [mean.clone().requires_grad_(), log_std.expand_as(mean).clone().requires_grad_()]
    actions = leaves[0] + leaves[1].exp() * normals
    return GaussianGradient(*torch.autograd.grad(actions, leaves, reward_gradients))


@pytest.mark.parametrize("shape", SHAPES, ids=ids)
def test_autograd(shape: tuple[int, ...], race: Callable) -> None:
    race(NAME, shape, through_the_sample)
