"""Functions in the shapes people write are called as they want to be, and judged exactly."""

import re

import numpy as np
import pytest

from rlverify.calling import CallError, in_process
from rlverify.checking import drawn_cases, judge_case, truth
from rlverify.contracts import find, names
from stranger_cases import (
    STRANGERS,
    agree,
    drawn,
    here,
    made,
    misbehaving_case,
    stranger,
    strangers_folder,
)


@pytest.mark.parametrize("path", STRANGERS)
def test_stranger_agrees_with_the_reference(path):
    contract = find(STRANGERS[path][0])
    candidate = made(path, here)
    agree(candidate, contract)
    for words in STRANGERS[path][2].split("; "):
        assert words in candidate.mapping
    layout = re.search(r"(batch|time)-major", STRANGERS[path][2])
    assert candidate.conventions == ((f"layout={layout[0]}",) if layout else ())


TWINS = [
    (face, name)
    for face in ("reference", "fast")
    for name in names()
    if getattr(find(name), face) is not None
]


@pytest.mark.parametrize(("face", "name"), TWINS)
def test_own_functions_take_every_case(name, face):
    contract = find(name)
    candidate = in_process(getattr(contract, face), contract)
    assert candidate.outputs == contract.outputs
    assert candidate.notes == ()
    if contract.good is not None:
        cases = [contract.good, *drawn_cases(contract, 10, 0)]
        assert all(candidate.admits(case) for case in cases)
        for case, result in zip(cases, candidate.run(cases, "float64"), strict=True):
            assert judge_case(case, result, truth(contract, case, "float64"), name)[0] is None
        return
    cases = [drawn(contract, (4, 3), seed) for seed in range(4)]
    array = next(item for item in contract.arguments if item.kind == "float")
    if any(item.name == "gamma" for item in contract.arguments):
        steps = np.full(cases[0][array.name].shape, 0.5)
        steps[0] = 0.25
        cases.append(cases[0].but(gamma=steps))
    if "mask" in cases[0].arguments:
        cases.append(cases[0].but(mask=None))
    assert all(candidate.admits(case) for case in cases)
    if name != "normalize_advantages":
        for case, result in zip(cases, candidate.run(cases, "float64"), strict=True):
            assert result.failure is None
            wanted = contract.named(contract.reference(**case.arguments))
            assert all(np.array_equal(result.outputs[key], wanted[key]) for key in wanted)


# --- projection -----------------------------------------------------------------------


@pytest.mark.parametrize("path", STRANGERS)
def test_projection_is_idempotent_and_admitted(path):
    candidate = made(path, here)
    contract = find(STRANGERS[path][0])
    for seed in range(10):
        projected = candidate.project(drawn(contract, (5, 3), seed))
        assert candidate.project(projected) is projected
        assert candidate.admits(projected)


def test_projection_to_one_flag_and_shifted_values():
    candidate = made("one_dimensional:compute_gae", here)
    case = drawn(find("gae"), (5, 3), 1)
    assert case["truncated"].any()
    assert not candidate.admits(case)
    projected = candidate.project(case)
    assert np.array_equal(projected["terminated"], case["terminated"] | case["truncated"])
    assert not projected["truncated"].any()
    assert np.array_equal(projected["next_values"][:-1], case["values"][1:])
    assert np.array_equal(projected["next_values"][-1], case["next_values"][-1])
    assert projected.kind == "chained"


def test_without_next_done_the_last_step_never_ends():
    candidate = made("cleanrl_like:no_next_done", here)
    projected = candidate.project(
        drawn(find("gae"), (5, 3), 1).but(terminated=np.ones((5, 3), bool))
    )
    assert projected["terminated"][:-1].all()
    assert not projected["terminated"][-1].any()
    assert any("last step" in note for note in candidate.notes)


def test_case_that_was_not_projected_is_refused():
    candidate = made("one_dimensional:compute_gae", here)
    with pytest.raises(ValueError, match=r"case 0 came with more than the call expresses"):
        candidate.run([drawn(find("gae"), (5, 3), 1)], "float64")


def test_one_number_stands_for_a_discount_a_step():
    candidate = made("one_dimensional:compute_gae", here)
    case = candidate.project(drawn(find("gae"), (3, 2), 0))
    steps = np.array([[0.25, 0.5]] * 3)
    assert not candidate.admits(case.but(gamma=steps))
    assert candidate.project(case.but(gamma=steps))["gamma"] == 0.25
    assert "gamma is one number for all steps" in candidate.notes


def test_a_mask_that_must_be_an_array_is_one():
    contract = find("sequence_gae")
    candidate = made("other_topics:token_gae", here)
    case = drawn(contract, (3, 2), 0)
    assert candidate.admits(case)
    assert candidate.project(case.but(mask=None))["mask"].all()


def test_built_in_values_are_those_of_every_case():
    def f(rewards, dones): ...

    contract = find("discounted_return")
    candidate = in_process(f, contract, call="f(rewards, done:after) where gamma=1")
    projected = candidate.project(drawn(contract, (2, 2), 0))
    assert repr(projected["gamma"]) == "1.0"
    assert candidate.admits(projected.but(gamma=1.0))


def test_both_flags_at_once_are_told_apart_from_truncation():
    def f(rewards, values, next_values, done, truncated, gamma, lam): ...

    call = "f(rewards, values, next_values, done:after, truncated, gamma, lam)"
    candidate = in_process(f, find("gae"), call=call)
    on = np.ones((2, 2), bool)
    case = drawn(find("gae"), (2, 2), 0).but(terminated=on, truncated=on)
    projected = candidate.project(case)
    assert projected["terminated"].all()
    assert not projected["truncated"].any()


# --- arrays ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "dtype"),
    [
        ("one_dimensional:compute_gae", "float16"),
        ("batch_first:gae", "bfloat16"),
        ("batch_first:gae", "float32"),
        ("rlax_like:td_learning", "bfloat16"),
    ],
)
def test_dtypes_reach_the_function_and_come_back(path, dtype):
    contract = find(STRANGERS[path][0])
    candidate = made(path, here)
    case = candidate.project(drawn(contract, (2, 2), 0))
    result = candidate.run([case], dtype)[0]
    assert result.failure is None
    assert result.dtype == dtype
    wanted = contract.named(contract.reference(**case.arguments))
    assert all(np.array_equal(result.outputs[name], wanted[name]) for name in candidate.outputs)


def test_jax_says_that_it_runs_in_float32():
    candidate = made("rlax_like:td_learning", here)
    assert candidate.dtypes == ("float32",)
    assert any("jax_enable_x64" in note for note in candidate.notes)
    with pytest.raises(ValueError, match="dtype came as float64, wanted one that jax"):
        candidate.run([], "float64")


def annotated(rewards: "np.ndarray", values, next_values, dones, gamma):
    return rewards + gamma * np.where(dones, 0, next_values) - values


def test_arrays_follow_annotations_then_code_then_company():
    import torch

    def in_code(rewards, values, next_values, dones, gamma):
        torch.is_tensor(rewards)
        return rewards + gamma * next_values * ~dones - values

    told = {"numpy": annotated, "torch": in_code, "jax": stranger("rlax_like:td_learning")}
    for arrays, function in told.items():
        assert in_process(function, find("td_error")).arrays == arrays


def test_layout_and_arrays_can_be_told():
    function = stranger("other_topics:td_targets")
    told = in_process(function, find("td_error"), arrays="torch", layout="columns")
    assert told.arrays == "torch"
    assert "column by column" in told.mapping
    agree(told, find("td_error"))
    with pytest.raises(CallError, match="layout came as 'sideways', wanted one of time-major"):
        in_process(function, find("td_error"), layout="sideways")
    with pytest.raises(CallError, match="arrays came as 'cupy', wanted one of numpy, torch, jax"):
        in_process(function, find("td_error"), arrays="cupy")


def test_parameters_left_at_their_defaults_are_named():
    def gae(rewards, values, next_values, terminated, truncated, gamma, lam, standardize=False):
        assert standardize is False
        return rewards + 0

    assert "standardize at default" in in_process(gae, find("gae")).mapping


# --- misbehaviour that a process survives ------------------------------------------------

MISBEHAVIOUR = {
    "raises": ("raised", r"raises: raised KeyError: 'no such buffer'\."),
    "exits_politely": ("raised", r"exits_politely: raised SystemExit: enough\."),
    "overwrites": ("overwrote", "its argument rewards came back changed, .* work on a copy"),
    "aliases": ("aliased", "returns shares memory with the argument values"),
    "wrong_shape": ("shape", r"advantages came with shape \(4,\), wanted \(3,\), .* of rewards"),
    "wrong_dtype": ("dtype", "returned float32 for float64 inputs; check it with dtype float32"),
    "returns_none": ("type", r"returned NoneType, wanted .* shape .*return statement missing\?"),
    "returns_text": ("type", "advantages came as str, wanted an array of numbers"),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_misbehaviour_has_a_name(name, monkeypatch):
    monkeypatch.syspath_prepend(strangers_folder())
    kind, sentence = MISBEHAVIOUR[name]
    candidate = in_process(stranger(f"misbehaving:{name}"), find("gae"), layout="columns")
    result = candidate.run([misbehaving_case(candidate)], "float64")[0]
    assert result.failure.kind == kind
    assert re.search(sentence, result.failure.sentence)
    readable = kind in ("overwrote", "aliased", "dtype")
    assert (result.outputs is not None) == readable
    if kind == "raised":
        assert f"in {name}" in result.failure.detail


def test_numbers_are_kept_where_something_else_is_wrong(monkeypatch):
    monkeypatch.syspath_prepend(strangers_folder())
    for name in ("overwrites", "aliases", "wrong_dtype", "prints"):
        candidate = in_process(stranger(f"misbehaving:{name}"), find("gae"))
        case = misbehaving_case(candidate)
        result = candidate.run([case], "float64")[0]
        wanted = find("gae").reference(**case.arguments).advantages
        assert np.array_equal(result.outputs["advantages"], wanted)


def test_nan_is_no_failure(monkeypatch):
    monkeypatch.syspath_prepend(strangers_folder())
    candidate = in_process(stranger("misbehaving:not_a_number"), find("gae"), layout="columns")
    result = candidate.run([misbehaving_case(candidate)], "float64")[0]
    assert result.failure is None
    assert np.isnan(result.outputs["advantages"]).all()
    assert np.isinf(result.outputs["returns"]).all()


def test_prints_are_caught_and_cut(monkeypatch, capfd):
    monkeypatch.syspath_prepend(strangers_folder())
    candidate = in_process(stranger("misbehaving:prints_a_lot"), find("gae"))
    result = candidate.run([misbehaving_case(candidate)], "float64")[0]
    assert result.failure is None
    assert len(result.printed) == 2000
    assert capfd.readouterr() == ("", "")


def test_warnings_are_no_failures():
    def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
        return np.log(-np.abs(rewards))

    candidate = in_process(gae, find("gae"))
    assert candidate.run([drawn(find("gae"), (3, 2), 0)], "float64")[0].failure is None


def test_an_interrupt_is_the_users(monkeypatch):
    monkeypatch.syspath_prepend(strangers_folder())
    with pytest.raises(KeyboardInterrupt):
        in_process(stranger("misbehaving:interrupts"), find("gae"))


def test_torch_writes_and_aliases_are_noticed():
    def scales_in_place(rewards, values, next_values, terminated, truncated, gamma, lam):
        rewards.mul_(gamma)
        return rewards.clone()

    def returns_a_view(rewards, values, next_values, terminated, truncated, gamma, lam):
        return values.view(-1).view(values.shape)

    for function, kind in ((scales_in_place, "overwrote"), (returns_a_view, "aliased")):
        candidate = in_process(function, find("gae"), arrays="torch")
        result = candidate.run([drawn(find("gae"), (3, 2), 0)], "bfloat16")[0]
        assert result.failure.kind == kind


def test_lists_of_python_floats_are_float64():
    candidate = made("one_dimensional:discount_cumsum", here)
    case = candidate.project(drawn(find("discounted_return"), (3, 2), 0))
    assert candidate.run([case], "float64")[0].dtype == "float64"
