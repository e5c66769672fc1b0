"""Two stages of draws: thresholds first, then n draws, then 4n more only where those failed.

The first stage is cheap and lets one right candidate in a thousand through to the second, whose
draws are fresh. A false alarm has to happen twice; a deviation that is large enough is found
twice, but for the asked power. n, thresholds and seed are fixed before the first draw, and there
is no third stage.

The one identity to remember: rate of false alarms = rate of the first stage × of the second.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rlverify.errors import Arguments
from rlverify.observation import Limit, Observation

POWER = 0.999
FIRST_RATE = 1e-3  # of false alarms that the first stage hands on to the second
GROWTH = 4  # the second stage draws that many times as often


class Finding(NamedTuple):
    """One statistic beside its threshold.

    Attributes:
        limit: threshold, smallest visible deviation and method.
        statistic: what was measured; more than the threshold fails.
        where: the element or outcome it was measured at.
    """

    limit: Limit
    statistic: float
    where: str

    @property
    def holds(self) -> bool:
        """Whether the statistic is within its threshold."""
        return self.statistic <= self.limit.threshold


class Stage(NamedTuple):
    """One fixed number of draws.

    Attributes:
        n: number of draws.
        rate: of false alarms of this stage, all its findings together.
        findings: what was measured.
    """

    n: int
    rate: float
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether every statistic is within its threshold."""
        return all(finding.holds for finding in self.findings)


@dataclass(frozen=True)
class SampledVerdict:
    """What a sampled check found; printed, it says all that it rests on.

    Attributes:
        ok: whether the last stage holds.
        rate: probability of a false alarm, at most.
        power: probability with which a deviation of `visible` is found, at least.
        visible: smallest such deviation, in `unit`.
        unit: of `visible`.
        seed: of the draws; the same seed draws the same.
        stages: one, or two where the first failed.
    """

    ok: bool
    rate: float
    power: float
    visible: float
    unit: str
    seed: int
    stages: tuple[Stage, ...]

    def __str__(self) -> str:
        lines = [
            f"{'no deviation found' if self.ok else 'DEVIATES'}: false alarms at most "
            f"{self.rate:.1g}; {self.visible:.3g} {self.unit} is seen with probability "
            f"{self.power}; seed {self.seed}"
        ]
        for stage in self.stages:
            lines.append(f"  n = {stage.n} at rate {stage.rate:.1g}")
            lines.extend(f"    {_line(finding)}" for finding in stage.findings)
        return "\n".join(lines)


def _line(finding: Finding) -> str:
    limit, statistic, where = finding
    sign = "<=" if finding.holds else "> "
    text = f"{limit.name:<12} {statistic:8.3g} {sign} {limit.threshold:<6.3g} {limit.method}"
    seen = f"; sees {limit.visible:.3g} {limit.unit}" if limit.unit else ""
    return f"{text}{seen}{f'; {where}' if where else ''}"


@dataclass(frozen=True)
class SampledCheck:
    """A check that is ready to run.

    Attributes:
        n: number of draws of the first stage.
        rate: of false alarms.
        visible: smallest deviation that is seen with probability 0.999.
        seed: of the draws.
        plan: the limits of both stages.
        observation: what is observed.
    """

    n: int
    rate: float
    visible: float
    seed: int
    plan: tuple[tuple[Limit, ...], ...]
    observation: Observation

    def run(self, candidate: Callable[..., Any]) -> SampledVerdict:
        """Draw n times, and 4n times afresh only where that failed; then judge.

        Args:
            candidate: for `mean_check`, `estimate(generator)`, one estimate a call; for the
                others `sample(generator, n)`, n draws. The generator is a
                `numpy.random.Generator`, and no other randomness should be used.

        Returns:
            The verdict, with every stage that was drawn.

        Raises:
            TypeError: the candidate cannot be called, or gave something else than numbers.
            ValueError: what it gave has another shape or is not finite.
        """
        if not callable(candidate):
            raise TypeError(
                f"{self.observation.function}: candidate came as {type(candidate).__name__}, "
                f"wanted a function."
            )
        stages = []
        for number, (n, rate) in enumerate(_stages(self.n, self.rate)):
            generator = np.random.default_rng([self.seed, number])
            draws = self.observation.draw(candidate, generator, n)
            measures = self.observation.measure(draws, rate)
            findings = [
                Finding(limit, *found)
                for limit, found in zip(self.plan[number], measures, strict=True)
            ]
            impossible = self.observation.impossible(draws)
            if impossible:
                limit = Limit("impossible", 0.0, 0.0, "", "exact")
                findings.append(Finding(limit, math.inf, impossible))
            stages.append(Stage(n, rate, tuple(findings)))
            if stages[-1].holds or impossible:
                break  # what cannot happen by chance needs no second look
        return SampledVerdict(
            ok=stages[-1].holds,
            rate=self.rate,
            power=POWER,
            visible=self.visible,
            unit=self.observation.unit,
            seed=self.seed,
            stages=tuple(stages),
        )


def _stages(n: int, rate: float) -> tuple[tuple[int, float], ...]:
    return (n, FIRST_RATE), (GROWTH * n, rate / FIRST_RATE)


def _plan(observation: Observation, n: int, rate: float) -> tuple[tuple[Limit, ...], ...]:
    # a deviation is found where both stages fail, so each may miss half as often
    return tuple(
        observation.limits(count, level, (1 - POWER) / 2) for count, level in _stages(n, rate)
    )


def _visible(plan: tuple[tuple[Limit, ...], ...]) -> float:
    return max(limits[0].visible for limits in plan)


def ready(
    observation: Observation, *, n: int, rate: float, visible: float, seed: int
) -> SampledCheck:
    """Plan both stages of an observation, or refuse.

    Args:
        observation: what is observed.
        n: number of draws of the first stage, at least 1.
        rate: of false alarms, below that of the first stage.
        visible: deviation that must be seen with probability 0.999.
        seed: of the draws.

    Raises:
        TypeError, ValueError: an argument is no number in its range, or n is too small to see
            `visible`; the message says which n would do.
    """
    function = observation.function
    arguments = Arguments(function, np.ndarray)
    arguments.count("n", n, least=1)
    arguments.positive("rate", rate)
    arguments.positive("visible", visible)
    arguments.count("seed", seed, least=0)
    if rate >= FIRST_RATE:
        raise ValueError(
            f"{function}: rate came as {rate}, wanted less than the {FIRST_RATE} of the first "
            f"stage."
        )
    plan = _plan(observation, n, rate)
    seen = _visible(plan)
    if seen > visible:
        raise ValueError(
            f"{function}: n came as {n}, with which {seen:.3g} {observation.unit} is the least "
            f"that is seen with probability {POWER}, wanted {visible:.3g}; pass n of at least "
            f"{_enough(observation, n, rate, visible)}."
        )
    return SampledCheck(n, rate, seen, seed, plan, observation)


def _enough(observation: Observation, few: int, rate: float, visible: float) -> int:
    """Return a number of draws that shows enough, where one less does not."""
    enough = 2 * few
    while _visible(_plan(observation, enough, rate)) > visible:
        few, enough = enough, 2 * enough
    while enough - few > 1:
        middle = (few + enough) // 2
        if _visible(_plan(observation, middle, rate)) > visible:
            few = middle
        else:
            enough = middle
    return enough
