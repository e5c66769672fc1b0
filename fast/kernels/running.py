"""Which backend runs a recurrence: the compiled pass where there is one, else plain PyTorch."""

import torch

from rlverify.fast.kernels import calling, cpu, cuda
from rlverify.fast.kernels.plain import Decay, Strategy, doubling, halving, loop, part

# columns from which one row is work enough to be taken by itself (measured; never on a GPU)
WIDE_ROW = 2**11


def _by_kernel(
    x: torch.Tensor, decay: Decay, cut: torch.Tensor, forwards: bool
) -> torch.Tensor | None:
    if calling.watched():
        return None
    if x.is_cuda and x.dtype in calling.REALS and cuda.available():
        return cuda.linear(x, decay, cut, forwards)
    return cpu.linear(x, decay, cut, forwards)


def compiled(x: torch.Tensor, decay: Decay, cut: torch.Tensor) -> torch.Tensor:
    """Run the recurrence in one compiled pass; in PyTorch where there is no kernel."""
    y = _by_kernel(x, decay, cut, forwards=False)
    return y if y is not None else STRATEGIES[choose_plain(x)](x, decay, cut)


STRATEGIES: dict[str, Strategy] = {
    "compiled": compiled,
    "loop": loop,
    "doubling": doubling,
    "halving": halving,
}


def choose_plain(x: torch.Tensor) -> str:
    """Name the strategy in PyTorch for this shape and device: the measured rule."""
    wide = x.numel() >= WIDE_ROW * len(x)
    # a traced loop would unroll into T copies of its body
    if wide and x.device.type == "cpu" and not torch.compiler.is_compiling():
        return "loop"
    return "halving"  # which is doubling for whatever is small


def choose(x: torch.Tensor) -> str:
    """Name the strategy for this shape and device."""
    there = x.is_cpu or (x.is_cuda and cuda.available())
    return "compiled" if there and not calling.watched() else choose_plain(x)


def run(
    x: torch.Tensor, decay: Decay, cut: torch.Tensor, way: str | None, forwards: bool = False
) -> torch.Tensor:
    """Run the recurrence without gradients, in either direction over the same gaps."""
    x, gaps, cut = x.contiguous(), part(decay, slice(-1)), cut[:-1].contiguous()
    if not isinstance(gaps, float):
        gaps = gaps.contiguous()
    way = way or choose(x)
    if not forwards:
        return STRATEGIES[way](x, gaps, cut)
    y = _by_kernel(x, gaps, cut, forwards=True) if way == "compiled" else None
    if y is not None:
        return y
    gaps = gaps if isinstance(gaps, float) else gaps.flip(0)
    return STRATEGIES[way](x.flip(0), gaps, cut.flip(0)).flip(0)
