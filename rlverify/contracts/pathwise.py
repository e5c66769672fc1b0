"""Contract of the topic `pathwise`: the reparameterised gradient of a Gaussian sample."""

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import (
    Argument,
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
from rlverify.fast import pathwise as fast
from rlverify.inputs import distinct
from rlverify.reference import pathwise as reference

# --- inputs --------------------------------------------------------------------------------------

SHAPES = ((1,), (4,), (2, 3), (3, 2), (3, 3), (2, 2), (4, 1), (1, 4), (2, 1, 2), (2, 2, 3))
# how log σ is shared: not at all, over samples, over dimensions, over everything, as one number
SHARING = ("full", "over samples", "over dimensions", "over dimensions", "single", "missing axes")
EXTREMES = (-13.8125, 13.8125)  # σ of about 10⁻⁶ and 10⁶


def shared_shape(shape: tuple[int, ...], sharing: str) -> tuple[int, ...]:
    """Return a shape that broadcasts to `shape`."""
    if sharing == "over samples":
        return (*(1 for _ in shape[:-1]), shape[-1])
    if sharing == "over dimensions":
        return (*shape[:-1], 1)
    if sharing == "single":
        return (1,) * len(shape)
    return shape[-1:] if sharing == "missing axes" else shape


@st.composite
def gaussian_samples(draw: st.DrawFn) -> Case:
    """Draw samples [..., D] with a log σ that is shared in one of several ways."""
    shape = draw(st.sampled_from(SHAPES))
    sharing = draw(st.sampled_from(SHARING))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mean, log_std, normals, slopes = distinct(
        rng, shape, shared_shape(shape, sharing), shape, shape
    )
    log_std, normals = log_std / 8, normals / 8
    extreme = draw(st.integers(0, 7))
    if extreme < len(EXTREMES):
        log_std.flat[0] = EXTREMES[extreme]
    if draw(st.integers(0, 3)) == 0:
        slopes.flat[-1] = 0  # a reward that no longer changes
    arguments = {"mean": mean, "log_std": log_std, "normals": normals, "reward_gradients": slopes}
    return Case(arguments, "free" if sharing == "full" else "shared")


def sized(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size, one log σ a dimension."""
    rng = np.random.default_rng(0)
    mean, normals, slopes = rng.normal(size=(3, *shape))
    log_std = rng.normal(size=shape[-1:]) / 4
    return Case(
        {"mean": mean, "log_std": log_std, "normals": normals, "reward_gradients": slopes},
        "shared",
        "sized",
    )


# --- laws ----------------------------------------------------------------------------------------


def check_mean_is_slope(subject: Subject, case: Case) -> Iterable[Claim]:
    """The estimate for the mean is the reward gradient itself, to the bit."""
    got, wanted = subject(case)["mean"], case["reward_gradients"]
    yield Claim(got, wanted, np.zeros(wanted.shape))


def check_unit_scale(subject: Subject, case: Case) -> Iterable[Claim]:
    """At σ = 1 the estimate for log σ is f′(a) ε, in fractions."""
    unit = case.but(log_std=0 * case["log_std"])
    wanted = exact(case["reward_gradients"]) * exact(case["normals"])
    yield equals_exactly(subject(unit)["log_std"], wanted, subject.bound(unit)["log_std"])


def _e() -> Fraction:
    """Return e; the first term left out is below 10⁻⁶⁰."""
    return sum((Fraction(1, math.factorial(k)) for k in range(50)), Fraction(0))


def check_scale_of_e(subject: Subject, case: Case) -> Iterable[Claim]:
    """At log σ = 1 it is e f′(a) ε."""
    euler = case.but(log_std=0 * case["log_std"] + 1)
    wanted = exact(case["reward_gradients"]) * exact(case["normals"]) * _e()
    yield equals_exactly(subject(euler)["log_std"], wanted, subject.bound(euler)["log_std"])


def check_shared_as_repeated(subject: Subject, case: Case) -> Iterable[Claim]:
    """A shared log σ gives what the same numbers written out give."""
    full = np.broadcast_to(case["log_std"], case["mean"].shape).copy()
    yield from same(subject, case, subject(case.but(log_std=full)), case.but(log_std=full))


def check_samples_alone(subject: Subject, case: Case) -> Iterable[Claim]:
    """Every sample's estimate is its own."""
    full = case.but(log_std=np.broadcast_to(case["log_std"], case["mean"].shape).copy())
    got, allowed = subject(full), subject.bound(full)
    for n in range(len(case["mean"]) if case["mean"].ndim > 1 else 0):
        row = full.but(**{name: array[n : n + 1] for name, array in full.arguments.items()})
        alone, bound = subject(row), subject.bound(row)
        for name in got:
            slack = allowed[name][n : n + 1] + bound[name]
            yield Claim(got[name][n : n + 1], alone[name], slack)


LAWS = (
    Law("mean-is-slope", "the estimate for the mean is f′(a) itself", check_mean_is_slope),
    Law("unit-scale", "at σ = 1 the estimate for log σ is f′(a) ε", check_unit_scale),
    Law("scale-of-e", "at log σ = 1 it is e f′(a) ε", check_scale_of_e),
    Law(
        "shared-as-repeated", "a shared log σ is the same number repeated",
        check_shared_as_repeated, holds_on=("shared",),
    ),
    Law("samples-alone", "every sample's estimate is its own", check_samples_alone),
)  # fmt: skip

# --- known bugs, equivalents, refusals -----------------------------------------------------------

STD = "std = np.exp(log_stds[i])"
PRODUCT = "reward_gradients[i] * (std * normals[i])"
RESULT = "return GaussianGradient(by_mean, by_log_std)"
BUGS = (
    KnownBug("D2a", STD, "std = np.exp(log_stds[i] / 2)"),
    KnownBug("D2b", STD, "std = np.exp(2 * log_stds[i])"),
    KnownBug("P1", PRODUCT, "reward_gradients[i] * normals[i]"),
    KnownBug("P2", PRODUCT, "0 * reward_gradients[i]"),
    KnownBug(
        "P3", "by_mean[i] = reward_gradients[i]",
        "by_mean[i] = reward_gradients[i] * (normals[i] / std)",
    ),
    KnownBug(
        "L8", RESULT,
        "return GaussianGradient(\n"
        "        0 * by_mean + by_mean.mean(axis=0), 0 * by_log_std + by_log_std.mean(axis=0)\n"
        "    )",
    ),
    KnownBug("P4", "np.broadcast_to(log_std, mean.shape)", "np.resize(log_std, mean.shape)"),
)  # fmt: skip


def from_the_action(
    mean: np.ndarray, log_std: np.ndarray, normals: np.ndarray, reward_gradients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Take σ ε for what it is, the distance of the action from the mean, its sign with ε."""
    distance = np.exp(log_std) * np.abs(normals)
    return reward_gradients + 0 * mean, np.sign(normals) * reward_gradients * distance


ROWS = np.zeros((2, 3))
BAD = (
    ("mean", "a list", [1.0], TypeError,
     "mean came as list, wanted a floating-point array [..., D]."),
    ("mean", "integers", ROWS.astype(np.int64), TypeError,
     "mean came as dtype int64, wanted a floating-point dtype."),
    ("log_std", "one for each sample", np.zeros(2), ValueError,
     "log_std has shape (2,), but mean has shape (2, 3); they must broadcast to that shape."),
    ("log_std", "an axis too many", np.zeros((1, 2, 3)), ValueError,
     "log_std has shape (1, 2, 3), but mean has shape (2, 3); they must broadcast to that shape."),
    ("normals", "another shape", np.zeros((3, 2)), ValueError,
     "normals has shape (3, 2), but mean has shape (2, 3); they must agree."),
    ("reward_gradients", "a dimension short", np.zeros((2, 2)), ValueError,
     "reward_gradients has shape (2, 2), but mean has shape (2, 3); they must agree."),
)  # fmt: skip


# --- contract ------------------------------------------------------------------------------------

CONTRACT = Contract(
    name="gaussian_pathwise_gradient",
    topic="pathwise",
    summary="gradient of an expected reward through a Gaussian sample, one for every sample",
    source="Kingma and Welling 2014, arXiv:1312.6114, section 2.4",
    reference=reference.gaussian_pathwise_gradient,
    fast=fast.gaussian_pathwise_gradient,
    arguments=(
        Argument("mean", "float", "... D"),
        Argument("log_std", "float", "... D"),
        Argument("normals", "float", "... D"),
        Argument("reward_gradients", "float", "... D"),
    ),
    outputs=("mean", "log_std"),
    inputs=gaussian_samples(),
    examples=(
        Example(
            "σ = 1, two samples",
            Case(
                {
                    "mean": np.array([[1.0], [1.0]]), "log_std": np.array([0.0]),
                    "normals": np.array([[0.5], [-2.0]]),
                    "reward_gradients": np.array([[3.0], [-1.0]]),
                },
                "shared",
                "worked by hand",
            ),
            {"mean": [["3"], ["-1"]], "log_std": [["3/2"], ["2"]]},
        ),
    ),
    laws=LAWS,
    gradients=("log_std", "normals", "reward_gradients"),
    known_bugs=BUGS,
    equivalents=(
        Equivalent(
            "from the action", "σ |ε| is the distance of the action from its mean", from_the_action
        ),
    ),
    bad_inputs=tuple(instead("gaussian_pathwise_gradient", *entry) for entry in BAD),
    sizes=((8, 4), (4096, 6), (262144, 6)),
    exact=False,
    good=Case(
        {"mean": ROWS, "log_std": np.zeros(3), "normals": ROWS + 1, "reward_gradients": ROWS + 2},
        "shared",
    ),
    sized=sized,
)  # fmt: skip

CONTRACTS = (CONTRACT,)
