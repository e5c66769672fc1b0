"""The recurrence of the scan in exact rational arithmetic, and how far floats may be off.

The recurrence is linear: yₜ = Σₖ C(t, k) xₖ, with C(t, k) the product of the decays from t to
k − 1, or 0 where a cut lies between. Here C is formed from Fractions, so the exact y, and the
exact gradients x̄ₖ = Σₜ ȳₜ C(t, k) and āₖ = x̄ₖ yₖ₊₁, are known without any recursion.

Where a bound is needed it counts roundings. In whatever order maps are joined, C(t, k) xₖ comes
out of k − t products, and out of at most one sum for each row it is carried over and one for
each time its row is the head of a join, of which there are at most 2 log₂ T + 2. With n roundings
a term is wrong by at most n u / (1 − n u) of itself; a product that underflows loses less
than the smallest normal number.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st


class Case(NamedTuple):
    """Inputs of one call; `decay` is a number, or one for each row and column."""

    x: torch.Tensor
    decay: float | torch.Tensor
    cut: torch.Tensor
    other: torch.Tensor  # cotangents, or what lies beyond a window

    def decays(self) -> torch.Tensor:
        """Return the decay of every row."""
        if isinstance(self.decay, torch.Tensor):
            return self.decay
        return torch.full_like(self.x, self.decay)


@st.composite
def cases(draw: st.DrawFn, *, numbers: bool = True) -> Callable[[torch.dtype, str], Case]:
    """Draw shape, cuts and kinds of decay; fill in the numbers from a seed."""
    steps = draw(st.one_of(st.integers(1, 9), st.integers(10, 40)), label="T")
    batch = draw(st.integers(1, 3), label="B")
    density = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]), label="share of cuts")
    kinds = ["inside", "ones", "some zero", "above one"]
    kind = draw(st.sampled_from([*kinds, "number"] if numbers else kinds), label="decay")
    number = draw(st.sampled_from([0.0, 0.5, 0.9, 0.9405, 1.0, 1.25]), label="number")
    seed = draw(st.integers(0, 2**32 - 1), label="seed")

    def case(dtype: torch.dtype, device: str) -> Case:
        rng = np.random.default_rng(seed)
        shape = (steps, batch)
        decays = rng.uniform(size=shape)
        if kind == "ones":
            decays[:] = 1
        if kind == "some zero":
            decays[rng.uniform(size=shape) < 0.3] = 0
        if kind == "above one":
            decays = 1 + decays / 4
        x, other = (torch.tensor(rng.normal(size=shape), dtype=dtype) for _ in range(2))
        cut = torch.tensor(rng.uniform(size=shape) < density)
        decay = torch.tensor(decays, dtype=dtype, device=device)
        return Case(
            x.to(device), number if kind == "number" else decay, cut.to(device), other.to(device)
        )

    return case


def fractions(array: torch.Tensor) -> list[list[Fraction]]:
    """Return the columns of an array as exact numbers."""
    return [[Fraction(value) for value in column] for column in array.double().T.tolist()]


def products(decays: list[Fraction], cuts: list[bool]) -> list[list[Fraction]]:
    """Return C(t, k) of one column, for t ≤ k ≤ T; k = T is what lies behind the last row."""
    steps = len(decays)
    table = [[Fraction(0)] * (steps + 1) for _ in range(steps)]
    for t in range(steps):
        weight = Fraction(1)
        for k in range(t, steps + 1):
            table[t][k] = weight
            if k == steps or cuts[k]:
                break
            weight *= decays[k]
    return table


class Sum(NamedTuple):
    """An exact sum, and how far its terms may move when they are rounded."""

    value: Fraction
    error: Fraction


def weighted(terms: list[tuple[int, Fraction]], steps: int, dtype: torch.dtype) -> Sum:
    """Add terms carried over a number of rows, with the bound of the module's docstring."""
    unit = Fraction(torch.finfo(dtype).eps) / 2
    tiny = Fraction(torch.finfo(dtype).tiny)
    error = Fraction(0)
    for rows, term in terms:
        roundings = 2 * rows + 2 * steps.bit_length() + 2
        error += roundings * unit / (1 - roundings * unit) * abs(term)
    lost = sum(2 * rows for rows, _ in terms) * tiny * (1 + max(abs(term) for _, term in terms))
    return Sum(sum((term for _, term in terms), Fraction(0)), error + lost)


def columns(case: Case) -> Iterator[tuple[list[Fraction], list[Fraction], list[list[Fraction]]]]:
    """Yield x, other and C of each column."""
    arrays = map(fractions, (case.x, case.other, case.decays()))
    for x, other, decays, cuts in zip(*arrays, case.cut.T.tolist(), strict=True):
        yield x, other, products(decays, cuts)


def recurrence(case: Case) -> list[list[Sum]]:
    """Return y exactly, with its bound, as columns."""
    return [
        [
            weighted([(k - t, table[t][k] * x[k]) for k in range(t, len(x))], len(x), case.x.dtype)
            for t in range(len(x))
        ]
        for x, _, table in columns(case)
    ]


def window(case: Case, n: int) -> list[list[Sum]]:
    """Return y⁽ⁿ⁾ exactly, with its bound, as columns; `other` lies beyond."""
    exact = []
    for x, beyond, table in columns(case):
        steps, column = len(x), []
        for t in range(steps):
            terms = [(k - t, table[t][k] * x[k]) for k in range(t, min(t + n, steps))]
            if t + n < steps:
                terms.append((n, table[t][t + n] * beyond[t + n - 1]))
            column.append(weighted(terms, steps, case.x.dtype))
        exact.append(column)
    return exact


def gradients(case: Case) -> tuple[list[list[Sum]], list[list[Sum]]]:
    """Return x̄ and ā exactly, with their bounds, as columns; `other` is ȳ."""
    dtype = case.x.dtype
    unit, tiny = Fraction(torch.finfo(dtype).eps) / 2, Fraction(torch.finfo(dtype).tiny)
    x_bars, decay_bars = [], []
    for following, (_, y_bar, table) in zip(recurrence(case), columns(case), strict=True):
        steps, decay_bar = len(y_bar), []
        x_bar = [
            weighted([(k - t, y_bar[t] * table[t][k]) for t in range(k + 1)], steps, dtype)
            for k in range(steps)
        ]
        for k, near in enumerate(x_bar):
            far = following[k + 1] if k + 1 < steps else None
            if far is None or case.cut[k, len(x_bars)]:
                decay_bar.append(Sum(Fraction(0), Fraction(0)))
                continue
            exact = near.value * far.value
            largest = (abs(near.value) + near.error) * (abs(far.value) + far.error)
            decay_bar.append(Sum(exact, largest * (1 + unit) - abs(exact) + tiny))
        x_bars.append(x_bar)
        decay_bars.append(decay_bar)
    return x_bars, decay_bars


def within(computed: torch.Tensor, exact: list[list[Sum]]) -> None:
    """Assert that every element lies within its own bound."""
    for b, (column, sums) in enumerate(zip(fractions(computed), exact, strict=True)):
        for t, (value, (right, error)) in enumerate(zip(column, sums, strict=True)):
            assert abs(value - right) <= error, (
                f"row {t}, column {b}: {float(value)!r}, wanted {float(right)!r} "
                f"within {float(error):.3g}"
            )
