"""How long Beta policies take: this library, torch.distributions, a copy of the bytes."""

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Beta, kl_divergence

from rlverify.contracts.beta import CONTRACTS
from rlverify.fast.beta import beta_sample

pytestmark = pytest.mark.benchmark(max_time=0.2, min_rounds=5, warmup=True, warmup_iterations=2)

T = torch.Tensor


def policy(alpha: T, beta: T) -> Beta:
    return Beta(alpha, beta, validate_args=False)


def log_prob(alpha: T, beta: T, actions: T) -> T:
    return policy(alpha, beta).log_prob(actions).sum(-1)


def entropy(alpha: T, beta: T) -> T:
    return policy(alpha, beta).entropy().sum(-1)


def divergence(alpha_p: T, beta_p: T, alpha_q: T, beta_q: T) -> T:
    return kl_divergence(policy(alpha_p, beta_p), policy(alpha_q, beta_q)).sum(-1)


PEERS = {"beta_log_prob": log_prob, "beta_entropy": entropy, "beta_kl": divergence}
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


@pytest.mark.parametrize("peer", [False, True], ids=["fast", "torch.distributions"])
@pytest.mark.parametrize("shape", [(256, 6), (4096, 6)], ids=named)
def test_sampling(shape: tuple[int, ...], peer: bool, benchmark: Callable) -> None:
    # both samplers are judged by distribution in the tests
    generator = torch.Generator().manual_seed(0)
    alpha, beta = (1 + 9 * torch.rand(shape, generator=generator) for _ in range(2))
    benchmark.group = f"beta_sample {named(shape)}"
    benchmark(
        (lambda: policy(alpha, beta).sample())
        if peer
        else lambda: beta_sample(alpha, beta, generator)
    )
