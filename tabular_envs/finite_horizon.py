"""What a policy is worth in the first H steps of a finite MDP: exactly, by recursion.

The values run backward in time and the visitation forward; both carry the time t as first
axis, for with t steps gone only H − t remain. What the state at the horizon is worth is the
argument `bootstrap`: zero when the horizon is the end, a value function when the horizon
merely cuts the recording, as a time limit does.

The one identity to remember: with the exact V as bootstrap, every row of `values` is V.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.tabular_envs.exact import (
    PolicyValues,
    check_call,
    continuing_probabilities,
    expected_rewards,
)
from rlverify.tabular_envs.finite_mdp import FiniteMDP, require_float64


def _check(
    function: str, mdp: Any, policy: Any, *, gamma: Any, horizon: Any, bootstrap: Any = None
) -> None:
    check_call(function, mdp, policy, gamma)
    arguments = Arguments(function, np.ndarray)
    arguments.count("horizon", horizon, least=1)
    if bootstrap is not None:
        arguments.floats("S", bootstrap=bootstrap)
        if bootstrap.shape != (mdp.states,):
            raise ValueError(
                f"{function}: bootstrap has shape {bootstrap.shape}, but mdp has "
                f"{mdp.states} states; they must agree."
            )
        require_float64(function, bootstrap=bootstrap)


def _values(mdp: FiniteMDP, policy: Any, gamma: Any, horizon: int, bootstrap: Any) -> PolicyValues:
    rewards = expected_rewards(mdp)
    discounted = float(gamma) * continuing_probabilities(mdp)
    values = np.zeros((horizon + 1, mdp.states))
    action_values = np.empty((horizon, mdp.states, mdp.actions))
    if bootstrap is not None:
        values[horizon] = bootstrap
    for t in reversed(range(horizon)):
        action_values[t] = rewards + discounted @ values[t + 1]
        values[t] = (policy * action_values[t]).sum(axis=1)
    return PolicyValues(values, action_values, action_values - values[:-1, :, None])


def _visitation(mdp: FiniteMDP, policy: Any, gamma: Any, horizon: int) -> Any:
    chain = np.einsum("ij,ijk->ik", policy, continuing_probabilities(mdp))
    visits = np.empty((horizon, mdp.states))
    visits[0] = mdp.start
    for t in range(1, horizon):
        visits[t] = float(gamma) * (visits[t - 1] @ chain)
    return visits


def horizon_values(
    mdp: FiniteMDP,
    policy: Float[np.ndarray, "S A"],
    *,
    gamma: float,
    horizon: int,
    bootstrap: Float[np.ndarray, "S"] | None = None,
) -> PolicyValues:
    """V, Q and advantage at each time t of a process that stops after H steps.

        V_H(s)   = bootstrap(s)
        Q_t(s,a) = Σₛ′ P(s′|s,a) (r(s,a,s′) + γ·[not terminal]·V_{t+1}(s′))
        V_t(s)   = Σₐ π(a|s) Q_t(s,a)

    Source: Puterman 1994, §4.2, the policy evaluation algorithm for a finite horizon.

    Args:
        mdp: the process.
        policy: probabilities π(a|s), float64 [S, A], the same at every time.
        gamma: discount in [0, 1].
        horizon: number of steps H, at least 1.
        bootstrap: worth of the state at the horizon, [S]; None is zero.

    Returns:
        `values` [H+1, S], `action_values` [H, S, A], `advantages` [H, S, A].

    Raises:
        TypeError: an argument is of another type or dtype.
        ValueError: shapes disagree, a row is no distribution, or gamma or horizon lies
            outside its range.

    Example:
        >>> import numpy as np
        >>> from rlverify.tabular_envs.environments import chain
        >>> horizon_values(chain(2), np.tile([0.0, 1.0], (3, 1)), gamma=0.5, horizon=2).values
        array([[0.5, 1. , 0. ],
               [0. , 1. , 0. ],
               [0. , 0. , 0. ]])
    """
    _check("horizon_values", mdp, policy, gamma=gamma, horizon=horizon, bootstrap=bootstrap)
    return _values(mdp, policy, gamma, horizon, bootstrap)


def horizon_visitation(
    mdp: FiniteMDP, policy: Float[np.ndarray, "S A"], *, gamma: float, horizon: int
) -> Float[np.ndarray, "H S"]:
    """Discounted visitation at each time, dₜ(s) = γᵗ P(sₜ = s), [H, S].

        d₀ = start        dₜ₊₁ = γ P_πᵀ dₜ

    Source: Sutton et al. 2000, NeurIPS 12, §1, the summands of d^π.
    Args, Raises: those of `horizon_values`.
    """
    _check("horizon_visitation", mdp, policy, gamma=gamma, horizon=horizon)
    return np.asarray(_visitation(mdp, policy, gamma, horizon))


def horizon_objective(
    mdp: FiniteMDP,
    policy: Float[np.ndarray, "S A"],
    *,
    gamma: float,
    horizon: int,
    bootstrap: Float[np.ndarray, "S"] | None = None,
) -> float:
    """Expected discounted return of the first H steps, J = Σₛ start(s) V₀(s).

        J = E[ Σ_{t<H} γᵗ rₜ + γᴴ·[not ended]·bootstrap(s_H) ]

    Source: Puterman 1994, §4.1.
    Args, Raises: those of `horizon_values`.
    """
    _check("horizon_objective", mdp, policy, gamma=gamma, horizon=horizon, bootstrap=bootstrap)
    return float(mdp.start @ _values(mdp, policy, gamma, horizon, bootstrap).values[0])


def horizon_gradient(
    mdp: FiniteMDP,
    policy: Float[np.ndarray, "S A"],
    *,
    gamma: float,
    horizon: int,
    bootstrap: Float[np.ndarray, "S"] | None = None,
) -> Float[np.ndarray, "S A"]:
    """Gradient of the J of `horizon_objective` in the logits of a softmax policy.

        ∂J/∂θ(s,a) = Σₜ dₜ(s) π(a|s) A_t(s,a)        π(·|s) = softmax(θ(s,·)) at every t

    Source: Sutton et al. 2000, NeurIPS 12, theorem 1, its proof stopped after H steps.
    Ours: the bootstrap is a constant: no gradient flows through it.
    Args, Raises: those of `horizon_values`; `policy` holds the probabilities.

    Returns:
        [S, A], in the unit of the reward; every row sums to 0 up to rounding.

    Example:
        >>> import numpy as np
        >>> from rlverify.tabular_envs.environments import two_button_game
        >>> horizon_gradient(two_button_game(), np.full((2, 2), 0.5), gamma=1.0, horizon=3)[0]
        array([ 0.5, -0.5])
    """
    _check("horizon_gradient", mdp, policy, gamma=gamma, horizon=horizon, bootstrap=bootstrap)
    advantages = _values(mdp, policy, gamma, horizon, bootstrap).advantages
    visits = _visitation(mdp, policy, gamma, horizon)
    return np.asarray(policy * np.einsum("ij,ijk->jk", visits, advantages))
