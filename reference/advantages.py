"""Advantages: how much better a step went than its state promised.

The arrays are those of `returns`: T steps of B columns, time first, `terminated` and
`truncated` as two flags, V(s'ₜ) given for the state each step really led to. Every
estimator here is (some return) − V(sₜ), and says which return: n-step, Monte-Carlo, or
the exponential mixture of all n-step ones (GAE).  The identity to remember: advantages +
values is the return the critic is trained on, and it is built from advantages that have
not been normalised.

Language models bring `[B, L]` token sequences with a padding mask instead; their
advantages are the same recursion over the real tokens only.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.reference._steps import per_step
from rlverify.reference.returns import discounted_return, n_step_return


class Advantages(NamedTuple):
    """Advantages, and the returns they imply.

    Attributes:
        advantages: Âₜ, the shape of the rewards.
        returns: Âₜ + V(sₜ), the target of the critic.
    """

    advantages: np.ndarray
    returns: np.ndarray


def gae(
    rewards: Float[np.ndarray, "T B"],
    values: Float[np.ndarray, "T B"],
    next_values: Float[np.ndarray, "T B"],
    terminated: Bool[np.ndarray, "T B"],
    truncated: Bool[np.ndarray, "T B"],
    *,
    gamma: float | Float[np.ndarray, "T B"],
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
        `advantages` Â and `returns` Â + V, each [T, B].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma or lam lies outside [0, 1].

    Example:
        >>> one, off = np.ones((2, 1)), np.zeros((2, 1), dtype=bool)
        >>> gae(one, one, 2 * one, off, off, gamma=0.5, lam=0.5).advantages
        array([[1.25],
               [1.  ]])
    """
    check = Arguments("gae", np.ndarray, exact=True)
    check.floats("T B", rewards=rewards, values=values, next_values=next_values)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.unit(lam=lam)

    discount = per_step(gamma, rewards)
    advantages = np.empty_like(rewards)  # keeps Fraction objects exact
    steps, batch = rewards.shape
    for b in range(batch):
        following = 0  # Âₜ₊₁, and nothing follows the last recorded step
        for t in reversed(range(steps)):
            bootstrap = 0 if terminated[t, b] else next_values[t, b]
            if terminated[t, b] or truncated[t, b]:
                following = 0
            delta = rewards[t, b] + discount[t, b] * bootstrap - values[t, b]
            following = delta + discount[t, b] * lam * following
            advantages[t, b] = following
    return Advantages(advantages, advantages + values)


def monte_carlo_advantage(
    rewards: Float[np.ndarray, "T B"],
    values: Float[np.ndarray, "T B"],
    next_values: Float[np.ndarray, "T B"],
    terminated: Bool[np.ndarray, "T B"],
    truncated: Bool[np.ndarray, "T B"],
    *,
    gamma: float | Float[np.ndarray, "T B"],
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
        `advantages` G − V and `returns` G, each [T, B].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma lies outside [0, 1].

    Example:
        >>> one, off = np.ones((2, 1)), np.zeros((2, 1), dtype=bool)
        >>> monte_carlo_advantage(one, one, 2 * one, off, off, gamma=0.5).advantages
        array([[1.],
               [1.]])
    """
    check = Arguments("monte_carlo_advantage", np.ndarray, exact=True)
    check.floats("T B", rewards=rewards, values=values, next_values=next_values)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)

    returns = discounted_return(rewards, next_values, terminated, truncated, gamma=gamma)
    advantages = returns - values
    return Advantages(advantages, returns)


def n_step_advantage(
    rewards: Float[np.ndarray, "T B"],
    values: Float[np.ndarray, "T B"],
    next_values: Float[np.ndarray, "T B"],
    terminated: Bool[np.ndarray, "T B"],
    truncated: Bool[np.ndarray, "T B"],
    *,
    gamma: float | Float[np.ndarray, "T B"],
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
        `advantages` and `returns` (the n-step return), each [T, B].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], or n is below 1.

    Example:
        >>> one, off = np.ones((3, 1)), np.zeros((3, 1), dtype=bool)
        >>> n_step_advantage(one, one, 4 * one, off, off, gamma=0.5, n=2).advantages
        array([[1.5],
               [1.5],
               [2. ]])
    """
    check = Arguments("n_step_advantage", np.ndarray, exact=True)
    check.floats("T B", rewards=rewards, values=values, next_values=next_values)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.count("n", n, least=1)

    returns = n_step_return(rewards, next_values, terminated, truncated, gamma=gamma, n=n)
    advantages = returns - values
    return Advantages(advantages, returns)


def sequence_gae(
    rewards: Float[np.ndarray, "B L"],
    values: Float[np.ndarray, "B L"],
    mask: Bool[np.ndarray, "B L"] | None,
    *,
    gamma: float | Float[np.ndarray, "B L"],
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
        `advantages` Â and `returns` Â + V, each [B, L]; 0 where masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma or lam lies outside [0, 1], or nothing is real.

    Example:
        >>> one, mask = np.ones((1, 3)), np.array([[True, False, True]])
        >>> sequence_gae(one, one, mask, gamma=0.5, lam=0.5).advantages
        array([[0.5, 0. , 0. ]])
    """
    check = Arguments("sequence_gae", np.ndarray, exact=True)
    check.floats("B L", rewards=rewards, values=values)
    check.mask("B L", mask)
    check.unit("B L", gamma=gamma)
    check.unit(lam=lam)

    discount = per_step(gamma, rewards)
    advantages = np.zeros_like(rewards)
    returns = np.zeros_like(rewards)
    batch, length = rewards.shape
    for b in range(batch):
        following, bootstrap = 0, 0  # Â and V of the next real token; none after the last
        for t in reversed(range(length)):
            if mask is not None and not mask[b, t]:
                continue
            delta = rewards[b, t] + discount[b, t] * bootstrap - values[b, t]
            following = delta + discount[b, t] * lam * following
            bootstrap = values[b, t]
            advantages[b, t] = following
            returns[b, t] = following + values[b, t]
    return Advantages(advantages, returns)


def normalize_advantages(
    advantages: Float[np.ndarray, "..."],
    mask: Bool[np.ndarray, "..."] | None,
    *,
    ddof: int,
    eps: float,
) -> Float[np.ndarray, "..."]:
    """Advantages shifted to mean 0 and scaled to deviation 1, over the real elements.

        Aᵢ ← (Aᵢ − mean A) / (std A + ε)        std A = √( Σ (Aᵢ − mean A)² / (N − ddof) )

    Source: Andrychowicz et al. 2021, arXiv:2006.05990, section 3.3; Schulman et al. 2017 code.
    Ours: ε is added to the deviation, not inside the root; all axes are pooled.

    Args:
        advantages: A, any shape.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.
        ddof: what is taken off N: 0 (population) or 1 (sample, torch's default).
        eps: ε above 0, in units of A.

    Returns:
        The normalised advantages, the shape of `advantages`; 0 where masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, nothing is real, ε is not above 0, or no degree of
            freedom is left (N ≤ ddof).

    Example:
        >>> normalize_advantages(np.array([1.0, 3.0]), None, ddof=0, eps=1.0)
        array([-0.5,  0.5])
    """
    check = Arguments("normalize_advantages", np.ndarray, exact=True)
    check.floats("...", advantages=advantages)
    check.mask("...", mask)
    check.count("ddof", ddof, least=0)
    check.positive("eps", eps)
    real = [i for i in np.ndindex(advantages.shape) if mask is None or mask[i]]
    check.degrees_of_freedom(len(real), ddof)

    mean = sum(advantages[i] for i in real) / len(real)
    variance = sum((advantages[i] - mean) ** 2 for i in real) / (len(real) - ddof)
    deviation = np.sqrt(variance)
    normalized = np.zeros_like(advantages)
    for i in real:
        normalized[i] = (advantages[i] - mean) / (deviation + eps)
    return normalized
