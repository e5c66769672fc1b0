"""Demonstration: the smallest inputs that show what is wrong, as a program to run."""

from typing import Any

import numpy as np

from rlverify.calling import Candidate
from rlverify.checking import (
    HARD,
    LawSubject,
    Report,
    expressed,
    judge_case,
    law_on_case,
    truth,
)
from rlverify.contract import Case, Contract
from rlverify.derivation import GRADIENTS, check_gradient
from rlverify.shrinking import shrink
from rlverify.tallying import Tally


def smallest_case(report: Report, candidate: Candidate, tally: Tally) -> Case | None:
    """Return the smallest case found on which the first broken check still fails."""
    contract, dtype = report.contract, report.dtype
    finding = tally.finding
    if finding is None:
        return None
    if finding.failure is not None and finding.failure.kind in ("hung", "died", "memory"):
        return finding.case  # each attempt would cost a process
    law = next((x for x in contract.laws if f"law: {x.name}" == tally.check), None)
    subject = LawSubject(contract, candidate, dtype)

    def fails(case: Case) -> bool:
        (projected,) = expressed(candidate, [case], dtype)
        if projected.key() != case.key():
            return False
        try:
            known = truth(contract, case, dtype)
        except (ValueError, TypeError, ZeroDivisionError):
            return False  # the reference refuses it: no input at all
        if tally.check in GRADIENTS:
            tallies = check_gradient(contract, candidate, [case], dtype)
            return any(each.failed for each in tallies if each.check == tally.check)
        if law is not None:
            return law_on_case(law, subject, case)[0] is not None
        result = candidate.run([case], dtype)[0]
        if finding.failure is not None:
            return result.failure is not None and result.failure.kind == finding.failure.kind
        if result.failure is not None and result.failure.kind in HARD:
            return False
        return judge_case(case, result, known, "reference")[0] is not None

    failing = [finding.case]
    if tally.check == "reference":
        failing = [
            case
            for case, result, known in zip(report.cases, report.results, report.truths, strict=True)
            if (judge_case(case, result, known, "reference")[0] is not None)
            and (result.failure is None or finding.failure is not None)
        ] or failing
    start = min(failing, key=lambda case: case.size)
    return shrink(contract, start, fails) if fails(start) else start


def literal(value: Any) -> str:
    """Return Python source for an argument."""
    if isinstance(value, np.ndarray):
        body = np.array2string(value, separator=", ", threshold=10**6, floatmode="unique")
        body = " ".join(body.split()).replace("[ ", "[").replace("nan", "np.nan")
        return f"np.array({body.replace('inf', 'np.inf')})"
    return repr(value)


def arguments_of_run(function: str, contract: Contract, **how: str | None) -> str:
    """Return the arguments of `rlverify.run` that call a function as it was judged.

    Args:
        function: source text that names it.
        contract: what it was held to.
        how: `call`, `arrays` and `layout`; None where not said.
    """
    said = "".join(f", {name}={value!r}" for name, value in how.items() if value is not None)
    return f'{function}, inputs, contract="{contract.name}"{said}'


def snippet(
    contract: Contract,
    candidate: Candidate,
    case: Case,
    dtype: str,
    target: str,
    *,
    gradient: bool = False,
) -> str:
    """Return a program that shows the candidate's answer beside the reference's.

    Args:
        contract: what the candidate is held to.
        candidate: the function.
        case: the inputs.
        dtype: the dtype it is given.
        target: from `arguments_of_run`.
        gradient: whether the gradient is shown instead of the result.
    """
    lines = ["import numpy as np", "import rlverify", "", "inputs = dict("]
    lines += [f"    {name}={literal(value)}," for name, value in case.arguments.items()]
    lines += [")"]
    if gradient:
        lines += [f'print(rlverify.run("{contract.name}", inputs, gradient=True))']
        lines += [f'print(rlverify.run({target}, dtype="{dtype}", gradient=True))']
        return "\n".join(lines)
    known = truth(contract, case, dtype)
    result = candidate.run([case], dtype)[0]
    lines += [f'print(rlverify.run("{contract.name}", inputs))']
    for name in candidate.outputs:
        lines.append(f"# wanted {name} = {_flat(known.value[name])}")
    lines += [f'print(rlverify.run({target}, dtype="{dtype}"))']
    if result.outputs is None:
        lines.append(f"# {result.failure.sentence if result.failure else 'no arrays'}")
    for name, array in (result.outputs or {}).items():
        lines.append(f"# got    {name} = {_flat(array)}")
    return "\n".join(lines)


def _flat(array: np.ndarray) -> str:
    return " ".join(np.array2string(array, separator=", ", threshold=50).split())
