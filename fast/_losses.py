"""Losses that leave their gradient behind: one pass of a compiled kernel, or plain PyTorch.

The kernels of `kernels.losses` compute a loss and the slope of every element together, in one
pass over memory where autograd makes fifteen. They are for plain tensors on a CPU that no
compiler, transform or mode watches; everything else, second derivatives among it, goes through
the formulas below, which say the same. All arrays are checked, widened and, but for the first,
constant.
"""

import struct
from collections.abc import Callable
from typing import Any

import torch

from rlverify.fast._reductions import real
from rlverify.fast.kernels import loading
from rlverify.fast.kernels.calling import REALS, watched

Formula = Callable[..., torch.Tensor]
_packed = {count: struct.Struct(f"=4q5d{count}q").pack for count in (6, 7)}


class _Sloped(torch.autograd.Function):
    """A loss that is known together with its slopes, which only await their factor."""

    @staticmethod
    def forward(
        ctx: Any, moving: torch.Tensor, slopes: torch.Tensor, loss: float, divisor: float,
        formula: Formula, *constants: Any,
    ) -> torch.Tensor:  # fmt: skip
        ctx.tensors = [isinstance(constant, torch.Tensor) for constant in constants]
        ctx.save_for_backward(
            moving, slopes, *(c for c in constants if isinstance(c, torch.Tensor))
        )
        ctx.others = [c for c in constants if not isinstance(c, torch.Tensor)]
        ctx.formula, ctx.divisor = formula, divisor
        return moving.new_tensor(loss)

    @staticmethod
    def backward(ctx: Any, *arriving: torch.Tensor) -> Any:
        moving, slopes, *saved = ctx.saved_tensors
        none = (None,) * (4 + len(ctx.tensors))
        if not torch.is_grad_enabled():
            return slopes * (arriving[0] / ctx.divisor), *none
        # somebody differentiates once more: by the formula, which autograd can follow
        tensors, others = iter(saved), iter(ctx.others)
        constants = [next(tensors if tensor else others) for tensor in ctx.tensors]
        loss = ctx.formula(moving, *constants)
        found = torch.autograd.grad(loss, moving, arriving[0], create_graph=True)
        return *found, *none


def _swept(
    name: str,
    arrays: tuple[torch.Tensor, ...],
    rows: torch.Tensor | None,
    mask: torch.Tensor | None,
    numbers: tuple[float, ...],
) -> tuple[torch.Tensor, list[float]] | None:
    """Return slopes and outcomes of a kernel, or None where it does not apply."""
    first = arrays[0]
    taken = arrays if rows is None else (*arrays, rows)
    given = taken if mask is None else (*taken, mask)
    if (
        first.dtype not in REALS
        or first.numel() == 0
        or any(type(a) not in (torch.Tensor, torch.nn.Parameter) for a in given)
        or any(not a.is_cpu or a.is_neg() or a.dtype is not first.dtype for a in taken)
        or (mask is not None and not mask.is_cpu)
        or watched()
    ):
        return None
    call = loading.kernel(name, REALS[first.dtype][0])
    if call is None:
        return None
    given = tuple(array.detach().contiguous() for array in given)
    slopes = torch.empty_like(given[0])
    outcomes = torch.empty(3, dtype=torch.float64)
    addresses = [array.data_ptr() for array in given] + [0] * (mask is None)
    addresses += [slopes.data_ptr(), outcomes.data_ptr()]
    height = 1 if rows is None else len(rows)
    doubles = (*numbers, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
    pack = _packed[len(addresses)]
    call(pack(height, first.numel() // height, 0, 0, *doubles, *addresses))
    return slopes, outcomes.tolist()


def _mean(terms: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the mean over the real elements of terms that are 0 elsewhere if their inputs are."""
    return terms.mean() if mask is None else terms.sum() / mask.sum()


def _held(log_ratios: torch.Tensor, weights: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Return ratios, at the edge where the surrogate is flat."""
    with torch.no_grad():
        ratios = log_ratios.exp()
        clipped = torch.where(weights >= 0, ratios > high, ratios < low)
        edges = torch.where(weights >= 0, weights.new_tensor(high), low)
    # what is clipped is replaced before the exponential: an infinite ratio has the gradient NaN
    return torch.where(clipped, edges, torch.where(clipped, 0, log_ratios).exp())


def _clip_formula(
    now: torch.Tensor, old: torch.Tensor, gains: torch.Tensor, mask: torch.Tensor | None,
    low: float, high: float,
) -> torch.Tensor:  # fmt: skip
    weights = real(gains, mask)
    return -_mean(_held(real(now, mask) - real(old, mask), weights, low, high) * weights, mask)


def clip_loss(
    now: torch.Tensor, old: torch.Tensor, gains: torch.Tensor, mask: torch.Tensor | None,
    low: float, high: float,
) -> torch.Tensor:  # fmt: skip
    """Return −mean min(ρA, clip(ρ, low, high) A)."""
    constants = (old, gains, mask, low, high)
    found = _swept("clipped", (now, old, gains), None, mask, (low, high))
    if found is None:
        return _clip_formula(now, *constants)
    slopes, (total, count, _) = found
    return _Sloped.apply(now, slopes, -total / count, -count, _clip_formula, *constants)  # type: ignore[no-any-return,no-untyped-call]


def _value_formula(
    now: torch.Tensor, old: torch.Tensor, goals: torch.Tensor, mask: torch.Tensor | None,
    edge: float,
) -> torch.Tensor:  # fmt: skip
    now, old, goals = (real(array, mask) for array in (now, old, goals))
    held = old + (now - old).clamp(-edge, edge)
    errors = torch.maximum((now - goals).square(), (held - goals).square())
    return _mean(errors, mask) / 2


def value_loss(
    now: torch.Tensor, old: torch.Tensor, goals: torch.Tensor, mask: torch.Tensor | None,
    edge: float,
) -> torch.Tensor:  # fmt: skip
    """Return half the mean of max((V − R)², (V̄ − R)²)."""
    constants = (old, goals, mask, edge)
    found = _swept("valued", (now, old, goals), None, mask, (edge,))
    if found is None:
        return _value_formula(now, *constants)
    slopes, (total, count, _) = found
    return _Sloped.apply(now, slopes, total / count / 2, count, _value_formula, *constants)  # type: ignore[no-any-return,no-untyped-call]


ESTIMATORS = {"k1": 1.0, "k2": 2.0, "k3": 3.0}


def kl_estimates(differences: torch.Tensor, estimator: str) -> torch.Tensor:
    """Return k1, k2 or k3 at tokens that π drew, from log π_ref − log π; not rounded back."""
    if estimator == "k1":
        return -differences
    if estimator == "k2":
        return differences.square() / 2
    return differences.expm1() - differences  # keeps the digits that exp(d) − 1 loses


def _token_formula(
    policy: torch.Tensor, old: torch.Tensor, reference: torch.Tensor, gains: torch.Tensor,
    mask: torch.Tensor | None, low: float, high: float, beta: float, estimator: str, ratio: str,
    aggregation: str, normalizer: float,
) -> torch.Tensor:  # fmt: skip
    # selected before anything is multiplied: 0 times NaN is NaN, in a gradient too
    log_ratios, differences = real(policy - old, mask), real(reference - policy, mask)
    if mask is None:
        mask = torch.ones_like(policy, dtype=torch.bool)
    counts = mask.sum(1)
    if ratio == "sequence":
        log_ratios = (log_ratios.sum(1) / counts.clamp(min=1))[:, None]
    weights = gains[:, None]
    losses = (-_held(log_ratios, weights, low, high) * weights).expand_as(policy)
    if beta != 0:
        losses = losses + beta * kl_estimates(differences, estimator)
    losses = real(losses, mask)
    if aggregation == "token_mean":
        return losses.sum() / counts.sum()
    if aggregation == "sequence_mean":
        return (losses.sum(1) / counts.clamp(min=1)).sum() / (counts > 0).sum()
    return losses.sum() / normalizer


def tokens_loss(
    policy: torch.Tensor, old: torch.Tensor, reference: torch.Tensor, gains: torch.Tensor,
    mask: torch.Tensor | None, *, low: float, high: float, beta: float, estimator: str,
    ratio: str, aggregation: str, normalizer: float,
) -> torch.Tensor:  # fmt: skip
    """Return GRPO's loss over tokens [B, L]."""
    constants = (old, reference, gains, mask, low, high, beta, estimator, ratio, aggregation,
                 normalizer)  # fmt: skip
    found = None
    if ratio == "token":
        kl = ESTIMATORS[estimator] if beta != 0 else 0.0
        numbers = (low, high, beta, kl, float(aggregation == "sequence_mean"))
        found = _swept("tokens", (policy, old, reference), gains, mask, numbers)
    if found is None:
        return _token_formula(policy, *constants)
    slopes, (total, count, sequences) = found
    divisor = {"token_mean": count, "sequence_mean": sequences}.get(aggregation, normalizer)
    return _Sloped.apply(policy, slopes, total / divisor, divisor, _token_formula, *constants)  # type: ignore[no-any-return,no-untyped-call]
