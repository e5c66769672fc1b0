"""Every trajectory of a finite process with a horizon, together with its probability.

A branch is one (action, next state) of positive probability in a state. The tree of all
trajectories grows level by level: each level repeats the trajectories by the number of their
branches and remembers, for each child, its parent and the branch taken. Walking back over the
parents at the end gives one table [H, N] of branches, and every field is looked up in it. An
episode that ended goes on through one branch of probability 1, the padding: `mask` is False
there, actions and rewards are 0, and the state stays the one that was entered last.

Axes are time-major: H steps, N trajectories. Numbers are float64, or `fractions.Fraction`
objects where the policy is made of them; then nothing is rounded, and the entries of the
process are taken as the fractions that they are.

The one identity to remember: Σₙ Pₙ f(τₙ) = E f(τ), for any function f of a trajectory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.rationalization import lifted_entries, rational_policy, require_policy
from rlverify.tabular_envs.finite_mdp import FiniteMDP

__all__ = [
    "Estimate",
    "Trajectories",
    "enumerate_trajectories",
    "enumerated",
    "per_trajectory",
    "rational_policy",
    "weighted_scores",
]

Estimate = Callable[["Trajectories"], Any]  # what it gives is checked where it is used

STEPS = 10_000_000  # of all trajectories together; some 50 bytes each


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Trajectories side by side; numbers are float64 or `Fraction` objects.

    Attributes:
        states: s₀ to s_H, [H+1, N]; row t+1 is what step t led to, also where it ended there.
        actions: [H, N].
        rewards: [H, N].
        terminated: the process ended with this step, [H, N].
        truncated: the horizon cut the trajectory after this step, [H, N].
        mask: the step was taken; False is padding after an end, [H, N].
        ratios: π(a|s) / b(a|s) of target and behaviour policy, 1 in the padding, [H, N].
        probabilities: of the whole trajectory under the behaviour policy, [N].
    """

    states: Int[np.ndarray, "H+1 N"]
    actions: Int[np.ndarray, "H N"]
    rewards: Float[np.ndarray, "H N"]
    terminated: Bool[np.ndarray, "H N"]
    truncated: Bool[np.ndarray, "H N"]
    mask: Bool[np.ndarray, "H N"]
    ratios: Float[np.ndarray, "H N"]
    probabilities: Float[np.ndarray, "N"]

    @property
    def exact(self) -> bool:
        """Whether the numbers are fractions."""
        return self.probabilities.dtype == object

    @property
    def log_ratios(self) -> Float[np.ndarray, "H N"]:
        """Logarithms of `ratios`, −∞ where the target policy never acts so, [H, N]."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.ratios.astype(np.float64)))

    def select(self, columns: Sequence[int]) -> "Trajectories":
        """Return some trajectories, in the given order; a column may come twice."""
        index = list(columns)
        return Trajectories(*(getattr(self, field.name)[..., index] for field in fields(self)))

    def single(self, column: int) -> "Trajectories":
        """Return one trajectory without its padding, [T, 1] with T ≤ H."""
        steps = int(self.mask[:, column].sum())
        one = self.select([column])
        rows = {"states": steps + 1, "probabilities": 1}
        return Trajectories(
            *(getattr(one, field.name)[: rows.get(field.name, steps)] for field in fields(one))
        )


class _Branches(NamedTuple):
    """One row for each (s, a, s′) that can happen, sorted by s; the last row is the padding."""

    first: np.ndarray  # of each state's rows; the state after the last is "over"
    fan: np.ndarray  # how many they are
    action: np.ndarray
    entered: np.ndarray
    follows: np.ndarray  # what the next level continues from: `entered`, or "over"
    terminal: np.ndarray
    reward: np.ndarray
    probability: np.ndarray
    ratio: np.ndarray


def _branches(mdp: FiniteMDP, policy: Any, behaviour: Any, exact: bool) -> _Branches:
    over = mdp.states
    state, action, entered = at = np.nonzero((behaviour[:, :, None] > 0) & (mdp.transition > 0))
    terminal = mdp.terminal[at]
    fan = np.append(np.bincount(state, minlength=over), 1)
    # fractions, for an integer divided by anything would be a float
    nothing: Any = Fraction(0) if exact else 0.0
    chance = behaviour[state, action] * lifted_entries(mdp.transition[at], exact)
    return _Branches(
        first=np.cumsum(fan) - fan,
        fan=fan,
        action=np.append(action, 0),
        entered=np.append(entered, 0),
        follows=np.append(np.where(terminal, over, entered), over),
        terminal=np.append(terminal, False),
        reward=np.append(lifted_entries(mdp.reward[at], exact), nothing),
        probability=np.append(chance, nothing + 1),
        ratio=np.append(policy[state, action] / behaviour[state, action], nothing + 1),
    )


def enumerate_trajectories(
    mdp: FiniteMDP,
    policy: Float[np.ndarray, "S A"],
    *,
    horizon: int,
    behaviour: Float[np.ndarray, "S A"] | None = None,
    limit: int = STEPS,
) -> Trajectories:
    """Every trajectory of the first H steps that has a positive probability.

        P(τ) = start(s₀) Πₜ b(aₜ|sₜ) P(sₜ₊₁|sₜ,aₜ)        over the steps t that were taken

    Source: Sutton & Barto 2018, §5.5, the probability of a trajectory.
    Ours: where b never takes an action that π takes, those trajectories are missing, as they
        are from any sample; importance weighting is biased there, and the sum shows by how much.

    Each probability carries at most 2·H roundings; in exact arithmetic there are none.

    Args:
        mdp: the process.
        policy: target policy π(a|s), [S, A], float64 or `Fraction` objects; the same at all t.
        horizon: number of steps H, at least 1; what has not ended by then is truncated.
        behaviour: policy b that acts, like `policy`; None is `policy`.
        limit: largest H·N.

    Returns:
        The trajectories, in lexicographic order of (s₀, a₀, s₁, a₁, …).

    Raises:
        TypeError: an argument is of another type or dtype.
        ValueError: shapes disagree, a row is no distribution (in exact arithmetic: does not
            sum to exactly 1), horizon is below 1, or H·N exceeds the limit.

    Example:
        >>> import numpy as np
        >>> from rlverify.tabular_envs.environments import chain
        >>> found = enumerate_trajectories(chain(1), np.full((2, 2), 0.5), horizon=2)
        >>> found.actions.T.tolist(), found.probabilities.tolist()
        ([[0, 0], [0, 1], [1, 0]], [0.25, 0.25, 0.5])
        >>> found.mask.T.tolist()
        [[True, True], [True, True], [True, False]]
    """
    return enumerated(
        "enumerate_trajectories", mdp, policy, horizon=horizon, behaviour=behaviour, limit=limit
    )


def enumerated(
    function: str,
    mdp: FiniteMDP,
    policy: Float[np.ndarray, "S A"],
    *,
    horizon: int,
    behaviour: Float[np.ndarray, "S A"] | None,
    limit: int,
) -> Trajectories:
    """`enumerate_trajectories` for a function whose name every refusal then begins with."""
    behaviour = policy if behaviour is None else behaviour
    exact = require_policy(function, mdp, policy=policy, behaviour=behaviour)
    arguments = Arguments(function, np.ndarray)
    arguments.count("horizon", horizon, least=1)
    arguments.count("limit", limit, least=1)

    table = _branches(mdp, policy, behaviour, exact)
    here = starts = np.flatnonzero(mdp.start > 0)
    probabilities = lifted_entries(mdp.start[starts], exact)
    parents, taken = [], []
    for _ in range(horizon):
        fan = table.fan[here]
        ends = np.cumsum(fan)
        if int(ends[-1]) * int(horizon) > limit:
            raise ValueError(
                f"{function}: horizon came as {horizon}, with at least {int(ends[-1])} "
                f"trajectories, wanted at most {limit} steps in all of them together; pass a "
                f"shorter horizon, a smaller process or a larger limit."
            )
        parent = np.repeat(np.arange(here.size), fan)
        branch = np.arange(int(ends[-1])) + np.repeat(table.first[here] - (ends - fan), fan)
        probabilities = probabilities[parent] * table.probability[branch]
        here = table.follows[branch]
        parents.append(parent)
        taken.append(branch)

    steps = np.empty((horizon, here.size), dtype=np.intp)
    index = np.arange(here.size)
    for t in reversed(range(horizon)):
        steps[t] = taken[t][index]
        index = parents[t][index]

    mask = steps < table.action.size - 1
    terminated = table.terminal[steps]
    truncated = np.zeros_like(mask)
    truncated[-1] = mask[-1] & ~terminated[-1]
    states = np.empty((horizon + 1, here.size), dtype=np.intp)
    states[0] = starts[index]
    states[1:] = table.entered[steps]
    for t in range(horizon):
        np.copyto(states[t + 1], states[t], where=~mask[t])
    return Trajectories(
        states,
        table.action[steps],
        table.reward[steps],
        terminated,
        truncated,
        mask,
        table.ratio[steps],
        probabilities,
    )


def weighted_scores(
    trajectories: Trajectories, policy: Float[np.ndarray, "S A"], weights: Float[np.ndarray, "H N"]
) -> Float[np.ndarray, "N P"]:
    """Scores of a softmax policy in its logits, weighted and summed over each trajectory.

        Σₜ wₜ ∂log π(aₜ|sₜ)/∂θ        ∂log π(a|s)/∂θ(s,b) = [a = b] − π(b|s)

    Source: Williams 1992, Machine Learning 8, §4, the characteristic eligibility; for a softmax,
        Sutton & Barto 2018, eq. 13.9 (exercise 13.3).

    Args:
        trajectories: of the process; padding contributes nothing, whatever its weight.
        policy: probabilities π(a|s), [S, A], float64 or `Fraction` objects.
        weights: [H, N]; with Σ_{k≥t} γᵏ rₖ this is REINFORCE with reward-to-go.

    Returns:
        [N, S·A], logit (s, a) at index s·A + a.

    Raises:
        TypeError: an argument is of another type or dtype.
        ValueError: weights are not shaped as the trajectories, or policy lacks a state or action.
    """
    function = "weighted_scores"
    _require_trajectories(function, trajectories)
    Arguments(function, np.ndarray, exact=True).floats("S A", policy=policy)
    Arguments(function, np.ndarray, exact=True).floats("H N", weights=weights)
    if weights.shape != trajectories.mask.shape:
        raise ValueError(
            f"{function}: weights has shape {weights.shape}, but trajectories has shape "
            f"{trajectories.mask.shape}; they must agree."
        )
    states, actions = policy.shape
    if trajectories.states.max() >= states or trajectories.actions.max() >= actions:
        raise ValueError(
            f"{function}: policy came with shape {policy.shape}, wanted a row for every state "
            f"and a column for every action of the trajectories."
        )
    exact = trajectories.exact
    dtype = object if exact else np.result_type(policy, weights)
    # a fraction, for an integer zero divided by anything would be a float
    zero = Fraction(0) if exact else 0.0
    scores = np.full((trajectories.probabilities.size, states, actions), zero, dtype=dtype)
    for t in range(trajectories.mask.shape[0]):
        real = np.flatnonzero(trajectories.mask[t])
        at, weight = trajectories.states[t, real], weights[t, real]
        scores[real, at] -= weight[:, None] * policy[at]
        scores[real, at, trajectories.actions[t, real]] += weight
    return scores.reshape(scores.shape[0], -1)


def per_trajectory(function: Estimate) -> Estimate:
    """Make an estimator of many trajectories from one of a single trajectory.

        ĝ(τ₁…τ_N)ₙ = function(τₙ)

    Source: none; a loop.

    Args:
        function: takes `Trajectories` of one trajectory without padding, [T, 1], gives [P].

    Returns:
        An estimator for `exact_expectation`, as fast as `function` is in a loop.

    Raises:
        TypeError: function cannot be called.
    """
    if not callable(function):
        raise TypeError(
            f"per_trajectory: function came as {type(function).__name__}, wanted a function."
        )

    def estimate(trajectories: Trajectories) -> Any:
        count = trajectories.probabilities.size
        return np.stack([function(trajectories.single(n)) for n in range(count)])

    return estimate


def _require_trajectories(function: str, trajectories: Any) -> None:
    if not isinstance(trajectories, Trajectories):
        raise TypeError(
            f"{function}: trajectories came as {type(trajectories).__name__}, wanted Trajectories."
        )
