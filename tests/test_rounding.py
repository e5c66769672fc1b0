"""Tracked numbers: their bounds hold for arithmetic that really rounds, in every order."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlverify.differentiation import Dual
from rlverify.reference._functions import reached
from rlverify.rounding import PRECISIONS, Tracked, blurred, exactly, lifted

U = PRECISIONS["float32"].unit
TINY = PRECISIONS["float32"].tiny
# odd numbers over powers of two: exact in float32, and their products are not
numbers = st.integers(-4095, 4095).map(lambda n: (2 * n + 1) / 256)
weights = st.integers(1, 999).map(lambda n: float(np.float32(n / 1000)))


def tracked(value):
    return Tracked(value, U)


def within(got, exact, bound):
    return abs(Fraction(float(got)) - exact) <= Fraction(bound) + Fraction(TINY)


@given(st.lists(st.tuples(numbers, weights), min_size=1, max_size=12), st.randoms())
def test_free_bound_holds_for_any_summation_tree(pairs, random):
    exact = sum(Fraction(x) * Fraction(w) for x, w in pairs)
    total = Tracked(0.0, U)
    for x, w in pairs:
        total = total + tracked(x) * tracked(w)
    parts = [np.float32(x) * np.float32(w) for x, w in pairs]
    while len(parts) > 1:  # join any two: every binary tree can come about
        random.shuffle(parts)
        parts.append(parts.pop() + parts.pop())
    assert within(parts[0], exact, total.free_bound())


@given(st.lists(st.tuples(numbers, weights), min_size=1, max_size=12))
def test_running_bound_holds_for_its_own_order(pairs):
    exact, value, total = Fraction(0), np.float32(0), Tracked(0.0, U)
    for x, w in pairs:
        exact = Fraction(x) + Fraction(w) * exact
        value = np.float32(x) + np.float32(w) * value
        total = tracked(x) + tracked(w) * total
    assert within(value, exact, total.running_bound())
    assert total.running_bound() <= total.free_bound() * (1 + 2**-40)


@given(numbers, numbers, numbers, weights)
def test_bounds_hold_for_quotients_roots_and_squares(a, b, c, w):
    def formula(x, y, z, u):
        return (x - y * u) / (np.sqrt((z - y) ** 2 + 1) + u)

    value = formula(*(np.float32(v) for v in (a, b, c, w)))
    bound = formula(*(tracked(v) for v in (a, b, c, w)))
    root = np.sqrt(np.longdouble(Fraction(c) - Fraction(b)) ** 2 + 1)
    exact = np.longdouble(Fraction(a) - Fraction(b) * Fraction(w)) / (root + np.longdouble(w))
    error = abs(np.longdouble(value) - exact)
    assert error <= bound.running_bound()
    assert error <= bound.free_bound()


def test_a_bound_that_forgot_a_rounding_would_be_seen():
    """The bound is within a small factor of what really happens: it is not merely huge."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(300):
        xs, ws = rng.integers(-4095, 4095, 8) / 256, rng.integers(1, 999, 8) / 1000
        ws = ws.astype(np.float32).astype(float)
        exact, value, total = Fraction(0), np.float32(0), Tracked(0.0, U)
        for x, w in zip(xs, ws, strict=True):
            exact = Fraction(x) + Fraction(w) * exact
            value = np.float32(x) + np.float32(w) * value
            total = tracked(x) + tracked(w) * total
        worst = max(worst, float(abs(Fraction(float(value)) - exact)) / total.running_bound())
    assert 0.2 < worst <= 1


def test_what_rounds_nothing_costs_nothing():
    value = tracked(3.0) * tracked(0.5) * 4 * -1 + 0
    assert (float(value), value.running_bound()) == (-6.0, 0.0)
    assert (tracked(3.0) * 0.3).running_bound() > 0
    assert (tracked(3.0) * 0 + tracked(0.0) * 0.3).free_bound() == 0


@given(st.lists(st.sampled_from((0.5, 1.0, 2.0, 0.25)), min_size=2, max_size=6), weights)
def test_free_bound_holds_where_a_factor_is_taken_out_of_a_sum(powers, w):
    """Σ wᵏ xₖ with x a power of two: no product by x rounds, but w · (x + …) does."""
    w32, exact, total = np.float32(w), Fraction(0), Tracked(0.0, U)
    weight, factored = tracked(1.0), np.float32(0)
    for k, x in enumerate(powers):
        exact += Fraction(w) ** k * Fraction(x)
        total = total + weight * tracked(x)
        weight = weight * tracked(w)
    for x in reversed(powers):
        factored = np.float32(x) + w32 * factored
    assert within(factored, exact, total.free_bound())


def test_arithmetic_with_nan_and_zero_is_that_of_ieee():
    nan, zero = tracked(float("nan")), tracked(0.0)
    assert np.isnan(float(nan * 0))
    assert np.isnan(float(zero / zero))
    assert float(tracked(-1.0) / zero) == -np.inf
    assert np.isnan(float(np.sqrt(tracked(-1.0))))


def test_integers_and_flags_are_not_lifted():
    arguments = {"n": 3, "on": np.array([True]), "x": np.array([1.5]), "g": 0.5, "mask": None}
    got = lifted(arguments, exactly)
    assert got["n"] == 3
    assert got["on"].dtype == bool
    assert got["x"][0] == Fraction(3, 2)
    assert got["g"] == Fraction(1, 2)
    assert got["mask"] is None


@given(numbers, numbers)
def test_dual_numbers_differentiate_exactly(a, b):
    x, y = Dual(Fraction(a), Fraction(1)), Dual(Fraction(b))
    got = (x * x * y - 3 * x) / (x**2 + 1) + (1 - x)
    top, slope = Fraction(a) ** 2 * Fraction(b) - 3 * Fraction(a), 2 * Fraction(a * b) - 3
    bottom = Fraction(a) ** 2 + 1
    wanted = (slope * bottom - top * 2 * Fraction(a)) / bottom**2 - 1
    assert got.slope == wanted


def test_the_root_of_a_dual_number():
    assert np.sqrt(Dual(4.0, 3.0)).slope == 0.75
    assert np.sqrt(Dual(0.0, 0.0)).slope == 0.0


@pytest.mark.parametrize("dtype", sorted(PRECISIONS))
def test_units_are_those_of_the_dtypes(dtype):
    import torch

    kind, precision = getattr(torch, dtype), PRECISIONS[dtype]
    widest = torch.finfo(torch.float32 if precision.storage else kind)
    assert precision.unit == widest.eps / 2
    assert precision.tiny == widest.tiny
    if precision.storage:
        assert precision.storage == torch.finfo(kind).eps / 2
        assert precision.storage_tiny == torch.finfo(kind).tiny


carried = st.integers(1, 400).map(float)  # an error from before, in units of u


@given(st.integers(1, 4095).map(lambda n: n / 64), carried, st.booleans())
def test_an_error_from_before_goes_through_roots_squares_and_quotients(value, error, free):
    """The bound covers the function at both ends of the interval, plus its own rounding."""
    x = Tracked(value, U, running=error, weight=error)
    exact, reach = Fraction(value), Fraction(error) * Fraction(U)
    bound = "free_bound" if free else "running_bound"
    for end in (exact - reach, exact + reach):
        moved = abs(end**2 - exact**2) + Fraction(U) * exact**2
        assert Fraction(getattr(x**2, bound)()) >= moved * Fraction(999, 1000)
        moved = abs(1 / end - 1 / exact) + Fraction(U) / exact
        assert Fraction(getattr(1 / x, bound)()) >= moved * Fraction(999, 1000)
        # √end lies further from √value than b exactly if (√value ± b)² does not reach end
        b = Fraction(getattr(np.sqrt(x), bound)()) - Fraction(U) * Fraction(value**0.5)
        root = Fraction(value**0.5)
        assert (root + b) ** 2 * Fraction(1001, 1000) >= end
        assert max(root - b, Fraction(0)) ** 2 * Fraction(999, 1000) <= end
    assert getattr(np.sqrt(x), bound)() >= U * error / (2 * value**0.5) * 0.999


def test_one_addition_of_two_numbers_rounds_once_however_they_cancel():
    """(a − μ)/σ near a = μ: the difference costs one rounding of itself, not of a."""
    a, b, w = 1 + 3 * 2.0**-23, 1.0, 0.7
    quotient = (tracked(a) - tracked(b)) / np.exp(tracked(w))
    assert (tracked(a) - tracked(b)).free_bound() <= U * (a - b) * (1 + 2**-20)
    assert quotient.free_bound() <= 8 * U * abs(quotient.value)
    # with a third term another tree may round what cancels later
    assert (tracked(a) - tracked(b) + tracked(w)).free_bound() >= U * (a + b)


def test_what_is_too_large_is_infinite_and_raises_nothing():
    huge, small = tracked(1e200), tracked(1e-200)
    with np.errstate(all="ignore"):
        for number in (huge * huge, huge**2, huge / small, (huge + 1) / (small + 1e-201)):
            assert np.isinf(float(number)) or float(number) > 1e300


def test_a_comparison_that_rounding_decides_has_two_right_answers():
    """0.1 + 0.2 against 0.3: either; against 0.5: one; exact numbers that are equal: one."""
    total = tracked(0.1) + tracked(0.2)
    assert reached(total, 0.3).free_bound() >= 1
    assert (reached(total, 0.5).value, reached(total, 0.5).free_bound()) == (1, 0)
    assert (reached(0.5, total).value, reached(0.5, total).free_bound()) == (0, 0)
    assert reached(tracked(0.5), 0.5).free_bound() == 0
    assert (reached(0.5, 0.5), reached(0.5, 0.25)) == (1, 0)


@pytest.mark.parametrize("stored", [0.0, 2.0**-8])
def test_a_blurred_number_carries_the_rounding_of_its_exponential(stored):
    """σ = e^x handed over with unit roundoff `stored` may be any of e^x (1 ± stored)."""
    (x,) = blurred(np.array([0.75]), U, stored)
    shift = max(stored, U)
    assert np.exp(x).free_bound() >= np.exp(0.75) * shift
    assert np.exp(x).free_bound() <= 20 * np.exp(0.75) * shift


def test_a_decision_of_zero_is_no():
    assert not reached(tracked(2.0), 1.0)
    assert reached(tracked(1.0), 2.0)
