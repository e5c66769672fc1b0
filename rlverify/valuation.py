"""What a policy is worth over a horizon, and the fields that estimators may aim at.

    J(θ)   = E[ Σ_{t<H} γᵗ rₜ + γᴴ·[not ended]·b(s_H) ]        b: the bootstrap, 0 if there is none
    ∇J     = Σₜ γᵗ Σₛ P(sₜ = s) Σₐ ∇π(a|s) Q_t(s,a)            its gradient
    field  =  Σₜ   Σₛ P(sₜ = s) Σₐ ∇π(a|s) Q_t(s,a)            the same without γᵗ

θ are the logits of a softmax policy, [S, A]. The bootstrap is a constant: no gradient flows
through it. Numbers are float64, or `Fraction` objects where the policy is made of them.

The one identity to remember: both fields are equal at γ = 1; below it the second is in general
no function's gradient (Nota & Thomas 2020, arXiv:1906.07073).
"""

from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.differentiation import Dual
from rlverify.errors import Arguments
from rlverify.rationalization import lifted_entries, require_numbers, require_policy
from rlverify.tabular_envs.exact import PolicyValues, continuing_probabilities, policy_values
from rlverify.tabular_envs.finite_mdp import FiniteMDP

STEP = 2.0**-500  # of the complex step: its square underflows against 1, so it costs no accuracy


def _checked(
    function: str, mdp: Any, policy: Any, *, gamma: Any, horizon: Any, bootstrap: Any = None
) -> bool:
    """Refuse what makes no sense together; return whether the arithmetic is exact."""
    exact = require_policy(function, mdp, policy=policy)
    arguments = Arguments(function, np.ndarray, exact=True)
    arguments.floats("S A", policy=policy)
    arguments.unit(gamma=gamma)
    arguments.count("horizon", horizon, least=1)
    if bootstrap is not None:
        arguments.floats("S", bootstrap=bootstrap)
        require_numbers(function, "bootstrap", bootstrap, exact=exact)
    return exact


def _rewards_and_discounted(mdp: FiniteMDP, gamma: Any, exact: bool) -> tuple[Any, Any]:
    """Return r̄(s,a), [S, A], and γ P(s′|s,a)·[not terminal], [S, A, S]."""
    chances = lifted_entries(mdp.transition, exact)
    rewards = (chances * lifted_entries(mdp.reward, exact)).sum(axis=2)
    goes_on = lifted_entries(continuing_probabilities(mdp), exact)
    return rewards, (gamma if exact else float(gamma)) * goes_on


def _backward(
    mdp: FiniteMDP, policy: Any, gamma: Any, horizon: int, bootstrap: Any, exact: bool
) -> tuple[list[Any], list[Any]]:
    """Return V_t and Q_t for t from 0; policies of complex or dual numbers are welcome."""
    rewards, discounted = _rewards_and_discounted(mdp, gamma, exact)
    nothing = lifted_entries(np.zeros(mdp.states), exact)
    values = [nothing if bootstrap is None else bootstrap]
    action_values: list[Any] = []
    for _ in range(horizon):
        action_values.insert(0, rewards + discounted @ values[0])
        values.insert(0, (policy * action_values[0]).sum(axis=1))
    return values, action_values


def true_values(
    mdp: FiniteMDP,
    policy: Float[np.ndarray, "S A"],
    *,
    gamma: float | Fraction,
    horizon: int,
    bootstrap: Float[np.ndarray, "S"] | None = None,
) -> PolicyValues:
    """V, Q and advantage at each time t of the first H steps.

        Q_t(s,a) = Σₛ′ P(s′|s,a) (r(s,a,s′) + γ·[not terminal]·V_{t+1}(s′))      V_H = bootstrap

    Source: Puterman 1994, §4.2.
    Ours: `tabular_envs.finite_horizon.horizon_values`, in exact arithmetic too.

    Args:
        mdp: the process.
        policy: probabilities π(a|s), [S, A], float64 or `Fraction` objects.
        gamma: discount in [0, 1]; no float where the policy is made of `Fraction`.
        horizon: number of steps H, at least 1.
        bootstrap: worth of the state at the horizon, [S], of the policy's type; None is zero.

    Returns:
        `values` [H+1, S], `action_values` [H, S, A], `advantages` [H, S, A].

    Raises:
        TypeError: an argument is of another type or dtype.
        ValueError: shapes disagree, a row is no distribution, or a number is out of range.
    """
    exact = _checked("true_values", mdp, policy, gamma=gamma, horizon=horizon, bootstrap=bootstrap)
    values, action_values = map(np.stack, _backward(mdp, policy, gamma, horizon, bootstrap, exact))
    return PolicyValues(values, action_values, action_values - values[:-1, :, None])


def true_objective(
    mdp: FiniteMDP,
    policy: Float[np.ndarray, "S A"],
    *,
    gamma: float | Fraction,
    horizon: int,
    bootstrap: Float[np.ndarray, "S"] | None = None,
) -> Any:
    """Expected discounted return of the first H steps, J = Σₛ start(s) V₀(s).

    Source: Puterman 1994, §4.1.
    Args, Raises: those of `true_values`.
    """
    exact = _checked(
        "true_objective", mdp, policy, gamma=gamma, horizon=horizon, bootstrap=bootstrap
    )
    values, _ = _backward(mdp, policy, gamma, horizon, bootstrap, exact)
    return lifted_entries(mdp.start, exact) @ values[0]


def lasting_values(
    mdp: FiniteMDP, policy: Float[np.ndarray, "S A"], *, gamma: float | Fraction
) -> Float[np.ndarray, "S"]:
    """V of a process without horizon, (I − γ P_π) V = r_π, [S].

    With it as bootstrap every V_t is V, so a recording that is cut loses nothing.

    Source: Puterman 1994, theorem 6.1.1.
    Ours: `tabular_envs.policy_values`; in exact arithmetic by Gauss–Jordan elimination.
    Args: those of `true_values`.

    Raises:
        TypeError, ValueError: as `true_values`; or γ = 1 and some state never reaches an end.
    """
    function = "lasting_values"
    exact = _checked(function, mdp, policy, gamma=gamma, horizon=1)
    if not exact:
        return policy_values(mdp, policy, gamma=float(gamma)).values
    rewards, discounted = _rewards_and_discounted(mdp, gamma, exact)
    identity = lifted_entries(np.eye(mdp.states), exact)
    rows = np.column_stack(
        [identity - np.einsum("ij,ijk->ik", policy, discounted), (policy * rewards).sum(axis=1)]
    )
    for k in range(mdp.states):
        pivot = next((i for i in range(k, mdp.states) if rows[i, k] != 0), None)
        if pivot is None:
            raise ValueError(
                f"{function}: gamma came as {gamma}, but from some state the policy never "
                f"reaches an end, so its value is infinite or undefined; wanted gamma below 1."
            )
        rows[[k, pivot]] = rows[[pivot, k]]
        rows[k] = rows[k] / rows[k, k]
        for i in range(mdp.states):
            if i != k:
                rows[i] = rows[i] - rows[i, k] * rows[k]
    return np.asarray(rows[:, -1])


def true_gradient(
    mdp: FiniteMDP,
    policy: Float[np.ndarray, "S A"],
    *,
    gamma: float | Fraction,
    horizon: int,
    bootstrap: Float[np.ndarray, "S"] | None = None,
) -> Float[np.ndarray, "S A"]:
    """Gradient of J in the logits of a softmax policy, carried through the recursion.

        J(θ) = Σₛ start(s) V₀(s)        V_t(s) = Σₐ π(a|s) (r̄(s,a) + γ Σₛ′ C(s,a,s′) V_{t+1}(s′))
        ∂J/∂θ(s,a) = Im J(θ + ih e_{s,a}) / h        π(·|s) = softmax(θ(s,·)) at every t

    Source: Squire & Trapp 1998, SIAM Review 40(1), 110-112, the complex step; Puterman 1994,
        §4.2, the recursion.
    Ours: a step in a logit multiplies its weight by 1 + ih, to first order, so no logarithm is
        taken. In exact arithmetic dual numbers take the place of complex ones.
        `tabular_envs.finite_horizon.horizon_gradient` is the other path, by the policy
        gradient theorem; the tests hold the two against each other.

    Args:
        mdp: the process.
        policy: probabilities π(a|s), [S, A], float64 or `Fraction` objects.
        gamma: discount in [0, 1]; no float where the policy is made of `Fraction`.
        horizon: number of steps H, at least 1.
        bootstrap: worth of the state at the horizon, [S], of the policy's type, a constant:
            it does not move with θ. None is zero.

    Returns:
        [S, A], in the unit of the reward and of the policy's type; 0 where π(a|s) is 0.

    Raises:
        TypeError: an argument is of another type or dtype.
        ValueError: shapes disagree, a row is no distribution, or gamma or horizon lies outside
            its range.

    Example:
        >>> from rlverify.enumeration import rational_policy
        >>> from rlverify.tabular_envs.environments import two_button_game
        >>> even = rational_policy([[1, 1], [1, 1]])
        >>> true_gradient(two_button_game(100), even, gamma=1, horizon=1)[0].tolist()
        [Fraction(1, 2), Fraction(-1, 2)]
    """
    exact = _checked(
        "true_gradient", mdp, policy, gamma=gamma, horizon=horizon, bootstrap=bootstrap
    )
    start = lifted_entries(mdp.start, exact)
    gradient = np.empty(policy.size, dtype=policy.dtype)
    for index in range(policy.size):
        weights = policy.astype(object if exact else np.complex128)
        moved = weights.flat[index]
        weights.flat[index] = Dual(moved, moved) if exact else moved * complex(1, STEP)
        moving = weights / weights.sum(axis=1, keepdims=True)
        worth = start @ _backward(mdp, moving, gamma, horizon, bootstrap, exact)[0][0]
        if exact:
            gradient[index] = Fraction(worth.slope if isinstance(worth, Dual) else 0)
        else:
            gradient[index] = worth.imag / STEP
    return gradient.reshape(policy.shape)


def undiscounted_field(
    mdp: FiniteMDP,
    policy: Float[np.ndarray, "S A"],
    *,
    gamma: float | Fraction,
    horizon: int,
    bootstrap: Float[np.ndarray, "S"] | None = None,
) -> Float[np.ndarray, "S A"]:
    """What most implementations follow: the policy gradient without γᵗ before each step.

        f(s,b) = Σₜ P(sₜ = s) Σₐ ∂π(a|s)/∂θ(s,b) Q_t(s,a) = Σₜ P(sₜ = s) π(b|s) A_t(s,b)

    Rewards are discounted from the step that is judged, states are not discounted from the
    start. At γ = 1 it is ∇J. Below, it is in general not the gradient of any function: its
    Jacobian is not symmetric.

    Source: Nota & Thomas 2020, arXiv:1906.07073, whose result it is.
    Args, Raises: those of `true_gradient`.

    Returns:
        [S, A], of the policy's type.

    Example:
        >>> from rlverify.enumeration import rational_policy
        >>> from rlverify.tabular_envs.environments import chain
        >>> even, half = rational_policy([[1, 1]] * 3), Fraction(1, 2)
        >>> undiscounted_field(chain(2), even, gamma=half, horizon=2)[1].tolist()
        [Fraction(-1, 8), Fraction(1, 8)]
        >>> true_gradient(chain(2), even, gamma=half, horizon=2)[1].tolist()
        [Fraction(-1, 16), Fraction(1, 16)]
    """
    exact = _checked(
        "undiscounted_field", mdp, policy, gamma=gamma, horizon=horizon, bootstrap=bootstrap
    )
    values, action_values = _backward(mdp, policy, gamma, horizon, bootstrap, exact)
    chances = lifted_entries(continuing_probabilities(mdp), exact)
    moves = np.einsum("ij,ijk->ik", policy, chances)
    visits, field = lifted_entries(mdp.start, exact), 0 * policy
    for t in range(horizon):
        advantages = action_values[t] - values[t][:, None]
        field = field + visits[:, None] * policy * advantages
        visits = visits @ moves
    return field
