"""How long squashed Gaussian policies take: this library, torch.distributions, a copy."""

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from rlverify.contracts.tanh_gaussian import CONTRACTS

pytestmark = pytest.mark.benchmark(max_time=0.2, min_rounds=5, warmup=True, warmup_iterations=2)

T = torch.Tensor


def log_prob(mean: T, log_std: T, pre_tanh: T) -> T:
    squash = TanhTransform(cache_size=1)  # remembers u, or artanh of the action would be taken
    normal = Normal(mean, log_std.exp(), validate_args=False)
    policy = TransformedDistribution(normal, [squash], validate_args=False)
    return policy.log_prob(squash(pre_tanh)).sum(-1)


RACES = [(c.name, shape) for c in CONTRACTS if c.fast for shape in c.sizes[1:]]


def named(value: object) -> str | None:
    return "x".join(map(str, value)) if isinstance(value, tuple) else None


@pytest.mark.parametrize(("name", "shape"), RACES, ids=named)
def test_fast(name: str, shape: tuple[int, ...], race: Callable) -> None:
    race(name, shape)


@pytest.mark.parametrize("shape", [shape for name, shape in RACES if "log" in name], ids=named)
def test_torch_distributions(shape: tuple[int, ...], race: Callable) -> None:
    race("tanh_gaussian_log_prob", shape, log_prob)


@pytest.mark.parametrize(("name", "shape"), RACES, ids=named)
def test_copy(name: str, shape: tuple[int, ...], race_copy: Callable) -> None:
    race_copy(name, shape)
