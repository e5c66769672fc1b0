"""Judging: composes checking and diagnosis into the verdict that `rlverify.check` returns.

EXACT        bitwise the reference, rounded to the dtype
TIGHT        within the smaller of the running and the probabilistic bound
BOUND        within what rounding may do to any order of evaluation
CONVENTION   equals the reference under another legitimate reading; passes where declared
KNOWN-BIAS   a constant times the reference; passes where declared
EXCUSED      not right, and every broken check is excused with a reason; passes
UNDECIDABLE  the tolerance is too wide to reject nonsense; never passes
WRONG        anything else, with the known mistake it makes where there is one
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from rlverify.calling import Candidate
from rlverify.checking import Report, run_checks, truth
from rlverify.citations import Citation, citation
from rlverify.comparison import agrees, passing_decoys
from rlverify.contract import Case, Contract, Convention
from rlverify.demonstration import smallest_case, snippet
from rlverify.derivation import CONSTANTS, GRADIENT, GRADIENTS, check_gradient
from rlverify.diagnosis import Diagnosis, diagnose
from rlverify.differentiation import gradient_cases, hides_garbage
from rlverify.editing import edited
from rlverify.grading import (
    bias_factor,
    effective_precision,
    power_of_two,
    worst_error,
    worst_grade,
)
from rlverify.rounding import PRECISIONS
from rlverify.tallying import Tally

LAW_CASES = 60


@dataclass(frozen=True)
class Verdict:
    """What `rlverify.check` found out about a function.

    Attributes:
        ok: whether it passes.
        grade: `EXACT`, `TIGHT`, `BOUND`, `CONVENTION`, `KNOWN-BIAS`, `UNDECIDABLE`, `EXCUSED`
            or `WRONG`.
        qualifier: what the grade names: a convention, a factor, known bugs; may be empty.
        name: the candidate.
        contract: name of the contract it was held to.
        dtype: the dtype it was given.
        call: how it was called.
        draws: on how many cases it was compared with the reference.
        worst: the worst error in units of the bound; infinite for NaN or misbehaviour.
        where: the element and case of the worst error.
        effective_precision: the unit roundoff it behaves like; 0 when every result is exact.
        claimed_precision: the unit roundoff of the dtype.
        held: the checks that hold.
        broken: the checks that do not.
        diagnosis: one sentence on what is wrong; empty when nothing is.
        citations: public reports of the same mistake.
        convention: the convention inferred or declared, if any.
        counterexample: a runnable snippet with the smallest inputs found; empty when it passes.
        smallest: those inputs.
        notes: remarks on the call and on what was not judged.
        printed: what the candidate printed.
    """

    ok: bool
    grade: str
    qualifier: str
    name: str
    contract: str
    dtype: str
    call: str
    draws: int
    worst: float
    where: str
    effective_precision: float
    claimed_precision: float
    held: tuple[str, ...]
    broken: tuple[str, ...]
    diagnosis: str = ""
    citations: tuple[Citation, ...] = ()
    convention: str = ""
    counterexample: str = ""
    smallest: Case | None = None
    notes: tuple[str, ...] = ()
    printed: str = ""
    tallies: tuple[Tally, ...] = field(default=(), repr=False)

    @property
    def title(self) -> str:
        """Return the grade with its qualifier, such as `WRONG(A1)`."""
        return f"{self.grade}({self.qualifier})" if self.qualifier else self.grade

    @property
    def link(self) -> str:
        """Return a public report of the same mistake; empty when there is none."""
        return next((entry.link for entry in self.citations if entry.link), "")

    @property
    def precision(self) -> str:
        """Return the effective precision in words."""
        if self.effective_precision == 0:
            return f"exact on every draw (claims {power_of_two(self.claimed_precision)})"
        claimed, real = power_of_two(self.claimed_precision), power_of_two(self.effective_precision)
        return f"claims {claimed}, behaves like {real}"


# --- the verdict --------------------------------------------------------------------------


def judge(
    contract: Contract,
    candidate: Candidate,
    cases: Sequence[Case],
    dtype: str,
    *,
    target: str,
    conventions: Sequence[str] = (),
    factor: Fraction | None = None,
    excused: Mapping[str, str] | None = None,
    law_cases: int = LAW_CASES,
    explain: bool = True,
    advance: Callable[[str], None] = lambda step: None,
) -> Verdict:
    """Judge a candidate on cases.

    Args:
        contract: what it is held to.
        candidate: the function, as it is to be called.
        cases: drawn or recorded.
        dtype: the dtype it is given.
        target: how a program runs it, from `arguments_of_run`.
        conventions: declared readings, `axis=value`.
        factor: declared bias.
        excused: check name → reason; these checks may fail.
        law_cases: how many of the cases the laws see.
        explain: whether to diagnose and shrink what is wrong.
        advance: told of every step, for a progress bar.
    """
    excused = dict(excused or {})
    report = run_checks(contract, candidate, cases, dtype, law_cases=law_cases, advance=advance)
    broken = [tally for tally in report.broken if tally.check not in excused]
    diagnosis, smallest, text = Diagnosis(), None, ""
    if broken and explain:
        advance("diagnosing")
        diagnosis = diagnose(contract, candidate, report.cases, report.results, dtype)
        if diagnosis.convention is not None and contract.gradient_judged:
            report.tallies = _under(diagnosis.convention, report, candidate)
            broken = [tally for tally in report.broken if tally.check not in excused]
    if broken:
        ruling = _ruling_on_wrong(report, broken, diagnosis, conventions, factor)
    else:
        ruling = _ruling_on_right(report, candidate.conventions, conventions)
    if broken and explain and not ruling.ok:
        advance("shrinking")
        smallest = smallest_case(report, candidate, broken[0])
        if smallest is not None:
            derived = broken[0].check in GRADIENTS
            text = snippet(contract, candidate, smallest, dtype, target, gradient=derived)
    worst, where = worst_error(report)
    precision = PRECISIONS[dtype]
    return Verdict(
        ok=ruling.ok,
        grade=ruling.grade,
        qualifier=ruling.qualifier,
        name=candidate.name,
        contract=contract.name,
        dtype=dtype,
        call=candidate.mapping,
        draws=len(report.cases),
        worst=worst,
        where=where,
        effective_precision=effective_precision(report),
        claimed_precision=max(precision.unit, precision.storage),
        held=tuple(t.check for t in report.tallies if t.applied and not t.failed),
        broken=tuple(tally.check for tally in broken),
        diagnosis=ruling.sentence,
        citations=diagnosis.citations or ruling.citations,
        convention=ruling.convention,
        counterexample=text,
        smallest=smallest,
        notes=(*candidate.notes, *_excuses(report, excused)),
        printed=next((r.printed for r in report.results if r.printed), ""),
        tallies=tuple(report.tallies),
    )


@dataclass(frozen=True)
class _Ruling:
    """The part of a verdict that is decided rather than measured."""

    grade: str
    ok: bool
    qualifier: str = ""
    sentence: str = ""
    convention: str = ""
    citations: tuple[Citation, ...] = ()


def _under(convention: Convention, report: Report, candidate: Candidate) -> list[Tally]:
    """Return the tallies with the gradient judged as the convention has it."""
    if not convention.edits:  # what it changes on the way in or out, autograd does not see
        return [tally for tally in report.tallies if tally.check != GRADIENT]
    reference = edited(report.contract.reference, convention.edits, convention.helper)
    follower = replace(report.contract, reference=reference)
    cases = gradient_cases(follower, report.cases)
    found = {
        tally.check: tally for tally in check_gradient(follower, candidate, cases, report.dtype)
    }
    return [found.get(tally.check, tally) for tally in report.tallies]


def _ruling_on_right(report: Report, inferred: Sequence[str], declared: Sequence[str]) -> _Ruling:
    """Rule on a candidate of which no check complains, but for excused ones."""
    if any(tally.check == "reference" for tally in report.broken):
        return _Ruling("EXCUSED", True)  # somebody said that its numbers need not be right
    if nonsense := passing_decoys(report.truths):
        sentence = f"the tolerance would also pass {', '.join(nonsense)}"
        return _Ruling("UNDECIDABLE", False, sentence=sentence)
    if inferred:
        name = ", ".join(inferred)
        ok = set(inferred) <= set(declared)
        sentence = "" if ok else f"right under {name}; declare it to pass"
        return _Ruling("CONVENTION", ok, name, sentence, name)
    return _Ruling(worst_grade(report), True)


def _ruling_on_wrong(
    report: Report,
    broken: Sequence[Tally],
    diagnosis: Diagnosis,
    declared: Sequence[str],
    factor: Fraction | None,
) -> _Ruling:
    """Rule on a candidate that breaks a check."""
    convention = diagnosis.convention
    derived = _ruling_on_gradient(report, broken)
    if derived is not None and not diagnosis.bugs and (convention or broken[0].check in GRADIENTS):
        if convention is None:
            return derived
        sentence = f"{derived.sentence}; it also follows {convention.name}: {convention.sentence}"
        return replace(derived, sentence=sentence, convention=convention.name)
    if diagnosis.bugs:
        joint, mark = (" and ", " + ") if diagnosis.together else (" or ", " | ")
        sentence = joint.join(entry.sentence for entry in diagnosis.citations)
        if convention is not None:
            sentence += f"; it also follows {convention.name}: {convention.sentence}"
        name = convention.name if convention else ""
        return _Ruling("WRONG", False, mark.join(_ids(diagnosis)), sentence, name)
    if convention is not None:
        ok = convention.name in declared
        sentence = convention.sentence + ("" if ok else f"; declare {convention.name} to pass")
        return _Ruling("CONVENTION", ok, convention.name, sentence, convention.name)
    found = bias_factor(report.results, report.truths)
    first = report.broken[0].finding
    if found is not None and first is not None and first.failure is None:
        ok = found == factor
        sentence = f"{found} times the reference" + ("" if ok else "; declare it to pass")
        return _Ruling("KNOWN-BIAS", ok, str(found), sentence)
    return _Ruling("WRONG", False, sentence=_unexplained(report, broken))


def _ruling_on_gradient(report: Report, broken: Sequence[Tally]) -> _Ruling | None:
    """Rule on a candidate whose values are right and whose gradient is not, if it is one."""
    tally = next((tally for tally in broken if tally.check in GRADIENTS), None)
    if tally is None or tally.finding is None:
        return None
    failure, away = tally.finding.failure, tally.finding.distance
    known: tuple[Citation, ...] = ()
    if failure is not None:
        known = (citation("L3"),) if tally.check == CONSTANTS else ()
        return _Ruling("WRONG", False, _named(known), failure.sentence, citations=known)
    if away is None:
        return None
    index = ", ".join(map(str, away.index))
    sentence = (
        f"its values are right, its gradient is not: {tally.finding.output}[{index}] is "
        f"{away.got:.6g}, wanted {away.wanted:.6g}"
    )
    if math.isnan(away.got):
        known = (citation("K6" if hides_garbage(tally.finding.case) else "K5"),)
    told = "; ".join((sentence, *(entry.sentence for entry in known)))
    return _Ruling("WRONG", False, _named(known), told, citations=known)


def _named(known: Sequence[Citation]) -> str:
    return " | ".join(entry.id for entry in known)


def _ids(diagnosis: Diagnosis) -> list[str]:
    return list(dict.fromkeys(bug.id for bug in diagnosis.bugs))


def _excuses(report: Report, excused: Mapping[str, str]) -> list[str]:
    broken = {tally.check for tally in report.broken}
    known = {tally.check: tally for tally in report.tallies}
    notes = []
    for check, reason in excused.items():
        if check not in known:
            notes.append(f"excused, but there is no such check: {check}")
        elif check in broken:
            notes.append(f"excused: {check} ({reason})")
        elif not known[check].applied:
            notes.append(f"excused, but it could not be applied: {check} ({reason})")
        else:
            notes.append(f"stale excuse: {check} holds; take it out ({reason})")
    return notes


def _unexplained(report: Report, broken: Sequence[Tally]) -> str:
    """Return one sentence on what is wrong where no known mistake explains it."""
    first = broken[0]
    behaviour = next((t for t in broken if t.check.startswith("behaviour")), None)
    numbers = first.finding is not None and first.finding.failure is None
    if behaviour is not None and behaviour.finding is not None:
        failure = behaviour.finding.failure
        if failure is not None and (not numbers or first is behaviour):
            count = f" (on {behaviour.failed} of {behaviour.applied} cases)"
            return failure.sentence.rstrip(".") + count
    if first.check == "reference":
        real, claimed = effective_precision(report), PRECISIONS[report.dtype].unit
        coarse = _agrees_in(report, "float32") if report.dtype == "float64" else False
        if coarse:
            return (
                f"right to about {power_of_two(real)} only, claims {power_of_two(claimed)}: a step "
                "computes in lower precision, or small terms are dropped"
            )
    laws = [t.sentence for t in broken if t.check.startswith("law")]
    told = f"; it breaks: {'; '.join(laws[:3])}" if laws else ""
    return f"no known mistake explains it{told}"


def _agrees_in(report: Report, dtype: str) -> bool:
    """Whether every result would be within the bounds of a coarser dtype."""
    return all(
        result.outputs is not None and agrees(result.outputs, truth(report.contract, case, dtype))
        for case, result in zip(report.cases, report.results, strict=True)
    )
