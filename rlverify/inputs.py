"""Inputs: Hypothesis draws the structure, a seed fills in the numbers.

What separates a right estimator from a wrong one is structure: where episodes end and how,
whether T equals B, which discount, what stands in places that must not matter. That is what
is drawn. The numbers are distinct multiples of 1/8 below 32 in size, so they are exact in
every float dtype down to bfloat16 and no two places can be confused.

Two kinds of recording: *free*, where `next_values` is independent of `values`, and
*chained*, where the next value of t is the value of t + 1 unless a cut lies between.
Nothing here knows an estimator; the contracts name the arguments they want.
"""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case

DISCOUNTS = (0.0, 0.5, 0.75, 0.9, 0.99, 1.0)
TRACES = (0.0, 0.25, 0.5, 0.95, 1.0)
# lengths: one step, a few, and one long enough for (γλ)ᵏ to become small
STEPS = (1, 2, 3, 4, 5, 6, 8, 12)
COLUMNS = (1, 1, 2, 3, 4, 5)
END_SHAPES = ("none", "first", "middle", "last", "two in a row", "every", "scattered", "scattered")
END_KINDS = ("terminated", "truncated", "both", "mixed")
# whatever stands under a mask; 2¹⁵ is large and exact in every dtype
GARBAGE = (7.0, 2.0**15, float("nan"), float("inf"))


def distinct(rng: np.random.Generator, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Return arrays of the given shapes; no number occurs twice, in any of them."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    # odd multiples too, and never zero: a zero hides every mistake that multiplies it
    pool = np.concatenate([np.arange(-255, 0), np.arange(1, 256)]) / 8
    if sum(sizes) > pool.size:
        raise ValueError(f"distinct: {sum(sizes)} numbers asked for, only {pool.size} there are.")
    numbers = rng.permutation(pool)[: sum(sizes)]
    parts = np.split(numbers, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def cut_of(terminated: np.ndarray, truncated: np.ndarray) -> np.ndarray:
    """Return where an episode or the recording ends: either flag, or the last row."""
    cut = np.logical_or(terminated, truncated)
    cut[-1] = True
    return np.asarray(cut)


def chained_next_values(values: np.ndarray, next_values: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Return `next_values` with the value of t + 1 put wherever no cut lies between."""
    following = np.roll(values, -1, axis=0)
    return np.where(cut, next_values, following)


def rechained(case: Case) -> Case:
    """Return a chained case made consistent again after an edit; other kinds unchanged."""
    if case.kind != "chained":
        return case
    truncated = case.arguments.get("truncated", np.zeros_like(case["terminated"]))
    cut = cut_of(case["terminated"], truncated)
    return case.but(next_values=chained_next_values(case["values"], case["next_values"], cut))


def _end_rows(shape: str, steps: int, rng: np.random.Generator) -> np.ndarray:
    rows = np.zeros(steps, dtype=bool)
    middle = steps // 2
    if shape == "first":
        rows[0] = True
    elif shape == "middle":
        rows[max(middle - 1, 0)] = True
    elif shape == "last":
        rows[-1] = True
    elif shape == "two in a row":
        rows[max(middle - 1, 0) : middle + 1] = True
    elif shape == "every":
        rows[:] = True
    elif shape == "scattered":
        rows = rng.random(steps) < 0.3
    return rows


def _flags(
    draw: st.DrawFn, steps: int, batch: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    terminated = np.zeros((steps, batch), dtype=bool)
    truncated = np.zeros((steps, batch), dtype=bool)
    for b in range(batch):
        rows = _end_rows(draw(st.sampled_from(END_SHAPES)), steps, rng)
        kind = draw(st.sampled_from(END_KINDS))
        # 0: terminated, 1: truncated, 2: both
        kinds = rng.integers(0, 3, steps) if kind == "mixed" else END_KINDS.index(kind)
        terminated[:, b] = rows & (kinds != 1)
        truncated[:, b] = rows & (kinds != 0)
    return terminated, truncated


@st.composite
def recordings(draw: st.DrawFn, names: tuple[str, ...], kinds: tuple[str, ...]) -> Case:
    """Draw a recording `[T, B]` with the arguments in `names`.

    Known names: rewards, values, next_values, terminated, truncated, gamma, lam, n.
    """
    kind = draw(st.sampled_from(kinds))
    steps, batch = draw(st.sampled_from(STEPS)), draw(st.sampled_from(COLUMNS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rewards, values, next_values = distinct(rng, *[(steps, batch)] * 3)
    terminated, truncated = _flags(draw, steps, batch, rng)
    if "truncated" not in names:  # a cut that the case does not show would break its chain
        truncated = np.zeros_like(truncated)
    if kind == "chained":
        cut = cut_of(terminated, truncated)
        next_values = chained_next_values(values, next_values, cut)
    gamma = draw(st.sampled_from((*DISCOUNTS, *["per step"] * 5)))
    if gamma == "per step":
        gamma = rng.integers(0, 9, (steps, batch)) / 8
    arguments = {
        "rewards": rewards,
        "values": values,
        "next_values": next_values,
        "terminated": terminated,
        "truncated": truncated,
        "gamma": gamma,
        "lam": draw(st.sampled_from(TRACES)) if "lam" in names else None,
        "n": draw(st.sampled_from((1, 2, 2, 3, 4, steps + 2))) if "n" in names else None,
    }
    return Case({name: arguments[name] for name in names}, kind)


MASK_SHAPES = ("right", "left", "inside", "scattered", "full", "empty row", "none")


@st.composite
def token_sequences(draw: st.DrawFn, names: tuple[str, ...]) -> Case:
    """Draw padded sequences `[B, L]`: rewards, values, mask, gamma, lam; garbage under the mask."""
    batch, length = draw(st.sampled_from(COLUMNS)), draw(st.sampled_from(STEPS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rewards, values = distinct(rng, *[(batch, length)] * 2)
    mask = np.ones((batch, length), dtype=bool)
    for b in range(batch):
        shape = draw(st.sampled_from(MASK_SHAPES))
        real = int(rng.integers(1, length + 1))
        if shape == "right":
            mask[b, real:] = False
        elif shape == "left":
            mask[b, : length - real] = False
        elif shape == "inside":
            mask[b, 1 : max(length - 1, 1)] = rng.random(max(length - 1, 1) - 1) < 0.5
        elif shape == "scattered":
            mask[b] = rng.random(length) < 0.6
        elif shape == "empty row":
            mask[b] = False
    if not mask.any():
        mask[0, 0] = True
    garbage = draw(st.sampled_from(GARBAGE))
    everything = bool(mask.all())
    rewards, values = np.where(mask, rewards, garbage), np.where(mask, values, -garbage)
    gamma = draw(st.sampled_from((*DISCOUNTS, *["per token"] * 5)))
    if gamma == "per token":
        gamma = rng.integers(0, 9, (batch, length)) / 8
    arguments = {
        "rewards": rewards,
        "values": values,
        "mask": None if everything and draw(st.booleans()) else mask,
        "gamma": gamma,
        "lam": draw(st.sampled_from(TRACES)),
    }
    return Case({name: arguments[name] for name in names}, "free")


@st.composite
def samples(draw: st.DrawFn, name: str, *, offsets: tuple[float, ...]) -> Case:
    """Draw numbers of any shape under `name`, with `mask`, `ddof` and `eps`.

    Args:
        draw: given by Hypothesis.
        name: the array's name.
        offsets: what is added to all of them; a mean far from 0 shows cancellation.
    """
    shape = draw(st.sampled_from(((2,), (3,), (7,), (24,), (4, 3), (3, 4), (3, 3), (1, 6), (6, 1))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    (array,) = distinct(rng, shape)
    spread = draw(st.sampled_from((1.0, 1.0, 1.0, 0.125, 0.0)))
    array = array * spread + draw(st.sampled_from(offsets))
    mask = None
    if draw(st.booleans()):
        mask = rng.random(shape) < 0.7
        mask.flat[:2] = True
        array = np.where(mask, array, draw(st.sampled_from(GARBAGE)))
    arguments = {
        name: array,
        "mask": mask,
        "ddof": draw(st.sampled_from((0, 1))),
        "eps": draw(st.sampled_from((0.5, 0.5, 1e-5, 1e-8))),
    }
    return Case(arguments, "constant" if spread == 0 else "spread")


def long_recordings(names: tuple[str, ...]) -> tuple[Case, ...]:
    """Return two recordings of 1024 steps: γλ = 0.9405 and γ = λ = 1.

    They show what a dozen steps cannot: a kernel cut off where (γλ)ᵏ is small, products of
    decays that underflow, and what a thousand additions do to the error.
    """
    cases = []
    for seed, (gamma, lam) in enumerate(((0.99, 0.95), (1.0, 1.0))):
        rng = np.random.default_rng(seed)
        rewards, values, next_values = rng.integers(1, 256, (3, 1024, 1)) / 8
        rewards, values = rewards * rng.choice((-1, 1), (1024, 1)), values - 16
        terminated, truncated = np.zeros((2, 1024, 1), dtype=bool)
        terminated[900] = truncated[300 * seed + 10] = True
        cut = cut_of(terminated, truncated)
        arguments = {
            "rewards": rewards,
            "values": values,
            "next_values": chained_next_values(values, next_values, cut),
            "terminated": terminated,
            "truncated": truncated,
            "gamma": gamma,
            "lam": lam,
            "n": 100,
        }
        kind = "chained" if "values" in names else "free"
        cases.append(Case({name: arguments[name] for name in names}, kind, "long"))
    return tuple(cases)


def long_sequences(names: tuple[str, ...]) -> tuple[Case, ...]:
    """Return one batch of two sequences of 700 tokens, padded and with tokens masked inside."""
    rng = np.random.default_rng(0)
    rewards, values = rng.integers(1, 256, (2, 2, 700)) / 8
    mask = rng.random((2, 700)) < 0.9
    mask[0, 600:] = False
    rewards = np.where(mask, rewards - 16, np.nan)
    arguments = {"rewards": rewards, "values": values, "mask": mask, "gamma": 0.99, "lam": 0.95}
    return (Case({name: arguments[name] for name in names}, "free", "long"),)


def long_samples(name: str) -> tuple[Case, ...]:
    """Return 2000 numbers with a mean far above their deviation."""
    numbers = 1000 + np.random.default_rng(0).integers(-255, 256, 2000) / 8
    return (Case({name: numbers, "mask": None, "ddof": 1, "eps": 1e-8}, "spread", "long"),)


def worked(kind: str, **arguments: Any) -> Case:
    """Return the case of an example worked by hand, of arrays of these numbers."""
    arrays = {name: np.array(value, dtype=float) for name, value in arguments.items()}
    return Case(arrays, kind, "worked by hand")
