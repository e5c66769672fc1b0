"""Contracts of the topic `ppo`: the surrogate losses; the critic and what is watched elsewhere."""

from collections.abc import Iterable

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
from rlverify.contracts._ppo_cases import (
    FREE,
    SIZES,
    at,
    bad_arrays,
    bad_ratios,
    check_pessimistic,
    good_case,
    impulses,
    mean_bugs,
    mean_conventions,
    ratio_cases,
    shared_laws,
    sized_case,
    transposed,
)
from rlverify.contracts._ppo_coefficient import ADAPT_CONTRACT
from rlverify.contracts._ppo_measures import MEASURES
from rlverify.contracts._ppo_values import VALUE_CONTRACT
from rlverify.contracts._recordings import same
from rlverify.contracts._refusals import bad, bad_floats, bad_masks
from rlverify.fast import ppo as fast
from rlverify.reference import ppo as reference

ARRAYS = ("log_probs", "old_log_probs", "advantages")
PENALTY_ARRAYS = (*ARRAYS, "kl")


def log_ratios(case: Case) -> np.ndarray:
    """Return log ρ, 0 where masked."""
    mask = mask_of(case, "log_probs")
    now, old = (np.where(mask, case[name], 0) for name in ("log_probs", "old_log_probs"))
    return np.asarray(now - old)


def weights(case: Case) -> np.ndarray:
    """Return the advantages, 0 where masked."""
    return np.where(mask_of(case, "log_probs"), case["advantages"], 0)


def beyond(case: Case) -> np.ndarray:
    """Return where the ratio has already gone beyond the range as the advantage asks."""
    ratio = np.exp(log_ratios(case))
    up = (weights(case) >= 0) & (ratio > 1 + case["clip_range"])
    down = (weights(case) < 0) & (ratio < 1 - case["clip_range"])
    return np.asarray(mask_of(case, "log_probs") & (up | down))


def check_flat(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where the ratio is beyond the range as the advantage asks, going further changes nothing."""
    gone = beyond(case)
    if gone.any():
        further = np.where(gone, case["log_probs"] + np.sign(case["advantages"]), case["log_probs"])
        moved = case.but(log_probs=further)
        yield from same(subject, moved, subject(case), case)


def check_free(subject: Subject, case: Case) -> Iterable[Claim]:
    """Of the other elements the range holds none back."""
    plain = case.but(advantages=np.where(beyond(case), 0, weights(case)))
    free = plain.but(clip_range=FREE)
    yield from same(subject, plain, subject(free), free)


def check_edges(subject: Subject, case: Case) -> Iterable[Claim]:
    """A ratio far beyond costs what the edge of the range costs: 1 ± ε, over N."""
    count = int(mask_of(case, "log_probs").sum())
    for place in impulses(case, "log_probs"):
        for sign in (-1, 1):
            single = case.but(
                log_probs=at(place, case["log_probs"], 4 * sign),
                old_log_probs=np.zeros(case["log_probs"].shape),
                advantages=at(place, case["log_probs"], sign),
            )
            # one addition and one division more than the bound counts at least
            wanted = np.array(-sign * (1 + sign * case["clip_range"]) / count)
            yield from same(subject, single, {"loss": wanted})


def check_ratio(subject: Subject, case: Case) -> Iterable[Claim]:
    """A single advantage of −1 costs its own likelihood ratio, over N, if that is above 1."""
    count = int(mask_of(case, "log_probs").sum())
    for place in impulses(case, "log_probs"):
        raised = abs(log_ratios(case)[place])
        old = np.where(mask_of(case, "log_probs"), case["log_probs"] - log_ratios(case), 0)
        now = old.copy()
        now[place] = old[place] + raised
        single = case.but(
            log_probs=now, old_log_probs=old, advantages=at(place, case["log_probs"], -1)
        )
        # the bound counts an exponential and a division in float64 for the reference itself
        yield from same(
            subject, single, {"loss": np.array(np.exp(now[place] - old[place]) / count)}
        )


# --- known bugs and conventions ----------------------------------------------------------------

RATIO = "np.exp(log_probs[i] - old_log_probs[i])"
TERM = "total = total + (plain if plain < bounded else bounded)"
PAIR = "plain, bounded = ratio * advantages[i], clipped * advantages[i]"
CLAMPED = Convention(
    "log_ratio", "clamped-at-20", "the log-ratio is clamped to ±20 against overflow",
    edits=((RATIO, "np.exp(min(max(log_probs[i] - old_log_probs[i], -20), 20))"),),
)  # fmt: skip
DUAL = Convention(
    "dual_clip", "at-3", "where A < 0 the loss is at most 3∣A∣ (Ye et al. 2020; Tianshou, verl)",
    edits=((TERM, "smaller, least = plain if plain < bounded else bounded, 3 * advantages[i]\n"
            "        smaller = least if advantages[i] < 0 and smaller < least else smaller\n"
            "        total = total + smaller"),),
)  # fmt: skip
OBJECTIVE = Convention(
    "sign", "objective", "the objective to maximise, not the loss to minimise",
    edits=(("scalar(-total / count,", "scalar(total / count,"),),
)  # fmt: skip


def ratio_bugs(pair: str) -> tuple[KnownBug, ...]:
    """Return what goes wrong with a ratio and the advantage it belongs to."""
    return (
        KnownBug("E5", RATIO, "np.exp(log_probs[i] - log_probs[i])"),
        KnownBug("E6", RATIO, "np.exp(old_log_probs[i] - log_probs[i])"),
        KnownBug("E43", RATIO, "np.exp(2 * (log_probs[i] - old_log_probs[i]))"),
        KnownBug("K12", pair, pair.replace("advantages[i]", transposed("advantages"))),
    )


CLIP_BUGS = (
    KnownBug("E1", "1 - below", "below"),
    KnownBug("E3", TERM, "total = total + plain"),
    KnownBug("E4", "plain < bounded", "plain > bounded"),
    *ratio_bugs(PAIR),
    KnownBug(
        "A20",
        TERM,
        "others = [advantages[j] for j in real_places(log_probs, mask)]\n"
        "        pairs = [(ratio * other, clipped * other) for other in others]\n"
        "        total = total + sum(a if a < b else b for a, b in pairs) / len(others)",
    ),
    *mean_bugs("ppo_clip_loss", ARRAYS, ("clip_range",), TERM, "-total / count"),
)


# --- forms that look wrong and are right -------------------------------------------------------


def _real(mask: np.ndarray | None, *arrays: np.ndarray) -> list[np.ndarray]:
    return [array.reshape(-1) if mask is None else array[mask] for array in arrays]


def edge_by_sign(
    log_probs: np.ndarray, old_log_probs: np.ndarray, advantages: np.ndarray,
    mask: np.ndarray | None, clip_range: float,
) -> np.ndarray:  # fmt: skip
    """Take min(ρA, g) with g = (1 + ε)A for A > 0 and (1 − ε)A else."""
    now, old, gain = _real(mask, log_probs, old_log_probs, advantages)
    limit = np.where(gain > 0, (1 + clip_range) * gain, (1 - clip_range) * gain)
    with np.errstate(all="ignore"):
        return np.asarray(-np.minimum(np.exp(now - old) * gain, limit).mean())


def one_sided_clamp(
    log_probs: np.ndarray, old_log_probs: np.ndarray, advantages: np.ndarray,
    mask: np.ndarray | None, clip_range: float,
) -> np.ndarray:  # fmt: skip
    """Clamp from above for A ≥ 0 and from below for A < 0, without a minimum of products."""
    now, old, gain = _real(mask, log_probs, old_log_probs, advantages)
    with np.errstate(all="ignore"):
        ratio = np.exp(now - old)
        upper, lower = np.minimum(ratio, 1 + clip_range), np.maximum(ratio, 1 - clip_range)
        return np.asarray(-(np.where(gain >= 0, upper, lower) * gain).mean())


CLIP_CONTRACT = Contract(
    name="ppo_clip_loss",
    topic="ppo",
    summary="clipped surrogate loss: a mean over the real elements",
    source="Schulman et al. 2017, arXiv:1707.06347, eq. 7",
    reference=reference.ppo_clip_loss,
    fast=fast.ppo_clip_loss,
    arguments=(
        *(Argument(name, "float", "...") for name in ARRAYS),
        Argument("mask", "mask", "..."),
        Argument("clip_range", "number"),
    ),
    outputs=("loss",),
    axes=("",),
    inputs=ratio_cases((*ARRAYS, "mask", "clip_range"), ("far", "on-policy")),
    examples=(
        Example(
            "on-policy, one element is padding",
            Case(
                {"log_probs": np.array([-1.0, -2.0, np.nan]),
                 "old_log_probs": np.array([-1.0, -2.0, np.nan]),
                 "advantages": np.array([4.0, -1.0, np.inf]),
                 "mask": np.array([True, True, False]), "clip_range": 0.25},
                "on-policy", "worked by hand",
            ),
            {"loss": "-3/2"},
        ),
        Example(
            "both are clipped, at 5/4 and 3/4",
            Case(
                {"log_probs": np.array([1.0, -1.0]), "old_log_probs": np.array([0.0, 0.0]),
                 "advantages": np.array([4.0, -4.0]), "mask": None, "clip_range": 0.25},
                "near", "worked by hand",
            ),
            {"loss": "-1"},
        ),
    ),
    laws=(
        Law("flat-beyond-the-range", "going further beyond the range as the advantage asks "
            "changes nothing", check_flat, claim="C24"),
        Law("free-elsewhere", "in the other two cases the range changes nothing", check_free,
            claim="C24"),
        Law("pessimistic", "the loss is never below that without a range", check_pessimistic,
            claim="C25"),
        Law("edges", "a ratio far beyond costs 1 ± ε", check_edges),
        Law("ratio", "a single advantage of −1 costs its own likelihood ratio", check_ratio),
        *shared_laws("log_probs"),
    ),
    gradient_judged=True,
    gradients=("log_probs",),
    handed_over=ARRAYS[1:],
    known_bugs=CLIP_BUGS,
    conventions=(
        *mean_conventions("log_probs", "total, count = 0, 0\n", TERM, "-total / count"),
        OBJECTIVE,
        CLAMPED,
        DUAL,
    ),
    equivalents=(
        Equivalent("edge by sign", "min(ρA, g) with g = (1 ± ε)A by the sign of A (Spinning Up, "
                   "early CleanRL)", edge_by_sign),
        Equivalent("one-sided clamp", "ρ clamped on the side that the sign of A asks for "
                   "(pytorch/rl#786)", one_sided_clamp),
    ),
    bad_inputs=bad_ratios("ppo_clip_loss", ARRAYS),
    exact=False,
    sizes=SIZES,
    sized=sized_case(ARRAYS, clip_range=0.2),
    good=good_case(ARRAYS, clip_range=0.25),
)  # fmt: skip


# --- the penalised loss ------------------------------------------------------------------------


def check_penalty(subject: Subject, case: Case) -> Iterable[Claim]:
    """A single divergence of 1, with no advantage, costs β/N."""
    count = int(mask_of(case, "log_probs").sum())
    for place in impulses(case, "log_probs"):
        single = case.but(
            advantages=np.zeros(case["kl"].shape), kl=at(place, case["kl"], 1),
            log_probs=np.zeros(case["kl"].shape), old_log_probs=np.zeros(case["kl"].shape),
        )  # fmt: skip
        yield from same(subject, single, {"loss": np.array(case["beta"] / count)})


def check_surrogate(subject: Subject, case: Case) -> Iterable[Claim]:
    """Without divergence, a single advantage of −1 costs its own ratio, over N."""
    count = int(mask_of(case, "log_probs").sum())
    for place in impulses(case, "log_probs"):
        single = case.but(advantages=at(place, case["kl"], -1), kl=np.zeros(case["kl"].shape))
        ratio = np.exp(case["log_probs"][place] - case["old_log_probs"][place])
        yield from same(subject, single, {"loss": np.array(ratio / count)})


PENALTY_TERM = "total = total + ratio * advantages[i] - beta * kl[i]"

PENALTY_CONTRACT = Contract(
    name="ppo_penalty_loss",
    topic="ppo",
    summary="surrogate loss with a penalty on the divergence",
    source="Schulman et al. 2017, arXiv:1707.06347, eq. 8",
    reference=reference.ppo_penalty_loss,
    fast=fast.ppo_penalty_loss,
    arguments=(
        *(Argument(name, "float", "...") for name in PENALTY_ARRAYS),
        Argument("mask", "mask", "..."),
        Argument("beta", "number"),
    ),
    outputs=("loss",),
    axes=("",),
    inputs=ratio_cases((*PENALTY_ARRAYS, "mask", "beta"), ("far", "on-policy")),
    examples=(
        Example(
            "on-policy",
            Case(
                {"log_probs": np.array([-1.0, -2.0]), "old_log_probs": np.array([-1.0, -2.0]),
                 "advantages": np.array([4.0, -1.0]), "kl": np.array([1.0, 4.0]), "mask": None,
                 "beta": 0.5},
                "on-policy", "worked by hand",
            ),
            {"loss": "-1/4"},
        ),
    ),
    laws=(
        Law("penalty", "a single divergence of 1 costs β/N", check_penalty),
        Law("ratio", "a single advantage of −1 costs its own likelihood ratio", check_surrogate),
        *shared_laws("log_probs"),
    ),
    gradient_judged=True,
    gradients=("log_probs", "kl"),
    handed_over=ARRAYS[1:],
    known_bugs=(
        KnownBug("K1", "- beta * kl[i]", "+ beta * kl[i]"),
        *ratio_bugs(PENALTY_TERM),
        *mean_bugs("ppo_penalty_loss", PENALTY_ARRAYS, ("beta",), PENALTY_TERM, "-total / count"),
    ),
    conventions=(
        *mean_conventions("log_probs", "total, count = 0, 0\n", PENALTY_TERM, "-total / count"),
        OBJECTIVE,
        CLAMPED,
    ),
    bad_inputs=(
        *bad_floats("ppo_penalty_loss", "log_probs", "[...]"),
        *bad_arrays("ppo_penalty_loss", "log_probs", PENALTY_ARRAYS[1:]),
        *bad_masks("ppo_penalty_loss", "log_probs"),
        bad("ppo_penalty_loss", "beta", "text", lambda _: "1", TypeError,
            "beta came as str, wanted a number."),
    ),
    exact=False,
    sizes=SIZES,
    sized=sized_case(PENALTY_ARRAYS, beta=0.5),
    good=good_case(PENALTY_ARRAYS, beta=0.5),
)  # fmt: skip

CONTRACTS = (CLIP_CONTRACT, PENALTY_CONTRACT, ADAPT_CONTRACT, VALUE_CONTRACT, *MEASURES)
