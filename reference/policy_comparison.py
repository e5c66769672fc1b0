"""How much better one policy is than another: exactly, to first order, and the gap between.

`policy` is the new one, `old_policy` the one whose advantages A and visitation d are known. Both
are tables [S, A] of probabilities over the process of `dynamic_programming`.

The one identity to remember: J(π) − J(π_old) = Σₛ d_π(s) Σₐ π(a|s) A_old(s,a). The surrogate
puts d_old, which is known before π is tried, for d_π. It agrees to first order, and is off by no
more than C·max KL, so that a policy whose surrogate exceeds that is better for certain.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.reference._processes import backup, chain, discounted_solution, solved_values
from rlverify.refusals import discounted, distributions, process


def performance_difference(
    transition: Float[np.ndarray, "S A S"],
    reward: Float[np.ndarray, "S A S"],
    terminal: Bool[np.ndarray, "S A S"],
    start: Float[np.ndarray, "S"],
    policy: Float[np.ndarray, "S A"],
    old_policy: Float[np.ndarray, "S A"],
    *,
    gamma: float,
) -> Float[np.ndarray, ""]:
    """How much more a policy earns than another: the other's advantages along the way of the one.

        J(π) − J(π_old) = Σₛ d_π(s) Σₐ π(a|s) A_old(s,a)        d_π(s) = Σₜ γᵗ P(sₜ = s | π)

    Source: Kakade & Langford 2002, lemma 6.1; Schulman et al. 2015, arXiv:1502.05477, eq. 1.
    Ours: d is not normalised, so there is no factor 1/(1−γ).

    Args:
        transition: P, every row over the last axis a distribution.
        reward: r, finite also where the probability is 0.
        terminal: True where the step ends the episode.
        start: probabilities of the first state.
        policy: π(a|s), the new policy; every row a distribution.
        old_policy: π_old(a|s), the one it is compared with.
        gamma: γ in [0, 1).

    Returns:
        The difference, a number. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or gamma lies outside [0, 1).

    Example:
        >>> two_ways, start = np.ones((1, 2, 1)), np.ones(1)  # to stay, paid 0 or 1
        >>> old, new = np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])
        >>> pays = np.array([[[0.0], [1.0]]])
        >>> float(  # J = 2 against J = 1
        ...     performance_difference(two_ways, pays, two_ways < 1, start, new, old, gamma=0.5)
        ... )
        1.0
    """
    check = Arguments("performance_difference", np.ndarray, exact=True)
    process(check, transition, terminal, reward)
    distributions(check, "S", start=start)
    distributions(check, "S A", policy=policy, old_policy=old_policy)
    discounted(check, gamma)

    advantages = _advantages(transition, reward, terminal, old_policy, gamma)
    visits = discounted_solution(chain(transition, terminal, policy).T, gamma, start)
    return _number(_weighted(visits, policy, advantages), policy)


def surrogate_objective(
    transition: Float[np.ndarray, "S A S"],
    reward: Float[np.ndarray, "S A S"],
    terminal: Bool[np.ndarray, "S A S"],
    start: Float[np.ndarray, "S"],
    policy: Float[np.ndarray, "S A"],
    old_policy: Float[np.ndarray, "S A"],
    *,
    gamma: float,
) -> Float[np.ndarray, ""]:
    """What a policy seems to gain where states are visited as the old one visits them.

        L(π) = Σₛ d_old(s) Σₐ π(a|s) A_old(s,a)        J(π) ≈ J(π_old) + L(π)

    Source: Kakade & Langford 2002, section 4; Schulman et al. 2015, arXiv:1502.05477, eq. 3.
    Ours: without the constant J(π_old), so L(π_old) = 0; d is not normalised. Linear in π.

    Args:
        transition: P, every row over the last axis a distribution.
        reward: r, finite also where the probability is 0.
        terminal: True where the step ends the episode.
        start: probabilities of the first state.
        policy: π(a|s), the new policy; every row a distribution.
        old_policy: π_old(a|s); d_old and A_old are its own.
        gamma: γ in [0, 1).

    Returns:
        L, a number, to be maximised. Gradients flow to policy alone; at π_old they are ∇J.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or gamma lies outside [0, 1).

    Example:
        >>> two_ways, start = np.ones((1, 2, 1)), np.ones(1)  # one state: visited alike by all
        >>> old, new = np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])
        >>> pays = np.array([[[0.0], [1.0]]])
        >>> float(surrogate_objective(two_ways, pays, two_ways < 1, start, new, old, gamma=0.5))
        1.0
    """
    check = Arguments("surrogate_objective", np.ndarray, exact=True)
    process(check, transition, terminal, reward)
    distributions(check, "S", start=start)
    distributions(check, "S A", policy=policy, old_policy=old_policy)
    discounted(check, gamma)

    advantages = _advantages(transition, reward, terminal, old_policy, gamma)
    visits = discounted_solution(chain(transition, terminal, old_policy).T, gamma, start)
    return _number(_weighted(visits, policy, advantages), policy)


def surrogate_bound(
    transition: Float[np.ndarray, "S A S"],
    reward: Float[np.ndarray, "S A S"],
    terminal: Bool[np.ndarray, "S A S"],
    policy: Float[np.ndarray, "S A"],
    old_policy: Float[np.ndarray, "S A"],
    *,
    gamma: float,
) -> Float[np.ndarray, ""]:
    """How far the surrogate may be from the truth: a constant times the greatest divergence.

        |J(π) − J(π_old) − L(π)| ≤ C maxₛ KL(π_old(·|s) ‖ π(·|s))        C = 4γ max|A_old| / (1−γ)²

    so J never falls if L(π) − C maxₛ KL(π_old ‖ π) is made as great as can be: minorise, maximise.

    Source: Schulman et al. 2015, arXiv:1502.05477, theorem 1 and eqs. 8 and 9.
    Ours: the same bound from above as from below; the theorem's proof gives both. The maxima are
    over all states, visited or not. Infinite where the new policy never does what the old one may.

    Args:
        transition: P, every row over the last axis a distribution.
        reward: r, finite also where the probability is 0.
        terminal: True where the step ends the episode.
        policy: π(a|s), the new policy; every row a distribution.
        old_policy: π_old(a|s), whose advantages the surrogate takes.
        gamma: γ in [0, 1).

    Returns:
        The bound, a number of at least 0. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or gamma lies outside [0, 1).

    Example:
        >>> two_ways = np.ones((1, 2, 1))  # C = 4·½·1 / ¼ = 8, KL = ½ log(½/¼) + ½ log(½/¾)
        >>> old, new = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
        >>> pays = np.array([[[0.0], [2.0]]])
        >>> bound = surrogate_bound(two_ways, pays, two_ways < 1, new, old, gamma=0.5)
        >>> round(float(bound), 6), round(float(4 * np.log(4 / 3)), 6)
        (1.150728, 1.150728)
    """
    check = Arguments("surrogate_bound", np.ndarray, exact=True)
    process(check, transition, terminal, reward)
    distributions(check, "S A", policy=policy, old_policy=old_policy)
    discounted(check, gamma)

    advantages = _advantages(transition, reward, terminal, old_policy, gamma)
    greatest = max(abs(advantage) for advantage in advantages.flat)
    constant = 4 * gamma * greatest / ((1 - gamma) * (1 - gamma))
    divergence = max(_divergence(old_policy[s], policy[s]) for s in range(len(policy)))
    # equal policies differ by nothing, and without discounted steps there is nothing to differ in
    bound = constant * divergence if constant > 0 and divergence > 0 else 0 * greatest
    return _number(bound, policy)


def _advantages(
    transition: np.ndarray, reward: np.ndarray, terminal: np.ndarray, policy: np.ndarray, gamma: Any
) -> np.ndarray:
    """Return A(s,a) = Q(s,a) − V(s) of a policy."""
    values = solved_values(transition, reward, terminal, policy, gamma)
    advantages = np.empty_like(policy)
    for s, a in np.ndindex(policy.shape):
        worth = backup(transition, reward, terminal, values, gamma, s, a)
        advantages[s, a] = worth - values[s]
    return advantages


def _weighted(visits: np.ndarray, policy: np.ndarray, advantages: np.ndarray) -> Any:
    """Return Σₛ d(s) Σₐ π(a|s) A(s,a)."""
    states, actions = policy.shape
    return sum(
        visits[s] * sum(policy[s, a] * advantages[s, a] for a in range(actions))
        for s in range(states)
    )


def _divergence(old: np.ndarray, new: np.ndarray) -> Any:
    """Return KL(old ‖ new) = Σₐ old(a) (log old(a) − log new(a))."""
    total = 0
    for a in range(len(old)):
        if old[a] > 0:
            if not new[a] > 0:
                return np.inf
            total = total + old[a] * (np.log(old[a]) - np.log(new[a]))
    return total


def _number(value: Any, like: np.ndarray) -> np.ndarray:
    """Return a result as an array of the inputs' dtype, without axes."""
    result = np.empty((), dtype=like.dtype)
    result[()] = value
    return result
