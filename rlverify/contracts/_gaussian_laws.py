"""Laws of Gaussian policies, squashed or not, that need no reference."""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._lattice import nodes, quadrature_error, weights
from rlverify.contracts._measured import exactly, known_within, measured, vanishes
from rlverify.rounding import Tracked

Log = Callable[[float], Tracked]


def rows(case: Case, b: int) -> Case:
    """Return one row of a case; a log σ for all rows stays."""
    return case.but(
        **{name: value[b : b + 1] for name, value in case.arguments.items() if value.ndim == 2}
    )


def component(case: Case, d: int) -> Case:
    """Return one component of every array of a case."""
    return case.but(**{name: value[..., d : d + 1] for name, value in case.arguments.items()})


def size(case: Case) -> tuple[int, ...]:
    """Return the shape of the largest array of a case."""
    return max((value.shape for value in case.arguments.values()), key=len)


# --- every function ------------------------------------------------------------------------------


def check_rows(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare every row of the whole with that row alone."""
    got, allowed = subject(case), subject.bound(case)
    for b in range(size(case)[0] if size(case)[0] > 1 else 0):
        alone, bound = subject(rows(case, b)), subject.bound(rows(case, b))
        for name in got:
            part = slice(b, b + 1)
            yield Claim(got[name][part], alone[name], allowed[name][part] + bound[name])


def check_components_add(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare the whole with the sum of its components, each taken alone."""
    parts = [component(case, d) for d in range(size(case)[1])]
    if len(parts) == 1:
        return
    got, allowed = subject(case), subject.bound(case)
    for name in got:
        terms = [measured(subject(part)[name], subject.bound(part)[name]) for part in parts]
        whole = measured(got[name], allowed[name])
        for i in np.ndindex(whole.shape):
            yield vanishes(whole[i] - sum(term[i] for term in terms))


def check_components_apart(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare every component of the whole with that component alone."""
    got, allowed = subject(case), subject.bound(case)
    for d in range(size(case)[1] if size(case)[1] > 1 else 0):
        part = component(case, d)
        alone, bound = subject(part), subject.bound(part)
        for name in got:
            here = (..., slice(d, d + 1))
            yield Claim(got[name][here], alone[name], allowed[name][here] + bound[name])


ROWS = Law("rows-apart", "a row does not depend on its neighbours", check_rows)
COMPONENTS_ADD = Law(
    "components-add", "the whole is the sum of its components", check_components_add
)
COMPONENTS_APART = Law(
    "components-apart", "a component does not depend on the others", check_components_apart
)

# --- densities -----------------------------------------------------------------------------------


def one(array: np.ndarray) -> float:
    """Return the last component of the first row."""
    return float((array[0] if array.ndim == 2 else array)[-1])


def column(case: Case, third: str, points: np.ndarray) -> Case:
    """Return the case of one component, seen at many points."""
    mean, log_std = one(case["mean"]), one(case["log_std"])
    arrays = {"mean": np.full((points.size, 1), mean), "log_std": np.array([log_std])}
    return case.but(**arrays, **{third: points[:, None]})


def lattice_case(case: Case, third: str) -> tuple[Case, float]:
    """Return one component of a case at the points of a lattice, and their spacing."""
    points, spacing = nodes(one(case["mean"]), one(case["log_std"]))
    return column(case, third, points), spacing


def density_law(third: str, log_slope: Log | None = None) -> Law:
    """Return the law that a density has integral 1, and its own mean and variance.

    `log_slope` is the logarithm of the slope of the action in the variable `third`, where the
    density is not that variable's own.
    """

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        here, spacing = lattice_case(case, third)
        points = here[third][:, 0]
        if log_slope is not None and abs(points).max() > 300:
            return  # e^(2|u|) is no number any more
        logs = measured(subject(here)["log_prob"], subject.bound(here)["log_prob"])
        if log_slope is not None:
            logs = logs + np.array([log_slope(float(u)) for u in points], dtype=object)
        highest = max(float(log) for log in logs)
        if highest > 300:  # no σ drawn is as small: it cannot have integral 1, and e^x no square
            yield Claim(np.array([highest]), np.zeros(1), np.zeros(1))
            return
        _, scores = weights(one(case["mean"]), one(case["log_std"]))
        moments: list[Any] = [exactly(-1.0), exactly(0.0), exactly(-1.0)]
        for log, z in zip(logs, scores, strict=True):
            share = log.exp() * spacing
            moments = [m + share * f for m, f in zip(moments, (1.0, z, z**2), strict=True)]
        for power, moment in enumerate(moments):
            yield vanishes(moment, quadrature_error(power))

    return Law("density", "the density has integral 1, mean μ and variance σ²", check)


def check_reflection(subject: Subject, case: Case) -> Iterable[Claim]:
    """Reflect the actions about the mean: the density is the same."""
    mirrored = case.but(actions=2 * case["mean"] - case["actions"])
    slack = subject.bound(case)["log_prob"] + subject.bound(mirrored)["log_prob"]
    yield Claim(subject(mirrored)["log_prob"], subject(case)["log_prob"], slack)


REFLECTION = Law("reflection", "the density is symmetric about the mean", check_reflection)


@functools.lru_cache(4096)
def log_tanh_slope(u: float) -> Tracked:
    """Return log(1 − tanh² u) = log 4 − 2|u| − 2 log(1 + e^−2|u|)."""
    far = exactly(-2 * abs(u))
    log_slope: Tracked = exactly(4.0).log() + far - 2 * far.exp().log1p()
    return log_slope


def check_far_out(subject: Subject, case: Case) -> Iterable[Claim]:
    """Move mean and u together away from 0: only the slope of tanh changes, by e² a unit."""
    u, away = case["pre_tanh"], 32 * np.sign(case["pre_tanh"])
    if (abs(u) < 8).any():
        return
    moved = case.but(mean=case["mean"] + away, pre_tanh=u + away)
    before = measured(subject(case)["log_prob"], subject.bound(case)["log_prob"])
    after = measured(subject(moved)["log_prob"], subject.bound(moved)["log_prob"])
    for b in range(len(u)):
        wanted = sum(
            log_tanh_slope(float(x)) - log_tanh_slope(float(y))
            for x, y in zip(u[b], moved["pre_tanh"][b], strict=True)
        )
        yield vanishes(after[b] - before[b] - wanted)


FAR_OUT = Law(
    "far-out", "far from 0 a step of mean and u together adds twice its length", check_far_out,
    holds_on=("squashed", "saturated"),
)  # fmt: skip

# --- score and information -----------------------------------------------------------------------


def scores_of(subject: Subject, case: Case) -> tuple[np.ndarray, np.ndarray, Tracked]:
    """Return both scores of one component at the points of a lattice, and σ."""
    here, _ = lattice_case(case, "actions")
    got, allowed = subject(here), subject.bound(here)
    of_mean, of_log_std = (measured(got[k][:, 0], allowed[k][:, 0]) for k in ("mean", "log_std"))
    return of_mean, of_log_std, exactly(one(case["log_std"])).exp()


def check_zero_mean(subject: Subject, case: Case) -> Iterable[Claim]:
    """The expectation of the score under its own policy is 0."""
    of_mean, of_log_std, std = scores_of(subject, case)
    shares, _ = weights(one(case["mean"]), one(case["log_std"]))
    first = sum(w * s for w, s in zip(shares, of_mean, strict=True)) * std
    second = sum(w * s for w, s in zip(shares, of_log_std, strict=True))
    yield vanishes(first, quadrature_error(1))
    yield vanishes(second, quadrature_error(2) + quadrature_error(0))


def check_score_information(subject: Subject, case: Case) -> Iterable[Claim]:
    """The second moments of the score are the Fisher information: 1/σ², 2, and 0 across."""
    of_mean, of_log_std, std = scores_of(subject, case)
    shares, _ = weights(one(case["mean"]), one(case["log_std"]))
    mean, cross, log_std = exactly(-1.0), exactly(0.0), exactly(-2.0)
    for w, s, t in zip(shares, of_mean, of_log_std, strict=True):
        mean, cross, log_std = (
            mean + w * (s * std) ** 2,
            cross + w * s * std * t,
            log_std + w * t**2,
        )
    yield vanishes(mean, quadrature_error(2))
    yield vanishes(cross, quadrature_error(3) + quadrature_error(1))
    yield vanishes(log_std, quadrature_error(4) + 2 * quadrature_error(2) + quadrature_error(0))


def check_scores_related(subject: Subject, case: Case) -> Iterable[Claim]:
    """(σ ∂/∂μ)² − 1 is ∂/∂ log σ, whatever the action."""
    got, allowed = subject(case), subject.bound(case)
    of_mean, of_log_std = (measured(got[name], allowed[name]) for name in ("mean", "log_std"))
    spread = np.broadcast_to(case["log_std"], of_mean.shape)
    for i in np.ndindex(of_mean.shape):
        yield vanishes((of_mean[i] * exactly(spread[i]).exp()) ** 2 - 1 - of_log_std[i])


SCORE_LAWS = (
    Law("zero-mean", "the score has expectation 0 under the policy", check_zero_mean, claim="C1"),
    Law("information", "its second moments are the Fisher information", check_score_information),
    Law("related", "(σ ∂/∂μ)² − 1 is ∂/∂(log σ)", check_scores_related),
    COMPONENTS_APART,
)


def check_fisher(subject: Subject, case: Case) -> Iterable[Claim]:
    """The information is the second moment of the score, summed over a lattice."""
    log_std = one(case["log_std"])
    got, allowed = subject(case), subject.bound(case)
    index = (0, case["log_std"].shape[1] - 1)
    of_mean = known_within(got["mean"][index], allowed["mean"][index])
    of_log_std = known_within(got["log_std"][index], allowed["log_std"][index])
    shares, scores = weights(0.0, log_std)
    second, fourth = exactly(0.0), exactly(0.0)
    for w, z in zip(shares, scores, strict=True):
        second, fourth = second + w * z**2, fourth + w * (z**2 - 1) ** 2
    std = exactly(log_std).exp()
    yield vanishes(of_mean * std**2 - second, quadrature_error(2))
    slack = quadrature_error(4) + 2 * quadrature_error(2) + quadrature_error(0)
    yield vanishes(of_log_std - fourth, slack)


def check_steeper(subject: Subject, case: Case) -> Iterable[Claim]:
    """Make σ e times as large: the information on the mean falls by e², that on log σ stays."""
    wider = case.but(log_std=case["log_std"] + 1)
    got, allowed = subject(case), subject.bound(case)
    there, bound = subject(wider), subject.bound(wider)
    square = exactly(2.0).exp()
    before, after = measured(got["mean"], allowed["mean"]), measured(there["mean"], bound["mean"])
    for i in np.ndindex(before.shape):
        yield vanishes((after[i] * square - before[i]) / before[i])
    yield Claim(there["log_std"], got["log_std"], bound["log_std"] + allowed["log_std"])


FISHER_LAWS = (
    Law("information", "it is the second moment of the score", check_fisher),
    Law("scale", "with e times σ the mean's falls by e², that of log σ stays", check_steeper),
)

# --- entropy, divergence, samples ----------------------------------------------------------------


def check_entropy_shift(subject: Subject, case: Case) -> Iterable[Claim]:
    """Make every σ e times as large: the entropy grows by D."""
    wider = case.but(log_std=case["log_std"] + 1)
    slack = subject.bound(case)["entropy"] + subject.bound(wider)["entropy"]
    before, after = subject(case)["entropy"], subject(wider)["entropy"]
    # the difference of two results is itself rounded, in float64
    steps = measured(after, subject.bound(wider)["entropy"]) - measured(before, 0 * slack)
    for i in np.ndindex(steps.shape):
        yield vanishes(steps[i] - float(case["log_std"].shape[1]), float(slack[i]))


def check_expected_surprise(subject: Subject, case: Case) -> Iterable[Claim]:
    """The entropy is the expectation of −log π, summed over a lattice."""
    log_std = one(case["log_std"])
    alone = case.but(log_std=np.array([[log_std]]))
    got = known_within(subject(alone)["entropy"][0], subject.bound(alone)["entropy"][0])
    shares, scores = weights(0.0, log_std)
    constant = exactly(2 * math.pi).log() / 2 + log_std
    wanted = sum(w * (z**2 / 2 + constant) for w, z in zip(shares, scores, strict=True))
    slack = quadrature_error(2) + abs(float(constant)) * quadrature_error(0)
    yield vanishes(got - wanted, slack)


ENTROPY_LAWS = (
    COMPONENTS_ADD, ROWS,
    Law("log-std-shift", "with e times σ the entropy grows by D", check_entropy_shift),
    Law("expected-surprise", "it is the expectation of −log π", check_expected_surprise),
)  # fmt: skip


def check_of_itself(subject: Subject, case: Case) -> Iterable[Claim]:
    """The divergence of a policy from itself is 0, and no divergence is below 0."""
    itself = case.but(mean_q=case["mean_p"], log_std_q=case["log_std_p"])
    got = subject(itself)["kl"]
    yield Claim(got, np.zeros(got.shape), subject.bound(itself)["kl"])
    divergence = subject(case)["kl"]
    yield Claim(np.minimum(divergence, 0), np.zeros(got.shape), subject.bound(case)["kl"])


def check_two_points(subject: Subject, case: Case) -> Iterable[Claim]:
    """KL is E_p (log p − log q): exactly its mean over μp ± σp, the integrand being a parabola."""
    alone = component(rows(case, 0), size(case)[1] - 1)
    got = known_within(subject(alone)["kl"][0], subject.bound(alone)["kl"][0])
    mean_p, log_std_p, mean_q, log_std_q = (exactly(one(case[k])) for k in case.arguments)
    wanted: Any = 0
    for side in (1, -1):
        z = (mean_p - mean_q + side * log_std_p.exp()) / log_std_q.exp()
        wanted = wanted + ((z**2 - 1) / 2 - (log_std_p - log_std_q)) / 2
    yield vanishes(got - wanted)


KL_LAWS = (
    COMPONENTS_ADD, ROWS,
    Law("of-itself", "a policy lies at 0 from itself, and nothing lies below 0", check_of_itself),
    Law("expectation", "it is the expectation of log p − log q under p", check_two_points),
)  # fmt: skip


def sample_laws(name: str) -> tuple[Law, ...]:
    """Return the laws of samples that stand in the output `name`."""

    def check_recovered(subject: Subject, case: Case) -> Iterable[Claim]:
        """(a − μ)/σ are the normals that the sample was made from."""
        got = measured(subject(case)[name], subject.bound(case)[name])
        spread = np.broadcast_to(case["log_std"], got.shape)
        for i in np.ndindex(got.shape):
            z = (got[i] - float(case["mean"][i])) / exactly(spread[i]).exp()
            yield vanishes(z - float(case["normals"][i]))

    def check_odd(subject: Subject, case: Case) -> Iterable[Claim]:
        """Normals of the other sign land as far on the other side of the mean."""
        other = case.but(normals=-case["normals"])
        one_side = measured(subject(case)[name], subject.bound(case)[name])
        other_side = measured(subject(other)[name], subject.bound(other)[name])
        for i in np.ndindex(one_side.shape):
            yield vanishes(one_side[i] + other_side[i] - 2 * float(case["mean"][i]))

    return (
        Law("normals-recovered", "(u − μ)/σ gives back the normals", check_recovered),
        Law("odd", "normals of the other sign land on the other side of the mean", check_odd),
    )
