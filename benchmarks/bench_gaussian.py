"""How long Gaussian policies take: this library, torch.distributions, a copy of the bytes."""

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from rlverify.contracts.gaussian import CONTRACTS

pytestmark = pytest.mark.benchmark(max_time=0.2, min_rounds=5, warmup=True, warmup_iterations=2)

T = torch.Tensor


def policy(mean: T, log_std: T) -> Normal:
    return Normal(mean, log_std.exp(), validate_args=False)


def log_prob(mean: T, log_std: T, actions: T) -> T:
    return policy(mean, log_std).log_prob(actions).sum(-1)


def entropy(log_std: T) -> T:
    return policy(torch.zeros_like(log_std), log_std).entropy().sum(-1)


def divergence(mean_p: T, log_std_p: T, mean_q: T, log_std_q: T) -> T:
    return kl_divergence(policy(mean_p, log_std_p), policy(mean_q, log_std_q)).sum(-1)


def sample(mean: T, log_std: T, normals: T) -> T:
    return mean + log_std.exp() * normals


PEERS = {
    "gaussian_log_prob": log_prob,
    "gaussian_entropy": entropy,
    "gaussian_kl": divergence,
    "gaussian_sample": sample,
}
RACES = [(contract.name, shape) for contract in CONTRACTS for shape in contract.sizes[1:]]


def named(value: object) -> str | None:
    return "x".join(map(str, value)) if isinstance(value, tuple) else None


@pytest.mark.parametrize(("name", "shape"), RACES, ids=named)
def test_fast(name: str, shape: tuple[int, ...], race: Callable) -> None:
    race(name, shape)


@pytest.mark.parametrize(("name", "shape"), [r for r in RACES if r[0] in PEERS], ids=named)
def test_torch_distributions(name: str, shape: tuple[int, ...], race: Callable) -> None:
    race(name, shape, PEERS[name])


@pytest.mark.parametrize(("name", "shape"), RACES, ids=named)
def test_copy(name: str, shape: tuple[int, ...], race_copy: Callable) -> None:
    race_copy(name, shape)
