"""Timing: several actions in turns, in one process, so that all of them see the same machine."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rlverify.benchmarking.inference import COVERAGE

Action = Callable[[], object]
TURN = 2e-4  # seconds of a turn at least: an action that is shorter is repeated in it
LEAST_ROUNDS, MOST_ROUNDS = 5, 2000
RESAMPLES = 500


@dataclass(frozen=True)
class Timing:
    """How long an action takes.

    Attributes:
        seconds: the median of the rounds.
        low: end of the bootstrap interval of that median.
        high: the other end.
    """

    seconds: float
    low: float
    high: float


def timing_of(samples: "np.ndarray") -> Timing:
    """Return the median of some times with its bootstrap interval."""
    picks = np.random.default_rng(0).integers(len(samples), size=(RESAMPLES, len(samples)))
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(np.median(samples[picks], axis=1), [tail, 1 - tail])
    return Timing(float(np.median(samples)), float(low), float(high))


def in_turns(
    actions: Mapping[str, Action],
    *,
    seconds: float,
    clock: Callable[[], float] = time.process_time,
    wait: Action = lambda: None,
    seed: int = 0,
) -> dict[str, Timing]:
    """Run actions in rounds, in an order drawn anew for each.

    Args:
        actions: by name.
        seconds: for each of them.
        clock: what the time is read from.
        wait: returns when all work that was begun is done.
        seed: of the orders.
    """

    def turn(action: Action, count: int) -> float:
        wait()
        start = clock()
        for _ in range(count):
            action()
        wait()
        return (clock() - start) / count

    names = list(actions)
    counts = {}
    for name in names:
        turn(actions[name], 1)  # what is compiled or allocated once
        once = min(turn(actions[name], 1) for _ in range(2))
        counts[name] = max(1, int(TURN / max(once, 1e-8)))
    samples: dict[str, list[float]] = {name: [] for name in names}
    rng, spent, rounds = np.random.default_rng(seed), 0.0, 0
    while rounds < LEAST_ROUNDS or (spent < seconds * len(names) and rounds < MOST_ROUNDS):
        start = time.perf_counter()
        for i in rng.permutation(len(names)):
            name = names[i]
            samples[name].append(turn(actions[name], counts[name]))
        spent += time.perf_counter() - start
        rounds += 1
    return {name: timing_of(np.asarray(times)) for name, times in samples.items()}
