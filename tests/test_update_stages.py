"""Whole updates in lockstep: the right ones pass, and of a wrong one the wrong stage is named."""

import functools
import types

import numpy as np
import pytest
import torch

from rlverify.direction import JUDGES
from rlverify.fast import _trust_region as fast_trust_region
from rlverify.fast import a2c, dqn_update, grpo_update, ppo_update, reinforce
from rlverify.instruction import RESULT, narrowed, recorded
from rlverify.lockstepping import compared, lockstep, vacuous
from rlverify.reference._updates import evaluate
from toy_update import spoilt
from whole_updates import CASES, UPDATES, case

DTYPES = ["float64", "float32"]
dtypes = pytest.mark.parametrize("dtype", DTYPES)
cases = pytest.mark.parametrize(("name", "distribution"), CASES)


@functools.cache
def record(name, distribution, dtype):
    given = narrowed(case(name, distribution), dtype)
    return given, recorded(UPDATES[name][0], given, dtype)


def judged(name, distribution, dtype, fast=None):
    given, stages = record(name, distribution, dtype)
    return compared(stages, fast or UPDATES[name][1], given, dtype, JUDGES)


def kind(stage):
    return stage.rpartition(": ")[2]


def wrong_kinds(found):
    return {kind(judgement.stage) for judgement in found.judgements if not judgement.ok}


@dtypes
@cases
def test_right_updates_pass(name, distribution, dtype):
    found = judged(name, distribution, dtype)
    assert found.ok, found.wrong.sentence
    assert len(found.judgements) == len(found.stages)
    assert vacuous([found], JUDGES) == {}


@dtypes
@cases
def test_an_error_of_three_bounds_is_seen_in_every_output(name, distribution, dtype):
    """One element of one output, that with the widest bound, and nothing else goes wrong."""
    _, stages = record(name, distribution, dtype)
    for stage in {kind(stage.name): stage for stage in stages[:-1]}.values():
        for key, value in stage.truth.value.items():
            if kind(stage.name) in JUDGES:
                continue

            def moved(outputs, key=key, value=value, allowed=stage.truth.allowed[key]):
                array = np.array(value, dtype=dtype)
                place = np.unravel_index(int(np.argmax(allowed)), allowed.shape)
                step = max(3 * allowed[place], float(np.spacing(np.abs(array[place]))))
                array[place] += step
                return {**outputs, key: torch.tensor(array)}

            if value.size == 1 and (stage.truth.allowed[key] >= 1).any():
                continue  # a decision that rounding leaves open has no wrong answer
            found = judged(name, distribution, dtype, spoilt(UPDATES[name][1], stage.name, moved))
            wrong = [judgement.stage for judgement in found.judgements if not judgement.ok]
            assert wrong == [stage.name], key


@dtypes
@cases
def test_a_wrong_result_is_seen(name, distribution, dtype):
    def stale(trace, **arguments):
        before = next(value for key, value in arguments.items() if "parameters" in key)
        return UPDATES[name][1](**arguments, trace=trace)._replace(parameters=before)

    assert wrong_kinds(judged(name, distribution, dtype, stale)) == {RESULT}


def but(position=None, by=None, **changes):
    """Return what makes of a function one that is given other arguments."""

    def change(function):
        def wrong(*arguments, **knobs):
            arguments = list(arguments)
            if position is not None:
                arguments[position] = by(arguments[position])
            return function(*arguments, **{**knobs, **{k: f(knobs[k]) for k, f in changes.items()}})

        return wrong

    return change


def later(count):
    return count + 1


def longer(number):
    return number * 1.001


def negated(array):
    return -array


def exchanged(array):
    return array.roll(1, 0)


def half_exchanged(function):
    """The values are those of other samples, their gradient is not."""

    def wrong(*arguments):
        made = function(*arguments)
        return types.SimpleNamespace(outputs=exchanged(made.outputs), pulled=made.pulled)

    return wrong


def other_first(function):
    """Whatever network is asked, on other inputs than the samples' own it is the first."""
    asked = []

    def wrong(network, inputs, *rest):
        asked.append(network)
        return function(asked[0] if len(asked) == 2 else network, inputs, *rest)

    return wrong


def damped(products):
    return lambda vector: products(vector) + vector


CG_OF_TWO = but(max_iterations=lambda count: 2)
ADAM_MISTAKES = {
    "count off by one": ("adam", but(count=later)),
    "beta2 for beta1": ("adam", but(beta1=lambda beta: 0.99)),
    "larger step": ("adam", but(learning_rate=longer)),
}
# update: stage, module, what is replaced and by what
MISTAKES = {
    "ppo_update": (ppo_update, {
        "normalize": {"ddof": ("normalize_advantages", but(ddof=later))},
        "evaluate": {"actions exchanged": ("evaluation", but(1, exchanged))},
        "stop": {"estimator": ("approximate_kl", but(estimator=lambda name: "k1"))},
        "gradient": {
            "entropy repelled": ("pulled", but(3, negated)),
            "wider clip": ("_surrogate_slopes", but(3, lambda clip: 4 * clip)),
            "critic not clipped": ("_value_slopes", but(3, lambda clip: None)),
            "advantages exchanged": ("_surrogate_slopes", but(2, exchanged)),
        },
        "clip": {"longer": ("clip_grad_norm", but(max_norm=longer))},
        "optimize": ADAM_MISTAKES,
    }),
    "value_update": (ppo_update, {
        "evaluate": {"inputs exchanged": ("forward_pass", half_exchanged)},
        "gradient": {"twice": ("_value_slopes", lambda f: lambda *values: 2 * f(*values))},
        "optimize": ADAM_MISTAKES,
    }),
    "a2c_update": (a2c, {
        "evaluate": {"actions exchanged": ("evaluation", but(1, exchanged))},
        "gradient": {
            "ascends": ("pulled", but(2, negated)),
            "entropy repelled": ("pulled", but(3, negated)),
            "critic doubled": ("pulled", but(4, lambda values: 2 * values)),
        },
        "clip": {"longer": ("clip_grad_norm", but(max_norm=longer))},
        "optimize": {
            "eps under the root": ("rmsprop", but(eps_inside=lambda inside: not inside)),
            "slower": ("rmsprop", but(decay=lambda decay: 0.99)),
        },
    }),
    "reinforce_update": (reinforce, {
        "gradient": {
            "ascends": ("policy_gradient", but(3, negated)),
            "actions exchanged": ("policy_gradient", but(2, exchanged)),
        },
        "optimize": ADAM_MISTAKES,
    }),
    "grpo_update": (grpo_update, {
        "evaluate": {"actions exchanged": ("told", but(1, exchanged))},
        "gradient": {
            "other mean": ("_divisors", but(1, lambda name: "sequence_mean")),
            "other estimator": ("_kl_slopes", but(1, lambda name: "k2")),
            "wider clip": ("_surrogate_slopes", but(2, lambda clip: 4 * clip)),
        },
        "clip": {"longer": ("clip_grad_norm", but(max_norm=longer))},
        "optimize": ADAM_MISTAKES,
    }),
    "dqn_update": (dqn_update, {
        "evaluate": {"the target network twice": ("forward_pass", other_first)},
        "targets": {
            "the worst is picked": ("double_q_target", but(1, lambda q: -q)),
            "ends ignored": ("double_q_target", but(3, torch.zeros_like)),
            "other discount": ("double_q_target", but(gamma=longer)),
        },
        "gradient": {
            "error not clipped": ("_td_slopes", but(3, lambda huber: None)),
            "actions exchanged": ("_td_slopes", but(1, exchanged)),
            "a sum": ("_td_slopes", lambda f: lambda *a: f(*a) * len(a[0])),
        },
        "clip": {"longer": ("clip_grad_norm", but(max_norm=longer))},
        "optimize": ADAM_MISTAKES,
    }),
    "trpo_update": (fast_trust_region, {
        "direction": {
            "two iterations": ("conjugate_gradient", CG_OF_TWO),
            "more damping": ("conjugate_gradient", but(0, damped)),
            "against it": ("conjugate_gradient", but(1, negated)),
            "the gradient": ("conjugate_gradient", lambda function: of_itself),
        },
        "step length": {"twice as far": ("length", but(3, lambda delta: 2 * delta))},
        "trial": {"other KL": ("divergence", lambda f: lambda p, old, new: f(p, new, old))},
        "accept": {"nothing": ("searched", lambda f: lambda t, start, *r: unmoved(f, t, start, r))},
    }),
}  # fmt: skip


def of_itself(products, right, **knobs):
    from rlverify.fast.natural_gradient import Solution

    return Solution(right, "converged", 1, 0.0)


def unmoved(search, tried, start, rest):
    return search(tried, start, *rest)._replace(parameters=start)


def mistakes():
    for name, (_, stages) in MISTAKES.items():
        for stage, found in stages.items():
            for mistake in found:
                yield pytest.param(name, stage, mistake, id=f"{name}-{stage}-{mistake}")


@dtypes
@pytest.mark.parametrize(("name", "stage", "mistake"), [*mistakes()])
def test_a_miscomputed_stage_is_the_one_that_is_named(name, stage, mistake, dtype, monkeypatch):
    module, stages = MISTAKES[name]
    replaced, change = stages[stage][mistake]
    monkeypatch.setattr(module, replaced, change(getattr(module, replaced)))
    distribution = next(d for update, d in CASES if update == name)
    found = judged(name, distribution, dtype)
    named = {kind(judgement.stage).rstrip(" 0123456789") for judgement in found.judgements
             if not judgement.ok}  # fmt: skip
    assert named == {stage}
    assert found.wrong.sentence.split(" is wrong: ")[0].rstrip(" 0123456789").endswith(stage)


def test_every_stage_has_its_mistake():
    for name, distribution in CASES:
        _, stages = record(name, distribution, "float64")
        kinds = {kind(stage.name).rstrip(" 0123456789") for stage in stages} - {RESULT}
        shared = {"gradient"} if name == "trpo_update" else set()  # `FlatPolicy.gradient`, below
        assert kinds == set(MISTAKES[name][1]) | shared


@dtypes
def test_a_miscomputed_gradient_of_a_policy_is_named(dtype, monkeypatch):
    original = fast_trust_region.FlatPolicy.gradient
    monkeypatch.setattr(
        fast_trust_region.FlatPolicy, "gradient",
        lambda self, old, actions, weights: original(self, old, actions, 2 * weights),
    )  # fmt: skip
    assert wrong_kinds(judged("trpo_update", "gaussian", dtype)) == {"gradient"}


# other settings, and decisions

OTHERWISE = [
    ("ppo_update", "gaussian", {"activation": "relu", "normalize": False, "target_kl": None}, None),
    ("ppo_update", "categorical", {"value_clip_range": None, "max_norm": None}, None),
    ("ppo_update", "categorical", {"clip_range": (0.0625, 0.25)}, None),
    ("ppo_update", "categorical", {"target_kl": 2.0**-8}, ("stopped", 1)),
    ("a2c_update", "gaussian", {"eps_inside": True, "max_norm": None}, None),
    ("trpo_update", "categorical", {"activation": "relu", "delta": 0.5}, None),
    ("trpo_update", "gaussian", {"delta": 64.0, "backtrack": 0.875}, ("accepted", 0)),
    ("trpo_update", "gaussian", {"advantages": np.zeros(12)}, ("tries", 0)),
    ("grpo_update", "categorical", {"ratio": "sequence", "aggregation": "constant"}, None),
    ("grpo_update", "categorical", {"beta": 0.0, "aggregation": "sequence_mean"}, None),
    ("grpo_update", "categorical", {"kl_estimator": "k2", "mask": None, "max_norm": None}, None),
    ("dqn_update", "none", {"double": False, "huber": None, "activation": "relu"}, None),
    ("dqn_update", "none", {"max_norm": None, "terminated": np.ones(12, dtype=bool)}, None),
]  # fmt: skip


@dtypes
@pytest.mark.parametrize(("name", "distribution", "changes", "wanted"), OTHERWISE)
def test_right_updates_pass_under_other_settings(name, distribution, changes, wanted, dtype):
    arguments = {**case(name, distribution), **changes}
    found = lockstep(*UPDATES[name], arguments, dtype, JUDGES)
    assert found.ok, found.wrong.sentence
    if wanted is not None:  # that the setting does what it is there for
        key, value = wanted
        assert found.stages[-1].truth.value[key] == value


def at_the_edge(away):
    """Return a case of PPO whose first ratio lies that share below the edge of the clip."""
    arguments = case("ppo_update", "categorical")
    network = {k: arguments[k] for k in ("sizes", "critic_sizes", "activation", "distribution")}
    samples = (arguments[k] for k in ("parameters", "inputs", "actions"))
    old = evaluate(*samples, **network).log_probs
    old[0] -= np.log1p(0.125) + np.log1p(-away)
    return {
        **arguments, "old_log_probs": old, "advantages": np.ones(len(old)), "normalize": False,
        "minibatch_size": len(old), "permutations": np.arange(len(old))[None], "target_kl": None,
    }  # fmt: skip


@pytest.mark.parametrize("nudge", [-(2.0**-20), 2.0**-20])
def test_a_ratio_at_the_edge_of_the_clip_is_clipped_or_not(nudge, monkeypatch):
    """Where rounding decides, both are right; where it does not, one is."""
    nudged = but(3, lambda clip: clip + nudge)(ppo_update._surrogate_slopes)
    monkeypatch.setattr(ppo_update, "_surrogate_slopes", nudged)
    assert lockstep(*UPDATES["ppo_update"], at_the_edge(0.0)).ok
    found = lockstep(*UPDATES["ppo_update"], at_the_edge(2.0**-24))
    assert found.ok == (nudge > 0)
    if nudge < 0:
        assert kind(found.wrong.stage) == "gradient"
    found = lockstep(*UPDATES["ppo_update"], at_the_edge(-(2.0**-24)))
    assert found.ok == (nudge < 0)
