"""How long Beta policies take: this library, torch.distributions, a copy of the bytes."""

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Beta, kl_divergence

from racing import test_copy, test_fast, test_peer  # noqa: F401
from rlverify.fast.beta import beta_sample

TOPIC = "beta"

T = torch.Tensor


def policy(alpha: T, beta: T) -> Beta:
    return Beta(alpha, beta, validate_args=False)


def torch_log_prob(alpha: T, beta: T, actions: T) -> T:
    return policy(alpha, beta).log_prob(actions).sum(-1)


def torch_entropy(alpha: T, beta: T) -> T:
    return policy(alpha, beta).entropy().sum(-1)


def torch_kl(alpha_p: T, beta_p: T, alpha_q: T, beta_q: T) -> T:
    return kl_divergence(policy(alpha_p, beta_p), policy(alpha_q, beta_q)).sum(-1)


PEERS = {"beta_log_prob": torch_log_prob, "beta_entropy": torch_entropy, "beta_kl": torch_kl}


def named(value: object) -> str | None:
    return "x".join(map(str, value)) if isinstance(value, tuple) else None


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
