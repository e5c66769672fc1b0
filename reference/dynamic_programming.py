"""Dynamic programming: what policies are worth, and the best of them, where the model is known.

A process is three arrays [S, A, S], by state, action and next state: probabilities `transition`,
`reward`, and `terminal`, True where the step ends the episode. An end belongs to the step: its
reward is paid, and what follows is worth 0 whatever V(s′) says. `policy` [S, A] holds
probabilities. Nothing is sampled.

The one identity to remember: V = T V, where T V(s) = maxₐ Q(s,a), or Σₐ π(a|s) Q(s,a), and
Q(s,a) = Σₛ′ P(s′|s,a) (r + γ·[not terminal]·V(s′)). T shrinks distances by γ, so that how far a
sweep moved says how far is left to go: ‖V − V*‖ ≤ γ/(1−γ) ‖V − before‖.

ε-greedy and Boltzmann policies are in `categorical`.
"""

import numpy as np
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.reference._processes import (
    Plan,
    PolicyEvaluation,
    backup,
    chain,
    deterministic,
    discounted_solution,
    solved_values,
)
from rlverify.reference._systems import at_least_zero
from rlverify.refusals import discounted, distributions, finite, process


def action_values(
    transition: Float[np.ndarray, "S A S"],
    reward: Float[np.ndarray, "S A S"],
    terminal: Bool[np.ndarray, "S A S"],
    values: Float[np.ndarray, "S"],
    *,
    gamma: float,
) -> Float[np.ndarray, "S A"]:
    """What each action is worth where V says what the states are worth.

        Q(s,a) = Σₛ′ P(s′|s,a) (r(s,a,s′) + γ·[not terminal]·V(s′))

    Source: Puterman 1994, section 6.2; Sutton & Barto 2018, eq. 4.6.
    Ours: rewards and ends belong to the step (s, a, s′).

    Args:
        transition: P, every row over the last axis a distribution.
        reward: r, finite also where the probability is 0.
        terminal: True where the step ends the episode.
        values: V of every state; what an end leads to is not read.
        gamma: γ in [0, 1].

    Returns:
        Q, shape [S, A]. Gradients flow to transition, reward and values.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, a number is not finite, or gamma
            lies outside [0, 1].

    Example:
        >>> stay_or_leave = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
        >>> ends = np.array([[[False, False], [False, True]], [[True, True], [True, True]]])
        >>> action_values(stay_or_leave, stay_or_leave, ends, np.array([8.0, 9.0]), gamma=0.5)
        array([[5., 1.],
               [1., 1.]])
    """
    check = Arguments("action_values", np.ndarray, exact=True)
    process(check, transition, terminal, reward)
    check.floats("S", values=values)
    finite(check, values=values)
    check.unit(gamma=gamma)

    states, actions, _ = transition.shape
    table = np.empty((states, actions), dtype=transition.dtype)
    for s, a in np.ndindex(states, actions):
        table[s, a] = backup(transition, reward, terminal, values, gamma, s, a)
    return table


def greedy_policy(action_values: Float[np.ndarray, "S A"]) -> Float[np.ndarray, "S A"]:
    """Probabilities of the policy that takes the best action, ties sharing.

        π(a|s) = 1/N   where Q(s,a) is one of the N greatest of the state, else 0

    Source: Sutton & Barto 2018, eq. 4.9 and section 4.2 (any sharing among ties is greedy).
    Ours: ties share evenly, as in `epsilon_greedy_probabilities` with ε = 0; equal means equal.

    Args:
        action_values: Q.

    Returns:
        π, the shape of `action_values`. No gradient: π is constant between ties.

    Raises:
        TypeError: the argument is of the wrong kind or dtype.
        ValueError: it is not [S, A], or holds NaN or an infinity.

    Example:
        >>> greedy_policy(np.array([[1.0, 3.0, 3.0], [2.0, 0.0, 1.0]]))
        array([[0. , 0.5, 0.5],
               [1. , 0. , 0. ]])
    """
    check = Arguments("greedy_policy", np.ndarray, exact=True)
    check.floats("S A", action_values=action_values)
    finite(check, action_values=action_values)

    policy = np.zeros_like(action_values)
    states, actions = action_values.shape
    for s in range(states):
        greatest = max(action_values[s])
        best = [a for a in range(actions) if action_values[s, a] == greatest]
        for a in best:
            policy[s, a] = (greatest - greatest + 1) / len(best)  # a fraction among fractions
    return policy


def policy_evaluation(
    transition: Float[np.ndarray, "S A S"],
    reward: Float[np.ndarray, "S A S"],
    terminal: Bool[np.ndarray, "S A S"],
    policy: Float[np.ndarray, "S A"],
    *,
    gamma: float,
    tolerance: float,
    max_iterations: int,
) -> PolicyEvaluation:
    """What a policy is worth, by sweeps over all states.

        V₀ = 0        Vₖ₊₁(s) = Σₐ π(a|s) Σₛ′ P(s′|s,a) (r + γ·[not terminal]·Vₖ(s′))
        it ends where  γ ‖Vₖ₊₁ − Vₖ‖ ≤ tolerance (1 − γ),  so that  ‖Vₖ₊₁ − V‖ ≤ tolerance

    in the maximum norm.

    Source: Sutton & Barto 2018, eq. 4.5; the rule from Puterman 1994, section 6.3.
    Ours: all states are swept at once (the book's code overwrites in place), and the tolerance
    is of the error, not of the last change. Without discount it ends where nothing changes any
    more. The linear solve of the same equations is in `tabular_envs.exact`.

    Args:
        transition: P, every row over the last axis a distribution.
        reward: r, finite also where the probability is 0.
        terminal: True where the step ends the episode.
        policy: π(a|s), every row a distribution.
        gamma: γ in [0, 1].
        tolerance: how far every value may lie from the truth, at least 0.
        max_iterations: the greatest number of sweeps, at least 1.

    Returns:
        `values` [S], `iterations` and `residual`, the last ‖Vₖ₊₁ − Vₖ‖. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or a number is out of range.

    Example:
        >>> loop, endless = np.ones((1, 1, 1)), np.zeros((1, 1, 1), dtype=bool)
        >>> found = policy_evaluation(  # 1 + 1/2 + 1/4 + … = 2
        ...     loop, loop, endless, loop[0], gamma=0.5, tolerance=0.25, max_iterations=99
        ... )
        >>> found.values, found.iterations, float(found.residual)
        (array([1.75]), 3, 0.25)
    """
    check = Arguments("policy_evaluation", np.ndarray, exact=True)
    process(check, transition, terminal, reward)
    distributions(check, "S A", policy=policy)
    check.unit(gamma=gamma)
    at_least_zero(check, "tolerance", tolerance)
    check.count("max_iterations", max_iterations, least=1)

    states, actions = policy.shape
    values = np.zeros_like(policy[:, 0])
    iterations = 0
    for _ in range(max_iterations):
        iterations += 1
        swept = np.empty_like(values)
        for s in range(states):
            swept[s] = sum(
                policy[s, a] * backup(transition, reward, terminal, values, gamma, s, a)
                for a in range(actions)
            )
        residual = max(abs(swept[s] - values[s]) for s in range(states))
        values = swept
        if gamma * residual <= tolerance * (1 - gamma):
            break
    return PolicyEvaluation(values, iterations, residual)


def value_iteration(
    transition: Float[np.ndarray, "S A S"],
    reward: Float[np.ndarray, "S A S"],
    terminal: Bool[np.ndarray, "S A S"],
    *,
    gamma: float,
    tolerance: float,
    max_iterations: int,
) -> Plan:
    """What the best policy is worth, and one that is nearly as good, by sweeps over all states.

        V₀ = 0        Vₖ₊₁(s) = maxₐ Σₛ′ P(s′|s,a) (r + γ·[not terminal]·Vₖ(s′))
        it ends where  2γ ‖Vₖ₊₁ − Vₖ‖ ≤ tolerance (1 − γ)
        then  ‖Vₖ₊₁ − V*‖ ≤ tolerance / 2,  and the greedy policy's own V ≥ V* − tolerance

    in the maximum norm.

    Source: Puterman 1994, section 6.3.2 and theorem 6.3.1 (value iteration; its stopping rule is
    taken up again in section 6.6).
    Ours: the rule is multiplied out, so that γ = 0 and γ = 1 divide by nothing; equality ends
    it. Without discount it ends where nothing changes any more. Ties of the policy share.

    Args:
        transition: P, every row over the last axis a distribution.
        reward: r, finite also where the probability is 0.
        terminal: True where the step ends the episode.
        gamma: γ in [0, 1].
        tolerance: how much less the policy may be worth than the best, at least 0.
        max_iterations: the greatest number of sweeps, at least 1.

    Returns:
        `values` [S], `policy` [S, A], greedy for them, `iterations` and `residual`, the last
        ‖Vₖ₊₁ − Vₖ‖. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or a number is out of range.

    Example:
        >>> two_ways, pays = np.ones((1, 2, 1)), np.array([[[0.0], [1.0]]])  # to stay, twice
        >>> found = value_iteration(
        ...     two_ways, pays, two_ways < 1, gamma=0.5, tolerance=0.5, max_iterations=99
        ... )
        >>> found.values, found.policy, found.iterations
        (array([1.75]), array([[0., 1.]]), 3)
    """
    check = Arguments("value_iteration", np.ndarray, exact=True)
    process(check, transition, terminal, reward)
    check.unit(gamma=gamma)
    at_least_zero(check, "tolerance", tolerance)
    check.count("max_iterations", max_iterations, least=1)

    states, actions, _ = transition.shape
    values = np.zeros_like(transition[:, 0, 0])
    iterations = 0
    for _ in range(max_iterations):
        iterations += 1
        swept = np.empty_like(values)
        for s in range(states):
            swept[s] = max(
                backup(transition, reward, terminal, values, gamma, s, a) for a in range(actions)
            )
        residual = max(abs(swept[s] - values[s]) for s in range(states))
        values = swept
        if 2 * gamma * residual <= tolerance * (1 - gamma):
            break
    table = action_values(transition, reward, terminal, values, gamma=gamma)
    return Plan(values, greedy_policy(table), iterations, residual)


def policy_iteration(
    transition: Float[np.ndarray, "S A S"],
    reward: Float[np.ndarray, "S A S"],
    terminal: Bool[np.ndarray, "S A S"],
    *,
    gamma: float,
    max_iterations: int,
) -> Plan:
    """The best policy, by solving for what one is worth and then acting greedily, in turn.

        Vₖ = (I − γ P_πₖ)⁻¹ r_πₖ        πₖ₊₁(s) ∈ argmaxₐ Qₖ(s,a),  πₖ(s) if it is one of them
        it ends where the policy stays

    Source: Howard 1960; Puterman 1994, section 6.4.1.
    Ours: it begins with the first action everywhere and takes the first of several better ones.
    It also ends where the values no longer add up to more, which they do in every step but for
    rounding, so that rounding cannot send it in circles.

    Args:
        transition: P, every row over the last axis a distribution.
        reward: r, finite also where the probability is 0.
        terminal: True where the step ends the episode.
        gamma: γ in [0, 1).
        max_iterations: the greatest number of policies, at least 1.

    Returns:
        `values` [S] of the last policy, `policy` [S, A], one action in each state, `iterations`,
        and `residual` ‖T V − V‖: every value is within residual / (1 − γ) of the best. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or a number is out of range.

    Example:
        >>> two_ways, pays = np.ones((1, 2, 1)), np.array([[[0.0], [1.0]]])  # to stay, twice
        >>> found = policy_iteration(two_ways, pays, two_ways < 1, gamma=0.5, max_iterations=9)
        >>> found.values, found.policy, found.iterations
        (array([2.]), array([[0., 1.]]), 2)
    """
    check = Arguments("policy_iteration", np.ndarray, exact=True)
    process(check, transition, terminal, reward)
    discounted(check, gamma)
    check.count("max_iterations", max_iterations, least=1)

    states, actions, _ = transition.shape
    choice, before, iterations = np.zeros(states, dtype=np.int64), None, 0
    for _ in range(max_iterations):
        iterations += 1
        policy = deterministic(choice, transition[:, :, 0])
        values = solved_values(transition, reward, terminal, policy, gamma)
        table = action_values(transition, reward, terminal, values, gamma=gamma)
        greedy = [max(range(actions), key=lambda a: table[s, a]) for s in range(states)]
        keeps = [table[s, choice[s]] >= table[s, greedy[s]] for s in range(states)]
        total = sum(values)
        if all(keeps) or (before is not None and total <= before):
            break
        choice = np.where(keeps, choice, greedy)
        before = total
    residual = max(abs(max(table[s]) - values[s]) for s in range(states))
    return Plan(values, policy, iterations, residual)


def visitation(
    transition: Float[np.ndarray, "S A S"],
    terminal: Bool[np.ndarray, "S A S"],
    start: Float[np.ndarray, "S"],
    policy: Float[np.ndarray, "S A"],
    *,
    gamma: float,
) -> Float[np.ndarray, "S"]:
    """How often a policy visits each state, later visits discounted.

        d(s) = Σₜ γᵗ P(sₜ = s)        (I − γ P_π)ᵀ d = start

    Source: Sutton et al. 2000, NeurIPS 12, section 1 (the definition of d^π).
    Ours: not normalised: d sums to 1/(1−γ) where nothing ends, and to less where something does,
    for nothing is visited after an end. J = ⟨d, r_π⟩ then needs no factor 1/(1−γ).

    Args:
        transition: P, every row over the last axis a distribution.
        terminal: True where the step ends the episode.
        start: probabilities of the first state.
        policy: π(a|s), every row a distribution.
        gamma: γ in [0, 1).

    Returns:
        d, shape [S], in discounted steps. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or gamma lies outside [0, 1).

    Example:
        >>> there_and_back = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])
        >>> first, only = np.array([1.0, 0.0]), np.ones((2, 1))
        >>> visitation(there_and_back, there_and_back > 1, first, only, gamma=0.5)  # 1 + 1/4 + …
        array([1.33333333, 0.66666667])
    """
    check = Arguments("visitation", np.ndarray, exact=True)
    process(check, transition, terminal)
    distributions(check, "S", start=start)
    distributions(check, "S A", policy=policy)
    discounted(check, gamma)

    return discounted_solution(chain(transition, terminal, policy).T, gamma, start)
