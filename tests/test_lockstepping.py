"""Lockstepping: every stage answers for itself, and the one that is wrong is named."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from rlverify.instruction import RESULT, recorded
from rlverify.lockstepping import Lockstep, counted, drifted, lockstep, vacuous
from toy_update import Regression, fast_regression_update, regression, regression_update, spoilt

DTYPES = ["float64", "float32"]
STAGES = {
    "errors": "errors", "enough": "stop", "gradient": "gradients", "clip": "gradients",
    "step": "parameters",
}  # fmt: skip


def run(fast, dtype="float64", **changes):
    return lockstep(regression_update, fast, {**regression(), **changes}, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_right_update_passes(dtype):
    found = run(fast_regression_update, dtype)
    assert found.ok
    assert found.wrong is None
    names = [judgement.stage for judgement in found.judgements]
    assert names[:2] == ["epoch 1, mini-batch 1: errors", "epoch 1, mini-batch 1: enough"]
    assert names[-1] == RESULT
    assert len(names) == 2 * 2 * 5 + 1
    assert found.worst.worst == max(judgement.worst for judgement in found.judgements) > 0
    assert "is right: worst error" in found.worst.sentence
    assert vacuous([found]) == {}


def test_the_difference_without_a_teacher_is_measured():
    apart = drifted(regression_update, fast_regression_update, regression(), "float32")
    assert apart.keys() == set(Regression._fields)
    assert 0 < apart["parameters"] < math.inf
    assert apart["count"] == 0


def moved(bounds, stage, key):
    """Return a fast update that misses one element of one stage by so many of its bounds."""
    record = {s.name: s for s in recorded(regression_update, regression(), "float64")}
    where = f"epoch 2, mini-batch 1: {stage}"
    allowed, value = (getattr(record[where].truth, k)[key] for k in ("allowed", "value"))

    def spoil(outputs):
        array = torch.as_tensor(value + 0 * allowed)
        array.view(-1)[-1] += bounds * torch.as_tensor(allowed).view(-1)[-1]
        return {**outputs, key: array}

    return spoilt(fast_regression_update, where, spoil)


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "enough"])
def test_an_error_of_two_bounds_is_seen_and_one_of_half_is_not(stage):
    assert run(moved(0.5, stage, STAGES[stage])).ok
    wrong = [j for j in run(moved(2.0, stage, STAGES[stage])).judgements if not j.ok]
    assert [judgement.stage for judgement in wrong] == [f"epoch 2, mini-batch 1: {stage}"]
    assert wrong[0].where.startswith(STAGES[stage] + "[")
    assert "is wrong: worst error " in wrong[0].sentence


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stage", STAGES)
def test_each_broken_stage_is_the_one_that_is_named(stage, dtype):
    def other(outputs):
        key = STAGES[stage]
        return {**outputs, key: 1 - outputs[key]}

    found = run(spoilt(fast_regression_update, f"mini-batch 2: {stage}", other), dtype)
    wrong = [judgement.stage for judgement in found.judgements if not judgement.ok]
    assert wrong == [f"epoch {epoch}, mini-batch 2: {stage}" for epoch in (1, 2)]
    assert found.wrong.sentence.startswith(f"epoch 1, mini-batch 2: {stage} is wrong: ")


def test_a_wrong_result_is_a_stage_of_its_own():
    def forgetful(*, parameters, **arguments):
        return fast_regression_update(parameters=parameters, **arguments)._replace(
            parameters=parameters
        )

    found = run(forgetful)
    assert [judgement.stage for judgement in found.judgements if not judgement.ok] == [RESULT]


def renamed(name, wanted):
    """Return a fast update that calls one stage otherwise, or (None) leaves it out."""

    def update(*, trace, **arguments):
        def other(stage, outputs):
            if stage != name:
                return trace(stage, outputs)
            return outputs if wanted is None else trace(wanted, outputs)

        return fast_regression_update(**arguments, trace=other)

    return update


def test_a_missing_stage_is_named():
    found = run(renamed("epoch 1, mini-batch 2: clip", None))
    assert found.wrong.sentence == (
        "epoch 1, mini-batch 2: clip is missing: epoch 1, mini-batch 2: step comes in its place"
    )
    assert found.judgements[-1] is found.wrong


def test_a_stage_of_its_own_is_named():
    found = run(renamed("epoch 1, mini-batch 2: clip", "epoch 1, mini-batch 2: shrink"))
    assert found.wrong.sentence == (
        "epoch 1, mini-batch 2: shrink is a stage that the reference has not: "
        "epoch 1, mini-batch 2: clip is due"
    )


def test_an_update_that_ends_too_early_is_named():
    def lazy(*, permutations, **arguments):
        return fast_regression_update(permutations=permutations[:1], **arguments)

    found = run(lazy)
    assert found.wrong.sentence == (
        "epoch 2, mini-batch 1: errors is missing: result comes in its place"
    )


def test_an_update_that_goes_on_for_too_long_is_named():
    def eager(*, permutations, **arguments):
        return fast_regression_update(permutations=permutations[[0, 1, 0]], **arguments)

    found = run(eager)
    assert found.wrong.sentence == (
        "epoch 3, mini-batch 1: errors is a stage that the reference has not: result is due"
    )


def test_an_update_that_raises_is_named():
    def failing(*, trace, **arguments):
        def other(stage, outputs):
            if stage.endswith("mini-batch 2: gradient"):
                raise ZeroDivisionError("no gradient")
            return trace(stage, outputs)

        return fast_regression_update(**arguments, trace=other)

    assert run(failing).wrong.sentence == (
        "epoch 1, mini-batch 2: gradient is never reached: ZeroDivisionError: no gradient"
    )


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda g: {"gradients": g[:-1]}, "gives gradients of shape (45,); wanted (46,)"),
        (lambda g: {"norm": g}, "gives norm; wanted gradients"),
        (lambda g: {}, "gives nothing; wanted gradients"),
        (lambda g: {"gradients": g * math.nan}, "is wrong: gradients[0] is nan, wanted"),
        (lambda g: {"gradients": abs(g) + math.inf}, "is wrong: gradients[0] is inf, wanted"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_told(spoil, sentence):
    stage = "epoch 1, mini-batch 1: gradient"
    found = run(spoilt(fast_regression_update, stage, lambda outputs: spoil(outputs["gradients"])))
    assert found.wrong.stage == stage
    assert sentence in found.wrong.sentence


def test_stages_with_the_same_nan_agree():
    inputs = regression()["inputs"]
    inputs[0, 0] = math.nan
    found = run(fast_regression_update, inputs=inputs)
    assert found.ok
    gradients = [s.truth.value["gradients"] for s in found.stages if s.name.endswith("gradient")]
    assert any(np.isnan(each).any() for each in gradients)


# decisions


def loss_of_first_batch():
    stages = recorded(regression_update, regression(), "float64")
    return float((stages[0].truth.value["errors"] ** 2).sum())


def answering(answer):
    """Return a fast update that takes its first decision so."""
    return spoilt(
        fast_regression_update,
        "epoch 1, mini-batch 1: enough",
        lambda outputs: {"stop": 0 * outputs["stop"] + answer},
    )


def test_a_decision_that_rounding_leaves_open_is_right_either_way():
    for enough in (loss_of_first_batch(), loss_of_first_batch() * (1 + 2.0**-52)):
        found = [run(answering(answer), enough=enough) for answer in (0, 1)]
        assert all(each.ok for each in found)
        # both go on as the reference decided
        assert len(found[0].judgements) == len(found[1].judgements)


def test_a_decision_that_is_clear_has_one_answer():
    for enough, wrong in ((2 * loss_of_first_batch(), 0), (loss_of_first_batch() / 2, 1)):
        assert run(answering(1 - wrong), enough=enough).ok
        found = run(answering(wrong), enough=enough)
        assert found.wrong.stage == "epoch 1, mini-batch 1: enough"


# the run as a whole


def test_bounds_that_reject_nothing_are_found():
    """A gradient behind a difference that cancels is known to no digit, and anything passes."""

    def hidden(parameters, trace):
        difference = (parameters + 1e17) - 1e17
        return trace("gradient", {"gradients": difference})["gradients"]

    arguments = {"parameters": np.array([0.5, 0.25, -3.0])}
    found = lockstep(hidden, hidden, arguments)
    assert found.ok
    assert list(vacuous([found])) == ["gradient: gradients"]


def test_a_function_without_stages_is_one():
    def halved(array):
        return array / 2

    found = lockstep(halved, halved, {"array": np.arange(3.0)})
    assert [judgement.stage for judgement in found.judgements] == [RESULT]
    assert found.ok
    assert not lockstep(halved, lambda array: array, {"array": np.arange(3.0)}).ok


def test_nothing_is_vacuous_about_single_numbers():
    found = run(fast_regression_update)
    assert "enough: stop" not in vacuous([found, found])
    assert isinstance(found, Lockstep)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [(0.0, "0 bounds"), (0.25, "0.25 bounds"), (3.14159, "3.1 bounds"), (314.0, "314 bounds"),
     (3.1e8, "3·10⁸ bounds"), (2e-11, "2·10⁻¹¹ bounds"), (math.inf, "inf bounds")],
)  # fmt: skip
def test_numbers_of_bounds_in_words(bounds, words):
    assert counted(bounds) == words


def test_the_example_of_the_document_is_what_happens(capsys):
    page = (Path(__file__).parents[1] / "docs" / "lockstep.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (printed,) = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    exec(program, {})
    assert capsys.readouterr().out == printed
