"""Proximal policy optimisation: the clipped and the penalised surrogate, in PyTorch.

A batch holds N elements of any shape; `log_probs` is log π(a | s) under the policy that learns,
`old_log_probs` under the one that acted, and ρ = π/π_old = exp(log_probs − old_log_probs). All
results are means over the real elements, and what came from the rollout is constant.  The
identity to remember: the clipped surrogate is flat exactly where ρ has already gone beyond
1 ± ε in the direction that the advantage asks for, and is ρA everywhere else.

    >>> zero, one = torch.zeros(2), torch.ones(2)
    >>> ppo_clip_loss(zero, zero, one, None, clip_range=0.25)
    tensor(-1.)
    >>> ppo_clip_loss(torch.tensor([2.0, 4.0]).log(), zero, one, None, clip_range=0.25)
    tensor(-1.2500)

A penalty on KL(old‖new) is the other way to stay near: `ppo_penalty_loss`, whose coefficient
`adapt_kl_coefficient` moves between updates. `approximate_kl`, `clip_fraction` and
`explained_variance` are what a training run watches.
"""

import torch
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.fast._losses import clip_loss, value_loss
from rlverify.fast._reductions import real
from rlverify.fast._special import exp_surplus
from rlverify.fast._steps import widened
from rlverify.fast.scan import rounded
from rlverify.refusals import KL_ESTIMATORS, clip_edges


def _mean(terms: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the mean over the real elements of terms that are 0 elsewhere if their inputs are."""
    if mask is None:
        return terms.mean()
    return terms.sum() / mask.sum()


def ppo_clip_loss(
    log_probs: Float[torch.Tensor, "..."],
    old_log_probs: Float[torch.Tensor, "..."],
    advantages: Float[torch.Tensor, "..."],
    mask: Bool[torch.Tensor, "..."] | None,
    *,
    clip_range: float | tuple[float, float],
) -> Float[torch.Tensor, ""]:
    """Clipped surrogate loss.

        L = −(1/N) Σᵢ min(ρᵢ Aᵢ, clip(ρᵢ, 1 − ε, 1 + ε) Aᵢ)        ρ = exp(log π − log π_old)

    Source: Schulman et al. 2017, arXiv:1707.06347, eq. 7.
    Ours: the loss to minimise, a mean over the real elements. Where ρ lies exactly on an edge
    the gradient is that of ρA. A pair (low, high) clips to [1 − low, 1 + high] (Yu et al. 2025,
    arXiv:2503.14476, eq. 8).

    Args:
        log_probs: log π(aᵢ | sᵢ) under the policy that learns.
        old_log_probs: log π_old(aᵢ | sᵢ) under the policy that acted; constant.
        advantages: Aᵢ; constant. Normalise them before, if at all.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.
        clip_range: ε above 0, or one for each side.

    Returns:
        L, shape (). Its gradient with respect to log_probs is −ρA/N; it is 0 where masked,
        where A ≥ 0 and ρ > 1 + ε, and where A < 0 and ρ < 1 − ε.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, nothing is real, or clip_range is not above 0.

    Example:
        >>> old, advantages = torch.zeros(2), torch.tensor([4.0, -4.0])
        >>> ppo_clip_loss(torch.tensor([2.0, 2.0]).log(), old, advantages, None, clip_range=0.25)
        tensor(1.5000)
    """
    check = Arguments("ppo_clip_loss", torch.Tensor)
    check.floats("...", log_probs=log_probs, old_log_probs=old_log_probs, advantages=advantages)
    check.mask("...", mask)
    below, above = clip_edges(check, clip_range)

    dtype = log_probs.dtype
    low, high = rounded(1 - rounded(below, dtype), dtype), rounded(1 + rounded(above, dtype), dtype)
    now, old, gains = widened(log_probs, old_log_probs.detach(), advantages.detach())
    return clip_loss(now, old, gains, mask, low, high).to(dtype)


def ppo_penalty_loss(
    log_probs: Float[torch.Tensor, "..."],
    old_log_probs: Float[torch.Tensor, "..."],
    advantages: Float[torch.Tensor, "..."],
    kl: Float[torch.Tensor, "..."],
    mask: Bool[torch.Tensor, "..."] | None,
    *,
    beta: float,
) -> Float[torch.Tensor, ""]:
    """Surrogate loss with a penalty on the divergence from the policy that acted.

        L = −(1/N) Σᵢ (ρᵢ Aᵢ − β KLᵢ)        ρ = exp(log π − log π_old)

    Source: Schulman et al. 2017, arXiv:1707.06347, eq. 8.
    Ours: the loss to minimise, a mean over the real elements; the divergence comes in, one a
    state, KL(π_old(· | s) ‖ π(· | s)) in the paper.

    Args:
        log_probs: log π(aᵢ | sᵢ) under the policy that learns.
        old_log_probs: log π_old(aᵢ | sᵢ) under the policy that acted; constant.
        advantages: Aᵢ; constant.
        kl: KLᵢ, of whole distributions; gradients flow through it.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.
        beta: coefficient β of the penalty.

    Returns:
        L, shape (). Its gradient is −ρA/N with respect to log_probs, β/N with respect to kl,
        and 0 where masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or nothing is real.

    Example:
        >>> old, advantages = torch.zeros(2), torch.tensor([4.0, -2.0])
        >>> kl = torch.tensor([1.0, 5.0])
        >>> ppo_penalty_loss(old, old, advantages, kl, None, beta=0.5)
        tensor(0.5000)
    """
    check = Arguments("ppo_penalty_loss", torch.Tensor)
    check.floats("...", log_probs=log_probs, old_log_probs=old_log_probs, advantages=advantages)
    check.floats("...", kl=kl)
    check.mask("...", mask)
    check.number("beta", beta)

    old, weights = real(old_log_probs.detach(), mask), real(advantages.detach(), mask)
    ratios = (real(log_probs, mask) - old).exp()
    penalty = rounded(beta, log_probs.dtype) * real(kl, mask)
    return -_mean(ratios * weights - penalty, mask).to(log_probs.dtype)


def adapt_kl_coefficient(
    beta: Float[torch.Tensor, "..."],
    kl: Float[torch.Tensor, "..."],
    *,
    target: float,
    band: float,
    factor: float,
) -> Float[torch.Tensor, "..."]:
    """Coefficient of the penalty for the next update.

        β ← { β/factor    where KL < target/band
            { β·factor    where KL > target·band
            { β           else

    Source: Schulman et al. 2017, arXiv:1707.06347, section 4, with band 1.5 and factor 2.
    Ours: elementwise, one coefficient a policy; at either threshold β stays. β = 0 stays 0.

    Args:
        beta: coefficient β, any shape (one number: shape ()).
        kl: mean divergence KL that the last update led to.
        target: divergence aimed at, above 0.
        band: how many times off the target is still near enough, above 0 (at least 1 is meant).
        factor: by which β is changed, above 0.

    Returns:
        The next β. Its gradient is not meant to be used.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or a number is not above 0.

    Example:
        >>> beta, kl = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([0.25, 1.0, 4.0])
        >>> adapt_kl_coefficient(beta, kl, target=1.0, band=1.5, factor=2.0)
        tensor([0.5000, 1.0000, 2.0000])
    """
    check = Arguments("adapt_kl_coefficient", torch.Tensor)
    check.floats("...", beta=beta, kl=kl)
    check.positive("target", target)
    check.positive("band", band)
    check.positive("factor", factor)

    now, divergence = widened(beta.detach(), kl.detach())
    target, band, factor = (rounded(number, beta.dtype) for number in (target, band, factor))
    low, high = rounded(target / band, beta.dtype), rounded(target * band, beta.dtype)
    adapted = torch.where(divergence < low, now / factor, now)
    return torch.where(divergence > high, now * factor, adapted).to(beta.dtype)


def clipped_value_loss(
    values: Float[torch.Tensor, "..."],
    old_values: Float[torch.Tensor, "..."],
    returns: Float[torch.Tensor, "..."],
    mask: Bool[torch.Tensor, "..."] | None,
    *,
    clip_range: float,
) -> Float[torch.Tensor, ""]:
    """Squared error of the critic, never below that of a prediction held near the old one.

        L = (1/2N) Σᵢ max((Vᵢ − Rᵢ)², (V̄ᵢ − Rᵢ)²)        V̄ = V_old + clip(V − V_old, −ε, ε)

    Source: Dhariwal et al. 2017, OpenAI Baselines, ppo2; Engstrom et al. 2020,
    arXiv:2005.12729, section 3 (as the paper's code has it: no equation of PPO's own paper).
    Ours: with the ½, a mean over the real elements. Where V − V_old lies exactly on an edge
    the gradient is that of the plain error.

    Args:
        values: Vᵢ, the critic that learns.
        old_values: V_old, its predictions during the rollout; constant.
        returns: Rᵢ, the targets; constant.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.
        clip_range: ε above 0, in the unit of the values.

    Returns:
        L, shape (). Its gradient with respect to values is (V − R)/N, and 0 where masked or
        where the clipped error is the larger one.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, nothing is real, or clip_range is not above 0.

    Example:
        >>> values, old = torch.tensor([3.0, 1.0]), torch.tensor([0.0, 0.0])
        >>> clipped_value_loss(values, old, torch.tensor([4.0, 1.0]), None, clip_range=2.0)
        tensor(1.)
    """
    check = Arguments("clipped_value_loss", torch.Tensor)
    check.floats("...", values=values, old_values=old_values, returns=returns)
    check.mask("...", mask)
    check.positive("clip_range", clip_range)

    now, old, goals = widened(values, old_values.detach(), returns.detach())
    edge = rounded(clip_range, values.dtype)
    return value_loss(now, old, goals, mask, edge).to(values.dtype)


def approximate_kl(
    log_probs: Float[torch.Tensor, "..."],
    old_log_probs: Float[torch.Tensor, "..."],
    mask: Bool[torch.Tensor, "..."] | None,
    *,
    estimator: str,
) -> Float[torch.Tensor, ""]:
    """Estimate of KL(π_old ‖ π) from actions that π_old drew.

        d = log π − log π_old        k1 = −d        k2 = d²/2        k3 = eᵈ − 1 − d

    Source: Schulman 2020, "Approximating KL divergence" (his r is our eᵈ).
    Ours: a mean over the real elements. k1 and k3 are unbiased, k1 may be negative; k3 is
    computed without cancellation, where eᵈ − 1 − d as it stands keeps no digit near d = 0.

    Args:
        log_probs: log π(aᵢ | sᵢ) under the policy that learns.
        old_log_probs: log π_old(aᵢ | sᵢ) under the policy that acted; constant.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.
        estimator: k1, k2 or k3.

    Returns:
        The estimate, shape (). Its gradient with respect to log_probs is −1/N, d/N or
        (eᵈ − 1)/N, and 0 where masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, nothing is real, or the estimator is none of these.

    Example:
        >>> log_probs, old = torch.tensor([-1.0, -4.0]), torch.tensor([-3.0, -3.0])
        >>> approximate_kl(log_probs, old, None, estimator="k1")
        tensor(-0.5000)
        >>> approximate_kl(log_probs, old, None, estimator="k2")
        tensor(1.2500)
    """
    check = Arguments("approximate_kl", torch.Tensor)
    check.floats("...", log_probs=log_probs, old_log_probs=old_log_probs)
    check.mask("...", mask)
    check.choice("estimator", estimator, KL_ESTIMATORS)

    d = real(log_probs, mask) - real(old_log_probs.detach(), mask)
    if estimator == "k1":
        terms = -d
    elif estimator == "k2":
        terms = d.square() / 2
    else:
        terms = exp_surplus(d)
    return _mean(terms, mask).to(log_probs.dtype)


def clip_fraction(
    log_probs: Float[torch.Tensor, "..."],
    old_log_probs: Float[torch.Tensor, "..."],
    mask: Bool[torch.Tensor, "..."] | None,
    *,
    clip_range: float | tuple[float, float],
) -> Float[torch.Tensor, ""]:
    """Share of the elements whose ratio lies outside the clip range.

        f = (1/N) Σᵢ 1[ρᵢ < 1 − ε or ρᵢ > 1 + ε]

    Source: Dhariwal et al. 2017, OpenAI Baselines, ppo2 (`clipfrac`).
    Ours: whatever the sign of the advantage, so it also counts elements that are not clipped;
    a ratio exactly on an edge lies inside.

    Args:
        log_probs: log π(aᵢ | sᵢ) under the policy that learns.
        old_log_probs: log π_old(aᵢ | sᵢ) under the policy that acted.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.
        clip_range: ε above 0, or one for each side (low, high).

    Returns:
        f in [0, 1], shape (); it carries no gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, nothing is real, or clip_range is not above 0.

    Example:
        >>> log_probs, old = torch.tensor([0.0, 1.0, -1.0, 0.125]), torch.zeros(4)
        >>> clip_fraction(log_probs, old, None, clip_range=0.25)
        tensor(0.5000)
    """
    check = Arguments("clip_fraction", torch.Tensor)
    check.floats("...", log_probs=log_probs, old_log_probs=old_log_probs)
    check.mask("...", mask)
    below, above = clip_edges(check, clip_range)

    dtype = log_probs.dtype
    low, high = rounded(1 - rounded(below, dtype), dtype), rounded(1 + rounded(above, dtype), dtype)
    ratios = (real(log_probs.detach(), mask) - real(old_log_probs.detach(), mask)).exp()
    outside = ((ratios < low) | (ratios > high)).to(ratios.dtype)
    return _mean(outside, mask).to(dtype)


def explained_variance(
    values: Float[torch.Tensor, "..."],
    returns: Float[torch.Tensor, "..."],
    mask: Bool[torch.Tensor, "..."] | None,
) -> Float[torch.Tensor, ""]:
    """Share of the variance of the returns that the critic's predictions explain.

        1 − Var[R − V] / Var[R]

    Source: Dhariwal et al. 2017, OpenAI Baselines, `explained_variance`.
    Ours: variances over the real elements; NaN where the returns do not vary. A constant error
    of the critic is not seen: 1 says that V is right up to a constant.

    Args:
        values: Vᵢ, the predictions.
        returns: Rᵢ, what they should have been.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.

    Returns:
        At most 1, shape (): 0 for a constant prediction, below 0 for a worse one. It carries
        no gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or nothing is real.

    Example:
        >>> returns = torch.tensor([0.0, 4.0])
        >>> explained_variance(torch.tensor([1.0, 3.0]), returns, None)
        tensor(0.7500)
    """
    check = Arguments("explained_variance", torch.Tensor)
    check.floats("...", values=values, returns=returns)
    check.mask("...", mask)

    real_returns, real_values = widened(returns.detach(), values.detach())
    if mask is not None:
        real_returns, real_values = real_returns[mask], real_values[mask]
    errors = real_returns - real_values
    spread = (real_returns - real_returns.mean()).square().sum()
    left = (errors - errors.mean()).square().sum()
    explained = torch.where(spread == 0, torch.nan, 1 - left / spread)
    return explained.to(values.dtype)
