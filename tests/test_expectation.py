"""Exact expectations of estimators of one trajectory, against the truth.

Processes and policies hold dyadic numbers, so their rows sum to exactly one and a float run
and a rational run are about the same process. Discounts are eighths and horizons short, so
that returns and scores are exact in float64 too (`test_estimates_are_exact_in_float` sees to
it); what is left to bound is the sum over trajectories, and that bound is the library's own.
"""

import re
from fractions import Fraction
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings

from finite_estimators import (
    GAME,
    HALF,
    THIRDS,
    importance_weighted,
    returns,
    reward_to_go,
    total_return,
    zeros,
)
from finite_problems import even, floating, problems
from rational_mdp import HorizonBounds, Truth, U, check, rounding
from rlverify.enumeration import (
    enumerate_trajectories,
    per_trajectory,
    rational_policy,
)
from rlverify.expectation import (
    exact_expectation,
    true_gradient,
)
from rlverify.tabular_envs.environments import chain, two_button_game
from rlverify.tabular_envs.finite_horizon import horizon_objective


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


# refusals

REFUSALS = {
    "the caller's name": (
        lambda: exact_expectation(zeros, GAME, HALF, horizon=0),
        ValueError,
        "exact_expectation: horizon came as 0, wanted an integer of at least 1.",
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
    "estimates' shape": (
        lambda: exact_expectation(lambda found: np.zeros((3, 1)), GAME, HALF, horizon=1),
        ValueError,
        "exact_expectation: estimates came with shape (3, 1), wanted [2, P].",
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
}


@pytest.mark.parametrize(("call", "kind", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, kind, message):
    with np.errstate(all="ignore"), pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()
