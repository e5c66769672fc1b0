"""Conformance tests: what pytest shows of a function, and when it judges it."""

import re
import subprocess
import sys

import pytest

import rlverify.testing
from rlverify.citations import citation
from rlverify.contracts import find

pytest_plugins = ["pytester"]

SETTINGS = """
[pytest]
strict = true
filterwarnings = error
"""
CANDIDATES = """
import numpy as np

calls = 0

def good(rewards, values, next_values, terminated, gamma):
    global calls
    calls += 1
    return rewards + gamma * np.where(terminated, 0, next_values) - values

def bad(rewards, values, next_values, terminated, gamma):
    return rewards + gamma * next_values - values

def raising(rewards, values, next_values, terminated, gamma):
    raise RuntimeError("boom")

def odd(a, b, c, d, e):
    return good(a, b, c, d, e)

def half(rewards, values, next_values, terminated, gamma):
    return good(rewards, values, next_values, terminated, gamma) / 2

def batch_major(rewards, next_values, terminated, truncated, gamma):
    returns, following = np.zeros_like(rewards), next_values[:, -1]
    for t in reversed(range(rewards.shape[1])):
        ahead = np.where(truncated[:, t], next_values[:, t], following)
        following = rewards[:, t] + gamma * np.where(terminated[:, t], 0, ahead)
        returns[:, t] = following
    return returns
"""
CALL = "odd(rewards, values, next_values, terminated, gamma)"
CONTRACT = find("td_error")
LAWS = [f"law: {law.name}" for law in CONTRACT.laws]
EXAMPLES = [f"example: {example.name}" for example in CONTRACT.examples]
BUGS = [
    f"is not {entry.id} {entry.name}"
    for entry in dict.fromkeys(citation(bug.id) for bug in CONTRACT.known_bugs)
]


class Results(dict[str, pytest.TestReport]):
    """Reports by test id."""

    def which(self, outcome: str) -> set[str]:
        return {name for name, report in self.items() if report.outcome == outcome}

    def text(self, name: str) -> str:
        return self[name].longreprtext


@pytest.fixture
def results(pytester: pytest.Pytester):
    """Run a module of conformance tests and return its reports."""

    def run(lines: str) -> Results:
        pytester.makeini(SETTINGS)
        pytester.makepyfile(theirs=CANDIDATES)
        pytester.syspathinsert()
        pytester.makepyfile(
            test_theirs="import rlverify.testing\nimport theirs\n"
            "from rlverify.testing import conformance\n" + lines
        )
        found = Results()
        for report in pytester.inline_run("-p", "no:cacheprovider").getreports():
            if isinstance(report, pytest.TestReport) and (
                report.when == "call" or report.outcome != "passed"
            ):
                found[report.nodeid.partition("::")[2]] = report
        return found

    return run


def test_one_id_a_check(results):
    found = results("test_it = conformance('td_error', theirs.good, budget=20)")
    names = ["reference", "behaviour: raised", "behaviour: aliased", *LAWS, *EXAMPLES, *BUGS]
    assert {f"test_it[{name}]" for name in names} <= set(found)
    assert found.which("failed") == set()
    # a call with one discount cannot express one discount a step
    skipped = {"test_it[law: gamma-per-step]"}
    assert found.which("skipped") <= skipped
    assert found.which("passed") >= set(found) - skipped


def test_judged_once_and_not_before_a_test_runs(results):
    found = results("""
test_it = conformance('td_error', theirs.good, budget=5)
assert theirs.calls == 0
seen = []
def test_afterwards():
    seen.append(theirs.calls)
    assert theirs.calls > 0
test_again = test_it
def test_still():
    assert [theirs.calls] == seen
""")
    assert found.which("failed") == set()
    assert "test_still" in found
    assert "test_again[reference]" in found


def test_each_failure_tells_its_own_story(results):
    found = results("test_it = conformance('td_error', theirs.bad, budget=40)")
    failed = found.which("failed")
    assert "test_it[reference]" in failed
    assert "test_it[law: terminal-value-unread]" in failed
    assert "test_it[is not A4 bootstrap-not-masked]" in failed
    assert "test_it[law: reward-scale]" not in failed
    assert not any("is not" in name and "A4" not in name for name in failed)
    for name in failed:
        told = found.text(name)
        assert "WRONG(A4): adds the value of the next state although the episode" in told
        assert "https://github.com/thu-ml/tianshou/issues/869" in told
        assert "import rlverify\nfrom theirs import bad\n" in told
        assert "Traceback" not in told
        wanted, got = re.findall(r"^# (?:wanted|got) .* = (.*)$", told, re.MULTILINE)
        assert wanted != got  # the input shows what is wrong
    law = found.text("test_it[law: terminal-value-unread]")
    (sentence,) = (x.sentence for x in CONTRACT.laws if x.name == "terminal-value-unread")
    assert law.startswith(sentence)
    assert re.search(r"fails on \d+ of \d+ cases", law)


def test_the_program_runs_where_the_call_was_declared(results, pytester: pytest.Pytester):
    call = CALL.replace("odd", "wrong")
    pytester.makepyfile(
        more="import theirs\ndef wrong(a, b, c, d, e):\n    return theirs.bad(a, b, c, d, e)\n"
    )
    found = results(
        f"import more\ntest_it = conformance('td_error', more.wrong, call={call!r}, budget=40)"
    )
    told = found.text("test_it[reference]")
    program = told[told.index("import numpy as np") :]
    pytester.makepyfile(shown=program)
    ran = subprocess.run([sys.executable, "shown.py"], capture_output=True, text=True, check=True)
    assert ran.stdout.count("array") == 2


def test_a_candidate_without_numbers_holds_no_law(results):
    found = results("test_it = conformance('td_error', theirs.raising, budget=5)")
    assert found.which("failed") >= {
        f"test_it[{name}]" for name in ["reference", "behaviour: raised", *LAWS, *BUGS]
    }
    assert "boom" in found.text("test_it[law: reward-scale]")
    assert "test_it[behaviour: overwrote]" in found.which("passed")


def test_expected_failures(results):
    found = results("""
test_it = conformance('td_error', theirs.bad, budget=40, expected_failures={
    'reference': 'we know', 'law: terminal-value-unread': 'we know that too',
    'is not A4 bootstrap-not-masked': 'named', 'law: reward-scale': 'long ago',
})
""")
    assert found["test_it[reference]"].outcome == "skipped"
    assert found["test_it[reference]"].wasxfail == "we know"
    assert found["test_it[law: terminal-value-unread]"].wasxfail == "we know that too"
    assert found["test_it[is not A4 bootstrap-not-masked]"].wasxfail == "named"
    stale = found["test_it[law: reward-scale]"]
    assert stale.outcome == "failed"
    assert "law: reward-scale is expected to fail (long ago), but it holds: remove it" in (
        stale.longreprtext
    )


def test_a_call_that_is_not_clear_is_no_expected_failure(results):
    found = results("""
test_it = conformance('td_error', theirs.odd, expected_failures={'reference': 'we know'})
""")
    assert found.which("failed") == set(found)
    for name in found:
        assert found.text(name).startswith("odd: what its parameter a means is not known")


def test_declared_factor(results):
    found = results("""
from fractions import Fraction
test_plain = conformance('td_error', theirs.half, budget=20)
test_declared = conformance('td_error', theirs.half, budget=20, factor=Fraction(1, 2))
""")
    failed = found.which("failed")
    assert "test_plain[reference]" in failed
    assert not any(name.startswith("test_declared") for name in failed)


def test_inferred_convention_has_to_be_declared(results):
    found = results("""
def held(**how):
    return conformance('discounted_return', theirs.batch_major, budget=20, **how)
test_plain = held()
test_declared = held(conventions=['layout=batch-major'])
""")
    assert found.which("failed") == {"test_plain[reference]"}
    told = found.text("test_plain[reference]")
    assert told.startswith("CONVENTION(layout=batch-major): ")
    assert "declare it to pass" in told


@pytest.mark.parametrize(
    ("contract", "options", "told"),
    [
        ("td_eror", {}, "did you mean td_error"),
        ("td_error", {"law: reward-scal": "why"}, "no check 'law: reward-scal'; did you mean"),
        ("td_error", {"reference": " "}, "wanted the reason why it fails"),
        ("td_error", {"reference": None}, "came as None, wanted the reason"),
    ],
)
def test_definitions_that_are_refused(contract: str, options: dict[str, str], told: str):
    with pytest.raises(ValueError, match=re.escape(told)):
        rlverify.testing.conformance(contract, print, expected_failures=options)


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="function came as int"):
        rlverify.testing.conformance("td_error", 3)


def test_works_on_several_processes(pytester: pytest.Pytester):
    pytester.makeini(SETTINGS)
    pytester.makepyfile(theirs=CANDIDATES)
    pytester.makepyfile(
        test_theirs="import rlverify.testing, theirs\n"
        "test_it = rlverify.testing.conformance('td_error', theirs.good, budget=5)\n"
        "test_text = rlverify.testing.conformance('td_error', 'theirs:good', budget=5)\n"
    )
    ran = pytester.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider")
    outcomes = ran.parseoutcomes()
    assert outcomes["passed"] + outcomes.get("skipped", 0) == 2 * len(
        rlverify.testing._Conformance(CONTRACT, print, {}, {}).names
    )
