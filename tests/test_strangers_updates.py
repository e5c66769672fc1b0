"""Losses, normalisation, moments and optimisers of strangers get the verdict that they deserve.

Names alone say how they are called, and what they have built in is found out by trial; where a
call is declared, the row says so. The rows stand in `update_strangers`, the page in docs.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch

import rlverify
from rlverify.calling import CallError, in_process
from rlverify.contracts import find
from strangers import critics, moments, standardisers, surrogates
from strangers_table import COMMAND, PAGE, page
from update_strangers import ROWS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_stranger_gets_the_verdict(row):
    assert row.found() == row.verdict


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), f"run {COMMAND}"


@pytest.mark.parametrize("row", [row for row in ROWS if row.verdict.startswith("CONV")][::4],
                         ids=lambda row: row.path)  # fmt: skip
def test_a_declared_convention_passes(row):
    name = row.verdict.removeprefix("CONVENTION(").removesuffix(")")
    verdict = rlverify.check(
        row.function, row.contract, call=row.call, conventions=(name,), budget=60
    )
    assert (verdict.ok, verdict.convention) == (True, name)


# how they are called


def test_what_is_built_in_is_found_by_trial_and_told():
    verdict = rlverify.check(standardisers.torch_std, "normalize_advantages", budget=20)
    assert "where ddof=1, eps=1e-08" in verdict.call
    assert "ddof is 1 in every case, as found by trial; declare it to be sure" in verdict.notes


def test_a_declared_value_is_not_tried():
    call = "torch_std(advantages) where ddof=0, eps=1e-8"
    verdict = rlverify.check(standardisers.torch_std, "normalize_advantages", call=call, budget=20)
    assert verdict.grade == "WRONG"
    assert "ddof is 0 in every case, as declared" in verdict.notes


def shaped_by_rank(advantages):
    """Be no standardisation at all, whatever is built in."""
    return advantages.flatten().argsort().argsort().reshape(advantages.shape).to(advantages)


def test_where_nothing_fits_a_declaration_is_asked_for():
    with pytest.raises(CallError, match="where ddof=1, eps=1e-08"):
        rlverify.check(shaped_by_rank, "normalize_advantages", budget=20)


def test_without_a_judge_nothing_is_tried():
    with pytest.raises(CallError, match="no parameter takes ddof and eps"):
        in_process(standardisers.torch_std, find("normalize_advantages"))


def test_padding_mask_has_two_readings():
    with pytest.raises(CallError, match="more than one reading") as error:
        rlverify.check(surrogates.padded, "ppo_clip_loss", budget=5)
    assert "(padding_mask: True where real)" in str(error.value)
    assert "(padding_mask: True where padded)" in str(error.value)


def test_plain_values_beside_predictions_are_the_old_ones():
    verdict = rlverify.check(critics.between_bounds, "clipped_value_loss", budget=5)
    assert "vpreds=values" in verdict.call
    assert "values=old_values" in verdict.call


def test_a_loss_without_old_values_is_judged_where_nothing_has_moved():
    verdict = rlverify.check(critics.half_plain, "clipped_value_loss", budget=20)
    assert "no argument for old_values: judged where nothing has moved" in verdict.notes


def from_negated_without_sign(neglogpac, old_neglogpac, advs, cliprange):
    """Take the ratio of negated numbers as if they were not."""
    return surrogates.smaller_objective(neglogpac, old_neglogpac, advs, cliprange)


def detached_and_negated(neglogpac, old_neglogpac, advs, cliprange):
    """Return the right value with the gradient of something else."""
    loss = surrogates.from_negated(neglogpac, old_neglogpac, advs, cliprange)
    return loss.detach() + (neglogpac - neglogpac.detach()).sum()


def test_negated_log_probabilities_are_judged_by_value_and_gradient():
    name = "ppo_clip_loss"
    assert rlverify.check(from_negated_without_sign, name, budget=60).title == "WRONG(E6)"
    verdict = rlverify.check(detached_and_negated, name, budget=60)
    assert verdict.grade == "WRONG"
    assert "its gradient is not" in verdict.diagnosis
    assert "gradient" in rlverify.check(surrogates.from_negated, name, budget=20).held


def test_a_class_is_called_with_its_state():
    verdict = rlverify.check(moments.TorchMoments, "running_moments_update", budget=20)
    assert verdict.call.startswith("TorchMoments(count, mean, variance, x)")
    state = {"count": np.array(1.0), "mean": np.ones(1), "variance": np.zeros(1)}
    inputs = {**state, "x": np.array([[3.0]])}
    found = rlverify.run(moments.RunningMeanStd, inputs, contract="running_moments_update")
    assert [found[name].tolist() for name in ("count", "mean", "variance")] == [2, [2], [1]]
    assert inputs["mean"].tolist() == [1]


def test_a_class_is_found_by_name(tmp_path):
    source = "import numpy as np\n\nclass Moments:\n"
    source += "    def __init__(self, shape):\n"
    source += "        self.mean, self.var, self.count = np.zeros(shape), np.zeros(shape), 0\n\n"
    source += "    def update(self, x):\n"
    source += "        self.mean, self.var, self.count = x.mean(0), x.var(0), len(x)\n"
    (tmp_path / "mine.py").write_text(source)
    verdict = rlverify.check(f"{tmp_path}/mine.py:Moments", "running_moments_update", budget=20)
    assert (verdict.name, verdict.grade) == ("Moments", "WRONG")


class Unsettable:
    """Has no state that could be set."""

    def update(self, x):
        """Forget it."""


def test_another_class_is_no_function_of_moments():
    with pytest.raises(CallError):
        rlverify.check(Unsettable, "running_moments_update", budget=5)


def test_explain_prints_how_to_call():
    told = rlverify.explain("normalize_advantages")
    assert "where ddof=1, eps=1e-08" in told
    assert "adv, advs" in told
    assert "goes by its name" in rlverify.explain("running_moments_update")


def test_nan_in_the_gradient_under_the_mask_is_named():
    """Selecting after the operation keeps the value and loses the gradient."""
    verdict = rlverify.check(critics.between_bounds, "clipped_value_loss", budget=60)
    assert verdict.title == "WRONG(K6)"
    values = torch.tensor([1.0, float("inf")], requires_grad=True)
    mask = torch.tensor([True, False])
    loss = critics.between_bounds(values, torch.zeros(2), torch.zeros(2), mask, 0.5)
    loss.backward()
    assert torch.isfinite(loss)
    assert values.grad.isnan().tolist() == [False, True]


@pytest.mark.slow
def test_the_command_writes_the_page():
    script = PAGE.parents[1] / "tests" / "strangers_table.py"
    run = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
