"""Thresholds: what chance exceeds with at most the stated probability, held against exact tails.

A tail is exact where all tables of counts are listed with their multinomial probability, as
fractions; the binomial ones are SciPy's. Nothing is simulated.
"""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from rlverify.detection import (
    BERRY_ESSEEN,
    entropy_threshold,
    exact_entropy_threshold,
    kolmogorov_threshold,
    likelihood_ratio,
    mean_threshold,
    noncentrality,
    norm_threshold,
    tables,
)

RATES = [0.2, 1e-2, 1e-3, 1e-6]
rates = pytest.mark.parametrize("rate", RATES)


def coin(p):
    """Moments of a toss that gives 1 with probability p, else 0."""
    q = 1 - p
    return {
        "deviation": math.sqrt(p * q),
        "third": p * q * (p * p + q * q),
        "largest": max(p, q),
    }


def binomial_tail(n, p, away):
    """P(|mean − p| > away) of n tosses; SciPy's error is far below any rate used here."""
    tosses = scipy.stats.binom(n, p)
    above, below = math.floor(n * (p + away)), math.ceil(n * (p - away))
    return tosses.sf(above) + (tosses.cdf(below - 1) if below > 0 else 0)


def listed(n, shares):
    """Every table of n draws with its probability as a fraction, by plain enumeration."""
    for counts in product(range(n + 1), repeat=len(shares)):
        if sum(counts) == n:
            ways = math.factorial(n) // math.prod(math.factorial(c) for c in counts)
            yield counts, ways * math.prod(p**c for p, c in zip(shares, counts, strict=True))


# means


@rates
@pytest.mark.parametrize("p", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("n", [1, 20, 1000, 100_000])
def test_a_mean_exceeds_its_threshold_as_rarely_as_stated(n, p, rate):
    threshold = mean_threshold(n, **coin(p), rate=rate)
    assert binomial_tail(n, p, threshold.value) <= rate


@pytest.mark.parametrize("p", [0.5, 0.2])
def test_the_normal_threshold_pays_for_its_error(p):
    n = 10_000_000
    threshold = mean_threshold(n, **coin(p), rate=0.01)
    assert threshold.method == "normal"
    assert binomial_tail(n, p, threshold.value) <= 0.01
    # the quantile alone is smaller: the rate that is left is less than the rate
    quantile = coin(p)["deviation"] / math.sqrt(n) * scipy.stats.norm.isf(0.005)
    assert threshold.value > quantile
    cost = 2 * BERRY_ESSEEN * coin(p)["third"] / (coin(p)["deviation"] ** 3 * math.sqrt(n))
    level = 2 * scipy.stats.norm.sf(threshold.value * math.sqrt(n) / coin(p)["deviation"])
    assert level <= 0.01 - 0.99 * cost


def test_normal_only_where_the_error_is_a_tenth_of_the_rate():
    # 2 · 0.4748 / √n = 0.1 · 0.001
    switch = round((2 * 0.4748 / 1e-4) ** 2)
    assert switch == 90_174_016
    for n, method in ((switch - 1000, "Bernstein"), (switch + 1000, "normal")):
        assert mean_threshold(n, deviation=1, third=1, largest=1, rate=1e-3).method == method


def test_bernstein_tends_to_its_gaussian_form():
    """ε√n/σ → √(2 log(2/rate)), which a right constant approaches and a wrong one does not."""
    for rate in RATES:
        n = 10**30
        value = mean_threshold(n, deviation=1, third=10**15, largest=1, rate=rate)
        assert value.method == "Bernstein"
        limit = math.sqrt(2 * math.log(2 / rate))
        # above it by ML/3√n, at most, and by rounding
        over = value.value * math.sqrt(n) / limit - 1
        assert abs(over) <= math.log(2 / rate) / math.sqrt(n) + 8 * 2.0**-53


@given(st.integers(1, 10**9), st.floats(1e-3, 1), st.floats(1, 100), st.sampled_from(RATES))
def test_bernstein_solves_its_equation(n, deviation, largest, rate):
    """2 exp(−t²/2 / (nσ² + Mt/3)) = rate at t = nε, up to rounding."""
    epsilon = mean_threshold(
        n, deviation=deviation, third=largest**3 * n, largest=largest, rate=rate
    )
    t = n * epsilon.value
    exponent = t**2 / 2 / (n * deviation**2 + largest * t / 3)
    # each side is a handful of operations, and the exponent is linear in the errors
    assert abs(exponent - math.log(2 / rate)) <= 32 * 2.0**-53 * exponent


def test_what_never_varies_has_no_threshold():
    assert mean_threshold(3, deviation=0, third=0, largest=0, rate=0.1).value == 0
    assert norm_threshold(3, rank=0, reach=0, rate=0.1).value == 0
    assert entropy_threshold(3, cells=1, rate=0.1).value == 0


@pytest.mark.parametrize("p", [0.5, 0.2, (4 - math.sqrt(10)) / 2, 0.02])
def test_the_constant_of_berry_and_esseen(p):
    """It covers coins, and Esseen's own coin comes within 3 % of the smallest it could be."""
    ratios = []
    for n in (1, 2, 5, 50, 1000):
        tosses = np.arange(n + 1)
        normal = scipy.stats.norm.cdf((tosses - n * p) / math.sqrt(n * p * (1 - p)))
        law = scipy.stats.binom(n, p)
        away = max(
            np.abs(law.cdf(tosses) - normal).max(), np.abs(law.cdf(tosses - 1) - normal).max()
        )
        moments = coin(p)
        ratios.append(away * math.sqrt(n) * moments["deviation"] ** 3 / moments["third"])
    assert max(ratios) <= BERRY_ESSEEN
    if p == (4 - math.sqrt(10)) / 2:
        esseen = (math.sqrt(10) + 3) / (6 * math.sqrt(2 * math.pi))
        assert 0.97 * esseen < max(ratios) <= esseen < BERRY_ESSEEN


# many dimensions


@rates
@pytest.mark.parametrize("shares", [(1, 1), (1, 7), (2, 3, 3), (1, 1, 1, 5)])
@pytest.mark.parametrize("n", [1, 5, 12])
def test_the_length_of_a_whitened_mean(n, shares, rate):
    """For one-hot draws n‖·‖² is Pearson's Σ (c − np)²/np, and its tail is listed."""
    shares = [Fraction(s, sum(shares)) for s in shares]
    reach = math.sqrt(max((1 - p) / p for p in shares))
    threshold = norm_threshold(n, rank=len(shares) - 1, reach=reach, rate=rate).value
    tail = sum(
        chance
        for counts, chance in listed(n, shares)
        if sum((c - n * p) ** 2 / (n * p) for c, p in zip(counts, shares, strict=True))
        > Fraction(threshold) ** 2
    )
    assert tail <= Fraction(rate)


@rates
@pytest.mark.parametrize("rank", [1, 2, 8, 32])
def test_the_length_is_not_far_from_the_gaussian_one(rank, rate):
    """For many draws the length lies above the χ quantile, and below √r + √(2L)."""
    value = norm_threshold(10**20, rank=rank, reach=1, rate=rate).value
    assert value >= math.sqrt(scipy.stats.chi2.isf(rate, rank))
    size = math.log(1 / rate)
    # √(1 + x) ≤ 1 + x/2, and the last term is what one draw can do
    rest = math.sqrt(2 * size * rank / 10**20) + size / (3 * 10**10)
    assert value <= (math.sqrt(rank) + math.sqrt(2 * size) + rest) * (1 + 8 * 2.0**-53)


def test_the_length_worked_by_hand():
    """n = 4, r = 4, M = 3, L = 2: 2 + √(4 (1 + 6)) + 6/6."""
    got = norm_threshold(4, rank=4, reach=3, rate=math.exp(-2)).value
    assert abs(got - (3 + math.sqrt(28))) <= 16 * 2.0**-53 * got


def test_noncentralities_are_those_of_the_tolerance_policy():
    found = [noncentrality(r, rate=1e-6, power=0.999) for r in (1, 4, 8, 32)]
    assert [round(x, 1) for x in found] == [63.7, 74.9, 84.2, 115.9]


def test_noncentrality_of_one_dimension_is_that_of_two_normal_tails():
    """P(|Z + √Λ| > z) passes through the power within the digit that is stated."""
    rate, power = 1e-6, 0.999
    found = noncentrality(1, rate=rate, power=power)
    z = scipy.stats.norm.isf(rate / 2)
    for size, above in ((found - 0.05, False), (found + 0.05, True)):
        root = math.sqrt(size)
        got = scipy.stats.norm.sf(z - root) + scipy.stats.norm.cdf(-z - root)
        assert (got > power) == above


# frequencies


@rates
@pytest.mark.parametrize("shares", [(1, 1), (1, 7), (2, 3, 3), (1, 1, 1, 5)])
@pytest.mark.parametrize("n", [1, 5, 12])
def test_frequencies_exceed_their_thresholds_as_rarely_as_stated(n, shares, rate):
    exact = [Fraction(s, sum(shares)) for s in shares]
    floats = np.array([float(p) for p in exact])
    rows = list(listed(n, exact))
    assert len(rows) == tables(n, len(shares))
    counts = np.array([row for row, _ in rows], dtype=float)
    statistics = likelihood_ratio(counts, floats)
    bound = entropy_threshold(n, cells=len(shares), rate=rate).value
    sharp = exact_entropy_threshold(n, probabilities=floats, rate=rate).value
    for threshold in (bound, sharp):
        pairs = zip(rows, statistics, strict=True)
        assert sum(chance for (_, chance), g in pairs if g > threshold) <= Fraction(rate)
    # the exact one is as small as it can be: to reject its own tables too would be too much.
    # equal up to rounding are those within the slack that the threshold itself contains
    pairs = zip(rows, statistics, strict=True)
    assert sum(chance for (_, chance), g in pairs if g >= sharp * (1 - 2.0**-28)) > Fraction(rate)
    assert sharp <= bound * (1 + 2.0**-29)


def test_tables_that_differ_in_order_only_are_judged_alike():
    """Their G is the same number, and comes out differently by rounding."""
    even, verdicts, roundings = np.full(3, 1 / 3), {}, {}
    counts = [c for c in product(range(13), repeat=3) if sum(c) == 12]
    statistics = likelihood_ratio(np.array(counts, dtype=float), even)
    for level in range(1, 64):
        threshold = exact_entropy_threshold(12, probabilities=even, rate=level / 64).value
        for table, statistic in zip(counts, statistics.tolist(), strict=True):
            key = (level, *sorted(table))
            verdicts.setdefault(key, set()).add(statistic > threshold)
            roundings.setdefault(key, set()).add(statistic)
    assert max(map(len, roundings.values())) > 1
    assert max(map(len, verdicts.values())) == 1


def test_likelihood_ratio_is_twice_the_divergence():
    """3 of 4 where half was expected: 2 (3 log 3/2 + log 1/2)."""
    got = likelihood_ratio(np.array([[3.0, 1.0]]), np.array([0.5, 0.5]))[0]
    wanted = 2 * (3 * math.log(1.5) + math.log(0.5))
    assert abs(got - wanted) <= 16 * 2.0**-53 * 2 * (3 * math.log(1.5) + math.log(2))


# distribution functions


@rates
@pytest.mark.parametrize("n", [1, 10, 1000])
def test_distribution_functions_exceed_their_threshold_as_rarely_as_stated(n, rate):
    value = kolmogorov_threshold(n, rate=rate).value
    assert value >= 1 or scipy.stats.kstwo.sf(value, n) <= rate
    if n == 1000 and rate < 0.1:
        # and not much more rarely: the constant is sharp
        assert scipy.stats.kstwo.sf(value, n) >= rate / 2
