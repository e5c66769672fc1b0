"""Diagnosis: which known mistake a candidate makes, and which checks each mistake is killed by.

A known bug is an edit of the reference's own source. The edited function is run on the same
inputs; a candidate that agrees with it everywhere, within the edited function's own rounding
bounds, makes that mistake.
"""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rlverify.calling import Candidate, Result
from rlverify.checking import (
    HARD,
    MISBEHAVIOUR,
    LawSubject,
    check_behaviour,
    check_examples,
    check_law,
    truth,
)
from rlverify.citations import Citation, citation
from rlverify.comparison import Truth, agrees, truth_of
from rlverify.contract import Case, Contract, Convention, KnownBug
from rlverify.editing import EditError, edited
from rlverify.rounding import PRECISIONS
from rlverify.twinning import Canonical

Nearest = Callable[[Case], Case] | None

LEAST_VISIBLE = 0.10  # a known bug that fewer draws show is too easily missed


def mutant(contract: Contract, bug: KnownBug) -> Callable[..., Any]:
    """Return the reference with a known bug edited into it."""
    return edited(contract.reference, bug.edits, bug.helper)


# every explanation of a candidate is tried on the same few cases, and so is the next candidate's
_ANSWERS: OrderedDict[tuple[Any, ...], Truth | None] = OrderedDict()
_REMEMBERED = 5000


class Answers:
    """What a function generic like the reference answers, with bounds; None where it fails."""

    def __init__(self, contract: Contract, function: Callable[..., Any], dtype: str) -> None:
        self.contract = contract
        self.function = function
        self.dtype = dtype

    def __call__(self, case: Case) -> Truth | None:
        """Return the answer to a case, or None where it raises or has another shape."""
        key = (self.contract.name, self.function, self.dtype, case.key())
        if key not in _ANSWERS:
            _ANSWERS[key] = self._answer(case)
            if len(_ANSWERS) > _REMEMBERED:
                _ANSWERS.popitem(last=False)
        return _ANSWERS[key]

    def _answer(self, case: Case) -> Truth | None:
        try:
            known = truth_of(self.contract, case, PRECISIONS[self.dtype], self.function)
        except Exception:
            return None
        wanted = truth(self.contract, case, self.dtype)
        if any(known.value[k].shape != wanted.value[k].shape for k in known.value):
            return None
        return known


def _same(result: Result, answer: Truth | None) -> bool:
    failed = result.outputs is None or (result.failure and result.failure.kind in HARD)
    if answer is None or failed:
        return answer is None and bool(failed)
    return agrees(result.outputs or {}, answer)


class Evidence:
    """What a candidate returned, the most telling cases first.

    Attributes:
        cases: cases on which it is wrong before those on which it is right, small before large:
            most explanations fail on the first.
        results: what it returned on them.
        wrong: how many of them are wrong.
    """

    def __init__(
        self, contract: Contract, cases: Sequence[Case], results: Sequence[Result], dtype: str
    ) -> None:
        self.contract = contract
        self.dtype = dtype
        right = [
            _same(result, truth(contract, case, dtype))
            for case, result in zip(cases, results, strict=True)
        ]
        order = sorted(range(len(cases)), key=lambda i: (right[i], cases[i].size))
        self.cases = [cases[i] for i in order]
        self.results = [results[i] for i in order]
        self.wrong = right.count(False)

    def explained_by(self, function: Callable[..., Any], nearest: Nearest = None) -> bool:
        """Whether a function generic like the reference gives all of the (nearest) results."""
        answers = Answers(self.contract, function, self.dtype)
        every = zip(self.cases, self.results, strict=True)
        pairs = [(c, result) for c, result in every if nearest is None or nearest(c) is c]
        told = self.wrong > 0 and len(pairs) > 0
        return told and all(_same(result, answers(case)) for case, result in pairs)

    def explained_by_both(self, one: KnownBug | Convention, other: KnownBug) -> bool:
        """Whether the reference with the edits of both gives all of these results."""
        if one.helper != other.helper:
            return False
        try:
            both = edited(self.contract.reference, (*one.edits, *other.edits), one.helper)
        except (EditError, SyntaxError):
            return False  # they edit the same line
        return self.explained_by(both)

    @property
    def only_long(self) -> bool:
        """Whether no short case is wrong."""
        return all(case.label == "long" for case in self.cases[: self.wrong])


@dataclass(frozen=True)
class Diagnosis:
    """What explains a candidate.

    Attributes:
        bugs: known bugs that it equals on every case; several where they cannot be told apart.
        convention: the reading under which it is right, if there is one; beside a bug, the
            reading under which it makes that mistake.
        together: whether it makes all of `bugs` at once rather than one of them.
    """

    bugs: tuple[KnownBug, ...] = ()
    convention: Convention | None = None
    together: bool = False

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Return the reports behind the bugs, each once."""
        found = {citation(bug.id).id: citation(bug.id) for bug in self.bugs}
        return tuple(found.values())


def diagnose(
    contract: Contract,
    candidate: Candidate,
    cases: Sequence[Case],
    results: Sequence[Result],
    dtype: str,
) -> Diagnosis:
    """Return what explains a candidate that differs from the reference.

    First a single known bug, which must explain every case as it is; then a legitimate
    convention, which may be judged on what it can express; then a bug under a convention, and
    two bugs at once.
    """
    evidence = Evidence(contract, cases, results, dtype)
    named = [bug for bug in contract.known_bugs if evidence.explained_by(mutant(contract, bug))]
    if named:
        return Diagnosis(tuple(named))
    for convention in contract.conventions:
        if follows(candidate, convention, evidence):
            return Diagnosis(convention=convention)
    if evidence.only_long:  # a matter of size, not two mistakes of the known kinds
        return Diagnosis()
    for convention, bug in itertools.product(contract.conventions, contract.known_bugs):
        if convention.edits and evidence.explained_by_both(convention, bug):
            return Diagnosis((bug,), convention)
    for first, second in itertools.combinations(contract.known_bugs, 2):
        # two variants of one mistake are not two mistakes
        if citation(first.id) is not citation(second.id) and evidence.explained_by_both(
            first, second
        ):
            return Diagnosis((first, second), together=True)
    return Diagnosis()


def follows(candidate: Candidate, convention: Convention, evidence: Evidence) -> bool:
    """Whether the candidate is right under a convention, and not without it."""
    contract, dtype = evidence.contract, evidence.dtype
    if convention.edits:
        function = edited(contract.reference, convention.edits, convention.helper)
        return evidence.explained_by(function, convention.nearest)
    judged = [convention.nearest(c) if convention.nearest else c for c in evidence.cases]
    given = [convention.inputs(case) if convention.inputs else case for case in judged]
    if not evidence.wrong or not all(candidate.admits(case) for case in given):
        return False
    for case, result in zip(judged, candidate.run(given, dtype), strict=True):
        if result.outputs is None or (result.failure and result.failure.kind in HARD):
            return False
        outputs = result.outputs
        if convention.outputs is not None:
            outputs = convention.outputs(case, outputs)
        known = truth(contract, case, dtype)
        if any(outputs[name].shape != known.value[name].shape for name in outputs):
            return False
        if not agrees(outputs, known):
            return False
    return True


# --- the bug × check matrix ---------------------------------------------------------------------


@dataclass
class Row:
    """One known bug of one function against every check.

    Attributes:
        bug: the bug.
        visible: the share of drawn cases on which it changes the result beyond rounding.
        killed_by: the checks that catch it; the comparison with the reference is left out.
    """

    bug: KnownBug
    visible: float
    killed_by: list[str] = field(default_factory=list)


@dataclass
class Matrix:
    """Every known bug of a contract against every check that works without the reference."""

    contract: Contract
    checks: list[str]
    rows: list[Row]
    flagged: list[str] = field(default_factory=list)  # equivalents that some check flags

    @property
    def unkilled(self) -> list[str]:
        """Return bugs that no check catches."""
        return [row.bug.id for row in self.rows if not row.killed_by]

    @property
    def idle(self) -> list[str]:
        """Return laws that catch no bug."""
        killing = {name for row in self.rows for name in row.killed_by}
        return [name for name in self.checks if name.startswith("law") and name not in killing]

    @property
    def least_visible(self) -> Row | None:
        """Return the bug that the fewest draws show."""
        return min(self.rows, key=lambda row: row.visible, default=None)

    @property
    def holes(self) -> list[str]:
        """Return what is wrong with the matrix, one sentence each."""
        found = [f"no check kills {bug_id}" for bug_id in self.unkilled]
        found += [f"{name} kills no known bug" for name in self.idle]
        found += [f"an equivalent is flagged: {name}" for name in self.flagged]
        least = self.least_visible
        if least is not None and least.visible < LEAST_VISIBLE:
            share = f"{100 * least.visible:.1f} % of the draws, wanted {100 * LEAST_VISIBLE:.0f} %"
            found.append(f"{least.bug.id} is seen on {share}")
        return found


def visibility(contract: Contract, cases: Sequence[Case], results: Sequence[Result]) -> float:
    """Return the share of cases on which results lie beyond rounding."""
    seen = sum(
        not _same(result, truth(contract, case, "float64"))
        for case, result in zip(cases, results, strict=True)
    )
    return seen / len(cases)


def row_of(
    contract: Contract,
    bug: KnownBug,
    cases: Sequence[Case],
    law_cases: int,
    *,
    first_only: bool = False,
) -> Row:
    """Run every law and example against one known bug; see `matrix`."""
    candidate = Canonical(mutant(contract, bug), contract)
    results = candidate.run(cases, "float64")
    killed_by = killers(
        contract, candidate, cases[:law_cases], results[:law_cases], first_only=first_only
    )
    return Row(bug, visibility(contract, cases, results), killed_by)


def matrix(
    contract: Contract, cases: Sequence[Case], law_cases: int, *, first_only: bool = False
) -> Matrix:
    """Run every law and example against every known bug and every equivalent.

    Args:
        contract: the function.
        cases: drawn cases; all of them count for visibility.
        law_cases: how many of them the laws see.
        first_only: stop at the first check that catches a bug (enough to know it is caught).
    """
    checks = [f"law: {law.name}" for law in contract.laws]
    checks += [f"example: {example.name}" for example in contract.examples]
    rows = [
        row_of(contract, bug, cases, law_cases, first_only=first_only)
        for bug in contract.known_bugs
    ]
    # misbehaviour is checked for everybody; here it stands only where a known bug misbehaves
    killing = {name for row in rows for name in row.killed_by}
    checks += [name for kind in MISBEHAVIOUR if (name := f"behaviour: {kind}") in killing]
    return Matrix(contract, checks, rows, flagged_equivalents(contract, cases, law_cases))


def killers(
    contract: Contract,
    candidate: Candidate,
    cases: Sequence[Case],
    results: Sequence[Result],
    *,
    first_only: bool = False,
) -> list[str]:
    """Return the checks, other than the comparison with the reference, that catch a function.

    What it returned on the cases is known already. A law counts where it finds a wrong number.
    That a function raises or returns another shape is found by the checks of behaviour; it would
    break any law, so it proves none.
    """
    subject = LawSubject(contract, candidate, "float64", zip(cases, results, strict=True))
    found = [tally.check for tally in check_behaviour(cases, results) if tally.failed]
    for law in contract.laws:
        if found and first_only:
            return found
        tally = check_law(law, subject, cases, stop=True, numbers=True)
        if tally.failed:
            found.append(tally.check)
    found += [
        tally.check
        for tally in check_examples(contract, candidate, "float64")
        if tally.finding is not None and tally.finding.failure is None
    ]
    return found


def flagged_equivalents(contract: Contract, cases: Sequence[Case], law_cases: int) -> list[str]:
    """Return equivalents that the reference comparison or a law wrongly flags."""
    flagged = []
    for form in contract.equivalents:
        candidate = Canonical(_as_named(form.function, contract), contract)
        judged = [c for c in cases if not form.holds_on or c.kind in form.holds_on]
        results = candidate.run(judged, "float64")
        known = zip(judged, results, strict=True)
        wrong = [
            case
            for case, result in zip(judged, results, strict=True)
            if not _same(result, truth(contract, case, "float64"))
        ]
        subject = LawSubject(contract, candidate, "float64", known)
        broken = [
            law.name
            for law in contract.laws
            if check_law(law, subject, judged[:law_cases]).failed
            and not (form.holds_on and "free" not in form.holds_on and not law.holds_on)
        ]
        if wrong or broken:
            flagged.append(f"{form.id}: {', '.join(broken) or 'differs from the reference'}")
    return flagged


def _as_named(function: Callable[..., Any], contract: Contract) -> Callable[..., Any]:
    """Let a function that returns a plain tuple pass for one with named results."""
    if len(contract.outputs) == 1:
        return function

    def call(**arguments: Any) -> Any:
        return _Named(dict(zip(contract.outputs, function(**arguments), strict=True)))

    return call


class _Named:
    def __init__(self, outputs: dict[str, np.ndarray]) -> None:
        self.__dict__.update(outputs)
