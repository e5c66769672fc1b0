"""How long Gaussian mixtures take: this library, torch.distributions, a copy of the bytes."""

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from rlverify.contracts.gaussian_mixture import CONTRACTS

pytestmark = pytest.mark.benchmark(max_time=0.2, min_rounds=5, warmup=True, warmup_iterations=2)


def log_prob(
    logits: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor, actions: torch.Tensor
) -> torch.Tensor:
    components = Independent(Normal(mean, log_std.exp(), validate_args=False), 1)
    return MixtureSameFamily(Categorical(logits=logits), components).log_prob(actions)


PEERS = {"gaussian_mixture_log_prob": log_prob}
# entropy and divergence have no fast version
RACES = [(c.name, shape) for c in CONTRACTS if c.fast is not None for shape in c.sizes[1:]]


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
