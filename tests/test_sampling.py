"""Sampled checks: candidates, what a verdict says, refusals. All draws have fixed seeds."""

import doctest
import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

import rlverify
from rlverify.detection import (
    kolmogorov_threshold,
)
from rlverify.enumeration import enumerate_trajectories, rational_policy, weighted_scores
from rlverify.expectation import exact_expectation, exact_group_expectation, true_gradient
from rlverify.sampling import (
    distribution_check,
    frequency_check,
    mean_check,
    sampled_check,
    trajectory_numbers,
)
from rlverify.tabular_envs.environments import chain
from sampled_game import EXPECTED, GRADIENT, SETTINGS, estimate

ROOT = Path(__file__).resolve().parents[1]


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
