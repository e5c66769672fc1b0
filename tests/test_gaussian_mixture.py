"""The topic `gaussian_mixture`: the contract tests, and what only mixtures have."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlverify.checking import drawn_cases, truth
from rlverify.comparison import ratios, rounded
from rlverify.contract import Case
from rlverify.contracts import find
from rlverify.contracts._mixture_cases import LINES
from rlverify.reference import gaussian_mixture as reference
from rlverify.rounding import PRECISIONS, Tracked
from rlverify.twinning import Canonical
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "gaussian_mixture"
U = PRECISIONS["float64"].unit
PARAMETERS = ("logits", "mean", "log_std")


def agree(name, case, changed):
    """The fast version gives on a changed case what it gives on the case, within both bounds."""
    contract = find(name)
    twin = Canonical(contract.fast, contract, "torch")
    for dtype in ("float64", "float32"):
        one, other = rounded(case, dtype), rounded(changed, dtype)
        if other.key() != changed.key() or one.key() != case.key():
            continue
        got, wanted = (twin.run([item], dtype)[0].outputs for item in (other, one))
        bounds = [truth(contract, item, dtype).allowed for item in (other, one)]
        for output in got:
            slack = bounds[0][output] + bounds[1][output]
            assert (ratios(got[output], wanted[output], slack) <= 1).all(), output


def reordered(case, order):
    count = case["logits"].shape[-1]
    permutation = np.roll(np.arange(count), order)
    return case.but(
        logits=case["logits"][..., permutation],
        mean=case["mean"][..., permutation, :],
        log_std=case["log_std"][..., permutation, :],
    )


@settings(max_examples=30)
@given(data=st.data())
def test_components_have_no_order(data):
    case = data.draw(find("gaussian_mixture_log_prob").inputs)
    agree("gaussian_mixture_log_prob", case, reordered(case, 1))


@settings(max_examples=30)
@given(data=st.data())
def test_a_number_added_to_every_logit_changes_nothing(data):
    for name in ("gaussian_mixture_log_prob", "gaussian_mixture_score"):
        case = data.draw(find(name).inputs)
        agree(name, case, case.but(logits=case["logits"] + 4))


@settings(max_examples=30)
@given(data=st.data())
def test_a_component_given_twice_weighs_double(data):
    """All components twice is the same density."""
    case = data.draw(find("gaussian_mixture_log_prob").inputs)
    twice = case.but(
        logits=np.concatenate([case["logits"]] * 2, axis=-1),
        mean=np.concatenate([case["mean"]] * 2, axis=-2),
        log_std=np.concatenate([case["log_std"]] * 2, axis=-2),
    )
    agree("gaussian_mixture_log_prob", case, twice)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_responsibilities_and_weights_sum_to_the_same(dtype):
    contract = find("gaussian_mixture_score")
    twin = Canonical(contract.fast, contract, "torch")
    for case in drawn_cases(contract, 60, 1):
        case = rounded(case, dtype)
        of_logits = twin.run([case], dtype)[0].outputs["logits"]
        allowed = truth(contract, case, dtype).allowed["logits"]
        assert (np.abs(of_logits.sum(-1)) <= allowed.sum(-1)).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_action_far_from_everything_has_a_finite_log_probability(dtype):
    """At 10⁵ deviations every density is 0, and its logarithm is not −∞."""
    case = Case(
        {
            "logits": np.array([[1e4, 0.0, -1e4]]),
            "mean": np.array([[[0.0], [1.0], [2.0]]]),
            "log_std": np.zeros((1, 3, 1)),
            "actions": np.array([[100000.0]]),
        }
    )
    for name in ("gaussian_mixture_log_prob", "gaussian_mixture_score"):
        contract = find(name)
        known = truth(contract, case, dtype)
        got = Canonical(contract.fast, contract, "torch").run([case], dtype)[0].outputs
        for output, array in got.items():
            assert np.isfinite(array).all()
            assert (ratios(array, known.value[output], known.allowed[output]) <= 1).all()


def test_the_mixture_of_torch_agrees():
    """torch.distributions.MixtureSameFamily on the same numbers, within the bound."""
    contract = find("gaussian_mixture_log_prob")
    for case in drawn_cases(contract, 60, 2):
        logits, mean, log_std, actions = map(torch.from_numpy, case.arguments.values())
        mixture = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=logits),
            torch.distributions.Independent(torch.distributions.Normal(mean, log_std.exp()), 1),
        )
        known = truth(contract, case, "float64")
        got = mixture.log_prob(actions).numpy()
        assert (ratios(got, known.value["log_prob"], known.allowed["log_prob"]) <= 1).all()


def test_uniforms_pick_components_as_often_as_they_weigh():
    """1024 equidistant uniforms: each component's share is its weight to one of them."""
    contract = find("gaussian_mixture_sample")
    count, weights = 1024, np.array([0.125, 0.5, 0.0625, 0.3125])
    shape = (count, len(weights))
    case = Case(
        {
            "logits": np.broadcast_to(np.log(weights), shape).copy(),
            "mean": np.broadcast_to(np.arange(4.0), shape)[..., None].copy(),
            "log_std": np.zeros((*shape, 1)),
            "uniforms": (np.arange(count) + 0.5) / count,
            "normals": np.zeros((count, 1)),
        }
    )
    for function, arrays in ((contract.fast, "torch"), (contract.reference, "numpy")):
        actions = Canonical(function, contract, arrays).run([case], "float64")[0].outputs["actions"]
        found = np.bincount(actions[:, 0].astype(int), minlength=4)
        assert (found == weights * count).all()


def with_nodes(monkeypatch, nodes, function, arguments):
    rule = np.polynomial.legendre.leggauss(nodes)
    monkeypatch.setattr(reference, "NODES", rule[0].tolist())
    monkeypatch.setattr(reference, "WEIGHTS", rule[1].tolist())
    return function(*arguments)


def tracked(array):
    numbers = np.empty(array.shape, dtype=object)
    for i in np.ndindex(array.shape):
        numbers[i] = Tracked(float(array[i]), U)
    return numbers


@pytest.mark.parametrize("line", range(len(LINES)))
def test_more_nodes_do_not_move_an_entropy(monkeypatch, line):
    """What the quadrature leaves is less than what rounding may: 16 nodes against 40."""
    arrays = LINES[line]
    bounded = reference.gaussian_mixture_entropy(*map(tracked, arrays))[()]
    got = reference.gaussian_mixture_entropy(*arrays)
    finer = with_nodes(monkeypatch, 40, reference.gaussian_mixture_entropy, arrays)
    assert abs(got - finer) <= bounded.running_bound()
    coarse = with_nodes(monkeypatch, 5, reference.gaussian_mixture_entropy, arrays)
    assert abs(got - coarse) > bounded.running_bound()


@pytest.mark.parametrize(("p", "q"), list(itertools.product((0, 4, 5), (2, 3, 6))))
def test_more_nodes_do_not_move_a_divergence(monkeypatch, p, q):
    arrays = (*LINES[p], *LINES[q])
    bounded = reference.gaussian_mixture_kl(*map(tracked, arrays))[()]
    got = reference.gaussian_mixture_kl(*arrays)
    finer = with_nodes(monkeypatch, 40, reference.gaussian_mixture_kl, arrays)
    assert abs(got - finer) <= bounded.running_bound()
    assert got > 0
    same = reference.gaussian_mixture_kl(*LINES[p], *LINES[p])
    assert same == 0
