"""The recurrence as one operator of PyTorch: what `torch.compile` sees in place of its passes.

Eager calls do not go through it, because the dispatcher alone takes longer than a small kernel.
"""

from typing import Any

import torch
from torch import Tensor

from rlverify.fast.kernels.plain import Decay
from rlverify.fast.kernels.running import run


def slope_of_decay(x_bar: Tensor, y: Tensor, cut: Tensor, forwards: bool) -> Tensor:
    """Return āₜ = x̄ₜ yₜ₊₁, or forwards x̄ₜ₊₁ yₜ; 0 across a cut and where y is not finite."""
    near, far = (y[:-1], x_bar[1:]) if forwards else (y[1:], x_bar[:-1])
    stop = cut[:-1] | ~near.isfinite()
    slope = far.masked_fill(stop, 0) * near.masked_fill(stop, 0)
    return torch.cat([slope, torch.zeros_like(x_bar[:1])])


def _weight(decay: Tensor | None, number: float) -> Decay:
    return number if decay is None else decay


@torch.library.custom_op("rlverify::recurrence", mutates_args=())
def recurrence(
    x: Tensor, decay: Tensor | None, number: float, cut: Tensor, forwards: bool
) -> Tensor:
    """Run yₜ = xₜ + aₜ yₜ₊₁, or forwards yₜ = xₜ + aₜ₋₁ yₜ₋₁, without the term across a cut.

    Args:
        x: xₜ, of float32 or float64.
        decay: aₜ between row t and row t + 1, or None where it is `number`.
        number: the weight of all rows where `decay` is None.
        cut: whether nothing passes between row t and row t + 1.
        forwards: whether rows are taken from the first to the last.
    """
    return run(x, _weight(decay, number), cut, None, forwards)


@recurrence.register_fake
def _(x: Tensor, decay: Tensor | None, number: float, cut: Tensor, forwards: bool) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, decay, ctx.number, cut, ctx.forwards = inputs
    ctx.save_for_backward(cut, *(() if decay is None else (decay, output)))


def _adjoint(ctx: Any, y_bar: Tensor) -> tuple[Tensor | None, ...]:
    cut, *tensors = ctx.saved_tensors
    decay, y = tensors or (None, None)
    # no gradient passes through a product with a NaN or an infinity in it
    stop = cut if decay is None else cut | ~decay.isfinite()
    x_bar = recurrence(y_bar, decay, ctx.number, stop, not ctx.forwards)
    if y is None or not ctx.needs_input_grad[1]:
        return x_bar, None, None, None, None
    return x_bar, slope_of_decay(x_bar, y, cut, ctx.forwards), None, None, None


recurrence.register_autograd(_adjoint, setup_context=_keep)


@recurrence.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
    """Put the mapped axis last: more of them is more columns."""

    def columns(array: Any, axis: int | None) -> Any:
        if not isinstance(array, Tensor):
            return array
        if axis is None:
            return array[..., None].expand(*array.shape, info.batch_size)
        return array.movedim(axis, -1)

    y = recurrence(*(columns(array, axis) for array, axis in zip(inputs, in_dims, strict=True)))
    return y, y.dim() - 1
