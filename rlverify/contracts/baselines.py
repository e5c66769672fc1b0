"""Contracts of the topic `baselines`: what is taken off a return before it weighs a score."""

from fractions import Fraction

import numpy as np

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Contract,
    Equivalent,
    Example,
    KnownBug,
    Law,
)
from rlverify.contracts._baseline_laws import (
    OWN_SILENT,
    SAME_SUM,
    SCORE_SIZES,
    SHIFTED,
    SIZES,
    TURNED,
    batches,
    check_components,
    check_renamed,
    check_samples,
    check_score_scale,
    check_score_shift,
    check_silent,
    check_single_state,
    check_state_shift,
    check_stationary,
    impulse,
    scored,
    sized_batch,
    sized_scores,
    sized_visits,
    visits,
)
from rlverify.contracts._refusals import bad
from rlverify.fast import baselines as fast
from rlverify.reference import baselines as reference

RETURNS = Case({"returns": np.array([1.0, 2.0, 6.0, 3.0])}, "plain", "worked by hand")


def bad_returns(function: str) -> tuple[BadInput, ...]:
    """Return the refusals of returns [N]."""
    return (
        bad(function, "returns", "a list", np.ndarray.tolist, TypeError,
            "returns came as list, wanted a floating-point array [N]."),
        bad(function, "returns", "integers", lambda x: x.astype(np.int64), TypeError,
            "returns came as dtype int64, wanted a floating-point dtype."),
        bad(function, "returns", "two axes", lambda x: x[:, None], ValueError,
            "returns came with shape (4, 1), wanted [N]."),
        bad(function, "returns", "empty", lambda x: x[:0], ValueError,
            "returns came with shape (0,), wanted at least one element."),
    )  # fmt: skip


HALVES = (
    "half = samples // 2\n"
    "        parts = [p for p in (returns[:half], returns[half:]) if len(p)]\n"
    "        baselines[i] = sum(sum(p) / len(p) for p in parts) / len(parts)"
)

BATCH_MEAN_CONTRACT = Contract(
    name="batch_mean_baseline",
    topic="baselines",
    summary="mean return of the batch, the same for every sample",
    source="Williams 1992, section 4",
    reference=reference.batch_mean_baseline,
    fast=fast.batch_mean_baseline,
    arguments=(Argument("returns", "float", "N"),),
    outputs=("baselines",),
    inputs=batches(single=True),
    examples=(Example("four samples", RETURNS, {"baselines": ["3", "3", "3", "3"]}),),
    laws=(SHIFTED, TURNED, SAME_SUM, impulse(lambda i, j, n: Fraction(1, n))),
    gradients=("returns",),
    known_bugs=(
        KnownBug("A19", "return baselines", "return baselines.squeeze()"),
        KnownBug("C3", "baselines[i] = total / samples",
                 "baselines[i] = sum(returns[: i + 1]) / (i + 1)"),
        KnownBug("K17", "baselines[i] = total / samples", HALVES),
        KnownBug("L9", "baselines[i] = total / samples", "baselines[i] = total"),
    ),
    bad_inputs=bad_returns("batch_mean_baseline"),
    sizes=SIZES,
    sized=sized_batch,
    good=Case({"returns": np.arange(4.0)}, "plain", "good"),
)  # fmt: skip


def mean_of_the_others(returns: np.ndarray) -> np.ndarray:
    """Add the others up for every sample."""
    others = ~np.eye(len(returns), dtype=bool)
    return np.array([returns[row].sum() / (len(returns) - 1) for row in others])


LEAVE_ONE_OUT_CONTRACT = Contract(
    name="leave_one_out_baseline",
    topic="baselines",
    summary="mean return of the other samples",
    source="Kool et al. 2019; Mnih and Rezende 2016, arXiv:1602.06725",
    reference=reference.leave_one_out_baseline,
    fast=fast.leave_one_out_baseline,
    arguments=(Argument("returns", "float", "N"),),
    outputs=("baselines",),
    inputs=batches(single=False),
    examples=(Example("four samples", RETURNS, {"baselines": ["11/3", "10/3", "2", "3"]}),),
    laws=(
        OWN_SILENT, SHIFTED, SAME_SUM,
        impulse(lambda i, j, n: Fraction(int(i != j), n - 1)),
    ),
    gradients=("returns",),
    known_bugs=(
        KnownBug("E13", "/ (samples - 1)", "/ samples"),
        KnownBug("L2a", "(total - returns[i]) / (samples - 1)", "total / samples"),
        KnownBug("L2b", "total - returns[i]", "total"),
        KnownBug("L9", " / (samples - 1)", ""),
    ),
    equivalents=(
        Equivalent(
            "others added up", "the mean of the others, without a total", mean_of_the_others
        ),
    ),
    bad_inputs=(
        *bad_returns("leave_one_out_baseline"),
        bad("leave_one_out_baseline", "returns", "alone", lambda x: x[:1], ValueError,
            "returns came with one element, wanted at least two, so that each has others; take "
            "more samples."),
    ),
    sizes=SIZES,
    sized=sized_batch,
    good=Case({"returns": np.arange(4.0)}, "plain", "good"),
)  # fmt: skip

WEIGHTED = "weighted = weighted + scores[i, q] ** 2 * returns[i]"
OPTIMUM = "baselines[p] = 0 if squared == 0 else weighted / squared"
COMPONENTS = "for q in [p] if per_component else range(components):"

VARIANCE_CONTRACT = Contract(
    name="variance_optimal_baseline",
    topic="baselines",
    summary="baseline that minimises the variance of one sample's gradient estimate",
    source="Weaver and Tao 2001; Greensmith et al. 2004; Peters and Schaal 2008",
    reference=reference.variance_optimal_baseline,
    fast=fast.variance_optimal_baseline,
    arguments=(
        Argument("scores", "float", "N P"),
        Argument("returns", "float", "N"),
        Argument("per_component", "switch"),
    ),
    outputs=("baselines",),
    axes=("P",),
    inputs=scored(),
    examples=tuple(
        Example(
            name,
            Case({"scores": np.array([[1.0, 0.0, 0.0], [1.0, 2.0, 0.0]]),
                  "returns": np.array([4.0, 1.0]), "per_component": per_component},
                 label="worked by hand"),
            {"baselines": answer},
        )
        for name, per_component, answer in (
            ("one a component, one silent", True, ["5/2", "1", "0"]),
            ("one for all", False, ["3/2", "3/2", "3/2"]),
        )
    ),
    laws=(
        Law("variance-is-flat", "Σ s² (R − b) = 0 at the baseline", check_stationary, claim="C9"),
        Law("shifts-with-returns", "8 more on every return, 8 more on the baseline",
            check_score_shift),
        Law("score-scale", "twice the scores leave the baseline as it is", check_score_scale),
        Law("samples-exchanged", "the order of the samples does not matter", check_samples),
        Law("components-alone", "a component's own baseline is that of its scores alone",
            check_components),
        Law("silent-is-zero", "where every score is 0 the baseline is 0", check_silent),
    ),
    gradients=("scores", "returns"),
    known_bugs=(
        KnownBug("A10", WEIGHTED, WEIGHTED.replace("returns[i]", "returns[i - 1]")),
        KnownBug("A20", OPTIMUM, "baselines[p] = 0 if squared == 0 else sum(returns) / samples"),
        KnownBug("E10", OPTIMUM, "baselines[p] = weighted / squared"),
        KnownBug("E11a", COMPONENTS, "for q in [p]:"),
        KnownBug("E11b", COMPONENTS, "for q in range(components):"),
        KnownBug("L9", OPTIMUM, "baselines[p] = weighted / samples"),
        KnownBug("L11", WEIGHTED, "weighted = weighted + abs(scores[i, q]) * returns[i]",
                 also=(("squared = squared + scores[i, q] ** 2",
                        "squared = squared + abs(scores[i, q])"),)),
    ),
    bad_inputs=(
        bad("variance_optimal_baseline", "scores", "one axis", lambda x: x[:, 0], ValueError,
            "scores came with shape (3,), wanted [N, P]."),
        bad("variance_optimal_baseline", "scores", "integers", lambda x: x.astype(np.int64),
            TypeError, "scores came as dtype int64, wanted a floating-point dtype."),
        bad("variance_optimal_baseline", "returns", "one a component", lambda x: x[:2], ValueError,
            "returns has shape (2,), but scores has shape (3, 2); they must agree."),
        bad("variance_optimal_baseline", "per_component", "a number", lambda _: 1, TypeError,
            "per_component came as int, wanted a bool."),
    ),
    sizes=SCORE_SIZES,
    sized=sized_scores,
    good=Case({"scores": np.arange(6.0).reshape(3, 2), "returns": np.arange(3.0),
               "per_component": True}, label="good"),
)  # fmt: skip

SAME_STATE = "if states[j] == states[i]:"

VALUE_CONTRACT = Contract(
    name="value_baseline",
    topic="baselines",
    summary="mean return of the samples in the same state",
    source="Sutton and Barto 2018, sections 5.1 and 13.4",
    reference=reference.value_baseline,
    fast=fast.value_baseline,
    arguments=(Argument("states", "integer", "N"), Argument("returns", "float", "N")),
    outputs=("baselines",),
    inputs=visits(),
    examples=(
        Example(
            "three states, one met once",
            Case({"states": np.array([4, 0, 4, 9, 0, 4]),
                  "returns": np.array([1.0, 2.0, 3.0, 7.0, 5.0, 1.0])}, label="worked by hand"),
            {"baselines": ["5/3", "7/2", "5/3", "7", "7/2", "5/3"]},
        ),
    ),
    laws=(
        Law("state-shifts-alone", "8 more on the returns of a state move its baselines alone",
            check_state_shift),
        Law("states-renamed", "the numbers of the states do not matter", check_renamed),
        Law("single-state", "in a single state it is the mean return", check_single_state),
        TURNED, SAME_SUM,
    ),
    gradients=("returns",),
    known_bugs=(
        KnownBug("E13", "total / count", "total / samples"),
        KnownBug("K15a", SAME_STATE, "if True:"),
        KnownBug("K15b", SAME_STATE,
                 "if all(states[k] == states[i] for k in range(min(i, j), max(i, j))):"),
        KnownBug("K15c", SAME_STATE, "if states[j] <= states[i]:"),
        KnownBug("L9", "total / count", "total"),
    ),
    bad_inputs=(
        *bad_returns("value_baseline"),
        bad("value_baseline", "states", "numbers", lambda x: x * 1.0, TypeError,
            "states came as dtype float64, wanted int64."),
        bad("value_baseline", "states", "one too few", lambda x: x[1:], ValueError,
            "states has shape (3,), but returns has shape (4,); they must agree."),
        bad("value_baseline", "states", "negative", lambda x: x - 1, ValueError,
            "states came with -1 in it, wanted integers of at least 0."),
    ),
    sizes=SIZES,
    sized=sized_visits,
    good=Case({"states": np.array([0, 1, 0, 2]), "returns": np.arange(4.0)}, label="good"),
)  # fmt: skip

CONTRACTS = (
    BATCH_MEAN_CONTRACT,
    LEAVE_ONE_OUT_CONTRACT,
    VARIANCE_CONTRACT,
    VALUE_CONTRACT,
)
