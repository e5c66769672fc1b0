"""REINFORCE's whole update: the contract tests, and its stages."""

import numpy as np
import pytest
import torch

from rlverify.checking import truth
from rlverify.contracts.reinforce import CONTRACT, plain
from rlverify.fast import reinforce as fast
from rlverify.fast.categorical import categorical_log_prob
from rlverify.fast.networks import mlp_forward
from rlverify.fast.score_function import log_likelihood_loss
from rlverify.reference import reinforce as reference
from rlverify.twinning import as_torch
from support import *  # noqa: F403

TOPIC = "reinforce"


@pytest.mark.parametrize("side", ["reference", "fast"])
def test_stages_are_seen_and_answered_for(side):
    """Each stage is handed over, and the update goes on with what comes back."""
    module, arguments = reference, dict(CONTRACT.good.arguments)
    if side == "fast":
        module, arguments = fast, as_torch(arguments, "float64")
    seen = {}

    def trace(stage, outputs):
        seen[stage] = outputs
        return {name: 0 * value for name, value in outputs.items()}

    update = module.reinforce_update(**arguments, trace=trace)
    assert list(seen) == ["gradient", "optimize"]
    assert set(seen["optimize"]) == {"parameters", "first", "second"}
    # from a gradient of 0 Adam goes nowhere; then the answer of the last stage is the result
    assert (seen["optimize"]["parameters"] == arguments["parameters"]).all()
    assert not update.parameters.any()
    assert float(update.count) == arguments["count"] + 1


def test_without_weights_it_is_maximum_likelihood():
    """Weights of 1 make it one step of Adam on the mean of −log π."""
    knobs = {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.5, "eps": 1.0, "count": 0}
    case = plain(5, (2, 3, 4), "here", **knobs, weights=np.ones(5))
    arguments = as_torch(dict(case.arguments), "float64")
    moving = arguments["parameters"].clone().requires_grad_()
    logits = mlp_forward(moving, arguments["inputs"], sizes=(2, 3, 4), activation="tanh")
    loss = log_likelihood_loss(categorical_log_prob(logits, arguments["actions"], None), None)
    optimiser = torch.optim.Adam([moving], lr=0.5, betas=(0.5, 0.5), eps=1.0)
    loss.backward()
    optimiser.step()
    allowed = truth(CONTRACT, case, "float64").allowed["parameters"]
    found = fast.reinforce_update(**arguments).parameters
    assert (np.abs((found - moving.detach()).numpy()) <= 2 * allowed).all()


def test_nothing_carries_a_gradient():
    arguments = as_torch(dict(CONTRACT.good.arguments), "float64")
    for name in ("parameters", "inputs", "weights", "first", "second"):
        arguments[name] = arguments[name].requires_grad_()
    assert not any(array.requires_grad for array in fast.reinforce_update(**arguments))
