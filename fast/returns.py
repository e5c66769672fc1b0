"""Returns: what a state turned out to be worth, read off a recording, in PyTorch.

A recording holds T steps of B independent columns, time first. Step t left state sₜ,
earned rₜ and led to s'ₜ; `next_values` is V(s'ₜ), taken before any reset. `terminated` (the
world stopped) removes V(s'ₜ), `truncated` (only the recording stopped) keeps it; where both
are set, terminated wins. A *cut* at t is either flag, or t = T − 1.

Every return here is written as the one recurrence of `scan`, yₜ = xₜ + aₜ yₜ₊₁ up to a cut,
and differs from the others in xₜ and aₜ alone.  The identity to remember: a return that
bootstraps at a cut has γ V(s'ₜ) in xₜ there, and then nothing needs to follow.

What must not be read is replaced before the arithmetic, so that NaN there reaches neither
a result nor a gradient. Half precision is computed in float32 and rounded once.
"""

import torch
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.fast._steps import cuts, one_step, to_the_cut, weight, widened
from rlverify.fast.kernels import cpu
from rlverify.fast.scan import plus_scaled, reverse_linear_recurrence, rounded


def td_error(
    rewards: Float[torch.Tensor, "T B"],
    values: Float[torch.Tensor, "T B"],
    next_values: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
) -> Float[torch.Tensor, "T B"]:
    """One-step temporal-difference errors.

        δₜ = rₜ + γ V(s'ₜ) − V(sₜ)        V(s'ₜ) = 0 where the episode terminated

    Source: Sutton and Barto 2018, eq. 6.5; Sutton 1988.
    Ours: only termination removes V(s'ₜ); a truncated step keeps it.

    Args:
        rewards: rₜ, the reward of step t.
        values: V(sₜ), value of the state that step t left.
        next_values: V(s'ₜ), value of the state that step t led to; ignored where terminated.
        terminated: whether step t ended the episode for good.
        gamma: discount γ in [0, 1], or one γₜ a step.

    Returns:
        δ, shape [T, B]. Gradients flow to rewards, values, next_values and a gamma array.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma lies outside [0, 1].

    Example:
        >>> one = torch.ones(1, 1)
        >>> td_error(one, one, 2 * one, one > 1, gamma=0.5)
        tensor([[1.]])
    """
    check = Arguments("td_error", torch.Tensor)
    check.floats("T B", rewards=rewards, values=values, next_values=next_values)
    check.flags("T B", terminated=terminated)
    check.unit("T B", gamma=gamma)

    earned, baseline, following = widened(rewards, values, next_values)
    discount = weight(gamma, rewards)
    return one_step(earned, baseline, following, terminated, discount).to(rewards.dtype)


def discounted_return(
    rewards: Float[torch.Tensor, "T B"],
    next_values: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
) -> Float[torch.Tensor, "T B"]:
    """Discounted sum of the rewards up to the end of the episode.

        Gₜ = rₜ + γ · { 0         where terminated
                      { V(s'ₜ)    where cut otherwise
                      { Gₜ₊₁      elsewhere

    Source: Sutton and Barto 2018, eq. 3.8 and 3.9.
    Ours: the book's episode always ends; where only the recording does, V stands in.

    Args:
        rewards: rₜ, the reward of step t.
        next_values: V(s'ₜ), read only where a cut is not a termination.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        gamma: discount γ in [0, 1], or one γₜ a step.

    Returns:
        G, shape [T, B]. Gradients flow to rewards, a gamma array, and next_values where read.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma lies outside [0, 1].

    Example:
        >>> rewards, off = torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1, dtype=torch.bool)
        >>> discounted_return(rewards, 4 * rewards, off, off, gamma=0.5)
        tensor([[4.],
                [6.]])
    """
    made = cpu.returned(rewards, next_values, terminated, truncated, gamma, None)
    if made is not None:
        return made
    check = Arguments("discounted_return", torch.Tensor)
    check.floats("T B", rewards=rewards, next_values=next_values)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)

    earned, following = widened(rewards, next_values)
    discount = weight(gamma, rewards)
    returns = to_the_cut(earned, following, terminated, truncated, discount, None)
    return returns.to(rewards.dtype)


def n_step_return(
    rewards: Float[torch.Tensor, "T B"],
    next_values: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
    n: int,
) -> Float[torch.Tensor, "T B"]:
    """At most n rewards, then the value of the state they led to.

        Gₜ = rₜ + γ rₜ₊₁ + … + γᵏ⁻¹ rₜ₊ₖ₋₁ + γᵏ V(s'ₜ₊ₖ₋₁)

    k is n, or fewer where a cut comes first; V = 0 where that cut is a termination.

    Source: Sutton and Barto 2018, eq. 7.1.
    Ours: the exponent is the number of steps really taken, not n; n maps z ↦ r + γ z are
    composed in 2 log₂ n passes.

    Args:
        rewards: rₜ, the reward of step t.
        next_values: V(s'ₜ), read at the last step used, unless that terminated.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        gamma: discount γ in [0, 1], or one γₜ a step (the weights are then products).
        n: the greatest number of rewards, at least 1.

    Returns:
        G, shape [T, B]. Gradients flow to rewards, a gamma array, and next_values where read.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], or n is below 1.

    Example:
        >>> rewards = torch.tensor([[1.0], [2.0], [4.0]])
        >>> off = torch.zeros(3, 1, dtype=torch.bool)
        >>> n_step_return(rewards, 8 * rewards, off, off, gamma=0.5, n=2)
        tensor([[ 6.],
                [12.],
                [20.]])
    """
    check = Arguments("n_step_return", torch.Tensor)
    check.floats("T B", rewards=rewards, next_values=next_values)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.count("n", n, least=1)

    earned, following = widened(rewards, next_values)
    discount = weight(gamma, rewards)
    returns = to_the_cut(earned, following, terminated, truncated, discount, n)
    return returns.to(rewards.dtype)


def lambda_return(
    rewards: Float[torch.Tensor, "T B"],
    next_values: Float[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
    lam: float,
) -> Float[torch.Tensor, "T B"]:
    """Returns that trust V with weight 1 − λ at every step, by the backward recursion.

        Gₜ = rₜ + γ · { 0                            where terminated
                      { V(s'ₜ)                       where cut otherwise
                      { (1 − λ) V(s'ₜ) + λ Gₜ₊₁      elsewhere

    Source: Sutton and Barto 2018, eq. 12.2 and 12.18; Watkins 1989.
    Ours: V is given for s'ₜ itself, so truncated steps need no special reward.

    Args:
        rewards: rₜ, the reward of step t.
        next_values: V(s'ₜ), value of the state that step t led to; ignored where terminated.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        gamma: discount γ in [0, 1], or one γₜ a step.
        lam: trace λ in [0, 1].

    Returns:
        G, shape [T, B]. Gradients flow to rewards, next_values and a gamma array.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma or lam lies outside [0, 1].

    Example:
        >>> rewards, off = torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1, dtype=torch.bool)
        >>> lambda_return(rewards, 4 * rewards, off, off, gamma=0.5, lam=0.5)
        tensor([[3.5000],
                [6.0000]])
    """
    made = cpu.returned(rewards, next_values, terminated, truncated, gamma, lam)
    if made is not None:
        return made
    check = Arguments("lambda_return", torch.Tensor)
    check.floats("T B", rewards=rewards, next_values=next_values)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.unit(lam=lam)

    earned, bootstrap = widened(rewards, next_values)
    discount, trace = weight(gamma, rewards), rounded(lam, rewards.dtype)
    cut = cuts(terminated, truncated)
    bootstrap = torch.where(terminated, 0, bootstrap)
    trusted = torch.where(cut, bootstrap, (1 - trace) * bootstrap)
    earned = plus_scaled(earned, discount, trusted)
    return reverse_linear_recurrence(earned, discount * trace, cut).to(rewards.dtype)
