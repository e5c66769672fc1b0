"""The situation in which estimators are judged: process, policies, discount, critic, horizon.

A situation says all that an estimator's expectation depends on. Its numbers are fractions where
its policies are, and then every answer is exact.

The horizon is the end of the episode, so that nothing follows the last step (its flag is
`terminated`); with `bootstrap` it is a time limit instead, and what follows the last step is
worth what the critic says (its flag is `truncated`). The objective counts accordingly, so an
estimator that treats its flags rightly has no bias either way.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from rlverify.enumeration import Trajectories, enumerate_trajectories, weighted_scores
from rlverify.tabular_envs.exact import PolicyValues
from rlverify.tabular_envs.finite_mdp import FiniteMDP
from rlverify.valuation import (
    lasting_values,
    true_gradient,
    true_objective,
    true_values,
    undiscounted_field,
)


@dataclass(frozen=True, eq=False)
class Situation:
    """What an estimator's expectation depends on.

    Attributes:
        mdp: the process.
        policy: target policy, [S, A], float64 or `Fraction` objects.
        behaviour: policy that acts, like `policy`; None is `policy`.
        gamma: discount γ in [0, 1].
        lam: λ of the advantages in [0, 1].
        horizon: number of steps H.
        batch: number N of trajectories in a batch, for estimators that couple it.
        error: what the critic is wrong by, [S] or [H+1, S]; None: it is the exact V.
        table: the critic itself, [S] or [H+1, S]; None: the exact V, plus `error`.
        bootstrap: whether the horizon is a time limit, and the critic counts for what follows.
        words: how the parts were named, for messages.
    """

    mdp: FiniteMDP
    policy: Float[np.ndarray, "S A"]
    behaviour: Float[np.ndarray, "S A"] | None
    gamma: Any
    lam: Any
    horizon: int
    batch: int
    error: Any = None
    table: Any = None
    bootstrap: bool = False
    words: tuple[tuple[str, str], ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the numbers are fractions."""
        return self.policy.dtype == object

    def floating(self) -> "Situation":
        """Return the same situation in float64."""

        def rounded(array: Any) -> Any:
            return None if array is None else np.asarray(array).astype(np.float64)

        return Situation(
            self.mdp,
            rounded(self.policy),
            rounded(self.behaviour),
            float(self.gamma),
            float(self.lam),
            self.horizon,
            self.batch,
            rounded(self.error),
            rounded(self.table),
            self.bootstrap,
            self.words,
        )

    def number(self, value: Any) -> Any:
        """Return a number in this situation's arithmetic."""
        return Fraction(value) if self.exact else float(value)

    @cached_property
    def critic(self) -> Float[np.ndarray, "H+1 S"]:
        """V at every time, [H+1, S]; the last row follows the horizon."""
        shape = (self.horizon + 1, self.mdp.states)
        if self.table is not None:
            return np.broadcast_to(self.table, shape)
        if self.bootstrap:
            lasting = lasting_values(self.mdp, self.policy, gamma=self.gamma)
            values = np.broadcast_to(lasting, shape)
        else:
            values = self._worth(None).values
        return values if self.error is None else values + self.error

    @property
    def final(self) -> Any:
        """What the objective counts for the state at the horizon, [S]; None for nothing."""
        return np.array(self.critic[-1]) if self.bootstrap else None

    def _worth(self, final: Any) -> PolicyValues:
        return true_values(
            self.mdp, self.policy, gamma=self.gamma, horizon=self.horizon, bootstrap=final
        )

    @cached_property
    def worth(self) -> PolicyValues:
        """V, Q and advantage of the policy at every time, whatever the critic says."""
        return self._worth(self.final)

    @cached_property
    def objective(self) -> Any:
        """J of the policy."""
        return true_objective(self.mdp, self.policy, **self._asked)

    @cached_property
    def gradient(self) -> Float[np.ndarray, "P"]:
        """∇J, flattened."""
        return true_gradient(self.mdp, self.policy, **self._asked).ravel()

    @cached_property
    def field(self) -> Float[np.ndarray, "P"]:
        """The field without γᵗ, flattened."""
        return undiscounted_field(self.mdp, self.policy, **self._asked).ravel()

    @cached_property
    def undiscounted(self) -> Float[np.ndarray, "P"]:
        """∇J at γ = 1, flattened."""
        asked = {**self._asked, "gamma": self.number(1)}
        return true_gradient(self.mdp, self.policy, **asked).ravel()

    @property
    def _asked(self) -> dict[str, Any]:
        return {"gamma": self.gamma, "horizon": self.horizon, "bootstrap": self.final}

    @cached_property
    def trajectories(self) -> Trajectories:
        """Every trajectory of the policy that acts."""
        return enumerate_trajectories(
            self.mdp, self.policy, horizon=self.horizon, behaviour=self.behaviour
        )

    @cached_property
    def recorded(self) -> "Recorded":
        """Every trajectory, with what an estimator is given beside it."""
        return Recorded(self, self.trajectories)


@dataclass(frozen=True, eq=False)
class Recorded:
    """Trajectories side by side, with values and flags; all arrays are [H, N].

    Attributes:
        situation: they were recorded in.
        found: the trajectories.
    """

    situation: Situation
    found: Trajectories

    def select(self, columns: Any) -> "Recorded":
        """Return some of the columns."""
        return Recorded(self.situation, self.found.select(columns))

    @property
    def steps(self) -> int:
        """H."""
        return int(self.found.mask.shape[0])

    @cached_property
    def powers(self) -> Any:
        """γᵗ, [H, 1]."""
        gamma, one = self.situation.gamma, self.situation.number(1)
        return np.array([one * gamma**t for t in range(self.steps)])[:, None]

    @cached_property
    def values(self) -> Any:
        """What the critic says of sₜ."""
        return self._said(self.found.states[:-1], 0)

    @cached_property
    def next_values(self) -> Any:
        """What the critic says of the state that step t led to, also where the episode ended."""
        return self._said(self.found.states[1:], 1)

    def _said(self, states: Any, ahead: int) -> Any:
        rows = np.arange(self.steps)[:, None] + ahead
        return self.situation.critic[rows, states]

    @cached_property
    def terminated(self) -> Bool[np.ndarray, "H N"]:
        """Nothing follows this step."""
        cut = self.situation.bootstrap
        return self.found.terminated if cut else self.found.terminated | self.found.truncated

    @cached_property
    def truncated(self) -> Bool[np.ndarray, "H N"]:
        """The recording was cut after this step, and the critic says what follows is worth."""
        cut = self.situation.bootstrap
        return self.found.truncated if cut else np.zeros_like(self.found.truncated)

    @cached_property
    def following(self) -> Any:
        """What the critic says follows step t: V(sₜ₊₁), 0 where the episode ended."""
        goes_on = self.found.mask & ~self.terminated
        return np.where(goes_on, self.next_values, self.situation.number(0))

    def accumulated(self, terms: Any, decay: Any, final: Any = None) -> Any:
        """Return y_t = x_t + decay · y_{t+1}, where y_H is `final`."""
        result = np.empty_like(terms)
        after = np.full_like(terms[0], self.situation.number(0)) if final is None else final
        for t in reversed(range(self.steps)):
            after = result[t] = terms[t] + decay * after
        return result

    @cached_property
    def returns(self) -> Any:
        """G_t = Σ_{k≥t} γᵏ⁻ᵗ rₖ, with what the critic says of a state at a time limit."""
        # padding pays 0, so that only a trajectory of full length reaches the last row
        final = np.where(self.truncated[-1], self.next_values[-1], self.situation.number(0))
        return self.accumulated(self.found.rewards, self.situation.gamma, final)

    @cached_property
    def totals(self) -> Any:
        """The return of the whole trajectory at each of its steps."""
        return np.broadcast_to(self.returns[0], self.returns.shape)

    @cached_property
    def errors(self) -> Any:
        """δ_t = r_t + γ V(s_{t+1}) − V(s_t), 0 in the padding."""
        errors = self.found.rewards + self.situation.gamma * self.following - self.values
        return np.where(self.found.mask, errors, self.situation.number(0))

    @cached_property
    def advantages(self) -> Any:
        """Generalised advantage estimates, Â_t = δ_t + γ λ Â_{t+1}."""
        return self.accumulated(self.errors, self.situation.gamma * self.situation.lam)

    @cached_property
    def ratios_so_far(self) -> Any:
        """Π_{k≤t} π/b."""
        return np.multiply.accumulate(self.found.ratios, axis=0)

    def weighted(self, weights: Any) -> Any:
        """Σₜ wₜ ∂log π(aₜ|sₜ)/∂θ of each trajectory, [N, P]."""
        whole = np.broadcast_to(weights, self.found.mask.shape)
        return weighted_scores(self.found, self.situation.policy, np.array(whole))
