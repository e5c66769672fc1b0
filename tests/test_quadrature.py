"""Gauss–Hermite quadrature: its rule against exact ones, polynomials, and what it refuses."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlverify import quadrature
from rlverify.quadrature import gaussian_expectation, gradient_estimators, rule
from rlverify.rounding import Tracked

U = 2.0**-53


def tracked_rule(nodes):
    """Return the rule as numbers that carry the measured errors of nodes and weights."""
    return tuple(
        np.array([Tracked(x, U, weight=k * abs(x), running=k * abs(x)) for x in numbers.tolist()],
                 dtype=object)
        for numbers, k in zip(rule(nodes),
                              (quadrature.NODE_UNITS, quadrature.WEIGHT_UNITS), strict=True)
    )  # fmt: skip


def moment(power):
    """Return E x^power of a standard normal number."""
    return 0 if power % 2 else math.prod(range(1, power, 2))


def exact_mean(coefficients, mean, std):
    """Return E Σ c_k (μ + σx)^k in fractions."""
    return sum(
        c * math.comb(k, j) * mean ** (k - j) * std**j * moment(j)
        for k, c in enumerate(coefficients)
        for j in range(k + 1)
    )


def polynomial(coefficients):
    def value(actions):
        total = 0 * actions
        for c in reversed(coefficients):
            total = total * actions + c
        return total

    return value


@pytest.mark.parametrize("nodes", [1, 2, 3, 8, 33, 128, 256])
def test_nodes_and_weights_are_as_accurate_as_stated(nodes):
    """Against roots and weights to 60 digits: Newton's iteration from NumPy's nodes."""
    with mpmath.workdps(60):

        def hermite(x):
            before, value = mpmath.mpf(0), mpmath.mpf(1)
            for k in range(nodes):
                before, value = value, x * value - k * before
            return before, value

        # symmetric, so half of them tell all
        assert (rule(nodes)[0] == -rule(nodes)[0][::-1]).all()
        upper = (numbers[nodes // 2 :].tolist() for numbers in rule(nodes))
        for point, weight in zip(*upper, strict=True):
            root = mpmath.mpf(0 if 2 * abs(point) < U else point)
            for _ in range(3):  # each doubles the digits, from sixteen
                before, value = hermite(root)
                root -= value / (nodes * before)
            before, value = hermite(root)
            exact = mpmath.factorial(nodes) / (nodes * before) ** 2
            assert abs(point - root) <= quadrature.NODE_UNITS * U * abs(root)
            assert abs(weight - exact) <= quadrature.WEIGHT_UNITS * U * exact
    assert len(set(rule(nodes)[0].tolist())) == nodes  # the roots are distinct, so all are there


@given(
    nodes=st.integers(1, 12),
    mean=st.integers(-8, 8),
    std=st.integers(1, 8),
    data=st.data(),
)
def test_polynomials_below_twice_the_nodes_are_exact_up_to_rounding(nodes, mean, std, data):
    coefficients = data.draw(
        st.lists(st.integers(-9, 9), min_size=1, max_size=min(2 * nodes, 12)), "coefficients"
    )
    mean, std, function = mean / 4, std / 4, polynomial(coefficients)
    points, weights = tracked_rule(2 * nodes)
    allowed = 2 * (weights @ function(mean + std * points)).free_bound()
    wanted = exact_mean(coefficients, Fraction(mean), Fraction(std))
    found = gaussian_expectation(function, mean, std, nodes=nodes)
    assert abs(Fraction(found.mean) - wanted) <= allowed
    points, weights = tracked_rule(nodes)
    once = 2 * (weights @ function(mean + std * points)).free_bound()
    assert found.error <= allowed + once  # doubling the nodes changes nothing but roundings


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5])
def test_the_first_power_beyond_is_wrong_by_the_stated_term(nodes):
    """For x²ⁿ the error n! f⁽²ⁿ⁾/(2n)! is n!, and doubling the nodes shows exactly that."""
    found = gaussian_expectation(lambda a: a ** (2 * nodes), 0.0, 1.0, nodes=nodes)
    bound = sum(
        (weights @ polynomial([0] * (2 * nodes) + [1])(points)).free_bound()
        for points, weights in (tracked_rule(nodes), tracked_rule(2 * nodes))
    )
    assert abs(found.mean - moment(2 * nodes)) <= bound
    assert abs(found.error - math.factorial(nodes)) <= 2 * bound


def test_covariances_are_those_of_the_columns():
    """Of (a, a²) at μ = 1, σ = 2: Var a = 4, Cov = 2μσ² = 8, Var a² = 2σ⁴ + 4μ²σ² = 48."""
    found = gaussian_expectation(lambda a: np.stack([a, a * a], axis=1), 1.0, 2.0, nodes=4)
    wanted = np.array([[4, 8], [8, 48]])
    points, weights = tracked_rule(8)
    actions = 1.0 + 2.0 * points
    centred = np.stack([actions - 1, actions * actions - 5], axis=1)
    for i in range(2):
        for j in range(2):
            bound = (weights @ (centred[:, i] * centred[:, j])).free_bound()
            assert abs(found.covariance[i, j] - wanted[i, j]) <= 2 * bound
    alone = gaussian_expectation(lambda a: a * a, 1.0, 2.0, nodes=4)
    assert isinstance(alone.mean, float)
    mean = (weights @ (actions * actions)).free_bound()
    assert abs(alone.mean - 5) <= 2 * mean
    spread = (weights @ (centred[:, 1] * centred[:, 1])).free_bound()
    assert abs(alone.covariance - 48) <= 2 * spread


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"function": 3}, TypeError, "function came as int, wanted a function."),
        ({"mean": "0"}, TypeError, "mean came as str, wanted a number."),
        ({"std": 0.0}, ValueError, "std came as 0.0, wanted a finite number above 0."),
        ({"nodes": 2.0}, TypeError, "nodes came as float, wanted an integer."),
        ({"nodes": 0}, ValueError, "nodes came as 0, wanted an integer of at least 1."),
        (
            {"nodes": 129}, ValueError,
            "nodes came as 129, wanted at most 128; where so many do not suffice, the function "
            "is not smooth: sum over its smooth pieces instead.",
        ),
        (
            {"function": lambda a: 1.0}, ValueError,
            "function returned shape (), wanted (4,) or (4, P) for 4 actions.",
        ),
        (
            {"function": lambda a: a[1:]}, ValueError,
            "function returned shape (3,), wanted (4,) or (4, P) for 4 actions.",
        ),
    ],
)  # fmt: skip
def test_what_is_no_expectation_is_refused(changes, error, message):
    arguments = {"function": np.sin, "mean": 0.0, "std": 1.0, "nodes": 4, **changes}
    with pytest.raises(error) as refusal:
        gaussian_expectation(**arguments)
    assert str(refusal.value) == f"gaussian_expectation: {message}"


def test_without_a_slope_there_is_the_score_alone():
    both = gradient_estimators(np.sin, np.cos, 0.5, 1.0, nodes=20)
    alone = gradient_estimators(np.sin, None, 0.5, 1.0, nodes=20)
    assert alone.pathwise is None
    assert (alone.score.mean == both.score.mean).all()
    with pytest.raises(TypeError, match=r"^gradient_estimators: reward_gradient came as int"):
        gradient_estimators(np.sin, 3, 0.5, 1.0, nodes=20)
