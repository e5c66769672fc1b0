"""Verifying: a row is only ok when everything in it is; what is wrong is not timed."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rlverify.checking import drawn_cases
from rlverify.contract import Claim, Law
from rlverify.contracts import contracts, find
from rlverify.fast import advantages as fast
from rlverify.recording import real_rollouts
from rlverify.verifying import mutants_of, rollout_cases, row, rows, timed

GAE = find("gae")
RECORDED = [c for c in contracts() if c.topic in ("returns", "advantages")]


def verified(contract, dtype="float32"):
    drawn = drawn_cases(contract, 60, 0)
    return row(contract, dtype, drawn, real_rollouts(seed=0), mutants_of(GAE, 120, 0), "cpu")


def test_every_row_of_a_topic_is_ok():
    chosen = [find("gae"), find("td_error")]
    found = list(rows(chosen, budget=150, seed=0))
    assert [(r.contract, r.verdict.dtype) for r in found] == [
        ("gae", "float64"), ("gae", "float32"), ("td_error", "float64"), ("td_error", "float32"),
    ]  # fmt: skip
    for found_row in found:
        assert found_row.ok
        assert found_row.laws[0] == found_row.laws[1] > 0
        assert found_row.mutants.killed == found_row.mutants.total
        assert found_row.mutants.visible >= 0.1
        assert found_row.rollouts.draws >= 5
        assert found_row.nanoseconds > 0
        assert found_row.copies > 0


def test_a_wrong_value_makes_the_row_wrong_and_is_not_timed():
    def wrong(*args, **knobs):
        result = fast.gae(*args, **knobs)
        return result._replace(advantages=result.advantages * 1.001)

    contract = replace(GAE, fast=lambda **knobs: wrong(**knobs))
    found = verified(contract)
    assert not found.ok
    assert math.isnan(found.nanoseconds)
    assert not math.isnan(timed(GAE, "float32", "cpu")[0])


def test_a_wrong_gradient_makes_the_row_wrong():
    def detached(**knobs):
        result = fast.gae(**knobs)
        return result._replace(returns=result.advantages.detach() + knobs["values"])

    found = verified(replace(GAE, fast=detached))
    assert found.verdict.ok
    assert found.gradient > 1
    assert not found.ok


def test_a_mistake_that_only_long_recordings_show_makes_the_row_wrong():
    def cut_off(**knobs):
        if knobs["rewards"].shape[0] > 200:
            knobs = {**knobs, "truncated": knobs["truncated"].clone()}
            knobs["truncated"][100] = True
        return fast.gae(**knobs)

    drawn = drawn_cases(GAE, 30, 0)
    contract = replace(GAE, fast=cut_off)
    found = row(contract, "float64", drawn, real_rollouts(seed=0), mutants_of(GAE, 60, 0), "cpu")
    assert not found.ok


def test_a_reference_without_a_fast_version_is_judged_by_its_laws_and_not_timed():
    contract = replace(GAE, fast=None, fast_absent="quadrature")
    found = verified(contract, "float64")
    assert found.ok
    assert found.laws[0] == found.laws[1] > 0
    assert found.gradient is None
    assert math.isnan(found.nanoseconds)

    def never(subject, case):
        yield Claim(subject(case)["advantages"] + 1, subject(case)["advantages"], np.zeros(()))

    broken = replace(contract, laws=(*GAE.laws, Law("never", "does not hold", never)))
    assert not verified(broken, "float64").ok


@pytest.mark.parametrize("contract", RECORDED, ids=[c.name for c in RECORDED])
def test_rollouts_become_cases_of_every_function_of_recordings(contract):
    cases = rollout_cases(contract, real_rollouts(seed=0))
    assert len(cases) >= 5
    for case in cases:
        contract.reference(**case.arguments)


def test_timing_leaves_the_number_of_threads_as_it_was():
    before = torch.get_num_threads()
    timed(GAE, "float32", "cpu")
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("hole", [{"unkilled": ("A1",)}, {"flagged": ("a form: law",)}])
def test_a_hole_in_the_matrix_makes_the_row_wrong(hole):
    drawn, sound = drawn_cases(GAE, 30, 0), mutants_of(GAE, 60, 0)
    for mutants, ok in ((sound, True), (replace(sound, **hole), False)):
        assert row(GAE, "float64", drawn, real_rollouts(seed=0), mutants, "cpu").ok is ok
