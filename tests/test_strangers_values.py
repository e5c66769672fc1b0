"""Strangers' targets, losses, traces and replay: what is found out about each, and how called."""

from pathlib import Path

import numpy as np
import pytest

import rlverify
from command_line import Run
from rlverify.calling import CallError, in_process
from rlverify.contracts import find
from strangers import q_targets, q_updates
from value_strangers import ROWS

HERE = Path(__file__).parent


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_stranger_gets_the_verdict(row):
    assert row.found() == row.verdict


@pytest.mark.parametrize("row", [row for row in ROWS if row.verdict.startswith("CONV")][::3],
                         ids=lambda row: row.path)  # fmt: skip
def test_a_declared_convention_passes(row):
    name = row.verdict.removeprefix("CONVENTION(").removesuffix(")")
    verdict = rlverify.check(
        row.function, row.contract, call=row.call, conventions=(name,), budget=60
    )
    assert (verdict.ok, verdict.convention) == (True, name)


@pytest.mark.parametrize(
    ("name", "held_to", "told"),
    [
        ("both_flags", "vtrace", "both_flags as vtrace"),
        ("target_leaks", "vtrace", "WRONG(G1)"),
        ("coefficient_one_late", "vtrace", "WRONG(G8)"),
        ("retrace_leaks", "retrace", "WRONG(B2)"),
        ("errors_weighted", "retrace", "WRONG(G9)"),
    ],
)
def test_the_command_names_what_is_wrong_with_a_trace(run: Run, name, held_to, told):
    """A leak across a truncation, a coefficient one step off, a weight on the first error."""
    path = f"{HERE}/strangers/off_policy.py:{name}"
    ran = run("check", path, "--as", held_to, "--budget", "60")
    assert ran.status == (1 if told.startswith("WRONG") else 0)
    assert told in ran.out


# how they are called


def test_a_mask_of_none_is_not_handed_to_code_that_reads_it_as_false():
    """`np.where(None, …)` raises nothing; it takes None for False everywhere."""
    legal = "legal"
    for function, known in ((q_targets.masked_target, False), (with_none, True)):
        candidate = in_process(function, find("q_learning_target"))
        case = candidate.project(find("q_learning_target").good.but(legal=None))
        assert (case[legal] is None) is known


def with_none(rewards, next_q_values, legal, terminated, gamma):
    """Take None for the mask, too."""
    if legal is None:
        legal = np.ones_like(next_q_values, dtype=bool)
    return q_targets.masked_target(rewards, next_q_values, legal, terminated, gamma)


def test_one_table_is_enough():
    """What moves one table is judged on one; what moves several, on several."""
    contract = find("tabular_q_update")
    one = in_process(q_updates.q_learning, contract)
    assert "it takes no leading axes: judged without" in one.notes
    several = {
        name: np.stack([value, value]) if isinstance(value, np.ndarray) else value
        for name, value in contract.good.arguments.items()
    }
    case = contract.good.but(**several)
    assert one.project(case)["q_values"].shape == (2, 3)
    assert in_process(contract.reference, contract).project(case) is case


def test_what_a_loss_has_built_in_is_told():
    assert "where huber=1.0" in rlverify.check(q_updates.smooth_l1, "td_loss", budget=20).call
    assert "where huber=None" in rlverify.check(q_updates.l2_loss, "td_loss", budget=20).call
    call = "l2_loss(q_taken, targets) where huber=None"
    assert (
        "as declared" in rlverify.check(q_updates.l2_loss, "td_loss", call=call, budget=20).notes[0]
    )


def test_a_loss_that_no_value_explains_asks_for_a_declaration():
    with pytest.raises(CallError, match="where huber=None"):
        rlverify.check(q_updates.outer, "td_loss", budget=20)
