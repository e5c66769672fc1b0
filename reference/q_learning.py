"""Q-learning with function approximation: targets, their loss, and the target network.

A batch holds N transitions (s, a, r, s′). `next_q_values` [N, A] are the values of all actions
in s′, the state the action led to before any reset; `terminated` says that nothing follows s′,
so its values are not read: not multiplied by 0 but left out, for they may be NaN. A time limit
is no end: a transition that was only truncated bootstraps like any other. `legal` [N, A] says
which actions exist in s′.  The identity to remember: all four targets are one,

    y = r + γ · (0 if terminated else Σ_b p(b) Q(s′, b))

and differ in p: greedy in Q itself, greedy in another Q, the action that was taken, the policy.

    >>> rewards, values = np.array([1.0, 1.0]), np.array([[2.0, 4.0], [2.0, 4.0]])
    >>> q_learning_target(rewards, values, np.array([False, True]), None, gamma=0.5)
    array([3., 1.])

A target is a constant of `td_loss`: Q-learning descends half of what a gradient would be.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.reference._functions import limited, loosened
from rlverify.reference._reductions import real_places, scalar
from rlverify.refusals import legal_unless


def _discount(gamma: Any, n: int) -> Any:
    """Return γ of a transition."""
    return gamma[n] if isinstance(gamma, np.ndarray) else gamma


def _legal_actions(
    values: Float[np.ndarray, "N A"], legal: Bool[np.ndarray, "N A"] | None, n: int
) -> list[int]:
    """Return the actions that exist in s′."""
    return [a for a in range(values.shape[1]) if legal is None or legal[n, a]]


def _greedy(values: Float[np.ndarray, "A"], actions: list[int]) -> int:
    """Return the first of the greatest; a NaN among them is one."""
    best = actions[0]
    for a in actions[1:]:
        if values[best] == values[best] and not values[a] <= values[best]:
            best = a
    return best


def q_learning_target(
    rewards: Float[np.ndarray, "N"],
    next_q_values: Float[np.ndarray, "N A"],
    terminated: Bool[np.ndarray, "N"],
    legal: Bool[np.ndarray, "N A"] | None,
    *,
    gamma: float | Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N"]:
    """Target of Q-learning, and of DQN with the values of a target network.

        y = r + γ max_b Q(s′, b)        the maximum is 0 where terminated, b runs over legal actions

    Source: Watkins 1989; Sutton & Barto 2018, eq. 6.8; Mnih et al. 2015, methods, algorithm 1.
    Ours: only legal actions count, and a truncated transition bootstraps.

    Args:
        rewards: r of each transition.
        next_q_values: Q(s′, ·), all actions; of the target network where there is one.
        terminated: True where the episode ended in s′; s′ is not read then. Not where it was cut.
        legal: True where an action exists in s′; None when all do. What stands elsewhere is
            ignored; where terminated a row may be empty.
        gamma: γ in [0, 1], or one a transition: γᵏ of a return over k steps.

    Returns:
        y, [N]. Gradients flow to rewards, gamma and the first of the greatest legal values.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], or a row that did not terminate
            has no legal action.

    Example:
        >>> rewards, terminated = np.array([1.0]), np.array([False])
        >>> values, legal = np.array([[2.0, 8.0]]), np.array([[True, False]])
        >>> q_learning_target(rewards, values, terminated, legal, gamma=0.5)
        array([2.])
    """
    check = Arguments("q_learning_target", np.ndarray, exact=True)
    check.floats("N", rewards=rewards)
    check.floats("N A", next_q_values=next_q_values)
    check.flags("N", terminated=terminated)
    legal_unless(check, legal, terminated)
    check.unit("N", gamma=gamma)

    targets = np.empty_like(rewards)
    for n in range(len(rewards)):
        bootstrap = 0
        if not terminated[n]:
            best = _greedy(next_q_values[n], _legal_actions(next_q_values, legal, n))
            bootstrap = next_q_values[n, best]
        targets[n] = rewards[n] + _discount(gamma, n) * bootstrap
    return targets


def double_q_target(
    rewards: Float[np.ndarray, "N"],
    next_q_online: Float[np.ndarray, "N A"],
    next_q_target: Float[np.ndarray, "N A"],
    terminated: Bool[np.ndarray, "N"],
    legal: Bool[np.ndarray, "N A"] | None,
    *,
    gamma: float | Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N"]:
    """Target of double DQN: one network picks the action, the other says what it is worth.

        y = r + γ Q⁻(s′, argmax_b Q(s′, b))        0 for Q⁻ where terminated, b legal

    Source: van Hasselt, Guez & Silver 2016, arXiv:1509.06461, eq. 4; van Hasselt 2010.
    Ours: of equal greatest values the first is taken; any of them would be right.

    Args:
        rewards: r of each transition.
        next_q_online: Q(s′, ·) of the network that learns: it picks the action; constant.
        next_q_target: Q(s′, ·) of the target network: it says what that action is worth.
        terminated: True where the episode ended in s′; s′ is not read then. Not where it was cut.
        legal: True where an action exists in s′; None when all do. What stands elsewhere is
            ignored; where terminated a row may be empty.
        gamma: γ in [0, 1], or one a transition: γᵏ of a return over k steps.

    Returns:
        y, [N]. Gradients flow to rewards, gamma and the picked value of the target network.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], or a row that did not terminate
            has no legal action.

    Example:
        >>> rewards, terminated = np.array([1.0]), np.array([False])
        >>> online, target = np.array([[1.0, 2.0]]), np.array([[8.0, 4.0]])
        >>> double_q_target(rewards, online, target, terminated, None, gamma=0.5)
        array([3.])
    """
    check = Arguments("double_q_target", np.ndarray, exact=True)
    check.floats("N", rewards=rewards)
    check.floats("N A", next_q_online=next_q_online, next_q_target=next_q_target)
    check.flags("N", terminated=terminated)
    legal_unless(check, legal, terminated)
    check.unit("N", gamma=gamma)

    targets = np.empty_like(rewards)
    for n in range(len(rewards)):
        bootstrap = 0
        if not terminated[n]:
            actions = _legal_actions(next_q_online, legal, n)
            best = _greedy(next_q_online[n], actions)
            bootstrap = next_q_target[n, best]
            # any action of the greatest online value is a right choice
            ties = [a for a in actions if next_q_online[n, a] == next_q_online[n, best]]
            if len(ties) > 1:
                apart = max(abs(next_q_target[n, a] - bootstrap) for a in ties)
                bootstrap = loosened(bootstrap, apart, 0)
        targets[n] = rewards[n] + _discount(gamma, n) * bootstrap
    return targets


def sarsa_target(
    rewards: Float[np.ndarray, "N"],
    next_q_values: Float[np.ndarray, "N A"],
    next_actions: Int[np.ndarray, "N"],
    terminated: Bool[np.ndarray, "N"],
    *,
    gamma: float | Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N"]:
    """Target of SARSA: the value of the action that was really taken next.

        y = r + γ Q(s′, a′)        0 for Q where terminated

    Source: Rummery & Niranjan 1994; Sutton & Barto 2018, eq. 6.7.
    Ours: on-policy: a′ comes from the policy that acts, exploration and all.

    Args:
        rewards: r of each transition.
        next_q_values: Q(s′, ·), all actions; of the target network where there is one.
        next_actions: a′, the actions taken in s′; where terminated any number in range.
        terminated: True where the episode ended in s′; s′ is not read then. Not where it was cut.
        gamma: γ in [0, 1], or one a transition: γᵏ of a return over k steps.

    Returns:
        y, [N]. Gradients flow to rewards, gamma and the values of the actions taken.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], or an action is out of range.

    Example:
        >>> rewards, terminated = np.array([1.0]), np.array([False])
        >>> values, actions = np.array([[2.0, 8.0]]), np.array([0])
        >>> sarsa_target(rewards, values, actions, terminated, gamma=0.5)
        array([2.])
    """
    check = Arguments("sarsa_target", np.ndarray, exact=True)
    check.floats("N", rewards=rewards)
    check.floats("N A", next_q_values=next_q_values)
    check.actions("N", below=next_q_values.shape[1], next_actions=next_actions)
    check.flags("N", terminated=terminated)
    check.unit("N", gamma=gamma)

    targets = np.empty_like(rewards)
    for n in range(len(rewards)):
        bootstrap = 0 if terminated[n] else next_q_values[n, next_actions[n]]
        targets[n] = rewards[n] + _discount(gamma, n) * bootstrap
    return targets


def expected_sarsa_target(
    rewards: Float[np.ndarray, "N"],
    next_q_values: Float[np.ndarray, "N A"],
    next_probabilities: Float[np.ndarray, "N A"],
    terminated: Bool[np.ndarray, "N"],
    legal: Bool[np.ndarray, "N A"] | None,
    *,
    gamma: float | Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N"]:
    """Target of expected SARSA: the mean over what the policy would do next.

        y = r + γ Σ_b π(b | s′) Q(s′, b)        0 for the sum where terminated, b legal

    Source: van Seijen et al. 2009, eq. 6; Sutton & Barto 2018, eq. 6.9.
    Ours: illegal actions are left out, whatever probability stands there; with an ε-greedy π it
    lies between SARSA and Q-learning.

    Args:
        rewards: r of each transition.
        next_q_values: Q(s′, ·), all actions; of the target network where there is one.
        next_probabilities: π(· | s′), non-negative and summing to 1.
        terminated: True where the episode ended in s′; s′ is not read then. Not where it was cut.
        legal: True where an action exists in s′; None when all do. What stands elsewhere is
            ignored; where terminated a row may be empty.
        gamma: γ in [0, 1], or one a transition: γᵏ of a return over k steps.

    Returns:
        y, [N]. Gradients flow to rewards, gamma, values and probabilities.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, gamma lies outside [0, 1], or a row that did not terminate
            has no legal action.

    Example:
        >>> rewards, terminated = np.array([1.0]), np.array([False])
        >>> values, chances = np.array([[2.0, 8.0]]), np.array([[0.5, 0.5]])
        >>> expected_sarsa_target(rewards, values, chances, terminated, None, gamma=0.5)
        array([3.5])
    """
    check = Arguments("expected_sarsa_target", np.ndarray, exact=True)
    check.floats("N", rewards=rewards)
    check.floats("N A", next_q_values=next_q_values, next_probabilities=next_probabilities)
    check.flags("N", terminated=terminated)
    legal_unless(check, legal, terminated)
    check.unit("N", gamma=gamma)

    targets = np.empty_like(rewards)
    for n in range(len(rewards)):
        bootstrap = 0
        if not terminated[n]:
            for a in _legal_actions(next_q_values, legal, n):
                bootstrap = bootstrap + next_probabilities[n, a] * next_q_values[n, a]
        targets[n] = rewards[n] + _discount(gamma, n) * bootstrap
    return targets


def td_loss(
    q_taken: Float[np.ndarray, "..."],
    targets: Float[np.ndarray, "..."],
    mask: Bool[np.ndarray, "..."] | None,
    *,
    huber: float | None,
) -> Float[np.ndarray, ""]:
    """Half the mean squared error of the values of the actions taken, or Huber's of it.

        L = (1/N) Σᵢ ½ eᵢ²                            e = Q(s, a) − y
        L = (1/N) Σᵢ c(eᵢ) (eᵢ − c(eᵢ)/2)             c(e) = min(max(e, −δ), δ)

    Source: Mnih et al. 2015, methods, eq. 2 (squared) and "Training details" (the error clipped
    to ±1 in the update); Huber 1964.
    Ours: with the ½, so that both agree for small errors; the mean over the real elements. The
    second is ½e² up to δ and δ(|e| − δ/2) beyond: torch's HuberLoss, δ times its SmoothL1Loss.

    Args:
        q_taken: Q(sᵢ, aᵢ) of the network that learns.
        targets: yᵢ; constant.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.
        huber: δ above 0, the greatest slope of one element; None for the squared error.

    Returns:
        L, shape (). Its gradient with respect to q_taken is e/N, clipped to ±δ/N, and 0 where
        masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, nothing is real, or huber is not above 0.

    Example:
        >>> values, targets = np.array([1.0, 4.0]), np.array([0.0, 0.0])
        >>> td_loss(values, targets, None, huber=None)
        array(4.25)
        >>> td_loss(values, targets, None, huber=1.0)
        array(2.)
    """
    check = Arguments("td_loss", np.ndarray, exact=True)
    check.floats("...", q_taken=q_taken, targets=targets)
    check.mask("...", mask)
    if huber is not None:
        check.positive("huber", huber)

    total, count = 0, 0
    for i in real_places(q_taken, mask):
        error = q_taken[i] - targets[i]
        clipped = error if huber is None else limited(error, -huber, huber)
        total = total + clipped * (error - clipped / 2)
        count = count + 1
    return scalar(total / count, q_taken)


def soft_update(
    target: Float[np.ndarray, "..."], online: Float[np.ndarray, "..."], *, tau: float
) -> Float[np.ndarray, "..."]:
    """Target network moved a little towards the one that learns.

        θ⁻ ← (1 − τ) θ⁻ + τ θ

    Source: Lillicrap et al. 2016, arXiv:1509.02971, algorithm 1; τ = 1 is the copy of Mnih et al.
    2015.
    Ours: τ is the share of the new: 0 leaves the target as it is, 1 copies. Elsewhere τ is
    called 1 − τ, or polyak.

    Args:
        target: θ⁻, any shape; constant.
        online: θ; constant.
        tau: τ in [0, 1].

    Returns:
        The new θ⁻, the shape of `target`. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or tau lies outside [0, 1].

    Example:
        >>> soft_update(np.array([0.0, 4.0]), np.array([8.0, 4.0]), tau=0.25)
        array([2., 4.])
    """
    check = Arguments("soft_update", np.ndarray, exact=True)
    check.floats("...", target=target, online=online)
    check.unit(tau=tau)

    moved = np.empty_like(target)
    for i in np.ndindex(target.shape):
        moved[i] = (1 - tau) * target[i] + tau * online[i]
    return moved
