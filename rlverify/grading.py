"""Grading: how good a result within its bounds is, and how bad one outside of them."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from rlverify.calling import Result
from rlverify.checking import Report, judge_case
from rlverify.comparison import Truth, effective_unit, ratios, round_to
from rlverify.contract import Outputs

PASSING = ("EXACT", "TIGHT", "BOUND")


def power_of_two(unit: float) -> str:
    """Return a unit roundoff in words."""
    return "no precision at all" if unit >= 0.5 else f"2^{round(math.log2(unit))}"


def grade_of(outputs: Outputs, known: Truth, dtype: str) -> str:
    """Return EXACT, TIGHT or BOUND for outputs within their bounds."""
    exact = all(
        np.array_equal(array, round_to(dtype, known.value[name]), equal_nan=True)
        for name, array in outputs.items()
    )
    if exact:
        return "EXACT"
    tight = all(
        bool((ratios(array, known.value[name], known.tight[name]) <= 1).all())
        for name, array in outputs.items()
    )
    return "TIGHT" if tight else "BOUND"


def worst_grade(report: Report) -> str:
    """Return the lowest grade over all cases of a report without findings."""
    grades = {
        grade_of(result.outputs or {}, known, report.dtype)
        for result, known in zip(report.results, report.truths, strict=True)
    }
    return max(grades, key=PASSING.index)


def bias_factor(results: Sequence[Result], truths: Sequence[Truth]) -> Fraction | None:
    """Return the constant that the results are of the truth, if they are one."""
    factor = None
    for result, known in zip(results, truths, strict=True):
        for name, array in (result.outputs or {}).items():
            wanted = known.value[name]
            if factor is None and np.abs(wanted).max() > 0:
                index = np.unravel_index(int(np.argmax(np.abs(wanted))), wanted.shape)
                share = float(array[index]) / float(wanted[index])
                if not math.isfinite(share):
                    return None
                factor = Fraction(share).limit_denominator(64)
                if factor in (0, 1):
                    return None
            if factor is not None:
                scaled, slack = float(factor) * wanted, abs(float(factor)) * known.allowed[name]
                # the product itself rounds once in float64
                slack = slack + 2.0**-53 * np.abs(scaled)
                if not bool((ratios(array, scaled, slack) <= 1).all()):
                    return None
    return factor


def effective_precision(report: Report) -> float:
    """Return the unit roundoff that the worst element of a report behaves like."""
    return max(
        (
            effective_unit(result.outputs, known)
            for result, known in zip(report.results, report.truths, strict=True)
            if result.outputs is not None
        ),
        default=math.inf,  # nothing was returned
    )


def worst_error(report: Report) -> tuple[float, str]:
    """Return the worst error in units of the bound, and where it is."""
    worst, where = 0.0, ""
    for case, result, known in zip(report.cases, report.results, report.truths, strict=True):
        found, ratio = judge_case(case, result, known, "reference")
        if ratio > worst:
            worst = ratio
            if found is not None and found.distance is not None:
                index = ", ".join(map(str, found.distance.index))
                where = f"{found.output}[{index}] of a {case.kind} case"
            elif found is not None and found.failure is not None:
                where = found.failure.kind
    return worst, where
