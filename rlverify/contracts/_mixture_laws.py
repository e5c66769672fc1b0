"""Laws of Gaussian mixtures: what a mixture is for one component, and made of many."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._categorical_cases import OURS, claim, results, tracked
from rlverify.rounding import Tracked

LOG_2PI = math.log(2 * math.pi)
APART = 64.0  # in deviations: what two components then share is below e⁻⁵⁰⁰


def _log_sum(numbers: list[Any]) -> Any:
    """Return log Σ exp(x) of tracked numbers."""
    largest = max(numbers)
    return largest + sum((item - largest).exp() for item in numbers).log()


def component(case: Case, k: int) -> Case:
    """Return the case with one component only."""
    return case.but(
        logits=case["logits"][..., k : k + 1],
        mean=case["mean"][..., k : k + 1, :],
        log_std=case["log_std"][..., k : k + 1, :],
    )


def _standardised(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return z and σ of the first component as tracked numbers, [..., D]."""
    taken, mean = tracked(case["actions"]), tracked(case["mean"][..., 0, :])
    std = np.exp(tracked(case["log_std"][..., 0, :]))
    return (taken - mean) / std, std


def _gaussian(case: Case) -> np.ndarray:
    """Return the log-density of the first component alone, [...]."""
    z, _ = _standardised(case)
    log_std = tracked(case["log_std"][..., 0, :])
    total = np.empty(z.shape[:-1], dtype=object)
    for i in np.ndindex(total.shape):
        total[i] = sum(-(z[*i, d] ** 2) / 2 - log_std[*i, d] - LOG_2PI / 2
                       for d in range(z.shape[-1]))  # fmt: skip
    return total


def check_single(subject: Subject, case: Case) -> Iterable[Claim]:
    """A mixture of one is a Gaussian, whatever its logit."""
    one = component(case, 0)
    yield claim(results(subject, one, "log_prob"), _gaussian(one))


def check_weighted_sum(subject: Subject, case: Case) -> Iterable[Claim]:
    """The density is the sum of the components' densities, each times its weight."""
    count = case["logits"].shape[-1]
    parts = [results(subject, component(case, k), "log_prob") for k in range(count)]
    got = results(subject, case, "log_prob")
    wanted = np.empty(got.shape, dtype=object)
    for i in np.ndindex(got.shape):
        logits = [Tracked(float(logit), OURS) for logit in case["logits"][i]]
        shares = [logit - max(logits) for logit in logits]
        wanted[i] = _log_sum([shares[k] + parts[k][i] for k in range(count)]) - _log_sum(shares)
    yield claim(got, wanted)


def check_rows(subject: Subject, case: Case) -> Iterable[Claim]:
    """The first mixture of a batch does not depend on the others."""
    if case["logits"].ndim == 1:
        return
    first = case.but(**{name: array[:1] for name, array in case.arguments.items()})
    for name in subject(case):
        yield claim(results(subject, case, name)[:1], results(subject, first, name))


def check_single_score(subject: Subject, case: Case) -> Iterable[Claim]:
    """The score of a mixture of one is a Gaussian's, and none for the logit."""
    one = component(case, 0)
    z, std = _standardised(one)
    yield claim(results(subject, one, "mean")[..., 0, :], z / std)
    yield claim(results(subject, one, "log_std")[..., 0, :], z**2 - 1)
    none = results(subject, one, "logits")
    yield claim(none, tracked(np.zeros(none.shape)))


def check_shares(subject: Subject, case: Case) -> Iterable[Claim]:
    """Components at one place share a Gaussian's score by their weights."""
    z, std = _standardised(component(case, 0))
    of_mean, of_log_std = (results(subject, case, name) for name in ("mean", "log_std"))
    summed = [np.asarray(array.sum(axis=-2)) for array in (of_mean, of_log_std)]
    yield claim(summed[0], z / std)
    yield claim(summed[1], z**2 - 1)


def check_inversion(subject: Subject, case: Case) -> Iterable[Claim]:
    """With equal weights the uniform (k + ½)/K picks component k."""
    count = case["logits"].shape[-1]
    for k in range(count):
        # an exact uniform near the middle of the k-th of K intervals
        uniform = math.floor((k + 0.5) / count * 16) / 16 + 1 / 64
        picked = case.but(
            logits=np.zeros_like(case["logits"]),
            uniforms=np.full_like(case["uniforms"], uniform),
        )
        std = np.exp(tracked(case["log_std"][..., k, :]))
        wanted = tracked(case["mean"][..., k, :]) + std * tracked(case["normals"])
        yield claim(results(subject, picked, "actions"), wanted)


def _gaussian_entropy(log_std: Any) -> Any:
    return Tracked(float(log_std), OURS) + (1 + LOG_2PI) / 2


def check_single_entropy(subject: Subject, case: Case) -> Iterable[Claim]:
    """The entropy of one component is ½ log(2πe) + log σ."""
    one = component(case, 0)
    got = results(subject, one, "entropy")
    wanted = np.empty(got.shape, dtype=object)
    for i in np.ndindex(got.shape):
        wanted[i] = _gaussian_entropy(one["log_std"][*i, 0, 0])
    yield claim(got, wanted)


def check_apart(subject: Subject, case: Case) -> Iterable[Claim]:
    """Far apart, the entropies add: that of the weights, and the components' by weight."""
    count = case["logits"].shape[-1]
    reach = APART * np.exp(np.ceil(case["log_std"].max()))
    step = 2.0 ** math.ceil(math.log2(reach))  # exact in every dtype
    mean = np.zeros_like(case["mean"]) + step * np.arange(count)[:, None]
    got = results(subject, case.but(mean=mean), "entropy")
    wanted = np.empty(got.shape, dtype=object)
    for i in np.ndindex(got.shape):
        logits = [Tracked(float(logit), OURS) for logit in case["logits"][i]]
        shares = [logit - max(logits) for logit in logits]
        log_weights = [share - _log_sum(shares) for share in shares]
        wanted[i] = sum(
            log_weights[k].exp() * (_gaussian_entropy(case["log_std"][*i, k, 0]) - log_weights[k])
            for k in range(count)
        )
    yield claim(got, wanted)


def check_single_kl(subject: Subject, case: Case) -> Iterable[Claim]:
    """Between single components it is log(σq/σp) + (σp² + (μp − μq)²)/2σq² − ½."""
    changes = {name: array[..., :1, :] if name[:6] != "logits" else array[..., :1]
               for name, array in case.arguments.items()}  # fmt: skip
    got = results(subject, case.but(**changes), "kl")
    wanted = np.empty(got.shape, dtype=object)
    for i in np.ndindex(got.shape):
        mean_p, log_p, mean_q, log_q = (
            Tracked(float(changes[name][*i, 0, 0]), OURS)
            for name in ("mean_p", "log_std_p", "mean_q", "log_std_q")
        )
        ratio, distance = (log_p - log_q).exp(), (mean_p - mean_q) * (-log_q).exp()
        wanted[i] = log_q - log_p + (ratio**2 + distance**2 - 1) / 2
    yield claim(got, wanted)


ROWS = Law("rows-independent", "a mixture does not depend on the others of a batch", check_rows)
LOG_PROB_LAWS = (
    Law("one-component", "a mixture of one is a Gaussian, whatever its logit", check_single),
    Law("weighted-sum", "the density is the components' densities, each times its weight",
        check_weighted_sum),
    ROWS,
)  # fmt: skip
SCORE_LAWS = (
    Law("one-component", "the score of a mixture of one is a Gaussian's", check_single_score),
    Law("shares", "components at one place share a Gaussian's score", check_shares,
        holds_on=("equal",)),
    ROWS,
)  # fmt: skip
SAMPLE_LAWS = (
    Law("inversion", "with equal weights the uniform (k + ½)/K picks component k",
        check_inversion),
)  # fmt: skip
ENTROPY_LAWS = (
    Law("one-component", "the entropy of one component is ½ log(2πe) + log σ",
        check_single_entropy),
    Law("apart", "far apart, the entropy of the weights is added to the components'", check_apart),
)  # fmt: skip
KL_LAWS = (
    Law("one-component", "between single components it is the Gaussian's closed form",
        check_single_kl),
)  # fmt: skip
