"""Inputs and laws of baselines."""

from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._recordings import equals_exactly, exact, same
from rlverify.inputs import distinct

SAMPLES = (2, 2, 3, 3, 4, 5, 6, 8)
SIZES = ((64,), (16384,), (1024,), (524288,))
SCORE_SIZES = ((32, 4), (1024, 64), (1024, 1024))
SHIFT = 8


@st.composite
def batches(draw: st.DrawFn, *, single: bool) -> Case:
    """Draw returns `[N]`; in one batch of five, one is 2⁶⁰ times larger than the others."""
    samples = draw(st.sampled_from((1, 1, *SAMPLES) if single else SAMPLES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    (returns,) = distinct(rng, (samples,))
    kind = draw(st.sampled_from(("plain", "plain", "plain", "plain", "outlier")))
    if kind == "outlier":
        returns[int(rng.integers(samples))] *= 2.0**60
    return Case({"returns": returns}, kind)


@st.composite
def scored(draw: st.DrawFn) -> Case:
    """Draw scores `[N, P]` and returns `[N]`; some components are silent throughout."""
    samples = draw(st.sampled_from((1, *SAMPLES[:-1])))
    components = draw(st.sampled_from((1, 2, 2, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores, returns = distinct(rng, (samples, components), (samples,))
    if draw(st.sampled_from((True, False, False))):
        scores[:, rng.random(components) < 0.6] = 0
    return Case({"scores": scores, "returns": returns, "per_component": draw(st.booleans())})


@st.composite
def visits(draw: st.DrawFn) -> Case:
    """Draw states `[N]` met once or more often, with gaps in their numbers, and returns."""
    samples = draw(st.sampled_from((1, *SAMPLES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    (returns,) = distinct(rng, (samples,))
    numbers = np.array(draw(st.sampled_from(((0, 1), (0, 1, 2), (7, 3), (5,), (2, 9, 4, 0)))))
    return Case({"states": rng.choice(numbers, samples), "returns": returns})


def sized_batch(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size."""
    return Case({"returns": numbers(shape)}, "plain", "timing")


def sized_scores(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size, one baseline for all."""
    arrays = {"scores": numbers(shape), "returns": numbers(shape[:1])}
    return Case({**arrays, "per_component": False}, label="timing")


def sized_visits(shape: tuple[int, ...]) -> Case:
    """Return a case of a benchmark size: a hundred states."""
    states = np.random.default_rng(1).integers(0, 100, shape)
    return Case({"states": states, "returns": numbers(shape)}, label="timing")


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers of a benchmark size."""
    return np.random.default_rng(0).integers(-255, 256, shape) / 128


# --- laws of what takes returns [N] ------------------------------------------------------------


def check_shift(subject: Subject, case: Case) -> Iterable[Claim]:
    """Adding 8 to every return adds 8 to every baseline."""
    shifted = case.but(returns=case["returns"] + SHIFT)
    if not np.array_equal(shifted["returns"] - SHIFT, case["returns"]):
        return  # an outlier swallows it
    yield from moved(subject, case, shifted, np.full(case["returns"].shape, SHIFT))


def moved(subject: Subject, case: Case, shifted: Case, by: np.ndarray) -> Iterable[Claim]:
    """Claim that the baselines of one case are those of another, moved."""
    plain = subject(case)["baselines"]
    if np.isfinite(plain).all():
        allowed = subject.bound(shifted)["baselines"] + subject.bound(case)["baselines"]
        yield equals_exactly(subject(shifted)["baselines"], exact(plain) + exact(by), allowed)


def check_turned(subject: Subject, case: Case) -> Iterable[Claim]:
    """The order of the samples does not matter: turned round, so are the baselines."""
    turned = case.but(**{
        name: array[::-1].copy()
        for name, array in case.arguments.items() if isinstance(array, np.ndarray)
    })  # fmt: skip
    yield Claim(
        subject(turned)["baselines"][::-1], subject(case)["baselines"],
        subject.bound(turned)["baselines"][::-1] + subject.bound(case)["baselines"],
    )  # fmt: skip


def impulse(weight: Callable[[int, int, int], Fraction]) -> Law:
    """Return the law that a single return of 1 enters bᵢ with `weight(i, j, N)`."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        samples = len(case["returns"])
        for j in {0, samples - 1}:
            single = case.but(returns=np.eye(samples)[j])
            wanted = exact(np.zeros(samples))
            for i in range(samples):
                wanted[i] = weight(i, j, samples)
            yield equals_exactly(
                subject(single)["baselines"], wanted, subject.bound(single)["baselines"]
            )

    return Law("impulse", "a single return enters every baseline with the right weight", check)


def check_own_silent(subject: Subject, case: Case) -> Iterable[Claim]:
    """A sample's baseline does not change with its own return."""
    for i in {0, len(case["returns"]) - 1}:
        other = case["returns"].copy()
        other[i] = 1024
        changed = case.but(returns=other)
        yield Claim(
            subject(changed)["baselines"][i : i + 1], subject(case)["baselines"][i : i + 1],
            (subject.bound(changed)["baselines"] + subject.bound(case)["baselines"])[i : i + 1],
        )  # fmt: skip


def check_same_sum(subject: Subject, case: Case) -> Iterable[Claim]:
    """The baselines add up to what the returns add up to."""
    found = subject(case)["baselines"]
    if np.isfinite(found).all():
        gap = sum(exact(found)) - sum(exact(case["returns"]))
        slack = subject.bound(case)["baselines"].sum() * (1 + 2 * len(found) * 2.0**-53)
        yield Claim(np.array([float(gap)]), np.zeros(1), np.array([slack]))


SHIFTED = Law("shifts-with-returns", "8 more on every return, 8 more on every baseline",
              check_shift)  # fmt: skip
TURNED = Law("samples-exchanged", "the order of the samples does not matter", check_turned)
SAME_SUM = Law("same-sum", "baselines and returns have the same sum", check_same_sum)
OWN_SILENT = Law("own-return-silent", "the own return has no influence", check_own_silent)


# --- laws of the variance-optimal baseline -----------------------------------------------------


def squares(case: Case) -> np.ndarray:
    """Return the squared scores that weigh each return, [N, P], as fractions."""
    squared = exact(case["scores"]) ** 2
    if case["per_component"]:
        return np.asarray(squared)
    return np.asarray(squared.sum(axis=1, keepdims=True) + 0 * squared)


def check_stationary(subject: Subject, case: Case) -> Iterable[Claim]:
    """The variance is flat at the baseline: Σ s² (R − b) = 0."""
    found, weights = subject(case)["baselines"], squares(case)
    if np.isfinite(found).all():
        distances = exact(case["returns"])[:, None] - exact(found)[None, :]
        slope = (weights * distances).sum(axis=0).astype(float)
        total = weights.sum(axis=0).astype(float)
        # the slope and the total are each rounded once more, and so is their product
        allowed = total * subject.bound(case)["baselines"] * (1 + 4 * 2.0**-53)
        yield Claim(slope, np.zeros(slope.shape), allowed)


def check_score_shift(subject: Subject, case: Case) -> Iterable[Claim]:
    """Adding 8 to every return adds 8 to the baseline, where there is a score."""
    heard = (squares(case).sum(axis=0) > 0).astype(float)
    shifted = case.but(returns=case["returns"] + SHIFT)
    yield from moved(subject, case, shifted, SHIFT * heard)


def check_score_scale(subject: Subject, case: Case) -> Iterable[Claim]:
    """Twice the scores leave the baseline as it is."""
    yield from same(subject, case.but(scores=2 * case["scores"]), subject(case), case)


def check_samples(subject: Subject, case: Case) -> Iterable[Claim]:
    """The order of the samples does not matter."""
    turned = case.but(
        scores=case["scores"][::-1].copy(),
        returns=case["returns"][::-1].copy(),
    )
    yield from same(subject, turned, subject(case), case)


def check_components(subject: Subject, case: Case) -> Iterable[Claim]:
    """A component's own baseline is that of its scores alone; one for all is one for all."""
    got, allowed = subject(case)["baselines"], subject.bound(case)["baselines"]
    for p in range(len(got)):
        if not case["per_component"]:
            yield Claim(got[p : p + 1], got[:1], allowed[p : p + 1] + allowed[:1])
            continue
        alone = case.but(scores=case["scores"][:, p : p + 1])
        wanted, bound = subject(alone)["baselines"], subject.bound(alone)["baselines"]
        yield Claim(got[p : p + 1], wanted, allowed[p : p + 1] + bound)


def check_silent(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where every score is 0 the baseline is 0."""
    silent = case.but(scores=np.zeros_like(case["scores"]))
    zeros = np.zeros(case["scores"].shape[1])
    yield from same(subject, silent, {"baselines": zeros})


# --- laws of the value baseline ----------------------------------------------------------------


def check_state_shift(subject: Subject, case: Case) -> Iterable[Claim]:
    """Adding 8 to the returns of one state adds 8 to its baselines, and to no other."""
    own = case["states"] == case["states"][0]
    shifted = case.but(returns=np.where(own, case["returns"] + SHIFT, case["returns"]))
    yield from moved(subject, case, shifted, np.where(own, SHIFT, 0))


def check_renamed(subject: Subject, case: Case) -> Iterable[Claim]:
    """The numbers of the states are names: other numbers change nothing."""
    yield from same(subject, case.but(states=20 - 2 * case["states"]), subject(case), case)


def check_single_state(subject: Subject, case: Case) -> Iterable[Claim]:
    """In a single state it is the mean return."""
    alone = case.but(states=np.zeros_like(case["states"]))
    mean = sum(exact(case["returns"])) / len(case["returns"])
    wanted = exact(np.zeros(len(case["returns"]))) + mean
    yield equals_exactly(subject(alone)["baselines"], wanted, subject.bound(alone)["baselines"])
