"""Shrinking: ends at the smallest and plainest case on which the predicate holds."""

import numpy as np

from rlverify.checking import drawn_cases
from rlverify.contract import Case
from rlverify.contracts import find
from rlverify.inputs import chained_next_values, cut_of
from rlverify.shrinking import shrink

GAE = find("gae")


def big(kind="free"):
    cases = [c for c in drawn_cases(GAE, 300, 0) if c.kind == kind and c["rewards"].size >= 20]
    return cases[0]


def test_what_always_fails_shrinks_to_one_plain_element():
    smallest = shrink(GAE, big(), lambda case: True)
    assert smallest["rewards"].tolist() == [[0.0]]
    assert smallest["terminated"].tolist() == [[False]]
    assert (smallest["gamma"], smallest["lam"]) in [(1.0, 1.0), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0)]


def test_what_the_predicate_needs_stays():
    def fails(case):
        ends = case["truncated"][:-1]
        return bool(ends.any()) and case["rewards"].shape[1] >= 2 and case["gamma"] != 1.0

    start = next(c for c in drawn_cases(GAE, 300, 0) if c["rewards"].size > 20 and fails(c))
    smallest = shrink(GAE, start, fails)
    assert fails(smallest)
    assert smallest["rewards"].shape == (2, 2)
    assert smallest["truncated"].sum() == 1
    assert not smallest["terminated"].any()
    assert not smallest["values"].any()


def test_a_chained_case_stays_chained():
    def fails(case):
        assert case.kind == "chained"
        cut = cut_of(case["terminated"], case["truncated"])
        chained = chained_next_values(case["values"], case["next_values"], cut)
        np.testing.assert_array_equal(chained, case["next_values"])
        return case["rewards"].shape[0] >= 3

    assert shrink(GAE, big("chained"), fails)["rewards"].shape == (3, 1)


def test_masks_become_whole_and_counts_small():
    contract = find("normalize_advantages")
    start = next(c for c in drawn_cases(contract, 200, 0) if c["mask"] is not None)
    smallest = shrink(contract, start, lambda case: case["advantages"].size >= 2)
    assert smallest["advantages"].size == 2
    assert smallest["mask"] is None


def test_it_ends_even_where_every_change_is_kept():
    calls = []
    shrink(GAE, big(), lambda case: calls.append(case) is None)
    assert len(calls) < 2000


def test_what_broadcasts_is_not_taken_apart():
    """One log σ for all dimensions stays one while dimensions and samples are left out."""
    contract = find("gaussian_log_prob")
    numbers = np.arange(1.0, 7.0).reshape(2, 3)
    case = Case({"mean": numbers, "log_std": np.array([0.5]), "actions": numbers + 1})
    small = shrink(contract, case, lambda c: bool(c["log_std"][0] == 0.5))
    assert small["mean"].shape == small["actions"].shape == (1, 1)
    assert small["log_std"].tolist() == [0.5]
