"""Sampled checks: their false-alarm rate and their power, computed exactly; candidates; refusals.

On the two-button game the mean of n estimates is a function of how often the left button was
pressed, so that the probability of each verdict is a finite binomial sum. Nothing about rates and
power is simulated. What is drawn is drawn from fixed seeds.
"""

import doctest
import math
import re
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import rlverify
from rlverify.detection import (
    entropy_threshold,
    kolmogorov_threshold,
    mean_threshold,
    norm_threshold,
)
from rlverify.enumeration import enumerate_trajectories, rational_policy, weighted_scores
from rlverify.expectation import exact_expectation, exact_group_expectation, true_gradient
from rlverify.observation import Frequencies
from rlverify.sampling import (
    distribution_check,
    frequency_check,
    mean_check,
    sampled_check,
    trajectory_numbers,
)
from rlverify.staging import FIRST_RATE, POWER
from rlverify.tabular_envs.environments import chain, two_button_game

ROOT = Path(__file__).resolve().parents[1]
POLICY = rational_policy([[3, 1], [1, 1]])
GAME = two_button_game(1)  # left pays 2, right nothing
SETTINGS = {"rate": 1e-6, "seed": 0}


def pressed(found):
    return weighted_scores(found, POLICY, found.rewards)


EXPECTED = exact_expectation(pressed, GAME, POLICY, horizon=1)
GRADIENT = true_gradient(GAME, POLICY, gamma=1, horizon=1)
LEFT = np.array([0.5, -0.5, 0.0, 0.0])  # 2 · (1 − ¾)
RIGHT = np.zeros(4)


def estimate(generator, shift=0.0):
    return (LEFT if generator.random() < 0.75 else RIGHT) + np.array([shift, 0, 0, 0])


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


# candidates

HALF = Fraction(1, 2)
CHAIN = chain(2)
THREE = rational_policy([[1, 3], [1, 3], [1, 3]])
EVEN = rational_policy([[1, 1]] * 3)


def total_return(policy, *, ratios=False):
    def declared(found):
        discounts = np.array([[HALF**t] for t in range(3)])
        total = (discounts * found.rewards).sum(axis=0)
        if ratios:
            total = total * found.ratios.prod(axis=0)
        return weighted_scores(found, policy, np.tile(total, (3, 1)))

    return declared


def roll_out(generator, forward=0.75):
    """Return states, actions and the discounted return of an episode of `chain(2)`."""
    states, actions = [0], []
    while states[-1] < 2 and len(actions) < 3:
        actions.append(int(generator.random() < forward))
        states.append(states[-1] + actions[-1])
    return states, actions, 0.5 ** (len(actions) - 1) if states[-1] == 2 else 0.0


def scores(states, actions, centred=True):
    result = np.zeros((3, 2))
    for state, action in zip(states, actions, strict=False):
        result[state] -= np.array([0.25, 0.75]) * centred
        result[state, action] += 1
    return result


def right(generator):
    states, actions, total = roll_out(generator)
    return total * scores(states, actions)


def undiscounted(generator):
    states, actions, total = roll_out(generator)
    return float(total > 0) * scores(states, actions)


def one_sided(generator):
    states, actions, total = roll_out(generator)
    return total * scores(states, actions, centred=False)


def another_policy(generator):
    states, actions, total = roll_out(generator, forward=0.7)
    return total * scores(states, actions)


def baseline_of_the_action(generator):
    states, actions, total = roll_out(generator)
    steps = zip(states, actions, strict=False)
    return sum((total - 0.25 * action) * scores([state], [action]) for state, action in steps)


def seeded_inside(generator):
    return right(np.random.default_rng(0))


MEAN = mean_check(
    exact_expectation(total_return(THREE), CHAIN, THREE, horizon=3),
    true_gradient(CHAIN, THREE, gamma=HALF, horizon=3),
    n=4000, visible=0.02, **SETTINGS,
)  # fmt: skip


def test_the_right_estimator_passes():
    for seed in range(5):
        verdict = mean_check(
            exact_expectation(total_return(THREE), CHAIN, THREE, horizon=3),
            true_gradient(CHAIN, THREE, gamma=HALF, horizon=3),
            n=4000, visible=0.02, rate=1e-6, seed=seed,
        ).run(right)  # fmt: skip
        assert verdict.ok
        assert len(verdict.stages) == 1


@pytest.mark.parametrize(
    "candidate",
    [undiscounted, one_sided, another_policy, baseline_of_the_action, seeded_inside],
    ids=lambda function: function.__name__,
)
def test_a_wrong_estimator_is_found(candidate):
    verdict = MEAN.run(candidate)
    assert not verdict.ok
    assert len(verdict.stages) == 2


@pytest.mark.parametrize(("power", "ok"), [(1, True), (2, False)])
def test_importance_weights(power, ok):
    """ρ weights are right and ρ² ones are not; the even policy acts."""

    def weighted(generator):
        states, actions, total = roll_out(generator, forward=0.5)
        ratio = math.prod(1.5 if action else 0.5 for action in actions)
        return ratio**power * total * scores(states, actions)

    verdict = sampled_check(
        weighted,
        exact_expectation(
            total_return(THREE, ratios=True), CHAIN, THREE, horizon=3, behaviour=EVEN
        ),
        true_gradient(CHAIN, THREE, gamma=HALF, horizon=3),
        n=4000, visible=0.05, **SETTINGS,
    )  # fmt: skip
    assert verdict.ok == ok


CREDITS = {
    "leave one out": lambda x, y: x - y,
    "itself in the mean": lambda x, y: x - (x + y) / 2,
    "divided by the deviation": lambda x, y: (x > y) - (x < y),
}


@pytest.mark.parametrize("name", CREDITS)
def test_baselines_of_a_pair_of_episodes(name):
    """With the exact moments of the pair, leave-one-out is right and the common ones are not."""

    def declared(found):
        discounts = np.array([[HALF**t] for t in range(3)])
        total = (discounts * found.rewards).sum(axis=0)
        return weighted_scores(found, THREE, np.tile(total - total[::-1], (3, 1))).sum(axis=0) / 2

    def pair(generator):
        (s, a, x), (t, b, y) = roll_out(generator), roll_out(generator)
        credit = CREDITS[name]
        return (credit(x, y) * scores(s, a) + credit(y, x) * scores(t, b)) / 2

    verdict = sampled_check(
        pair,
        exact_group_expectation(declared, CHAIN, THREE, horizon=3, group=2),
        true_gradient(CHAIN, THREE, gamma=HALF, horizon=3),
        n=4000, visible=0.02, **SETTINGS,
    )  # fmt: skip
    assert verdict.ok == (name == "leave one out")


def test_a_batch_counts_for_as_many_estimates():
    expected = exact_expectation(total_return(THREE), CHAIN, THREE, horizon=3)
    gradient = true_gradient(CHAIN, THREE, gamma=HALF, horizon=3)
    check = mean_check(expected, gradient, n=500, batch=8, visible=0.02, **SETTINGS)
    assert check.visible == MEAN.visible
    assert check.run(lambda g: sum(right(g) for _ in range(8)) / 8).ok
    assert not check.run(lambda g: sum(undiscounted(g) for _ in range(8)) / 8).ok
    one, eight = MEAN.observation, check.observation
    average = np.full((1, 6), 0.25)
    assert eight.measure(average, 0.1) == one.measure(np.repeat(average, 8, axis=0), 0.1)
    # one that knows four episodes only does not average out
    assert not check.run(lambda g: right(np.random.default_rng(g.integers(4)))).ok


def test_the_sampler_and_the_estimator_are_told_apart():
    """With another policy the frequencies are off; with a wrong estimator they are not."""
    every = enumerate_trajectories(CHAIN, THREE, horizon=3)
    numbers = trajectory_numbers(every)
    assert len(numbers) == every.probabilities.size
    check = frequency_check(every.probabilities, n=4000, visible=0.11, **SETTINGS)

    def sampler(forward):
        def sample(generator, n):
            draws = []
            for _ in range(n):
                states, actions, _ = roll_out(generator, forward)
                path = [x for pair in zip(states, actions, strict=False) for x in pair]
                draws.append(numbers[(*path, states[-1])])
            return draws

        return sample

    assert check.run(sampler(0.75)).ok
    # P(1, 1) = 0.4225 for 0.5625, more than what is promised to be seen
    assert not check.run(sampler(0.65)).ok


def test_a_continuous_sampler():
    check = distribution_check(scipy.stats.beta(2, 3).cdf, n=10_000, visible=0.04, **SETTINGS)
    assert check.run(lambda g, n: g.beta(2, 3, size=n)).ok
    shifted = scipy.stats.beta(2, 3.5)
    grid = np.linspace(0, 1, 1001)
    assert np.abs(shifted.cdf(grid) - scipy.stats.beta(2, 3).cdf(grid)).max() > check.visible
    assert not check.run(lambda g, n: g.beta(2, 3.5, size=n)).ok


def test_the_distance_of_distribution_functions_is_kolmogorovs():
    draws = np.array([0.9, 0.1, 0.4])
    check = distribution_check(lambda x: x, n=10_000, visible=0.04, **SETTINGS)
    (measure,) = check.observation.measure(draws, 0.1)
    # Fₙ(0.4) = 2/3, more than the 0.2333 just before 0.9
    assert measure.statistic == 2 / 3 - 0.4
    assert measure.statistic == scipy.stats.kstest(draws, "uniform").statistic
    assert measure.where == "x = 0.4"
    # and 0.75 just before the first draw, where Fₙ is 0
    assert check.observation.measure(np.array([0.75, 0.875]), 0.1)[0].statistic == 0.75


def test_a_distance_is_seen_where_chance_cannot_hide_it():
    check = distribution_check(lambda x: x, n=10_000, visible=0.04, **SETTINGS)
    at, hidden = kolmogorov_threshold(10_000, rate=1e-3), kolmogorov_threshold(10_000, rate=5e-4)
    assert check.visible == at.value + hidden.value


# the record


def test_the_verdict_says_what_it_rests_on():
    told = str(mean_check(EXPECTED, GRADIENT, n=60, visible=0.3, **SETTINGS).run(estimate))
    first, second, *findings = told.splitlines()
    assert re.fullmatch(
        r"no deviation found: false alarms at most 1e-06; 0\.\d+ in an element of the mean is "
        r"seen with probability 0\.999; seed 0",
        first,
    )
    assert second == "  n = 60 at rate 0.001"
    assert [line.split()[0] for line in findings] == ["each", "all"]
    assert "Bernstein; sees 0." in findings[0]
    assert "Bousquet, where a χ² limit would see 0." in findings[1]


def test_the_document_is_what_is_printed():
    results = doctest.testfile(str(ROOT / "docs" / "sampling.md"), module_relative=False)
    assert results.failed == 0
    assert results.attempted > 10


def test_it_is_part_of_the_package():
    assert rlverify.sampled_check is sampled_check


# refusals


def test_too_small_an_n_is_refused_and_the_next_larger_named():
    with pytest.raises(ValueError, match=r"pass n of at least (\d+)\.$") as caught:
        mean_check(EXPECTED, GRADIENT, n=60, visible=0.05, **SETTINGS)
    enough = int(re.search(r"at least (\d+)", str(caught.value))[1])
    assert mean_check(EXPECTED, GRADIENT, n=enough, visible=0.05, **SETTINGS).visible <= 0.05
    with pytest.raises(ValueError, match="pass n of at least"):
        mean_check(EXPECTED, GRADIENT, n=enough - 1, visible=0.05, **SETTINGS)


FAIR = np.array([0.5, 0.5])
REFUSALS = {
    "rate": (
        lambda: frequency_check(FAIR, n=100, rate=0.01, visible=0.5, seed=0),
        ValueError,
        "frequency_check: rate came as 0.01, wanted less than the 0.001 of the first stage.",
    ),
    "no draws": (
        lambda: frequency_check(FAIR, n=0, visible=0.5, **SETTINGS),
        ValueError,
        "frequency_check: n came as 0, wanted an integer of at least 1.",
    ),
    "visible": (
        lambda: frequency_check(FAIR, n=100, visible=0, **SETTINGS),
        ValueError,
        "frequency_check: visible came as 0, wanted a finite number above 0.",
    ),
    "seed": (
        lambda: frequency_check(FAIR, n=100, rate=1e-6, visible=0.5, seed=-1),
        ValueError,
        "frequency_check: seed came as -1, wanted an integer of at least 0.",
    ),
    "no distribution": (
        lambda: frequency_check(2 * FAIR, n=100, visible=0.5, **SETTINGS),
        ValueError,
        "frequency_check: probabilities came with sum 2.0, wanted 1; divide the row by its sum.",
    ),
    "no expectation": (
        lambda: mean_check(FAIR, FAIR, n=100, visible=0.5, **SETTINGS),
        TypeError,
        "mean_check: expected came as ndarray, wanted an Expectation.",
    ),
    "gradient's size": (
        lambda: mean_check(EXPECTED, FAIR, n=100, visible=0.5, **SETTINGS),
        ValueError,
        "mean_check: gradient came with shape (2,), wanted 4 elements as the estimates have.",
    ),
    "no function": (
        lambda: distribution_check(0.5, n=100, visible=0.5, **SETTINGS),
        TypeError,
        "distribution_check: cdf came as float, wanted a function.",
    ),
    "no candidate": (
        lambda: MEAN.run(3),
        TypeError,
        "mean_check: candidate came as int, wanted a function.",
    ),
    "an estimate's size": (
        lambda: MEAN.run(lambda generator: np.zeros(5)),
        ValueError,
        "mean_check: estimate came with shape (5,), wanted 6 elements as the gradient has.",
    ),
    "an estimate's type": (
        lambda: MEAN.run(lambda generator: None),
        TypeError,
        "mean_check: estimate came as dtype object, wanted numbers.",
    ),
    "not finite": (
        lambda: MEAN.run(lambda generator: np.full(6, np.nan)),
        ValueError,
        "mean_check: estimate[0] came as nan, wanted a finite number.",
    ),
    "an outcome": (
        lambda: frequency_check(FAIR, n=300, visible=0.25, **SETTINGS).run(
            lambda generator, n: np.full(n, 2)
        ),
        ValueError,
        "frequency_check: draws came with 2 in them, wanted outcomes in [0, 2).",
    ),
    "too few draws": (
        lambda: frequency_check(FAIR, n=300, visible=0.25, **SETTINGS).run(
            lambda generator, n: np.zeros(n - 1, dtype=int)
        ),
        ValueError,
        "frequency_check: draws came with shape (299,), wanted (300,).",
    ),
    "no trajectories": (
        lambda: trajectory_numbers(3),
        TypeError,
        "trajectory_numbers: trajectories came as int, wanted Trajectories.",
    ),
}


@pytest.mark.parametrize(("call", "kind", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()
