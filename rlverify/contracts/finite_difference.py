"""Contracts of the topic `finite_difference`: forward and central differences.

The objectives are polynomials (`rlverify.objectives`): exact on fractions, so that the error of a
difference is itself an exact polynomial in the step.
"""

import functools
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Claim,
    Contract,
    Equivalent,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._recordings import equals_exactly, exact, same
from rlverify.contracts._refusals import instead
from rlverify.fast import finite_difference as fast
from rlverify.inputs import distinct
from rlverify.objectives import Counted, Polynomial, taylor
from rlverify.reference import finite_difference as reference

# --- inputs --------------------------------------------------------------------------------------

LENGTHS = (1, 2, 3, 4)
STEPS = (0.125, 0.25, 0.5, 0.75, 1.0, 2.0, 2.0**-6)
# the highest power: a difference is exact on lines, a central one on parabolas
DEGREES = {"linear": 1, "quadratic": 2, "cubic": 3, "quartic": 4}
TERMS = (1, 2, 3)


@st.composite
def polynomial_problems(draw: st.DrawFn) -> Case:
    """Draw a polynomial, a point, and a step."""
    kind = draw(st.sampled_from(("linear", "quadratic", "cubic", "cubic", "quartic")))
    count, terms = draw(st.sampled_from(LENGTHS)), draw(st.sampled_from(TERMS))
    regime = draw(st.sampled_from(("plain",) * 6 + ("zero", "far")))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    (point,) = distinct(rng, (count,))
    # every parameter alone in one term at least, so that none is without effect
    found = [_term(rng, count, 1 if i else DEGREES[kind], i % count) for i in range(count)]
    found += [_term(rng, count, int(rng.integers(0, DEGREES[kind] + 1)), -1) for _ in range(terms)]
    arguments = {
        "objective": Polynomial(tuple(found)),
        "parameters": {"plain": point / 8, "zero": 0 * point, "far": point * 2}[regime],
        "step": draw(st.sampled_from(STEPS)),
    }
    return Case(arguments, kind)


def _term(rng: np.random.Generator, count: int, degree: int, alone: int) -> tuple[int, Any]:
    """Return a monomial of a degree: a power of one parameter, or a product of any."""
    coefficient = int(rng.choice((-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)))
    powers = [0] * count
    for _ in range(degree):
        powers[alone if alone >= 0 else int(rng.integers(count))] += 1
    return coefficient, tuple(powers)


def sized(shape: tuple[int, ...]) -> Case:
    """Return a cheap objective, θ₀² + θ₁², at a point of a benchmark size."""
    (count,) = shape
    squares = ((1, (2,)), (1, (0, 2)))
    point = np.random.default_rng(0).normal(size=count)
    arguments = {"objective": Polynomial(squares), "parameters": point, "step": 0.5}
    return Case(arguments, "quadratic", "sized")


# --- laws ----------------------------------------------------------------------------------------


def check_taylor(odd: bool) -> Callable[[Subject, Case], Iterable[Claim]]:
    """Return the law that a difference is its Taylor series, summed in fractions."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        point, step = exact(case["parameters"]), Fraction(case["step"])
        series = [taylor(case["objective"], point, i, step, odd) for i in range(len(point))]
        wanted = np.array(series, dtype=object)
        yield equals_exactly(subject(case)["gradient"], wanted, subject.bound(case)["gradient"])

    return check


def check_evaluations(evaluations: Callable[[int], int]) -> Callable[..., Iterable[Claim]]:
    """Return the law that a difference takes so many evaluations of its objective."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        counted = Counted(case["objective"])
        subject(case.but(objective=counted))
        wanted = np.array([float(evaluations(len(case["parameters"])))])
        yield Claim(np.array([float(counted.count)]), wanted, np.zeros(1))

    return check


def separable(objective: Polynomial) -> Polynomial:
    """Return the terms of a polynomial in which a single parameter stands."""
    terms = (term for term in objective.terms if sum(e > 0 for e in term[1]) == 1)
    return Polynomial(tuple(terms))


def check_separable(subject: Subject, case: Case) -> Iterable[Claim]:
    """Of a sum of functions of one parameter each, an element knows its own alone."""
    apart = case.but(objective=separable(case["objective"]))
    if not apart["objective"].terms:
        return
    got, allowed = subject(apart)["gradient"], subject.bound(apart)["gradient"]
    for i, number in enumerate(apart["parameters"]):
        still = np.zeros_like(apart["parameters"])
        still[i] = number
        alone = apart.but(parameters=still)
        slack = allowed[i : i + 1] + subject.bound(alone)["gradient"][i : i + 1]
        yield Claim(got[i : i + 1], subject(alone)["gradient"][i : i + 1], slack)


def check_mirror(subject: Subject, case: Case) -> Iterable[Claim]:
    """Mirror objective and point: a central difference changes its sign and nothing else."""
    mirrored = case.but(
        objective=case["objective"].mirrored(), parameters=-case["parameters"]
    )  # fmt: skip
    wanted = {"gradient": -subject(case)["gradient"]}
    yield from same(subject, mirrored, wanted, case)


SEPARABLE = Law(
    "separable", "an element depends on the terms of its own parameter alone", check_separable
)

# --- known bugs, equivalents, refusals -----------------------------------------------------------

AHEAD = 'ahead = check.result("objective", objective(_moved(parameters, i, step)))'
MOVE = "moved[i] = parameters[i] + step"
SHARED_BUGS = (
    KnownBug(
        "FD2", AHEAD,
        "parameters = _moved(parameters, i, step)\n"
        '        ahead = check.result("objective", objective(parameters))',
    ),
    KnownBug("FD3", MOVE, "parameters[i] + step", helper="_moved"),
    KnownBug(
        "FD6", MOVE, "moved[i] = min(max(parameters[i] + step, -1), 1)", helper="_moved"
    ),
)  # fmt: skip
FORWARD_BUGS = (
    *SHARED_BUGS,
    KnownBug("FD4", "/ step", "/ (2 * step)"),
    KnownBug(
        "FD5", AHEAD,
        'ahead = ahead if i else check.result("objective", objective(parameters + step))',
    ),
)  # fmt: skip
CENTRAL_BUGS = (
    *SHARED_BUGS,
    KnownBug("FD4", "/ (2 * step)", "/ step"),
    KnownBug("FD5", MOVE, "moved = parameters + step", helper="_moved"),
    KnownBug(
        "FD1", "(ahead - behind) / (2 * step)",
        '(ahead - check.result("objective", objective(parameters))) / step',
    ),
)  # fmt: skip

Objective = Callable[[np.ndarray], Any]


def backward_from_ahead(objective: Objective, parameters: np.ndarray, *, step: float) -> np.ndarray:
    """Take f(θ) − f(θ + h eᵢ) and divide by −h."""
    base, unit = objective(parameters), np.eye(len(parameters))
    return np.array([(base - objective(parameters + step * row)) / -step for row in unit])


def sides_exchanged(objective: Objective, parameters: np.ndarray, *, step: float) -> np.ndarray:
    """Evaluate all points behind first, and divide by −2h."""
    moves = step * np.eye(len(parameters))
    behind = np.array([objective(parameters - move) for move in moves])
    ahead = np.array([objective(parameters + move) for move in moves])
    return np.asarray((behind - ahead) / (-2 * step))


def bad_inputs(function: str) -> tuple[BadInput, ...]:
    """Return the refusals of a difference."""
    bad = functools.partial(instead, function)
    return (
        bad("objective", "a number", 3, TypeError, "objective came as int, wanted a function."),
        bad("objective", "returns an array", lambda x: x, ValueError,
            "objective returned shape (2,), wanted a single number."),
        bad("objective", "returns nothing", lambda x: None, TypeError,
            "objective returned NoneType, wanted a single number."),
        bad("parameters", "a matrix", np.zeros((1, 2)), ValueError,
            "parameters came with shape (1, 2), wanted [P]."),
        bad("parameters", "integers", np.zeros(2, dtype=np.int64), TypeError,
            "parameters came as dtype int64, wanted a floating-point dtype."),
        bad("step", "zero", 0.0, ValueError, "step came as 0.0, wanted a finite number above 0."),
        bad("step", "negative", -0.5, ValueError,
            "step came as -0.5, wanted a finite number above 0."),
        bad("step", "text", "0.5", TypeError, "step came as str, wanted a number."),
    )  # fmt: skip


# --- contracts -----------------------------------------------------------------------------------

ARGUMENTS = (
    Argument("objective", "function"),
    Argument("parameters", "float", "P"),
    Argument("step", "number"),
)
SIZES = ((6,), (16,), (256,))
# x³y − 2y² at (1, 2) with h = 1
WORKED = Case(
    {
        "objective": Polynomial(((1, (3, 1)), (-2, (0, 2)))),
        "parameters": np.array([1.0, 2.0]),
        "step": 1.0,
    },
    "quartic",
    "worked by hand",
)
GOOD = Case(
    {"objective": Polynomial(((1, (2,)),)), "parameters": np.array([1.0, 2.0]), "step": 0.5},
    "quadratic",
)

FORWARD_CONTRACT = Contract(
    name="forward_difference",
    topic="finite_difference",
    summary="forward differences of an objective, P + 1 evaluations",
    source="Nocedal and Wright 2006, Numerical Optimization, eq. 8.1",
    reference=reference.forward_difference,
    fast=fast.forward_difference,
    arguments=ARGUMENTS,
    outputs=("gradient",),
    inputs=polynomial_problems(),
    # f(2, 2) = 8, f(1, 3) = -15, f(1, 2) = -6
    examples=(Example("x³y − 2y²", WORKED, {"gradient": ["14", "-9"]}),),
    laws=(
        Law(
            "taylor", "the difference is f′ + f″h/2 + f‴h²/6 + …, exactly",
            check_taylor(odd=False), claim="C3",
        ),
        Law(
            "evaluations", "the objective is evaluated P + 1 times",
            check_evaluations(lambda count: count + 1), claim="C3",
        ),
        SEPARABLE,
    ),
    gradients=("parameters",),
    known_bugs=FORWARD_BUGS,
    equivalents=(
        Equivalent("backward from ahead", "(f(θ) − f(θ + h)) / −h", backward_from_ahead),
    ),
    bad_inputs=bad_inputs("forward_difference"),
    sizes=SIZES,
    good=GOOD,
    sized=sized,
)  # fmt: skip

CENTRAL_CONTRACT = Contract(
    name="central_difference",
    topic="finite_difference",
    summary="central differences of an objective, 2P evaluations",
    source="Nocedal and Wright 2006, Numerical Optimization, eq. 8.7",
    reference=reference.central_difference,
    fast=fast.central_difference,
    arguments=ARGUMENTS,
    outputs=("gradient",),
    inputs=polynomial_problems(),
    # f(2, 2) = 8, f(0, 2) = -8; f(1, 3) = -15, f(1, 1) = -1
    examples=(Example("x³y − 2y²", WORKED, {"gradient": ["8", "-7"]}),),
    laws=(
        Law(
            "taylor", "the difference is f′ + f‴h²/6 + …, odd derivatives alone, exactly",
            check_taylor(odd=True), claim="C3",
        ),
        Law(
            "evaluations", "the objective is evaluated 2P times",
            check_evaluations(lambda count: 2 * count), claim="C3",
        ),
        SEPARABLE,
        Law("mirror", "mirrored objective and point give the negative", check_mirror),
    ),
    gradients=("parameters",),
    known_bugs=CENTRAL_BUGS,
    equivalents=(
        Equivalent("sides exchanged", "(f(θ − h) − f(θ + h)) / −2h", sides_exchanged),
    ),
    bad_inputs=bad_inputs("central_difference"),
    sizes=SIZES,
    good=GOOD,
    sized=sized,
)  # fmt: skip

CONTRACTS = (FORWARD_CONTRACT, CENTRAL_CONTRACT)
