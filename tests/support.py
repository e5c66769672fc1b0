"""The contract tests, written once; `tests/test_<topic>.py` imports them all and sets TOPIC.

`conftest.pytest_generate_tests` spreads them over the topic's contracts.
"""

import functools
import inspect
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jaxtyping import jaxtyped

import rlverify
from contract_candidates import following, good_case, nonsense, stranger
from rlverify.calling import in_process
from rlverify.checking import (
    LawSubject,
    check_law,
    drawn_cases,
    judge_case,
    truth,
)
from rlverify.comparison import DECOYS, holds, ratios, rounded
from rlverify.diagnosis import matrix, mutant
from rlverify.differentiation import (
    GRADIENT_SIZES,
    case_size,
    differentiable,
    worst_gradient,
)
from rlverify.editing import edited
from rlverify.judging import judge
from rlverify.rounding import PRECISIONS, Tracked, exactly, is_exact_number, lifted
from rlverify.twinning import Canonical, as_numpy, as_torch

DTYPES = ["float64", "float32", "bfloat16", "float16"]
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def fractions(contract, case):
    """Run the reference on fractions."""
    return contract.named(contract.reference(**lifted(dict(case.arguments), exactly)))


@given(data=st.data())
def test_reference_equals_fractions(contract, data):
    """The float64 reference lies within its own running bound of exact arithmetic."""
    if not contract.exact:
        return
    case = data.draw(contract.inputs)
    with np.errstate(all="ignore"):
        got = contract.named(contract.reference(**case.arguments))
    u = PRECISIONS["float64"].unit
    tracked = contract.named(
        contract.reference(**lifted(dict(case.arguments), lambda value: Tracked(value, u)))
    )
    for name, wanted in fractions(contract, case).items():
        for index in np.ndindex(wanted.shape):
            answer = int(wanted[index]) if contract.returns == "flag" else wanted[index]
            assert is_exact_number(answer)
            error = abs(Fraction(float(got[name][index])) - answer)
            item = tracked[name][index]
            bound = item.running_bound() if isinstance(item, Tracked) else 0
            assert error <= Fraction(bound)


@dtypes
@given(data=st.data())
def test_twin_agrees(contract, dtype, device, data):
    """The fast version lies within what rounding allows, NaN patterns included."""
    case = data.draw(contract.inputs)
    if not holds(case, dtype):
        return
    case = rounded(case, dtype)
    result = Canonical(contract.fast, contract, "torch", device).run([case], dtype)[0]
    assert result.failure is None
    found, worst = judge_case(case, result, truth(contract, case, dtype), "reference")
    assert found is None, (worst, found)


@given(data=st.data())
def test_twin_takes_strided_inputs(contract, device, data):
    """A transposed or sliced view gives what a contiguous copy gives."""
    case = data.draw(contract.inputs)
    plain = as_torch(dict(case.arguments), "float64", device)
    strided = {}
    for name, value in plain.items():
        if isinstance(value, torch.Tensor):
            wide = torch.stack([value, torch.zeros_like(value)], dim=-1)
            strided[name] = wide[..., 0]
            assert value.numel() == 1 or not strided[name].is_contiguous()
        else:
            strided[name] = value
    known = truth(contract, case, "float64")
    for name, got in contract.named(contract.fast(**strided)).items():
        wanted = known.value[name]
        assert (ratios(as_numpy(got), wanted, known.allowed[name]) <= 1).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@settings(max_examples=25)
@given(data=st.data())
def test_twin_obeys_law(contract, law, dtype, device, data):
    """Every law holds for the fast version."""
    case = rounded(data.draw(contract.inputs), dtype)
    subject = LawSubject(contract, Canonical(contract.fast, contract, "torch", device), dtype)
    tally = check_law(law, subject, [case])
    assert not tally.failed, tally.finding


@settings(max_examples=25)
@given(data=st.data())
def test_reference_obeys_law(contract, law, data):
    """Every law holds for the reference."""
    case = data.draw(contract.inputs)
    tally = check_law(law, LawSubject(contract, Canonical(contract.reference, contract), "float64"),
                      [case])  # fmt: skip
    assert not tally.failed, tally.finding


def test_example(contract, example, device):
    """The reference gives the fractions worked by hand, the fast version their floats."""
    if contract.exact:
        got = fractions(contract, example.case)
        for name in contract.outputs:
            assert (got[name] == example.answer(name)).all()
    case, known = example.case, truth(contract, example.case, "float64")
    twins = [Canonical(contract.reference, contract)]
    if contract.fast is not None:
        twins.append(Canonical(contract.fast, contract, "torch", device))
    for twin in twins:
        outputs = twin.run([case], "float64")[0].outputs
        for name in contract.outputs:
            wanted = example.answer(name).astype(float)
            assert (ratios(outputs[name], wanted, known.allowed[name]) <= 1).all()


def test_bad_input_is_refused_alike(contract, bad, device):
    """Both twins refuse a spoiled input with the same message, before any arithmetic."""
    case = good_case(contract)
    spoiled = {**case.arguments, **bad.spoil(case)}
    contract.reference(**case.arguments)  # the good case is good
    with pytest.raises(bad.error) as ours:
        contract.reference(**spoiled)
    assert str(ours.value) == bad.message
    if contract.fast is None:
        return
    tensors = {
        name: torch.from_numpy(np.array(value)).to(device)
        if isinstance(value, np.ndarray)
        else value
        for name, value in spoiled.items()
    }
    with pytest.raises(bad.error) as theirs:
        contract.fast(**tensors)
    assert str(theirs.value) == bad.message


def test_twins_have_the_annotated_shapes(contract, device):
    """Arguments and results fit the shapes in the signatures, all axes bound together."""
    cases = drawn_cases(contract, 40, 0)
    case = next((c for c in cases if case_size(contract, c) >= 4), contract.good)
    for function, arguments in (
        (contract.reference, dict(case.arguments)),
        (contract.fast, as_torch(dict(case.arguments), "float64", device)),
    ):
        hints = inspect.get_annotations(function)
        result = contract.named(function(**arguments))
        with jaxtyped("context"):
            for name, value in arguments.items():
                if isinstance(value, np.ndarray | torch.Tensor):
                    assert isinstance(value, hints[name]), name
            for name, value in result.items():
                assert np.shape(value) == contract.shapes(case)[name], name
                if not contract.axes:
                    assert isinstance(value, hints[contract.first.name]), name
                elif len(result) == 1 and np.shape(value):
                    # a single judged result may be a field of several
                    fields = getattr(hints["return"], "__annotations__", {})
                    hint = fields.get(name, hints["return"])
                    assert isinstance(value, hint), name


def test_matrix_has_no_empty_row_or_column(contract):
    """Every known bug is killed, every law kills, none is hard to see, no equivalent flagged."""
    found = matrix(contract, drawn_cases(contract, 300, 0), 60)
    assert found.unkilled == []
    assert found.idle == []
    assert found.flagged == []
    assert found.least_visible.visible >= 0.1, found.least_visible


def test_known_bug_is_named(contract, bug):
    """`check` on a known bug, given without a hint, answers WRONG and names it."""
    verdict = rlverify.check(stranger(mutant(contract, bug), contract), contract.name, budget=100)
    assert not verdict.ok
    assert verdict.grade == "WRONG"
    assert bug.id in verdict.qualifier.split(" | "), verdict.title
    assert verdict.diagnosis
    assert verdict.counterexample
    compile(verdict.counterexample, "snippet", "exec")


def test_equivalent_passes(contract, equivalent):
    """A form that looks wrong and is right passes on the cases it is right on."""
    cases = drawn_cases(contract, 200, 0)
    assert (
        equivalent.holds_on
        or rlverify.check(stranger(equivalent.function, contract), contract.name, budget=120).ok
    )
    judged = [c for c in cases if not equivalent.holds_on or c.kind in equivalent.holds_on]
    assert len(judged) > 20
    for case in judged:
        result = equivalent.function(**case.arguments)
        outputs = dict(
            zip(contract.outputs, result if isinstance(result, tuple) else (result,), strict=True)
        )
        known = truth(contract, case, "float64")
        for name, got in outputs.items():
            assert (ratios(got, known.value[name], known.allowed[name]) <= 1).all()


def test_convention_is_inferred(contract, convention):
    """A function that follows a convention is told so, and passes only where it is declared."""
    function = contract.reference
    if convention.edits:
        function = edited(contract.reference, convention.edits, convention.helper)
    else:
        function = following(contract, convention)
    candidate = stranger(function, contract)
    verdict = rlverify.check(candidate, contract.name, budget=150)
    assert (verdict.title, verdict.ok) == (f"CONVENTION({convention.name})", False)
    declared = rlverify.check(candidate, contract.name, budget=150, conventions=[convention.name])
    assert (declared.title, declared.ok) == (f"CONVENTION({convention.name})", True)


@dtypes
def test_nonsense_is_rejected(contract, dtype):
    """Zeros, a shuffle, a shift in time and the mean are rejected in every dtype."""
    cases = drawn_cases(contract, 60, 0)
    answers = [array for case in cases for array in truth(contract, case, dtype).value.values()]
    rejected = []
    for name, decoy in DECOYS.items():
        with np.errstate(all="ignore"):
            if all(np.array_equal(decoy(array), array, equal_nan=True) for array in answers):
                # one number cannot be shuffled, nor can equal ones
                equal = [np.full_like(array, array.flat[0]) for array in answers]
                assert all(map(functools.partial(np.array_equal, equal_nan=True), answers, equal))
                continue
        candidate = in_process(
            stranger(nonsense(contract, decoy), contract), contract, arrays="torch"
        )
        verdict = judge(contract, candidate, cases, dtype, target="", explain=False, law_cases=5)
        assert not verdict.ok, name
        assert verdict.grade == "WRONG", name
        rejected.append(name)
    assert rejected


@dtypes
@settings(max_examples=12, phases=[Phase.explicit, Phase.generate])
@given(data=st.data())
def test_gradient_of_twin(contract, dtype, device, data):
    """Autograd through the fast version gives the reference's exact derivatives."""
    case = data.draw(contract.inputs.filter(lambda c: case_size(contract, c) in GRADIENT_SIZES))
    if not holds(case, dtype):
        return
    case = rounded(case, dtype)
    assert differentiable(contract, case)
    assert worst_gradient(contract, [case], dtype, device) <= 1


def test_constants_of_twin_get_no_gradient(contract, device):
    """Arrays that the contract declares constants receive no gradient from the fast version."""
    constants = [item.name for item in contract.arguments
                 if item.kind == "float" and item.name not in contract.gradients]  # fmt: skip
    for case in drawn_cases(contract, 10, 0):
        arguments = as_torch(dict(case.arguments), "float64", device)
        for name in constants:
            arguments[name].requires_grad_()
        for array in contract.named(contract.fast(**arguments)).values():
            if not array.requires_grad:
                continue
            array.sum().backward(retain_graph=True)
            for name in constants:
                grad = arguments[name].grad
                assert grad is None or not grad.any(), name


def test_twin_leaves_its_inputs_alone(contract, device):
    """Neither twin writes to its arguments or returns one of them."""
    for case in drawn_cases(contract, 20, 0):
        before = as_torch(dict(case.arguments), "float64", device)
        after = as_torch(dict(case.arguments), "float64", device)
        for array in contract.named(contract.fast(**after)).values():
            pointers = [v.data_ptr() for v in after.values() if isinstance(v, torch.Tensor)]
            assert array.data_ptr() not in pointers
        for name, value in before.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(torch.nan_to_num(value.double(), 77.0),
                                   torch.nan_to_num(after[name].double(), 77.0))  # fmt: skip


# shapes of log σ that broadcast against a mean [..., 3]
SPREADS = [(), (1,), (3,), "column", "full"]


def broadcast_policy(leading, spread):
    """Return mean, log σ of one of SPREADS, and a third array, of shape [*leading, 3]."""
    shape = (*leading, 3)
    rng = np.random.default_rng(0)
    mean, third = rng.normal(size=(2, *shape))
    log_std = rng.normal(size={"column": (*leading, 1), "full": shape}.get(spread, spread))
    return mean, log_std, third


def assert_rows_are_as_alone(name, arguments, leading):
    """Both twins give each row what it gets alone, with what broadcasts written out."""
    contract = rlverify.contracts.find(name)
    shape = next(iter(arguments.values())).shape
    flat = {k: np.broadcast_to(v, shape).reshape(-1, shape[-1]) for k, v in arguments.items()}
    known = truth(contract, rlverify.contract.Case(flat), "float64")
    ours = contract.named(contract.reference(**arguments))
    theirs = contract.named(contract.fast(**{k: torch.tensor(v) for k, v in arguments.items()}))
    for output, array in known.value.items():
        for got in (ours[output], theirs[output].numpy()):
            assert got.shape == (leading if contract.axes else shape)
            away = ratios(got.reshape(array.shape), array, known.allowed[output])
            assert (away <= 1).all(), (name, output)
