"""Operators of off-policy returns against sums over trajectories, in fractions."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_cases import deterministic, some
from off_policy_problems import (
    given_action,
    q_form,
    returned,
    settings_of,
    shares,
    tables,
    trajectories,
)
from rational_mdp import Truth
from rlverify.correction import OffPolicy, Operator, series
from rlverify.enumeration import rational_policy

HALF = Fraction(1, 2)
steps = st.integers(1, 3)


@some
@given(where=settings_of(), horizon=steps, of_v=st.booleans(), data=st.data())
def test_mean_and_variance_are_sums_over_trajectories(where, horizon, of_v, data):
    """Any coefficients, also above π/μ: the suite's return on every trajectory, weighted."""
    shape = where.policy.shape
    trust, critic = 2 * data.draw(shares(shape)), data.draw(tables(shape))
    correction = q_form(where, trust, errors="V" if of_v else "Q")
    found = where.moments(correction, critic, horizon)
    means = where.operator(correction, horizon)(critic)
    for s, a in np.ndindex(shape):
        every = trajectories(where, horizon, s)
        met, chances = given_action(where, every, a)
        targets = returned(where, every, trust, critic, of_v=of_v)[met]
        mean, i = chances @ targets, s * shape[1] + a
        assert mean == found.mean[i] == means[i]
        assert chances @ (targets - mean) ** 2 == found.variance[i]


def summed_vtrace(where, found, critic, trust, weight):
    """Espeholt et al. 2018, eq. 1, term by term: V + Σ γᵗ (Π_{i<t} cᵢ) ρ̂ₜ δₜ."""
    total, product_so_far = critic[found.states[0]], Fraction(1)
    for t in range(len(found.mask)):
        here, action, entered = found.states[t], found.actions[t], found.states[t + 1]
        follows = np.where(found.terminated[t], Fraction(0), critic[entered])
        error = found.rewards[t] + where.gamma * follows - critic[here]
        term = product_so_far * weight[here, action] * error
        total = total + where.gamma**t * np.where(found.mask[t], term, Fraction(0))
        product_so_far = product_so_far * trust[here, action]
    return total


@some
@given(where=settings_of(), horizon=steps, data=st.data())
def test_v_trace_is_a_sum_over_trajectories(where, horizon, data):
    shape = where.policy.shape
    critic = data.draw(tables(shape[:1]))
    levels = st.sampled_from([HALF, Fraction(1), Fraction(2), float("inf")])
    weight, trust = (np.minimum(where.ratios, data.draw(levels)) for _ in range(2))
    one = Fraction(1) + 0 * weight
    parts = {"carried": trust, "weight": weight, "errors": "V", "table": "V"}
    correction = q_form(where, one, **parts)
    found = where.moments(correction, critic, horizon)
    means = where.operator(correction, horizon)(critic)
    for s in range(shape[0]):
        every = trajectories(where, horizon, s)
        targets = summed_vtrace(where, every, critic, trust, weight)
        mean = every.probabilities @ targets
        assert mean == found.mean[s] == means[s]
        assert every.probabilities @ (targets - mean) ** 2 == found.variance[s]


@some
@given(where=settings_of(), horizon=steps, data=st.data())
def test_traces_are_sums_over_trajectories(where, horizon, data):
    trust = 2 * data.draw(shares(where.policy.shape))
    found = where.traces(q_form(where, trust), horizon)
    for t, (mean, variance) in enumerate(found):
        first = second = Fraction(0)
        for s in np.flatnonzero(where.mdp.start):
            every = trajectories(where, horizon, s)
            weights = trust[every.states[:-1], every.actions]
            products = np.multiply.reduce(weights[1 : t + 1], axis=0, initial=Fraction(1))
            products = np.where(every.mask[t], products, Fraction(0))
            chances = Fraction(where.mdp.start[s]) * every.probabilities
            first, second = first + chances @ products, second + chances @ products**2
        assert (mean, variance) == (first, second - first**2)


@some
@given(where=settings_of(), data=st.data())
def test_without_a_horizon_the_moments_reproduce_themselves(where, data):
    """E Δ = E[δ + γ c′ Δ′] and E Δ² = E[(δ + γ c′ Δ′)²], scalar by scalar."""
    shape = where.policy.shape
    trust, critic = where.ratios * data.draw(shares(shape)), data.draw(tables(shape))
    correction = q_form(where, trust)
    found = where.moments(correction, critic)
    truth = Truth(where.mdp, where.policy.tolist(), where.gamma)
    values = (where.policy * critic).sum(axis=1)
    mean = (found.mean - critic.ravel()).reshape(shape)
    if found.variance is not None:
        square = found.variance.reshape(shape) + mean**2
    for s, a in np.ndindex(shape):
        first = second = Fraction(0)
        for after in truth.s:
            chance, over = truth.p[s][a][after], where.mdp.terminal[s, a, after]
            error = truth.r[s][a][after] + (0 if over else where.gamma * values[after])
            error -= critic[s, a]
            first += chance * error
            second += chance * error**2
            for b in [] if over else truth.a:
                met = chance * where.behaviour[after, b]
                carried = where.gamma * trust[after, b]
                first += met * carried * mean[after, b]
                if found.variance is not None:
                    crossed = 2 * error * carried * mean[after, b]
                    second += met * (crossed + carried**2 * square[after, b])
        assert mean[s, a] == first
        assert found.variance is None or square[s, a] == second


def walk():
    """Three steps, whatever is done, and then an end; both policies differ."""
    moves = {(s, a): (s + 1, s + 3.0 * a, s == 2) for s, a in product(range(3), range(2))}
    mdp = deterministic(moves)
    policy, behaviour = rational_policy([[1, 3]] * 4), rational_policy([[1, 1]] * 4)
    return OffPolicy(mdp, policy, behaviour, HALF)


@pytest.mark.parametrize("factor", [1, 3])
def test_where_everything_ends_no_horizon_is_a_long_one(factor):
    where = walk()
    correction = q_form(where, factor * where.ratios)
    critic = where.policy * 5
    endless, long = where.operator(correction), where.operator(correction, 4)
    assert (endless.matrix == long.matrix).all()
    assert (endless.constant == long.constant).all()
    for one, other in zip(where.moments(correction, critic),
                          where.moments(correction, critic, 4), strict=True):  # fmt: skip
        assert (one == other).all()


@some
@given(where=settings_of())
def test_truth_is_solved_elsewhere_too(where):
    truth = Truth(where.mdp, where.policy.tolist(), where.gamma)
    values = truth.values()
    assert where.values.tolist() == values
    wanted = [[truth.q(s, a, values) for a in truth.a] for s in truth.s]
    assert where.action_values.tolist() == wanted


def test_floats_say_the_same():
    """By another inverse, and another test of convergence; no number here is rounded."""
    exact = walk()
    policies = (exact.policy.astype(float), exact.behaviour.astype(float))
    rounded = OffPolicy(exact.mdp, *policies, 0.5)
    one = rounded.operator(q_form(rounded, rounded.ratios))
    other = exact.operator(q_form(exact, exact.ratios))
    assert one.matrix.dtype == np.float64
    assert (one.matrix == other.matrix.astype(float)).all()
    assert (one.constant == other.constant.astype(float)).all()


def test_a_series_converges_or_not():
    """Σ Bᵗ: of ½ it is 2, of 1 and of 2 it is nothing; a nilpotent B of any size converges."""
    for entry, total in ((HALF, 2), (Fraction(1), None), (Fraction(2), None)):
        one = np.array([[entry]], dtype=object)
        for matrix in (one, one.astype(float)):
            found = series(matrix, None)
            assert (found is None) if total is None else found[0, 0] == total
    shift = np.array([[Fraction(0), Fraction(9)], [Fraction(0), Fraction(0)]], dtype=object)
    assert series(shift, None).tolist() == [[1, 9], [0, 1]]
    # (I − B)⁻¹ exists and is no sum: 1/(1 − 2) = −1
    assert series(np.array([[Fraction(2)]], dtype=object), 3)[0, 0] == 7


def test_what_never_errs_does_not_scatter():
    """One state that pays 0 for ever, and the exact critic: products explode, times nothing."""
    mdp = deterministic({(0, a): (0, 0.0, False) for a in (0, 1)})
    policies = rational_policy([[7, 1]]), rational_policy([[1, 1]])
    where = OffPolicy(mdp, *policies, Fraction(7, 8))
    correction = q_form(where, where.ratios)
    assert where.moments(correction, where.action_values).variance.tolist() == [0, 0]
    assert where.moments(correction, where.action_values + where.policy).variance is None


def test_a_fixed_point_that_is_not_alone_is_none():
    still = Operator(np.array([[Fraction(1)]], dtype=object), np.array([Fraction(0)], dtype=object))
    assert still.fixed_point is None
    assert still.factor == 1


def test_refusals():
    where = walk()
    with pytest.raises(ValueError, match=r"gamma came as 2, wanted"):
        OffPolicy(where.mdp, where.policy, where.behaviour, Fraction(2))
    with pytest.raises(ValueError, match=r"OffPolicy: behaviour has shape \(1, 2\)"):
        OffPolicy(where.mdp, where.policy, where.behaviour[:1], HALF)
    apart = rational_policy([[1, 0]] * 4), rational_policy([[0, 1]] * 4)
    with pytest.raises(ValueError, match="no action in common"):
        OffPolicy(where.mdp, *apart, HALF).clipped(1)
