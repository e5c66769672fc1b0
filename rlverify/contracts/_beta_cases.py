"""Cases of Beta policies: parameters from 10⁻⁶ to 10⁶ and actions up to the bounds.

What separates right from wrong is the size of α and β (large: everything cancels; near 0: the
mass sits at the bounds), their ratio, and actions at the ends. The kind `integer` has whole α
and β, on which the laws integrate exactly; `polynomial` has a whole β only.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Argument, BadInput, Case
from rlverify.contracts._refusals import instead

PAIR = (Argument("alpha", "float", "... D"), Argument("beta", "float", "... D"))
ACTIONS = (*PAIR, Argument("actions", "float", "... D"))
PAIRS = tuple(
    Argument(name, "float", "... D") for name in ("alpha_p", "beta_p", "alpha_q", "beta_q")
)
SHAPES = ((1,), (2,), (2, 1), (1, 3), (2, 2), (2, 1, 2))
FEW = ((1,), (2,), (2,), (2, 1), (2, 2))  # for two policies, whose reference takes longest
KINDS = ("free", "integer", "polynomial", "polynomial", "large", "small", "uneven", "edge", "edge")
LARGE = (16.0, 100.0, 1024.0, 2.0**15, 1e6)
SMALL = (2.0**-20, 1e-6, 2.0**-10, 0.0625)
# what half precision rounds to neither 0 nor 1
LEAST, MOST = 2.0**-24, 1 - 2.0**-8
EDGES = (LEAST, 2.0**-14, MOST)


def eighths(rng: np.random.Generator, shape: tuple[int, ...], most: int = 64) -> np.ndarray:
    """Return multiples of 1/8, exact in every dtype."""
    return rng.integers(1, most + 1, shape) / 8


def parameters(
    kind: str, shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return α and β of a kind."""
    if kind == "integer":
        return rng.integers(1, 6, shape) * 1.0, rng.integers(1, 6, shape) * 1.0
    if kind == "polynomial":
        return eighths(rng, shape, 40), rng.integers(1, 6, shape) * 1.0
    if kind == "large":
        alpha = rng.choice(LARGE, shape)
        return alpha, np.where(rng.random(shape) < 0.5, alpha, rng.choice(LARGE, shape))
    if kind == "small":
        return rng.choice(SMALL, shape), rng.choice(SMALL, shape)
    if kind == "uneven":
        sides = rng.choice(SMALL, shape), rng.choice(LARGE, shape)
        first = rng.random(shape) < 0.5
        return np.where(first, *sides), np.where(first, *sides[::-1])
    return eighths(rng, shape), eighths(rng, shape)


def actions_for(
    kind: str, alpha: np.ndarray, beta: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return actions: at the bounds, a few deviations from the mean, or anywhere."""
    if kind == "edge":
        return np.asarray(rng.choice(EDGES, alpha.shape))
    if kind in ("large", "uneven"):
        mean = alpha / (alpha + beta)
        spread = np.sqrt(mean * (1 - mean) / (alpha + beta + 1))
        return np.asarray(np.clip(mean + spread * rng.integers(-3, 4, alpha.shape), LEAST, MOST))
    return np.asarray(rng.integers(1, 64, alpha.shape) / 64)


@st.composite
def policies(draw: st.DrawFn, names: tuple[str, ...]) -> Case:
    """Draw α and β, and actions where they are among the names."""
    kind = draw(st.sampled_from(KINDS))
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    alpha, beta = parameters(kind, shape, rng)
    actions = actions_for(kind, alpha, beta, rng)
    arguments = {"alpha": alpha, "beta": beta, "actions": actions}
    return Case({name: arguments[name] for name in names}, kind)


@st.composite
def pairs(draw: st.DrawFn) -> Case:
    """Draw p and q: apart, near each other, or equal."""
    kind = draw(st.sampled_from(("free", "integer", "integer", "large", "small", "uneven")))
    shape = draw(st.sampled_from(FEW))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    alpha, beta = parameters(kind, shape, rng)
    distance = draw(st.sampled_from(("apart", "apart", "near", "equal")))
    if distance == "apart" or kind == "integer":
        new_alpha, new_beta = parameters(kind, shape, rng)
    else:
        steps = rng.integers(-2, 3, (2, *shape)) / 16 if distance == "near" else np.zeros((2, 1))
        new_alpha, new_beta = alpha * (1 + steps[0]), beta * (1 + steps[1])
    values = (alpha, beta, new_alpha, new_beta)
    return Case(dict(zip((a.name for a in PAIRS), values, strict=True)), kind)


def sized(names: tuple[str, ...]) -> Callable[[tuple[int, ...]], Case]:
    """Return what makes a case of a benchmark's shape [N, D]: parameters between 1 and 10."""

    def case(shape: tuple[int, ...]) -> Case:
        rng = np.random.default_rng(0)
        arguments = {"actions": rng.uniform(0.01, 0.99, shape)}
        for name in names:
            if name != "actions":
                arguments[name] = 1 + 9 * rng.random(shape)
        return Case({name: arguments[name] for name in names}, label="timing")

    return case


ONES = np.ones((2, 3))


def good(names: tuple[str, ...]) -> Case:
    """Return the case that bad inputs spoil."""
    arguments = {name: ONES * (k + 1) for k, name in enumerate(names)}
    if "actions" in names:
        arguments["actions"] = ONES / 4
    return Case(arguments, label="good")


def refusals(function: str, names: tuple[str, ...]) -> tuple[BadInput, ...]:
    """Return the refusals of a function of Beta parameters and perhaps actions."""
    first, second = names[:2]
    entries: list[tuple[str, str, Any, type[Exception], str]] = [
        (first, "a list", [1.0], TypeError,
         f"{first} came as list, wanted a floating-point array [..., D]."),
        (first, "integers", ONES.astype(np.int64), TypeError,
         f"{first} came as dtype int64, wanted a floating-point dtype."),
        (first, "a scalar", np.ones(()), ValueError,
         f"{first} came with shape (), wanted [..., D]."),
        (first, "empty", np.ones((0, 3)), ValueError,
         f"{first} came with shape (0, 3), wanted at least one element."),
        (second, "zero", ONES * [1, 0, 1], ValueError,
         f"{second} came with an element that is not above 0."),
        (second, "not a number", ONES * [1, np.nan, 1], ValueError,
         f"{second} came with an element that is not above 0."),
        (second, "a dimension short", ONES[:, :2], ValueError,
         f"{second} has shape (2, 2), but {first} has shape (2, 3); they must agree."),
    ]  # fmt: skip
    if "actions" in names:
        entries += [
            ("actions", "at the bound", ONES * [1, 0.5, 0.5], ValueError,
             "actions came with an element outside (0, 1)."),
            ("actions", "not a number", ONES * [np.nan, 0.5, 0.5], ValueError,
             "actions came with an element outside (0, 1)."),
            ("actions", "a row short", ONES[:1] / 2, ValueError,
             f"actions has shape (1, 3), but {first} has shape (2, 3); they must agree."),
        ]  # fmt: skip
    return tuple(instead(function, *entry) for entry in entries)
