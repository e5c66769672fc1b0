"""The one primitive under every backward recursion: yₜ = xₜ + aₜ yₜ₊₁.

Returns, GAE, λ-returns, V-trace and their gradients are this recurrence with different
xₜ and aₜ. `cut` says where the continuation belongs to another episode. It selects: what
stands beyond a cut is never multiplied by zero, because 0 · NaN is NaN.

How it is run is the matter of `kernels`: in one compiled pass, or, where there is no kernel for a
tensor, in plain PyTorch, in an order that suits its shape. All strategies agree up to the order of
roundings; `choose` picks by a measured rule (docs/decisions/0003-scan.md, 0014-kernels.md).

Autograd sees one function with an adjoint; a compiler sees one operator, `rlverify::recurrence`.
Identity to remember: the gradient of the recurrence is the same recurrence run forwards. Half
precision is computed in float32 and rounded once.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from rlverify.fast.kernels.operator import recurrence, slope_of_decay
from rlverify.fast.kernels.plain import CHEAP_PASS, Decay, plus_scaled
from rlverify.fast.kernels.running import STRATEGIES, WIDE_ROW, choose, run

__all__ = [  # for those who need not know of the kernels
    "CHEAP_PASS",
    "STRATEGIES",
    "WIDE_ROW",
    "Decay",
    "choose",
    "compute_dtype",
    "plus_scaled",
    "reverse_linear_recurrence",
    "rounded",
    "windowed_linear_recurrence",
]


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that arithmetic on `dtype` runs in: float32 for the half precisions."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def rounded(number: Any, dtype: torch.dtype) -> float:
    """Return a Python number as the compute dtype of `dtype` holds it."""
    # NumPy's conversion takes a fifth of the time of torch's, and torch.compile follows it
    return float(number) if dtype == torch.float64 else float(np.float32(float(number)))


class _Recurrence(torch.autograd.Function):
    """The recurrence with its adjoint, which is the recurrence again.

    No gradient passes through a product that has a NaN or inf in it: beyond an end x̄ is 0,
    and 0 · NaN would spread from there to whatever a decay was computed from.
    """

    @staticmethod
    def forward(
        x: torch.Tensor, decay: Decay, cut: torch.Tensor, way: str | None, forwards: bool
    ) -> torch.Tensor:
        """Compute y."""
        return run(x, decay, cut, way, forwards)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[torch.Tensor, int]:
        """Put the mapped axis last: more of them is more columns."""

        def columns(array: Any, axis: int | None) -> Any:
            if not isinstance(array, torch.Tensor):
                return array
            if axis is None:
                return array[..., None].expand(*array.shape, info.batch_size)
            return array.movedim(axis, -1)

        y = _dispatch(*(columns(array, axis) for array, axis in zip(inputs, in_dims, strict=True)))
        return y, y.dim() - 1

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        """Keep what the adjoint needs: y only where the decay has a gradient."""
        _, decay, cut, ctx.way, ctx.forwards = inputs
        ctx.number = decay if isinstance(decay, float) else None
        ctx.save_for_backward(cut, *(() if isinstance(decay, float) else (decay, output)))

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Run x̄ₜ = ȳₜ + (0 if cutₜ₋₁ else aₜ₋₁ x̄ₜ₋₁); then āₜ = x̄ₜ yₜ₊₁ where not cutₜ."""
        cut, *tensors = ctx.saved_tensors
        decay, y = tensors or (ctx.number, None)
        stop = cut if y is None else cut | ~decay.isfinite()
        # not `_dispatch`: it cannot see that cotangents come as a batch (jacrev)
        x_bar = _recorded(cotangents[0], decay, stop, ctx.way, not ctx.forwards)
        if y is None or not ctx.needs_input_grad[1]:
            return x_bar, None, None, None, None
        return x_bar, slope_of_decay(x_bar, y, cut, ctx.forwards), None, None, None


def _recorded(
    x: torch.Tensor, decay: Decay, cut: torch.Tensor, way: str | None, forwards: bool
) -> torch.Tensor:
    y: torch.Tensor = _Recurrence.apply(x, decay, cut, way, forwards)  # type: ignore[no-untyped-call]
    return y


def _dispatch(
    x: torch.Tensor, decay: Decay, cut: torch.Tensor, way: str | None, forwards: bool = False
) -> torch.Tensor:
    if way is None and torch.compiler.is_compiling():
        array = decay if isinstance(decay, torch.Tensor) else None
        number = 0.0 if isinstance(decay, torch.Tensor) else decay
        y: torch.Tensor = recurrence(x, array, number, cut, forwards)
        return y
    differentiable = x.requires_grad or (isinstance(decay, torch.Tensor) and decay.requires_grad)
    # autograd's bookkeeping alone costs a fifth of a small recurrence
    if differentiable and torch.is_grad_enabled():
        return _recorded(x, decay, cut, way, forwards)
    return run(x, decay, cut, way, forwards)


def _times(near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
    """Return near · far; no gradient passes where that is not finite."""
    whole = near * far
    if not whole.requires_grad:
        return whole
    stop = ~whole.isfinite()
    passing = near.masked_fill(stop, 0) * far.masked_fill(stop, 0)
    return passing + whole.detach().masked_fill(~stop, 0)


def _arguments(
    name: str, x: torch.Tensor, decay: Decay, **arrays: torch.Tensor
) -> tuple[torch.Tensor, Decay]:
    """Check the shapes, and widen x and the decay to the compute dtype."""
    if isinstance(decay, torch.Tensor):
        arrays["decay"] = decay = decay.expand(x.shape) if decay.dim() == 0 else decay
    for other, array in arrays.items():
        if array.shape != x.shape:
            raise ValueError(
                f"{name}: {other} has shape {tuple(array.shape)}, but x has shape "
                f"{tuple(x.shape)}; they must agree."
            )
    dtype = compute_dtype(x.dtype)
    if isinstance(decay, torch.Tensor):
        return x.to(dtype), decay.to(dtype)
    decay = rounded(decay, x.dtype)
    # the power of a number up to 1 stays finite; any other is left to the elementwise select
    return x.to(dtype), decay if abs(decay) <= 1 else x.new_full(x.shape, decay, dtype=dtype)


def reverse_linear_recurrence(
    x: Float[torch.Tensor, "T B"],
    decay: float | Float[torch.Tensor, "T B"],
    cut: Bool[torch.Tensor, "T B"],
    *,
    strategy: str | None = None,
) -> Float[torch.Tensor, "T B"]:
    """Run a first-order linear recurrence from the last row to the first.

        yₜ = xₜ + { 0          where cut, and at the last row
                  { aₜ yₜ₊₁    elsewhere

    Source: Hillis and Steele 1986 (doubling); Blelloch 1990, section 1.4 (halving, and the
    composition of first-order recurrences).
    Ours: a cut selects, so NaN or inf beyond it reaches neither y nor a gradient; nor does a
    gradient pass through a product with a NaN or inf in it. Orders other than the loop's form
    products of decays: an inf inside an episode may come out as NaN, and decays above 1 may
    overflow earlier. Bits depend on strategy, place and layout, never on other episodes.

    Args:
        x: xₜ, what row t adds.
        decay: aₜ, the weight of row t + 1; a number is the same for all rows.
        cut: whether what follows row t is to be left out.
        strategy: a name from `STRATEGIES`; None chooses by shape and device.

    Returns:
        y, of the shape and dtype of x. Gradients of any order flow to x and to a decay
        tensor: x̄ₜ = ȳₜ + aₜ₋₁ x̄ₜ₋₁ and āₜ = x̄ₜ yₜ₊₁, each without the term across a cut.

    Raises:
        ValueError: shapes disagree.

    Example:
        >>> x, cut = torch.ones(4, 1), torch.tensor([[False], [True], [False], [False]])
        >>> reverse_linear_recurrence(x, 0.5, cut).flatten()
        tensor([1.5000, 1.0000, 1.5000, 1.0000])
    """
    wide, decay = _arguments("reverse_linear_recurrence", x, decay, cut=cut)
    return _dispatch(wide, decay, cut, strategy).to(x.dtype)


def windowed_linear_recurrence(
    x: Float[torch.Tensor, "T B"],
    decay: float | Float[torch.Tensor, "T B"],
    cut: Bool[torch.Tensor, "T B"],
    beyond: Float[torch.Tensor, "T B"],
    *,
    n: int,
) -> Float[torch.Tensor, "T B"]:
    """Run the recurrence from every row through n rows only, then take what lies beyond.

        y⁽⁰⁾ₜ₊₁ = vₜ        y⁽ᵐ⁾ₜ = xₜ + { 0               where cut, and at the last row
                                       { aₜ y⁽ᵐ⁻¹⁾ₜ₊₁    elsewhere

    Source: the composition of Blelloch 1990, section 1.4, with n taken in binary.
    Ours: 2 log₂ n passes instead of n; plain differentiable operations.

    Args:
        x: xₜ, what row t adds.
        decay: aₜ, the weight of row t + 1; a number is the same for all rows.
        cut: whether what follows row t is to be left out.
        beyond: vₜ, what follows row t where t is the last row of a window and not cut.
        n: the number of rows in a window, at least 1.

    Returns:
        y⁽ⁿ⁾, of the shape and dtype of x. Gradients flow to x, a decay tensor and beyond.

    Raises:
        ValueError: shapes disagree.

    Example:
        >>> x, off = torch.ones(3, 1), torch.zeros(3, 1, dtype=torch.bool)
        >>> windowed_linear_recurrence(x, 0.5, off, 4 * x, n=2).flatten()
        tensor([2.5000, 1.5000, 1.0000])
    """
    name = "windowed_linear_recurrence"
    added, decay = _arguments(name, x, decay, cut=cut, beyond=beyond)
    if n >= len(x):  # every window meets the last row
        return _dispatch(added, decay, cut, None).to(x.dtype)

    def joined(tail: torch.Tensor) -> torch.Tensor:
        # everything is selected before a product, for the sake of the product's gradient
        head, tail = added[: len(tail)], tail.masked_fill(cut, 0)
        if isinstance(decay, float):
            head = plus_scaled(head, decay, tail)
        else:
            head = head + _times(decay, tail)
        return torch.cat([head, added[len(tail) :]])

    cut, window = cut[:-1], 1
    decay = decay if isinstance(decay, float) else decay[:-1].masked_fill(cut, 0)
    tail, first = beyond.to(added.dtype)[:-1], 1  # vₜ lies one row behind the row it follows
    while True:
        if n & window:
            tail, first = joined(tail[window - first :]), 0
        if 2 * window > n:
            return tail.to(x.dtype)
        added = joined(added[window:])
        cut = cut[:-window] | cut[window:]
        if isinstance(decay, float):
            decay *= decay
        else:
            near, far = decay[:-window].masked_fill(cut, 0), decay[window:].masked_fill(cut, 0)
            decay = _times(near, far)
        window *= 2
