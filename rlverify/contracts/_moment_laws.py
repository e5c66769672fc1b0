"""Laws of running moments and of what is scaled by them.

Moments are held to raw moments, which add: Σx and Σx² over everything that was seen, in exact
arithmetic. That form is no good for computing with, and it knows nothing of the one judged.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from rlverify.contract import Case, Claim, Law, Outputs, Subject
from rlverify.contracts._recordings import equals_exactly, exact, same
from rlverify.rounding import PRECISIONS

SHIFT = 8
# a law's own float64 sums and products: a handful of them
OWN = 1 + 16 * PRECISIONS["float64"].unit


def finite(outputs: Outputs) -> bool:
    """Whether there is nothing but numbers in the results."""
    return all(bool(np.isfinite(array).all()) for array in outputs.values())


def pooled(parts: list[tuple[Any, Any, Any]]) -> tuple[Fraction, Fraction, Fraction]:
    """Return count, mean and variance of parts, each given so; empty ones are not read."""
    parts = [(Fraction(float(n)), mean, variance) for n, mean, variance in parts if n != 0]
    parts = [(n, Fraction(float(m)), Fraction(float(v))) for n, m, v in parts]
    total = sum((n for n, _, _ in parts), Fraction(0))
    if total == 0:
        return total, Fraction(0), Fraction(0)
    mean = sum(n * m for n, m, _ in parts) / total
    square = sum(n * (v + m * m) for n, m, v in parts) / total
    return total, mean, square - mean * mean


def claims(
    subject: Subject, case: Case, wanted: list[tuple[Fraction, Fraction, Fraction]]
) -> Iterable[Claim]:
    """Claim that the state that comes out has the wanted count, means and variances."""
    got, allowed = subject(case), subject.bound(case)
    for k, name in enumerate(("count", "mean", "variance")):
        array = np.empty(got[name].shape, dtype=object)
        for i, index in enumerate(np.ndindex(array.shape)):
            array[index] = wanted[i][k]
        yield equals_exactly(got[name], array, allowed[name])


# --- update and merge ----------------------------------------------------------------------------


def check_update_raw(subject: Subject, case: Case) -> Iterable[Claim]:
    """Σx and Σx² of state and batch add."""
    wanted = [
        pooled([(case["count"], case["mean"][d], case["variance"][d]),
                *((1, number, 0) for number in case["x"][:, d])])
        for d in range(case["x"].shape[1])
    ]  # fmt: skip
    yield from claims(subject, case, wanted)


def check_merge_raw(subject: Subject, case: Case) -> Iterable[Claim]:
    """Σx and Σx² of both states add."""
    wanted = [
        pooled([(case["count"], case["mean"][d], case["variance"][d]),
                (case["other_count"], case["other_mean"][d], case["other_variance"][d])])
        for d in range(len(case["mean"]))
    ]  # fmt: skip
    yield from claims(subject, case, wanted)


def check_split(subject: Subject, case: Case) -> Iterable[Claim]:
    """The batch in two calls gives what one call gives."""
    samples = len(case["x"])
    if samples < 2:
        return
    whole, first = subject(case), case.but(x=case["x"][: samples // 2])
    state, early = subject(first), subject.bound(first)
    if not finite(state):
        return
    rest = case.but(**state, x=case["x"][samples // 2 :])
    got, late, allowed = subject(rest), subject.bound(rest), subject.bound(case)
    # what was wrong with the first state moves the second: the mean by as much at most, the
    # variance by as much and by twice the distance of the means times what the mean is off by
    distance = np.abs(rest["x"] - state["mean"]).max(axis=0)
    carried = {
        "count": early["count"],
        "mean": early["mean"] * OWN,
        "variance": (early["variance"] + early["mean"] * (2 * distance + early["mean"])) * OWN,
    }
    for name in got:
        yield Claim(got[name], whole[name], late[name] + allowed[name] + carried[name])


def check_order(subject: Subject, case: Case) -> Iterable[Claim]:
    """The order of the samples does not matter."""
    yield from same(subject, case.but(x=case["x"][::-1].copy()), subject(case), case)


def check_either_order(subject: Subject, case: Case) -> Iterable[Claim]:
    """It does not matter which of two states is the other one."""
    names = ("count", "mean", "variance")
    turned = case.but(
        **{k: case[f"other_{k}"] for k in names}, **{f"other_{k}": case[k] for k in names}
    )
    yield from same(subject, turned, subject(case), case)


def check_empty(subject: Subject, case: Case) -> Iterable[Claim]:
    """Joining an empty state changes nothing, whether its variance is 0 or 1."""
    zero = np.zeros_like(case["mean"])
    wanted = {k: case[f"other_{k}"] for k in ("count", "mean", "variance")}
    if wanted["count"] > 0:
        for variance in (zero, zero + 1):
            alone = case.but(count=np.array(0.0), mean=zero, variance=variance)
            yield from same(subject, alone, wanted)


def moved(case: Case, change: Any) -> Case:
    """Return a case with means and samples changed."""
    names = ("mean", "other_mean", "x")
    return case.but(**{k: change(case[k]) for k in names if k in case.arguments})


def check_shift(subject: Subject, case: Case) -> Iterable[Claim]:
    """Everything 2²⁶ further: so is the mean, and the variance stays."""
    total = case["count"] + case.arguments.get("other_count", 1)
    for shift in (SHIFT, 2.0**26):
        shifted = moved(case, lambda array, shift=shift: array + shift)
        back = moved(shifted, lambda array, shift=shift: array - shift)
        if back.key() != case.key() or total == 0:
            continue  # it swallows the numbers
        got, plain = subject(shifted), subject(case)
        allowed, bound = subject.bound(shifted), subject.bound(case)
        if finite(plain):
            wanted = exact(plain["mean"]) + Fraction(shift)
            yield equals_exactly(got["mean"], wanted, allowed["mean"] + bound["mean"])
        yield Claim(got["variance"], plain["variance"], allowed["variance"] + bound["variance"])


def check_scale(subject: Subject, case: Case) -> Iterable[Claim]:
    """Everything twice as large: so is the mean, and the variance four times."""
    doubled = moved(case, lambda array: 2 * array)
    names = [k for k in ("variance", "other_variance") if k in case.arguments]
    doubled = doubled.but(**{k: 4 * case[k] for k in names})
    got, plain = subject(doubled), subject(case)
    allowed, bound = subject.bound(doubled), subject.bound(case)
    for name, factor in (("count", 1), ("mean", 2), ("variance", 4)):
        yield Claim(got[name], factor * plain[name], allowed[name] + factor * bound[name])


def check_single(subject: Subject, case: Case) -> Iterable[Claim]:
    """One sample alone has itself for mean, and variance 0."""
    zero = np.zeros_like(case["mean"])
    alone = case.but(count=np.array(0.0), mean=zero, variance=zero, x=case["x"][:1])
    wanted = {"count": np.array(1.0), "mean": case["x"][0], "variance": zero}
    yield from same(subject, alone, wanted)


UPDATE_LAWS = (
    Law("raw-moments-add", "Σx and Σx² of state and batch add", check_update_raw),
    Law("any-split", "two calls give what one call with both batches gives", check_split),
    Law("order-of-samples", "the order of the samples does not matter", check_order),
    Law("shift", "a constant added moves the mean and leaves the variance", check_shift),
    Law("scale", "twice the numbers: twice the mean, four times the variance", check_scale),
    Law("single-sample", "one sample alone is the mean, and the variance is 0", check_single),
)
MERGE_LAWS = (
    Law("raw-moments-add", "Σx and Σx² of both add", check_merge_raw),
    Law("either-order", "it does not matter which state is the other one", check_either_order),
    Law("empty-changes-nothing", "joining an empty state changes nothing", check_empty),
    Law("shift", "a constant added moves the mean and leaves the variance", check_shift),
    Law("scale", "twice the numbers: twice the mean, four times the variance", check_scale),
)

# --- normalize -----------------------------------------------------------------------------------


def check_clip(subject: Subject, case: Case) -> Iterable[Claim]:
    """No result lies beyond the clip."""
    got = subject(case)["normalized"]
    yield Claim(
        np.maximum(np.abs(got), case["clip"]), np.full(got.shape, case["clip"]), np.zeros(got.shape)
    )


def squared(
    got: np.ndarray, allowed: np.ndarray, weights: np.ndarray, wanted: np.ndarray, clip: float
) -> Iterable[Claim]:
    """Claim y² (σ² + ε) = wanted, all in fractions, wherever that is well within the clip."""
    inside = np.empty(got.shape, dtype=bool)
    for i in np.ndindex(got.shape):
        inside[i] = np.isfinite(got[i]) and 4 * wanted[i] < Fraction(clip) ** 2 * weights[i]
    if inside.any():
        numbers, bound = got[inside], allowed[inside]
        gap = (exact(numbers) ** 2 * weights[inside] - wanted[inside]).astype(float)
        slack = weights[inside].astype(float) * bound * (2 * np.abs(numbers) + bound)
        yield Claim(gap, np.zeros(gap.shape), slack * OWN)


def check_squares(subject: Subject, case: Case) -> Iterable[Claim]:
    """y² (σ² + ε) = (x − μ)² where nothing is clipped."""
    x, got = case["x"], subject(case)["normalized"]
    weights = exact(np.broadcast_to(case["variance"], x.shape)) + Fraction(case["eps"])
    wanted = (exact(x) - exact(case["mean"])) ** 2
    yield from squared(got, subject.bound(case)["normalized"], weights, wanted, case["clip"])


def check_rows(subject: Subject, case: Case) -> Iterable[Claim]:
    """A sample's result does not depend on the samples beside it."""
    got, allowed = subject(case)["normalized"], subject.bound(case)["normalized"]
    for i in range(len(case["x"])):
        alone = case.but(x=case["x"][i : i + 1])
        wanted, bound = subject(alone)["normalized"], subject.bound(alone)["normalized"]
        yield Claim(got[i : i + 1], wanted, allowed[i : i + 1] + bound)


def check_mirror(subject: Subject, case: Case) -> Iterable[Claim]:
    """As far below the mean is as far below 0: samples and their mirror images sum to 0."""
    mirrored = case.but(x=2 * case["mean"] - case["x"])
    wanted = {"normalized": -subject(case)["normalized"]}
    yield from same(subject, mirrored, wanted, case)


def check_units(subject: Subject, case: Case) -> Iterable[Claim]:
    """In other units (twice the numbers, four times σ² and ε) nothing changes."""
    doubled = case.but(
        mean=2 * case["mean"], variance=4 * case["variance"], x=2 * case["x"], eps=4 * case["eps"]
    )
    yield from same(subject, doubled, subject(case), case)


NORMALIZE_LAWS = (
    Law("within-the-clip", "no result lies beyond the clip", check_clip),
    Law("squares", "y² (σ² + ε) = (x − μ)² where nothing is clipped", check_squares),
    Law("rows-alone", "a sample's result does not depend on those beside it", check_rows),
    Law("mirror", "mirrored at the mean the result is mirrored at 0", check_mirror),
    Law("other-units", "twice the numbers, four times σ² and ε: nothing changes", check_units),
)

# --- reward scaling ------------------------------------------------------------------------------


def streams(case: Case) -> tuple[list[list[Fraction]], list[Fraction]]:
    """Return the discounted returns of every row, as fractions, and what is carried on."""
    carried = [Fraction(float(number)) for number in case["returns"]]
    gamma, rows = Fraction(case["gamma"]), []
    for t, row in enumerate(case["rewards"]):
        carried = [gamma * c + Fraction(float(r)) for c, r in zip(carried, row, strict=True)]
        rows.append(carried)
        ended = case["terminated"][t] | case["truncated"][t]
        carried = [Fraction(0) if end else c for c, end in zip(carried, ended, strict=True)]
    return rows, carried


def raw(parts: list[tuple[Fraction, Fraction]]) -> tuple[Fraction, Fraction, Fraction]:
    """Return count, mean and variance from (weight, number) pairs of fractions."""
    total = sum((w for w, _ in parts), Fraction(0))
    mean = sum(w * x for w, x in parts) / total
    return total, mean, sum(w * x * x for w, x in parts) / total - mean * mean


def check_stream(subject: Subject, case: Case) -> Iterable[Claim]:
    """The moments are those of all discounted returns so far, each counted once."""
    rows, carried = streams(case)
    n = Fraction(float(case["count"]))
    total, mean, variance = raw([(Fraction(1), x) for row in rows for x in row])
    if n:
        before, spread = Fraction(float(case["mean"])), Fraction(float(case["variance"]))
        both, m = n + total, total
        square = (n * (spread + before**2) + m * (variance + mean**2)) / both
        total, mean = both, (n * before + m * mean) / both
        variance = square - mean * mean
    yield from claims(subject, case, [(total, mean, variance)])
    wanted = np.array(carried, dtype=object)
    yield equals_exactly(subject(case)["returns"], wanted, subject.bound(case)["returns"])


def check_last_row(subject: Subject, case: Case) -> Iterable[Claim]:
    """The last rewards, squared and times (σ² + ε) of what comes out, are those that went in."""
    got, allowed = subject(case), subject.bound(case)
    if not finite(got):
        return
    last, bound = got["rewards"][-1], allowed["rewards"][-1]
    weight = Fraction(float(got["variance"])) + Fraction(case["eps"])
    weights = exact(np.zeros(last.shape)) + weight
    wanted = exact(case["rewards"][-1]) ** 2
    for claim in squared(last, bound, weights, wanted, case["clip"]):
        # the variance that came out is not quite the one that was divided by
        slack = allowed["variance"] * np.square(np.abs(last).max() + bound.max()) * OWN
        yield Claim(claim.got, claim.wanted, claim.allowed + slack)


def check_forgets(subject: Subject, case: Case) -> Iterable[Claim]:
    """What was earned before an end does not reach the return after it."""
    ended = (case["terminated"] | case["truncated"])[-1]
    if ended.any():
        got, allowed = subject(case)["returns"], subject.bound(case)["returns"]
        yield Claim(got[ended], np.zeros(int(ended.sum())), allowed[ended])
    every = case.but(terminated=np.ones_like(case["terminated"]))
    other = every.but(gamma=0.0, returns=np.zeros_like(case["returns"]))
    if not case["returns"].any():  # then no row follows another, and γ has nothing to weigh
        yield from same(subject, every, subject(other), other)


def check_zero(subject: Subject, case: Case) -> Iterable[Claim]:
    """A reward of 0 stays 0, whatever the others are."""
    rewards = case["rewards"].copy()
    rewards[-1] = 0
    silent = case.but(rewards=rewards)
    got, allowed = subject(silent)["rewards"], subject.bound(silent)["rewards"]
    yield Claim(got[-1], np.zeros(rewards.shape[1]), allowed[-1])


def check_reward_clip(subject: Subject, case: Case) -> Iterable[Claim]:
    """No scaled reward lies beyond the clip."""
    got = subject(case)["rewards"]
    yield Claim(
        np.maximum(np.abs(got), case["clip"]), np.full(got.shape, case["clip"]), np.zeros(got.shape)
    )


SCALE_LAWS = (
    Law("all-returns-counted", "the moments are those of all returns so far", check_stream,
        ),
    Law("last-row", "r̂² (σ² + ε) = r² where nothing is clipped", check_last_row),
    Law("end-forgets", "no return reaches over an end", check_forgets),
    Law("zero-stays-zero", "a reward of 0 stays 0", check_zero),
    Law("within-the-clip", "no scaled reward lies beyond the clip", check_reward_clip),
)  # fmt: skip
