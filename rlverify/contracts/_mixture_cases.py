"""Cases of Gaussian mixtures: far logits, narrow and wide components, far actions.

What separates right from wrong is whether the weights, the deviations and the distance of the
action can be extreme without anything overflowing or vanishing, whether components and
dimensions are told apart, and a single component. Entropy and divergence take a few fixed
cases only: each is an integral of some hundred evaluations.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Argument, BadInput, Case
from rlverify.contracts._refusals import instead

MIXTURE = (
    Argument("logits", "float", "... K"),
    Argument("mean", "float", "... K D"),
    Argument("log_std", "float", "... K D"),
)
ACTING = (*MIXTURE, Argument("actions", "float", "... D"))
DRAWING = (
    *MIXTURE, Argument("uniforms", "float", "..."), Argument("normals", "float", "... D"),
)  # fmt: skip
TWO = (
    Argument("logits_p", "float", "... K"),
    Argument("mean_p", "float", "... K D"),
    Argument("log_std_p", "float", "... K D"),
    Argument("logits_q", "float", "... L"),
    Argument("mean_q", "float", "... L D"),
    Argument("log_std_q", "float", "... L D"),
)
LEADING = ((1,), (2,), (2,), (2, 1))
KINDS = ("near", "near", "near", "equal", "sharp", "scales", "far")
NARROW, WIDE = -13.75, 13.75  # σ of 10⁻⁶ and of 10⁶


def eighths(rng: np.random.Generator, shape: tuple[int, ...], reach: int = 16) -> np.ndarray:
    """Return multiples of 1/8 of both signs, exact in every dtype."""
    return rng.integers(-reach, reach + 1, shape) / 8


@st.composite
def policies(draw: st.DrawFn, names: tuple[str, ...]) -> Case:
    """Draw a mixture, and an action or random numbers where they are among the names."""
    kind = draw(st.sampled_from(KINDS))
    lead = draw(st.sampled_from(LEADING))
    count, dims = draw(st.sampled_from((1, 2, 2, 3))), draw(st.sampled_from((1, 2)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (*lead, count, dims)
    logits = eighths(rng, (*lead, count))
    mean, log_std, actions = eighths(rng, shape), eighths(rng, shape), eighths(rng, (*lead, dims))
    if kind == "equal":
        mean, log_std = (np.repeat(array[..., :1, :], count, -2) for array in (mean, log_std))
    elif kind == "sharp":
        logits = logits + rng.choice((-1e4, 0.0, 1e4), logits.shape)
    elif kind == "scales":  # at one place; the first component is the wide one
        log_std = rng.choice((NARROW, -1.0, 0.0, 1.0, WIDE), shape)
        log_std[..., 0, :] = WIDE
        mean = np.zeros(shape)
        actions = actions * rng.choice((2.0**-20, 1.0, 2.0**17), actions.shape)
    elif kind == "far":  # every density of a component is 0 in float32, in float64 too
        log_std = log_std / 8
        actions = 64 + 16 * rng.integers(0, 16, actions.shape) * 1.0
    arguments = {
        "logits": logits, "mean": mean, "log_std": log_std, "actions": actions,
        "uniforms": np.asarray(rng.integers(0, 17, lead) / 16),
        "normals": eighths(rng, (*lead, dims)),
    }  # fmt: skip
    return Case({name: arguments[name] for name in names}, kind)


def on_a_line(
    logits: list[float], means: list[float], log_stds: list[float]
) -> tuple[np.ndarray, ...]:
    """Return a mixture of one-dimensional components."""
    return np.array(logits), np.array(means)[:, None], np.array(log_stds)[:, None]


LINES = (
    on_a_line([0.0], [0.5], [0.0]),
    on_a_line([1.0], [-2.0], [-1.5]),
    on_a_line([0.5], [0.0], [1.25]),
    on_a_line([0.0, 0.0], [-0.5, 0.5], [0.0, 0.0]),
    on_a_line([0.5, -0.25], [-1.0, 0.5], [0.25, -0.5]),
    on_a_line([0.0, 1.0], [0.0, 2.0], [0.5, -0.25]),
    on_a_line([0.0, 2.0], [1.0, 1.0], [-0.5, 0.75]),
    on_a_line([10000.0, 9999.0], [0.25, -0.75], [-0.25, 0.5]),
)
NAMES = ("logits", "mean", "log_std")


def entropy_cases() -> st.SearchStrategy[Case]:
    """Draw one of a few mixtures on a line, or a batch of two."""
    single = [Case(dict(zip(NAMES, line, strict=True)), "line") for line in LINES]
    pairs = [
        Case(
            {
                name: np.stack([one, other])
                for name, one, other in zip(NAMES, LINES[i], LINES[j], strict=True)
            },
            "line",
        )
        for i, j in ((0, 1), (1, 2), (3, 4))
    ]  # fmt: skip
    return st.sampled_from([*single, *pairs])


def kl_cases() -> st.SearchStrategy[Case]:
    """Draw one of a few pairs of mixtures on a line."""
    pairs = ((0, 1), (1, 0), (2, 0), (0, 2), (1, 2), (3, 0), (0, 3), (5, 2), (2, 5))
    names = [item.name for item in TWO]
    return st.sampled_from(
        [Case(dict(zip(names, (*LINES[i], *LINES[j]), strict=True)), "line") for i, j in pairs]
    )


def sized(names: tuple[str, ...]) -> Callable[[tuple[int, ...]], Case]:
    """Return what makes a case of a benchmark's shape [N, K, D]."""

    def case(shape: tuple[int, ...]) -> Case:
        rng = np.random.default_rng(0)
        batch, _, dims = shape
        arguments = {
            "logits": rng.normal(size=shape[:2]),
            "mean": rng.normal(size=shape),
            "log_std": rng.normal(size=shape) / 4,
            "actions": rng.normal(size=(batch, dims)),
            "uniforms": rng.random(batch),
            "normals": rng.normal(size=(batch, dims)),
        }
        return Case({name: arguments[name] for name in names}, label="timing")

    return case


PLAIN = {
    "logits": np.zeros((2, 3)), "mean": np.zeros((2, 3, 4)), "log_std": np.zeros((2, 3, 4)),
    "actions": np.ones((2, 4)), "uniforms": np.ones(2) / 2, "normals": np.ones((2, 4)),
}  # fmt: skip


def good(names: tuple[str, ...]) -> Case:
    """Return the case that bad inputs spoil."""
    return Case({name: PLAIN[name] for name in names}, label="good")


LINE = dict(zip(NAMES, (np.zeros((2, 3)), np.zeros((2, 3, 1)), np.zeros((2, 3, 1))), strict=True))
GOOD_LINE = Case(LINE, label="good")
GOOD_LINES = Case(
    {f"{name}_p": array for name, array in LINE.items()}
    | {f"{name}_q": array[:, :2] for name, array in LINE.items()},
    label="good",
)


def in_the_plane(function: str, mean: str, log_std: str) -> BadInput:
    """Return the refusal of actions of two dimensions, where only a line is integrated over."""
    plane = np.zeros((2, 3, 2))
    return BadInput(
        f"{mean}: two dimensions",
        lambda case: {mean: plane, log_std: plane},
        ValueError,
        f"{function}: {mean} came with 2 action dimensions, wanted 1; the integral is taken along "
        "a line.",
    )


def refusals(function: str, names: tuple[str, ...]) -> tuple[BadInput, ...]:
    """Return the refusals of a function of a mixture and an action or random numbers."""
    last, shape = names[-1], np.ones((2, 4))
    entries: list[tuple[str, str, Any, type[Exception], str]] = [
        ("logits", "a list", [0.0], TypeError,
         "logits came as list, wanted a floating-point array [..., K]."),
        ("logits", "integers", np.zeros((2, 3), np.int64), TypeError,
         "logits came as dtype int64, wanted a floating-point dtype."),
        ("logits", "no components", np.zeros((2, 0)), ValueError,
         "logits came with shape (2, 0), wanted at least one element."),
        ("mean", "a component short", np.zeros((2, 2, 4)), ValueError,
         "mean has shape (2, 2, 4), but logits has shape (2, 3); they must agree."),
        ("log_std", "a dimension short", np.zeros((2, 3, 3)), ValueError,
         "log_std has shape (2, 3, 3), but mean has shape (2, 3, 4); they must agree."),
        (last, "a dimension short", shape[:, :3], ValueError,
         f"{last} has shape (2, 3), but mean has shape (2, 3, 4); they must agree."),
        (last, "a row short", shape[:1], ValueError,
         f"{last} has shape (1, 4), but logits has shape (2, 3); they must agree."),
    ]  # fmt: skip
    if "uniforms" in names:
        entries += [
            ("uniforms", "above 1", np.array([0.5, 1.5]), ValueError,
             "uniforms came with an element outside [0, 1]."),
            ("uniforms", "not a number", np.array([np.nan, 0.5]), ValueError,
             "uniforms came with an element outside [0, 1]."),
        ]  # fmt: skip
    return tuple(instead(function, *entry) for entry in entries)
