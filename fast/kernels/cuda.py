"""Launches of the CUDA kernels, and the rule that says which of them a shape is given to.

Nothing here has run on a GPU yet: the kernels are tested by Triton's interpreter and compiled for
two architectures. The constants below are reasoned, not measured.
"""

from typing import Any

import torch
from torch import Tensor

# programs from which every multiprocessor of a large GPU has some (an H100 has 132)
BUSY = 128
# columns of a program; rows of a step of the associative scan
WIDTH, ROWS = 128, 1024
# rows from which a scan along time pays for its log₂ passes in registers
LONG = 256


def available() -> bool:
    """Return whether Triton can be imported."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return False
    return True


def choose(steps: int, columns: int) -> str:
    """Name the kernel for a shape: columns side by side if they fill the machine."""
    return "columns" if columns >= BUSY * WIDTH or steps < LONG else "stretches"


def linear(
    x: Tensor, decay: float | Tensor, cut: Tensor, forwards: bool, way: str | None = None
) -> Tensor:
    """Run the recurrence on x with decay and cut of the gaps; all lie row behind row."""
    from rlverify.fast.kernels import blocks

    steps, count = len(x), x.numel() // len(x)
    array = isinstance(decay, Tensor)
    weights = decay if isinstance(decay, Tensor) else x.new_full((1,), decay)
    y = torch.empty_like(x)
    way = way or choose(steps, count)
    kernel: Any = getattr(blocks, way)
    if way == "columns":
        programs, block = -(-count // WIDTH), WIDTH
    else:
        programs, block = count, min(ROWS, 1 << max(steps - 1, 1).bit_length())
    kernel[(programs,)](
        x,
        weights,
        cut.view(torch.uint8),
        y,
        steps,
        count,
        HAS_DECAY=array,
        FORWARDS=forwards,
        BLOCK=block,
        enable_fp_fusion=True,  # multiply-adds are one instruction, rounded once
    )
    return y
