"""How long categorical policies take: this library, torch.distributions, a copy of the bytes."""

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from rlverify.contracts import find

pytestmark = pytest.mark.benchmark(max_time=0.2, min_rounds=5, warmup=True, warmup_iterations=2)

Tensor = torch.Tensor


def masked(logits: Tensor, legal: Tensor) -> Categorical:
    return Categorical(logits=logits.masked_fill(~legal, -torch.inf))


def log_prob(logits: Tensor, actions: Tensor, legal: Tensor) -> Tensor:
    return masked(logits, legal).log_prob(actions)


def entropy(logits: Tensor, legal: Tensor) -> Tensor:
    return masked(logits, legal).entropy()


def kl(logits_p: Tensor, logits_q: Tensor, legal: Tensor) -> Tensor:
    return kl_divergence(masked(logits_p, legal), masked(logits_q, legal))


PEERS = {
    "categorical_log_prob": log_prob,
    "categorical_entropy": entropy,
    "categorical_kl": kl,
}
NAMES = [
    *PEERS,
    "categorical_score",
    "categorical_fisher",
    "categorical_sample",
    "epsilon_greedy_probabilities",
    "boltzmann_probabilities",
]
RACES = [(name, shape) for name in NAMES for shape in find(name).sizes[1:]]


@pytest.mark.parametrize(("name", "shape"), RACES)
def test_fast(name: str, shape: tuple[int, ...], race: Callable) -> None:
    race(name, shape)


@pytest.mark.parametrize(("name", "shape"), [one for one in RACES if one[0] in PEERS])
def test_torch_distributions(name: str, shape: tuple[int, ...], race: Callable) -> None:
    race(name, shape, PEERS[name])


@pytest.mark.parametrize(("name", "shape"), RACES)
def test_copy(name: str, shape: tuple[int, ...], race_copy: Callable) -> None:
    race_copy(name, shape)
