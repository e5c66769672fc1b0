"""Advantages: how much better a step went than its state promised, in PyTorch.

The arrays are those of `returns`: T steps of B columns, time first, `terminated` and
`truncated` as two flags, V(s'ₜ) given for the state each step really led to. Every
estimator here is (some return) − V(sₜ).  The identity to remember: GAE is the recurrence
of `scan` over TD errors, with weight γλ.

Language models bring `[B, L]` token sequences with a padding mask instead. A masked token
is made transparent to the same recurrence (it adds nothing and decays nothing), so no loop
runs over tokens or sequences. Half precision is computed in float32 and rounded once.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.fast._steps import one_step, to_the_cut, weight, widened
from rlverify.fast.kernels import cpu
from rlverify.fast.scan import plus_scaled, reverse_linear_recurrence, rounded


class Advantages(NamedTuple):
    """Advantages, and the returns they imply.

    Attributes:
        advantages: Âₜ, the shape of the rewards.
        returns: Âₜ + V(sₜ), the target of the critic.
    """

    advantages: torch.Tensor
    returns: torch.Tensor


def _narrowed(advantages: torch.Tensor, returns: torch.Tensor, dtype: torch.dtype) -> Advantages:
    return Advantages(advantages.to(dtype), returns.to(dtype))


def _real(array: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    return array if mask is None else array.masked_fill(~mask, 0)


def gae(
    rewards: Float[torch.Tensor, "T B"],
    values: Float[torch.Tensor, "T B"],
    next_values: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
    lam: float,
) -> Advantages:
    """Generalised advantage estimates, by the backward recursion.

        δₜ = rₜ + γ V(s'ₜ) − V(sₜ)        V(s'ₜ) = 0 where the episode terminated
        Âₜ = δₜ + γ λ Âₜ₊₁                Âₜ₊₁ = 0 where the recording stopped

    Source: Schulman et al. 2016, arXiv:1506.02438, eq. 16.
    Ours: the paper treats one endless trajectory; both "where" clauses are added, and
    a truncated step still bootstraps from V(s'ₜ).

    Args:
        rewards: rₜ, the reward of step t.
        values: V(sₜ), value of the state that step t left.
        next_values: V(s'ₜ), value of the state that step t led to; ignored where terminated.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        gamma: discount γ in [0, 1], or one γₜ a step.
        lam: trace λ in [0, 1].

    Returns:
        `advantages` Â and `returns` Â + V, each [T, B]. Gradients flow to all arrays.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma or lam lies outside [0, 1].

    Example:
        >>> one, off = torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.bool)
        >>> gae(one, one, 2 * one, off, off, gamma=0.5, lam=0.5).advantages
        tensor([[1.2500],
                [1.0000]])
    """
    made = cpu.gae(rewards, values, next_values, terminated, truncated, gamma, lam)
    if made is not None:
        return Advantages(*made)
    check = Arguments("gae", torch.Tensor)
    check.floats("T B", rewards=rewards, values=values, next_values=next_values)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.unit(lam=lam)

    discount, trace = weight(gamma, rewards), rounded(lam, rewards.dtype)
    earned, baseline, following = widened(rewards, values, next_values)
    delta = one_step(earned, baseline, following, terminated, discount)
    advantages = reverse_linear_recurrence(delta, discount * trace, terminated | truncated)
    return _narrowed(advantages, advantages + baseline, rewards.dtype)


def gae_into(
    out: Advantages,
    rewards: Float[torch.Tensor, "T B"],
    values: Float[torch.Tensor, "T B"],
    next_values: Float[torch.Tensor, "T B"] | Float[torch.Tensor, " B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
    lam: float,
) -> Advantages:
    """`gae` into arrays that exist, without gradients: for the buffers of a training loop.

    Source: Schulman et al. 2016, arXiv:1506.02438, eq. 16.
    Ours: fresh memory of a large result takes longer than the arithmetic, and so does reading
    values twice; where no step but the last is truncated, one row of next values is enough.

    Args:
        out: advantages and returns to write, [T, B], of the dtype of the rewards.
        rewards: as in `gae`.
        values: as in `gae`.
        next_values: as in `gae`; or one row [B], V(s'ₜ) of the last step, and then V(s'ₜ) of
            every other step is V(sₜ₊₁).
        terminated: as in `gae`.
        truncated: as in `gae`.
        gamma: as in `gae`.
        lam: as in `gae`.

    Returns:
        `out`.

    Raises:
        TypeError: as `gae`.
        ValueError: as `gae`; a step before the last is truncated where next_values is one row.

    Example:
        >>> one, off = torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.bool)
        >>> out = Advantages(torch.empty(2, 1), torch.empty(2, 1))
        >>> gae_into(out, one, one, torch.tensor([2.0]), off, off, gamma=0.5, lam=0.5).advantages
        tensor([[0.7500],
                [1.0000]])
    """
    with torch.no_grad():
        if cpu.gae_into(out, rewards, values, next_values, terminated, truncated, gamma, lam):
            return out
        check = Arguments("gae_into", torch.Tensor)
        check.floats("T B", rewards=rewards, values=values)
        check.floats("B" if next_values.dim() == 1 else "T B", next_values=next_values)
        check.flags("T B", terminated=terminated, truncated=truncated)
        check.floats("T B", advantages=out.advantages, returns=out.returns)
        if next_values.dim() == 1:
            if bool(truncated[:-1].any()):
                raise ValueError(
                    "gae_into: next_values came as one row with a truncated step before the "
                    "last, wanted [T, B]; V of a truncated step is not that of the row behind."
                )
            next_values = torch.cat([values[1:], next_values[None]])
        results = gae(rewards, values, next_values, terminated, truncated, gamma=gamma, lam=lam)
        out.advantages.copy_(results.advantages)
        out.returns.copy_(results.returns)
    return out


def monte_carlo_advantage(
    rewards: Float[torch.Tensor, "T B"],
    values: Float[torch.Tensor, "T B"],
    next_values: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
) -> Advantages:
    """Discounted return minus the value of the state.

        Âₜ = Gₜ − V(sₜ)

    Source: Williams 1992 (baseline subtraction); Schulman et al. 2016, eq. 15 (λ = 1).
    Ours: where the recording stops before the episode, Gₜ ends in V(s'ₜ).

    Args:
        rewards: rₜ, the reward of step t.
        values: V(sₜ), value of the state that step t left.
        next_values: V(s'ₜ), read only where a cut is not a termination.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        gamma: discount γ in [0, 1], or one γₜ a step.

    Returns:
        `advantages` G − V and `returns` G, [T, B]. Gradients: all arrays, V(s'ₜ) where read.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma lies outside [0, 1].

    Example:
        >>> one, off = torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.bool)
        >>> monte_carlo_advantage(one, one, 2 * one, off, off, gamma=0.5).advantages
        tensor([[1.],
                [1.]])
    """
    check = Arguments("monte_carlo_advantage", torch.Tensor)
    check.floats("T B", rewards=rewards, values=values, next_values=next_values)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)

    earned, baseline, following = widened(rewards, values, next_values)
    discount = weight(gamma, rewards)
    returns = to_the_cut(earned, following, terminated, truncated, discount, None)
    return _narrowed(returns - baseline, returns, rewards.dtype)


def n_step_advantage(
    rewards: Float[torch.Tensor, "T B"],
    values: Float[torch.Tensor, "T B"],
    next_values: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
    n: int,
) -> Advantages:
    """n-step return minus the value of the state.

        Âₜ = rₜ + … + γᵏ⁻¹ rₜ₊ₖ₋₁ + γᵏ V(s'ₜ₊ₖ₋₁) − V(sₜ)        k = n, fewer at a cut

    Source: Mnih et al. 2016, arXiv:1602.01783, section 4 (A3C); Schulman et al. 2016, eq. 11.
    Ours: the same number of steps for every t, as far as the recording reaches.

    Args:
        rewards: rₜ, the reward of step t.
        values: V(sₜ), value of the state that step t left.
        next_values: V(s'ₜ), read at the last step used, unless that terminated.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        gamma: discount γ in [0, 1], or one γₜ a step.
        n: the greatest number of rewards, at least 1.

    Returns:
        `advantages` and `returns` (G), [T, B]. Gradients: all arrays, V(s'ₜ) where read.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], or n is below 1.

    Example:
        >>> one, off = torch.ones(3, 1), torch.zeros(3, 1, dtype=torch.bool)
        >>> n_step_advantage(one, one, 4 * one, off, off, gamma=0.5, n=2).advantages
        tensor([[1.5000],
                [1.5000],
                [2.0000]])
    """
    check = Arguments("n_step_advantage", torch.Tensor)
    check.floats("T B", rewards=rewards, values=values, next_values=next_values)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.count("n", n, least=1)

    earned, baseline, following = widened(rewards, values, next_values)
    discount = weight(gamma, rewards)
    returns = to_the_cut(earned, following, terminated, truncated, discount, n)
    return _narrowed(returns - baseline, returns, rewards.dtype)


def _next_real(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return V of the next real token, 0 behind the last one; [L, B], V = 0 where masked."""
    nothing = torch.zeros_like(values[:1])
    if mask is None:
        return torch.cat([values[1:], nothing])
    length = len(values)
    place = torch.arange(length, device=values.device)[:, None]
    # the nearest real token at or behind l; `length` where there is none
    nearest = torch.where(mask, place, length).flip(0).cummin(0).values.flip(0)
    following = torch.cat([nearest[1:], torch.full_like(nearest[:1], length)])
    return torch.cat([values, nothing]).gather(0, following)


def sequence_gae(
    rewards: Float[torch.Tensor, "B L"],
    values: Float[torch.Tensor, "B L"],
    mask: Bool[torch.Tensor, "B L"] | None,
    *,
    gamma: float | Float[torch.Tensor, "B L"],
    lam: float,
) -> Advantages:
    """Generalised advantage estimates over the real tokens of padded sequences.

        δₗ = rₗ + γ V(s₊) − V(sₗ)         V(s₊) = 0 at the last real token
        Âₗ = δₗ + γ λ Â₊                  "+" is the next real token of the sequence

    Source: Schulman et al. 2016, arXiv:1506.02438, eq. 16; Ziegler et al. 2019,
    arXiv:1909.08593, section 2 (a response as an episode).
    Ours: masked tokens inside a sequence are stepped over: no decay, no value, no reward.

    Args:
        rewards: rₗ, the reward of token l.
        values: V(sₗ), value before token l.
        mask: True where a token is real; None when all are. What stands elsewhere is ignored.
        gamma: discount γ in [0, 1], or one γₗ a token.
        lam: trace λ in [0, 1].

    Returns:
        `advantages` Â and `returns` Â + V, each [B, L]; 0 where masked. Gradients flow to all
        arrays, none to or from what is masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma or lam lies outside [0, 1], or nothing is real.

    Example:
        >>> one, mask = torch.ones(1, 3), torch.tensor([[True, False, True]])
        >>> sequence_gae(one, one, mask, gamma=0.5, lam=0.5).advantages
        tensor([[0.5000, 0.0000, 0.0000]])
    """
    made = cpu.sequences(rewards, values, mask, gamma, lam)
    if made is not None:
        return Advantages(*made)
    check = Arguments("sequence_gae", torch.Tensor)
    check.floats("B L", rewards=rewards, values=values)
    check.mask("B L", mask)
    check.unit("B L", gamma=gamma)
    check.unit(lam=lam)

    # tokens are the rows of the recurrence, sequences its columns
    real = None if mask is None else mask.T
    earned, baseline = (_real(array.T, real) for array in widened(rewards, values))
    discount, trace = weight(gamma, rewards), rounded(lam, rewards.dtype)
    discount = discount if isinstance(discount, float) else discount.T
    decay = discount * trace
    if real is not None:
        # a masked token hands on what follows it: it adds nothing and decays nothing
        each = decay if isinstance(decay, torch.Tensor) else torch.full_like(earned, decay)
        decay = each.masked_fill(~real, 1)
    following = _real(_next_real(baseline, real), real)
    delta = plus_scaled(earned, discount, following) - baseline
    carried = reverse_linear_recurrence(delta, decay, torch.zeros_like(delta, dtype=torch.bool))
    advantages = _real(carried, real)
    return _narrowed(advantages.T, (advantages + baseline).T, rewards.dtype)


def normalize_advantages(
    advantages: Float[torch.Tensor, "..."],
    mask: Bool[torch.Tensor, "..."] | None,
    *,
    ddof: int,
    eps: float,
) -> Float[torch.Tensor, "..."]:
    """Advantages shifted to mean 0 and scaled to deviation 1, over the real elements.

        Aᵢ ← (Aᵢ − mean A) / (std A + ε)        std A = √( Σ (Aᵢ − mean A)² / (N − ddof) )

    Source: Andrychowicz et al. 2021, arXiv:2006.05990, section 3.3; Schulman et al. 2017 code.
    Ours: ε is added to the deviation, not inside the root; all axes are pooled; the mean is
    taken off before squaring, so nothing cancels.

    Args:
        advantages: A, any shape.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.
        ddof: what is taken off N: 0 (population) or 1 (sample, torch's default).
        eps: ε above 0, in units of A.

    Returns:
        The normalised advantages, the shape of `advantages`; 0 where masked, with gradient 0.
        Gradients flow through mean and deviation too; the latter adds none where all are equal.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, nothing is real, ε is not above 0, or no degree of
            freedom is left (N ≤ ddof).

    Example:
        >>> normalize_advantages(torch.tensor([1.0, 3.0]), None, ddof=0, eps=1.0)
        tensor([-0.5000,  0.5000])
    """
    check = Arguments("normalize_advantages", torch.Tensor)
    check.floats("...", advantages=advantages)
    check.mask("...", mask)
    check.count("ddof", ddof, least=0)
    check.positive("eps", eps)
    count = advantages.numel() if mask is None else int(mask.sum())
    check.degrees_of_freedom(count, ddof)

    (raw,) = widened(_real(advantages, mask))
    centred = _real(raw - raw.sum() / count, mask)
    variance = centred.square().sum() / (count - ddof)
    # the root of 0 has an infinite slope, and times the 0 before it that would be NaN
    flat = variance == 0
    deviation = variance.masked_fill(flat, 1).sqrt().masked_fill(flat, 0)
    return (centred / (deviation + rounded(eps, advantages.dtype))).to(advantages.dtype)
