"""What can be observed of a function that draws its own randomness, and what chance allows.

Three kinds, each with its thresholds, known before anything is drawn, and its statistics:
estimates with a known mean, outcomes with known probabilities, numbers with a known distribution
function. `rlverify.sampling` plans and runs them.

The one identity to remember: an observation is n draws, and n is fixed first.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float

from rlverify.detection import (
    Threshold,
    entropy_threshold,
    exact_entropy_threshold,
    kolmogorov_threshold,
    likelihood_ratio,
    mean_threshold,
    noncentrality,
    norm_threshold,
    tables,
)
from rlverify.errors import Arguments, dtype_name
from rlverify.expectation import Expectation
from rlverify.tabular_envs.finite_mdp import require_float64

LEAST_EXPECTED = 5  # draws in a cell; rarer outcomes share one, for a cell of its own costs power
TABLES = 100_000  # tables of counts that are listed for the exact distribution of G
UNIT = 2.0**-53


class Limit(NamedTuple):
    """One statistic's threshold for one number of draws.

    Attributes:
        name: of the statistic.
        threshold: what a right candidate exceeds with at most the asked rate.
        visible: smallest deviation that is seen, but for the asked miss.
        unit: of `visible`.
        method: what the threshold rests on.
    """

    name: str
    threshold: float
    visible: float
    unit: str
    method: str


class Measure(NamedTuple):
    """One statistic, measured.

    Attributes:
        statistic: its value.
        where: the element it was measured at, if it is one element's.
    """

    statistic: float
    where: str


class Observation(Protocol):
    """A kind of check; `limits` and `measure` speak of the same statistics in the same order."""

    function: str
    unit: str

    def limits(self, n: int, rate: float, miss: float) -> tuple[Limit, ...]:
        """Thresholds and smallest visible deviations; the first is the one that is promised."""
        ...

    def draw(self, candidate: Callable[..., Any], generator: np.random.Generator, n: int) -> Any:
        """Make n draws."""
        ...

    def measure(self, draws: Any, rate: float) -> tuple[Measure, ...]:
        """Return the statistics of the draws."""
        ...

    def impossible(self, draws: Any) -> str:
        """Name a draw that has probability 0, if there is one."""
        ...


def _numbers(function: str, name: str, given: Any) -> Float[np.ndarray, "..."]:
    """Return what a candidate gave as float64, once it is known to be numbers."""
    array = np.asarray(given)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{function}: {name} came as dtype {dtype_name(array)}, wanted numbers.")
    wide = array.astype(np.float64)
    require_float64(function, **{name: wide})
    return np.asarray(wide)


def _require_draws(function: str, given: Any, n: int) -> None:
    if given.shape != (n,):
        raise ValueError(f"{function}: draws came with shape {given.shape}, wanted ({n},).")


class Means:
    """Estimates whose mean, covariance, third moments and largest deviations are known.

    A bias of one element shows in that element, a bias of all of them in the length of the
    whitened mean; each has half the rate. An element that never varies must be right in every
    draw, up to the rounding of its mean: exactly where that is known exactly.

    Args:
        expected: of one estimate, as the candidate is declared to make it.
        gradient: what its mean must be, float64 [P].
        batch: number of independent such estimates that one call averages.
    """

    function = "mean_check"
    unit = "in an element of the mean"

    def __init__(self, expected: Expectation, gradient: Float[np.ndarray, "P"], batch: int) -> None:
        covariance = expected.covariance.astype(np.float64)
        self.gradient = gradient
        self.batch = batch
        self.deviation = np.sqrt(np.diagonal(covariance).clip(min=0))
        self.third = expected.third.astype(np.float64)
        self.largest = expected.largest.astype(np.float64)
        # in floats what never varies may seem to, by the rounding of its mean
        self.rounding = expected.rounding.astype(np.float64)
        self.varying = np.flatnonzero(self.largest > self.rounding)
        self.constant = np.flatnonzero(self.largest <= self.rounding)
        sizes, directions = np.linalg.eigh(covariance)
        # below this an eigenvalue may be rounding: of the covariance, a product of `count` terms,
        # and of some P² eliminations; to leave a direction out keeps the test valid
        steps = 4 * (expected.count + gradient.size**2) * UNIT
        kept = sizes > steps / (1 - steps) * covariance.trace()
        self.rank = int(kept.sum())
        self.whitening = directions[:, kept] / np.sqrt(sizes[kept])
        self.reach = 0.0
        if self.rank:
            # a whitened deviation is no longer than either: the triangle inequality in each
            # direction, the smallest eigenvalue
            along = np.linalg.norm(np.abs(self.whitening).T @ self.largest)
            across = expected.largest_norm / np.sqrt(sizes[kept].min())
            self.reach = float(min(along, across))

    def _elements(self, n: int, each: float) -> list[Threshold]:
        return [
            mean_threshold(
                n * self.batch,
                deviation=float(self.deviation[i]),
                third=float(self.third[i]),
                largest=float(self.largest[i]),
                rate=each,
            )
            for i in self.varying
        ]

    def _share(self, rate: float) -> float:
        return rate / 2 / max(1, self.varying.size)

    def _together(self, n: int, rate: float) -> Threshold:
        return norm_threshold(n * self.batch, rank=self.rank, reach=self.reach, rate=rate)

    def limits(self, n: int, rate: float, miss: float) -> tuple[Limit, ...]:
        """Of the elements, each in units of its own threshold, and of all together."""
        at = self._elements(n, self._share(rate))
        hidden = self._elements(n, miss)
        visible = max((a.value + h.value for a, h in zip(at, hidden, strict=True)), default=0.0)
        length, beneath = self._together(n, rate / 2), self._together(n, miss)
        count = n * self.batch
        method = length.method
        if self.rank:
            limit = noncentrality(self.rank, rate=rate / 2, power=1 - miss)
            method += f", where a χ² limit would see {math.sqrt(limit / count):.2g}"
        return (
            Limit(
                "each element", 1.0, visible, self.unit, ", ".join(sorted({a.method for a in at}))
            ),
            Limit(
                "all together",
                length.value,
                (length.value + beneath.value) / math.sqrt(count),
                "standard deviations of one estimate",
                method,
            ),
        )

    def draw(self, candidate: Callable[..., Any], generator: np.random.Generator, n: int) -> Any:
        """Call `candidate(generator)` n times, [n, P]."""
        draws = np.empty((n, self.gradient.size))
        for row in range(n):
            given = _numbers(self.function, "estimate", candidate(generator))
            if given.size != self.gradient.size:
                raise ValueError(
                    f"{self.function}: estimate came with shape {given.shape}, wanted "
                    f"{self.gradient.size} elements as the gradient has."
                )
            draws[row] = given.ravel()
        return draws

    def measure(self, draws: Any, rate: float) -> tuple[Measure, ...]:
        """Return how far the mean lies away, in the worst element and in all directions."""
        n = len(draws)
        away = draws.mean(axis=0) - self.gradient
        scaled = np.array(
            [
                abs(away[i]) / at.value
                for i, at in zip(self.varying, self._elements(n, self._share(rate)), strict=True)
            ]
        )
        length = float(np.linalg.norm(away @ self.whitening)) * math.sqrt(n * self.batch)
        if not scaled.size:
            return Measure(0.0, ""), Measure(length, "")
        worst = int(np.argmax(scaled))
        return Measure(float(scaled[worst]), f"element {self.varying[worst]}"), Measure(length, "")

    def impossible(self, draws: Any) -> str:
        """Name an element that never varies and came out otherwise."""
        wanted = self.gradient[self.constant]
        away = np.abs(draws[:, self.constant] - wanted)
        wrong = np.argwhere(away > self.rounding[self.constant])
        if not wrong.size:
            return ""
        row, column = wrong[0]
        got = float(draws[row, self.constant[column]])
        return (
            f"element {self.constant[column]}, always {float(wanted[column])!r}, which was {got!r} "
            f"in draw {row}"
        )


class Frequencies:
    """Outcomes 0 … K−1 whose probabilities are known.

    The statistic is G = 2n KL(observed‖expected). With the distribution of n draws listed in full
    where that is feasible its threshold is exact. By Pinsker's inequality, 2 TV² ≤ KL, and the
    triangle inequality, a total variation distance of √(g/4n) + √(g′/4n) is seen, with the
    thresholds g at the rate and g′ at the miss. Between rare outcomes, which share a cell, nothing
    is seen: their total probability is added, for TV ≤ TV of the cells + that probability.

    Args:
        probabilities: of the outcomes, float64 [K].
    """

    function = "frequency_check"
    unit = "in total variation"

    def __init__(self, probabilities: Float[np.ndarray, "K"]) -> None:
        self.probabilities = probabilities

    def cells(self, n: int) -> Any:
        """The cell of each outcome, [K]; the ones too rare for a cell share the last one."""
        expected = n * self.probabilities
        own = expected >= LEAST_EXPECTED
        cell = np.zeros(expected.size, dtype=np.int64)  # what never comes up needs none
        cell[own] = np.arange(own.sum())
        cell[~own & (expected > 0)] = own.sum()
        return cell

    def _unseen(self, n: int, miss: float) -> float:
        """What may change between outcomes of one cell, or move to impossible ones."""
        rare = self.probabilities[
            (self.probabilities > 0) & (n * self.probabilities < LEAST_EXPECTED)
        ]
        inside = float(rare.sum()) if rare.size > 1 else 0.0
        # with that probability each, n draws all avoid the impossible with probability `miss`
        moved = -math.log(miss) / n if (self.probabilities == 0).any() else 0.0
        return inside + moved

    def _expected(self, n: int) -> Any:
        return np.bincount(self.cells(n), weights=self.probabilities)

    def _threshold(self, n: int, rate: float) -> Threshold:
        expected = self._expected(n)
        if tables(n, expected.size) <= TABLES and expected.size > 1:
            return exact_entropy_threshold(n, probabilities=expected, rate=rate)
        return entropy_threshold(n, cells=expected.size, rate=rate)

    def limits(self, n: int, rate: float, miss: float) -> tuple[Limit, ...]:
        """Of G."""
        at = self._threshold(n, rate)
        # what the candidate draws from if it is wrong is unknown, so its noise is bounded
        hidden = entropy_threshold(n, cells=self._expected(n).size, rate=miss)
        visible = math.sqrt(at.value / (4 * n)) + math.sqrt(hidden.value / (4 * n))
        visible += self._unseen(n, miss)
        return (Limit("frequencies", at.value, visible, self.unit, at.method),)

    def draw(self, candidate: Callable[..., Any], generator: np.random.Generator, n: int) -> Any:
        """Call `candidate(generator, n)`, [n]."""
        draws = np.asarray(candidate(generator, n))
        if draws.dtype.kind not in "iu":
            raise TypeError(
                f"{self.function}: draws came as dtype {dtype_name(draws)}, wanted integers."
            )
        _require_draws(self.function, draws, n)
        if draws.min() < 0 or draws.max() >= self.probabilities.size:
            worst = draws.min() if draws.min() < 0 else draws.max()
            raise ValueError(
                f"{self.function}: draws came with {worst} in them, wanted outcomes in "
                f"[0, {self.probabilities.size})."
            )
        return draws

    def measure(self, draws: Any, rate: float) -> tuple[Measure, ...]:
        """Return G, and the cell that is off by most."""
        n = len(draws)
        cells, expected = self.cells(n), self._expected(n)
        counts = np.bincount(cells[draws], minlength=expected.size)
        statistic = float(likelihood_ratio(counts[None].astype(np.float64), expected)[0])
        worst = int(np.argmax(np.abs(counts - n * expected) / np.sqrt(n * expected)))
        members = np.flatnonzero(cells == worst)
        name = f"outcome {members[0]}" if members.size == 1 else f"{members.size} rare outcomes"
        where = f"{name}, {counts[worst]} times for {n * expected[worst]:.1f}"
        return (Measure(statistic, where),)

    def impossible(self, draws: Any) -> str:
        """Name an outcome without probability that came up."""
        wrong = np.flatnonzero(self.probabilities[draws] == 0)
        if not wrong.size:
            return ""
        return f"outcome {draws[wrong[0]]}, of probability 0, in draw {wrong[0]}"


class Distribution:
    """Numbers whose distribution function is known.

    Args:
        cdf: P(X ≤ x), from float64 [n] to float64 [n].
    """

    function = "distribution_check"
    unit = "in the distribution function"

    def __init__(self, cdf: Callable[[Any], Any]) -> None:
        self.cdf = cdf

    def limits(self, n: int, rate: float, miss: float) -> tuple[Limit, ...]:
        """Of the largest distance between the two distribution functions."""
        at, hidden = kolmogorov_threshold(n, rate=rate), kolmogorov_threshold(n, rate=miss)
        return (Limit("distribution", at.value, at.value + hidden.value, self.unit, at.method),)

    def draw(self, candidate: Callable[..., Any], generator: np.random.Generator, n: int) -> Any:
        """Call `candidate(generator, n)`, [n]."""
        draws = _numbers(self.function, "draws", candidate(generator, n))
        _require_draws(self.function, draws, n)
        return draws

    def measure(self, draws: Any, rate: float) -> tuple[Measure, ...]:
        """Return sup|Fₙ − F|, which is attained at a draw, just before it or at it."""
        n = len(draws)
        ordered = np.sort(draws)
        wanted = _numbers(self.function, "cdf", self.cdf(ordered))
        Arguments(self.function, np.ndarray).floats("N", draws=ordered, cdf=wanted)
        steps = np.arange(1, n + 1) / n
        away = np.maximum(np.abs(steps - wanted), np.abs(wanted - (steps - 1 / n)))
        worst = int(np.argmax(away))
        return (Measure(float(away[worst]), f"x = {float(ordered[worst]):.4g}"),)

    def impossible(self, draws: Any) -> str:
        """No number is ruled out."""
        return ""
