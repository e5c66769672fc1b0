"""The enumeration against a plain recursion, and what it refuses."""

import re
import time
from dataclasses import fields
from fractions import Fraction
from itertools import product
from math import comb, inf

import numpy as np
import pytest
from hypothesis import given, settings

from finite_estimators import GAME, HALF, THIRDS
from finite_problems import even, floating, problems
from rational_mdp import Truth, U, rounding, trajectories
from rlverify.enumeration import (
    Trajectories,
    enumerate_trajectories,
    per_trajectory,
    rational_policy,
    weighted_scores,
)
from rlverify.tabular_envs.environments import chain, two_button_game
from rlverify.tabular_envs.finite_mdp import FiniteMDP
from rlverify.tabular_envs.garnet import garnet

FIELDS = [field.name for field in fields(Trajectories)]


@given(problem=problems())
@settings(max_examples=60, deadline=None)
def test_every_trajectory_against_a_plain_recursion(problem):
    mdp, policy, behaviour, gamma, horizon = problem
    found = enumerate_trajectories(mdp, policy, horizon=horizon, behaviour=behaviour)
    wanted = list(trajectories(Truth(mdp, behaviour, gamma), horizon))
    assert found.probabilities.tolist() == [p for p, _, _ in wanted]
    assert sum(found.probabilities) == 1
    for n, (_, steps, last) in enumerate(wanted):
        taken = len(steps)
        assert found.mask[:, n].tolist() == [t < taken for t in range(horizon)]
        one = found.single(n)
        assert one.states.shape == (taken + 1, 1)
        acts, states = one.actions[:, 0].tolist(), one.states[:, 0].tolist()
        assert [(s, a) for s, a, _ in steps] == list(zip(states[:-1], acts, strict=True))
        assert [r for _, _, r in steps] == one.rewards[:, 0].tolist()
        ends = last is None
        assert found.terminated[:, n].tolist() == [ends and t == taken - 1 for t in range(horizon)]
        assert found.truncated[:, n].tolist() == [
            not ends and t == horizon - 1 for t in range(horizon)
        ]
        if not ends:
            assert states[-1] == last
        ratios = [policy[s, a] / behaviour[s, a] for s, a, _ in steps]
        assert all(type(x) is Fraction for x in [*found.rewards[:, n], *found.ratios[:, n]])
        assert found.ratios[:, n].tolist() == ratios + [1] * (horizon - taken)
        # padding holds nothing, and the state that was entered last
        assert not found.actions[taken:, n].any()
        assert not found.rewards[taken:, n].any()
        assert set(found.states[taken:, n].tolist()) == {states[-1]}


@given(problem=problems())
@settings(max_examples=60, deadline=None)
def test_float_trajectories_are_the_rational_ones_rounded(problem):
    mdp, policy, behaviour, _, horizon = problem
    exact = enumerate_trajectories(mdp, policy, horizon=horizon, behaviour=behaviour)
    found = enumerate_trajectories(
        mdp, floating(policy), horizon=horizon, behaviour=floating(behaviour)
    )
    for name in FIELDS[:6]:
        assert getattr(found, name).tolist() == getattr(exact, name).tolist(), name
    # 2·H roundings in a product, one in a quotient (module and docstring say so)
    pairs = zip(found.probabilities.tolist(), exact.probabilities.tolist(), strict=True)
    assert all(abs(Fraction(p) - q) <= rounding(2 * horizon) * q for p, q in pairs)
    pairs = zip(found.ratios.ravel().tolist(), exact.ratios.ravel().tolist(), strict=True)
    assert all(abs(Fraction(p) - q) <= U * q for p, q in pairs)
    # errors of terms of one sign, relative to their sum, which is exactly 1
    total = sum(Fraction(p) for p in found.probabilities.tolist())
    assert abs(total - 1) <= rounding(2 * horizon)


@pytest.mark.parametrize("horizon", [1, 2, 5, 8])
def test_counts_in_closed_form(horizon):
    game = two_button_game()
    found = enumerate_trajectories(game, even(game), horizon=horizon)
    assert found.probabilities.size == 2
    for length in (1, 2, 3):
        mdp = chain(length)
        found = enumerate_trajectories(mdp, even(mdp), horizon=horizon)
        # fewer than `length` moves on in all steps, or the last of them at step T
        going = sum(comb(horizon, k) for k in range(length))
        done = sum(comb(step - 1, length - 1) for step in range(length, horizon + 1))
        assert found.probabilities.size == going + done
        assert found.truncated[-1].sum() == going
        assert found.terminated.sum() == done


def test_log_ratios():
    mdp = two_button_game()
    policy, behaviour = np.array([[1.0, 0.0]] * 2), np.full((2, 2), 0.5)
    found = enumerate_trajectories(mdp, policy, horizon=1, behaviour=behaviour)
    assert found.log_ratios.tolist() == [[np.log(2.0), -inf]]


def plain_loop(mdp, policy, horizon):
    """Return the same fields, made of one trajectory after the other."""
    transition, reward = mdp.transition.tolist(), mdp.reward.tolist()
    terminal, chances = mdp.terminal.tolist(), policy.tolist()
    branches = [
        [
            (chances[s][a] * transition[s][a][i], a, i, reward[s][a][i], terminal[s][a][i])
            for a, i in product(range(mdp.actions), range(mdp.states))
            if chances[s][a] * transition[s][a][i] > 0
        ]
        for s in range(mdp.states)
    ]
    columns = {name: [] for name in FIELDS}

    def extend(probability, state, path):
        if path and (path[-1][4] or len(path) == horizon):
            left = horizon - len(path)
            ends = path[-1][4]
            columns["states"].append([step[0] for step in path] + [path[-1][2]] * (left + 1))
            columns["actions"].append([step[1] for step in path] + [0] * left)
            columns["rewards"].append([step[3] for step in path] + [0.0] * left)
            columns["terminated"].append([step[4] for step in path] + [False] * left)
            columns["truncated"].append([False] * (horizon - 1) + [not ends])
            columns["mask"].append([True] * len(path) + [False] * left)
            columns["ratios"].append([1.0] * horizon)
            columns["probabilities"].append(probability)
            return
        for p, action, after, r, ends in branches[state]:
            extend(probability * p, after, [*path, (state, action, after, r, ends)])

    for state, p in enumerate(mdp.start.tolist()):
        if p > 0:
            extend(p, state, [])
    return {name: np.array(column).T for name, column in columns.items()}


def least_time(function, repeats):
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return min(times)


def test_enumeration_is_fast():
    """Some 10,000 trajectories a millisecond; asserted is a ratio to a loop of the same run."""
    mdp = garnet(5, 2, 3, seed=0, ending=0.125)
    policy = np.full((5, 2), 0.5)
    found = enumerate_trajectories(mdp, policy, horizon=5)
    for name, column in plain_loop(mdp, policy, 5).items():
        assert getattr(found, name).tolist() == column.tolist(), name
    slow = least_time(lambda: plain_loop(mdp, policy, 5), 2)
    fast = least_time(lambda: enumerate_trajectories(mdp, policy, horizon=5), 10)
    print(f"{found.probabilities.size / fast / 1e3:.0f} a ms, {slow / fast:.0f} times a loop")
    assert slow >= 20 * fast


# refusals

SPLIT = FiniteMDP(
    np.full((3, 1, 3), 1 / 3), np.zeros((3, 1, 3)), np.zeros((3, 1, 3), bool), np.eye(3)[0]
)

REFUSALS = {
    "no process": (
        lambda: enumerate_trajectories(3, HALF, horizon=1),
        TypeError,
        "enumerate_trajectories: mdp came as int, wanted a FiniteMDP.",
    ),
    "policy's shape": (
        lambda: enumerate_trajectories(GAME, HALF[:1], horizon=1),
        ValueError,
        "enumerate_trajectories: policy has shape (1, 2), but mdp has 2 states and 2 actions; "
        "they must agree.",
    ),
    "no distribution": (
        lambda: enumerate_trajectories(GAME, 2 * HALF, horizon=1),
        ValueError,
        "enumerate_trajectories: policy[0] came with sum 2.0, wanted 1; divide the row by its sum.",
    ),
    "float32": (
        lambda: enumerate_trajectories(GAME, HALF.astype(np.float32), horizon=1),
        TypeError,
        "enumerate_trajectories: policy came as dtype float32, wanted float64 or Fraction objects;"
        " the reference rounds nowhere else, pass policy.astype('float64').",
    ),
    "mixed": (
        lambda: enumerate_trajectories(GAME, HALF, horizon=1, behaviour=THIRDS),
        TypeError,
        "enumerate_trajectories: behaviour has dtype object, but policy has dtype float64; they "
        "must agree.",
    ),
    "float objects": (
        lambda: enumerate_trajectories(GAME, HALF.astype(object), horizon=1),
        TypeError,
        "enumerate_trajectories: policy came with a float in it, wanted Fraction objects only.",
    ),
    "negative": (
        lambda: enumerate_trajectories(GAME, THIRDS - 1, horizon=1),
        ValueError,
        "enumerate_trajectories: policy[0] came with -2/3, wanted a probability.",
    ),
    "rows of a rounded process": (
        lambda: enumerate_trajectories(SPLIT, rational_policy([[1]] * 3), horizon=1),
        ValueError,
        "enumerate_trajectories: mdp.transition[0, 0] came with sum 1 + (-1/18014398509481984), "
        "wanted exactly 1 for exact arithmetic; pass float64 policies or a process of dyadic "
        "numbers.",
    ),
    "horizon": (
        lambda: enumerate_trajectories(GAME, HALF, horizon=0),
        ValueError,
        "enumerate_trajectories: horizon came as 0, wanted an integer of at least 1.",
    ),
    "too many steps": (
        lambda: enumerate_trajectories(chain(5), np.full((6, 2), 0.5), horizon=4, limit=63),
        ValueError,
        "enumerate_trajectories: horizon came as 4, with at least 16 trajectories, wanted at most "
        "63 steps in all of them together; pass a shorter horizon, a smaller process or a larger "
        "limit.",
    ),
    "no function": (
        lambda: per_trajectory(3),
        TypeError,
        "per_trajectory: function came as int, wanted a function.",
    ),
    "weights": (
        lambda: rational_policy([[1, -1]]),
        ValueError,
        "rational_policy: weights came with the row [1, -1], wanted integers of at least 0, not "
        "all of them 0.",
    ),
    "ragged weights": (
        lambda: rational_policy([[1, 1], [1]]),
        ValueError,
        "rational_policy: weights came with rows of length [2, 1], wanted rows of one length of "
        "at least 1.",
    ),
    "trajectories": (
        lambda: weighted_scores(3, HALF, HALF),
        TypeError,
        "weighted_scores: trajectories came as int, wanted Trajectories.",
    ),
    "weights' shape": (
        lambda: weighted_scores(enumerate_trajectories(GAME, HALF, horizon=1), HALF, HALF),
        ValueError,
        "weighted_scores: weights has shape (2, 2), but trajectories has shape (1, 2); they must "
        "agree.",
    ),
    "a policy of another process": (
        lambda: weighted_scores(
            enumerate_trajectories(GAME, HALF, horizon=1), HALF[:1], np.zeros((1, 2))
        ),
        ValueError,
        "weighted_scores: policy came with shape (1, 2), wanted a row for every state and a "
        "column for every action of the trajectories.",
    ),
}


@pytest.mark.parametrize(("call", "kind", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, kind, message):
    with np.errstate(all="ignore"), pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()
