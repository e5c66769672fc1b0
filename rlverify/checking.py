"""Checking: runs a candidate on cases and tallies what holds; prints nothing, explains nothing.

A *check* is one way to be wrong: the comparison with the reference, a law, an example worked
by hand, or plain misbehaviour (raising, wrong shape, overwriting inputs). Each check yields a
tally over all cases it could be applied to.
"""

import contextlib
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.internal.conjecture import providers
from hypothesis.strategies import SearchStrategy

from rlverify.calling import Candidate, Failure, Result
from rlverify.comparison import Truth, distance, holds, rounded, truth_of, worst_ratio
from rlverify.contract import Case, Contract, Law, Outputs
from rlverify.derivation import check_gradient
from rlverify.differentiation import gradient_cases
from rlverify.rounding import PRECISIONS
from rlverify.tallying import Finding, Tally

HARD = ("raised", "hung", "died", "memory", "shape", "type")
"""Kinds of failure after which there are no numbers to judge."""


FEW, MANY = 40, 200  # budgets between are served from one set of draws


def drawn_cases(contract: Contract, budget: int, seed: int) -> list[Case]:
    """Draw `budget` cases from the contract's strategy.

    The same seed draws the same cases. Up to `MANY` they are picked from all over one set, so
    that what was found out about a case is not found out again.
    """
    if not FEW <= budget <= MANY:
        return list(_drawn(contract.inputs, budget, seed))
    cases = _drawn(contract.inputs, MANY, seed)
    count = min(budget, len(cases))
    return [cases[i * len(cases) // count] for i in range(count)]


@functools.lru_cache(maxsize=64)
def _drawn(inputs: SearchStrategy[Case], budget: int, seed: int) -> tuple[Case, ...]:
    cases: list[Case] = []

    @seeded(seed)
    @settings(
        max_examples=budget,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def collect(case: Case) -> None:
        cases.append(case)

    with _without_constants():
        collect()
    return tuple(cases)


@contextlib.contextmanager
def _without_constants() -> Iterator[None]:
    """Draw no constants of the modules that happen to be loaded, which Hypothesis tries too.

    Then a seed draws the same whatever else was imported, in any order. It has no setting for
    that; where its inside is another, draws depend on the modules again and nothing else changes.
    """
    inside = vars(providers)
    if not {"_get_local_constants", "CONSTANTS_CACHE", "Constants", "LRUCache"} <= set(inside):
        yield
        return
    kept = {name: inside[name] for name in ("_get_local_constants", "CONSTANTS_CACHE")}
    none = inside["Constants"]()
    inside.update(_get_local_constants=lambda: none, CONSTANTS_CACHE=inside["LRUCache"](1024))
    try:
        yield
    finally:
        inside.update(kept)


# truths are asked for again by laws, conventions and known bugs; the oldest are forgotten
_TRUTHS: OrderedDict[tuple[Any, ...], Truth] = OrderedDict()
_REMEMBERED = 20_000


def truth(contract: Contract, case: Case, dtype: str) -> Truth:
    """Return the reference's answer to a case with its bounds, remembered."""
    key = (contract.name, contract.reference, dtype, case.key())
    known = _TRUTHS.get(key)
    if known is None:
        known = truth_of(contract, case, PRECISIONS[dtype])
        _TRUTHS[key] = known
        if len(_TRUTHS) > _REMEMBERED:
            _TRUTHS.popitem(last=False)
    return known


class Inexpressible(Exception):
    """A law asked for a case that the candidate's signature cannot express."""


class Misbehaved(Exception):
    """The candidate gave no numbers; carries the failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.sentence)
        self.failure = failure


class _Present(dict[str, np.ndarray]):
    """Outputs of which some may be absent: a law that needs an absent one does not apply."""

    def __missing__(self, name: str) -> np.ndarray:
        raise Inexpressible(name)


class LawSubject:
    """The candidate as a law sees it: runs cases, knows its bounds, remembers both."""

    def __init__(
        self,
        contract: Contract,
        candidate: Candidate,
        dtype: str,
        known: Iterable[tuple[Case, Result]] = (),
    ) -> None:
        self.contract = contract
        self.candidate = candidate
        self.dtype = dtype
        # None where the case cannot be expressed
        self.remembered: dict[tuple[Any, ...], Result | None] = {
            case.key(): result for case, result in known
        }

    def __call__(self, case: Case) -> Outputs:
        """Run the candidate on a case; raises where it cannot or will not answer."""
        key = case.key()
        if key not in self.remembered:
            same = rounded(case, self.dtype).key() == key
            expressible = same and self.candidate.admits(case)
            self.remembered[key] = (
                self.candidate.run([case], self.dtype)[0] if expressible else None
            )
        result = self.remembered[key]
        if result is None:
            raise Inexpressible(case.label)
        if result.outputs is None or (result.failure and result.failure.kind in HARD):
            raise Misbehaved(result.failure or Failure("type", "returned no arrays"))
        return _Present(result.outputs)

    def bound(self, case: Case) -> Outputs:
        """Return how far each output may lie from the truth on this case."""
        return truth(self.contract, case, self.dtype).allowed


def judge_case(
    case: Case, result: Result, known: Truth, check: str
) -> tuple[Finding | None, float]:
    """Compare one result with the truth; returns what is wrong and the worst ratio."""
    if result.outputs is None or (result.failure and result.failure.kind in HARD):
        failure = result.failure or Failure("type", "returned no arrays")
        return Finding(check, case, failure=failure), np.inf
    worst, found = 0.0, None
    for name, array in result.outputs.items():
        ratio = worst_ratio(array, known.value[name], known.allowed[name])
        if ratio > 1 and (found is None or ratio > worst):
            away = distance(array, known.value[name], known.allowed[name])
            found = Finding(check, case, name, away)
        worst = max(worst, ratio)
    return found, worst


def check_law(
    law: Law,
    subject: LawSubject,
    cases: Iterable[Case],
    *,
    stop: bool = False,
    numbers: bool = False,
) -> Tally:
    """Apply a law to every case of its class.

    Args:
        law: the law.
        subject: the function.
        cases: the cases.
        stop: end at the first thing found.
        numbers: count only wrong numbers, not that there were none.
    """
    tally = Tally(f"law: {law.name}", sentence=law.sentence)
    for case in cases:
        if law.holds_on and case.kind not in law.holds_on:
            continue
        found, worst = law_on_case(law, subject, case)
        if worst is None or (numbers and found is not None and found.failure is not None):
            continue
        tally.add(found, worst)
        if stop and found is not None:
            break
    return tally


def law_on_case(law: Law, subject: LawSubject, case: Case) -> tuple[Finding | None, float | None]:
    """Apply a law to one case; the worst ratio is None where it had nothing to say."""
    found, worst, said = None, 0.0, False
    try:
        with np.errstate(all="ignore"):  # what is wrong may be NaN or inf
            for claim in law.check(subject, case):
                if claim.got.size == 0:
                    continue
                said = True
                ratio = worst_ratio(claim.got, claim.wanted, claim.allowed)
                worst = max(worst, ratio)
                if ratio > 1 and found is None:
                    away = distance(claim.got, claim.wanted, claim.allowed)
                    found = Finding(f"law: {law.name}", case, distance=away)
    except Inexpressible:
        pass  # what was claimed before still counts
    except Misbehaved as misbehaviour:
        said, worst = True, np.inf
        found = found or Finding(f"law: {law.name}", case, failure=misbehaviour.failure)
    return found, worst if said else None


@dataclass
class Report:
    """Everything that checking found out about one candidate at one dtype.

    Attributes:
        contract: what it was held to.
        dtype: the dtype it was given.
        cases: the cases it was compared with the reference on, projected and rounded.
        results: what it returned on them.
        truths: what was wanted.
        tallies: one a check, the comparison with the reference first.
    """

    contract: Contract
    dtype: str
    cases: list[Case]
    results: list[Result]
    truths: list[Truth]
    tallies: list[Tally] = field(default_factory=list)

    @property
    def broken(self) -> list[Tally]:
        """Return the checks that found something."""
        return [tally for tally in self.tallies if tally.failed]


def expressed(candidate: Candidate, cases: Iterable[Case], dtype: str) -> list[Case]:
    """Return the cases as the candidate's signature can express them, rounded to `dtype`.

    Cases with numbers beyond the range of the dtype are left out.
    """
    return [candidate.project(rounded(case, dtype)) for case in cases if holds(case, dtype)]


def check_examples(contract: Contract, candidate: Candidate, dtype: str) -> list[Tally]:
    """Hold the candidate to the examples worked by hand."""
    tallies = []
    for example in contract.examples:
        tally = Tally(f"example: {example.name}", sentence="the answer worked by hand")
        tallies.append(tally)
        case = rounded(example.case, dtype)
        if case.key() != example.case.key() or not candidate.admits(case):
            continue
        known = truth(contract, case, dtype)
        answers = {name: example.answer(name).astype(float) for name in contract.outputs}
        wanted = Truth(answers, known.allowed, known.tight, known.running)
        tally.add(*judge_case(case, candidate.run([case], dtype)[0], wanted, tally.check))
    return tallies


MISBEHAVIOUR = {
    "raised": "it returns",
    "hung": "it ends in time",
    "died": "the process survives it",
    "memory": "it stays within the memory limit",
    "shape": "results have the shape of the inputs",
    "type": "results are arrays",
    "dtype": "results have the dtype of the inputs",
    "overwrote": "inputs are left alone",
    "aliased": "results are arrays of their own",
}


def check_behaviour(cases: Sequence[Case], results: Sequence[Result]) -> list[Tally]:
    """Tally what the candidate did besides computing; one check a kind of misbehaviour."""
    tallies = {}
    for kind, sentence in MISBEHAVIOUR.items():
        tallies[kind] = Tally(f"behaviour: {kind}", applied=len(cases), sentence=sentence)
    for case, result in zip(cases, results, strict=True):
        if result.failure is not None:
            tally = tallies[result.failure.kind]
            tally.failed += 1
            tally.worst = np.inf
            tally.finding = tally.finding or Finding(tally.check, case, failure=result.failure)
    return list(tallies.values())


def run_checks(
    contract: Contract,
    candidate: Candidate,
    cases: Sequence[Case],
    dtype: str,
    *,
    law_cases: int,
    advance: Callable[[str], None] = lambda step: None,
) -> Report:
    """Run every check of a contract on a candidate.

    Args:
        contract: what to hold it to.
        candidate: the function, as it is to be called.
        cases: drawn or recorded; each is projected to what the candidate can express.
        dtype: the dtype it is given.
        law_cases: how many of the cases the laws see.
        advance: told of every step, for a progress bar.
    """
    projected = expressed(candidate, cases, dtype)
    advance("running")
    results = candidate.run(projected, dtype)
    advance("comparing")
    truths = [truth(contract, case, dtype) for case in projected]
    report = Report(contract, dtype, projected, results, truths)

    reference = Tally("reference", sentence="equals the NumPy reference within rounding")
    for case, result, known in zip(projected, results, truths, strict=True):
        reference.add(*judge_case(case, result, known, "reference"))
    report.tallies.append(reference)
    report.tallies += check_behaviour(projected, results)
    if any(result.outputs is not None for result in results):
        report.tallies += check_examples(contract, candidate, dtype)
        if contract.gradient_judged:
            advance("gradient")
            report.tallies += check_gradient(
                contract, candidate, gradient_cases(contract, projected), dtype
            )
        subject = LawSubject(contract, candidate, dtype, zip(projected, results, strict=True))
        short = [case for case in projected if case.label != "long"][:law_cases]
        for law in contract.laws:
            advance(law.name)
            report.tallies.append(check_law(law, subject, short))
    return report
