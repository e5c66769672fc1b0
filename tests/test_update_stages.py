"""Whole updates in lockstep: the right ones pass, and of a wrong one the wrong stage is named."""

import functools

import numpy as np
import pytest
import torch

from rlverify.descent import JUDGES
from rlverify.fast import _trust_region as fast_trust_region
from rlverify.fast import a2c, grpo_update, ppo_update, reinforce
from rlverify.instruction import RESULT, narrowed, recorded
from rlverify.lockstepping import compared, vacuous
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


def other_activation(activation):
    return {"tanh": "relu", "relu": "tanh"}[activation]


def later(count):
    return count + 1


def longer(number):
    return number * 1.001


def negated(array):
    return -array


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
        "evaluate": {"activation": ("evaluate", but(activation=other_activation))},
        "stop": {"estimator": ("approximate_kl", but(estimator=lambda name: "k1"))},
        "gradient": {
            "entropy repelled": ("gradient", but(4, negated)),
            "wider clip": ("_surrogate_slopes", but(3, lambda clip: 4 * clip)),
            "critic not clipped": ("_value_slopes", but(3, lambda clip: None)),
            "advantages exchanged": ("_surrogate_slopes", but(2, lambda a: a.flip(0))),
        },
        "clip": {"longer": ("clip_grad_norm", but(max_norm=longer))},
        "optimize": ADAM_MISTAKES,
    }),
    "value_update": (ppo_update, {
        "evaluate": {"activation": ("mlp_forward", but(activation=other_activation))},
        "gradient": {"twice": ("mlp_backward", but(2, lambda c: 2 * c))},
        "optimize": ADAM_MISTAKES,
    }),
    "a2c_update": (a2c, {
        "evaluate": {"activation": ("evaluate", but(activation=other_activation))},
        "gradient": {
            "ascends": ("gradient", but(3, negated)),
            "entropy repelled": ("gradient", but(4, negated)),
            "critic doubled": ("gradient", but(5, lambda c: 2 * c)),
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
            "actions exchanged": ("policy_gradient", but(2, lambda a: a.roll(1, 0))),
        },
        "optimize": ADAM_MISTAKES,
    }),
    "grpo_update": (grpo_update, {
        "evaluate": {"activation": ("mlp_forward", but(activation=other_activation))},
        "gradient": {
            "other mean": ("_divisors", but(1, lambda name: "sequence_mean")),
            "other estimator": ("_kl_slopes", but(1, lambda name: "k2")),
            "wider clip": ("_surrogate_slopes", but(2, lambda clip: 4 * clip)),
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
