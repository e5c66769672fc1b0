"""Trust region updates: the contract tests, and what only these functions have."""

import inspect
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlverify.checking import judge_case, truth
from rlverify.contract import Case
from rlverify.contracts import find
from rlverify.contracts._trpo_cases import good_update, sized_update, updates
from rlverify.contracts._trpo_update import NARROWING
from rlverify.contracts.trpo import GOOD_SEARCH
from rlverify.fast import trpo as fast
from rlverify.objectives import Counted, Polynomial
from rlverify.reference import trpo as reference
from rlverify.reference._functions import chosen, decided, loosened, reached
from rlverify.reference.natural_gradient import conjugate_gradient, fisher_matrix, kl_hessian
from rlverify.rounding import PRECISIONS, Tracked, lifted
from rlverify.twinning import Canonical
from support import *  # noqa: F403
from trpo_runs import bits, both, run

TOPIC = "trpo"

UPDATE = find("trpo_update")


# --- the line search ------------------------------------------------------------------------------


@pytest.mark.claim("C23")
@both
@pytest.mark.parametrize("tries", [1, 2, 5])
@pytest.mark.parametrize(
    ("objective", "constraint"),
    [
        (Polynomial(((-1, (1,)),)), Polynomial(((1, (2,)),))),  # within the bound, never better
        (Polynomial(((1, (1,)),)), Polynomial(((9, (0,)),))),  # better, never within the bound
        (Polynomial(((0, (1,)),)), Polynomial(((1, (2,)),))),  # no worse is not better
        (lambda x: x[0] * float("nan"), Polynomial(((1, (2,)),))),
        (Polynomial(((1, (1,)),)), lambda x: x[0] * float("nan")),
    ],
    ids=["worse", "beyond", "equal", "objective NaN", "constraint NaN"],
)
def test_failed_search_leaves_every_bit(topic, tries, objective, constraint):
    """Where no trial fulfils both conditions, the parameters come back to the bit."""
    # neither -0.0 nor the last bits of 1/3 survive being moved there and back
    case = GOOD_SEARCH.but(
        objective=objective, constraint=constraint, max_backtracks=tries,
        parameters=np.array([1 / 3, -0.0]), step=np.array([1e8, 1.0]),
    )  # fmt: skip
    found = run(topic, "line_search", case)
    assert (bool(found.accepted), int(found.tries)) == (False, tries)
    assert bits(found.parameters) == case["parameters"].tobytes()


@pytest.mark.claim("C23")
@given(data=st.data())
def test_search_accepts_only_what_improves_within_the_bound(data):
    """Of all trials, in fractions, the first with L > 0 and KL ≤ δ is found, or none."""
    case = data.draw(find("line_search").inputs)
    exact = lifted(dict(case.arguments), Fraction)
    place, full = exact["parameters"], exact["step"]
    trials = [place + exact["backtrack"] ** j * full for j in range(case["max_backtracks"])]
    right = [case["objective"](x) > 0 and case["constraint"](x) <= exact["delta"] for x in trials]
    found = reference.line_search(**exact)
    assert found.accepted == any(right)
    assert found.tries == (right.index(True) + 1 if any(right) else len(trials))
    wanted = trials[right.index(True)] if any(right) else place
    assert (found.parameters == wanted).all()


@both
def test_divergence_at_the_bound_is_accepted(topic):
    """KL = δ to the bit is within the bound: the second trial lies there."""
    found = run(topic, "line_search", GOOD_SEARCH)
    assert (bool(found.accepted), int(found.tries)) == (True, 2)


@both
def test_search_ends_with_the_first_that_will_do(topic):
    """Nothing is evaluated after a trial was accepted."""
    counted = Counted(GOOD_SEARCH["objective"])
    run(topic, "line_search", GOOD_SEARCH.but(objective=counted, max_backtracks=10))
    assert counted.count == 2


@both
def test_functions_may_write_to_what_they_are_given(topic):
    """A trial handed to a function is its own."""

    def greedy(x):
        height = float(x[0])
        x[:] = 77.0
        return height

    found = run(topic, "line_search", GOOD_SEARCH.but(objective=greedy))
    assert found.parameters.tolist() == [1.0, 0.5]


# --- what rounding leaves open --------------------------------------------------------------------


def test_open_decision_allows_both_answers():
    """Where the errors reach over the threshold the result's bound reaches both branches."""
    u = PRECISIONS["float32"].unit
    third = Tracked(1.0, u) / 3
    sure, open_ = reached(Tracked(0.25, u), third), reached(Tracked(float(third), u), third)
    assert (decided(sure), decided(open_)) == (True, False)
    one, other = Tracked(5.0, u), Tracked(2.0, u)
    assert chosen(sure, one, other) is one
    both_right = chosen(open_, one, other)
    assert both_right.value in (5.0, 2.0)
    assert both_right.free_bound() >= 3
    assert (decided(1), decided(0.0), chosen(1, "a", "b"), chosen(0, "a", "b")) == (
        True, True, "a", "b",
    )  # fmt: skip


def test_loosened_number_is_known_that_much_less():
    """Slack counts as it stands, roundings in units of u; plain numbers stay what they are."""
    u = PRECISIONS["float32"].unit
    loose = loosened(2.0, Tracked(0.5, u), 3)
    assert loose.value == 2.0
    # closing the first order costs less than another rounding of what is there
    assert 0.5 + 3 * u <= loose.free_bound() <= (0.5 + 3 * u) * (1 + 4 * u)
    assert loosened(2.0, 0.5, 3) == 2.0


def test_search_on_the_edge_has_two_right_answers():
    """KL computed with rounding at δ: the contract lets a candidate take either trial."""
    case = GOOD_SEARCH.but(backtrack=0.75, delta=float(np.float32(2.25)))  # (2 · 3/4)² = 9/4
    known = truth(find("line_search"), case, "float32")
    assert known.allowed["tries"] >= 1
    for tries in (2, 3):
        assert abs(known.value["tries"] - tries) <= known.allowed["tries"]
        place = 0.75 ** (tries - 1) * case["step"]
        assert (abs(known.value["parameters"] - place) <= known.allowed["parameters"]).all()


# --- whole updates --------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("distribution", ["categorical", "gaussian"])
def test_no_advantage_moves_nothing(topic, distribution):
    """A gradient of 0 is a defined result: no trial, no step, every bit where it was."""
    case = NARROWING.but(advantages=np.zeros(1))
    if distribution == "categorical":
        good = good_update()
        case = good.but(advantages=0 * good["advantages"], parameters=good["parameters"] / 3)
    found = run(topic, "trpo_update", case)
    assert (bool(found.accepted), int(found.tries)) == (False, 0)
    assert (float(found.surrogate), float(found.kl)) == (0.0, 0.0)
    assert bits(found.parameters) == case["parameters"].tobytes()


@pytest.mark.claim("C23")
@both
def test_failed_update_leaves_every_bit(topic):
    """The divergence outgrows its prediction and one trial is all: nothing has moved."""
    case = NARROWING.but(parameters=np.array([1 / 3, -0.0, 0.1]), delta=4.0)
    found = run(topic, "trpo_update", case)
    assert (bool(found.accepted), int(found.tries)) == (False, 1)
    assert bits(found.parameters) == case["parameters"].tobytes()


@pytest.mark.parametrize("sizes", [(4, 16, 16, 2), (3, 4, 4, 3)])
@pytest.mark.parametrize("distribution", ["categorical", "gaussian"])
def test_two_hidden_layers_agree(sizes, distribution):
    """With hundreds of parameters conjugate gradients reach the direct solution of the Hessian."""
    case = sized_update((8, *sizes))
    if distribution == "categorical":
        actions = np.arange(8) % sizes[-1]
        case = case.but(
            parameters=case["parameters"][: -sizes[-1]], actions=actions,
            distribution=distribution, log_probs=np.full(8, -1.0),
        )  # fmt: skip
    case = case.but(cg_iterations=2 * len(case["parameters"]), cg_tolerance=1e-10, kind="large")
    known = truth(UPDATE, case, "float64")
    result = Canonical(fast.trpo_update, UPDATE, "torch").run([case], "float64")[0]
    found, worst = judge_case(case, result, known, "reference")
    assert found is None, (worst, found)
    assert result.outputs["accepted"] == 1
    # the allowance tells a step from none
    step = result.outputs["parameters"] - case["parameters"]
    assert np.linalg.norm(known.allowed["parameters"]) < 1e-3 * np.linalg.norm(step)


@given(case=updates(), steps=st.integers(1, 4))
def test_conjugate_gradients_that_end_early_are_allowed_for(case, steps):
    """After k steps the direction lies within the bound that κ gives, tight or not."""
    count, tolerance = len(case["parameters"]), 1e-12
    if steps >= count or case.kind == "zero":
        return
    policy = reference.Policy(*(case[n] for n in ("inputs", "sizes", "activation", "distribution")))
    layout = {name: case[name] for name in ("sizes", "activation", "distribution")}
    hessian = kl_hessian(case["parameters"], case["inputs"], **layout)
    matrix = hessian + case["damping"] * np.eye(count)
    right = np.linspace(-1, 1, count) + 0.125
    ended = conjugate_gradient(lambda v: matrix @ v, right, max_iterations=steps,
                               tolerance=tolerance)  # fmt: skip
    known = lifted(
        {"parameters": case["parameters"], "g": right, "inputs": case["inputs"]},
        lambda value: Tracked(value, PRECISIONS["float64"].unit),
    )
    policy = policy._replace(inputs=known["inputs"])
    direction = policy.direction(known["parameters"], known["g"], case["damping"], steps,
                                 tolerance)  # fmt: skip
    for got, allowed in zip(ended.x, direction, strict=True):
        assert abs(got - float(allowed)) <= allowed.free_bound()


@both
def test_stages_are_handed_over_and_gone_on_with(topic):
    """Every stage is told by name, and the update goes on with what comes back."""
    case, heard = good_update(), []

    def listen(stage, outputs):
        heard.append((stage, tuple(outputs)))
        return outputs

    plain = run(topic, "trpo_update", case)
    run(topic, "trpo_update", case.but(trace=listen))
    tried = ("parameters", "surrogate", "kl", "accept")
    assert heard == [
        ("gradient", ("gradient",)), ("direction", ("direction",)),
        ("step length", ("step_length",)), ("trial 1", tried),
        ("accept", ("parameters", "accepted", "tries", "surrogate", "kl")),
    ]  # fmt: skip

    def refuse(stage, outputs):
        heard.append((stage, tuple(outputs)))
        return {**outputs, "accept": 0.0} if stage == "trial 1" else outputs

    heard.clear()
    second = run(topic, "trpo_update", case.but(trace=refuse))
    assert [stage for stage, _ in heard][-2:] == ["trial 2", "accept"]
    assert int(second.tries) == 2

    def halve(stage, outputs):
        if stage == "step length":
            return {"step_length": outputs["step_length"] / 2}
        return outputs

    # half the length at once is what the second trial takes; a power of two rounds nothing
    halved = run(topic, "trpo_update", case.but(trace=halve))
    assert bits(halved.parameters) == bits(second.parameters) != bits(plain.parameters)


@given(case=updates())
def test_scaled_advantages_make_the_same_step_to_the_bit(case):
    """A power of two before the advantages changes no digit of the fast version's step."""
    single = run(fast, "trpo_update", case)
    larger = run(fast, "trpo_update", case.but(advantages=1024 * case["advantages"]))
    assert torch.equal(single.parameters, larger.parameters)
    assert torch.equal(1024 * single.surrogate, larger.surrogate)


@given(case=updates())
def test_fisher_of_the_update_is_the_hessian(case):
    """The matrix that the reference inverts is the explicit sum over actions, at θ_old."""
    layout = {name: case[name] for name in ("sizes", "activation", "distribution")}
    tracked = lifted(dict(case.arguments), lambda value: Tracked(value, 2.0**-53))
    hessian = kl_hessian(tracked["parameters"], tracked["inputs"], **layout)
    fisher = fisher_matrix(tracked["parameters"], tracked["inputs"], **layout)
    for i in np.ndindex(hessian.shape):
        gap = hessian[i] - fisher[i]
        assert abs(float(gap)) <= gap.running_bound()


def test_twins_have_one_signature():
    """Both versions of an update take the same arguments, `trace` last and optional."""
    ours, theirs = (inspect.signature(topic.trpo_update).parameters for topic in (reference, fast))
    assert list(ours) == list(theirs)
    assert [name for name, item in ours.items() if item.default is not inspect.Parameter.empty] == [
        "trace"
    ]


def test_case_of_a_stranger_is_a_case():
    """The good case is one that both versions accept a step on."""
    assert isinstance(good_update(), Case)
    assert all(bool(run(topic, "trpo_update", good_update()).accepted)
               for topic in (reference, fast))  # fmt: skip
