"""Returns: what a state turned out to be worth, read off a recording.

A recording holds T steps of B independent columns, time first. Step t left state sₜ,
earned rₜ and led to s'ₜ; `next_values` is V(s'ₜ), taken before any reset. Two flags end
an episode: `terminated` (the world stopped: nothing is worth anything afterwards) and
`truncated` (only the recording stopped: s'ₜ is still worth V(s'ₜ)); where both are set,
terminated wins. A *cut* at t is either flag, or t = T − 1. What follows a cut belongs to
another episode and never matters.

Every return is one step of reward plus a discounted continuation; the functions differ
in how far they follow the recording before they trust V.  The identity to remember:
λ = 0 gives the one-step target r + γV', λ = 1 the discounted return.
"""

import numpy as np
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.reference._steps import per_step


def td_error(
    rewards: Float[np.ndarray, "T B"],
    values: Float[np.ndarray, "T B"],
    next_values: Float[np.ndarray, "T B"],
    terminated: Bool[np.ndarray, "T B"],
    *,
    gamma: float | Float[np.ndarray, "T B"],
) -> Float[np.ndarray, "T B"]:
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
        δ, shape [T, B].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma lies outside [0, 1].

    Example:
        >>> one = np.ones((1, 1))
        >>> td_error(one, one, 2 * one, one > 1, gamma=0.5)
        array([[1.]])
    """
    check = Arguments("td_error", np.ndarray, exact=True)
    check.floats("T B", rewards=rewards, values=values, next_values=next_values)
    check.flags("T B", terminated=terminated)
    check.unit("T B", gamma=gamma)

    discount = per_step(gamma, rewards)
    errors = np.empty_like(rewards)  # keeps Fraction objects exact
    steps, batch = rewards.shape
    for b in range(batch):
        for t in range(steps):
            bootstrap = 0 if terminated[t, b] else next_values[t, b]
            errors[t, b] = rewards[t, b] + discount[t, b] * bootstrap - values[t, b]
    return errors


def discounted_return(
    rewards: Float[np.ndarray, "T B"],
    next_values: Float[np.ndarray, "T B"],
    terminated: Bool[np.ndarray, "T B"],
    truncated: Bool[np.ndarray, "T B"],
    *,
    gamma: float | Float[np.ndarray, "T B"],
) -> Float[np.ndarray, "T B"]:
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
        G, shape [T, B].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma lies outside [0, 1].

    Example:
        >>> rewards, off = np.array([[1.0], [2.0]]), np.zeros((2, 1), dtype=bool)
        >>> discounted_return(rewards, 4 * rewards, off, off, gamma=0.5)
        array([[4.],
               [6.]])
    """
    check = Arguments("discounted_return", np.ndarray, exact=True)
    check.floats("T B", rewards=rewards, next_values=next_values)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)

    discount = per_step(gamma, rewards)
    returns = np.empty_like(rewards)
    steps, batch = rewards.shape
    for b in range(batch):
        following = next_values[steps - 1, b]  # Gₜ₊₁; beyond the recording V stands in
        for t in reversed(range(steps)):
            if truncated[t, b]:
                following = next_values[t, b]
            if terminated[t, b]:
                following = 0
            following = rewards[t, b] + discount[t, b] * following
            returns[t, b] = following
    return returns


def n_step_return(
    rewards: Float[np.ndarray, "T B"],
    next_values: Float[np.ndarray, "T B"],
    terminated: Bool[np.ndarray, "T B"],
    truncated: Bool[np.ndarray, "T B"],
    *,
    gamma: float | Float[np.ndarray, "T B"],
    n: int,
) -> Float[np.ndarray, "T B"]:
    """At most n rewards, then the value of the state they led to.

        Gₜ = rₜ + γ rₜ₊₁ + … + γᵏ⁻¹ rₜ₊ₖ₋₁ + γᵏ V(s'ₜ₊ₖ₋₁)

    k is n, or fewer where a cut comes first; V = 0 where that cut is a termination.

    Source: Sutton and Barto 2018, eq. 7.1.
    Ours: the exponent is the number of steps really taken, not n.

    Args:
        rewards: rₜ, the reward of step t.
        next_values: V(s'ₜ), read at the last step used, unless that terminated.
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        gamma: discount γ in [0, 1], or one γₜ a step (the weights are then products).
        n: the greatest number of rewards, at least 1.

    Returns:
        G, shape [T, B].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], or n is below 1.

    Example:
        >>> rewards, off = np.array([[1.0], [2.0], [4.0]]), np.zeros((3, 1), dtype=bool)
        >>> n_step_return(rewards, 8 * rewards, off, off, gamma=0.5, n=2)
        array([[ 6.],
               [12.],
               [20.]])
    """
    check = Arguments("n_step_return", np.ndarray, exact=True)
    check.floats("T B", rewards=rewards, next_values=next_values)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.count("n", n, least=1)

    discount = per_step(gamma, rewards)
    returns = np.empty_like(rewards)
    steps, batch = rewards.shape
    for b in range(batch):
        for t in range(steps):
            total, weight = 0, 1  # weight is γᵏ after k steps
            for k in range(t, min(t + n, steps)):
                total = total + weight * rewards[k, b]
                weight = weight * discount[k, b]
                if terminated[k, b] or truncated[k, b]:
                    break
            bootstrap = 0 if terminated[k, b] else next_values[k, b]
            returns[t, b] = total + weight * bootstrap
    return returns


def lambda_return(
    rewards: Float[np.ndarray, "T B"],
    next_values: Float[np.ndarray, "T B"],
    terminated: Bool[np.ndarray, "T B"],
    truncated: Bool[np.ndarray, "T B"],
    *,
    gamma: float | Float[np.ndarray, "T B"],
    lam: float,
) -> Float[np.ndarray, "T B"]:
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
        G, shape [T, B].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or gamma or lam lies outside [0, 1].

    Example:
        >>> rewards, off = np.array([[1.0], [2.0]]), np.zeros((2, 1), dtype=bool)
        >>> lambda_return(rewards, 4 * rewards, off, off, gamma=0.5, lam=0.5)
        array([[3.5],
               [6. ]])
    """
    check = Arguments("lambda_return", np.ndarray, exact=True)
    check.floats("T B", rewards=rewards, next_values=next_values)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.unit(lam=lam)

    discount = per_step(gamma, rewards)
    returns = np.empty_like(rewards)
    steps, batch = rewards.shape
    for b in range(batch):
        following = next_values[steps - 1, b]  # Gₜ₊₁; beyond the recording V stands in
        for t in reversed(range(steps)):
            mixture = (1 - lam) * next_values[t, b] + lam * following
            if truncated[t, b] or t == steps - 1:
                mixture = next_values[t, b]
            if terminated[t, b]:
                mixture = 0
            following = rewards[t, b] + discount[t, b] * mixture
            returns[t, b] = following
    return returns
