"""Pairing: rounds of old, old again and new in a random order, until there is a verdict."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rlverify.benchmarking.inference import LOOKS, Interval, interval, verdict

RUNNERS = ("old", "again", "new")
# takes a runner's number, returns the seconds of a call
Clock = Callable[[int], float]


@dataclass(frozen=True)
class Race:
    """What came of the rounds at one size.

    Attributes:
        verdict: of `inference.VERDICTS`.
        ratio: the new time over the old one.
        same: the old time over itself.
        seconds: the median time of each of `RUNNERS`.
        rounds: how many there were.
    """

    verdict: str
    ratio: Interval
    same: Interval
    seconds: tuple[float, ...]
    rounds: int


def race(
    clock: Clock,
    *,
    threshold: float,
    seed: int = 0,
    looks: Sequence[int] = LOOKS,
    seconds: float = float("inf"),
    now: Callable[[], float] = time.monotonic,
) -> Race:
    """Run rounds until there is a verdict, the last look is taken, or the time is over.

    Each round runs the three in an order drawn anew: who comes first may find cold caches.

    Args:
        clock: runs one of them.
        threshold: the smallest ratio that matters.
        seed: of the orders and the bootstrap.
        looks: after how many rounds the pairs are looked at.
        seconds: after which no further rounds are run, once there was a look.
        now: the time.
    """
    rng, start = np.random.default_rng(seed), now()
    times = np.empty((looks[-1], len(RUNNERS)))
    done = 0
    for look in looks:
        while done < look:
            for runner in rng.permutation(len(RUNNERS)):
                times[done, runner] = clock(int(runner))
            done += 1
        old, again, new = np.log(times[:done]).T
        # the new one is compared with both runs of the old one
        ratio, same = interval([new - old, new - again], seed), interval([again - old], seed)
        found = verdict(ratio, same, threshold)
        if found != "INCONCLUSIVE" or now() - start > seconds:
            break
    medians = tuple(float(each) for each in np.median(times[:done], axis=0))
    return Race(found, ratio, same, medians, done)
