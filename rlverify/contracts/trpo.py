"""Contracts of the topic `trpo`: surrogate, step length and line search; updates elsewhere."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from rlverify.contract import (
    Argument,
    Case,
    Claim,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._masks import mask_of
from rlverify.contracts._measured import exactly, measured, vanishes
from rlverify.contracts._ppo_cases import (
    SIZES,
    at,
    bad_arrays,
    good_case,
    impulses,
    mean_bugs,
    mean_conventions,
    ratio_cases,
    shared_laws,
    sized_case,
)
from rlverify.contracts._recordings import equals_exactly, exact, same
from rlverify.contracts._refusals import bad, bad_floats, bad_masks
from rlverify.contracts._trpo_cases import directions, searches, sized_direction, sized_search
from rlverify.contracts._trpo_shared import LENGTH_BUGS, SEARCH_BUGS, bad_search, said
from rlverify.contracts._trpo_update import UPDATE_CONTRACT
from rlverify.contracts.ppo import ARRAYS, CLAMPED, ratio_bugs
from rlverify.fast import trpo as fast
from rlverify.objectives import Polynomial
from rlverify.reference import trpo as reference

# --- the surrogate -------------------------------------------------------------------------------

TERM = "total = total + ratio * advantages[i]"


def check_ratio(subject: Subject, case: Case) -> Iterable[Claim]:
    """A single advantage of 1 counts with its own likelihood ratio, over N."""
    count = int(mask_of(case, "log_probs").sum())
    for place in impulses(case, "log_probs"):
        single = case.but(advantages=at(place, case["log_probs"], 1))
        ratio = np.exp(case["log_probs"][place] - case["old_log_probs"][place])
        yield from same(subject, single, {"surrogate": np.array(ratio / count)})


def ratio_of_products(
    log_probs: np.ndarray, old_log_probs: np.ndarray, advantages: np.ndarray,
    mask: np.ndarray | None,
) -> np.ndarray:  # fmt: skip
    """Take the mean of A · exp(−(old − new)), negated log-probabilities as some libraries have."""
    real = np.ones(log_probs.shape, dtype=bool) if mask is None else mask
    with np.errstate(all="ignore"):
        ratio = np.exp(-(old_log_probs[real] - log_probs[real]))
        return np.asarray((ratio * advantages[real]).sum() / real.sum())


SURROGATE_CONTRACT = Contract(
    name="surrogate",
    topic="trpo",
    summary="surrogate objective of two policies: the mean of ρA, to be raised",
    source="Schulman et al. 2015, arXiv:1502.05477, eq. 14",
    reference=reference.surrogate,
    fast=fast.surrogate,
    arguments=(
        *(Argument(name, "float", "...") for name in ARRAYS),
        Argument("mask", "mask", "..."),
    ),
    outputs=("surrogate",),
    axes=("",),
    inputs=ratio_cases((*ARRAYS, "mask"), ("far", "on-policy")),
    examples=(
        Example(
            "on-policy, one element is padding",
            Case(
                {"log_probs": np.array([-1.0, -2.0, np.nan]),
                 "old_log_probs": np.array([-1.0, -2.0, np.nan]),
                 "advantages": np.array([4.0, -1.0, np.inf]),
                 "mask": np.array([True, True, False])},
                "on-policy", "worked by hand",
            ),
            {"surrogate": "3/2"},
        ),
    ),
    laws=(
        Law("ratio", "a single advantage of 1 counts with its own likelihood ratio", check_ratio),
        *shared_laws("log_probs"),
    ),
    gradient_judged=True,
    gradients=("log_probs",),
    handed_over=ARRAYS[1:],
    known_bugs=(
        *ratio_bugs(TERM),
        *mean_bugs("surrogate", ARRAYS, (), TERM, "total / count"),
    ),
    conventions=(
        *mean_conventions("log_probs", "total, count = 0, 0\n", TERM, "total / count"),
        Convention(
            "sign", "loss", "the loss to minimise, not the objective to raise",
            edits=(("scalar(total / count,", "scalar(-total / count,"),),
        ),
        CLAMPED,
    ),
    equivalents=(
        Equivalent("negated log-probabilities", "exp(old − new) of −log π (hill-a#447)",
                   ratio_of_products),
    ),
    bad_inputs=(
        *bad_floats("surrogate", "log_probs", "[...]"),
        *bad_arrays("surrogate", "log_probs", ARRAYS[1:]),
        *bad_masks("surrogate", "log_probs"),
    ),
    exact=False,
    sizes=SIZES,
    sized=sized_case(ARRAYS),
    good=good_case(ARRAYS),
)  # fmt: skip

# --- the length of a step ------------------------------------------------------------------------


def check_predicted(subject: Subject, case: Case) -> Iterable[Claim]:
    """Half of (βs)ᵀF(βs) is δ."""
    length = measured(*(x(case)["length"] for x in (subject, subject.bound)))[()]
    curvature: Any = 0
    for s, product in zip(case["direction"], case["curvature_product"], strict=True):
        curvature = curvature + exactly(s) * exactly(product)
    yield vanishes(length * length * curvature - 2 * exactly(case["delta"]))


def check_longer(subject: Subject, case: Case) -> Iterable[Claim]:
    """Four times the direction wants a quarter of the length."""
    longer = case.but(
        direction=4 * case["direction"], curvature_product=4 * case["curvature_product"]
    )
    yield from same(subject, longer, {"length": subject(case)["length"] / 4}, case, 0.25)


def check_farther(subject: Subject, case: Case) -> Iterable[Claim]:
    """Four times the divergence allows twice the length."""
    farther = case.but(delta=4 * case["delta"])
    yield from same(subject, farther, {"length": 2 * subject(case)["length"]}, case, 2.0)


def lagrange_multiplier(
    direction: np.ndarray, curvature_product: np.ndarray, *, delta: float
) -> np.ndarray:
    """Divide by the multiplier √(½ sᵀFs / δ), as OpenAI's baselines do."""
    return np.asarray(1 / np.sqrt(0.5 * (direction * curvature_product).sum() / delta))


LENGTH_CONTRACT = Contract(
    name="step_length",
    topic="trpo",
    summary="how far a direction may be followed until the predicted divergence is δ",
    source="Schulman et al. 2015, arXiv:1502.05477, appendix C",
    reference=reference.step_length,
    fast=fast.step_length,
    arguments=(
        Argument("direction", "float", "P"),
        Argument("curvature_product", "float", "P"),
        Argument("delta", "number"),
    ),
    outputs=("length",),
    axes=("",),
    inputs=directions(),
    examples=(
        Example(  # 2 + 6 = 8, √(2/8)
            "of curvature 8",
            Case({"direction": np.array([1.0, 2.0]), "curvature_product": np.array([2.0, 3.0]),
                  "delta": 1.0}, "free", "worked by hand"),
            {"length": "1/2"},
        ),
    ),
    laws=(
        Law("predicted", "the predicted divergence of the step is δ", check_predicted),
        Law("longer", "a direction four times as long wants a quarter", check_longer),
        Law("farther", "four times δ allows twice the length", check_farther),
    ),
    gradients=(),
    known_bugs=LENGTH_BUGS,
    equivalents=(
        Equivalent("Lagrange multiplier", "1/√(½ sᵀFs/δ), of OpenAI's baselines",
                   lagrange_multiplier),
    ),
    bad_inputs=(
        *bad_floats("step_length", "direction", "[P]"),
        bad("step_length", "curvature_product", "one short", lambda x: x[1:], ValueError,
            "curvature_product has shape (1,), but direction has shape (2,); they must agree."),
        *(bad("step_length", "curvature_product", name, spoil, ValueError,
              "sᵀFs of direction and curvature_product is not above 0, wanted positive curvature; "
              "add more damping, and look for a stale old policy.")
          for name, spoil in (("no curvature", np.zeros_like), ("the other way", np.negative),
                              ("NaN", lambda x: x * np.nan))),
        bad("step_length", "delta", "zero", lambda _: 0.0, ValueError,
            "delta came as 0.0, wanted a finite number above 0."),
        bad("step_length", "delta", "text", lambda _: "0.01", TypeError,
            "delta came as str, wanted a number."),
    ),
    exact=False,
    sizes=((64,), (65536,), (1048576,)),
    sized=sized_direction,
    good=Case({"direction": np.array([1.0, 2.0]), "curvature_product": np.array([2.0, 3.0]),
               "delta": 0.5}, label="good"),
)  # fmt: skip

# --- the line search -----------------------------------------------------------------------------


def trial(case: Case, j: int) -> np.ndarray:
    """Return the j-th trial, counted from 0, in fractions."""
    share = Fraction(case["backtrack"]) ** j
    moved: np.ndarray = exact(case["parameters"]) + exact(case["step"]) * share
    return moved


def fits(case: Case, place: np.ndarray) -> bool:
    """Whether a place, in fractions, improves and lies within the bound."""
    within = case["constraint"](place) <= Fraction(case["delta"])
    return bool(case["objective"](place) > 0 and within)


def undecided(subject: Subject, case: Case) -> float:
    """Return what rounding leaves open about which trial is accepted: 0 is nothing."""
    bounds = subject.bound(case)
    return float(bounds["accepted"] + bounds["tries"])


def check_both_conditions(subject: Subject, case: Case) -> Iterable[Claim]:
    """What is accepted improves and lies within the bound."""
    found = subject(case)
    if found["accepted"]:
        fine = fits(case, trial(case, int(found["tries"]) - 1))
        yield said(fine, undecided(subject, case))


def check_earlier(subject: Subject, case: Case) -> Iterable[Claim]:
    """What was tried before, did not."""
    for j in range(int(subject(case)["tries"]) - 1):
        yield said(not fits(case, trial(case, j)), undecided(subject, case))


def check_on_the_line(subject: Subject, case: Case) -> Iterable[Claim]:
    """What is accepted is a trial: θ and a power of the factor times the step."""
    found = subject(case)
    if found["accepted"]:
        wanted = trial(case, int(found["tries"]) - 1)
        yield equals_exactly(found["parameters"], wanted, subject.bound(case)["parameters"])


def check_untouched(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where nothing is accepted all trials were made, and the parameters are what they were."""
    found = subject(case)
    if not found["accepted"]:
        nothing = np.zeros_like(found["parameters"])
        yield Claim(found["parameters"], case["parameters"], nothing)
        yield said(int(found["tries"]) == case["max_backtracks"], 0.0)


def powers(objective: Any, constraint: Any, parameters: np.ndarray, step: np.ndarray, *,
           delta: float, backtrack: float, max_backtracks: int) -> tuple[Any, ...]:  # fmt: skip
    """Try all shares at once and take the first, as rllab does."""
    for tries, share in enumerate(backtrack ** np.arange(max_backtracks), 1):
        place = parameters + share * step
        if constraint(place) <= delta and objective(place) > 0:
            return place, True, tries
    return parameters + 0 * step, False, max_backtracks


LOOP = "for _ in range(max_backtracks):"
FULL = "share: Any = 1"
GOOD_SEARCH = Case(
    {"objective": Polynomial(((1, (1,)),)), "constraint": Polynomial(((1, (2,)),)),
     "parameters": np.zeros(2), "step": np.array([2.0, 1.0]), "delta": 1.0, "backtrack": 0.5,
     "max_backtracks": 3}, "later", "good",
)  # fmt: skip


SEARCH_CONTRACT = Contract(
    name="line_search",
    topic="trpo",
    summary="longest of ever shorter steps that improves and stays within the bound",
    source="Schulman et al. 2015, arXiv:1502.05477, appendix C",
    reference=reference.line_search,
    fast=fast.line_search,
    arguments=(
        Argument("objective", "function"),
        Argument("constraint", "function"),
        Argument("parameters", "float", "P"),
        Argument("step", "float", "P"),
        Argument("delta", "number"),
        Argument("backtrack", "number"),
        Argument("max_backtracks", "count"),
    ),
    outputs=("parameters", "accepted", "tries"),
    axes=("P", "", ""),
    counted=("accepted", "tries"),
    inputs=searches(),
    examples=(
        Example(  # 4 + 0 > 1, then 1 ≤ 1
            "the second trial", GOOD_SEARCH.but(constraint=Polynomial(((1, (2,)),)), delta=1.25),
            {"parameters": ["1", "1/2"], "accepted": "1", "tries": "2"},
        ),
        Example(
            "no trial", GOOD_SEARCH.but(objective=Polynomial(((-1, (1,)),))),
            {"parameters": ["0", "0"], "accepted": "0", "tries": "3"},
        ),
    ),
    laws=(
        Law("both-conditions", "what is accepted improves and lies within the bound",
            check_both_conditions, claim="C23"),
        Law("untouched", "where nothing is accepted the parameters are what they were, to the bit",
            check_untouched, claim="C23"),
        Law("earlier-refused", "no longer step would have done", check_earlier),
        Law("on-the-line", "what is accepted lies on the line, at a power of the factor",
            check_on_the_line),
    ),
    gradients=(),
    known_bugs=(
        *SEARCH_BUGS,
        KnownBug("F12", "_moved(parameters, share, step)", "_moved(parameters, -share, step)"),
        KnownBug("T1", FULL, "share: Any = backtrack"),
    ),
    conventions=(
        Convention(
            "trials", "one-more", "max_backtracks counts the shorter steps, not the full one",
            edits=((LOOP, "for _ in range(max_backtracks + 1):"),),
        ),
        Convention(
            "acceptance", "kl-within-1.5-delta",
            "the divergence may exceed δ by half (OpenAI's baselines)",
            edits=(("_accepts(improvement, divergence, delta)",
                    "_accepts(improvement, divergence, 1.5 * delta)"),),
        ),
    ),
    equivalents=(Equivalent("powers", "all shares at once (rllab)", powers),),
    bad_inputs=(
        bad("line_search", "objective", "a number", lambda _: 3, TypeError,
            "objective came as int, wanted a function."),
        bad("line_search", "constraint", "an array", lambda _: lambda x: x, ValueError,
            "constraint returned shape (2,), wanted a single number."),
        *bad_floats("line_search", "parameters", "[P]"),
        bad("line_search", "step", "one short", lambda x: x[1:], ValueError,
            "step has shape (1,), but parameters has shape (2,); they must agree."),
        *bad_search("line_search"),
    ),
    sizes=((6,), (1024,), (65536,)),
    sized=sized_search,
    good=GOOD_SEARCH,
)  # fmt: skip

CONTRACTS = (SURROGATE_CONTRACT, LENGTH_CONTRACT, SEARCH_CONTRACT, UPDATE_CONTRACT)
