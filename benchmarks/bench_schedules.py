"""Schedules, beside what people write and a copy of the bytes."""

from collections.abc import Callable

import pytest
import torch

from rlverify.contracts import find

NAME = "linear_schedule"
SHAPES = find(NAME).sizes[1:]
IDS = ["x".join(map(str, shape)) for shape in SHAPES]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=IDS)


def textbook(step: torch.Tensor, *, start: float, end: float, steps: float) -> torch.Tensor:
    """Mix both ends."""
    return torch.lerp(torch.tensor(start), torch.tensor(end), (step / steps).clamp(0, 1))


@shapes
def test_fast(race: Callable, shape: tuple[int, ...]):
    race(NAME, shape)


@shapes
def test_textbook(race: Callable, shape: tuple[int, ...]):
    race(NAME, shape, textbook)


@shapes
def test_copy(race_copy: Callable, shape: tuple[int, ...]):
    race_copy(NAME, shape)
