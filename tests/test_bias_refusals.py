"""Exact bias: estimators without an estimate, and calls that are refused."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from policy_losses import advantages_given, judged, returns_to_go
from rlverify.calling import CallError


def nan_on_equal_returns(log_probs, rewards, gamma):
    returns = returns_to_go(rewards, gamma)[0]
    return -(log_probs * (returns - returns.mean()) / returns.std()).sum(0).mean()


def less_the_mean(log_probs, rewards, gamma):
    returns = returns_to_go(rewards, gamma)[0]
    return -(log_probs * (returns - returns.mean())).sum(0).mean()


def raising(log_probs, rewards):
    raise RuntimeError("boom")


def detached(log_probs, rewards):
    return (log_probs.detach() * rewards).sum()


def unreduced(log_probs, rewards):
    return log_probs * rewards


def random(log_probs, rewards):
    return -(log_probs * rewards * torch.rand(())).sum(0).mean()


def counting(log_probs, rewards, _calls=[]):  # noqa: B006
    _calls.append(1)
    return -(log_probs * rewards).sum(0).mean() * len(_calls)


FAILURES = {
    "randomness": (random, r"draws random numbers of its own; rlverify\.sampled_check is made"),
    "a state": (counting, r"it keeps a state or"),
    "nan": (nan_on_equal_returns, r"the estimate is nan \(for .*returns 1\.641, 1\.641"),
    "raised": (raising, r"RuntimeError: boom \(called raising\(log_probs, rewards\)"),
    "detached": (detached, r"no derivative flows back"),
    "unreduced": (unreduced, r"wanted a scalar loss; weights .* declared with '-> weights'"),
}


@pytest.mark.parametrize(("loss", "told"), FAILURES.values(), ids=FAILURES)
def test_no_estimate(loss: Callable[..., Any], told: str):
    report = judged(loss)
    assert not report.ok
    assert report.finding is None
    assert re.search(told, report.failure), report.failure


REFUSED = {
    "an unknown name": (
        lambda: judged(lambda log_probs, foo: foo),
        r"what its parameter foo means is not known",
    ),
    "several readings": (
        lambda: judged(advantages_given),
        r"more than one reading\. Declare(.|\n)*advantages:to-go(.|\n)*advantages:gae",
    ),
    "an unknown source": (
        lambda: judged(raising, call="raising(log_probs, reward)"),
        r"reward came as a source; there are log_probs",
    ),
    "a source with readings": (
        lambda: judged(raising, call="raising(log_probs, returns)"),
        r"returns came as a source; wanted returns:to-go or returns:total",
    ),
    "an output": (
        lambda: judged(raising, call="raising(log_probs, rewards) -> gae"),
        r"wanted one of loss, objective, weights, gradient after '->'",
    ),
    "no derivative": (
        lambda: judged(raising, call="raising(values, rewards) -> loss"),
        r"a loss has no derivative here; hand over one of log_probs, logits, theta",
    ),
    "built in": (
        lambda: judged(raising, call="raising(log_probs, rewards) where gamma=1"),
        r"nothing can stand after 'where' here",
    ),
    "an estimator": (lambda: judged("gea"), r"no estimator 'gea' here; did you mean 'gae'"),
    "a layout": (lambda: judged(raising, layout="rows"), r"layout came as 'rows', wanted"),
    "samples of several steps": (
        lambda: judged(raising, layout="samples"),
        r"layout came as 'samples', wanted a horizon of 1",
    ),
    "an aim": (lambda: judged(aim="nothing"), r"aim came as 'nothing', wanted one of grad"),
    "a process": (lambda: judged(mdp="chian(2)"), r"no process 'chian'; did you mean"),
    "no call": (lambda: judged(mdp="chain[2]"), r"mdp came as 'chain\[2\]', wanted FILE"),
    "its arguments": (lambda: judged(mdp="chain(0)"), r"which is refused: chain: length"),
    "code": (
        lambda: judged(mdp="chain(__import__('os').getpid())"),
        r"which is refused: malformed node",
    ),
    "no file": (lambda: judged(mdp="none.json"), r"mdp came as .*there is no such file"),
    "a number": (lambda: judged(gamma="half"), r"gamma came as 'half', wanted a number"),
    "a range": (lambda: judged(gamma=2), r"gamma came as 2, wanted a number in \[0, 1\]"),
    "a count": (lambda: judged(batch=0), r"batch came as 0, wanted an integer of at least"),
    "a policy": (lambda: judged(policy="even"), r"policy came as 'even', wanted FILE.npy"),
    "a policy of another process": (
        lambda: judged(policy=np.full((3, 2), 0.5)),
        r"policy has shape \(3, 2\), but mdp has 2 states",
    ),
    "a critic": (
        lambda: judged(critic=np.zeros(3)),
        r"critic came with shape \(3,\), wanted \(2,\) or \(4, 2\)",
    ),
    "exact floats": (
        lambda: judged(policy=np.full((2, 2), 0.5), exact=True),
        r"exact arithmetic is not possible here: a policy came as floats",
    ),
    "too many batches": (
        lambda: judged(less_the_mean, mdp="cliff(2, 3)"),
        r"it couples its batch, and 4 of 64 trajectories make 766480 batches, wanted at most",
    ),
}


@pytest.mark.parametrize(("call", "told"), REFUSED.values(), ids=REFUSED)
def test_refusals(call: Callable[[], Any], told: str):
    with pytest.raises(ValueError, match=told):
        call()


def test_refusals_of_calls_are_call_errors():
    with pytest.raises(CallError):
        judged(advantages_given)
