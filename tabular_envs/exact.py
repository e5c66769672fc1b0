"""What a policy is worth in a finite MDP: exactly, by linear solves, without sampling.

Under a policy π [S, A] the process is a Markov chain with rewards. Write
P_π(s,s′) = Σₐ π(a|s) P(s′|s,a)·[not terminal] for its continuing part and r_π(s) for its
expected reward. Then values solve (I − γP_π) V = r_π, and the discounted visitation solves
the transposed system (I − γP_π)ᵀ d = start: one factorisation serves both. A terminal
transition pays its reward and continues with value 0.

The one identity to remember: ⟨start, V⟩ = J = ⟨d, r_π⟩, with d(s) = Σₜ γᵗ P(sₜ = s), which
is not normalised: it sums to 1/(1−γ) where nothing ends.

The same quantities of the first H steps stand in `finite_horizon`. Rounding is float64's.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.tabular_envs.finite_mdp import FiniteMDP, require_distributions, require_float64


class PolicyValues(NamedTuple):
    """Values of a policy; the horizon versions carry the time as first axis.

    Attributes:
        values: V(s), [S]; with a horizon [H+1, S], whose last row is the bootstrap.
        action_values: Q(s, a), [S, A]; with a horizon [H, S, A].
        advantages: Q(s, a) − V(s), shaped as `action_values`.
    """

    values: Float[np.ndarray, "... S"]
    action_values: Float[np.ndarray, "... S A"]
    advantages: Float[np.ndarray, "... S A"]


def check_call(function: str, mdp: Any, policy: Any, gamma: Any) -> None:
    """Refuse a call whose process, policy or discount is not what it should be."""
    if not isinstance(mdp, FiniteMDP):
        raise TypeError(f"{function}: mdp came as {type(mdp).__name__}, wanted a FiniteMDP.")
    arguments = Arguments(function, np.ndarray)
    arguments.floats("S A", policy=policy)
    if policy.shape != (mdp.states, mdp.actions):
        raise ValueError(
            f"{function}: policy has shape {policy.shape}, but mdp has {mdp.states} states and "
            f"{mdp.actions} actions; they must agree."
        )
    require_float64(function, policy=policy)
    require_distributions(function, "policy", policy)
    arguments.unit(gamma=gamma)


def continuing_probabilities(mdp: FiniteMDP) -> Float[np.ndarray, "S A S"]:
    """P(s′|s,a)·[not terminal], [S, A, S]; the flag selects, it does not multiply."""
    return np.where(mdp.terminal, 0.0, mdp.transition)


def expected_rewards(mdp: FiniteMDP) -> Float[np.ndarray, "S A"]:
    """Σₛ′ P(s′|s,a) r(s,a,s′), [S, A]."""
    return np.asarray(np.einsum("ijk,ijk->ij", mdp.transition, mdp.reward))


def _refuse_endless(function: str, mdp: FiniteMDP, policy: Float[np.ndarray, "S A"]) -> None:
    """Refuse γ = 1 where a state never reaches an end: exactly then I − P_π is singular."""
    possible = (policy[:, :, None] > 0) & (mdp.transition > 0)
    ending = (possible & mdp.terminal).any(axis=(1, 2))
    follows = (possible & ~mdp.terminal).any(axis=1)
    while True:
        grown = ending | (follows & ending).any(axis=1)
        if (grown == ending).all():
            break
        ending = grown
    if not ending.all():
        raise ValueError(
            f"{function}: gamma came as 1, but from state {int(np.argmin(ending))} the policy "
            f"never reaches an end, so its value is infinite or undefined; wanted gamma below 1."
        )


def _factorise(
    function: str, mdp: FiniteMDP, policy: Float[np.ndarray, "S A"], gamma: float
) -> tuple[Float[np.ndarray, "S S"], Any]:
    """LU factors of I − γ P_π."""
    if gamma == 1:
        _refuse_endless(function, mdp, policy)
    chain = np.einsum("ij,ijk->ik", policy, continuing_probabilities(mdp))
    with warnings.catch_warnings():
        # a zero pivot is refused below, in our own words
        warnings.simplefilter("ignore", scipy.linalg.LinAlgWarning)
        factors, pivots = scipy.linalg.lu_factor(np.eye(mdp.states) - float(gamma) * chain)
    if (np.diagonal(factors) == 0).any():
        raise ValueError(
            f"{function}: gamma came as {gamma}, with ends so rare that I − γP is singular in "
            f"float64; wanted a smaller gamma."
        )
    return factors, pivots


def _values(mdp: FiniteMDP, policy: Any, gamma: float, factors: Any) -> PolicyValues:
    rewards = expected_rewards(mdp)
    values = scipy.linalg.lu_solve(factors, (policy * rewards).sum(axis=1))
    action_values = rewards + float(gamma) * (continuing_probabilities(mdp) @ values)
    return PolicyValues(values, action_values, action_values - values[:, None])


def policy_values(
    mdp: FiniteMDP, policy: Float[np.ndarray, "S A"], *, gamma: float
) -> PolicyValues:
    """V, Q and advantage of a policy without horizon, by one linear solve.

        (I − γ P_π) V = r_π
        Q(s,a) = Σₛ′ P(s′|s,a) (r(s,a,s′) + γ·[not terminal]·V(s′))      A = Q − V

    Source: Puterman 1994, theorem 6.1.1; Sutton & Barto 2018, eq. 4.4.
    Ours: ends are flags of transitions, so γ = 1 is welcome where every state reaches an end.

    Args:
        mdp: the process.
        policy: probabilities π(a|s), float64 [S, A]; the rows sum to 1 up to 2·A roundings.
        gamma: discount in [0, 1].

    Returns:
        `values` [S], `action_values` [S, A], `advantages` [S, A], in the unit of the reward.

    Raises:
        TypeError: an argument is of another type or dtype.
        ValueError: shapes disagree, a row is no distribution, gamma lies outside [0, 1], or
            gamma is 1 and from some state the policy never reaches an end.

    Example:
        >>> import numpy as np
        >>> from rlverify.tabular_envs.environments import chain
        >>> always_on = np.tile([0.0, 1.0], (4, 1))
        >>> policy_values(chain(3), always_on, gamma=0.5).values
        array([0.25, 0.5 , 1.  , 0.  ])
    """
    check_call("policy_values", mdp, policy, gamma)
    return _values(mdp, policy, gamma, _factorise("policy_values", mdp, policy, gamma))


def visitation(
    mdp: FiniteMDP, policy: Float[np.ndarray, "S A"], *, gamma: float
) -> Float[np.ndarray, "S"]:
    """Discounted visitation d(s) = Σₜ γᵗ P(sₜ = s), not normalised, [S].

        (I − γ P_π)ᵀ d = start

    Source: Sutton et al. 2000, NeurIPS 12, §1, the definition of d^π; Sutton & Barto 2018, eq. 9.2.
    Args, Raises: those of `policy_values`.

    Returns:
        [S], in expected discounted steps; J = ⟨d, r_π⟩ and ∇J need no factor 1/(1−γ).

    Example:
        >>> import numpy as np
        >>> from rlverify.tabular_envs.environments import chain
        >>> visitation(chain(3), np.tile([0.0, 1.0], (4, 1)), gamma=0.5)
        array([1.  , 0.5 , 0.25, 0.  ])
    """
    check_call("visitation", mdp, policy, gamma)
    factors = _factorise("visitation", mdp, policy, gamma)
    return np.asarray(scipy.linalg.lu_solve(factors, mdp.start, trans=1))


def objective(mdp: FiniteMDP, policy: Float[np.ndarray, "S A"], *, gamma: float) -> float:
    """Expected discounted return from the start, J = Σₛ start(s) V(s).

    Source: Sutton et al. 2000, NeurIPS 12, the start-state formulation of §1.
    Args, Raises: those of `policy_values`.
    """
    check_call("objective", mdp, policy, gamma)
    factors = _factorise("objective", mdp, policy, gamma)
    return float(mdp.start @ _values(mdp, policy, gamma, factors).values)


def objective_gradient(
    mdp: FiniteMDP, policy: Float[np.ndarray, "S A"], *, gamma: float
) -> Float[np.ndarray, "S A"]:
    """Gradient of J in the logits of a softmax policy, by the policy gradient theorem.

        ∂J/∂θ(s,a) = d(s) π(a|s) A(s,a)        π(·|s) = softmax(θ(s,·))

    Source: Sutton et al. 2000, NeurIPS 12, theorem 1; with a softmax, Agarwal et al. 2021,
        JMLR 22(98), §5.
    Ours: d is not normalised, so there is no factor 1/(1−γ).
    Args, Raises: those of `policy_values`; `policy` holds the probabilities, not the logits.

    Returns:
        [S, A], in the unit of the reward; every row sums to 0 up to rounding.

    Example:
        >>> import numpy as np
        >>> from rlverify.tabular_envs.environments import two_button_game
        >>> even = np.full((2, 2), 0.5)
        >>> objective_gradient(two_button_game(bonus=100), even, gamma=1.0)[0]
        array([ 0.5, -0.5])
    """
    check_call("objective_gradient", mdp, policy, gamma)
    factors = _factorise("objective_gradient", mdp, policy, gamma)
    visits = scipy.linalg.lu_solve(factors, mdp.start, trans=1)
    advantages = _values(mdp, policy, gamma, factors).advantages
    return np.asarray(visits[:, None] * policy * advantages)
