"""Exact solutions, against rational arithmetic on the very same numbers.

Garnet processes and the policies drawn here hold multiples of 1/2¹⁶, so as fractions their
rows sum to exactly one. Truth and bounds come from `rational_mdp`.
"""

import re
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rational_mdp import Bounds, HorizonBounds, Truth, check, fractions, rounding, trajectories
from rlverify.tabular_envs.environments import chain, chain_values, corridor, two_button_game
from rlverify.tabular_envs.exact import objective, objective_gradient, policy_values, visitation
from rlverify.tabular_envs.finite_horizon import (
    horizon_gradient,
    horizon_objective,
    horizon_values,
    horizon_visitation,
)
from rlverify.tabular_envs.finite_mdp import FiniteMDP
from rlverify.tabular_envs.from_gymnasium import from_gymnasium
from rlverify.tabular_envs.garnet import garnet


@st.composite
def processes(draw, ending=(0.0, 0.25, 1.0)):
    states = draw(st.integers(1, 4))
    actions = draw(st.integers(1, 3))
    branching = draw(st.integers(1, states))
    seed = draw(st.integers(0, 2**32))
    return garnet(states, actions, branching, seed=seed, ending=draw(st.sampled_from(ending)))


def draw_policy(data, mdp, least=0):
    """Weights that sum to a power of two in every row: both w and w/Σw are exact."""
    rows = []
    for _ in range(mdp.states):
        total = 16
        cuts = data.draw(
            st.lists(
                st.integers(0, total - least * mdp.actions),
                min_size=mdp.actions - 1,
                max_size=mdp.actions - 1,
            ).map(sorted)
        )
        ends = [0, *cuts, total - least * mdp.actions]
        rows.append([Fraction(b - a + least, total) for a, b in pairwise(ends)])
    return rows, np.array(rows, dtype=np.float64)


GAMMAS = st.sampled_from([0.0, 0.5, 0.875, 0.984375, 1.0])


# without a horizon


@given(mdp=processes(), gamma=GAMMAS, data=st.data())
@settings(max_examples=100, deadline=None)
def test_linear_solves_against_rational_arithmetic(mdp, gamma, data):
    weights, policy = draw_policy(data, mdp)
    truth = Truth(mdp, weights, gamma)
    values = truth.values()
    if values is None:
        # singular in exact arithmetic: exactly then is it refused
        assert gamma == 1
        for function in (policy_values, visitation, objective, objective_gradient):
            with pytest.raises(ValueError, match=f"^{function.__name__}: gamma came as 1, but"):
                function(mdp, policy, gamma=gamma)
        return
    bounds = Bounds(truth)
    assume(bounds.usable)
    q = [[truth.q(s, a, values) for a in truth.a] for s in truth.s]
    got = policy_values(mdp, policy, gamma=gamma)
    check(got.values, values, bounds.values)
    check(got.action_values, q, bounds.q)
    advantages = [[x - v for x in row] for row, v in zip(q, values, strict=True)]
    check(got.advantages, advantages, bounds.advantages)
    check(visitation(mdp, policy, gamma=gamma), truth.visits(), bounds.visits)
    worth = sum(p * v for p, v in zip(truth.start, values, strict=True))
    check([objective(mdp, policy, gamma=gamma)], [worth], bounds.objective)


@given(mdp=processes(), gamma=GAMMAS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_policy_gradient_against_exact_derivative(mdp, gamma, data):
    weights, policy = draw_policy(data, mdp, least=1)  # log w must exist
    truth = Truth(mdp, weights, gamma)
    assume(truth.values() is not None)
    bounds = Bounds(truth)
    assume(bounds.usable)
    gradient = truth.gradient(weights, Truth.values)
    check(objective_gradient(mdp, policy, gamma=gamma), gradient, bounds.gradient)


@given(mdp=processes(), gamma=st.sampled_from([0.0, 0.5, 0.875]), data=st.data())
@settings(max_examples=60, deadline=None)
def test_linear_solve_against_long_backward_induction(mdp, gamma, data):
    weights, policy = draw_policy(data, mdp)
    truth = Truth(mdp, weights, gamma)
    horizon = data.draw(st.sampled_from([1, 10, 300]))
    limit = policy_values(mdp, policy, gamma=gamma).values
    finite = horizon_values(mdp, policy, gamma=gamma, horizon=horizon).values[0]
    reward = Fraction(float(np.abs(mdp.reward).max()))
    # what lies beyond the horizon is worth at most γᴴ max|r|/(1−γ) (Puterman 1994, §6.1)
    beyond = Fraction(gamma) ** horizon * reward / (1 - Fraction(gamma))
    check(
        limit,
        fractions(finite),
        beyond + Bounds(truth).values + HorizonBounds(truth, horizon, Fraction(0)).values,
    )
    exact_tail = horizon_values(mdp, policy, gamma=gamma, horizon=horizon, bootstrap=limit)
    # with V as bootstrap every row is V: its own error is carried along, never enlarged
    worth = Fraction(float(np.abs(limit).max()))
    check(
        exact_tail.values,
        [fractions(limit)] * (horizon + 1),
        2 * Bounds(truth).values + HorizonBounds(truth, horizon, worth).values,
    )


# with a horizon


@given(
    seed=st.integers(0, 2**32),
    sizes=st.sampled_from([(1, 1, 1), (2, 2, 2), (3, 2, 2), (2, 3, 1), (3, 1, 3)]),
    gamma=GAMMAS,
    horizon=st.integers(1, 3),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_horizon_against_every_trajectory(seed, sizes, gamma, horizon, data):
    mdp = garnet(*sizes, seed=seed, ending=0.25)
    weights, policy = draw_policy(data, mdp)
    bootstrap = np.array(
        data.draw(st.lists(st.integers(-4, 4), min_size=mdp.states, max_size=mdp.states)),
        dtype=np.float64,
    )
    truth = Truth(mdp, weights, gamma)
    worth, visits = Fraction(0), [[Fraction(0)] * mdp.states for _ in range(horizon)]
    for probability, steps, last in trajectories(truth, horizon):
        discount = Fraction(1)
        for t, (state, _, reward) in enumerate(steps):
            visits[t][state] += probability * discount
            worth += probability * discount * reward
            discount *= truth.gamma
        if last is not None:
            worth += probability * discount * Fraction(bootstrap[last])
    bounds = HorizonBounds(truth, horizon, Fraction(4))
    settings_ = {"gamma": gamma, "horizon": horizon}
    got = horizon_objective(mdp, policy, **settings_, bootstrap=bootstrap)
    check([got], [worth], bounds.objective)
    check(horizon_visitation(mdp, policy, **settings_), visits, bounds.visits)


@given(mdp=processes(), gamma=GAMMAS, horizon=st.integers(1, 4), data=st.data())
@settings(max_examples=60, deadline=None)
def test_horizon_values_and_gradient_against_exact_derivative(mdp, gamma, horizon, data):
    weights, policy = draw_policy(data, mdp, least=1)
    bootstrap = data.draw(st.none() | st.just(np.arange(mdp.states) - 1.0))
    tail = [Fraction(0)] * mdp.states if bootstrap is None else fractions(bootstrap)
    truth = Truth(mdp, weights, gamma)
    bounds = HorizonBounds(truth, horizon, max(map(abs, tail)))
    arguments = {"gamma": gamma, "horizon": horizon, "bootstrap": bootstrap}
    rows = truth.horizon_values(horizon, tail)
    q = [[[truth.q(s, a, row) for a in truth.a] for s in truth.s] for row in rows[1:]]
    got = horizon_values(mdp, policy, **arguments)
    check(got.values, rows, bounds.values)
    check(got.action_values, q, bounds.values)
    advantages = [
        [[x - v for x in line] for line, v in zip(table, row, strict=True)]
        for table, row in zip(q, rows, strict=False)
    ]
    check(got.advantages, advantages, bounds.advantages)
    gradient = truth.gradient(weights, lambda other: other.horizon_values(horizon, tail)[0])
    check(horizon_gradient(mdp, policy, **arguments), gradient, bounds.gradient)


# larger processes: residuals within what elimination may leave


@pytest.mark.parametrize("gamma", [0.9, 0.999])
@pytest.mark.parametrize("name", ["garnet", "FrozenLake-v1"])
def test_bellman_residual_is_rounding(name, gamma):
    mdp = garnet(30, 4, 5, seed=1, ending=0.1) if name == "garnet" else from_gymnasium(name)
    n, m = mdp.states, mdp.actions
    policy = np.full((n, m), 1 / m)
    goes_on = np.where(mdp.terminal, 0.0, mdp.transition)
    moved = gamma * np.einsum("sa,sat->st", policy, goes_on)
    paid = np.einsum("sa,sat,sat->s", policy, mdp.transition, mdp.reward)
    paid_most = np.einsum("sa,sat,sat->s", policy, mdp.transition, np.abs(mdp.reward))
    order, lower, upper = scipy.linalg.lu(np.eye(n) - moved)
    factors = order @ np.abs(lower) @ np.abs(upper)
    v, d = policy_values(mdp, policy, gamma=gamma).values, visitation(mdp, policy, gamma=gamma)
    systems = (
        (moved, factors, v, paid, paid_most),
        (moved.T, factors.T, d, mdp.start, mdp.start),
    )
    for matrix, product_of_factors, x, right, right_most in systems:
        residual = np.abs(right + matrix @ x - x)
        # elimination solves (A + E)x = b with |E| ≤ γ_3n |L||U| (Higham 2002, theorem 9.4);
        # A is formed there and here by m + 2 roundings, b there by n + m and here by nm + 2;
        # the residual takes n + 2 more
        eliminating = float(rounding(3 * n)) * (product_of_factors @ np.abs(x))
        forming = float(rounding(n + 2 * m + 6)) * (np.abs(x) + matrix @ np.abs(x))
        paying = float(rounding(n * m + 2 * n + m + 4)) * right_most
        assert (residual <= eliminating + forming + paying).all()


# worked by hand, and claims


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("advance", [0.25, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_chain_has_its_closed_form(length, advance, gamma):
    p, g = Fraction(advance), Fraction(gamma)
    q = p / (1 - g * (1 - p))
    closed = [g ** (n - 1) * q**n for n in range(length, 0, -1)] + [Fraction(0)]
    mdp = chain(length)
    policy = np.tile([1 - advance, advance], (length + 1, 1))
    truth = Truth(mdp, fractions(policy), gamma)
    assert truth.values() == closed
    # q: the subtractions and products are exact here, the quotient is rounded once, so
    # γⁿ⁻¹qⁿ is a product of n rounded factors (γq rounded once more): 3n roundings
    bound = rounding(3 * length) * max(closed)
    check(chain_values(length, advance, gamma=gamma), closed, bound)
    check(policy_values(mdp, policy, gamma=gamma).values, closed, chain_bound(truth))


def chain_bound(truth):
    bounds = Bounds(truth)
    assert bounds.usable
    return bounds.values


@pytest.mark.parametrize("bonus", [0, 100, -3])
def test_bonus_leaves_the_gradient_of_the_two_button_game(bonus):
    mdp = two_button_game(bonus)
    for left in (0.25, 0.5, 0.75):  # exact in float64, and so is all that follows
        policy = np.array([[left, 1 - left], [0.5, 0.5]])
        assert objective(mdp, policy, gamma=1) == 2 * left - 1 + bonus
        slope = 2 * left * (1 - left)
        for gradient in (
            objective_gradient(mdp, policy, gamma=1),
            horizon_gradient(mdp, policy, gamma=1, horizon=2),
        ):
            assert gradient.tolist() == [[slope, -slope], [0, 0]]


def test_terminal_transition_pays_and_then_nothing():
    one = np.ones((1, 1, 1))
    endless = FiniteMDP(one, 3 * one, one < 0, np.ones(1))
    once = replace(endless, terminal=one > 0)
    policy = np.ones((1, 1))
    assert objective(endless, policy, gamma=0.5) == 6
    assert objective(once, policy, gamma=0.5) == 3
    assert objective(once, policy, gamma=1) == 3
    assert horizon_objective(endless, policy, gamma=0.5, horizon=2) == 4.5
    assert horizon_objective(once, policy, gamma=0.5, horizon=2, bootstrap=np.array([8.0])) == 3
    assert horizon_objective(endless, policy, gamma=0.5, horizon=2, bootstrap=np.array([8.0])) == (
        6.5
    )
    assert visitation(endless, policy, gamma=0.5).tolist() == [2]  # not normalised
    assert visitation(once, policy, gamma=0.5).tolist() == [1]


def test_dropping_the_bootstrap_at_a_time_limit_costs_its_discounted_value():
    mdp, right = corridor(4), np.tile([0.0, 1.0], (5, 1))
    true = policy_values(mdp, right, gamma=0.5).values
    arguments = {"gamma": 0.5, "horizon": 3}
    kept = horizon_objective(mdp, right, **arguments, bootstrap=true)
    dropped = horizon_objective(mdp, right, **arguments)
    assert kept == true[0] == -1.875  # powers of two: all exact
    assert dropped - kept == -(0.5**3) * true[3]


# refusals

EVEN = np.full((4, 2), 0.5)
CALLS = {
    "policy_values": (policy_values, {}),
    "visitation": (visitation, {}),
    "objective": (objective, {}),
    "objective_gradient": (objective_gradient, {}),
    "horizon_values": (horizon_values, {"horizon": 2}),
    "horizon_visitation": (horizon_visitation, {"horizon": 2}),
    "horizon_objective": (horizon_objective, {"horizon": 2}),
    "horizon_gradient": (horizon_gradient, {"horizon": 2}),
}
REFUSALS = {
    "mdp": ({"mdp": 3}, TypeError, "mdp came as int, wanted a FiniteMDP."),
    "list": (
        {"policy": [[1.0]]},
        TypeError,
        "policy came as list, wanted a floating-point array [S, A].",
    ),
    "rank": (
        {"policy": np.ones(4)},
        ValueError,
        "policy came with shape (4,), wanted [S, A].",
    ),
    "shape": (
        {"policy": EVEN[:3]},
        ValueError,
        "policy has shape (3, 2), but mdp has 4 states and 2 actions; they must agree.",
    ),
    "float32": (
        {"policy": EVEN.astype(np.float32)},
        TypeError,
        "policy came as dtype float32, wanted float64; pass policy.astype('float64').",
    ),
    "sum": (
        {"policy": EVEN * 1.5},
        ValueError,
        "policy[0] came with sum 1.5, wanted 1; divide the row by its sum.",
    ),
    "negative": (
        {"policy": np.tile([1.5, -0.5], (4, 1))},
        ValueError,
        "policy[0, 1] came as -0.5, wanted a probability.",
    ),
    "nan": (
        {"policy": EVEN * np.nan},
        ValueError,
        "policy[0, 0] came as nan, wanted a finite number.",
    ),
    "gamma": ({"gamma": 1.5}, ValueError, "gamma came as 1.5, wanted a number in [0, 1]."),
    "gamma array": (
        {"gamma": np.ones(3)},
        TypeError,
        "gamma came as ndarray, wanted a number in [0, 1].",
    ),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(name, case):
    function, extra = CALLS[name]
    change, kind, message = REFUSALS[case]
    arguments = {"mdp": chain(3), "policy": EVEN, "gamma": 0.5} | extra | change
    with pytest.raises(kind, match="^" + re.escape(f"{name}: {message}") + "$"):
        function(arguments.pop("mdp"), arguments.pop("policy"), **arguments)


@pytest.mark.parametrize("name", [name for name in CALLS if "horizon" in name])
def test_horizon_refusals(name):
    function, _ = CALLS[name]
    with pytest.raises(ValueError, match=f"^{name}: horizon came as 0, wanted an integer of at"):
        function(chain(3), EVEN, gamma=0.5, horizon=0)
    with pytest.raises(TypeError, match=f"^{name}: horizon came as float, wanted an integer"):
        function(chain(3), EVEN, gamma=0.5, horizon=2.0)
    if name != "horizon_visitation":
        with pytest.raises(ValueError, match=rf"^{name}: bootstrap has shape \(3,\), but mdp has"):
            function(chain(3), EVEN, gamma=0.5, horizon=2, bootstrap=np.zeros(3))
        with pytest.raises(TypeError, match=f"^{name}: bootstrap came as dtype float32, wanted"):
            function(chain(3), EVEN, gamma=0.5, horizon=2, bootstrap=np.zeros(4, np.float32))


def test_undiscounted_without_an_end_names_the_state():
    stay = np.tile([1.0, 0.0], (4, 1))
    with pytest.raises(ValueError, match="from state 0 the policy never reaches an end"):
        policy_values(chain(3), stay, gamma=1)
    stay[0] = [0, 1]
    with pytest.raises(ValueError, match="from state 0 the policy never reaches an end"):
        policy_values(chain(3), stay, gamma=1)
    last_only = np.array([[0, 1], [0, 1], [1, 0], [0, 1]], dtype=np.float64)
    with pytest.raises(ValueError, match="gamma below 1"):
        visitation(chain(3), last_only, gamma=1)


def test_undiscounted_with_ends_rarer_than_rounding_is_refused():
    one = np.array([[[1.0, 2.0**-60]], [[0.0, 1.0]]])
    ends = np.array([[[False, True]], [[True, True]]])
    mdp = FiniteMDP(one, one, ends, np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match=r"^objective: gamma .* with ends so rare"):
        objective(mdp, np.ones((2, 1)), gamma=1)
