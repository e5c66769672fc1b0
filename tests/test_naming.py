"""What names and declarations mean, and what is said where they mean too much or nothing."""

import re
from pathlib import Path

import numpy as np
import pytest

from rlverify.calling import CallError, in_process
from rlverify.calling.declaration import parse
from rlverify.calling.expression import SOURCES
from rlverify.calling.synonyms import SYNONYMS
from rlverify.contracts import find
from stranger_cases import drawn

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


def test_the_documentation_lists_every_source():
    text = (Path(__file__).parents[1] / "docs" / "calling.md").read_text(encoding="utf-8")
    known = set(SOURCES) | set(SYNONYMS) - {"advantages"}
    assert {name for name in known if f"`{name}`" not in text} == set()
