"""Small processes in exact arithmetic, and what estimators of their gradients are made of.

Everything is a `Fraction`: the entries of the processes are dyadic, policies are softmaxes of
logarithms of integers. Steps that were not taken contribute nothing, whatever stands there.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from finite_problems import GAMMAS, policies
from rlverify.enumeration import enumerate_trajectories
from rlverify.expectation import exact_expectation
from rlverify.reference.score_function import reinforce_weights
from rlverify.tabular_envs.finite_mdp import FiniteMDP
from rlverify.tabular_envs.garnet import garnet

SIZES = [(1, 2, 1), (2, 2, 2), (3, 2, 2), (2, 3, 1)]
some = settings(max_examples=settings.default.max_examples // 2)  # a case is a whole process
numbers = st.integers(-24, 24).map(lambda n: Fraction(n, 8))


class Problem(NamedTuple):
    """A process, the policy whose gradient is wanted, one that acts, a discount, a horizon."""

    mdp: FiniteMDP
    policy: np.ndarray
    behaviour: np.ndarray
    gamma: Fraction
    horizon: int

    @property
    def every(self):
        """Every trajectory under the policy."""
        return enumerate_trajectories(self.mdp, self.policy, horizon=self.horizon)

    def expectation(self, estimates):
        """Mean and covariance of estimates [N, P] of every trajectory."""
        return exact_expectation(lambda _: estimates, self.mdp, self.policy, horizon=self.horizon)


@st.composite
def problems(draw, gammas=GAMMAS, horizon=3, endings=(0.0, 0.25, 1.0)):
    """Return a random process and two policies that take every action."""
    sizes = draw(st.sampled_from(SIZES))
    seed, ending = draw(st.integers(0, 2**32)), draw(st.sampled_from(endings))
    mdp = garnet(*sizes, seed=seed, ending=ending)
    return Problem(
        mdp,
        draw(policies(mdp, 1)),
        draw(policies(mdp, 1)),
        draw(gammas),
        draw(st.integers(1, horizon)),
    )


def deterministic(moves, start=(1,)):
    """Build a process from {(state, action): (next state, reward, ends)}; the rest ends with 0."""
    states = 1 + max(max(s, to) for (s, _), (to, _, _) in moves.items())
    actions = 1 + max(a for _, a in moves)
    shape = (states, actions, states)
    transition, reward, terminal = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=bool)
    for s, a in np.ndindex(states, actions):
        to, r, ends = moves.get((s, a), (s, 0, True))
        transition[s, a, to], reward[s, a, to], terminal[s, a, to] = 1, r, ends
    padded = np.zeros(states)
    padded[: len(start)] = start
    return FiniteMDP(transition, reward, terminal, padded)


def powers(found, gamma):
    """γᵗ, [H, 1]."""
    return np.array([gamma**t for t in range(len(found.mask))])[:, None]


def reinforce(found, gamma, *, to_go, discount_states):
    """Weights of the suite's own REINFORCE, [H, N]."""
    return reinforce_weights(
        found.rewards,
        found.terminated,
        found.truncated,
        np.zeros(found.mask.shape[1], dtype=np.int64),
        gamma=gamma,
        to_go=to_go,
        discount_states=discount_states,
    )


def total_returns(found, gamma):
    """Σ γᵗ rₜ at every step, [H, N]."""
    return reinforce(found, gamma, to_go=False, discount_states=False)


def returns_to_go(found, gamma):
    """Σ_{k≥t} γᵏ⁻ᵗ rₖ, [H, N]."""
    return reinforce(found, gamma, to_go=True, discount_states=False)


def step_scores(found, policy):
    """∂log π(aₜ|sₜ)/∂θ of a softmax for each step, 0 where none was taken, [H, N, S·A]."""
    steps, count = found.mask.shape
    result = np.full((steps, count, *policy.shape), Fraction(0), dtype=object)
    for t, n in zip(*np.nonzero(found.mask), strict=True):
        state = found.states[t, n]
        result[t, n, state] = -policy[state]
        result[t, n, state, found.actions[t, n]] += 1
    return result.reshape(steps, count, -1)


def weighted(weights, scores):
    """Σₜ wₜ ∂log π(aₜ|sₜ), [N, P]."""
    return (weights[..., None] * scores).sum(axis=0)


def at_states(table, found):
    """Look up a table [S] at the states of the steps, [H, N]."""
    return table[found.states[:-1]]


def column(*entries):
    """An array of fractions."""
    return np.array([Fraction(x) for x in entries], dtype=object)
