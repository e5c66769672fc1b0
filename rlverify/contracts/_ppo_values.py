"""The contract of `clipped_value_loss`: the critic's loss, never below the plain squared error.

It belongs to the topic `ppo`; it stands here so that each file fits a sitting.
"""

from collections.abc import Iterable
from fractions import Fraction

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
from rlverify.contracts._loss_laws import number
from rlverify.contracts._masks import mask_of
from rlverify.contracts._ppo_cases import (
    FREE,
    SIZES,
    bad_arrays,
    bad_range,
    check_pessimistic,
    good_case,
    mean_bugs,
    mean_conventions,
    shared_laws,
    sized_case,
    transposed,
    value_cases,
)
from rlverify.contracts._recordings import equals_exactly
from rlverify.contracts._refusals import bad_floats, bad_masks
from rlverify.fast import ppo as fast
from rlverify.reference import ppo as reference

ARRAYS = ("values", "old_values", "returns")


def half_mean(case: Case, squares: Iterable[Fraction]) -> np.ndarray:
    """Return half the mean over the real elements, exactly."""
    return number(sum(squares, Fraction(0)) / (2 * int(mask_of(case, "values").sum())))


def differences(case: Case, one: str, other: str) -> list[Fraction]:
    """Return the exact differences of the real elements of two arrays."""
    mask = mask_of(case, "values")
    return [
        Fraction(float(x)) - Fraction(float(y))
        for x, y in zip(case[one][mask], case[other][mask], strict=True)
    ]


def check_unheld(subject: Subject, case: Case) -> Iterable[Claim]:
    """With a range that holds nothing back it is half the mean squared error."""
    free = case.but(clip_range=FREE)
    wanted = half_mean(case, (e * e for e in differences(case, "values", "returns")))
    yield equals_exactly(subject(free)["loss"], wanted, subject.bound(free)["loss"])


def check_held(subject: Subject, case: Case) -> Iterable[Claim]:
    """A critic that is right pays for how far beyond the range it has moved."""
    right = case.but(returns=case["values"])
    edge = Fraction(case["clip_range"])
    moves = (abs(d) for d in differences(case, "values", "old_values"))
    wanted = half_mean(case, (max(move - edge, Fraction(0)) ** 2 for move in moves))
    yield equals_exactly(subject(right)["loss"], wanted, subject.bound(right)["loss"])


# --- known bugs, conventions, equivalents ------------------------------------------------------

START = "total, count = 0, 0\n"
TERM = "total = total + (held if held >= plain else plain)"
RESULT = "total / count / 2"
WHOLE = ("scalar(total / count / 2,", "scalar(total / count,")
PLAIN = "plain = (values[i] - returns[i]) ** 2"


def two_sided(
    values: np.ndarray, old_values: np.ndarray, returns: np.ndarray, mask: np.ndarray | None,
    clip_range: float,
) -> np.ndarray:  # fmt: skip
    """Clamp V between V_old ± ε instead of the change."""
    arrays = (values, old_values, returns)
    now, old, target = (x.reshape(-1) if mask is None else x[mask] for x in arrays)
    held = np.minimum(np.maximum(now, old - clip_range), old + clip_range)
    return np.asarray(np.maximum((target - now) ** 2, (target - held) ** 2).mean() * 0.5)


VALUE_CONTRACT = Contract(
    name="clipped_value_loss",
    topic="ppo",
    summary="squared error of the critic, or of a prediction held near the old one if larger",
    source="Dhariwal et al. 2017, OpenAI Baselines, ppo2; Engstrom et al. 2020, arXiv:2005.12729",
    reference=reference.clipped_value_loss,
    fast=fast.clipped_value_loss,
    arguments=(
        *(Argument(name, "float", "...") for name in ARRAYS),
        Argument("mask", "mask", "..."),
        Argument("clip_range", "number"),
    ),
    outputs=("loss",),
    axes=("",),
    inputs=value_cases((*ARRAYS, "mask", "clip_range")),
    examples=(
        Example(
            "inside, held back, and padding",
            Case(
                {"values": np.array([1.0, 4.0, np.nan]), "old_values": np.array([0.5, 0.0, 1.0]),
                 "returns": np.array([3.0, 5.0, np.inf]),
                 "mask": np.array([True, True, False]), "clip_range": 2.0},
                label="worked by hand",
            ),
            {"loss": "13/4"},
        ),
    ),
    laws=(
        Law("unheld", "with a range that holds nothing back it is half the mean squared error",
            check_unheld),
        Law("pessimistic", "the loss is never below that without a range", check_pessimistic,
            claim="C26"),
        Law("held", "a critic that is right pays for how far beyond the range it has moved",
            check_held),
        *shared_laws("values"),
    ),
    gradient_judged=True,
    gradients=("values",),
    handed_over=ARRAYS[1:],
    known_bugs=(
        KnownBug("E19", "change = values[i] - old_values[i]", "change = values[i] - values[i]",
                 also=(("held = (old_values[i] +", "held = (values[i] +"),)),
        KnownBug("E21", "held if held >= plain else plain", "plain if held >= plain else held"),
        KnownBug("K12", PLAIN, PLAIN.replace("returns[i]", transposed("returns")),
                 also=(("+ change - returns[i])", f"+ change - {transposed('returns')})"),)),
        KnownBug(
            "A20", TERM,
            "others = [returns[j] for j in real_places(values, mask)]\n"
            "        pairs = [((values[i] - r) ** 2, (old_values[i] + change - r) ** 2) "
            "for r in others]\n"
            "        total = total + sum(h if h >= p else p for p, h in pairs) / len(others)",
        ),
        *mean_bugs("clipped_value_loss", ARRAYS, ("clip_range",), TERM, RESULT),
    ),
    conventions=(
        Convention(
            "half", "absent", "without the ½ (verl before its #2016)",
            edits=(WHOLE,),
        ),
        *mean_conventions("values", START, TERM, RESULT),
        Convention(
            "clip", "difference-alone", "only the held prediction counts, without the ½ "
            "(Stable-Baselines3)",
            edits=((TERM, "total = total + held"), WHOLE),
        ),
        Convention(
            "clip", "loss", "the squared error is clamped to ε, without old values or the ½ "
            "(RLlib)",
            edits=((TERM, "total = total + (plain if plain < clip_range else clip_range)"), WHOLE),
        ),
    ),
    equivalents=(
        Equivalent("two-sided clamp", "V clamped to V_old ± ε is V_old plus the clamped change",
                   two_sided),
    ),
    bad_inputs=(
        *bad_floats("clipped_value_loss", "values", "[...]"),
        *bad_arrays("clipped_value_loss", "values", ARRAYS[1:]),
        *bad_masks("clipped_value_loss", "values"),
        *bad_range("clipped_value_loss"),
    ),
    sizes=SIZES,
    sized=sized_case(ARRAYS, clip_range=0.1875),
    good=good_case(ARRAYS, clip_range=0.25),
)  # fmt: skip
