"""Exact expectations of estimators of a batch: multisets, orders, floats, refusals."""

import re
from collections import Counter
from fractions import Fraction
from itertools import product
from math import comb, prod

import numpy as np
import pytest

from finite_estimators import (
    GAME,
    HALF,
    importance_weighted,
    returns,
    total_return,
    with_baseline,
    zeros,
)
from finite_problems import even, floating
from rlverify.enumeration import (
    enumerate_trajectories,
    rational_policy,
)
from rlverify.expectation import (
    exact_expectation,
    exact_group_expectation,
    true_gradient,
)
from rlverify.tabular_envs.environments import chain, two_button_game
from rlverify.tabular_envs.garnet import garnet


def squared_mean(found):
    """Neither linear in a trajectory nor additive over them."""
    got = returns(found, Fraction(1, 2)) + found.states[-1]
    return np.array([(got.sum() ** 2), max(got) * min(got)], dtype=object)


def test_multisets_stand_for_all_batches():
    mdp, policy = chain(1), rational_policy([[2, 1], [1, 1]])
    every = enumerate_trajectories(mdp, policy, horizon=2)
    assert every.probabilities.size == 3
    values, weights = [], []
    for batch in product(range(3), repeat=3):
        weights.append(prod(every.probabilities[i] for i in batch))
        values.append(squared_mean(every.select(batch)))
    mean = sum(w * v for w, v in zip(weights, values, strict=True))
    covariance = sum(w * np.outer(v - mean, v - mean) for w, v in zip(weights, values, strict=True))
    for ordered, count in ((False, comb(5, 3)), (True, 27)):
        found = exact_group_expectation(
            squared_mean, mdp, policy, horizon=2, group=3, ordered=ordered
        )
        assert found.count == count
        assert found.mean.tolist() == mean.tolist()
        assert found.covariance.tolist() == covariance.tolist()


def test_order_matters_where_the_estimator_says_so():
    game = two_button_game()
    policy = rational_policy([[3, 1], [1, 1]])

    def first(found):
        return found.rewards[0, :1]

    found = exact_group_expectation(first, game, policy, horizon=1, group=2, ordered=True)
    assert found.mean.tolist() == [Fraction(1, 2)]  # ¾ − ¼
    # the multiset {left, right} comes as (left, right) only, which is why `ordered` is there
    found = exact_group_expectation(first, game, policy, horizon=1, group=2)
    assert found.mean.tolist() == [Fraction(9, 16) + 2 * Fraction(3, 16) - Fraction(1, 16)]


BATCHED = {
    "two-button": (two_button_game(), 1),
    "chain": (chain(1), 2),
    "garnet": (garnet(2, 2, 2, seed=3), 1),
}


@pytest.mark.parametrize("group", [2, 3])
@pytest.mark.parametrize(("mdp", "horizon"), BATCHED.values(), ids=BATCHED)
def test_batch_mean_baseline_has_its_factor(mdp, horizon, group):
    gamma = Fraction(7, 8)
    policy = rational_policy([[3, 1]] * mdp.states)
    gradient = true_gradient(mdp, policy, gamma=gamma, horizon=horizon)
    for itself, factor in ((True, Fraction(group - 1, group)), (False, 1)):
        estimate = with_baseline(policy, gamma, itself=itself)
        found = exact_group_expectation(estimate, mdp, policy, horizon=horizon, group=group)
        assert found.mean.tolist() == (factor * gradient).ravel().tolist()
        assert found.factor(gradient) == factor


def test_a_batch_in_float_keeps_to_its_bound():
    mdp = garnet(2, 2, 2, seed=3)
    policy = rational_policy([[3, 1]] * 2)

    def mean_of(policy, gamma):
        # exact in float64 as a mean over 4 is, for the estimates of one trajectory are
        single = total_return(policy, gamma)
        return lambda found: single(found).sum(axis=0) / 4

    exact = exact_group_expectation(mean_of(policy, 1), mdp, policy, horizon=1, group=4)
    weights = floating(policy)
    found = exact_group_expectation(mean_of(weights, 1.0), mdp, weights, horizon=1, group=4)
    assert found.count == comb(8 + 3, 4)
    errors = [Fraction(x) - y for x, y in zip(found.mean.tolist(), exact.mean, strict=True)]
    assert any(errors)
    assert all(abs(e) <= Fraction(b) for e, b in zip(errors, found.rounding.tolist(), strict=True))
    # a mean of four independent ones: a quarter of the covariance
    one = exact_expectation(total_return(policy, 1), mdp, policy, horizon=1)
    assert (4 * exact.covariance).tolist() == one.covariance.tolist()


def test_a_batch_of_another_policy():
    mdp, policy, behaviour = chain(1), rational_policy([[3, 1]] * 2), rational_policy([[1, 1]] * 2)
    gradient = true_gradient(mdp, policy, gamma=1, horizon=2)
    single = importance_weighted(total_return(policy, 1))
    found = exact_group_expectation(
        lambda batch: single(batch).sum(axis=0) / 2,
        mdp,
        policy,
        horizon=2,
        group=2,
        behaviour=behaviour,
    )
    assert found.mean.tolist() == gradient.ravel().tolist()
    # and it is the behaviour's scatter
    one = exact_expectation(single, mdp, policy, horizon=2, behaviour=behaviour)
    assert (2 * found.covariance).tolist() == one.covariance.tolist()


def test_orders_of_a_batch_add_up():
    mdp, policy = chain(1), even(chain(1))
    seen = Counter()

    def count(found):
        seen[found.probabilities.size] += 1
        return np.array([Fraction(1)], dtype=object)

    found = exact_group_expectation(count, mdp, policy, horizon=2, group=4)
    assert found.mean.tolist() == [1]
    assert seen == {4: comb(6, 4)}


# refusals

REFUSALS = {
    "too many batches": (
        lambda: exact_group_expectation(zeros, GAME, HALF, horizon=1, group=9, limit=9),
        ValueError,
        "exact_group_expectation: group came as 9, which makes 10 batches of 2 trajectories, "
        "wanted at most 9; pass a smaller group, a shorter horizon or a larger limit.",
    ),
    "the group's caller's name": (
        lambda: exact_group_expectation(zeros, GAME, HALF[:1], horizon=1, group=2),
        ValueError,
        "exact_group_expectation: policy has shape (1, 2), but mdp has 2 states and 2 actions; "
        "they must agree.",
    ),
    "a batch's shape": (
        lambda: exact_group_expectation(zeros, GAME, HALF, horizon=1, group=2),
        ValueError,
        "exact_group_expectation: estimates came with shape (2, 1), wanted [P].",
    ),
    "a batch's size": (
        lambda: exact_group_expectation(
            lambda found: np.zeros(1 + int(found.actions.sum())), GAME, HALF, horizon=1, group=2
        ),
        ValueError,
        "exact_group_expectation: estimates came with sizes [1, 2, 3], wanted one size for all.",
    ),
}


@pytest.mark.parametrize(("call", "kind", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, kind, message):
    with np.errstate(all="ignore"), pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()
