"""Functions in the shapes people write are called as they want to be, and judged exactly.

All numbers are multiples of 1/4 and discounts are 1/2, so that short recordings are computed
without a rounding, in float64 and in float32: results are compared for equality.
"""

import importlib
import re

import numpy as np
import pytest

from rlverify.calling import CallError, in_process
from rlverify.contract import Case, Contract
from rlverify.contracts import find, names
from rlverify.declaration import parse

SHAPES = ((1, 1), (1, 3), (4, 1), (3, 3), (6, 2))


def drawn(contract: Contract, shape: tuple[int, int], seed: int) -> Case:
    """Return a case with every kind of end; no two numbers of an array are equal."""
    rng = np.random.default_rng(seed)
    arguments = {}
    for item in contract.arguments:
        if item.kind == "float":
            arguments[item.name] = rng.permutation(np.arange(1.0, 1 + shape[0] * shape[1])) / 4
            arguments[item.name] = (arguments[item.name] * rng.choice([-1, 1])).reshape(shape)
        elif item.kind in ("flag", "mask"):
            arguments[item.name] = rng.random(shape) < 0.3
        else:
            arguments[item.name] = 2 if item.kind == "count" else 0.5
    if "mask" in arguments:
        arguments["mask"][-1, -1] = True
    return Case(arguments)


def stranger(path: str) -> object:
    module, _, names = path.partition(":")
    value = importlib.import_module(f"strangers.{module}")
    for name in names.split("."):
        value = getattr(value, name)
        value = value() if isinstance(value, type) else value
    return value


# function: contract, declared call, words of the mapping
STRANGERS = {
    "one_dimensional:compute_gae": ("gae", None, "last_value=next_values[-1]; column by column"),
    "one_dimensional:returns_first": ("gae", None, "-> returns, advantages; column by column"),
    "one_dimensional:discount_cumsum": ("discounted_return", None, "-> returns; numpy"),
    "extended_values:calculate_advantages": (
        "gae",
        "calculate_advantages(rewards, values+bootstrap, done:after, gamma, lam)",
        "advantages=adv, returns=value_targets; numpy",
    ),
    "extended_values:nothing_follows": (
        "gae",
        "nothing_follows(rewards, not_done:after, values, gamma, lam)",
        "tau=lam; -> advantages; numpy",
    ),
    "batch_first:gae": ("gae", None, "torch; batch-major"),
    "batch_first:with_bootstrap": ("gae", None, "torch; batch-major; flags as floats"),
    "rlax_like:truncated_generalized_advantage_estimation": (
        "gae",
        "truncated_generalized_advantage_estimation"
        "(rewards, discounts, lam, values+bootstrap) -> advantages",
        "discount_t=gamma*(1-terminated); jax; column by column",
    ),
    "rlax_like:lambda_returns": (
        "lambda_return",
        "lambda_returns(rewards, discounts, v_t=next_values, lambda_=lam)",
        "r_t=rewards; v_t=next_values; jax",
    ),
    "rlax_like:td_learning": ("td_error", None, "v_tm1=values; v_t=next_values; jax"),
    "cleanrl_like:compute": ("gae", None, "done:start; next_done=(terminated|truncated)[-1]"),
    "cleanrl_like:no_next_done": ("gae", None, "done:start; torch; flags as floats"),
    "in_classes:Estimator.estimate": ("gae", None, "advantages=advantage, returns=targets"),
    "in_classes:Estimator.as_pair": ("gae", None, "discount=gamma; advantages=adv, returns"),
    "in_classes:Estimator.built_in": (
        "gae",
        "built_in(rewards, values, bootstrap, done:after) where gamma=0.5, lam=0.5",
        "where gamma=0.5, lam=0.5",
    ),
    "other_topics:td_targets": ("td_error", None, "discount_factor=gamma; numpy"),
    "other_topics:bootstrapped": ("discounted_return", None, "last_value=next_values[-1]"),
    "other_topics:dreamer": ("lambda_return", None, "pcont=gamma*(1-terminated); numpy"),
    "other_topics:n_step": ("n_step_return", None, "terminations=terminated; n_steps=n; numpy"),
    "other_topics:token_gae": ("sequence_gae", None, "response_mask=mask; torch; row by row"),
    "other_topics:token_gae_time_major": ("sequence_gae", None, "numpy; time-major"),
    "other_topics:normalize": (
        "normalize_advantages",
        "normalize(advantages) where ddof=0, eps=0.5",
        "adv=advantages",
    ),
}


def made(path: str, make):
    contract_name, call, _ = STRANGERS[path]
    return make(path, find(contract_name), call)


def here(path: str, contract: Contract, call: str | None):
    return in_process(stranger(path), contract, call=call)


def agree(candidate, contract: Contract) -> None:
    cases = [
        candidate.project(drawn(contract, shape, seed)) for shape in SHAPES for seed in range(8)
    ]
    if contract.name == "normalize_advantages":  # a root is not exact; these two are
        cases = [Case({**cases[0].arguments, "advantages": np.array([[1.0, 3.0], [3.0, 1.0]])})]
    results = candidate.run(cases, candidate.dtypes[0])
    for case, result in zip(cases, results, strict=True):
        assert result.failure is None, result.failure.sentence
        wanted = contract.named(contract.reference(**case.arguments))
        for name in candidate.outputs:
            assert np.array_equal(result.outputs[name], wanted[name]), (name, case)


@pytest.mark.parametrize("path", STRANGERS)
def test_stranger_agrees_with_the_reference(path):
    contract = find(STRANGERS[path][0])
    candidate = made(path, here)
    agree(candidate, contract)
    for words in STRANGERS[path][2].split("; "):
        assert words in candidate.mapping
    layout = re.search(r"(batch|time)-major", STRANGERS[path][2])
    assert candidate.conventions == ((f"layout={layout[0]}",) if layout else ())


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("face", ["reference", "fast"])
def test_own_functions_take_every_case(name, face):
    contract = find(name)
    candidate = in_process(getattr(contract, face), contract)
    assert candidate.outputs == contract.outputs
    assert candidate.notes == ()
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


def test_both_flags_at_once_are_told_apart_from_truncation():
    def f(rewards, values, next_values, done, truncated, gamma, lam): ...

    call = "f(rewards, values, next_values, done:after, truncated, gamma, lam)"
    candidate = in_process(f, find("gae"), call=call)
    on = np.ones((2, 2), bool)
    case = drawn(find("gae"), (2, 2), 0).but(terminated=on, truncated=on)
    projected = candidate.project(case)
    assert projected["terminated"].all()
    assert not projected["truncated"].any()


# --- ambiguity ------------------------------------------------------------------------


def two_flags(rewards, values, next_values, dones, truncateds, gamma, lam): ...
def bare_values(rewards, values, dones, gamma, lam): ...
def single_mask(rewards, values, next_values, mask, gamma, lam): ...
def odd_name(rewards, values, next_values, dones, gamma, trust): ...
def two_odd_names(rewards, values, next_values, dones, x, *, y, verbose=False): ...
def no_gamma(rewards, values, next_values, dones, lam): ...
def lone_discount(rewards, values, next_values, discount, lam): ...
def both_discounts(rewards, values, next_values, discounts, gamma, lam): ...
def starts_and_dones(rewards, values, episode_starts, dones, last_values, gamma, lam): ...
def twice(rewards, values, old_values, next_values, dones, gamma, lam): ...
def three_odd_names(rewards, x, y, z): ...
def too_many_names(rewards, values, next_values, dones, gamma, lam, logger, step): ...
def odd_bootstrap(rewards, values, dones, tail, gamma, lam): ...


@pytest.mark.parametrize(
    ("function", "readings"),
    [
        (bare_values, ["values+bootstrap, done:after", "values, done:after"]),
        (two_flags, ["next_values, terminated, truncated", "next_values, done:after, truncated"]),
        (single_mask, ["not_done:after", "not_done:start"]),
        (odd_name, ["done:after, gamma, lam)"]),
        (two_odd_names, ["gamma, y=lam", "lam, y=gamma"]),
        (no_gamma, ["where gamma=0.99"]),
        (lone_discount, ["next_values, gamma, lam", "next_values, discounts, lam"]),
        (both_discounts, ["discounts, gamma", "not_terminated, gamma"]),
        (starts_and_dones, ["done:start, next_done", "done:start, done:after"]),
        (twice, ["values, values, next_values"]),
        (three_odd_names, ["rewards, values, gamma, lam"]),
        (too_many_names, ["gamma, lam, None, None"]),
        (odd_bootstrap, ["done:after, bootstrap, gamma", "done:after, next_values, gamma"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_ambiguous_names_are_refused_with_lines_that_work(function, readings):
    with pytest.raises(CallError) as caught:
        in_process(function, find("gae"))
    message = str(caught.value)
    assert message.startswith(function.__name__)
    lines = re.findall(r'--call "(.*?)"', message)
    assert len(lines) == len(readings)
    for line, words in zip(lines, readings, strict=True):
        assert words in line
        in_process(function, find("gae"), call=line)  # resolves


def test_function_without_a_readable_signature_needs_a_declaration():
    with pytest.raises(CallError, match="signature cannot be read"):
        in_process(max, find("gae"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("f(rewards, values", "wanted a form such as"),
        ("f(rewards, dones, gamma)", r"done:after .* or done:start"),
        ("f(rewards, speed, gamma)", "wanted one of rewards, values"),
        ("f(rewards, b=values, c=gamma)", "nothing takes lam"),
        ("f(rewards, z=values)", "z came as a parameter, wanted one of a, b, c"),
        ("f(rewards, a=values)", "a is given twice"),
        ("f(rewards)", "nothing is given to b, c"),
        ("f(rewards, values, gamma, lam)", "4 arguments came by position, wanted at most 3"),
        ("f(rewards, values, gamma) where lam=high", "wanted name=number"),
        ("f(rewards, values, gamma) where loss=1", "wanted a number for one of gamma, lam"),
        ("f(rewards, values, gamma) -> _", "names no output"),
        ("f(rewards, values, gamma) -> speed where lam=1", "wanted one of advantages, returns"),
    ],
    ids=map(str, range(12)),
)
def test_declarations_that_do_not_fit_say_why(call, words):
    def f(a, b, c):
        return a

    with pytest.raises(CallError, match=words):
        in_process(f, find("gae"), call=call)


def test_declaration_grammar():
    declared = parse(
        "pkg.f(rewards, tau = lam, flag=True, n=3, mode='x') -> _, returns=vs where eps=1e-8"
    )
    assert [(item.parameter, item.source, item.constant) for item in declared.arguments] == [
        ("", "rewards", None),
        ("tau", "lam", None),
        ("flag", "", True),
        ("n", "", 3),
        ("mode", "", "x"),
    ]
    assert declared.outputs == (("", ""), ("returns", "vs"))
    assert declared.fixed == (("eps", 1e-8),)


# --- results --------------------------------------------------------------------------


def returning(make):
    def f(rewards, values, next_values, terminated, truncated, gamma, lam):
        return make(rewards, values)

    return f


@pytest.mark.parametrize(
    ("make", "call_end", "wanted"),
    [
        (lambda r, v: r + 0, "", {"advantages": "rewards"}),
        (lambda r, v: (r + 0, v + 0), "", {"advantages": "rewards", "returns": "values"}),
        (
            lambda r, v: (r + 0, v + 0),
            " -> returns, advantages",
            {"returns": "rewards", "advantages": "values"},
        ),
        (lambda r, v: (1, r, v + 0), " -> _, _, returns", {"returns": "values"}),
        (lambda r, v: r + 0, " -> returns", {"returns": "rewards"}),
        (lambda r, v: {"gae": v + 0, "x": r}, "", {"advantages": "values"}),
        (
            lambda r, v: {"y": v + 0, "x": r + 0},
            " -> advantages=x, returns=y",
            {"advantages": "rewards", "returns": "values"},
        ),
        (lambda r, v: list(r + 0), "", {"advantages": "rewards"}),
    ],
    ids=[
        "bare",
        "pair",
        "pair-declared",
        "triple",
        "bare-declared",
        "dict",
        "dict-declared",
        "list",
    ],
)
def test_results_are_read_by_name_then_by_order(make, call_end, wanted):
    call = "f(rewards, values, next_values, terminated, truncated, gamma, lam)" + call_end
    candidate = in_process(returning(make), find("gae"), call=call)
    case = drawn(find("gae"), (4, 3), 0)
    result = candidate.run([case], "float64")[0]
    assert result.failure is None
    assert set(candidate.outputs) == set(wanted)
    for output, argument in wanted.items():
        assert np.array_equal(result.outputs[output], case[argument])


@pytest.mark.parametrize(
    "make", [lambda r, v: (r, v, v), lambda r, v: {"x": r, "y": v}], ids=["tuple", "dict"]
)
def test_results_that_cannot_be_told_apart_are_refused(make):
    with pytest.raises(CallError, match=r"returned .*, wanted advantages and returns\. Say where"):
        in_process(returning(make), find("gae"))


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


def misbehaving_case(candidate) -> Case:
    return candidate.project(drawn(find("gae"), (3, 2), 0))


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


def strangers_folder() -> str:
    return str(importlib.import_module("strangers").__path__[0])


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


def test_arguments_of_a_case_are_never_touched(monkeypatch):
    monkeypatch.syspath_prepend(strangers_folder())
    candidate = in_process(stranger("misbehaving:overwrites"), find("gae"), layout="time-major")
    case = misbehaving_case(candidate)
    before = case.key()
    candidate.run([case, case], "float64")
    assert case.key() == before


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
