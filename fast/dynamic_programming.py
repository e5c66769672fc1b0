"""Dynamic programming in PyTorch: many processes, or many policies, at once.

A process is three arrays [S, A, S], by state, action and next state: probabilities `transition`,
`reward`, and `terminal`, True where the step ends the episode. An end belongs to the step: its
reward is paid, and what follows is worth 0 whatever V(s′) says. `policy` [S, A] holds
probabilities. Any of the arrays may have leading axes, on which those that have them agree:
[N, S, A, S] are N processes, [N, S, A] beside one process N policies of it.

Arrays that are almost all zeros are swept through in compressed rows. Beyond what fits as
[S, A, S] there are `sparse_value_iteration` and `sparse_policy_evaluation`.

The one identity to remember: V = T V, where T V(s) = maxₐ Q(s,a), or Σₐ π(a|s) Q(s,a), and
Q(s,a) = Σₛ′ P(s′|s,a) (r + γ·[not terminal]·V(s′)). T shrinks distances by γ, so that how far a
sweep moved says how far is left to go: ‖V − V*‖ ≤ γ/(1−γ) ‖V − before‖.

ε-greedy and Boltzmann policies are in `categorical`.
"""

import torch
from jaxtyping import Bool, Float

from rlverify.errors import Arguments
from rlverify.fast._processes import (
    Plan,
    PolicyEvaluation,
    at_least_zero,
    backup,
    broadcast_shapes,
    chain,
    discounted_solution,
    earned,
    going_on,
    greedy,
    improved,
    operator,
    swept,
)
from rlverify.fast._sparse_planning import sparse_policy_evaluation as sparse_policy_evaluation
from rlverify.fast._sparse_planning import sparse_value_iteration as sparse_value_iteration
from rlverify.fast._steps import widened
from rlverify.fast.scan import rounded
from rlverify.refusals import discounted, distributions, finite, leading, process


def action_values(
    transition: Float[torch.Tensor, "... S A S"],
    reward: Float[torch.Tensor, "... S A S"],
    terminal: Bool[torch.Tensor, "... S A S"],
    values: Float[torch.Tensor, "... S"],
    *,
    gamma: float,
) -> Float[torch.Tensor, "... S A"]:
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
        Q, shape [..., S, A]. Gradients flow to transition, reward and values.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, a number is not finite, or gamma
            lies outside [0, 1].

    Example:
        >>> stay_or_leave = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
        >>> ends = torch.tensor([[[False, False], [False, True]], [[True, True], [True, True]]])
        >>> action_values(stay_or_leave, stay_or_leave, ends, torch.tensor([8.0, 9.0]), gamma=0.5)
        tensor([[5., 1.],
                [1., 1.]])
    """
    check = Arguments("action_values", torch.Tensor)
    process(check, transition, terminal, reward)
    check.floats(leading(check, "S", values), values=values)
    finite(check, values=values)
    check.unit(gamma=gamma)

    discount = rounded(gamma, transition.dtype)
    (worth,) = widened(values)
    going = going_on(transition, terminal)
    return backup(earned(transition, reward), going, worth, discount).to(transition.dtype)


def greedy_policy(action_values: Float[torch.Tensor, "... S A"]) -> Float[torch.Tensor, "... S A"]:
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
        >>> greedy_policy(torch.tensor([[1.0, 3.0, 3.0], [2.0, 0.0, 1.0]]))
        tensor([[0.0000, 0.5000, 0.5000],
                [1.0000, 0.0000, 0.0000]])
    """
    check = Arguments("greedy_policy", torch.Tensor)
    check.floats(leading(check, "S A", action_values), action_values=action_values)
    finite(check, action_values=action_values)

    return greedy(action_values.detach()).to(action_values.dtype)


def policy_evaluation(
    transition: Float[torch.Tensor, "... S A S"],
    reward: Float[torch.Tensor, "... S A S"],
    terminal: Bool[torch.Tensor, "... S A S"],
    policy: Float[torch.Tensor, "... S A"],
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
        `values` [..., S], `iterations` and `residual`, the last ‖Vₖ₊₁ − Vₖ‖. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or a number is out of range.

    Example:
        >>> loop, endless = torch.ones((1, 1, 1)), torch.zeros((1, 1, 1), dtype=torch.bool)
        >>> found = policy_evaluation(  # 1 + 1/2 + 1/4 + … = 2
        ...     loop, loop, endless, loop[0], gamma=0.5, tolerance=0.25, max_iterations=99
        ... )
        >>> found.values, found.iterations, float(found.residual)
        (tensor([1.7500]), tensor(3), 0.25)
    """
    check = Arguments("policy_evaluation", torch.Tensor)
    process(check, transition, terminal, reward)
    distributions(check, "S A", policy=policy)
    check.unit(gamma=gamma)
    at_least_zero(check, "tolerance", tolerance)
    check.count("max_iterations", max_iterations, least=1)

    with torch.no_grad():
        discount, slack = (rounded(x, policy.dtype) for x in (gamma, tolerance))
        (weights,) = widened(policy)
        gains = (weights * earned(transition, reward)).sum(-1)
        chains = chain(going_on(transition, terminal), weights)
        lead, states = chains.shape[:-2], chains.shape[-1]
        step = operator(chains.reshape(-1, states, states))
        gains = gains.expand(*lead, states).reshape(-1, states)
        found = swept(
            lambda values: gains + discount * step(values),
            torch.zeros_like(gains),
            weight=discount,
            limit=slack * (1 - discount),
            max_iterations=max_iterations,
        )
        return PolicyEvaluation(
            found.values.reshape(*lead, states).to(policy.dtype),
            found.iterations.reshape(lead),
            found.residual.reshape(lead).to(policy.dtype),
        )


def value_iteration(
    transition: Float[torch.Tensor, "... S A S"],
    reward: Float[torch.Tensor, "... S A S"],
    terminal: Bool[torch.Tensor, "... S A S"],
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
        `values` [..., S], `policy` [..., S, A], greedy for them, `iterations` and `residual`, the
        last ‖Vₖ₊₁ − Vₖ‖. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or a number is out of range.

    Example:
        >>> two_ways, pays = torch.ones((1, 2, 1)), torch.tensor([[[0.0], [1.0]]])  # to stay, twice
        >>> found = value_iteration(
        ...     two_ways, pays, two_ways < 1, gamma=0.5, tolerance=0.5, max_iterations=99
        ... )
        >>> found.values, found.policy, found.iterations
        (tensor([1.7500]), tensor([[0., 1.]]), tensor(3))
    """
    check = Arguments("value_iteration", torch.Tensor)
    process(check, transition, terminal, reward)
    check.unit(gamma=gamma)
    at_least_zero(check, "tolerance", tolerance)
    check.count("max_iterations", max_iterations, least=1)

    with torch.no_grad():
        discount, slack = (rounded(x, transition.dtype) for x in (gamma, tolerance))
        pays, going = earned(transition, reward), going_on(transition, terminal)
        lead = broadcast_shapes(pays.shape[:-2], going.shape[:-3])
        states, actions, _ = going.shape[-3:]
        step = operator(going.expand(*lead, -1, -1, -1).reshape(-1, states * actions, states))
        pays = pays.expand(*lead, -1, -1).reshape(-1, states, actions)

        def table(values: torch.Tensor) -> torch.Tensor:
            return torch.addcmul(pays, step(values).view_as(pays), pays.new_tensor(discount))

        found = swept(
            lambda values: table(values).amax(-1),
            torch.zeros_like(pays[..., 0]),
            weight=2 * discount,
            limit=slack * (1 - discount),
            max_iterations=max_iterations,
        )
        return Plan(
            found.values.reshape(*lead, states).to(transition.dtype),
            greedy(table(found.values)).reshape(*lead, states, actions).to(transition.dtype),
            found.iterations.reshape(lead),
            found.residual.reshape(lead).to(transition.dtype),
        )


def policy_iteration(
    transition: Float[torch.Tensor, "... S A S"],
    reward: Float[torch.Tensor, "... S A S"],
    terminal: Bool[torch.Tensor, "... S A S"],
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
        `values` [..., S] of the last policy, `policy` [..., S, A], one action in each state,
        `iterations`, and `residual` ‖T V − V‖: every value is within residual / (1 − γ) of the
        best. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or a number is out of range.

    Example:
        >>> two_ways, pays = torch.ones((1, 2, 1)), torch.tensor([[[0.0], [1.0]]])  # to stay, twice
        >>> found = policy_iteration(two_ways, pays, two_ways < 1, gamma=0.5, max_iterations=9)
        >>> found.values, found.policy, found.iterations
        (tensor([2.]), tensor([[0., 1.]]), tensor(2))
    """
    check = Arguments("policy_iteration", torch.Tensor)
    process(check, transition, terminal, reward)
    discounted(check, gamma)
    check.count("max_iterations", max_iterations, least=1)

    with torch.no_grad():
        discount = rounded(gamma, transition.dtype)
        pays, going = earned(transition, reward), going_on(transition, terminal)
        lead = broadcast_shapes(pays.shape[:-2], going.shape[:-3])
        states, actions, _ = going.shape[-3:]
        pays = pays.expand(*lead, -1, -1).reshape(-1, states, actions)
        going = going.expand(*lead, -1, -1, -1).reshape(-1, states, actions, states)
        found = improved(pays, going, discount, max_iterations)
        return Plan(
            found.values.reshape(*lead, states).to(transition.dtype),
            found.policy.reshape(*lead, states, actions).to(transition.dtype),
            found.iterations.reshape(lead),
            found.residual.reshape(lead).to(transition.dtype),
        )


def visitation(
    transition: Float[torch.Tensor, "... S A S"],
    terminal: Bool[torch.Tensor, "... S A S"],
    start: Float[torch.Tensor, "... S"],
    policy: Float[torch.Tensor, "... S A"],
    *,
    gamma: float,
) -> Float[torch.Tensor, "... S"]:
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
        d, shape [..., S], in discounted steps. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or gamma lies outside [0, 1).

    Example:
        >>> there_and_back = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
        >>> first, only = torch.tensor([1.0, 0.0]), torch.ones(2, 1)
        >>> visitation(there_and_back, there_and_back > 1, first, only, gamma=0.5)  # 1 + 1/4 + …
        tensor([1.3333, 0.6667])
    """
    check = Arguments("visitation", torch.Tensor)
    process(check, transition, terminal)
    distributions(check, "S", start=start)
    distributions(check, "S A", policy=policy)
    discounted(check, gamma)

    with torch.no_grad():
        first, weights = widened(start, policy)
        chains = chain(going_on(transition, terminal), weights)
        discount = rounded(gamma, policy.dtype)
        return discounted_solution(chains, discount, first, transposed=True).to(policy.dtype)
