"""Runs the CUDA kernels in Triton's interpreter, against exact arithmetic; started by a test.

The interpreter has to be chosen before Triton is imported, so this is a process of its own.
"""

import math
import os

os.environ["TRITON_INTERPRET"] = "1"

import torch

from exact_recurrences import Case, recurrence, within
from rlverify.fast.kernels import cuda

# one row, fewer rows than a block and more than one; columns beside a block's end
SHAPES = {"columns": [(1, 3), (5, 130)], "stretches": [(1, 2), (9, 3), (1030, 1)]}


def check(way: str, shape: tuple[int, int], dtype: torch.dtype, number: bool) -> None:
    """Run one kernel both ways; NaN stands wherever nothing may be read."""
    generator = torch.Generator().manual_seed(0)
    x, decay = (torch.randint(-8, 9, (2, *shape), generator=generator) / 8).to(dtype).unbind(0)
    cut = torch.rand(shape, generator=generator) < 0.3
    decay = decay.masked_fill(cut, math.nan)
    weight = 0.625 if number else decay[:-1].contiguous()
    y = cuda.linear(x, weight, cut[:-1].contiguous(), forwards=False, way=way)
    within(y, recurrence(Case(x, 0.625 if number else decay.nan_to_num(0), cut, x)))
    mirrored = weight if isinstance(weight, float) else weight.flip(0)
    z = cuda.linear(x.flip(0), mirrored, cut[:-1].flip(0), forwards=True, way=way)
    assert torch.equal(z.flip(0), y)


def check_selection(way: str) -> None:
    """NaN stays in its episode, and reaches all of it though the weight is 0."""
    x, cut = torch.ones(9, 1), torch.zeros(8, 1, dtype=torch.bool)
    cut[2], x[6] = True, math.nan
    y = cuda.linear(x, 0.0, cut, forwards=False, way=way)
    assert y.isnan().flatten().tolist() == [False] * 3 + [True] * 4 + [False] * 2


if __name__ == "__main__":
    for way, shapes in SHAPES.items():
        check_selection(way)
        for shape in shapes:
            for dtype in (torch.float32, torch.float64):
                for number in (True, False):
                    check(way, shape, dtype, number)
    print("every kernel agrees")
