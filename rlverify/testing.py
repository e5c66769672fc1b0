"""Conformance tests for pytest: one test id for everything a function is held to.

    import rlverify.testing
    from mine import compute

    test_gae = rlverify.testing.conformance("gae", compute)

pytest then shows `test_gae[reference]`, `test_gae[law: terminated-wins]`, one for each
example and each kind of misbehaviour, and `test_gae[is not A1 mask-next-done]` for each known
bug. The function is judged once, when the first of them runs; each then tells its own result.
No plugin is needed, and every process of pytest-xdist judges for itself.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any

import pytest

from rlverify.calling import Candidate
from rlverify.checking import Report, judge_case, truth
from rlverify.citations import citation
from rlverify.contract import Case, Contract
from rlverify.contracts import find
from rlverify.demonstration import smallest_case, snippet
from rlverify.derivation import GRADIENTS
from rlverify.examination import check, open_candidate
from rlverify.judging import Verdict
from rlverify.preparation import check_names, refuse_unknown_checks
from rlverify.tallying import Tally

__all__ = ["conformance"]

BUDGET = 100


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """What came of one check.

    Attributes:
        holds: whether it holds; None where it could say nothing.
        story: what a failing test prints.
    """

    holds: bool | None
    story: str = ""


@dataclasses.dataclass
class _Conformance:
    """A function held to a contract, judged when it is first asked for."""

    contract: Contract
    function: Callable[..., Any] | str
    how: Mapping[str, Any]  # how it is called: `call`, `arrays`, `layout`
    options: Mapping[str, Any]  # the other options of `rlverify.check`

    @cached_property
    def bugs(self) -> dict[str, str]:
        """Return the id of each known bug by the name of the check that rules it out."""
        found = [citation(bug.id) for bug in self.contract.known_bugs]
        return {f"is not {entry.id} {entry.name}": entry.id for entry in found}

    @property
    def names(self) -> list[str]:
        """Return the name of every check."""
        return [*check_names(self.contract), *self.bugs]

    @cached_property
    def judged(self) -> Verdict | ValueError:
        """Return the verdict, or why there is none: a refusal is remembered like a verdict."""
        try:
            return check(self.function, self.contract.name, **self.how, **self.options)
        except ValueError as refusal:
            return refusal

    def outcome(self, name: str, verdict: Verdict) -> _Outcome:
        """Return what the verdict says about one check."""
        if name in self.bugs:
            return self._bug(verdict, self.bugs[name])
        tally = next((tally for tally in verdict.tallies if tally.check == name), None)
        if name == "reference" and not verdict.ok and not verdict.broken:
            return _Outcome(False, _story(verdict, verdict.counterexample))  # undecidable and such
        if tally is None:  # it gave no numbers at all
            return _Outcome(False, _story(verdict, ""))
        if not tally.applied:
            return _Outcome(None, "the call cannot express what this check needs")
        # under a declared reading the reference is not what it is meant to equal
        if verdict.ok or not tally.failed:
            return _Outcome(True)
        if name == verdict.broken[0] or tally.check.startswith("behaviour"):
            return _Outcome(False, _told(tally) + _story(verdict, verdict.counterexample))
        return _Outcome(False, _told(tally) + _story(verdict, self._program(verdict, tally)))

    def _bug(self, verdict: Verdict, bug_id: str) -> _Outcome:
        numbers = any(tally.check.startswith("law") for tally in verdict.tallies)
        if numbers and bug_id not in {entry.id for entry in verdict.citations}:
            return _Outcome(True)
        return _Outcome(False, _story(verdict, verdict.counterexample))

    def _program(self, verdict: Verdict, tally: Tally) -> str:
        """Return a program with the smallest input on which one check fails."""
        candidate, target = open_candidate(self.function, self.contract, **self.how)
        try:
            # a law is shrunk from the case that it failed on, so the others are not needed
            report = Report(self.contract, verdict.dtype, [], [], [])
            case = smallest_case(report, candidate, tally)
            if case is not None and tally.check in GRADIENTS:
                return snippet(self.contract, candidate, case, verdict.dtype, target, gradient=True)
            if case is None or not self._differs(candidate, case, verdict.dtype):
                return verdict.counterexample
            return snippet(self.contract, candidate, case, verdict.dtype, target)
        finally:
            candidate.close()

    def _differs(self, candidate: Candidate, case: Case, dtype: str) -> bool:
        """Whether the case itself shows a difference: a law may break on a relative of it."""
        (result,) = candidate.run([case], dtype)
        return judge_case(case, result, truth(self.contract, case, dtype), "")[0] is not None

    def finish(self, story: str) -> str:
        """Return a story whose program can be copied into a file of its own."""
        name = getattr(self.function, "__qualname__", "")
        module = getattr(self.function, "__module__", None)
        if not name.isidentifier() or module in (None, "__main__"):
            return story  # made inside another function, or named by a text already
        line = "import rlverify\n"
        return story.replace(line, f"{line}from {module} import {name}\n", 1)


def _told(tally: Tally) -> str:
    failure = tally.finding.failure if tally.finding else None
    happened = f"\n{failure.sentence}" if failure else ""
    return f"{tally.sentence}: fails on {tally.failed} of {tally.applied} cases{happened}\n"


def _story(verdict: Verdict, program: str) -> str:
    """Return the verdict in a few lines, and the program that shows it."""
    lines = [
        f"{verdict.title}: {verdict.diagnosis}",
        *(e.link for e in verdict.citations if e.link),
    ]
    lines.append(f"called as {verdict.call}")
    lines += verdict.notes
    if program:
        lines += ["", "# the smallest input found that shows it, as a program", program]
    return "\n".join(lines)


def conformance(
    contract: str,
    function: Callable[..., Any] | str,
    *,
    call: str | None = None,
    arrays: str | None = None,
    layout: str | None = None,
    dtype: str | None = None,
    budget: int = BUDGET,
    seed: int = 0,
    conventions: Sequence[str] = (),
    factor: Fraction | None = None,
    time_limit: float = 10.0,
    expected_failures: Mapping[str, str] | None = None,
) -> Callable[[str], None]:
    """Return a test function with one test id a check; assign it to a name `test_...`.

    Args:
        contract: what the function is held to, such as `"gae"`.
        function: the function, or a text that names it as `MODULE:FUNCTION`; then it runs in a
            worker process, and may hang or crash.
        call: as for `rlverify.check`.
        arrays: as for `rlverify.check`.
        layout: as for `rlverify.check`.
        dtype: as for `rlverify.check`.
        budget: number of drawn cases.
        seed: of the draws.
        conventions: declared readings, `"axis=value"`.
        factor: declared constant bias.
        time_limit: seconds for one call, where it runs in a worker.
        expected_failures: check → the reason why it fails. Such a test is reported as xfail; once
            the check holds, it fails and asks to be removed from here.

    Raises:
        ValueError: no such contract or check, or an expected failure without a reason.
        TypeError: `function` is neither callable nor a text.
    """
    how = {"call": call, "arrays": arrays, "layout": layout}
    options = {
        "dtype": dtype,
        "budget": budget,
        "seed": seed,
        "conventions": conventions,
        "factor": factor,
        "time_limit": time_limit,
    }
    if not (callable(function) or isinstance(function, str)):
        raise TypeError(
            f"conformance: function came as {type(function).__name__}, wanted a function or a "
            "'MODULE:FUNCTION' text."
        )
    held = _Conformance(find(contract), function, how, options)
    expected = dict(expected_failures or {})
    refuse_unknown_checks("conformance: expected_failures", expected, held.names)
    for name, reason in expected.items():
        if not (isinstance(reason, str) and reason.strip()):
            raise ValueError(
                f"conformance: expected_failures[{name!r}] came as {reason!r}, wanted the reason "
                "why it fails."
            )

    @pytest.mark.parametrize("check", held.names)
    def test(check: str) -> None:
        if isinstance(held.judged, ValueError):  # not what anybody expects of a check
            pytest.fail(str(held.judged), pytrace=False)
        outcome = held.outcome(check, held.judged)
        if outcome.holds is False and check in expected:
            pytest.xfail(expected[check])
        if outcome.holds is False:
            pytest.fail(held.finish(outcome.story), pytrace=False)
        if check in expected:
            pytest.fail(
                f"{check} is expected to fail ({expected[check]}), but it "
                f"{'holds' if outcome.holds else 'says nothing'}: remove it from "
                "expected_failures.",
                pytrace=False,
            )
        if outcome.holds is None:
            pytest.skip(outcome.story)

    test.__doc__ = f"{inspect.getdoc(function) or ''}\n\nHeld to the contract {contract}.".strip()
    return test
