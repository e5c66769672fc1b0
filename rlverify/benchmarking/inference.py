"""Inference: what paired times say about a ratio, and what they leave open.

Machines drift, so times are compared in pairs that were measured next to each other: the
median of log(new / old) over many pairs, with a bootstrap interval (Efron 1979). The same is done
with the old function against itself; what that interval allows, no difference can be told from.

FASTER, SLOWER  the whole interval lies beyond the threshold, and beyond what the old function
                differs from itself by
SAME            both intervals lie within the threshold
INCONCLUSIVE    anything else: too noisy, or too near to the threshold
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VERDICTS = ("FASTER", "SAME", "INCONCLUSIVE", "SLOWER")
"""From what is hoped for to what is feared."""
# the pairs are looked at after so many rounds, until there is a verdict
LOOKS = (16, 32, 64, 128, 256)
# 99 % at each of five looks is at least 95 % for all of them together, whatever they share
COVERAGE = 0.99
RESAMPLES = 2000
THRESHOLD = 1.05
Array = np.ndarray


@dataclass(frozen=True)
class Interval:
    """A ratio of times, and where it may lie.

    Attributes:
        ratio: the median of the pairs.
        low: end of the bootstrap interval.
        high: the other end.
    """

    ratio: float
    low: float
    high: float

    def within(self, threshold: float) -> bool:
        """Whether the whole interval lies within a factor of 1."""
        return 1 / threshold <= self.low and self.high <= threshold

    @property
    def reach(self) -> float:
        """Return the greatest factor from 1 that the interval holds."""
        return max(self.high, 1 / self.low)


def interval(pairs: Sequence[Array], seed: int = 0) -> Interval:
    """Return the median ratio of paired times with its bootstrap interval.

    Args:
        pairs: log-ratios, one a round; several of the same rounds are drawn together.
        seed: of the bootstrap.
    """
    logs = np.stack(pairs, axis=1)
    picks = np.random.default_rng(seed).integers(len(logs), size=(RESAMPLES, len(logs)))
    medians = np.median(logs[picks].reshape(RESAMPLES, -1), axis=1)
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Interval(math.exp(float(np.median(logs))), math.exp(float(low)), math.exp(float(high)))


def verdict(new: Interval, same: Interval, threshold: float) -> str:
    """Return what two intervals say.

    Args:
        new: of the new time over the old one.
        same: of the old function against itself.
        threshold: the smallest ratio that matters, above 1.
    """
    band = max(threshold, same.reach)
    if new.high < 1 / band:
        return "FASTER"
    if new.low > band:
        return "SLOWER"
    if new.within(threshold) and same.within(threshold):
        return "SAME"
    return "INCONCLUSIVE"


def overall(verdicts: Sequence[str]) -> str:
    """Return one verdict for several sizes: what is feared before what is hoped for."""
    if not verdicts:
        return "INCONCLUSIVE"
    if "SLOWER" in verdicts or "INCONCLUSIVE" in verdicts:
        return max(verdicts, key=VERDICTS.index)
    return "FASTER" if "FASTER" in verdicts else "SAME"
