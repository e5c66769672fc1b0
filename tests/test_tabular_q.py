"""Tables and grids: the contract tests, and what only these functions have."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from rlverify.fast import tabular_q as fast
from rlverify.reference import tabular_q as reference
from rlverify.tabular_envs.environments import chain, chain_values
from support import *  # noqa: F403

TOPIC = "tabular_q"
TWINS = pytest.mark.parametrize("twin", [reference, fast], ids=["reference", "fast"])


def arrays(twin, *values):
    """Return values as the twin takes them."""
    make = np.array if twin is reference else torch.tensor
    return [make(value) for value in values]


def test_a_share_of_one_over_k_keeps_the_mean():
    """With step size 1/k in the k-th visit an entry is the mean of its targets, exactly."""
    table, zero = np.array([[Fraction(7)]], dtype=object), np.array([0])
    rewards = [Fraction(number) for number in (3, 8, -2, 5)]
    for k, reward in enumerate(rewards, start=1):
        table = reference.tabular_q_update(
            table, zero, zero, np.array([reward], dtype=object), zero, np.array([True]),
            gamma=Fraction(1), step_size=Fraction(1, k),
        )  # fmt: skip
    assert table[0, 0] == sum(rewards) / 4


@TWINS
def test_sweeps_with_step_size_one_are_value_iteration(twin):
    """On a deterministic chain, every pair in turn, the table becomes Q* and stays there."""
    mdp = chain(4)
    pairs = [(s, a) for s in range(mdp.states) for a in range(mdp.actions)]
    after = mdp.transition.argmax(axis=2)
    states, actions = np.array(pairs).T
    reached = after[states, actions]
    walk = arrays(
        twin, states, actions, mdp.reward[states, actions, reached], reached,
        mdp.terminal[states, actions, reached],
    )  # fmt: skip
    (table,) = arrays(twin, np.zeros((mdp.states, mdp.actions)))
    for _ in range(mdp.states + 1):
        table = twin.tabular_q_update(table, *walk, gamma=0.5, step_size=1.0)
    again = twin.tabular_q_update(table, *walk, gamma=0.5, step_size=1.0)
    assert again.tolist() == table.tolist()  # all numbers are short
    # always moving on is optimal; its closed form is made of powers of 1/2
    best = chain_values(4, 1.0, gamma=0.5)
    assert np.asarray(table).max(axis=1).tolist() == best.tolist()


@TWINS
def test_a_time_limit_is_no_end(twin):
    """A transition that was only cut bootstraps: the difference is αγ max Q(s′, ·)."""
    table, one, reward, cut = arrays(twin, [[0.0, 0.0], [2.0, 8.0]], [0], [1.0], [False])
    knobs = {"gamma": 0.5, "step_size": 0.25}
    right = twin.tabular_q_update(table, one, one, reward, one + 1, cut, **knobs)
    wrong = twin.tabular_q_update(table, one, one, reward, one + 1, ~cut, **knobs)
    assert (right - wrong).tolist() == [[0.25 * 0.5 * 8.0, 0.0], [0.0, 0.0]]


@TWINS
def test_nan_spreads(twin):
    """A table that went wrong must not look healthy."""
    table, one, reward, cut = arrays(twin, [[0.0, 0.0], [float("nan"), 8.0]], [0], [1.0], [False])
    after = twin.tabular_q_update(table, one, one, reward, one + 1, cut, gamma=0.5, step_size=0.5)
    assert after[0, 0] != after[0, 0]


@TWINS
def test_cartpole_grid(twin):
    """Four components, two of them without bounds of their own: every observation has a cell."""
    low, high = np.array([-2.4, -3.0, -0.21, -3.5]), np.array([2.4, 3.0, 0.21, 3.5])
    edges = np.linspace(low, high, 11)[1:-1].T
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(500, 4)) * high
    x, e = arrays(twin, observations, np.ascontiguousarray(edges))
    cells = np.asarray(twin.discretize(x, e))
    components = np.stack(np.unravel_index(cells, (10,) * 4), axis=-1)
    for d in range(4):
        assert np.array_equal(components[:, d], np.digitize(observations[:, d], edges[d]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_edges_are_met_exactly_in_every_dtype(dtype):
    """The cell is found by comparisons alone, which round nothing."""
    edges = torch.linspace(-1, 1, 9, dtype=torch.float64).to(dtype)[None]
    found = fast.discretize(edges.reshape(-1, 1), edges)
    assert found.tolist() == list(range(1, 10))
