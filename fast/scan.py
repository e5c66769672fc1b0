"""The one primitive under every backward recursion: yₜ = xₜ + aₜ yₜ₊₁.

Returns, GAE, λ-returns, V-trace and their gradients are this recurrence with different
xₜ and aₜ. `cut` says where the continuation belongs to another episode. It selects: what
stands beyond a cut is never multiplied by zero, because 0 · NaN is NaN.

The map of one row, z ↦ xₜ + aₜ z, composes with the map of the next to one of the same
form, and that is all there is to running it in another order:

    loop       row by row: the least arithmetic, but T short steps.
    doubling   pass k joins the window of 2ᵏ rows at t with the one behind it: log₂ T passes.
    halving    joins rows in pairs, solves for every second row, then fills in the others.

All three agree up to the order of roundings; `choose` picks by a measured rule
(docs/decisions/0003-scan.md). Identity to remember: the gradient of the recurrence is the
same recurrence run forwards. Half precision is computed in float32 and rounded once.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

Decay = float | torch.Tensor
Strategy = Callable[[torch.Tensor, Decay, torch.Tensor], torch.Tensor]

# a pass over fewer elements than this costs its launch, not its arithmetic (measured)
CHEAP_PASS = {"cpu": 2**13, "cuda": 2**20}
# columns from which one row is work enough to be taken by itself (measured; never on a GPU)
WIDE_ROW = 2**11


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that arithmetic on `dtype` runs in: float32 for the half precisions."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def rounded(number: Any, dtype: torch.dtype) -> float:
    """Return a Python number as the compute dtype of `dtype` holds it."""
    # NumPy's conversion takes a fifth of the time of torch's, and torch.compile follows it
    return float(number) if dtype == torch.float64 else float(np.float32(float(number)))


def plus_scaled(base: torch.Tensor, weight: Decay, array: torch.Tensor) -> torch.Tensor:
    """Return base + weight · array for a number or an array of weights."""
    if isinstance(weight, float):
        return torch.add(base, array, alpha=weight)
    return torch.addcmul(base, weight, array)


def _part(decay: Decay, rows: slice) -> Decay:
    return decay if isinstance(decay, float) else decay[rows]


def _join(
    head: torch.Tensor, decay: Decay, cut: torch.Tensor, tail: torch.Tensor, out: torch.Tensor
) -> torch.Tensor:
    """Write head + (nothing if cut, else decay · tail) to `out`, which may be `head`."""
    continued = plus_scaled(head, decay, tail)
    if torch.compiler.is_compiling():  # it takes no out= with gaps, and fuses the copy away
        return out.copy_(torch.where(cut, head, continued))
    return torch.where(cut, head, continued, out=out)


# A strategy takes x of T rows with decay and cut of the T − 1 gaps between them.


def loop(x: torch.Tensor, decay: Decay, cut: torch.Tensor) -> torch.Tensor:
    """Run the recurrence row by row."""
    y = torch.empty_like(x)
    y[-1] = x[-1]
    ins, outs, cuts = x.unbind(0), y.unbind(0), cut.unbind(0)
    decays = [decay] * len(cuts) if isinstance(decay, float) else decay.unbind(0)
    for t in reversed(range(len(cuts))):
        _join(ins[t], decays[t], cuts[t], outs[t + 1], out=outs[t])
    return y


def doubling(x: torch.Tensor, decay: Decay, cut: torch.Tensor) -> torch.Tensor:
    """Run the recurrence in ⌈log₂ T⌉ passes over all rows."""
    y = x.clone()
    window = 1
    while window < len(y):
        # decay and cut now describe the windows that end before the last row
        head = y[:-window]
        _join(head, decay, cut, y[window:], out=head)
        if 2 * window < len(y):
            cut = cut[:-window] | cut[window:]
            decay = _part(decay, slice(-window)) * _part(decay, slice(window, None))
        window *= 2
    return y


def halving(x: torch.Tensor, decay: Decay, cut: torch.Tensor) -> torch.Tensor:
    """Run the recurrence on every second row, each joined with its successor; then fill in."""
    y = x.clone()
    cheap = CHEAP_PASS["cpu" if x.device.type == "cpu" else "cuda"]
    even, odd = slice(0, None, 2), slice(1, None, 2)
    rows, levels = y, []
    while rows.numel() > cheap and len(rows) > 1:
        head = rows[even][: len(rows) // 2]  # an odd last row has nothing to be joined with
        _join(head, _part(decay, even), cut[even], rows[odd], out=head)
        levels.append((rows, _part(decay, odd), cut[odd]))
        rows, gaps = rows[even], slice(0, len(cut[odd]))
        decay = _part(_part(decay, even), gaps) * _part(decay, odd)
        cut = cut[even][gaps] | cut[odd]
    rows.copy_(doubling(rows.contiguous(), decay, cut))
    for rows, decay, cut in reversed(levels):
        head = rows[odd][: len(cut)]
        _join(head, decay, cut, rows[2::2], out=head)
    return y


STRATEGIES: dict[str, Strategy] = {"loop": loop, "doubling": doubling, "halving": halving}


def choose(x: torch.Tensor) -> str:
    """Name the strategy for this shape and device: the measured rule."""
    wide = x.numel() >= WIDE_ROW * len(x)
    # a traced loop would unroll into T copies of its body
    if wide and x.device.type == "cpu" and not torch.compiler.is_compiling():
        return "loop"
    return "halving"  # which is doubling for whatever is small


def _run(x: torch.Tensor, decay: Decay, cut: torch.Tensor, way: str | None) -> torch.Tensor:
    """Run the recurrence without gradients: the place where another backend joins."""
    x = x.contiguous()
    gaps = _part(decay, slice(-1))
    if not isinstance(gaps, float):
        gaps = gaps.contiguous()
    return STRATEGIES[way or choose(x)](x, gaps, cut[:-1].contiguous())


class _Recurrence(torch.autograd.Function):
    """The recurrence with its adjoint, which is the recurrence again.

    No gradient passes through a product that has a NaN or inf in it: beyond an end x̄ is 0,
    and 0 · NaN would spread from there to whatever a decay was computed from.
    """

    @staticmethod
    def forward(x: torch.Tensor, decay: Decay, cut: torch.Tensor, way: str | None) -> torch.Tensor:
        """Compute y."""
        return _run(x, decay, cut, way)

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
        _, decay, cut, ctx.way = inputs
        ctx.number = decay if isinstance(decay, float) else None
        ctx.save_for_backward(cut, *(() if isinstance(decay, float) else (decay, output)))

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Run x̄ₜ = ȳₜ + (0 if cutₜ₋₁ else aₜ₋₁ x̄ₜ₋₁); then āₜ = x̄ₜ yₜ₊₁ where not cutₜ."""
        cut, *tensors = ctx.saved_tensors

        def mirrored(gaps: torch.Tensor) -> torch.Tensor:
            return gaps.flip(0).roll(-1, 0)  # gap t, between t and t + 1, moves to T − 2 − t

        decay, y = tensors or (ctx.number, None)
        stop = cut if y is None else cut | ~decay.isfinite()
        decay = decay if y is None else mirrored(decay)
        # not `_dispatch`: it cannot see that cotangents come as a batch (jacrev)
        x_bar = _recorded(cotangents[0].flip(0), decay, mirrored(stop), ctx.way).flip(0)
        if y is None or not ctx.needs_input_grad[1]:
            return x_bar, None, None, None
        stop = cut[:-1] | ~y[1:].isfinite()
        slope = x_bar[:-1].masked_fill(stop, 0) * y[1:].masked_fill(stop, 0)
        return x_bar, torch.cat([slope, torch.zeros_like(x_bar[:1])]), None, None


def _recorded(x: torch.Tensor, decay: Decay, cut: torch.Tensor, way: str | None) -> torch.Tensor:
    y: torch.Tensor = _Recurrence.apply(x, decay, cut, way)  # type: ignore[no-untyped-call]
    return y


def _dispatch(x: torch.Tensor, decay: Decay, cut: torch.Tensor, way: str | None) -> torch.Tensor:
    differentiable = x.requires_grad or (isinstance(decay, torch.Tensor) and decay.requires_grad)
    # autograd's bookkeeping alone costs a fifth of a small recurrence
    run = _recorded if differentiable and torch.is_grad_enabled() else _run
    return run(x, decay, cut, way)


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
