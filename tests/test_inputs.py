"""Inputs: the structure that separates right from wrong is really drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlverify.checking import drawn_cases
from rlverify.comparison import round_to
from rlverify.contracts import find
from rlverify.inputs import chained_next_values, cut_of, distinct, long_recordings

CASES = drawn_cases(find("gae"), 300, 0)


def share(predicate):
    return sum(bool(predicate(case)) for case in CASES) / len(CASES)


def inside(case, flags):
    return case[flags][:-1].any()


# what the corpus of bugs asks for (two ends in a row, both flags at once, T ≠ B …)
STRUCTURE = {
    "terminated inside": lambda c: inside(c, "terminated"),
    "truncated inside": lambda c: (c["truncated"] & ~c["terminated"])[:-1].any(),
    "both flags at once": lambda c: (c["terminated"] & c["truncated"]).any(),
    "two ends in a row": lambda c: (
        cut_of(c["terminated"], c["truncated"])[:-2] & (c["terminated"] | c["truncated"])[1:-1]
    ).any(),
    "ends at the first step": lambda c: (c["terminated"] | c["truncated"])[0].any(),
    "ends at the last step": lambda c: (c["terminated"] | c["truncated"])[-1].any(),
    "goes on after the last step": lambda c: ~(c["terminated"] | c["truncated"])[-1].all(),
    "no end at all": lambda c: not (c["terminated"] | c["truncated"]).any(),
    "different ends in two columns": lambda c: (
        (c["terminated"] != c["terminated"][:, :1]).any()
    ),
    "one step": lambda c: c["rewards"].shape[0] == 1,
    "one column": lambda c: c["rewards"].shape[1] == 1,
    "T = B": lambda c: c["rewards"].shape[0] == c["rewards"].shape[1] > 1,
    "T ≠ B": lambda c: c["rewards"].shape[0] != c["rewards"].shape[1],
    "γ once a step": lambda c: isinstance(c["gamma"], np.ndarray),
    "γ ≠ λ, both inside": lambda c: (
        not isinstance(c["gamma"], np.ndarray) and 0 < c["gamma"] < 1
        and 0 < c["lam"] < 1 and c["gamma"] != c["lam"]
    ),
    "λ = 0": lambda c: c["lam"] == 0,
    "λ = 1": lambda c: c["lam"] == 1,
    "free": lambda c: c.kind == "free",
    "chained": lambda c: c.kind == "chained",
}  # fmt: skip


@pytest.mark.parametrize("what", STRUCTURE)
def test_structure_is_drawn(what):
    """At least one draw in fifty; the contracts measure what it takes to see each bug."""
    assert share(STRUCTURE[what]) >= 0.02


def test_numbers_are_distinct_and_exact_in_every_dtype():
    for case in CASES:
        numbers = np.concatenate([case["rewards"].ravel(), case["values"].ravel()])
        assert np.unique(numbers).size == numbers.size
        assert (numbers != 0).all()
        for dtype in ("bfloat16", "float16", "float32"):
            np.testing.assert_array_equal(round_to(dtype, numbers), numbers)


def test_chained_cases_are_chained_and_free_ones_are_not():
    for case in CASES:
        cut = cut_of(case["terminated"], case["truncated"])
        chained = chained_next_values(case["values"], case["next_values"], cut)
        same = (chained == case["next_values"])[~cut]
        assert same.all() if case.kind == "chained" else not same.any()


def test_the_same_seed_draws_the_same_cases():
    # drawn anew: CASES were drawn before other modules were loaded
    one, again, other = (drawn_cases(find("gae"), 100, seed) for seed in (0, 0, 1))
    assert [case.key() for case in again] == [case.key() for case in one]
    assert [case.key() for case in other] != [case.key() for case in one]


@given(st.integers(1, 20), st.integers(1, 12))
def test_distinct_never_repeats(rows, columns):
    one, two = distinct(np.random.default_rng(0), (rows, columns), (rows, columns))
    assert np.unique(np.stack([one, two])).size == 2 * rows * columns


def test_asking_for_more_numbers_than_there_are_is_refused():
    with pytest.raises(ValueError, match="511 numbers asked for, only 510 there are"):
        distinct(np.random.default_rng(0), (511,))


def test_long_recordings_hold_both_kinds_of_end():
    for case in long_recordings(("rewards", "values", "next_values", "terminated", "truncated")):
        assert case["rewards"].shape[0] > 1000
        assert case["terminated"].any()
        assert case["truncated"].any()
