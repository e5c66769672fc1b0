"""Inputs and laws of optimisers."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._measured import exactly, measured, vanishes
from rlverify.contracts._recordings import equals_exactly, exact, same
from rlverify.inputs import distinct

LENGTHS = (1, 2, 3, 4, 6)
RATES = (0.5, 0.125, 1.0, 0.01)
SHARES = (0.0, 0.5, 0.75, 0.9, 0.99)
EPSILONS = (1e-8, 1e-5, 0.01, 0.5, 2.0)
SIZES = ((64,), (65536,), (1048576,))


def drawn(draw: st.DrawFn, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Draw vectors by name; gradients may be tiny, large, or 0 in places; squares are positive."""
    length = draw(st.sampled_from(LENGTHS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    arrays = dict(zip(names, distinct(rng, *[(length,)] * len(names)), strict=True))
    scale = draw(st.sampled_from((1.0, 1.0, 0.125, 2.0**-7, 2.0**10)))
    arrays["gradients"] = arrays["gradients"] * scale
    if draw(st.sampled_from((True, False, False))):
        arrays["gradients"][rng.random(length) < 0.5] = 0
    fresh = draw(st.sampled_from((True, False, False)))
    for name in ("velocity", "first", "second", "squares"):
        if name in arrays:
            arrays[name] = arrays[name] * (0 if fresh else scale)
    for name in ("second", "squares"):
        if name in arrays:
            arrays[name] = abs(arrays[name]) * scale
    if draw(st.sampled_from((True, False))):
        arrays["parameters"] = 0 * arrays["parameters"]  # what the step is, to all its digits
    return arrays


@st.composite
def sgd_cases(draw: st.DrawFn) -> Case:
    """Draw one step of SGD."""
    arrays = drawn(draw, ("parameters", "gradients", "velocity"))
    share = draw(st.sampled_from((*SHARES, 1.0)))
    return Case({**arrays, "learning_rate": draw(st.sampled_from(RATES)), "momentum": share})


@st.composite
def adam_cases(draw: st.DrawFn) -> Case:
    """Draw one step of Adam."""
    arrays = drawn(draw, ("parameters", "gradients", "first", "second"))
    knobs = {
        "count": draw(st.sampled_from((1, 1, 2, 3, 7))),
        "learning_rate": draw(st.sampled_from(RATES)),
        "beta1": draw(st.sampled_from(SHARES)),
        "beta2": draw(st.sampled_from((*SHARES[1:], 0.999))),
        "eps": draw(st.sampled_from(EPSILONS)),
    }
    return Case({**arrays, **knobs})


@st.composite
def rmsprop_cases(draw: st.DrawFn) -> Case:
    """Draw one step of RMSprop."""
    arrays = drawn(draw, ("parameters", "gradients", "squares"))
    knobs = {
        "learning_rate": draw(st.sampled_from(RATES)),
        "decay": draw(st.sampled_from(SHARES)),
        "eps": draw(st.sampled_from(EPSILONS)),
        "eps_inside": draw(st.booleans()),
    }
    return Case({**arrays, **knobs})


@st.composite
def clip_cases(draw: st.DrawFn) -> Case:
    """Draw gradients and a norm that they exceed, or not."""
    length = draw(st.sampled_from(LENGTHS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    (gradients,) = distinct(rng, (length,))
    gradients = gradients * draw(st.sampled_from((1.0, 0.125, 2.0**10)))
    if draw(st.sampled_from((True, *[False] * 7))):
        gradients = 0 * gradients
    norm = float(np.linalg.norm(gradients)) or 1.0
    share = draw(st.sampled_from((0.1, 0.3, 0.5, 0.9, 1.5, 4.0)))
    return Case({"gradients": gradients, "max_norm": float(np.float32(norm * share))})


def sized(names: tuple[str, ...], **knobs: float) -> Callable[[tuple[int, ...]], Case]:
    """Return what makes cases of a benchmark size."""

    def of(shape: tuple[int, ...]) -> Case:
        rng = np.random.default_rng(0)
        arrays = {name: rng.integers(-255, 256, shape) / 128 for name in names}
        for name in ("second", "squares"):
            if name in arrays:
                arrays[name] = abs(arrays[name])
        return Case({**arrays, **knobs}, label="timing")

    return of


# --- laws ----------------------------------------------------------------------------------------


def running_mean(old: str, new: str, share: str, power: int, weigh: bool) -> Law:
    """Return the law that a part of the state is share · old + weight · gᵖᵒʷᵉʳ."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        kept: Any = Fraction(case[share])
        weight: Any = 1 - kept if weigh else 1
        arrived = exact(case["gradients"]) ** power
        wanted = kept * exact(case[old]) + weight * arrived
        yield equals_exactly(subject(case)[new], wanted, subject.bound(case)[new])

    return Law(f"{new}-recursion", f"{new} keeps its share of what it was and adds the new", check)


def still(case: Case) -> Case:
    """Return the case with all parameters at 0, so that a step is seen to all its digits."""
    return case.but(parameters=np.zeros_like(case["parameters"]))


def check_additive(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where the parameters are does not matter to the step."""
    origin = still(case)
    step, allowed = subject(origin)["parameters"], subject.bound(origin)["parameters"]
    if np.isfinite(step).all():
        wanted = exact(case["parameters"]) + exact(step)
        slack = subject.bound(case)["parameters"] + allowed
        yield equals_exactly(subject(case)["parameters"], wanted, slack)


def check_velocity_step(subject: Subject, case: Case) -> Iterable[Claim]:
    """The step is the velocity after it, times the learning rate, downhill."""
    origin = still(case)
    found, bounds = subject(origin), subject.bound(origin)
    speed = measured(found["velocity"], bounds["velocity"])
    place = measured(found["parameters"], bounds["parameters"])
    for here, fast in zip(place, speed, strict=True):
        yield vanishes(here + exactly(case["learning_rate"]) * fast)


def check_steady_adam(subject: Subject, case: Case) -> Iterable[Claim]:
    """After any number of equal gradients the step is lr · g/(|g| + ε)."""
    for count in (1, 3):
        gradients, old = case["gradients"], count - 1
        steady = still(case).but(
            first=(1 - 0.5**old) * gradients, second=(1 - 0.75**old) * gradients**2,
            count=count, beta1=0.5, beta2=0.75,
        )  # fmt: skip
        slope = exact(gradients)
        rate, small = (np.full(slope.shape, Fraction(case[x])) for x in ("learning_rate", "eps"))
        wanted = -rate * slope / (abs(slope) + small)
        yield equals_exactly(
            subject(steady)["parameters"], wanted, subject.bound(steady)["parameters"]
        )


def check_steady_rmsprop(subject: Subject, case: Case) -> Iterable[Claim]:
    """After ever equal gradients the step is lr · g over |g| + ε, or over √(g² + ε)."""
    steady = still(case).but(squares=case["gradients"] ** 2)
    found = subject(steady)["parameters"]
    steps = measured(found, subject.bound(steady)["parameters"])
    for step, slope in zip(steps, case["gradients"], strict=True):
        forward = exactly(case["learning_rate"]) * exactly(slope)
        if case["eps_inside"]:
            square = exactly(slope) * exactly(slope) + exactly(case["eps"])
            yield vanishes(step * step * square - forward * forward)
        else:
            yield vanishes(step * (abs(exactly(slope)) + exactly(case["eps"])) + forward)
    # the squares above do not see the sign
    downhill = np.where(np.abs(found) > subject.bound(steady)["parameters"], -1.0, 0.0)
    yield Claim(
        np.sign(found * case["gradients"]) * (downhill != 0),
        downhill * (case["gradients"] != 0), np.zeros(found.shape),
    )  # fmt: skip


def check_reversed(subject: Subject, case: Case) -> Iterable[Claim]:
    """Every parameter is updated by its own gradient alone."""
    got, allowed = subject(case), subject.bound(case)
    arrays = {
        name: value for name, value in case.arguments.items() if isinstance(value, np.ndarray)
    }
    for i in {0, len(case["parameters"]) - 1}:
        alone = case.but(**{name: value[i : i + 1] for name, value in arrays.items()})
        found, bounds = subject(alone), subject.bound(alone)
        for name, value in got.items():
            slack = allowed[name][i : i + 1] + bounds[name]
            yield Claim(value[i : i + 1], found[name], slack)


def check_norm(subject: Subject, case: Case) -> Iterable[Claim]:
    """The norm squared is the sum of squares."""
    norm = measured(subject(case)["norm"], subject.bound(case)["norm"])[()]
    squares = sum(exactly(x) * exactly(x) for x in case["gradients"])
    yield vanishes(norm * norm - squares)


def check_length(subject: Subject, case: Case) -> Iterable[Claim]:
    """Afterwards the norm is the smaller of what it was and max_norm."""
    clipped = measured(subject(case)["gradients"], subject.bound(case)["gradients"])
    squares = sum(Fraction(float(x)) ** 2 for x in case["gradients"])
    most = Fraction(case["max_norm"]) ** 2
    wanted = sum(exactly(x) * exactly(x) for x in case["gradients"])
    if squares > most:
        wanted = exactly(case["max_norm"]) * exactly(case["max_norm"])
    yield vanishes(sum(x * x for x in clipped) - wanted)


def check_direction(subject: Subject, case: Case) -> Iterable[Claim]:
    """The direction stays: clipped gradients are proportional to the gradients."""
    clipped = measured(subject(case)["gradients"], subject.bound(case)["gradients"])
    first = case["gradients"][0]
    for i in range(1, len(clipped)):
        yield vanishes(clipped[i] * exactly(first) - clipped[0] * exactly(case["gradients"][i]))


def check_scaled(subject: Subject, case: Case) -> Iterable[Claim]:
    """Four times the gradients and four times the limit: four times the result."""
    larger = case.but(gradients=4 * case["gradients"], max_norm=4 * case["max_norm"])
    wanted = {name: 4 * array for name, array in subject(case).items()}
    yield from same(subject, larger, wanted, case, 4.0)


ADDITIVE = Law("place-free", "where the parameters are does not matter to the step", check_additive)
OWN_GRADIENT = Law(
    "own-gradient", "every parameter is updated by its own gradient alone", check_reversed
)
