"""What the distributions of independent components share: arrays checked and widened."""

import math
from typing import Any

import torch

HALF_LOG_TWO_PI = math.log(2 * math.pi) / 2
# below this size eˣ − 1 − x is summed from its series, since the difference would cancel
SERIES = 0.5
# the last xᵏ/k! of that series that a dtype can see at x = ½
LAST_TERM = {torch.float32: 10, torch.float64: 17}


def over_components(array: torch.Tensor, components: int) -> torch.Tensor:
    """Sum over the last axis as it will be once the array has broadcast to D components."""
    if array.ndim == 0:
        return array * components
    return array.expand(*array.shape[:-1], components).sum(-1)


class _ExponentialRest(torch.autograd.Function):
    """eˣ − 1 − x, whose derivative eˣ − 1 spares the series a backward pass."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        """Sum the series near 0, subtract elsewhere."""
        last = LAST_TERM[x.dtype]
        rest = torch.full_like(x, 1 / math.factorial(last))
        for k in range(last - 1, 1, -1):
            rest.mul_(x).add_(1 / math.factorial(k))
        # where the powers overflow they are not selected, and no gradient comes this way
        return torch.where(x.abs() < SERIES, rest.mul_(x).mul_(x), torch.expm1(x).sub_(x))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        """Keep x."""
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> torch.Tensor:
        """Multiply by eˣ − 1, which can be differentiated again."""
        (x,) = ctx.saved_tensors
        return cotangents[0] * torch.expm1(x)

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor) -> torch.Tensor:
        """Multiply by eˣ − 1."""
        (x,) = ctx.saved_tensors
        return tangents[0] * torch.expm1(x)


def exponential_rest(x: torch.Tensor) -> torch.Tensor:
    """Return eˣ − 1 − x without cancellation: never negative, x²/2 near 0."""
    rest: torch.Tensor = _ExponentialRest.apply(x)  # type: ignore[no-untyped-call]
    return rest
