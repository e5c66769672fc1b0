"""Small processes, policies and discounts, drawn as dyadic numbers; shared by several tests."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from rlverify.enumeration import rational_policy
from rlverify.tabular_envs.garnet import garnet

SIZES = [(1, 1, 1), (2, 2, 2), (3, 2, 2), (2, 3, 1), (3, 1, 3)]
GAMMAS = st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(7, 8), Fraction(1)])


@st.composite
def policies(draw, mdp, least=0):
    """Integer weights that sum to 16 in every row, as a rational policy."""
    rows = []
    for _ in range(mdp.states):
        free = 16 - least * mdp.actions
        inner = st.lists(st.integers(0, free), min_size=mdp.actions - 1, max_size=mdp.actions - 1)
        ends = [0, *sorted(draw(inner)), free]
        rows.append([b - a + least for a, b in pairwise(ends)])
    return rational_policy(rows)


@st.composite
def problems(draw, least=0, horizon=3, *, sizes=SIZES, gammas=GAMMAS, shortest=1):
    """Return a process, a policy, a behaviour policy that covers it, discount and horizon."""
    shape, seed = draw(st.sampled_from(sizes)), draw(st.integers(0, 2**32))
    mdp = garnet(*shape, seed=seed, ending=draw(st.sampled_from([0.0, 0.25, 1.0])))
    policy, behaviour = draw(policies(mdp, least)), draw(policies(mdp, 1))
    return mdp, policy, behaviour, draw(gammas), draw(st.integers(shortest, horizon))


def telling_problems(horizon=3):
    """Problems in which little is 0: several states and actions, γ inside, several steps."""
    return problems(
        1,
        horizon,
        sizes=[(2, 2, 2), (3, 2, 2), (2, 3, 1)],
        gammas=st.sampled_from([Fraction(1, 2), Fraction(7, 8)]),
        shortest=2,
    )


def floating(array):
    return array.astype(np.float64)


def even(mdp):
    return rational_policy([[1] * mdp.actions] * mdp.states)
