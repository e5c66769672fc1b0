"""Verdicts on times that a simulated machine gives: what is the same, and what is not."""

import math

import numpy as np
import pytest

from rlverify.benchmarking.inference import Interval, interval, overall, verdict
from rlverify.benchmarking.pairing import Race, race

RUNS = 20


class Machine:
    """Gives times: noise, drift that lasts for rounds, interruptions, a cost of coming first.

    The drift is a random walk, so that times of one round are alike and those far apart are not.
    """

    def __init__(self, ratio: float, seed: int, noise: float = 0.03, bias: float = 1.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.means = (1e-3, 1e-3 * bias, 1e-3 * ratio)
        self.noise = noise
        self.drift, self.calls, self.clock = 0.0, 0, 0.0

    def __call__(self, runner: int) -> float:
        self.drift += 0.01 * self.rng.normal()
        first = 0.1 if self.calls % 3 == 0 else 0.0
        self.calls += 1
        logs = self.drift + first + self.noise * self.rng.normal()
        stolen = self.rng.exponential(2e-3) if self.rng.random() < 0.05 else 0.0
        seconds = self.means[runner] * math.exp(logs) + stolen
        self.clock += seconds
        return seconds

    def race(self, **options: float) -> Race:
        return race(self, threshold=1.05, now=lambda: self.clock, **options)


def test_a_function_is_the_same_as_itself():
    found = [Machine(1.0, seed).race(seed=seed).verdict for seed in range(RUNS)]
    assert found == ["SAME"] * RUNS


@pytest.mark.parametrize(("ratio", "wanted"), [(1.2, "SLOWER"), (1 / 1.2, "FASTER")])
def test_a_fifth_is_seen(ratio: float, wanted: str):
    found = [Machine(ratio, seed).race(seed=seed) for seed in range(RUNS)]
    assert sum(each.verdict == wanted for each in found) >= RUNS - 1
    assert all(ratio / 1.1 < each.ratio.ratio < 1.1 * ratio for each in found)


def test_what_matters_is_more_than_the_threshold():
    found = [Machine(1.02, seed).race(seed=seed).verdict for seed in range(RUNS)]
    assert set(found) <= {"SAME", "INCONCLUSIVE"}


def test_noise_gives_no_verdict():
    found = [Machine(1.0, seed, noise=2.0).race(seed=seed) for seed in range(RUNS)]
    assert {each.verdict for each in found} == {"INCONCLUSIVE"}
    assert {each.rounds for each in found} == {256}  # nothing was left untried


def test_a_machine_that_tells_a_function_from_itself_gives_no_verdict():
    """Where the old one differs from itself by 10 %, 8 % say nothing."""
    for seed in range(RUNS):
        assert Machine(1.13, seed, bias=1.1).race(seed=seed).verdict == "INCONCLUSIVE"
        assert Machine(1.5, seed, bias=1.1).race(seed=seed).verdict == "SLOWER"


def test_time_ends_a_race_after_a_look():
    found = Machine(1.0, 0, noise=2.0).race(seconds=0.0)
    assert found.rounds == 16


def test_the_same_seed_gives_the_same_race():
    assert Machine(1.1, 3).race(seed=5) == Machine(1.1, 3).race(seed=5)


def test_order_is_drawn_anew():
    """With a fixed order, who comes first would look slower."""
    orders = set()
    asked: list[int] = []

    def clock(runner: int) -> float:
        asked.append(runner)
        if len(asked) == 3:
            orders.add(tuple(asked))
            asked.clear()
        return 1.0

    race(clock, threshold=1.05, looks=(64,))
    assert len(orders) == 6


def test_interval_of_equal_pairs_is_a_point():
    assert interval([np.zeros(3), np.zeros(3)]) == Interval(1.0, 1.0, 1.0)


def test_interval_covers():
    """At 99 %, 200 intervals hold the truth but for a few; 10 misses have odds below 1e-4."""
    rng, missed = np.random.default_rng(0), 0
    for seed in range(200):
        logs = rng.laplace(size=64)
        found = interval([logs], seed)
        missed += not found.low <= 1 <= found.high
    assert 0 < missed < 10


A_POINT, WIDE = Interval(1.0, 0.99, 1.01), Interval(1.0, 0.9, 1.2)


@pytest.mark.parametrize(
    ("new", "same", "wanted"),
    [
        (Interval(1.0, 0.98, 1.04), A_POINT, "SAME"),
        (Interval(1.0, 0.98, 1.06), A_POINT, "INCONCLUSIVE"),
        (Interval(1.1, 1.04, 1.2), A_POINT, "INCONCLUSIVE"),
        (Interval(1.1, 1.06, 1.2), A_POINT, "SLOWER"),
        (Interval(0.9, 0.85, 0.94), A_POINT, "FASTER"),
        (Interval(0.9, 0.85, 0.96), A_POINT, "INCONCLUSIVE"),
        (Interval(1.1, 1.06, 1.2), WIDE, "INCONCLUSIVE"),
        (Interval(1.3, 1.25, 1.4), WIDE, "SLOWER"),
        (Interval(0.8, 0.7, 0.82), WIDE, "FASTER"),
        (Interval(1.0, 0.99, 1.01), WIDE, "INCONCLUSIVE"),
    ],
)
def test_verdict(new: Interval, same: Interval, wanted: str):
    assert verdict(new, same, 1.05) == wanted


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["SAME", "SAME"], "SAME"),
        (["SAME", "FASTER"], "FASTER"),
        (["FASTER", "INCONCLUSIVE"], "INCONCLUSIVE"),
        (["FASTER", "SLOWER", "INCONCLUSIVE"], "SLOWER"),
        ([], "INCONCLUSIVE"),
    ],
)
def test_one_verdict_for_all_sizes(given: list[str], wanted: str):
    assert overall(given) == wanted
