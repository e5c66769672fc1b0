"""What an estimator gives on average against what it should: bias, factor, target, variance.

In fractions a bias is 0 or it is not. In floats it is 0 as far as can be seen where it stays
below what rounding may do, a bound that follows from the numbers that went in: on every path
from them to an estimate a function is granted ROUNDINGS roundings a step and trajectory, so

    allowed = γ_K (E Σₜ |∂log π(aₜ|sₜ)/∂θ| · (Σ|r| + 2 max|V|) + E|ĝ|)        K = ROUNDINGS (H+1) N

with γ_K = Ku/(1−Ku) (Higham 2002, §3.1), and the rounding of the sum over trajectories. It is of
the size 1e-13 of the gradient: no mistake in a formula is that small.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.biasing.estimation import Estimator
from rlverify.biasing.situation import Situation
from rlverify.expectation import (
    Expectation,
    exact_expectation,
    exact_group_expectation,
    norm,
    quotient,
)

# a step of an estimator is a handful of operations (discount, add, subtract a baseline, divide
# by a deviation, exponentiate a log-ratio); an order of magnitude more is granted
ROUNDINGS = 64
UNITS = {"float64": 2.0**-53, "float32": 2.0**-24}
DENOMINATOR = 1000  # a factor with a larger one is not recognised among floats

TARGETS = {
    "gradient": "∇J",
    "field": "the field without γᵗ",
    "undiscounted": "∇J at γ = 1",
    "": "none of these",
}


@dataclass(frozen=True, eq=False)
class Finding:
    """What was found out about one estimator.

    Attributes:
        name: of the estimator.
        formula: its weight, or how it was called.
        sentence: what it is.
        expectation: its mean and covariance.
        samples: number of trajectories in one estimate.
        bias: E ĝ − ∇J, [P].
        allowed: what rounding may do to each element of the bias, [P]; 0 in exact arithmetic.
        relative: ‖bias‖ / ‖∇J‖.
        factor: f with E ĝ = f ∇J, or None.
        targets: those of `TARGETS` that it is unbiased for.
        variance: trace of the covariance, for each trajectory: N times that of one estimate.
        signal: ‖∇J‖ / √variance.
        precision: the precision whose rounding explains all that is left of the bias.
        diagnosis: what is the matter, as far as it is known.
        notes: remarks on how it was called.
        printed: what it printed.
    """

    name: str
    formula: str
    sentence: str
    expectation: Expectation
    samples: int
    bias: Float[np.ndarray, "P"]
    allowed: Float[np.ndarray, "P"]
    relative: float
    factor: Fraction | None
    targets: tuple[str, ...]
    variance: Any
    signal: float
    precision: str = "float64"
    diagnosis: str = ""
    notes: tuple[str, ...] = ()
    printed: str = ""

    @property
    def unbiased(self) -> bool:
        """Whether it is unbiased for ∇J."""
        return self.target == "gradient"

    @property
    def target(self) -> str:
        """The first of its targets; empty for none."""
        return self.targets[0] if self.targets else ""


def measured(
    situation: Situation, name: str, formula: str, sentence: str, expectation: Expectation,
    samples: int, **more: Any,
) -> Finding:  # fmt: skip
    """Hold an expectation against the targets of its situation."""
    truth, exact = situation.gradient, expectation.mean.dtype == object
    if not exact and truth.dtype == object:
        truth = truth.astype(np.float64)
    for precision in UNITS:
        allowed = allowance(situation, expectation, samples, UNITS[precision])
        targets = tuple(
            key for key in TARGETS if key and _agree(expectation, getattr(situation, key), allowed)
        )
        if targets or exact:
            break
    if not targets:
        precision = "float64"
        allowed = allowance(situation, expectation, samples, UNITS[precision])
    variance = samples * expectation.covariance.trace()
    return Finding(
        name, formula, sentence, expectation, samples,
        bias=expectation.bias(truth),
        allowed=allowed,
        relative=0.0 if "gradient" in targets else expectation.relative_bias(truth),
        factor=factor(expectation, truth, allowed),
        targets=targets,
        precision=precision,
        variance=variance,
        signal=quotient(norm(truth), math.sqrt(max(0, variance))),
        **more,
    )  # fmt: skip


def measure(situation: Situation, estimator: Estimator) -> Finding:
    """Find out about an estimator that the suite brings."""
    if situation.exact and not estimator.rational:
        situation = situation.floating()
    every = situation.recorded
    shared: dict[str, Any] = {"horizon": situation.horizon, "behaviour": situation.behaviour}
    if estimator.coupled:
        expectation = exact_group_expectation(
            lambda found: estimator.estimate(type(every)(situation, found)),
            situation.mdp, situation.policy, group=situation.batch,
            ordered=estimator.ordered, **shared,
        )  # fmt: skip
    else:
        # the situation has them already
        expectation = exact_expectation(
            lambda _: estimator.estimate(every), situation.mdp, situation.policy, **shared
        )
    samples = situation.batch if estimator.coupled else 1
    return measured(
        situation, estimator.name, estimator.formula, estimator.sentence, expectation, samples
    )


def batches(situation: Situation, *, ordered: bool = False) -> int:
    """Return the number of batches, the order left aside if it does not matter."""
    count = situation.trajectories.probabilities.size
    if ordered:
        return int(count**situation.batch)
    return math.comb(count + situation.batch - 1, situation.batch)


def allowance(situation: Situation, found: Expectation, samples: int, unit: float) -> Any:
    """Return what rounding may do to each element of a bias; zeros in exact arithmetic."""
    if found.mean.dtype == object:
        return np.zeros(found.mean.size)
    steps = ROUNDINGS * (situation.horizon + 1) * samples * unit
    sizes = np.abs(found.mean) + found.largest  # no estimate is larger
    return steps / (1 - steps) * (scale(situation) + sizes) + found.rounding


def scale(situation: Situation) -> Any:
    """Σₜ |∂log π/∂θ| ≤ E counts, times the size of what is paid, in float64."""
    every = situation.recorded
    paid = np.abs(every.found.rewards).sum(axis=0).astype(np.float64).max()
    said = np.abs(situation.critic.astype(np.float64)).max()
    ratios = max(1.0, float(every.ratios_so_far.max()))
    policy = situation.policy.astype(np.float64)
    chances = every.found.probabilities.astype(np.float64)
    sizes = np.zeros(policy.shape)
    for t in range(every.steps):
        real = np.flatnonzero(every.found.mask[t])
        at, acted = every.found.states[t, real], every.found.actions[t, real]
        # |[a = b] − π(b|s)|
        rows = policy[at].copy()
        rows[np.arange(real.size), acted] = 1 - rows[np.arange(real.size), acted]
        np.add.at(sizes, at, chances[real, None] * rows)
    return sizes.ravel() * (paid + 2 * said) * ratios


def _agree(found: Expectation, field: Any, allowed: Any) -> bool:
    if found.mean.dtype == object:
        return bool((found.mean == field).all())
    return bool((np.abs(found.mean - field.astype(np.float64)) <= allowed).all())


def factor(found: Expectation, truth: Any, allowed: Any) -> Fraction | None:
    """Return f with E ĝ = f ∇J, exactly or, among floats, as a quotient of small integers."""
    if found.mean.dtype == object:
        return found.factor(truth)
    return float_factor(found.mean, truth, allowed)


def float_factor(mean: Any, truth: Any, allowed: Any) -> Fraction | None:
    """Return the quotient of small integers f with mean = f truth within what is allowed."""
    size = float(truth @ truth)
    if size == 0:
        return None
    candidate = Fraction(float(mean @ truth) / size).limit_denominator(DENOMINATOR)
    within = np.abs(mean - float(candidate) * truth) <= allowed
    return candidate if bool(within.all()) else None


def named_factor(value: Fraction | None, situation: Situation, samples: int) -> str:
    """Return a factor with what it stands for: `(N−1)/N = 3/4`."""
    if value is None:
        return "-"
    n, h = samples, situation.horizon
    gamma = Fraction(situation.gamma).limit_denominator(DENOMINATOR)
    meanings: dict[str, Fraction] = {}
    if n > 1:
        meanings = {"(N−1)/N": Fraction(n - 1, n), "N/(N−1)": Fraction(n, n - 1)}
        meanings |= {"1/N": Fraction(1, n), "N": Fraction(n)}
    if gamma not in (0, 1):
        meanings |= {"γ": gamma, "1/γ": 1 / gamma}
    if h > 1:
        meanings |= {"1/H": Fraction(1, h), "H": Fraction(h), "(N−1)/NH": Fraction(n - 1, n * h)}
    if value in (0, 1, -1):
        return str(value)
    found = [name for name, meant in meanings.items() if meant == value]
    found += [f"−{name}" for name, meant in meanings.items() if -meant == value]
    return " = ".join([*found[:1], str(value)])
