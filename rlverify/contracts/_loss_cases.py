"""Inputs of losses: log-probabilities with weights and a mask, over steps or of any shape."""

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case
from rlverify.inputs import GARBAGE, distinct

# square ones among them: what is silently transposed shows on them alone
STEP_SHAPES = ((1, 1), (1, 3), (3, 1), (2, 2), (2, 2), (2, 3), (3, 2), (3, 3), (3, 3), (4, 2))
SHAPES = ((1,), (2,), (3,), (5,), (1, 4), (2, 3), (3, 2), (3, 3), (4, 1), (3, 1, 2))
MASKS = ("none", "none", "full", "right", "right", "scattered", "scattered", "column", "one")
STEP_SIZES = ((16, 4), (2048, 8), (128, 8), (128, 4096))
SIZES = ((64,), (16384,), (1024,), (524288,))


def drawn_mask(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    """Return a mask with at least one real element; None for `none`."""
    mask = np.ones(shape, dtype=bool)
    if kind == "none":
        return None
    if kind == "right":  # columns of different lengths, time first
        lengths = rng.integers(1, shape[0] + 1, shape[1:])
        mask = np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)) < lengths
    elif kind == "scattered":
        mask = rng.random(shape) < 0.5
    elif kind == "column":  # one without a real element
        mask[..., int(rng.integers(shape[-1]))] = False
    elif kind == "one":
        mask[:] = False
    if not mask.any():
        mask.flat[int(rng.integers(mask.size))] = True
    return mask


@st.composite
def step_losses(draw: st.DrawFn, names: tuple[str, ...]) -> Case:
    """Draw log-probabilities, weights and a mask `[T, B]`, with garbage under the mask.

    Log-probabilities of a density may be above 0. Under `behaviour_log_probs` the case is
    `on-policy` where both are equal; else they differ by little, or in one place by 80.
    """
    shape = draw(st.sampled_from(STEP_SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    log_probs, weights = distinct(rng, shape, shape)
    mask = drawn_mask(draw(st.sampled_from(MASKS)), shape, rng)
    policy = draw(st.sampled_from(("near", "near", "near", "far", "on-policy")))
    log_ratios = rng.integers(-16, 17, shape) / 8
    if policy == "on-policy":
        log_ratios = np.zeros(shape)
    elif policy == "far":
        place = tuple(int(i) for i in rng.choice(np.argwhere(np.ones(shape) if mask is None
                                                             else mask)))  # fmt: skip
        log_probs[place], log_ratios[place] = -1.0, rng.choice((-80.0, 80.0))
    elif draw(st.booleans()):  # all of one sign: nothing cancels
        log_ratios = np.abs(log_ratios)
    behaviour = log_probs - log_ratios
    arrays = {"log_probs": log_probs, "behaviour_log_probs": behaviour, "weights": weights}
    if mask is not None:
        garbage = draw(st.sampled_from(GARBAGE))
        arrays = {name: np.where(mask, array, garbage) for name, array in arrays.items()}
    everything = {**arrays, "mask": mask}
    kind = policy if "behaviour_log_probs" in names else "free"
    return Case({name: everything[name] for name in names}, kind)


@st.composite
def element_losses(draw: st.DrawFn, name: str) -> Case:
    """Draw numbers of any shape under `name`, and a mask with garbage under it."""
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    (array,) = distinct(rng, shape)
    mask = drawn_mask(draw(st.sampled_from(MASKS)), shape, rng)
    if mask is not None:
        array = np.where(mask, array, draw(st.sampled_from(GARBAGE)))
    return Case({name: array, "mask": mask})


def sized_losses(names: tuple[str, ...]) -> Callable[[tuple[int, ...]], Case]:
    """Return the function that makes a case of a benchmark size: one step in ten is masked."""

    def sized(shape: tuple[int, ...]) -> Case:
        rng = np.random.default_rng(0)
        arrays = {name: rng.integers(-255, 256, shape) / 128 for name in names if name != "mask"}
        return Case({**arrays, "mask": rng.random(shape) < 0.9}, label="timing")

    return sized


def good_losses(names: tuple[str, ...]) -> Case:
    """Return the good case that bad inputs spoil: two steps of three columns."""
    arrays = {name: np.arange(6.0).reshape(2, 3) / 2 for name in names if name != "mask"}
    return Case({**arrays, "mask": None}, label="good")
