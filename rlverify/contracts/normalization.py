"""Contracts of the topic `normalization`: running moments, and what is scaled by them."""

from typing import Any

import numpy as np

from rlverify.contract import Argument, BadInput, Case, Contract, Convention, Example, KnownBug
from rlverify.contracts._moment_cases import (
    MERGE_SIZES,
    MOMENT_SIZES,
    SCALE_SIZES,
    observations,
    pairs,
    reward_streams,
    sized_merge,
    sized_normalize,
    sized_scale,
    sized_update,
    updates,
)
from rlverify.contracts._moment_laws import MERGE_LAWS, NORMALIZE_LAWS, SCALE_LAWS, UPDATE_LAWS
from rlverify.contracts._refusals import bad
from rlverify.fast import normalization as fast
from rlverify.reference import normalization as reference

STATE = ("count", "mean", "variance")


def state(prefix: str = "", axes: str = "D") -> tuple[Argument, ...]:
    """Return the arguments that are a state."""
    return (
        Argument(f"{prefix}count", "float"),
        Argument(f"{prefix}mean", "float", axes),
        Argument(f"{prefix}variance", "float", axes),
    )


def bad_number(function: str, name: str) -> tuple[BadInput, ...]:
    """Return the refusals of a number above 0."""
    return (
        bad(function, name, "zero", lambda _: 0.0, ValueError,
            f"{name} came as 0.0, wanted a finite number above 0."),
        bad(function, name, "NaN", lambda _: float("nan"), ValueError,
            f"{name} came as nan, wanted a finite number above 0."),
        bad(function, name, "text", lambda _: "1", TypeError,
            f"{name} came as str, wanted a number."),
    )  # fmt: skip


def bad_samples(function: str) -> tuple[BadInput, ...]:
    """Return the refusals of samples [N, D] beside a state of two components."""
    return (
        bad(function, "x", "a list", np.ndarray.tolist, TypeError,
            "x came as list, wanted a floating-point array [N, D]."),
        bad(function, "x", "one axis", lambda x: x[0], ValueError,
            "x came with shape (2,), wanted [N, D]."),
        bad(function, "x", "no samples", lambda x: x[:0], ValueError,
            "x came with shape (0, 2), wanted at least one element."),
        bad(function, "x", "other components", lambda x: x[:, :1], ValueError,
            "x has shape (3, 1), but mean has shape (2,); they must agree."),
        bad(function, "variance", "a number", lambda _: 1.0, TypeError,
            "variance came as float, wanted a floating-point array [D]."),
    )  # fmt: skip


# --- conventions ---------------------------------------------------------------------------------


def nothing_held(case: Case) -> Case:
    """Return the same case with nothing in empty states: a sum of no squares is 0."""
    held = {}
    for prefix in ("", "other_"):
        if case.arguments.get(f"{prefix}count") == 0 and case[f"{prefix}variance"].any():
            held[f"{prefix}variance"] = np.zeros_like(case[f"{prefix}variance"])
    return case.but(**held) if held else case


def carried(held: str, *others: str, total: str) -> tuple[Convention, ...]:
    """Return what else a state may carry as its spread."""
    names = (held, *others)
    return (
        Convention(
            "spread", "sum-of-squares", "the state carries the sum of squares about the mean, M₂",
            edits=(*((x, x.split(" * ")[1]) for x in names),
                   (f"_variance({total}, spread)", "spread")),
            nearest=nothing_held,
        ),
        Convention(
            "spread", "sample-variance", "the state carries M₂/(n − 1), of one sample 0",
            edits=(*((x, f"({x[0]} - 1) * {x.split(' * ')[1]}") for x in names),
                   (f"_variance({total}, spread)", f"_variance({total} - 1, spread)")),
            nearest=nothing_held,
        ),
    )  # fmt: skip


def placements(variance: str) -> tuple[Convention, ...]:
    """Return where else ε may stand."""
    root = f"np.sqrt({variance} + eps)"
    return (
        Convention(
            "eps", "added-to-the-deviation", "divides by the deviation plus ε",
            edits=((root, f"np.sqrt({variance}) + eps"),),
        ),
        Convention(
            "eps", "clamp", "divides by the deviation, or by ε where that is larger",
            edits=((root, f"max(np.sqrt({variance}), eps)"),),
        ),
    )  # fmt: skip


# --- known bugs ----------------------------------------------------------------------------------

NAIVE = KnownBug(
    "J5", "sum((number - mean) ** 2 for number in numbers)",
    "sum(number**2 for number in numbers) - len(numbers) * mean**2", helper="_gathered",
)  # fmt: skip
NO_DISTANCE = KnownBug(
    "J15", " + distance * (other - joined) * m", "", helper="_joined"
)  # fmt: skip
MEAN_OF_MEANS = KnownBug(
    "K17", "distance * (m / (n + m))", "distance / 2", helper="_joined"
)  # fmt: skip
MEAN_FOR_VARIANCE = KnownBug(
    "J6", "variances[d] = _variance(total, spread)", "variances[d] = means[d]"
)

# --- contracts -----------------------------------------------------------------------------------

BATCH = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 4.5]])
YOUNG = {"count": np.array(3.0), "mean": np.array([1.0, 0.5]), "variance": np.array([2.0, 0.0])}

UPDATE_CONTRACT = Contract(
    name="running_moments_update",
    topic="normalization",
    summary="moments of everything seen before, and of a batch",
    source="Chan, Golub and LeVeque 1983, The American Statistician 37(3), eq. 2.1",
    reference=reference.running_moments_update,
    fast=fast.running_moments_update,
    arguments=(*state(), Argument("x", "float", "N D")),
    outputs=STATE,
    axes=("", "D", "D"),
    inputs=updates(),
    examples=(
        Example(
            "three samples after three",
            Case({**YOUNG, "x": BATCH}, "young", "worked by hand"),
            {"count": "6", "mean": ["2", "1"], "variance": ["10/3", "5/2"]},
        ),
    ),
    laws=UPDATE_LAWS,
    gradients=(),
    known_bugs=(
        KnownBug("J1", "n, samples = count[()], len(x)", "n, samples = count[()], 1"),
        KnownBug("J2", "n * variance[d]", "0 * variance[d]"),
        NAIVE,
        MEAN_FOR_VARIANCE,
        NO_DISTANCE,
        MEAN_OF_MEANS,
    ),
    conventions=carried("n * variance[d]", total="total"),
    bad_inputs=(
        *bad_samples("running_moments_update"),
        bad("running_moments_update", "count", "negative", lambda x: np.asarray(x - 4), ValueError,
            "count came with an element outside [0, 9007199254740989]."),
        bad("running_moments_update", "count", "too large to count on",
            lambda x: np.asarray(x + 2.0**53), ValueError,
            "count came with an element outside [0, 9007199254740989]."),
        bad("running_moments_update", "count", "a number", lambda _: 3, TypeError,
            "count came as int, wanted a floating-point array []."),
    ),
    sizes=MOMENT_SIZES,
    sized=sized_update,
    good=Case({**YOUNG, "x": BATCH}, "young", "good"),
)  # fmt: skip

OTHER = {"other_count": np.array(1.0), "other_mean": np.array([5.0, 0.5]),
         "other_variance": np.array([0.0, 3.0])}  # fmt: skip

MERGE_CONTRACT = Contract(
    name="running_moments_merge",
    topic="normalization",
    summary="moments of two streams together",
    source="Chan, Golub and LeVeque 1983, The American Statistician 37(3), eq. 2.1",
    reference=reference.running_moments_merge,
    fast=fast.running_moments_merge,
    arguments=(*state(), *state("other_")),
    outputs=STATE,
    axes=("", "D", "D"),
    inputs=pairs(),
    examples=(
        Example(
            "three samples and one",
            Case({**YOUNG, **OTHER}, "young", "worked by hand"),
            {"count": "4", "mean": ["2", "1/2"], "variance": ["9/2", "3/4"]},
        ),
    ),
    laws=MERGE_LAWS,
    gradients=(),
    known_bugs=(
        KnownBug("J1", "m = count[()], other_count[()]", "m = count[()], 1 + 0 * other_count[()]"),
        KnownBug("J2", "n * variance[d]", "0 * variance[d]"),
        MEAN_FOR_VARIANCE,
        NO_DISTANCE,
        MEAN_OF_MEANS,
    ),
    conventions=carried("n * variance[d]", "m * other_variance[d]", total="total"),
    bad_inputs=(
        bad("running_moments_merge", "mean", "integers", lambda x: x.astype(np.int64), TypeError,
            "mean came as dtype int64, wanted a floating-point dtype."),
        bad("running_moments_merge", "other_mean", "other components", lambda x: x[:1], ValueError,
            "other_mean has shape (1,), but mean has shape (2,); they must agree."),
        bad("running_moments_merge", "other_variance", "two axes", lambda x: x[:, None],
            ValueError, "other_variance came with shape (2, 1), wanted [D]."),
        bad("running_moments_merge", "other_count", "one a component", lambda x: np.ones(2),
            ValueError, "other_count came with shape (2,), wanted []."),
        bad("running_moments_merge", "other_count", "negative", lambda x: np.asarray(-x),
            ValueError,
            "other_count came with an element outside [0, 4503599627370496]."),
    ),
    sizes=MERGE_SIZES,
    sized=sized_merge,
    good=Case({**YOUNG, **OTHER}, "young", "good"),
)  # fmt: skip

SEEN = Case({"mean": np.array([3.0, 1.0]), "variance": np.array([3.0, 0.0]),
             "x": np.array([[1.0, 1.0], [5.0, 2.0], [90.0, -1.0]]), "eps": 1.0, "clip": 10.0},
            label="worked by hand")  # fmt: skip
OWN_MOMENTS = (
    "own = [_gathered(x[:, k]) for k in range(x.shape[1])]\n"
    "    mean, variance = [m for m, _ in own], [s / len(x) for _, s in own]\n"
    "    normalized = np.empty_like(x)"
)

NORMALIZE_CONTRACT = Contract(
    name="running_moments_normalize",
    topic="normalization",
    summary="samples shifted and scaled by a state's moments, and clipped",
    source="Engstrom et al. 2020, arXiv:2005.12729, section 3",
    reference=reference.running_moments_normalize,
    fast=fast.running_moments_normalize,
    arguments=(
        *state()[1:], Argument("x", "float", "N D"), Argument("eps", "number"),
        Argument("clip", "number"),
    ),
    outputs=("normalized",),
    axes=("N D",),
    inputs=observations(),
    examples=(
        Example(
            "one far out, one component that does not vary", SEEN,
            {"normalized": [["-1", "0"], ["1", "1"], ["10", "-2"]]},
        ),
    ),
    laws=NORMALIZE_LAWS,
    gradients=("x",),
    known_bugs=(
        KnownBug("E10", "variance[d] + eps", "variance[d]"),
        KnownBug("J6", "variance[d] + eps", "abs(mean[d]) + eps"),
        KnownBug("J10", "normalized = np.empty_like(x)", OWN_MOMENTS),
        KnownBug("J16", "np.sqrt(variance[d] + eps)", "variance[d] + eps"),
        KnownBug("J17a", "limited(scaled, -clip, clip)",
                 "scaled if scaled < clip else clip + 0 * scaled"),
        KnownBug("J17b", "(x[i, d] - mean[d]) / deviation",
                 "limited(x[i, d] - mean[d], -clip, clip) / deviation"),
    ),
    conventions=placements("variance[d]"),
    bad_inputs=(
        *bad_samples("running_moments_normalize"),
        *bad_number("running_moments_normalize", "eps"),
        *bad_number("running_moments_normalize", "clip"),
    ),
    exact=False,
    sizes=MOMENT_SIZES,
    sized=sized_normalize,
    good=Case({**SEEN.arguments}, label="good"),
)  # fmt: skip

STREAM: dict[str, Any] = {
    "rewards": np.array([[2.0, 0.0], [-1.0, 4.0], [3.0, 0.0]]),
    "terminated": np.array([[True, False], [False, False], [False, False]]),
    "truncated": np.array([[False, False], [False, True], [False, False]]),
    "returns": np.array([4.0, 0.0]),
    "count": np.array(0.0), "mean": np.array(0.0), "variance": np.array(0.0),
    "gamma": 0.5, "eps": 0.25, "clip": 1.5,
}  # fmt: skip
FIRST_ROW = Case(
    {**{k: v[:1] if np.ndim(v) == 2 else v for k, v in STREAM.items()}, "eps": 12.0},
    "empty", "worked by hand",
)  # fmt: skip
END = "if terminated[t, b] or truncated[t, b]:\n                carried[b] = 0"
COUNT_ZERO = (
    "\n                center, spread = _joined(n, center, n * square, 1, 0, 0)"
    "\n                n = n + 1\n                square = _variance(n, spread)"
)

SCALE_CONTRACT = Contract(
    name="scale_rewards",
    topic="normalization",
    summary="rewards over the running deviation of the discounted return, and clipped",
    source="Engstrom et al. 2020, arXiv:2005.12729, algorithm 1",
    reference=reference.scale_rewards,
    fast=fast.scale_rewards,
    arguments=(
        Argument("rewards", "float", "T B"),
        Argument("terminated", "flag", "T B"),
        Argument("truncated", "flag", "T B"),
        Argument("returns", "float", "B"),
        *state(axes=""),
        Argument("gamma", "number"),
        Argument("eps", "number"),
        Argument("clip", "number"),
    ),
    outputs=("rewards", "returns", *STATE),
    axes=("T B", "B", "", "", ""),
    inputs=reward_streams(),
    examples=(
        Example(
            "returns 4 and 0: variance 4, and 4 + 12 is the square of 4", FIRST_ROW,
            {"rewards": [["1/2", "0"]], "returns": ["0", "0"], "count": "2", "mean": "2",
             "variance": "4"},
        ),
    ),
    laws=SCALE_LAWS,
    gradients=(),
    known_bugs=(
        KnownBug("E10", "np.sqrt(square + eps)", "np.sqrt(square)"),
        KnownBug("J1", "n * square, batch, row_mean", "n * square, 1, row_mean",
                 also=(("n = n + batch", "n = n + 1"),)),
        KnownBug("J2", "n * square, batch", "0 * square, batch"),
        KnownBug("J7a", END, "pass"),
        KnownBug("J7b", "carried[b] = gamma * carried[b] + rewards[t, b]",
                 "carried[b] = 0 if terminated[t, b] or truncated[t, b] "
                 "else gamma * carried[b] + rewards[t, b]"),
        KnownBug("J8", END, END + COUNT_ZERO),
        KnownBug("J13", "limited(rewards[t, b] /", "limited((rewards[t, b] - center) /"),
        NO_DISTANCE,
        KnownBug("J16", "np.sqrt(square + eps)", "square + eps"),
        KnownBug("J17", "limited(rewards[t, b] / deviation, -clip, clip)",
                 "limited(rewards[t, b], -clip, clip) / deviation"),
        MEAN_OF_MEANS,
    ),
    conventions=(
        *placements("square"),
        Convention(
            "deviation", "of-rewards", "divides by the deviation of the rewards, not of returns",
            edits=(("_gathered(carried)", "_gathered(rewards[t])"),),
        ),
        Convention(
            "reset", "at-terminations", "the return runs on after a truncation (Gymnasium 1.0)",
            edits=(("terminated[t, b] or truncated[t, b]:", "terminated[t, b]:"),),
        ),
    ),
    bad_inputs=(
        bad("scale_rewards", "rewards", "one axis", lambda x: x[:, 0], ValueError,
            "rewards came with shape (3,), wanted [T, B]; for a single trajectory pass "
            "rewards[:, None]."),
        bad("scale_rewards", "truncated", "numbers", lambda x: 1.0 * x, TypeError,
            "truncated came as dtype float64, wanted bool."),
        bad("scale_rewards", "returns", "one for all", lambda x: x[:1], ValueError,
            "returns has shape (1,), but rewards has shape (3, 2); they must agree."),
        bad("scale_rewards", "count", "negative", lambda x: np.asarray(x - 1), ValueError,
            "count came with an element outside [0, 9007199254740986]."),
        bad("scale_rewards", "mean", "one axis", lambda x: x[None], ValueError,
            "mean came with shape (1,), wanted []."),
        bad("scale_rewards", "gamma", "above one", lambda _: 1.5, ValueError,
            "gamma came as 1.5, wanted a number in [0, 1]."),
        *bad_number("scale_rewards", "eps"),
        *bad_number("scale_rewards", "clip"),
    ),
    exact=False,
    sizes=SCALE_SIZES,
    sized=sized_scale,
    good=Case(STREAM, "empty", "good"),
)  # fmt: skip

CONTRACTS = (UPDATE_CONTRACT, MERGE_CONTRACT, NORMALIZE_CONTRACT, SCALE_CONTRACT)
