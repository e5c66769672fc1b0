"""DQN's whole update: the contract tests, its stages, and what stands after an end."""

import numpy as np
import pytest
import torch

from rlverify.checking import truth
from rlverify.contracts._dqn_update_laws import plain
from rlverify.contracts.dqn_update import CONTRACT, KNOBS, NAMES
from rlverify.fast import dqn_update as fast
from rlverify.fast.networks import mlp_forward
from rlverify.fast.q_learning import double_q_target, q_learning_target, td_loss
from rlverify.reference import dqn_update as reference
from rlverify.twinning import as_torch
from support import *  # noqa: F403

TOPIC = "dqn_update"
SIZES = (2, 3, 3)
double_or_not = pytest.mark.parametrize("double", [False, True], ids=["dqn", "double"])
sides = pytest.mark.parametrize("side", ["reference", "fast"])


def run(side, arguments, **more):
    """Run a twin on NumPy arguments."""
    if side == "fast":
        return fast.dqn_update(**as_torch(arguments, "float64"), **more)
    return reference.dqn_update(**arguments, **more)


@sides
@double_or_not
@pytest.mark.parametrize("max_norm", [None, 0.5])
def test_stages_are_seen_and_answered_for(side, double, max_norm):
    """Each stage is handed over, and the update goes on with what comes back."""
    arguments, seen = {**CONTRACT.good.arguments, "double": double, "max_norm": max_norm}, {}

    def trace(stage, outputs):
        seen[stage] = outputs
        return {name: 0 * value for name, value in outputs.items()}

    update = run(side, arguments, trace=trace)
    clip = ["clip"] if max_norm else []
    assert list(seen) == ["evaluate", "targets", "gradient", *clip, "optimize"]
    networks = {"q_values", "next_q_target"} | ({"next_q_online"} if double else set())
    assert seen["evaluate"].keys() == networks
    # of networks that say nothing the targets are the rewards
    assert (np.asarray(seen["targets"]["targets"]) == arguments["rewards"]).all()
    # against targets of 0 their error is 0 too, so Adam goes nowhere
    assert not seen["gradient"]["gradient"].any()
    assert (np.asarray(seen["optimize"]["parameters"]) == arguments["parameters"]).all()
    assert not update.parameters.any()
    assert float(update.count) == arguments["count"] + 1


@double_or_not
@pytest.mark.parametrize("huber", [None, 0.5])
def test_the_gradient_is_that_of_the_loss_with_its_target_constant(double, huber):
    """Autograd through `td_loss` gives it, though the target is made of moving parameters too."""
    knobs = {**KNOBS, "double": double, "huber": huber, "max_norm": None}
    case = plain(NAMES, 12, SIZES, "here", **knobs)
    case = case.but(target_parameters=case["parameters"])  # one network
    given = as_torch(dict(case.arguments), "float64")
    moving = given["parameters"].clone().requires_grad_()

    def values(observations):
        return mlp_forward(moving, given[observations], sizes=SIZES, activation="relu")

    after, ended = values("next_observations"), given["terminated"]
    if double:
        targets = double_q_target(given["rewards"], after, after, ended, None, gamma=0.5)
    else:
        targets = q_learning_target(given["rewards"], after, ended, None, gamma=0.5)
    assert targets.requires_grad  # nobody detached it: `td_loss` does
    taken = values("observations").gather(1, given["actions"][:, None])[:, 0]
    (wanted,) = torch.autograd.grad(td_loss(taken, targets, None, huber=huber), moving)
    # from an empty state the first moment is half the gradient: β₁ is 1/2
    found = 2 * fast.dqn_update(**given).first
    allowed = 2 * truth(CONTRACT, case, "float64").allowed["first"]
    assert (np.abs((found - wanted).numpy()) <= 2 * allowed).all()
    assert (np.abs(wanted.numpy()) > allowed).any()


@sides
@double_or_not
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e6])
def test_what_follows_an_end_changes_no_bit(side, double, activation, garbage):
    good = {**CONTRACT.good.arguments, "double": double, "activation": activation}
    ended = good["terminated"][:, None]
    assert ended.any()
    assert not ended.all()
    filled = [
        {**good, "next_observations": np.where(ended, value, good["next_observations"])}
        for value in (0.0, garbage)
    ]
    for one, other in zip(*(run(side, arguments) for arguments in filled), strict=True):
        assert np.array_equal(one, other)


@sides
def test_the_target_network_stands_still(side):
    """Neither it nor anything else that comes in is written to."""
    arguments = dict(CONTRACT.good.arguments)
    before = {k: v.copy() for k, v in arguments.items() if isinstance(v, np.ndarray)}
    given = as_torch(arguments, "float64") if side == "fast" else arguments
    (fast if side == "fast" else reference).dqn_update(**given)
    for name, value in before.items():
        assert np.array_equal(given[name], value), name


def test_nothing_carries_a_gradient():
    arguments = as_torch(dict(CONTRACT.good.arguments), "float64")
    for name, value in arguments.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            arguments[name] = value.requires_grad_()
    assert not any(array.requires_grad for array in fast.dqn_update(**arguments))
