"""Electing the elite, beside a sort of everything and a copy of the bytes."""

import math
from collections.abc import Callable

import pytest
import torch

from rlverify.contracts import find

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
RUNS = [(name, shape) for name in PEERS for shape in find(name).sizes[1:]]
IDS = [f"{name}-{'x'.join(map(str, shape))}" for name, shape in RUNS]


@pytest.mark.parametrize(("name", "shape"), RUNS, ids=IDS)
def test_fast(race: Callable, name: str, shape: tuple[int, ...]):
    race(name, shape)


@pytest.mark.parametrize(("name", "shape"), RUNS, ids=IDS)
def test_sorted(race: Callable, name: str, shape: tuple[int, ...]):
    race(name, shape, PEERS[name])


@pytest.mark.parametrize(("name", "shape"), RUNS, ids=IDS)
def test_copy(race_copy: Callable, name: str, shape: tuple[int, ...]):
    race_copy(name, shape)
