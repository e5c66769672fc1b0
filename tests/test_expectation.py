"""Exact expectations: the enumeration against a plain recursion, estimators against the truth.

Processes and policies hold dyadic numbers, so their rows sum to exactly one and a float run
and a rational run are about the same process. Discounts are eighths and horizons short, so
that returns and scores are exact in float64 too (`test_estimates_are_exact_in_float` sees to
it); what is left to bound is the sum over trajectories, and that bound is the library's own.
"""

import re
import time
from collections import Counter
from dataclasses import fields
from fractions import Fraction
from itertools import product
from math import comb, inf, prod, sqrt

import numpy as np
import pytest
from hypothesis import given, settings

from finite_problems import even, floating, problems
from rational_mdp import HorizonBounds, Truth, U, check, rounding, trajectories
from rlverify.enumeration import (
    Trajectories,
    enumerate_trajectories,
    per_trajectory,
    rational_policy,
    weighted_scores,
)
from rlverify.expectation import (
    exact_expectation,
    exact_group_expectation,
    true_gradient,
)
from rlverify.tabular_envs.environments import chain, two_button_game
from rlverify.tabular_envs.finite_horizon import horizon_objective
from rlverify.tabular_envs.finite_mdp import FiniteMDP
from rlverify.tabular_envs.garnet import garnet

# estimators, generic over the numbers


def discounts(found, gamma):
    return np.array([gamma**t for t in range(len(found.mask))])[:, None]


def returns(found, gamma):
    return (discounts(found, gamma) * found.rewards).sum(axis=0)


def rewards_to_go(found, gamma):
    result, following = np.zeros_like(found.rewards), 0
    for t in reversed(range(len(result))):
        following = result[t] = found.rewards[t] + gamma * following
    return result


def total_return(policy, gamma):
    def estimate(found):
        # the padding is weighted too; weighted_scores leaves it out
        weights = np.tile(returns(found, gamma), (len(found.mask), 1))
        return weighted_scores(found, policy, weights)

    return estimate


def reward_to_go(policy, gamma, *, start_discounted=True):
    def estimate(found):
        weights = rewards_to_go(found, gamma)
        if start_discounted:
            weights = discounts(found, gamma) * weights
        return weighted_scores(found, policy, weights)

    return estimate


def importance_weighted(estimate):
    def weighted(found):
        return found.ratios.prod(axis=0)[:, None] * estimate(found)

    return weighted


def with_baseline(policy, gamma, *, itself):
    """Total return less the mean return of the batch, with or without the own one."""

    def estimate(found):
        got = returns(found, gamma)
        count = len(got)
        mean = got.sum() / count if itself else (got.sum() - got) / (count - 1)
        weights = np.tile(got - mean, (len(found.mask), 1))
        return weighted_scores(found, policy, weights).sum(axis=0) / count

    return estimate


# the enumeration

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


# estimators of one trajectory


@given(problem=problems())
@settings(max_examples=40, deadline=None)
def test_mean_return_is_the_objective(problem):
    mdp, policy, behaviour, gamma, horizon = problem
    truth = Truth(mdp, behaviour, gamma)
    values = truth.horizon_values(horizon, [Fraction(0)] * mdp.states)[0]
    worth = sum(p * v for p, v in zip(truth.start, values, strict=True))

    def estimate(number):
        return lambda found: returns(found, number)[:, None]

    exact = exact_expectation(estimate(gamma), mdp, policy, horizon=horizon, behaviour=behaviour)
    assert exact.mean.tolist() == [worth]
    assert not exact.rounding.any()
    weights = floating(behaviour)
    found = exact_expectation(estimate(float(gamma)), mdp, weights, horizon=horizon)
    check(found.mean, [worth], Fraction(float(found.rounding[0])))
    objective = horizon_objective(mdp, weights, gamma=float(gamma), horizon=horizon)
    bound = HorizonBounds(truth, horizon, Fraction(0)).objective
    check([objective], [Fraction(float(found.mean[0]))], bound + Fraction(float(found.rounding[0])))


ESTIMATORS = {"total return": total_return, "reward-to-go": reward_to_go}


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
@given(problem=problems(least=1))
@settings(max_examples=30, deadline=None)
def test_estimates_are_exact_in_float(make, problem):
    mdp, policy, _, gamma, horizon = problem
    exact = make(policy, gamma)(enumerate_trajectories(mdp, policy, horizon=horizon))
    weights = floating(policy)
    found = make(weights, float(gamma))(enumerate_trajectories(mdp, weights, horizon=horizon))
    assert found.tolist() == exact.tolist()


@pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)
@given(problem=problems(least=1))
@settings(max_examples=30, deadline=None)
def test_reinforce_is_unbiased(make, problem):
    mdp, policy, behaviour, gamma, horizon = problem
    gradient = true_gradient(mdp, policy, gamma=gamma, horizon=horizon)
    exact = exact_expectation(make(policy, gamma), mdp, policy, horizon=horizon)
    assert set(exact.bias(gradient).tolist()) == {0}
    assert exact.relative_bias(gradient) == 0
    assert exact.factor(gradient) == (1 if gradient.any() else None)
    weighted = exact_expectation(
        importance_weighted(make(policy, gamma)),
        mdp,
        policy,
        horizon=horizon,
        behaviour=behaviour,
    )
    assert set(weighted.bias(gradient).tolist()) == {0}

    # the estimates are exact, so the sum is all that rounds
    found = exact_expectation(
        make(floating(policy), float(gamma)), mdp, floating(policy), horizon=horizon
    )
    errors = [Fraction(x) - y for x, y in zip(found.mean.tolist(), gradient.flat, strict=True)]
    allowed = [Fraction(x) for x in found.rounding.tolist()]
    assert all(abs(e) <= b for e, b in zip(errors, allowed, strict=True))
    check_covariance(found, exact, mdp, policy, make(policy, gamma), horizon)
    check_higher_moments(found, exact, mdp, policy, make(policy, gamma), horizon)


def check_covariance(found, exact, mdp, policy, estimate, horizon):
    """A matrix product of n terms a side, to the bound in the docstring, written out in full."""
    every = enumerate_trajectories(mdp, policy, horizon=horizon)
    spread = estimate(every) - exact.mean
    by_definition = sum(
        p * np.outer(c, c) for p, c in zip(every.probabilities, spread, strict=True)
    )
    assert exact.covariance.tolist() == by_definition.tolist()
    # around a mean that is wrong by δ ≤ rounding the product gains δδᵀ, and its terms grow
    delta = np.array([Fraction(x) for x in found.rounding.tolist()])
    grown = np.abs(spread) + delta
    sizes = (every.probabilities[:, None] * grown).T @ grown
    n = every.probabilities.size
    allowed = rounding(n + 2 * horizon + 4) * sizes + np.outer(delta, delta)
    for i, j in np.ndindex(allowed.shape):
        error = Fraction(float(found.covariance[i, j])) - exact.covariance[i, j]
        assert abs(error) <= allowed[i, j], (i, j)


def check_higher_moments(found, exact, mdp, policy, estimate, horizon):
    """Third moments and largest deviations, exactly, and in floats to a bound."""
    every = enumerate_trajectories(mdp, policy, horizon=horizon)
    spread = estimate(every) - exact.mean
    chances = every.probabilities
    assert exact.third.tolist() == [sum(chances * abs(c) ** 3) for c in spread.T]
    assert exact.skew.tolist() == [sum(chances * c**3) for c in spread.T]
    assert exact.largest.tolist() == [max(abs(c)) for c in spread.T]
    assert Fraction(exact.largest_norm) == Fraction(
        sqrt(max(sum(c * c for c in row) for row in spread))
    )
    # the deviations are off by δ, the error of the mean, and by their own rounding; a cube takes
    # two products, the weight 2H roundings, the sum n − 1
    delta = np.array([Fraction(x) for x in found.rounding.tolist()])
    grown = (np.abs(spread) + delta) * (1 + U)
    n = chances.size
    k = rounding(n + 2 * horizon + 4)
    for i in range(spread.shape[1]):
        off = grown[:, i] - np.abs(spread[:, i])
        drift = sum(chances * (3 * off * grown[:, i] ** 2))
        allowed = drift + k * sum(chances * grown[:, i] ** 3)
        assert abs(Fraction(float(found.third[i])) - exact.third[i]) <= allowed
        assert abs(Fraction(float(found.skew[i])) - exact.skew[i]) <= allowed
        assert abs(Fraction(float(found.largest[i])) - exact.largest[i]) <= max(off)


def test_third_moments_worked_by_hand():
    # a coin of ¼ and ¾ that pays 1 + 3 and −1 + 3: mean 5/2, deviations 3/2 and −1/2
    game, policy = two_button_game(3), rational_policy([[1, 3], [1, 1]])
    found = exact_expectation(lambda t: t.rewards[0][:, None], game, policy, horizon=1)
    assert found.mean.tolist() == [Fraction(5, 2)]
    assert found.third.tolist() == [Fraction(15, 16)]  # ¼ · 27/8 + ¾ · 1/8
    assert found.skew.tolist() == [Fraction(3, 4)]  # ¼ · 27/8 − ¾ · 1/8
    assert found.largest.tolist() == [Fraction(3, 2)]
    assert found.largest_norm == 1.5


def test_reinforce_on_the_two_button_game():
    game = two_button_game()
    policy = rational_policy([[3, 1], [1, 1]])
    gradient = true_gradient(game, policy, gamma=1, horizon=1)
    assert gradient.tolist() == [[Fraction(3, 8), Fraction(-3, 8)], [0, 0]]  # 2p(1−p)
    for make in ESTIMATORS.values():
        found = exact_expectation(make(policy, Fraction(1)), game, policy, horizon=1)
        assert found.bias(gradient).tolist() == [0, 0, 0, 0]
        assert found.count == 2


def test_a_bonus_leaves_the_mean_and_multiplies_the_variance():
    for bonus in (0, 1, 100):
        game = two_button_game(bonus)
        policy = even(game)
        gradient = true_gradient(game, policy, gamma=1, horizon=1)
        found = exact_expectation(total_return(policy, 1), game, policy, horizon=1)
        # left gives (1 + c)/2, right gives (1 − c)/2, each half of the time
        variance = Fraction(bonus, 2) ** 2
        assert found.mean.tolist() == [Fraction(1, 2), Fraction(-1, 2), 0, 0]
        assert found.covariance[:2, :2].tolist() == [[variance, -variance], [-variance, variance]]
        noise = found.signal_to_noise(gradient)
        if bonus == 0:
            assert noise == inf
        else:
            # √(1/2) / √(c²/2): two roots and a quotient
            assert abs(Fraction(noise) - Fraction(1, bonus)) <= rounding(4) / bonus


def test_without_the_discount_of_the_start_it_is_biased():
    half, mdp = Fraction(1, 2), chain(2)
    policy = even(mdp)
    gradient = true_gradient(mdp, policy, gamma=half, horizon=2)
    found = exact_expectation(
        reward_to_go(policy, half, start_discounted=False), mdp, policy, horizon=2
    )
    # state 1 is met at t = 1 only: there 1/γ times the gradient, 1/8 for 1/16
    wanted = [0, 0, Fraction(-1, 16), Fraction(1, 16), 0, 0]
    assert found.bias(gradient).tolist() == wanted
    assert found.factor(gradient) is None
    # the gradient has four elements of that size, the bias two
    share = Fraction(found.relative_bias(gradient))
    assert abs(share**2 - half) <= rounding(6) * half


def test_without_importance_weights_it_is_biased():
    game = two_button_game()
    policy, behaviour = rational_policy([[3, 1]] * 2), rational_policy([[1, 1]] * 2)
    gradient = true_gradient(game, policy, gamma=1, horizon=1)
    found = exact_expectation(total_return(policy, 1), game, policy, horizon=1, behaviour=behaviour)
    # ½·1·(1 − ¾) + ½·(−1)·(0 − ¾) = ½ in place of ⅜
    assert found.bias(gradient)[0] == Fraction(1, 8)


def test_what_the_behaviour_never_does_is_missing():
    game = two_button_game()
    policy, behaviour = rational_policy([[3, 1]] * 2), rational_policy([[1, 0]] * 2)
    gradient = true_gradient(game, policy, gamma=1, horizon=1)
    found = exact_expectation(
        importance_weighted(total_return(policy, 1)), game, policy, horizon=1, behaviour=behaviour
    )
    # the right button's share is lost: ¼·(−1)·(0 − ¾)
    assert found.bias(gradient)[0] == Fraction(-3, 16)


@given(problem=problems(least=1, horizon=2))
@settings(max_examples=10, deadline=None)
def test_a_function_of_one_trajectory(problem):
    mdp, policy, _, gamma, horizon = problem
    together = reward_to_go(policy, gamma)
    single = per_trajectory(lambda one: together(one)[0])
    found = exact_expectation(single, mdp, policy, horizon=horizon)
    wanted = exact_expectation(together, mdp, policy, horizon=horizon)
    assert found.mean.tolist() == wanted.mean.tolist()
    assert found.covariance.tolist() == wanted.covariance.tolist()


# estimators of a batch


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

GAME = two_button_game()
HALF = np.full((2, 2), 0.5)
THIRDS = rational_policy([[1, 2], [1, 1]])
SPLIT = FiniteMDP(
    np.full((3, 1, 3), 1 / 3), np.zeros((3, 1, 3)), np.zeros((3, 1, 3), bool), np.eye(3)[0]
)


def zeros(found):
    return np.zeros((found.probabilities.size, 1))


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
    "too many batches": (
        lambda: exact_group_expectation(zeros, GAME, HALF, horizon=1, group=9, limit=9),
        ValueError,
        "exact_group_expectation: group came as 9, which makes 10 batches of 2 trajectories, "
        "wanted at most 9; pass a smaller group, a shorter horizon or a larger limit.",
    ),
    "the caller's name": (
        lambda: exact_expectation(zeros, GAME, HALF, horizon=0),
        ValueError,
        "exact_expectation: horizon came as 0, wanted an integer of at least 1.",
    ),
    "the group's caller's name": (
        lambda: exact_group_expectation(zeros, GAME, HALF[:1], horizon=1, group=2),
        ValueError,
        "exact_group_expectation: policy has shape (1, 2), but mdp has 2 states and 2 actions; "
        "they must agree.",
    ),
    "an expectation's limit": (
        lambda: exact_expectation(zeros, GAME, HALF, horizon=1, limit=1),
        ValueError,
        "exact_expectation: horizon came as 1, with at least 2 trajectories, wanted at most 1 "
        "steps in all of them together; pass a shorter horizon, a smaller process or a larger "
        "limit.",
    ),
    "no estimator": (
        lambda: exact_expectation(3, GAME, HALF, horizon=1),
        TypeError,
        "exact_expectation: estimate came as int, wanted a function of Trajectories.",
    ),
    "no function": (
        lambda: per_trajectory(3),
        TypeError,
        "per_trajectory: function came as int, wanted a function.",
    ),
    "estimates' shape": (
        lambda: exact_expectation(lambda found: np.zeros((3, 1)), GAME, HALF, horizon=1),
        ValueError,
        "exact_expectation: estimates came with shape (3, 1), wanted [2, P].",
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
    "not finite": (
        lambda: exact_expectation(lambda found: zeros(found) / 0 * 0, GAME, HALF, horizon=1),
        ValueError,
        "exact_expectation: estimates[0, 0] came as nan, wanted a finite number.",
    ),
    "floats among fractions": (
        lambda: exact_expectation(zeros, GAME, THIRDS, horizon=1),
        TypeError,
        "exact_expectation: estimates came as dtype float64, wanted Fraction objects.",
    ),
    "a float discount": (
        lambda: true_gradient(GAME, THIRDS, gamma=0.5, horizon=1),
        TypeError,
        "true_gradient: gamma came as float among Fraction objects, wanted Fraction(gamma).",
    ),
    "discount": (
        lambda: true_gradient(GAME, HALF, gamma=2, horizon=1),
        ValueError,
        "true_gradient: gamma came as 2, wanted a number in [0, 1].",
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
    "gradient's size": (
        lambda: exact_expectation(zeros, GAME, HALF, horizon=1).bias(np.zeros(2)),
        ValueError,
        "bias: gradient came with shape (2,), wanted 1 elements as the estimates have.",
    ),
    "gradient's type": (
        lambda: exact_expectation(zeros, GAME, HALF, horizon=1).bias(THIRDS[:1, :1]),
        TypeError,
        "bias: gradient came as dtype object, wanted float64 as the estimates have.",
    ),
    "factor of floats": (
        lambda: exact_expectation(zeros, GAME, HALF, horizon=1).factor(np.zeros(1)),
        TypeError,
        "factor: mean came as dtype float64, wanted Fraction objects.",
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
