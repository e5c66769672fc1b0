"""Inputs of the Gaussian policies: what is drawn, spoiled and timed.

Rows of actions `[B, D]`: that is what code in the wild takes. Other leading axes are held by
the tests of the topics. Where it is not extreme that is wanted, numbers are multiples of 1/8, so
that they are exact down to bfloat16.

A kind of case says what is extreme about it; each law names the kinds it holds on, if not all.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.comparison import round_to
from rlverify.contract import Argument, BadInput, Case
from rlverify.contracts._refusals import instead

SHAPES = (
    (1, 1), (1, 2), (2, 1), (1, 3), (3, 1), (2, 2), (3, 2), (2, 3), (4, 2), (4, 3), (5, 2), (2, 4),
)  # fmt: skip
# σ between 1/e² and e², about 10⁻⁶ to 10⁻⁴, about 10⁴ to 10⁶
ORDINARY, NARROW, WIDE = (-16, 17), (-110, -72), (74, 111)


def eighths(rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return multiples of 1/8 between low/8 and high/8."""
    return rng.integers(low, high, shape) / 8


def nonzero(rng: np.random.Generator, most: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return multiples of 1/8 up to most/8, of either sign and never 0."""
    return rng.choice([-1, 1], shape) * rng.integers(1, most + 1, shape) / 8


def _noise(draw: st.DrawFn, kind: str, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    if kind == "peak":
        return np.zeros(shape)
    return nonzero(rng, 400 if kind == "far" else 32, shape)


@st.composite
def policies(draw: st.DrawFn, kinds: tuple[str, ...], third: str) -> Case:
    """Draw mean, log σ and a third argument: actions at some z, or the standard normals z.

    Kinds: `near`, |z| up to 4; `far`, up to 50; `peak`, the mean itself; `narrow` and `wide`, σ
    about 10⁻⁶ and 10⁶; `squashed`, u between 8 and 64 in size; `saturated`, up to 1024.
    """
    kind, shape = draw(st.sampled_from(kinds)), draw(st.sampled_from(SHAPES))
    vector = draw(st.booleans())  # one log σ for all rows
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bounds = {"narrow": NARROW, "wide": WIDE}.get(kind, ORDINARY)
    log_std = eighths(rng, *bounds, shape[1:] if vector else shape)
    mean = nonzero(rng, 32, shape)
    if kind == "narrow":  # a row of small numbers, or σ would vanish beside them
        mean = mean * 2.0**-15
    elif kind == "squashed":
        mean = mean / abs(mean) * rng.integers(8, 65, shape)
    elif kind == "saturated":
        mean = mean / abs(mean) * rng.integers(64, 1025, shape)
    noise = _noise(draw, kind, rng, shape)
    if third == "normals":
        return Case({"mean": mean, "log_std": log_std, "normals": noise}, kind)
    taken = round_to("bfloat16", mean + np.exp(log_std) * noise)
    return Case({"mean": mean, "log_std": log_std, third: taken}, kind)


@st.composite
def narrow_policies(draw: st.DrawFn) -> Case:
    """Draw a few means and log σ up to ½, for a function that takes a node for every σ/40."""
    kind = draw(st.sampled_from(("near", "squashed", "narrow")))
    shape = draw(st.sampled_from(((1, 1), (1, 2), (2, 1), (1, 3))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bounds = NARROW if kind == "narrow" else (-16, 5)
    mean = nonzero(rng, 32, shape) * (8 if kind == "squashed" else 1)
    vector = draw(st.booleans())
    return Case(
        {"mean": mean, "log_std": eighths(rng, *bounds, shape[1:] if vector else shape)}, kind
    )


@st.composite
def spreads(draw: st.DrawFn) -> Case:
    """Draw log σ alone."""
    kind, shape = draw(st.sampled_from(("near", "narrow", "wide"))), draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bounds = {"narrow": NARROW, "wide": WIDE}.get(kind, ORDINARY)
    return Case({"log_std": eighths(rng, *bounds, shape)}, kind)


@st.composite
def pairs(draw: st.DrawFn) -> Case:
    """Draw two policies: `apart`; `close`, a small step from each other; `equal`; or `extreme`."""
    kind = draw(st.sampled_from(("apart", "apart", "close", "close", "equal", "extreme")))
    # a series a component makes the tracked reference slow: at most six of them
    shape = draw(st.sampled_from([shape for shape in SHAPES if shape[0] * shape[1] <= 6]))
    vector = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mean_p, log_std_p = nonzero(rng, 32, shape), eighths(rng, *ORDINARY, shape)
    mean_q, log_std_q = nonzero(rng, 32, shape), eighths(rng, *ORDINARY, shape)
    if kind == "extreme":
        bounds = draw(st.sampled_from((NARROW, WIDE, (NARROW[0], WIDE[1]))))
        log_std_p, log_std_q = eighths(rng, *bounds, shape), eighths(rng, *bounds, shape)
    if kind in ("close", "equal"):
        step = 0.0 if kind == "equal" else 2.0 ** -draw(st.integers(4, 16))
        mean_q = mean_p + step * nonzero(rng, 8, shape)
        log_std_q = log_std_p + step * nonzero(rng, 8, shape)
    if vector:
        log_std_p, log_std_q = log_std_p[0], log_std_q[0]
    return Case(
        {"mean_p": mean_p, "log_std_p": log_std_p, "mean_q": mean_q, "log_std_q": log_std_q}, kind
    )


# --- arguments, a good case, refusals, sizes -----------------------------------------------------

POLICY = (Argument("mean", "float", "... D"), Argument("log_std", "float", "... D"))
GOOD = {
    "mean": np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]]),
    "log_std": np.array([0.5, -0.25, 0.125]),
}
THIRD = np.array([[1.0, -2.0, 0.5], [0.25, 1.0, -1.5]])
SIZES = ((64, 3), (4096, 8), (65536, 8), (262144, 17))


def good(third: str) -> Case:
    """Return a small good case of a policy and a third argument."""
    return Case({**GOOD, third: THIRD}, "near", "good")


def sized(third: str) -> Callable[[tuple[int, ...]], Case]:
    """Return the maker of cases of a benchmark size: state-independent log σ, as in most code."""

    def make(shape: tuple[int, ...]) -> Case:
        rng = np.random.default_rng(0)
        mean, noise = round_to("float32", rng.normal(size=(2, *shape)))
        log_std = round_to("float32", rng.normal(size=shape[1:]) / 2)
        return Case({"mean": mean, "log_std": log_std, third: noise}, "near", "sized")

    return make


def refusals(function: str, mean: str, log_std: str, last: str) -> tuple[BadInput, ...]:
    """Return the refusals of a function of a mean, a log σ that broadcasts, and a last array."""
    entries: tuple[tuple[str, str, Any, type[Exception], str], ...] = (
        (mean, "a list", [0.0], TypeError,
         f"{mean} came as list, wanted a floating-point array [..., D]."),
        (mean, "integers", np.zeros((2, 3), dtype=np.int64), TypeError,
         f"{mean} came as dtype int64, wanted a floating-point dtype."),
        (mean, "no components", np.zeros(()), ValueError,
         f"{mean} came with shape (), wanted [..., D]."),
        (mean, "empty", np.zeros((0, 3)), ValueError,
         f"{mean} came with shape (0, 3), wanted at least one element."),
        (log_std, "a number", 0.5, TypeError,
         f"{log_std} came as float, wanted a floating-point array [...]."),
        (log_std, "along the wrong axis", np.zeros(2), ValueError,
         f"{log_std} has shape (2,), but {mean} has shape (2, 3); they must broadcast to that "
         "shape."),
        (log_std, "larger than the mean", np.zeros((1, 2, 3)), ValueError,
         f"{log_std} has shape (1, 2, 3), but {mean} has shape (2, 3); they must broadcast to "
         "that shape."),
        (last, "one row", np.zeros(3), ValueError,
         f"{last} has shape (3,), but {mean} has shape (2, 3); they must agree."),
        (last, "flags", np.zeros((2, 3), dtype=bool), TypeError,
         f"{last} came as dtype bool, wanted a floating-point dtype."),
    )  # fmt: skip
    return tuple(instead(function, *entry) for entry in entries)


def spread_refusals(function: str) -> tuple[BadInput, ...]:
    """Return the refusals of a function of log σ alone."""
    return (
        instead(function, "log_std", "a number", 0.5, TypeError,
                "log_std came as float, wanted a floating-point array [..., D]."),
        instead(function, "log_std", "integers", np.zeros(3, dtype=np.int64), TypeError,
                "log_std came as dtype int64, wanted a floating-point dtype."),
        instead(function, "log_std", "no components", np.zeros(()), ValueError,
                "log_std came with shape (), wanted [..., D]."),
        instead(function, "log_std", "empty", np.zeros((2, 0)), ValueError,
                "log_std came with shape (2, 0), wanted at least one element."),
    )  # fmt: skip
