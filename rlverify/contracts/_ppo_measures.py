"""Contracts of what a run of PPO watches: KL estimates, the clip fraction, explained variance.

They belong to the topic `ppo`; they stand here so that each file fits a sitting.
"""

from collections.abc import Iterable

import numpy as np

from rlverify.contract import (
    Argument,
    Case,
    Claim,
    Contract,
    Convention,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._masks import mask_of
from rlverify.contracts._measured import exactly
from rlverify.contracts._ppo_cases import (
    SIZES,
    at,
    bad_arrays,
    bad_ratios,
    good_case,
    impulses,
    mean_bugs,
    mean_conventions,
    ratio_cases,
    shared_laws,
    sized_case,
    transposed,
    value_cases,
)
from rlverify.contracts._recordings import same
from rlverify.contracts._refusals import bad, bad_floats, bad_masks
from rlverify.fast import ppo as fast
from rlverify.reference import ppo as reference
from rlverify.refusals import KL_ESTIMATORS

PAIR = ("log_probs", "old_log_probs")
START = "total, count = 0, 0\n"


def moved(case: Case, log_ratio: float) -> Iterable[Case]:
    """Yield the case with one log-ratio, elsewhere 0: in the first and the last real place."""
    for place in impulses(case, "log_probs"):
        now = at(place, case["log_probs"], log_ratio)
        yield case.but(log_probs=now, old_log_probs=np.zeros(now.shape))


def real_count(case: Case, array: str) -> int:
    """Return how many elements are real."""
    return int(mask_of(case, array).sum())


# --- approximate_kl ----------------------------------------------------------------------------


def check_terms(subject: Subject, case: Case) -> Iterable[Claim]:
    """A single log-ratio d among N costs −d, d²/2 or eᵈ − 1 − d, over N."""
    for d in (-1.0, 2.0):
        tracked = exactly(d)
        terms = (-tracked, tracked * tracked / 2, tracked.exp() - 1 - tracked)
        for estimator, term in zip(KL_ESTIMATORS, terms, strict=True):
            for single in moved(case.but(estimator=estimator), d):
                wanted = term / real_count(case, "log_probs")
                allowed = subject.bound(single)["kl"] + wanted.running_bound()
                yield Claim(subject(single)["kl"], np.array(float(wanted)), np.asarray(allowed))


def check_exchanged(subject: Subject, case: Case) -> Iterable[Claim]:
    """k1 changes its sign when the policies are exchanged, k2 does not change."""
    if case["estimator"] != "k3":
        turned = case.but(log_probs=case["old_log_probs"], old_log_probs=case["log_probs"])
        sign = -1 if case["estimator"] == "k1" else 1
        yield from same(subject, turned, {"kl": sign * subject(case)["kl"]}, case)


def check_not_negative(subject: Subject, case: Case) -> Iterable[Claim]:
    """k2 and k3 are not negative, and not 0 where the policies differ."""
    if case["estimator"] != "k1":
        got, allowed = subject(case)["kl"], subject.bound(case)["kl"]
        yield Claim(np.minimum(got, 0), np.zeros(()), np.asarray(allowed))


KL_TERMS = "total = total + exp_surplus(settled(d))"
GAP = "d = log_probs[i] - old_log_probs[i]"
RESULT = "total / count"


def kl_mean_bugs() -> tuple[KnownBug, ...]:
    """Return the bugs of masks and means; three lines add a term, so one is not edited."""
    found = {
        bug.id: bug for bug in mean_bugs("approximate_kl", PAIR, ("estimator",), KL_TERMS, RESULT)
    }
    masked = "* (1 if mask is None else int(mask[i]))"
    multiplied = KnownBug(
        "K6", "for i in real_places(log_probs, mask):", "for i in np.ndindex(log_probs.shape):",
        also=((GAP, f"d = (log_probs[i] - old_log_probs[i]) {masked}"),
              ("count = count + 1", f"count = count + 1 {masked}")),
    )  # fmt: skip
    return found["E12"], found["E13"], multiplied, found["K17"]


def rows_of_kl() -> Convention:
    """Return the convention of a mean over rows of means: a recursion over the rows."""
    return Convention(
        "reduction", "mean-of-rows", "the mean over rows (sequences) of the mean of each",
        edits=((
            START,
            "if log_probs.ndim > 1:\n"
            "        rows = [h for h in range(len(log_probs)) if mask is None or mask[h].any()]\n"
            "        means = [approximate_kl(\n"
            "            log_probs[h].reshape(-1), old_log_probs[h].reshape(-1),\n"
            "            None if mask is None else mask[h].reshape(-1), estimator=estimator)[()]\n"
            "            for h in rows]\n"
            "        return scalar(sum(means) / len(means), log_probs)\n"
            f"    {START}",
        ),),
    )  # fmt: skip


KL_CONTRACT = Contract(
    name="approximate_kl",
    topic="ppo",
    summary="estimate of KL(old‖new) from log-probabilities of the actions taken: k1, k2 or k3",
    source='Schulman 2020, "Approximating KL divergence"',
    reference=reference.approximate_kl,
    fast=fast.approximate_kl,
    arguments=(
        *(Argument(name, "float", "...") for name in PAIR),
        Argument("mask", "mask", "..."),
        Argument("estimator", "choice"),
    ),
    outputs=("kl",),
    axes=("",),
    inputs=ratio_cases((*PAIR, "mask", "estimator"), ("far", "tiny", "tiny", "on-policy")),
    examples=(
        Example(
            "k1 may be negative",
            Case(
                {"log_probs": np.array([-1.0, -4.0, np.nan]),
                 "old_log_probs": np.array([-3.0, -3.0, 0.0]),
                 "mask": np.array([True, True, False]), "estimator": "k1"},
                "near", "worked by hand",
            ),
            {"kl": "-1/2"},
        ),
        Example(
            "k2 is half the mean square",
            Case(
                {"log_probs": np.array([-1.0, -4.0]), "old_log_probs": np.array([-3.0, -3.0]),
                 "mask": None, "estimator": "k2"},
                "near", "worked by hand",
            ),
            {"kl": "5/4"},
        ),
    ),
    laws=(
        Law("terms", "a single log-ratio d costs −d, d²/2 or eᵈ − 1 − d, over N", check_terms),
        Law("exchanged", "k1 changes its sign when the policies are exchanged, k2 does not change",
            check_exchanged),
        Law("not-negative", "k2 and k3 are not negative", check_not_negative),
        *shared_laws("log_probs"),
    ),
    gradient_judged=True,
    gradients=("log_probs",),
    handed_over=PAIR[1:],
    logged=True,
    known_bugs=(
        KnownBug("E28", 'if estimator == "k1":', "if True:"),
        # the edge is a number of the case's kind, so that its exponential carries a bound
        KnownBug("E30", GAP, "edge = 1 + 0 * log_probs[i]\n"
                 "        d = min(max(log_probs[i] - old_log_probs[i], -edge), edge)"),
        KnownBug("E32", GAP, "d = old_log_probs[i] - log_probs[i]"),
        *kl_mean_bugs(),
    ),
    conventions=(
        Convention(
            "k3", "as-written", "eᵈ − 1 − d as it stands, or expm1(d) − d: fewer digits near d = 0 "
            "(CleanRL, Stable-Baselines3, TRL)",
            edits=((KL_TERMS, "total = total + (np.exp(d) - 1 - d)"),),
        ),
        Convention("reduction", "sum", "the sum over the real elements",
                   edits=(("scalar(total / count", "scalar(total"),)),
        rows_of_kl(),
    ),
    bad_inputs=(
        *bad_floats("approximate_kl", "log_probs", "[...]"),
        *bad_arrays("approximate_kl", "log_probs", PAIR[1:]),
        *bad_masks("approximate_kl", "log_probs"),
        bad("approximate_kl", "estimator", "another", lambda _: "k4", ValueError,
            "estimator came as 'k4', wanted one of k1, k2, k3."),
    ),
    exact=False,
    sizes=SIZES,
    sized=sized_case(PAIR, estimator="k3"),
    good=good_case(PAIR, estimator="k3"),
)  # fmt: skip


# --- clip_fraction -----------------------------------------------------------------------------


def check_single(subject: Subject, case: Case) -> Iterable[Claim]:
    """Of N ratios one that lies outside is 1/N, above as below; none is 0."""
    count = real_count(case, "log_probs")
    # e^(±5/8) is 1.87 and 0.54: beyond 3/4 above 1, within it below
    for d, edge, outside in ((4, 0.25, 1), (-4, 0.25, 1), (0.625, 0.75, 1), (-0.625, 0.75, 0)):
        for single in moved(case.but(clip_range=edge), d):
            yield from same(subject, single, {"fraction": np.array(outside / count)})


OUTSIDE = "outside = outside + 1 - reached(low, ratio) * reached(ratio, high)"
RATIO = "np.exp(log_probs[i] - old_log_probs[i])"

FRACTION_CONTRACT = Contract(
    name="clip_fraction",
    topic="ppo",
    summary="share of the elements whose ratio lies outside the clip range",
    source="Dhariwal et al. 2017, OpenAI Baselines, ppo2",
    reference=reference.clip_fraction,
    fast=fast.clip_fraction,
    arguments=(
        *(Argument(name, "float", "...") for name in PAIR),
        Argument("mask", "mask", "..."),
        Argument("clip_range", "number"),
    ),
    outputs=("fraction",),
    axes=("",),
    inputs=ratio_cases((*PAIR, "mask", "clip_range"), ("far", "on-policy", "narrow", "narrow")),
    examples=(
        Example(
            "one above, one below, two inside, one padded",
            Case(
                {"log_probs": np.array([1.0, -1.0, 0.0, 0.125, 9.0]), "old_log_probs": np.zeros(5),
                 "mask": np.array([True, True, True, True, False]), "clip_range": 0.25},
                "near", "worked by hand",
            ),
            {"fraction": "1/2"},
        ),
    ),
    laws=(
        Law("single", "of N ratios one that lies outside is 1/N", check_single),
        *shared_laws("log_probs"),
    ),
    gradients=(),
    known_bugs=(
        KnownBug("E1", "1 - below", "below"),
        KnownBug("E5", RATIO, "np.exp(log_probs[i] - log_probs[i])"),
        KnownBug("E6", RATIO, "np.exp(old_log_probs[i] - log_probs[i])"),
        KnownBug("E34a", OUTSIDE, "outside = outside + abs(ratio - 1)"),
        KnownBug("E34b", OUTSIDE, "outside = outside + reached(high, ratio)"),
        *mean_bugs("clip_fraction", PAIR, ("clip_range",), OUTSIDE, "outside / count")[:2],
        mean_bugs("clip_fraction", PAIR, ("clip_range",), OUTSIDE, "outside / count")[3],
    ),
    conventions=(
        *mean_conventions("log_probs", "outside, count = 0, 0\n", OUTSIDE, "outside / count"),
    ),
    bad_inputs=bad_ratios("clip_fraction", PAIR),
    exact=False,
    sizes=SIZES,
    sized=sized_case(PAIR, clip_range=0.2),
    good=good_case(PAIR, clip_range=0.25),
)  # fmt: skip


# --- explained_variance ------------------------------------------------------------------------


def check_scaled(subject: Subject, case: Case) -> Iterable[Claim]:
    """Predictions of c times the returns explain 1 − (1 − c)²."""
    returns = np.where(mask_of(case, "returns"), case["returns"], 0)
    for share, wanted in ((0.0, 0.0), (0.5, 0.75), (1.0, 1.0), (-1.0, -3.0)):
        scaled = case.but(values=share * returns, returns=returns)
        yield from same(subject, scaled, {"explained": np.array(wanted)})


def check_shifted(subject: Subject, case: Case) -> Iterable[Claim]:
    """A constant added to every prediction changes nothing."""
    shifted = case.but(values=case["values"] + 8)
    yield from same(subject, shifted, subject(case), case)


EXPLAINED_CONTRACT = Contract(
    name="explained_variance",
    topic="ppo",
    summary="share of the variance of the returns that the predictions explain",
    source="Dhariwal et al. 2017, OpenAI Baselines, explained_variance",
    reference=reference.explained_variance,
    fast=fast.explained_variance,
    arguments=(
        Argument("values", "float", "..."),
        Argument("returns", "float", "..."),
        Argument("mask", "mask", "..."),
    ),
    outputs=("explained",),
    axes=("",),
    inputs=value_cases(("values", "returns", "mask"), least=2),
    examples=(
        Example(
            "half the size is three quarters; one is padded",
            Case({"values": np.array([1.0, 3.0, np.nan]), "returns": np.array([0.0, 4.0, np.inf]),
                  "mask": np.array([True, True, False])}, label="worked by hand"),
            {"explained": "3/4"},
        ),
    ),
    laws=(
        Law("scaled", "predictions of c times the returns explain 1 − (1 − c)²", check_scaled),
        Law("shift-invariant", "a constant added to every prediction changes nothing",
            check_shifted),
        *shared_laws("values"),
    ),
    gradients=(),
    known_bugs=(
        KnownBug("E35", "spread = sum((returns[i] - mean_return)",
                 "mean_return = sum(values[i] for i in real) / len(real)\n"
                 "    spread = sum((values[i] - mean_return)"),
        KnownBug("K12", "left = sum((returns[i]", f"left = sum(({transposed('returns')}"),
        KnownBug("E12", "real_places(values, mask)", "real_places(values, None)"),
        KnownBug("E13", "for i in real) / len(real)\n    mean_return",
                 "for i in real) / values.size\n    mean_return"),
    ),
    conventions=(
        Convention(
            "mean", "error-not-centred", "1 − E[(R − V)²]/Var[R], the coefficient of determination",
            edits=(("(returns[i] - values[i] - mean_error)", "(returns[i] - values[i])"),),
        ),
    ),
    bad_inputs=(
        *bad_floats("explained_variance", "values", "[...]"),
        *bad_arrays("explained_variance", "values", ("returns",)),
        *bad_masks("explained_variance", "values"),
    ),
    sizes=SIZES,
    sized=sized_case(("values", "returns")),
    good=good_case(("values",), returns=np.arange(6.0).reshape(2, 3)[::-1]),
)  # fmt: skip


MEASURES = (KL_CONTRACT, FRACTION_CONTRACT, EXPLAINED_CONTRACT)
