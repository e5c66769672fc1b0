"""Multiplication: products of whole matrices carry the bounds of products of single numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlverify.differentiation import Dual
from rlverify.multiplication import FIELDS, Accounted, accounted
from rlverify.rounding import Tracked, lifted

U = 2.0**-53
EXACT = [0.0, -0.0, 1.0, -2.0, 0.25, 3.0, -0.1, 1e-300, 1e6]
COUNTS = ("value", "terms", "depth")


def numbers(draw, kind):
    """Draw one number of a kind: unrounded, a sum, a product, a quotient, or no number."""
    a, b = (Tracked(draw(st.sampled_from(EXACT)), U) for _ in range(2))
    made = {
        "exact": lambda: a, "sum": lambda: a + b, "product": lambda: a * b,
        "mixed": lambda: a * b + a, "quotient": lambda: a / Tracked(3.0, U),
        "cancelled": lambda: a * b - a * b, "function": lambda: np.tanh(a + b),
        "odd": lambda: Tracked(draw(st.sampled_from([math.nan, math.inf, -math.inf])), U),
    }  # fmt: skip
    return made[kind]()


KINDS = ["exact", "sum", "product", "mixed", "quotient", "cancelled", "function"]


@st.composite
def matrices(draw):
    rows, inner, columns = (draw(st.integers(1, 4)) for _ in range(3))
    kinds = st.sampled_from(KINDS + ["odd"] * draw(st.booleans()))
    pair = []
    for shape in ((rows, inner), (inner, columns)):
        matrix = np.empty(shape, dtype=object)
        for i in np.ndindex(shape):
            matrix[i] = numbers(draw, draw(kinds))
        pair.append(matrix)
    if draw(st.booleans()):  # a vector on either side
        pair = [pair[0][0], pair[1]] if draw(st.booleans()) else [pair[0], pair[1][:, 0]]
    return pair


def field(array, name):
    flat = np.asarray(array, dtype=object).reshape(-1)
    return np.array([getattr(x, name) for x in flat], dtype=np.float64)


@given(pair=matrices())
def test_products_are_those_of_single_numbers(pair):
    a, b = pair
    with np.errstate(all="ignore"):
        wanted = a @ b
        got = accounted(a) @ accounted(b)
    assert np.shape(got) == np.shape(wanted)
    for name in FIELDS:
        x, y = field(got, name), field(wanted, name)
        if name == "depth":  # a sum of nothing but exact zeros keeps what the first of them has
            empty = field(wanted, "terms") == 0
            x, y = np.where(empty, 0, x), np.where(empty, 0, y)
        if name in COUNTS:
            assert np.array_equal(x, y, equal_nan=True), name
        else:
            # sums of the same non-negative numbers in another order: at most five summands for
            # each k, each rounded by fewer than eight operations before
            slack = 2 * (5 * a.shape[-1] + 8) * U
            same = (x == y) | (np.isnan(x) & np.isnan(y))
            with np.errstate(invalid="ignore"):
                assert (same | (np.abs(x - y) <= slack * y)).all(), name


@given(pair=matrices())
def test_bounds_are_no_less(pair):
    """What is used in the end: the bounds, of any order and of the own order."""
    a, b = pair
    with np.errstate(all="ignore"):
        wanted = np.asarray(a @ b, dtype=object).reshape(-1)
        got = np.asarray(accounted(a) @ accounted(b), dtype=object).reshape(-1)
    for x, y in zip(got, wanted, strict=True):
        for how in ("free_bound", "running_bound"):
            mine, theirs = getattr(x, how)(), getattr(y, how)()
            # the closure leaves room for as many roundings of the bound as it has operations
            least = theirs * (1 - 2 * (5 * a.shape[-1] + 8) * U)
            assert mine >= least or math.isnan(theirs)


def test_large_products_are_cut_into_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    arrays = {"a": rng.normal(size=(5, 7)), "b": rng.normal(size=(7, 3))}
    numbers = lifted(arrays, lambda value: Tracked(value, U))
    whole = accounted(numbers["a"]) @ numbers["b"]
    monkeypatch.setattr("rlverify.multiplication.BLOCK", 1)
    pieces = accounted(numbers["a"]) @ numbers["b"]
    for name in FIELDS:
        assert np.array_equal(field(whole, name), field(pieces, name))


def test_what_comes_of_an_accounted_array_is_one():
    numbers = lifted({"a": np.arange(6.0).reshape(2, 3)}, lambda value: Tracked(value, U))["a"]
    array = accounted(numbers)
    made = [array.T, array[0], array[:, 1:], array.reshape(-1), -array, array * array, 1 - array,
            array @ array.T, np.empty_like(array), array.sum(axis=0), np.tanh(array)]  # fmt: skip
    assert [type(x) for x in made] == [Accounted] * len(made)
    array += 1
    assert type(array) is Accounted
    assert array[0, 0] == 1
    assert type(array[0, 0]) is Tracked


@pytest.mark.parametrize("kind", ["dual", "float", "empty"])
def test_other_numbers_are_multiplied_by_their_own_rules(kind):
    floats = {
        "a": np.ones((2, 0 if kind == "empty" else 3)),
        "b": np.ones((3, 2))[: 0 if kind == "empty" else 3],
    }
    number = {
        "dual": lambda x: Dual(Tracked(x, U), Tracked(1.0, U)), "float": float, "empty": float,
    }[kind]  # fmt: skip
    made = lifted(floats, number)
    wanted, got = made["a"] @ made["b"], accounted(made["a"]) @ accounted(made["b"])
    assert got.shape == wanted.shape == (2, 2)
    if kind == "float":
        assert (np.asarray(got) == wanted).all()
    if kind == "dual":
        assert all(type(x) is Dual for x in got.reshape(-1))


def test_plain_floats_stay_what_they_are():
    floats = np.ones(3)
    assert accounted(floats) is floats


def test_shapes_that_do_not_fit_are_refused():
    a = lifted({"a": np.ones((2, 3))}, lambda value: Tracked(value, U))["a"]
    with pytest.raises(ValueError, match="mismatch"):
        accounted(a) @ accounted(a)
