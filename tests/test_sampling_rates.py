"""Sampled checks: their false-alarm rate and their power, computed exactly; the two stages.

On the two-button game the mean of n estimates is a function of how often the left button was
pressed, so that the probability of each verdict is a finite binomial sum. Nothing about rates and
power is simulated. What is drawn is drawn from fixed seeds.
"""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import scipy.stats

from rlverify.detection import (
    entropy_threshold,
    mean_threshold,
    norm_threshold,
)
from rlverify.observation import Frequencies
from rlverify.sampling import (
    frequency_check,
    mean_check,
)
from rlverify.staging import FIRST_RATE, POWER
from sampled_game import EXPECTED, GRADIENT, LEFT, RIGHT, SETTINGS, estimate


def failing(check, stage, *, shift=0.0, probability=0.75):
    """Exact probability that a stage of the check fails on the game, by the number of lefts."""
    n = check.n * (1, 4)[stage]
    rate = (FIRST_RATE, check.rate / FIRST_RATE)[stage]
    chance = 0.0
    for lefts in range(n + 1):
        draws = np.zeros((n, 4))
        draws[:lefts] = LEFT
        draws[:, 0] += shift
        measures = check.observation.measure(draws, rate)
        pairs = zip(measures, check.plan[stage], strict=True)
        if any(got.statistic > limit.threshold for got, limit in pairs):
            chance += scipy.stats.binom.pmf(lefts, n, probability)
    return chance


# rates and power, exactly


def test_a_right_estimator_is_reported_as_rarely_as_stated():
    check = mean_check(EXPECTED, GRADIENT, n=60, visible=0.3, **SETTINGS)
    first, second = failing(check, 0), failing(check, 1)
    assert 0 < first <= FIRST_RATE
    assert 0 < second <= 1e-6 / FIRST_RATE
    assert first * second <= 1e-6


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_bias_of_the_stated_size_is_found_as_often_as_stated(sign):
    check = mean_check(EXPECTED, GRADIENT, n=60, visible=0.3, **SETTINGS)
    found = [failing(check, stage, shift=sign * check.visible) for stage in (0, 1)]
    assert min(found) >= 1 - (1 - POWER) / 2
    assert found[0] * found[1] >= POWER
    # and it is not stated several times too large: a third of it mostly goes unseen
    assert failing(check, 0, shift=sign * check.visible / 3) < 0.5


def frequency_chance(check, stage, probability):
    """Probability that a stage fails for a coin that comes up 0 with that probability."""
    n = check.n * (1, 4)[stage]
    chance = 0.0
    for zeros in range(n + 1):
        draws = np.repeat([0, 1], [zeros, n - zeros])
        (measure,) = check.observation.measure(draws, 0.0)
        if measure.statistic > check.plan[stage][0].threshold:
            chance += scipy.stats.binom.pmf(zeros, n, probability)
    return chance


@pytest.mark.parametrize("p", [0.5, 0.8])
def test_a_coin_is_judged_at_the_stated_rate_and_power(p):
    check = frequency_check(np.array([p, 1 - p]), n=300, visible=0.25, **SETTINGS)
    assert check.plan[0][0].method == "multinomial"
    for stage, rate in ((0, FIRST_RATE), (1, 1e-6 / FIRST_RATE)):
        assert 0 < frequency_chance(check, stage, p) <= rate
        off = [q for q in (p - check.visible, p + check.visible) if 0 <= q <= 1]
        assert off
        for q in off:
            assert frequency_chance(check, stage, q) >= 1 - (1 - POWER) / 2


@pytest.mark.parametrize("shares", [(1, 2, 5), (1, 1, 1, 1), (1, 30, 1)])
def test_frequencies_of_a_few_outcomes_are_judged_at_the_stated_rate(shares):
    n, shares = 16, [Fraction(s, sum(shares)) for s in shares]
    observation = Frequencies(np.array([float(s) for s in shares]))
    for rate in (0.1, 1e-3):
        (limit,) = observation.limits(n, rate, rate)
        chance = Fraction(0)
        for counts in product(range(n + 1), repeat=len(shares)):
            if sum(counts) == n:
                draws = np.repeat(np.arange(len(shares)), counts)
                if observation.measure(draws, rate)[0].statistic > limit.threshold:
                    ways = math.factorial(n) // math.prod(math.factorial(c) for c in counts)
                    pairs = zip(shares, counts, strict=True)
                    chance += ways * math.prod(p**c for p, c in pairs)
        assert chance <= Fraction(rate)


def test_rare_outcomes_share_a_cell_and_what_they_hide_is_stated():
    probabilities = np.array([0.5, 0.001, 0.3, 0.002, 0.197, 0.0])
    observation = Frequencies(probabilities)
    for n, cells in (
        (4, [0, 0, 0, 0, 0, 0]), (20, [0, 2, 1, 2, 2, 0]), (1000, [0, 3, 1, 3, 2, 0]),
        (2500, [0, 4, 1, 2, 3, 0]), (5000, [0, 1, 2, 3, 4, 0]),
    ):  # fmt: skip
        assert observation.cells(n).tolist() == cells
    # a last outcome, impossible, is avoided by n draws with probability (1 − x)ⁿ ≤ exp(−nx)
    moved = math.log(1 / 5e-4)
    for n, inside in ((1000, 0.003), (2500, 0.0), (5000, 0.0)):
        (limit,) = observation.limits(n, 1e-3, 5e-4)
        hidden = entropy_threshold(n, cells=len(set(observation.cells(n))), rate=5e-4).value
        shown = math.sqrt(limit.threshold / (4 * n)) + math.sqrt(hidden / (4 * n))
        assert abs(limit.visible - shown - inside - moved / n) <= 16 * 2.0**-53
    # with one cell there is nothing to see
    assert observation.limits(4, 1e-3, 5e-4)[0].visible > 1


# two stages


def test_a_first_stage_that_fails_by_chance_is_not_the_verdict():
    check = mean_check(EXPECTED, GRADIENT, n=60, visible=0.3, **SETTINGS)
    calls = []

    def unlucky(generator):
        calls.append(1)
        return RIGHT if len(calls) <= 60 else estimate(generator)

    verdict = check.run(unlucky)
    assert verdict.ok
    assert [(stage.n, stage.holds) for stage in verdict.stages] == [(60, False), (240, True)]
    assert len(calls) == 300
    # an honest one is drawn 60 times and no more
    calls.clear()
    assert len(check.run(lambda g: calls.append(1) or estimate(g)).stages) == 1
    assert len(calls) == 60


def test_stages_draw_afresh_and_seeds_repeat_them():
    seen = []

    def record(generator):
        seen.append(generator.random())
        return RIGHT

    check = mean_check(EXPECTED, GRADIENT, n=60, visible=0.3, **SETTINGS)
    assert not check.run(record).ok
    assert len(set(seen)) == 300
    again, seen[:] = list(seen), []
    check.run(record)
    assert seen == again
    other = mean_check(EXPECTED, GRADIENT, n=60, visible=0.3, rate=1e-6, seed=1)
    seen.clear()
    other.run(record)
    assert not set(seen) & set(again)


def test_limits_worked_by_hand():
    """Two elements that vary, between 0 and ½ at ¾: each at a quarter of the rate."""
    observation = mean_check(EXPECTED, GRADIENT, n=60, visible=0.3, **SETTINGS).observation
    # σ = √(3/16)/2, and 3/8 is as far as it goes
    one = {"deviation": math.sqrt(3) / 8, "third": 15 / 1024, "largest": 3 / 8}
    for n, method in ((60, "Bernstein"), (10**7, "normal")):
        each, _ = observation.limits(n, 0.1, 0.01)
        at, hidden = mean_threshold(n, **one, rate=0.025), mean_threshold(n, **one, rate=0.01)
        assert each.threshold == 1
        assert each.method == at.method == method
        assert abs(each.visible - at.value - hidden.value) <= 16 * 2.0**-53 * each.visible
    _, together = observation.limits(60, 0.1, 0.01)
    # one direction, and the two elements' deviation, 3/8 √2, is √3 of its standard deviations
    whitened = {"rank": 1, "reach": math.sqrt(3)}
    at, hidden = (norm_threshold(60, **whitened, rate=rate).value for rate in (0.05, 0.01))
    assert abs(together.threshold - at) <= 64 * 2.0**-53 * at
    assert abs(together.visible - (at + hidden) / math.sqrt(60)) <= 64 * 2.0**-53 * at


def test_what_cannot_happen_needs_one_draw():
    """State 1 is never met, so its elements are 0 in every draw; 10⁻³⁰⁰ is wrong."""
    check = mean_check(EXPECTED, GRADIENT, n=60, visible=0.3, **SETTINGS)
    verdict = check.run(lambda g: estimate(g) + np.array([0, 0, 0, 1e-300]))
    assert not verdict.ok
    assert len(verdict.stages) == 1
    assert verdict.stages[0].findings[-1].where == (
        "element 3, always 0.0, which was 1e-300 in draw 0"
    )
    check = frequency_check(np.array([0.5, 0.5, 0.0]), n=500, visible=0.2, **SETTINGS)
    verdict = check.run(lambda g, n: np.append(g.integers(0, 2, n - 1), 2))
    assert not verdict.ok
    assert verdict.stages[0].findings[-1].where == "outcome 2, of probability 0, in draw 499"
    # twice the draw where it is rarest: it is no matter of frequencies
    assert verdict.stages[0].findings[0].holds
