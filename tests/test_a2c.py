"""A2C: the contract tests, and what only its loss and its update have."""

import inspect

import numpy as np
import pytest
import torch

import rlverify
from rlverify.contracts._update_cases import evaluate, network, plain
from rlverify.contracts.a2c import KNOBS, UPDATE_CONTRACT
from rlverify.contracts.ppo_update import PPO_CONTRACT, PPO_KNOBS, names_of
from rlverify.fast import a2c as fast
from rlverify.fast import ppo_update as fast_ppo
from rlverify.reference import a2c as reference
from rlverify.reference import ppo_update as reference_ppo
from rlverify.rounding import PRECISIONS, Tracked, lifted
from rlverify.twinning import as_numpy, as_torch
from support import *  # noqa: F403

TOPIC = "a2c"
U = PRECISIONS["float64"].unit
WIDTHS = {"sizes": (2, 3, 2), "critic_sizes": (2, 3, 1)}
SHARED = {"value_coefficient": 0.5, "entropy_coefficient": 0.25, "max_norm": None}
A2C, PPO = names_of(UPDATE_CONTRACT.arguments), names_of(PPO_CONTRACT.arguments)


def arguments_of(names, distribution, **knobs):
    """Return an update of six samples, the same for both algorithms."""
    everything = plain(tuple(dict.fromkeys((*A2C, *PPO))), 6, 6, WIDTHS, **PPO_KNOBS, **KNOBS_ONLY)
    if distribution == "gaussian":
        rng = np.random.default_rng(1)
        everything["parameters"] = rng.normal(size=len(everything["parameters"]) + 2) / 2
        everything["actions"] = rng.normal(size=(6, 2))
        for name in ("first", "second", "squares"):
            everything[name] = np.zeros_like(everything["parameters"])
    everything |= {"distribution": distribution, **SHARED, **knobs}
    return {name: everything[name] for name in names}


KNOBS_ONLY = {name: value for name, value in KNOBS.items() if name not in PPO_KNOBS}


def gradient_of(function, arguments):
    """Return what an update made at its first stage `gradient`."""
    seen = []

    def trace(stage, outputs):
        if stage.endswith("gradient"):
            seen.append(outputs["gradient"])
        return outputs

    function(**arguments, trace=trace)
    return seen[0]


@pytest.mark.claim("C37")
@pytest.mark.parametrize("distribution", ["categorical", "gaussian"])
def test_ppo_at_ratio_one_is_a2c(distribution):
    """One epoch of one mini-batch, under the policy that acted: both have the same gradient."""
    knobs = {"normalize": False, "value_clip_range": None, "target_kl": None}
    ppo = arguments_of(PPO, distribution, **knobs)
    ppo["permutations"] = np.arange(6)[np.newaxis]
    samples = (ppo["parameters"], ppo["inputs"], ppo["actions"])
    ppo["old_log_probs"] = evaluate(*samples, **network(ppo)).log_probs
    a2c = arguments_of(A2C, distribution)

    tracked = [
        gradient_of(function, lifted(arguments, lambda value: Tracked(value, U)))
        for function, arguments in ((reference_ppo.ppo_update, ppo), (reference.a2c_update, a2c))
    ]
    twins = [
        as_numpy(gradient_of(function, as_torch(arguments, "float64")))
        for function, arguments in ((fast_ppo.ppo_update, ppo), (fast.a2c_update, a2c))
    ]
    for i, (one, other) in enumerate(zip(*tracked, strict=True)):
        allowed = one.free_bound() + other.free_bound()
        assert abs(float(one) - float(other)) <= allowed
        assert abs(twins[0][i] - twins[1][i]) <= allowed
        assert abs(twins[0][i] - float(one)) <= allowed
    assert max(abs(float(number)) for number in tracked[0]) > 0.1

    # off the policy, or with another coefficient, they are not the same
    off = {**ppo, "old_log_probs": ppo["old_log_probs"] - 0.25}
    dear = {**a2c, "value_coefficient": 1.0}
    for function, arguments in ((reference_ppo.ppo_update, off), (reference.a2c_update, dear)):
        changed = gradient_of(function, arguments)
        assert max(abs(float(x) - y) for x, y in zip(tracked[0], changed, strict=True)) > 0.01


@pytest.mark.parametrize("module", [reference, fast], ids=["reference", "fast"])
def test_stages_in_order(module):
    """Every stage is handed over by name; without a norm there is no clipping."""
    for max_norm, wanted in (
        (0.5, ["evaluate", "gradient", "clip", "optimize"]),
        (None, ["evaluate", "gradient", "optimize"]),
    ):
        arguments, names = arguments_of(A2C, "categorical", max_norm=max_norm), []
        if module is fast:
            arguments = as_torch(arguments, "float64")
        module.a2c_update(
            **arguments, trace=lambda name, made, names=names: names.append(name) or made
        )
        assert names == wanted


def test_where_epsilon_stands():
    """With squares and gradients that are tiny, ε beside or under the root is another step."""
    steps = []
    for inside in (False, True):
        arguments = arguments_of(A2C, "categorical", max_norm=2.0**-10, eps=0.01, eps_inside=inside)
        arguments["squares"] = np.zeros_like(arguments["squares"])
        moved = reference.a2c_update(**arguments).parameters - arguments["parameters"]
        steps.append(np.abs(moved).max())
    assert steps[1] < steps[0]


# how strangers write it


def loss(
    log_probs, advantages, values, returns, entropies, mask, value_coefficient, entropy_coefficient
):
    """Write A2C's loss, without a mask or with one."""
    real = torch.ones_like(log_probs, dtype=torch.bool) if mask is None else mask
    policy = -(advantages.detach()[real] * log_probs[real]).mean()
    critic = 0.5 * (returns[real] - values[real]).pow(2).mean()
    return policy + value_coefficient * critic - entropy_coefficient * entropies[real].mean()


ATTACHED = ("advantages.detach()[real]", "advantages[real]")
UNHALVED = ("0.5 * (returns", "(returns")
CHEERFUL = ("critic - entropy", "critic + entropy")


@pytest.mark.parametrize(
    ("edit", "title"),
    [
        (("", ""), None),
        (ATTACHED, "WRONG(L3"),
        (UNHALVED, "CONVENTION(value-loss=without-half)"),
        (CHEERFUL, "WRONG(D9)"),
    ],
)
def test_loss_of_a_stranger(edit, title):
    """A right one passes; an attached advantage, a missing half and a sign are named."""
    scope = {"torch": torch}
    exec(inspect.getsource(loss).replace(*edit) if edit[0] else inspect.getsource(loss), scope)
    verdict = rlverify.check(scope["loss"], "a2c_loss", arrays="torch", budget=80)
    assert verdict.ok == (title is None), verdict.title
    assert verdict.title.startswith(title or "")
