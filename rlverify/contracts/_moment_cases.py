"""Inputs of running moments and of what is scaled by them."""

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case
from rlverify.inputs import distinct

# far from 0 a square has no room for the deviation
OFFSETS = (0.0, 0.0, 0.0, 100.0, 2.0**20, 2.0**26)
STATES = ("empty", "unit", "young", "young", "old", "fractional")
MOMENT_SIZES = ((16, 4), (1024, 64), (65536, 64))
MERGE_SIZES = ((16,), (4096,), (262144,))
SCALE_SIZES = ((8, 4), (128, 8), (2048, 8), (128, 4096))


def counted(rng: np.random.Generator, state: str) -> float:
    """Return how many samples a state holds."""
    if state in ("empty", "unit"):
        return 0.0
    return (
        0.25
        if state == "fractional"
        else float(rng.integers(*((1, 5) if state == "young" else (30, 60))))
    )


def prior(
    rng: np.random.Generator, state: str, numbers: np.ndarray, offset: float
) -> dict[str, np.ndarray]:
    """Return the arrays of a state, from two numbers a component, [2, D] or [2]."""
    count = counted(rng, state)
    mean, variance = numbers[0] + offset, np.abs(numbers[1])
    if count == 0:  # nothing has been seen; as variance, 0 and 1 are both met with
        mean, variance = 0 * mean, 0 * variance + (state == "unit")
    return {
        "count": np.array(count), "mean": np.array(mean), "variance": np.array(variance)
    }  # fmt: skip


@st.composite
def updates(draw: st.DrawFn) -> Case:
    """Draw a state and a batch `[N, D]`, at times of one sample, at times of equal ones."""
    samples, components = draw(st.sampled_from((1, 2, 3, 4, 5))), draw(st.sampled_from((1, 2, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x, numbers = distinct(rng, (samples, components), (2, components))
    offset = draw(st.sampled_from(OFFSETS))
    if draw(st.sampled_from((False, False, False, True))):
        x = np.repeat(x[:1], samples, axis=0)
    state = draw(st.sampled_from(STATES))
    return Case({**prior(rng, state, numbers, offset), "x": x + offset}, state)


@st.composite
def pairs(draw: st.DrawFn) -> Case:
    """Draw two states of the same components; one of them may be empty."""
    components = draw(st.sampled_from((1, 2, 3, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    one, two = distinct(rng, (2, components), (2, components))
    offset = draw(st.sampled_from(OFFSETS))
    states = draw(st.sampled_from(STATES)), draw(st.sampled_from(STATES))
    if {*states} <= {"empty", "unit"}:  # of two empty ones most code makes 0/0
        states = states[0], "young"
    second = {f"other_{k}": v for k, v in prior(rng, states[1], two, offset).items()}
    return Case({**prior(rng, states[0], one, offset), **second}, states[0])


@st.composite
def observations(draw: st.DrawFn) -> Case:
    """Draw moments and samples `[N, D]`; some lie far out, some components do not vary."""
    samples, components = draw(st.sampled_from((1, 2, 3))), draw(st.sampled_from((1, 2, 4, 5)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x, numbers = distinct(rng, (samples, components), (2, components))
    offset = draw(st.sampled_from((0.0, 0.0, 100.0, 2.0**20)))
    variance = np.abs(numbers[1]) ** 2 * draw(st.sampled_from((1.0, 1.0, 0.125)))
    variance[rng.random(components) < 0.15] = 0
    arguments = {
        "mean": numbers[0] + offset,
        "variance": variance,
        "x": x + offset,
        "eps": draw(st.sampled_from((4.0, 0.5, 1e-2, 1e-8))),
        "clip": draw(st.sampled_from((0.5, 1.0, 2.0, 10.0, 1e4))),
    }
    return Case(arguments)


@st.composite
def reward_streams(draw: st.DrawFn) -> Case:
    """Draw rewards `[T, B]`, ends of both kinds, carried returns and a state."""
    steps, batch = draw(st.sampled_from((1, 2, 3, 4, 5))), draw(st.sampled_from((1, 1, 2, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rewards, returns, numbers = distinct(rng, (steps, batch), (batch,), (2,))
    offset = draw(st.sampled_from((0.0, 0.0, 0.0, 0.0, 2.0**20, 2.0**26)))
    share = draw(st.sampled_from((0.0, 0.3, 0.3, 0.3, 1.0)))
    terminated, truncated = rng.random((2, steps, batch)) < share
    if draw(st.booleans()):
        truncated = truncated & ~terminated
    state = draw(st.sampled_from(STATES))
    arguments = {
        "rewards": rewards + offset,
        "terminated": terminated,
        "truncated": truncated,
        "returns": (returns + offset) * draw(st.sampled_from((0.0, 1.0, 1.0))),
        **prior(rng, state, numbers, offset),
        "gamma": draw(st.sampled_from((0.0, 0.5, 0.9, 0.99, 1.0))),
        "eps": draw(st.sampled_from((4.0, 0.5, 1e-2, 1e-8))),
        "clip": draw(st.sampled_from((0.5, 1.0, 10.0, 1e4, 1e4))),
    }
    return Case(arguments, state)


def large(*shape: int) -> np.ndarray:
    """Return numbers of a benchmark size."""
    return np.random.default_rng(0).integers(-255, 256, shape) / 128


def young(*shape: int) -> dict[str, np.ndarray]:
    """Return a state of ten samples."""
    return {"count": np.array(10.0), "mean": np.zeros(shape), "variance": np.ones(shape)}


def sized_update(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size."""
    return Case({**young(shape[1]), "x": large(*shape)}, "young", "timing")


def sized_merge(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size."""
    other = {
        "other_count": np.array(5.0),
        "other_mean": large(*shape),
        "other_variance": np.ones(shape),
    }
    return Case({**young(*shape), **other}, "young", "timing")


def sized_normalize(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size."""
    state = {"mean": large(shape[1]), "variance": np.ones(shape[1])}
    return Case({**state, "x": large(*shape), "eps": 1e-2, "clip": 2.0}, label="timing")


def sized_scale(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size: 2 % of the steps terminate, 1 % are truncated."""
    rng = np.random.default_rng(1)
    arguments = {
        "rewards": large(*shape),
        "terminated": rng.random(shape) < 0.02,
        "truncated": rng.random(shape) < 0.01,
        "returns": np.zeros(shape[1]),
        **young(),
        "gamma": 0.99,
        "eps": 1e-2,
        "clip": 10.0,
    }
    return Case(arguments, "young", "timing")
