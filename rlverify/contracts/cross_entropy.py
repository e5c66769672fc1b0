"""Contracts of the topic `cross_entropy`: who is elite."""

from collections.abc import Iterable

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Claim,
    Contract,
    Convention,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._loss_cases import MASKS, STEP_SHAPES, STEP_SIZES, drawn_mask
from rlverify.contracts._masks import garbage_law, mask_of
from rlverify.contracts._recordings import same
from rlverify.contracts._refusals import bad, bad_masks
from rlverify.fast import cross_entropy as fast
from rlverify.inputs import GARBAGE, distinct
from rlverify.reference import cross_entropy as reference

# tenths are no binary fractions: 0.1 of 10 is 1 all the same
SHARES = (0.1, 0.25, 0.25, 0.3, 0.5, 0.5, 0.75, 1.0)
SIZES = ((100,), (16384,), (1024,), (524288,))


def ranked(draw: st.DrawFn, shape: tuple[int, ...]) -> np.ndarray:
    """Draw numbers of a shape: all different, or with ties among them, or all the same."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ties = draw(st.sampled_from(("none", "none", "none", "some", "some", "all")))
    (numbers,) = distinct(rng, shape)
    if ties == "none":
        return numbers
    return rng.choice(numbers.flat[: 3 if ties == "some" else 1], shape)


@st.composite
def returned(draw: st.DrawFn) -> Case:
    """Draw returns `[N]` and a share."""
    returns = ranked(draw, (draw(st.sampled_from((1, 2, 3, 4, 5, 6, 8, 10, 10))),))
    return Case({"returns": returns, "fraction": draw(st.sampled_from(SHARES))})


@st.composite
def returned_steps(draw: st.DrawFn) -> Case:
    """Draw returns to go and a mask `[T, B]` with garbage under it, and a share."""
    shape = draw(st.sampled_from(STEP_SHAPES))
    returns = ranked(draw, shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = drawn_mask(draw(st.sampled_from(MASKS)), shape, rng)
    if mask is not None:
        returns = np.where(mask, returns, draw(st.sampled_from(GARBAGE)))
    fraction = draw(st.sampled_from(SHARES))
    return Case({"returns_to_go": returns, "mask": mask, "fraction": fraction})


def sized(name: str, shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size: one in eight is elite."""
    rng = np.random.default_rng(0)
    arguments = {name: rng.integers(-32768, 32768, shape) / 128, "fraction": 0.125}
    if name == "returns_to_go":
        arguments |= {"mask": rng.random(shape) < 0.9}
    return Case(arguments, label="timing")


# --- laws, of either function ------------------------------------------------------------------


def contest(case: Case) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the name of the ranked array, itself, and which of it is ranked."""
    if "returns" in case.arguments:
        return "returns", case["returns"], np.ones(case["returns"].shape, dtype=bool)
    return "returns_to_go", case["returns_to_go"], mask_of(case, "returns_to_go")


def check_count(subject: Subject, case: Case) -> Iterable[Claim]:
    """At least k are elite, and fewer than k are better than the last of them."""
    _, array, real = contest(case)
    elite, samples = subject(case)["elite"] > 0, int(real.sum())
    shares = np.float32(np.arange(1, samples + 1) / samples)
    least = 1 + int(np.argmax(shares >= np.float32(case["fraction"])))
    enough = int((elite & real).sum()) >= least
    better = np.where(real, array, -np.inf) > array[elite & real].min() if enough else elite
    claims = np.array([enough, int(better.sum()) < least])
    yield Claim(claims.astype(float), np.ones(2), np.zeros(2))


def check_no_gap(subject: Subject, case: Case) -> Iterable[Claim]:
    """Whoever is at least as good as somebody elite is elite."""
    _, array, real = contest(case)
    elite = subject(case)["elite"]
    chosen = array[(elite > 0) & real]
    if chosen.size:
        wanted = (np.where(real, array, -np.inf) >= chosen.min()).astype(float)
        yield Claim(elite, wanted, np.zeros(elite.shape))


def check_best(subject: Subject, case: Case) -> Iterable[Claim]:
    """The best is elite, whatever the share."""
    _, array, real = contest(case)
    elite, best = subject(case)["elite"], array[real].max()
    found = elite[real & (np.where(real, array, -np.inf) == best)]
    yield Claim(found, np.ones(found.shape), np.zeros(found.shape))


def check_everybody(subject: Subject, case: Case) -> Iterable[Claim]:
    """With a share of 1 everybody real is elite."""
    everybody = case.but(fraction=1.0)
    yield from same(subject, everybody, {"elite": contest(case)[2].astype(float)})


def check_increasing(subject: Subject, case: Case) -> Iterable[Claim]:
    """Only ranks count: an increasing function of the returns elects the same."""
    name, array, real = contest(case)
    mapped = np.where(real, (np.where(real, array, 0) - 32) * 64, array)
    yield from same(subject, case.but(**{name: mapped}), subject(case), case)


RANK_LAWS = (
    Law("enough-and-no-more", "at least k are elite, fewer than k better than the last of them",
        check_count),
    Law("no-gap", "whoever is as good as somebody elite is elite", check_no_gap),
    Law("best-is-elite", "the best is elite, whatever the share", check_best),
    Law("share-of-one", "with a share of 1 everybody is elite", check_everybody),
)  # fmt: skip

# --- known bugs and conventions ----------------------------------------------------------------

COUNT = "_elites(len(ordered), fraction)"
THRESHOLD = f"threshold = ordered[{COUNT} - 1]"
INTERPOLATED = (
    "place = (len(ordered) - 1) * float(fraction)\n"
    "    low, high = ordered[int(place)], ordered[min(int(place) + 1, len(ordered) - 1)]\n"
    "    threshold = low + (high - low) * (place - int(place))"
)


def rank_bugs(array: str, index: str) -> tuple[KnownBug, ...]:
    """Return the known bugs of ranking an array."""
    elite = f"elite[i] = {array}[{index}] >= threshold"
    return (
        KnownBug(
            "M1", THRESHOLD,
            "count = int(float(fraction) * len(ordered))\n"
            "    threshold = ordered[count - 1] if count else float('inf')",
        ),
        KnownBug("M2", elite, elite.replace(">=", ">")),
        KnownBug("M3", COUNT, "_elites(len(ordered), 1 - fraction)"),
        KnownBug("M4", "reverse=True", "reverse=False", also=((elite, elite.replace(">=", "<=")),)),
        KnownBug("M5", THRESHOLD, "threshold = ordered[-1]"),
    )  # fmt: skip


RANK_CONVENTIONS = (
    Convention(
        "threshold", "interpolated",
        "the threshold is numpy.percentile's, interpolated between two returns (Lapan 2020)",
        edits=((THRESHOLD, INTERPOLATED),),
    ),
    Convention(
        "count", "rounded-down", "k is ⌊fraction · N⌋, but at least 1",
        edits=((COUNT, "max(1, int(float(fraction) * len(ordered)))"),),
    ),
)  # fmt: skip


def ties(value: str, sentence: str, before: str) -> Convention:
    """Return a convention in which exactly k are elite, ties broken by place."""
    return Convention(
        "ties", value, sentence,
        edits=((
            "elite[i] = returns[i] >= threshold",
            "ahead = sum(\n"
            "            bool(returns[j] > returns[i] or (returns[j] == returns[i] and "
            f"{before}))\n"
            "            for j in range(len(returns))\n"
            "        )\n"
            f"        elite[i] = ahead < {COUNT}",
        ),),
    )  # fmt: skip


def bad_ranked(function: str, array: str, axes: str) -> tuple[BadInput, ...]:
    """Return the refusals that both functions share."""
    return (
        bad(function, array, "a list", np.ndarray.tolist, TypeError,
            f"{array} came as list, wanted a floating-point array {axes}."),
        bad(function, array, "NaN", lambda x: np.where(x == x.max(), np.nan, x), ValueError,
            f"{array} came with NaN in it, which has no rank, wanted numbers; leave failed "
            "episodes out, or give them the lowest return."),
        bad(function, "fraction", "nobody", lambda _: 0.0, ValueError,
            "fraction came as 0.0, wanted a number in (0, 1]."),
        bad(function, "fraction", "a percentage", lambda _: 70, ValueError,
            "fraction came as 70, wanted a number in (0, 1]."),
        bad(function, "fraction", "text", lambda _: "0.1", TypeError,
            "fraction came as str, wanted a number."),
    )  # fmt: skip


# --- contracts ---------------------------------------------------------------------------------

EPISODES_CONTRACT = Contract(
    name="elite_episodes",
    topic="cross_entropy",
    summary="episodes whose return is among the best",
    source="de Boer et al. 2005, section 2",
    reference=reference.elite_episodes,
    fast=fast.elite_episodes,
    arguments=(Argument("returns", "float", "N"), Argument("fraction", "number")),
    outputs=("elite",),
    axes=("N",),
    returns="flag",
    inputs=returned(),
    examples=(
        Example(
            "a tie at the threshold",
            Case({"returns": np.array([3.0, 1.0, 5.0, 3.0, 2.0]), "fraction": 0.375},
                 label="worked by hand"),
            {"elite": ["1", "0", "1", "1", "0"]},
        ),
    ),
    laws=RANK_LAWS,
    gradients=(),
    known_bugs=rank_bugs("returns", "i"),
    conventions=(
        *RANK_CONVENTIONS,
        ties("earlier-first", "exactly k are elite; of equals the earlier (stable sort)", "j < i"),
        ties("later-first", "exactly k are elite; of equals the later (argsort()[-k:])", "j > i"),
    ),
    bad_inputs=bad_ranked("elite_episodes", "returns", "[N]"),
    sizes=SIZES,
    sized=lambda shape: sized("returns", shape),
    good=Case({"returns": np.arange(4.0), "fraction": 0.25}, label="good"),
)  # fmt: skip

POOL = (
    "ordered = sorted((returns_to_go[i] for i in real_places(returns_to_go, mask)), reverse=True)"
)
PER_COLUMN = (
    "if returns_to_go.shape[1] > 1:\n"
    "        columns = [(slice(None), slice(b, b + 1)) for b in range(returns_to_go.shape[1])]\n"
    "        return np.concatenate([\n"
    "            elite_steps(returns_to_go[c], None if mask is None else mask[c],"
    " fraction=fraction)\n"
    "            if mask is None or mask[c].any() else mask[c] for c in columns], axis=1)\n"
    f"    {POOL}"
)

STEPS_CONTRACT = Contract(
    name="elite_steps",
    topic="cross_entropy",
    summary="steps whose return to go is among the best",
    source="de Boer et al. 2005, section 2, on state-action returns",
    reference=reference.elite_steps,
    fast=fast.elite_steps,
    arguments=(
        Argument("returns_to_go", "float", "T B"),
        Argument("mask", "mask", "T B"),
        Argument("fraction", "number"),
    ),
    outputs=("elite",),
    axes=("T B",),
    returns="flag",
    inputs=returned_steps(),
    examples=(
        Example(
            "a good step of a bad episode",
            Case({"returns_to_go": np.array([[9.0, 1.0], [2.0, 8.0], [np.inf, 7.0]]),
                  "mask": np.array([[True, True], [True, True], [False, True]]),
                  "fraction": 0.375}, label="worked by hand"),
            {"elite": [["1", "0"], ["0", "1"], ["0", "0"]]},
        ),
    ),
    laws=(
        *RANK_LAWS,
        Law("only-ranks-count", "an increasing function of the returns elects the same",
            check_increasing),
        garbage_law("returns_to_go"),
    ),
    gradients=(),
    known_bugs=(
        *rank_bugs("returns_to_go", "i"),
        KnownBug("E11", POOL, PER_COLUMN),
        KnownBug("E12", "for i in real_places(returns_to_go, mask)), reverse",
                 "for i in np.ndindex(returns_to_go.shape)), reverse"),
        KnownBug(
            "K6", POOL,
            "returns_to_go = returns_to_go if mask is None else returns_to_go * mask\n"
            "    ordered = sorted(returns_to_go.flat, reverse=True)",
        ),
    ),
    conventions=RANK_CONVENTIONS,
    bad_inputs=(
        *bad_ranked("elite_steps", "returns_to_go", "[T, B]"),
        *bad_masks("elite_steps", "returns_to_go"),
    ),
    sizes=STEP_SIZES,
    sized=lambda shape: sized("returns_to_go", shape),
    good=Case({"returns_to_go": np.arange(6.0).reshape(2, 3), "mask": None, "fraction": 0.25},
              label="good"),
)  # fmt: skip

CONTRACTS = (EPISODES_CONTRACT, STEPS_CONTRACT)
