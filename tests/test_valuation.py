"""What a policy is worth: both paths to the gradient, bootstraps, the field without γᵗ.

The truth is rational arithmetic (`rational_mdp`), by other formulas: a plain recursion, dual
numbers, Gauss–Jordan elimination, and for the field the sum over all trajectories.
"""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finite_problems import even, floating, problems
from rational_mdp import Bounds, Dual, HorizonBounds, Truth, check, rounding
from rlverify.enumeration import enumerate_trajectories, rational_policy, weighted_scores
from rlverify.tabular_envs.environments import chain, corridor, two_button_game
from rlverify.tabular_envs.exact import policy_values
from rlverify.tabular_envs.finite_horizon import horizon_gradient, horizon_values
from rlverify.valuation import (
    lasting_values,
    true_gradient,
    true_objective,
    true_values,
    undiscounted_field,
)


def bootstraps(states, seed):
    """Return eighths between −4 and 4, as fractions."""
    drawn = np.random.default_rng(seed).integers(-32, 33, size=states)
    found = np.empty(states, dtype=object)
    found[:] = [Fraction(int(x), 8) for x in drawn]
    return found


@given(problem=problems(least=1))
@settings(max_examples=40, deadline=None)
def test_true_gradient_on_both_paths(problem):
    mdp, policy, _, gamma, horizon = problem
    truth = Truth(mdp, policy.tolist(), gamma)
    wanted = truth.gradient(
        policy.tolist(), lambda t: t.horizon_values(horizon, [Fraction(0)] * mdp.states)[0]
    )
    exact = true_gradient(mdp, policy, gamma=gamma, horizon=horizon)
    assert exact.ravel().tolist() == wanted

    bounds = HorizonBounds(truth, horizon, Fraction(0))
    reward = max(abs(x) for s in truth.r for a in s for x in a)
    worth = sum(gamma**t for t in range(horizon)) * reward
    # V̇_t = Σ π̇ Q_t + Σ π γ C V̇_{t+1}, with Σₐ|π̇| = 2π(1−π) ≤ 1/2 and the terms π̇ is made of
    # at most 2 together; |Q| ≤ R + W, so |V̇| ≤ H(R + W)/2 = X. A step takes k = S + A + 12
    # roundings at most (12: the complex quotient and products, whose other parts underflow):
    # ė_t ≤ (1 + γ_k)(e_Q/2 + ė_{t+1}) + γ_k (2(R + W) + X), and (1 + γ_k)ᴴ < 2
    k = mdp.states + mdp.actions + 12
    most = horizon * (reward + worth) / 2
    slope = 2 * horizon * (bounds.values / 2 + rounding(k) * (2 * (reward + worth) + most))
    allowed = slope + rounding(mdp.states + 1) * (most + slope)
    arguments = {"gamma": float(gamma), "horizon": horizon}
    found = true_gradient(mdp, floating(policy), **arguments)
    check(found, wanted, allowed)
    theorem = horizon_gradient(mdp, floating(policy), **arguments)
    check(found, [Fraction(x) for x in theorem.ravel().tolist()], allowed + bounds.gradient)


def test_true_gradient_worked_by_hand():
    # two moves on, then 1: J = γ p₀ p₁ in two steps
    half, mdp = Fraction(1, 2), chain(2)
    found = true_gradient(mdp, even(mdp), gamma=half, horizon=2)
    assert found.tolist() == [[-half / 8, half / 8], [-half / 8, half / 8], [0, 0]]


@given(problem=problems(least=1), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_a_bootstrap_counts_and_does_not_move(problem, seed):
    mdp, policy, _, gamma, horizon = problem
    bootstrap = bootstraps(mdp.states, seed)
    truth = Truth(mdp, policy.tolist(), gamma)
    asked = {"gamma": gamma, "horizon": horizon, "bootstrap": bootstrap}
    values = truth.horizon_values(horizon, bootstrap.tolist())
    assert true_values(mdp, policy, **asked).values.tolist() == values
    worth = sum(p * v for p, v in zip(truth.start, values[0], strict=True))
    assert true_objective(mdp, policy, **asked) == worth
    wanted = truth.gradient(
        policy.tolist(), lambda t: t.horizon_values(horizon, bootstrap.tolist())[0]
    )
    assert true_gradient(mdp, policy, **asked).ravel().tolist() == wanted

    # the policy gradient theorem, in floats, is the other path
    bounds = HorizonBounds(truth, horizon, max(abs(x) for x in bootstrap))
    floats = {**asked, "gamma": float(gamma), "bootstrap": floating(bootstrap)}
    check(horizon_gradient(mdp, floating(policy), **floats), wanted, bounds.gradient)
    # the same recursion in the same order of operations as the one in tabular_envs, up to sums
    found = true_values(mdp, floating(policy), **floats)
    check(found.values, values, bounds.values)
    check(
        found.values,
        [
            [Fraction(float(x)) for x in row]
            for row in horizon_values(mdp, floating(policy), **floats).values
        ],
        2 * bounds.values,
    )


@given(problem=problems())
@settings(max_examples=40, deadline=None)
def test_values_without_horizon(problem):
    mdp, policy, _, gamma, horizon = problem
    truth = Truth(mdp, policy.tolist(), gamma)
    wanted = truth.values()
    if wanted is None:
        with pytest.raises(ValueError, match=r"^lasting_values: gamma came as 1, but from some"):
            lasting_values(mdp, policy, gamma=gamma)
        return
    found = lasting_values(mdp, policy, gamma=gamma)
    assert found.tolist() == wanted
    # with it as bootstrap nothing is lost
    values = true_values(mdp, policy, gamma=gamma, horizon=horizon, bootstrap=found).values
    assert values.tolist() == [wanted] * (horizon + 1)
    bounds = Bounds(truth)
    if bounds.usable:
        floats = policy_values(mdp, floating(policy), gamma=float(gamma)).values
        check(lasting_values(mdp, floating(policy), gamma=float(gamma)), floats.tolist(), 0)
        check(floats, wanted, bounds.values)


@given(problem=problems(least=1), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_the_field_is_what_reward_to_go_estimates(problem, seed):
    mdp, policy, _, gamma, horizon = problem
    bootstrap = bootstraps(mdp.states, seed)
    every = enumerate_trajectories(mdp, policy, horizon=horizon)
    following = np.where(every.truncated[-1], bootstrap[every.states[-1]], Fraction(0))
    returns = np.empty_like(every.rewards)
    for t in reversed(range(horizon)):
        following = returns[t] = every.rewards[t] + gamma * following
    wanted = every.probabilities @ weighted_scores(every, policy, returns)
    asked = {"gamma": gamma, "horizon": horizon, "bootstrap": bootstrap}
    field = undiscounted_field(mdp, policy, **asked)
    assert field.ravel().tolist() == wanted.tolist()
    if gamma == 1 or horizon == 1:
        assert field.tolist() == true_gradient(mdp, policy, **asked).tolist()


def moved_field(mdp, weights, index, gamma, horizon):
    """Return the derivative of the field in one logit, by dual numbers in plain scalars."""
    seeded = [[Dual(w) for w in row] for row in weights]
    s, a = divmod(index, mdp.actions)
    seeded[s][a] = Dual(weights[s][a], Fraction(weights[s][a]))
    policy = [[w / sum(row) for w in row] for row in seeded]
    truth = Truth(mdp, policy, gamma)
    values = truth.horizon_values(horizon, [Dual(Fraction(0))] * mdp.states)
    visits, slopes = [Dual(p) for p in truth.start], [Fraction(0)] * (mdp.states * mdp.actions)
    for t in range(horizon):
        after = [Dual(Fraction(0))] * mdp.states
        for s in truth.s:
            for a in truth.a:
                gain = truth.q(s, a, values[t + 1]) - values[t][s]
                slopes[s * mdp.actions + a] += (visits[s] * policy[s][a] * gain).b
                for i in truth.s:
                    after[i] = after[i] + visits[s] * policy[s][a] * truth.goes_on(s, a, i)
        visits = after
    return slopes


def jacobian(mdp, weights, gamma, horizon):
    size = mdp.states * mdp.actions
    return np.array([moved_field(mdp, weights, i, gamma, horizon) for i in range(size)])


@pytest.mark.claim("C7")
def test_the_field_is_no_gradient():
    """A gradient's Jacobian is symmetric. That of the field is not, below γ = 1."""
    weights = [[Fraction(1), Fraction(3)], [Fraction(3), Fraction(1)], [Fraction(1)] * 2]
    mdp, half = corridor(2), Fraction(1, 2)
    found = jacobian(mdp, weights, half, 3)
    assert (found != found.T).any()
    whole = jacobian(mdp, weights, Fraction(1), 3)
    assert (whole == whole.T).all()
    assert whole.any()


REFUSALS = {
    "bootstrap's shape": (
        lambda: true_gradient(
            two_button_game(), np.full((2, 2), 0.5), gamma=1.0, horizon=1, bootstrap=np.zeros(3)
        ),
        ValueError,
        "true_gradient: bootstrap has shape (3,), but policy has shape (2, 2); they must agree.",
    ),
    "floats among fractions": (
        lambda: undiscounted_field(
            two_button_game(),
            rational_policy([[1, 1]] * 2),
            gamma=1,
            horizon=1,
            bootstrap=np.zeros(2),
        ),
        TypeError,
        "undiscounted_field: bootstrap has dtype float64, but policy has dtype object; they must "
        "agree.",
    ),
    "not finite": (
        lambda: true_values(
            two_button_game(),
            np.full((2, 2), 0.5),
            gamma=1.0,
            horizon=1,
            bootstrap=np.array([0.0, np.inf]),
        ),
        ValueError,
        "true_values: bootstrap[1] came as inf, wanted a finite number.",
    ),
    "an endless process": (
        lambda: lasting_values(chain(1), rational_policy([[1, 0]] * 2), gamma=1),
        ValueError,
        "lasting_values: gamma came as 1, but from some state the policy never reaches an end, so "
        "its value is infinite or undefined; wanted gamma below 1.",
    ),
    "horizon": (
        lambda: true_objective(two_button_game(), np.full((2, 2), 0.5), gamma=1.0, horizon=0),
        ValueError,
        "true_objective: horizon came as 0, wanted an integer of at least 1.",
    ),
}


@pytest.mark.parametrize(("call", "kind", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()
