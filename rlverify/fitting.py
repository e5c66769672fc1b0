"""Fitting: which reading of a call a function means, where its signature leaves something open.

A function that has its ε built in is right for one value of it and wrong for the others. What
fits is, in this order: the reading under which it is right; the one under which it follows a
convention, is a constant times the answer, or makes a known mistake. Where several fit and say
different things, nothing is guessed.
"""

from collections.abc import Sequence

from rlverify.calling import Candidate
from rlverify.checking import drawn_cases, expressed, truth
from rlverify.comparison import agrees
from rlverify.contract import Contract
from rlverify.diagnosis import diagnose
from rlverify.grading import bias_factor

CASES = 40


def fit(contract: Contract, candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the candidate whose reading fits; None where none does, or several differ.

    Args:
        contract: what they are held to.
        candidates: readings of one function's call, the likeliest first.
    """
    explained: dict[tuple[int, str], Candidate] = {}
    for candidate in candidates:
        rank = _rank(contract, candidate)
        if rank == (0, ""):
            return candidate
        if rank is not None:
            explained.setdefault(rank, candidate)
    best = min((number for number, _ in explained), default=None)
    found = [candidate for (number, _), candidate in explained.items() if number == best]
    return found[0] if len(found) == 1 else None


def _rank(contract: Contract, candidate: Candidate) -> tuple[int, str] | None:
    """Return how well a reading fits and what it says; None where it explains nothing."""
    dtype = candidate.dtypes[0]
    cases = expressed(candidate, drawn_cases(contract, CASES, 0), dtype)
    results = candidate.run(cases, dtype)
    truths = [truth(contract, case, dtype) for case in cases]
    if any(result.outputs is None for result in results):
        return None
    if all(agrees(r.outputs or {}, known) for r, known in zip(results, truths, strict=True)):
        return 0, ""
    found = diagnose(contract, candidate, cases, results, dtype)
    mistakes = " | ".join(sorted(bug.id for bug in found.bugs))
    if found.convention is not None:
        return (1 if not mistakes else 4), f"{found.convention.name} {mistakes}"
    if factor := bias_factor(results, truths):
        return 2, str(factor)
    if mistakes:
        return (5 if found.together else 3), mistakes
    return None
