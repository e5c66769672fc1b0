"""Off-policy problems in fractions, and what the returns of the suite give on all trajectories."""

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from finite_problems import policies
from rlverify.correction import Correction, OffPolicy
from rlverify.enumeration import enumerate_trajectories
from rlverify.reference.traces import off_policy_return
from rlverify.tabular_envs.finite_mdp import FiniteMDP
from rlverify.tabular_envs.garnet import garnet

SIZES = [(1, 2, 1), (2, 2, 2), (3, 2, 2), (2, 3, 1)]
eighths = st.integers(0, 8).map(lambda n: Fraction(n, 8))


@st.composite
def settings_of(draw, *, least=1, gammas=(0, Fraction(1, 2), Fraction(7, 8))):
    """Return process, π, μ and γ below 1; `least` is the least weight of an action under μ."""
    sizes, seed = draw(st.sampled_from(SIZES)), draw(st.integers(0, 2**32))
    mdp = garnet(*sizes, seed=seed, ending=draw(st.sampled_from([0.0, 0.25])))
    gamma = Fraction(draw(st.sampled_from(gammas)))
    return OffPolicy(mdp, draw(policies(mdp)), draw(policies(mdp, least)), gamma)


@st.composite
def tables(draw, shape):
    """Return an array of eighths."""
    size = int(np.prod(shape))
    entries = draw(st.lists(st.integers(-24, 24), min_size=size, max_size=size))
    return np.array([Fraction(n, 8) for n in entries], dtype=object).reshape(shape)


@st.composite
def shares(draw, shape):
    """Return an array of eighths in [0, 1]."""
    size = int(np.prod(shape))
    found = draw(st.lists(eighths, min_size=size, max_size=size))
    return np.array(found, dtype=object).reshape(shape)


def q_form(where, trust, **more):
    """Return the Q-form with the given coefficients."""
    one = where.number(1) + 0 * where.policy
    return Correction("q", "", "", trust, **{"carried": one, "weight": one, **more})


def trajectories(where, steps, state):
    """Every trajectory that begins in a state."""
    mdp = where.mdp
    begins = np.eye(mdp.states)[state]
    alike = FiniteMDP(mdp.transition, mdp.reward, mdp.terminal, begins)
    return enumerate_trajectories(alike, where.policy, horizon=steps, behaviour=where.behaviour)


def given_action(where, found, action):
    """Which trajectories begin with an action, and their probabilities given it."""
    met = found.actions[0] == action
    return met, found.probabilities[met] / where.behaviour[found.states[0, 0], action]


def returned(where, found, trust, table, *, of_v=False):
    """Targets of the suite's own return for the first step of each trajectory, in fractions.

    With `of_v` errors are those of V, as in the notes.
    """
    values = (where.policy * table).sum(axis=1)
    here, entered = found.states[:-1], found.states[1:]
    base = values[here] if of_v else table[here, found.actions]
    weights = trust if trust.shape == found.mask.shape else trust[here, found.actions]
    return off_policy_return(
        found.rewards, base, values[entered], weights, found.terminated, found.truncated,
        gamma=where.gamma,
    )[0]  # fmt: skip
