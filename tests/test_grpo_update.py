"""GRPO's whole update: the contract tests, its stages, and what padding may do."""

import numpy as np
import pytest
import torch

from rlverify.checking import truth
from rlverify.contracts._grpo_update_laws import plain
from rlverify.contracts.grpo_update import CONTRACT, KNOBS, NAMES
from rlverify.fast import grpo_update as fast
from rlverify.fast.categorical import categorical_log_prob
from rlverify.fast.grpo import grpo_loss
from rlverify.fast.networks import mlp_forward
from rlverify.reference import grpo_update as reference
from rlverify.twinning import as_torch
from support import *  # noqa: F403

TOPIC = "grpo_update"
LOSS = ("clip_range", "beta", "kl_estimator", "ratio", "aggregation", "normalizer")


def run(side, arguments, **more):
    """Run a twin on NumPy arguments."""
    if side == "fast":
        return fast.grpo_update(**as_torch(arguments, "float64"), **more)
    return reference.grpo_update(**arguments, **more)


@pytest.mark.parametrize("side", ["reference", "fast"])
@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_stages_are_seen_and_answered_for(side, max_norm):
    """Each stage of each mini-batch is handed over, and the update goes on with what comes back."""
    arguments, seen = {**CONTRACT.good.arguments, "max_norm": max_norm}, {}

    def trace(stage, outputs):
        seen[stage] = outputs
        if stage == "epoch 1, mini-batch 2: evaluate":
            return {"log_probs": outputs["log_probs"] + 1}
        if stage == "epoch 1, mini-batch 2: optimize":
            return {name: 0 * value for name, value in outputs.items()}
        return outputs

    update = run(side, arguments, trace=trace)
    stages = ["evaluate", "gradient", *(["clip"] if max_norm else []), "optimize"]
    assert list(seen) == [f"epoch 1, mini-batch {k}: {name}" for k in (1, 2) for name in stages]
    assert not update.parameters.any()
    other = {}
    run(side, arguments, trace=lambda stage, outputs: other.setdefault(stage, outputs))
    for stage, outputs in seen.items():  # the answer changes what comes after it, and only that
        after = stage.startswith("epoch 1, mini-batch 2") and "evaluate" not in stage
        for name, value in outputs.items():
            assert bool((value == other[stage][name]).all()) is not after, (stage, name)


def test_the_first_gradient_is_that_of_the_loss():
    """Autograd through `grpo_loss` gives the gradient of the first mini-batch."""
    case = plain(NAMES, (3, 4, 3), (2, 3, 4), "here", **{**KNOBS, "max_norm": None})
    case = case.but(permutations=np.array([[0, 1, 2]]))
    arguments = as_torch(dict(case.arguments), "float64")
    moving = arguments["parameters"].clone().requires_grad_()
    flat = arguments["inputs"].flatten(0, 1)
    logits = mlp_forward(moving, flat, sizes=(2, 3, 4), activation="tanh")
    taken = categorical_log_prob(logits, arguments["actions"].flatten(), None).view(3, 4)
    names = ("old_log_probs", "reference_log_probs", "advantages", "mask")
    loss = grpo_loss(taken, *(arguments[name] for name in names), **{x: case[x] for x in LOSS})
    (wanted,) = torch.autograd.grad(loss, moving)
    # from an empty state the first moment is half the gradient: β₁ is 1/2
    found = 2 * fast.grpo_update(**arguments).first
    allowed = 2 * truth(CONTRACT, case, "float64").allowed["first"]
    assert (np.abs((found - wanted).numpy()) <= 2 * allowed).all()
    assert (np.abs(wanted.numpy()) > allowed).any()


@pytest.mark.parametrize("side", ["reference", "fast"])
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e6])
@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "constant"])
def test_padding_changes_no_bit(side, garbage, ratio, aggregation):
    """In padding, and in place of the advantage of an empty answer, anything may stand."""
    good, mask = CONTRACT.good, np.array([[True, False, True], [False] * 3, [True] * 3,
                                          [False, False, True]])  # fmt: skip

    def filled(value):
        arrays = {
            name: np.where(mask, good[name], value)
            for name in ("old_log_probs", "reference_log_probs")
        }
        arrays["inputs"] = np.where(mask[..., None], good["inputs"], value)
        arrays["advantages"] = np.where(mask.any(1), good["advantages"], value)
        knobs = {"mask": mask, "ratio": ratio, "aggregation": aggregation}
        return run(side, {**good.arguments, **arrays, **knobs})

    for one, other in zip(filled(0.0), filled(garbage), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("side", ["reference", "fast"])
def test_a_mini_batch_without_a_token_takes_no_step(side):
    """Two answers are masked whole; alone in their mini-batch they leave everything as it is."""
    mask = np.array([[True, True, False], [False] * 3, [True, False, False], [False] * 3])
    arguments = {**CONTRACT.good.arguments, "mask": mask, "minibatch_size": 2}
    stages = []

    def trace(stage, outputs):
        stages.append(stage)
        return outputs

    arguments["permutations"] = np.array([[1, 3, 0, 2], [0, 2, 3, 1]])
    update = run(side, arguments, trace=trace)
    assert float(update.count) == 2
    assert {stage.split(":")[0] for stage in stages} == {
        "epoch 1, mini-batch 2", "epoch 2, mini-batch 1"
    }  # fmt: skip


def test_an_infinite_ratio_that_is_clipped_leaves_the_rest_alone():
    """π_old is e^1000 times less likely: clipped above, the token has no gradient, not NaN."""
    good = as_torch(dict(CONTRACT.good.arguments), "float32")
    good |= {"advantages": torch.ones(4), "beta": 0.0, "mask": None}
    good["old_log_probs"] = torch.full((4, 3), -1000.0)
    update = fast.grpo_update(**good)
    assert torch.equal(update.parameters, good["parameters"])
    assert not update.first.any()


def test_nothing_carries_a_gradient():
    arguments = as_torch(dict(CONTRACT.good.arguments), "float64")
    for name, value in arguments.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            arguments[name] = value.requires_grad_()
    assert not any(array.requires_grad for array in fast.grpo_update(**arguments))
