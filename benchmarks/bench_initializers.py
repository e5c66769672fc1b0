"""Initialisation, beside what people write and a copy of the bytes."""

from collections.abc import Callable

import pytest
import torch

from rlverify.contracts import find

NAME = "orthogonal"
SHAPES = find(NAME).sizes[1:]
IDS = ["x".join(map(str, shape)) for shape in SHAPES]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=IDS)


def textbook(normals: torch.Tensor, *, gain: float) -> torch.Tensor:
    """Factorise, and multiply by the signs of the diagonal."""
    q, r = torch.linalg.qr(normals)
    return gain * q * torch.sign(torch.diag(r))


@shapes
def test_fast(race: Callable, shape: tuple[int, ...]):
    race(NAME, shape)


@shapes
def test_textbook(race: Callable, shape: tuple[int, ...]):
    race(NAME, shape, textbook)


@shapes
def test_copy(race_copy: Callable, shape: tuple[int, ...]):
    race_copy(NAME, shape)
