"""Derivation: a candidate's own gradient against the reference's exact derivative.

A loss is there for its gradient. One whose value is right may still descend something else:
a ratio that is detached, weights that are not, a masked NaN that comes back as 0 · ∞.
"""

from collections.abc import Sequence

import numpy as np

from rlverify.calling import Candidate, Failure
from rlverify.comparison import distance
from rlverify.contract import Case, Contract
from rlverify.differentiation import cotangents, exact_gradient
from rlverify.elementary import FUNCTIONS
from rlverify.tallying import Finding, Tally

# a stranger may differentiate through a function and its inverse, σ = exp(log σ) and log σ say,
# whose slopes cancel on paper: each costs its own roundings, and a product to chain it
DETOUR = FUNCTIONS["exp"].units + FUNCTIONS["log"].units + 2
GRADIENT = "gradient"
CONSTANTS = "gradient: constants"
GRADIENTS = (GRADIENT, CONSTANTS)


def check_gradient(
    contract: Contract, candidate: Candidate, cases: Sequence[Case], dtype: str
) -> list[Tally]:
    """Hold the gradient that a candidate's own autograd gives to the reference's derivative.

    A loss must carry one; another result may have been computed without. Where the result is
    infinite there is no derivative to hold it to.
    """
    cases = [case for case in cases if _finite(contract, case)]
    gradient = Tally(GRADIENT, sentence="autograd gives the derivative of the result")
    constants = Tally(CONSTANTS, sentence="no gradient reaches what is held constant")
    found = candidate.gradients(cases, dtype, lambda case: cotangents(contract, case))
    for case, result in zip(cases, found or (), strict=found is not None):
        if result.failure is not None:
            gradient.add(Finding(GRADIENT, case, failure=result.failure), np.inf)
        elif result.arrays is None:
            if contract.axes == ("",) and not contract.logged:
                sentence = (
                    f"{candidate.name}: the loss carries no gradient; is something detached, or "
                    "computed under no_grad?"
                )
                gradient.add(Finding(GRADIENT, case, failure=Failure("gradient", sentence)), np.inf)
        else:
            judged = gradient_on_case(contract, candidate, case, result.arrays, dtype)
            for tally, (finding, worst) in zip((gradient, constants), judged, strict=True):
                tally.add(finding, worst)
    return [gradient, constants]


def _finite(contract: Contract, case: Case) -> bool:
    with np.errstate(all="ignore"):
        results = contract.named(contract.reference(**case.arguments))
    return all(bool(np.isfinite(array).all()) for array in results.values())


def gradient_on_case(
    contract: Contract,
    candidate: Candidate,
    case: Case,
    arrays: dict[str, np.ndarray],
    dtype: str,
) -> tuple[tuple[Finding | None, float], tuple[Finding | None, float]]:
    """Judge one gradient: in what it should flow through, and in the constants."""
    worst, found, leaked = 0.0, None, None
    for name, got in arrays.items():
        if name not in contract.gradients:
            if name not in contract.handed_over and got.any() and leaked is None:
                sentence = (
                    f"{candidate.name}: the gradient flows into {name}, which is a constant of "
                    f"{contract.name}; detach it"
                )
                leaked = Finding(CONSTANTS, case, failure=Failure("gradient", sentence))
            continue
        wanted, allowed = exact_gradient(contract, case, name, dtype, candidate.outputs, DETOUR)
        away = distance(got, wanted, allowed)
        if away.ratio > 1 and (found is None or away.ratio > worst):
            found = Finding(GRADIENT, case, f"gradient in {name}", away)
        worst = max(worst, away.ratio)
    return (found, worst), (leaked, np.inf if leaked else 0.0)
