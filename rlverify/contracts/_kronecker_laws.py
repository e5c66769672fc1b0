"""Laws of the Kronecker-factored step, checked by multiplying back."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._curvature_laws import check_mean, network_size
from rlverify.contracts._measured import exactly, measured, vanishes
from rlverify.contracts._recordings import equals_exactly, exact
from rlverify.errors import layer_parameters

FAR = 2.0**40  # a divergence that no step drawn here comes near


def unlimited(case: Case) -> Case:
    """Return the case with η = 1: the step is the natural gradient."""
    return case.but(delta=FAR, learning_rate=1.0)


def check_linear(subject: Subject, case: Case) -> Iterable[Claim]:
    """Take −2 times the gradient: −2 times the step, where no divergence limits it."""
    free = unlimited(case)
    turned = free.but(gradient=-2 * case["gradient"])
    slack = subject.bound(turned)["step"] + 2 * subject.bound(free)["step"]
    yield Claim(subject(turned)["step"], -2 * subject(free)["step"], slack)


def check_length(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare the step with the natural gradient, shortened to the divergence that is allowed."""
    free = unlimited(case)
    direction = measured(subject(free)["step"], subject.bound(free)["step"])
    squared = sum(
        (x * exactly(y) for x, y in zip(direction, case["gradient"], strict=True)), exactly(0)
    )
    if not float(squared) > 0:
        return
    eta = (
        (exactly(2 * case["delta"]) / squared)
        .sqrt()
        .limited(exactly(0), exactly(case["learning_rate"]))
    )
    got = measured(subject(case)["step"], subject.bound(case)["step"])
    for ours, unscaled in zip(got, direction, strict=True):
        yield vanishes(ours - eta * unscaled)


def check_log_std(subject: Subject, case: Case) -> Iterable[Claim]:
    """The step of a log σ is its gradient over 2 + μ."""
    free, count = unlimited(case), network_size(case)
    wanted = exact(case["gradient"][count:]) / (2 + Fraction(case["damping"]))
    allowed = subject.bound(free)["step"][count:]
    yield equals_exactly(subject(free)["step"][count:], wanted, allowed)


def linear_policy(case: Case) -> Case:
    """Return a Gaussian policy of one layer and σ = 1 on the inputs of a case: G is 1."""
    sizes = (case["sizes"][0], 1)
    count = layer_parameters(sizes)
    parameters = np.concatenate([case["parameters"][:count], [0.0]])
    return unlimited(case).but(
        sizes=sizes,
        distribution="gaussian",
        kind="gaussian",
        parameters=parameters,
        gradient=case["gradient"][: count + 1],
    )


def check_multiplied_back(subject: Subject, case: Case) -> Iterable[Claim]:
    """Multiply the step of one layer by both damped factors: the gradient comes back."""
    one = linear_policy(case)
    samples, width = one["inputs"].shape
    rows = exact(np.concatenate([one["inputs"], np.ones((samples, 1))], axis=1))
    inner = rows.T @ rows / samples
    root = exactly(one["damping"]).sqrt()
    share = _tracked(sum(np.diag(inner)) / (width + 1)).sqrt()
    step = measured(subject(one)["step"], subject.bound(one)["step"])[: width + 1]
    for j in range(width + 1):
        terms = [step[i] * _tracked(inner[i, j]) for i in range(width + 1)]
        product = sum(terms, share * root * step[j])
        back = (1 + root / share) * product
        yield vanishes(back - exactly(one["gradient"][j]))


def _tracked(number: Fraction) -> Any:
    """Return a fraction as a number whose rounding is counted."""
    return exactly(number.numerator) / exactly(number.denominator)


LAWS = (
    Law("linear", "−2 ∇J gives −2 steps, where no divergence limits them", check_linear),
    Law("length", "η is the learning rate, or √(2δ/∇JᵀF̂⁻¹∇J) if that is less", check_length),
    Law(
        "log-std", "each log σ moves by its gradient over 2 + μ", check_log_std,
        holds_on=("gaussian",),
    ),
    Law(
        "multiplied-back", "both damped factors times the step are the gradient, on one layer",
        check_multiplied_back,
    ),
    Law("mean", "an input twice is that input once", check_mean),
)  # fmt: skip
