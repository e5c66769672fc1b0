"""Planning where [S, A, S] does not fit: the process as expected rewards and a sparse matrix."""

import torch
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.fast._processes import Plan, PolicyEvaluation, at_least_zero, greedy, swept
from rlverify.fast.scan import rounded
from rlverify.refusals import distributions, finite


def sparse_value_iteration(
    going: Float[torch.Tensor, "SA S"],
    earned: Float[torch.Tensor, "S A"],
    *,
    gamma: float,
    tolerance: float,
    max_iterations: int,
) -> Plan:
    """`value_iteration` of a process that only a sparse matrix can hold.

        Vₖ₊₁(s) = maxₐ (r̄(s,a) + γ Σₛ′ going(s·A + a, s′) Vₖ(s′))

    Source: Puterman 1994, section 6.3.2; the stopping rule is that of `value_iteration`.

    Args:
        going: P(s′|s,a)·[not terminal], one row for each state and action, any sparse or dense
            layout that multiplies vectors; CSR is the fastest on a CPU. No row sums to more
            than 1, which is not checked.
        earned: r̄(s,a) = Σₛ′ P(s′|s,a) r(s,a,s′).
        gamma: γ in [0, 1].
        tolerance: how much less the policy may be worth than the best, at least 0.
        max_iterations: the greatest number of sweeps, at least 1.

    Returns:
        What `value_iteration` returns. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or a number is out of range.
    """
    check = Arguments("sparse_value_iteration", torch.Tensor)
    states, actions = _check(check, going, earned)
    check.unit(gamma=gamma)
    at_least_zero(check, "tolerance", tolerance)
    check.count("max_iterations", max_iterations, least=1)

    with torch.no_grad():
        discount = rounded(gamma, earned.dtype)

        def table(values: torch.Tensor) -> torch.Tensor:
            return earned + discount * (going @ values[0]).view(states, actions)

        found = swept(
            lambda values: table(values).amax(-1)[None],
            earned.new_zeros(1, states),
            weight=2 * discount,
            limit=rounded(tolerance, earned.dtype) * (1 - discount),
            max_iterations=max_iterations,
        )
        policy = greedy(table(found.values))
        return Plan(found.values[0], policy, found.iterations[0], found.residual[0])


def sparse_policy_evaluation(
    going: Float[torch.Tensor, "SA S"],
    earned: Float[torch.Tensor, "S A"],
    policy: Float[torch.Tensor, "S A"],
    *,
    gamma: float,
    tolerance: float,
    max_iterations: int,
) -> PolicyEvaluation:
    """`policy_evaluation` of a process that only a sparse matrix can hold.

        Vₖ₊₁(s) = Σₐ π(a|s) (r̄(s,a) + γ Σₛ′ going(s·A + a, s′) Vₖ(s′))

    Source: Sutton & Barto 2018, eq. 4.5; the stopping rule is that of `policy_evaluation`.

    Args:
        going: P(s′|s,a)·[not terminal], one row for each state and action, as in
            `sparse_value_iteration`.
        earned: r̄(s,a) = Σₛ′ P(s′|s,a) r(s,a,s′).
        policy: π(a|s), every row a distribution.
        gamma: γ in [0, 1].
        tolerance: how far every value may lie from the truth, at least 0.
        max_iterations: the greatest number of sweeps, at least 1.

    Returns:
        What `policy_evaluation` returns. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a row is no distribution, or a number is out of range.
    """
    check = Arguments("sparse_policy_evaluation", torch.Tensor)
    states, actions = _check(check, going, earned)
    distributions(check, "S A", policy=policy)
    check.unit(gamma=gamma)
    at_least_zero(check, "tolerance", tolerance)
    check.count("max_iterations", max_iterations, least=1)

    with torch.no_grad():
        discount = rounded(gamma, earned.dtype)
        gains = (policy * earned).sum(-1)

        def sweep(values: torch.Tensor) -> torch.Tensor:
            following = (going @ values[0]).view(states, actions)
            return (gains + discount * (policy * following).sum(-1))[None]

        found = swept(
            sweep,
            earned.new_zeros(1, states),
            weight=discount,
            limit=rounded(tolerance, earned.dtype) * (1 - discount),
            max_iterations=max_iterations,
        )
        return PolicyEvaluation(found.values[0], found.iterations[0], found.residual[0])


def _check(check: Arguments, going: torch.Tensor, earned: torch.Tensor) -> tuple[int, int]:
    """Require a matrix [S·A, S] and a table [S, A]; return S and A."""
    check.floats("S A", earned=earned)
    finite(check, earned=earned)
    if earned.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"{check.function}: earned came as dtype {earned.dtype}, wanted float32 or float64."
        )
    states, actions = earned.shape
    check.floats("SA S", going=going)
    if going.shape[0] != states * actions:
        raise ValueError(
            f"{check.function}: going came with {going.shape[0]} rows, wanted {states * actions}, "
            f"one for each state and action."
        )
    return states, actions
