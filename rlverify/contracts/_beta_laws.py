"""Laws of Beta policies.

With a whole β every integral is a finite sum of fractions:

    ∫ xᵃ⁻¹ (1−x)ᵝ⁻¹ (log x)ᵐ dx  =  Σⱼ (−1)ʲ C(β−1, j) (−1)ᵐ m! / (α+j)ᵐ⁺¹

so normalisation, the mean of the score, its variance and the entropy are known exactly.
"""

import functools
import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._categorical_cases import OURS, claim, results, tracked
from rlverify.rounding import Tracked

Check = Callable[[Subject, Case], Iterable[Claim]]
EXACT = ("integer", "polynomial")


def rational(number: Fraction) -> Tracked:
    """Return a fraction as a tracked number, rounded once."""
    value = float(number)
    size = abs(value)
    return Tracked(value, OURS, size, 1, size, 0, size, size * size)


@functools.lru_cache(4096)
def moment(alpha: float, beta: float, power: int) -> Fraction:
    """Return ∫ xᵃ⁻¹ (1−x)ᵝ⁻¹ (log x)ᵐ dx for a whole β."""
    a, b = Fraction(alpha), int(beta)
    terms = (Fraction((-1) ** j * math.comb(b - 1, j)) / (a + j) ** (power + 1) for j in range(b))
    sign = -1 if power % 2 else 1
    return sign * math.factorial(power) * sum(terms, Fraction(0))


def mean_log(alpha: float, beta: float) -> Fraction:
    """Return E log x for a whole β."""
    return moment(alpha, beta, 1) / moment(alpha, beta, 0)


def variance_log(alpha: float, beta: float) -> Fraction:
    """Return the variance of log x for a whole β."""
    return moment(alpha, beta, 2) / moment(alpha, beta, 0) - mean_log(alpha, beta) ** 2


def _each(case: Case) -> Iterable[tuple[int, ...]]:
    return np.ndindex(next(iter(case.arguments.values())).shape)


def _summed(terms: np.ndarray) -> np.ndarray:
    """Return the sums over the last axis."""
    total = np.empty(terms.shape[:-1], dtype=object)
    for i in np.ndindex(total.shape):
        total[i] = sum(terms[i], Tracked(0.0, OURS))
    return total


# --- laws of every function ----------------------------------------------------------------------


def check_dimensions_add(output: str) -> Check:
    """Return the law that a result is the sum over the dimensions taken one by one."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        count = next(iter(case.arguments.values())).shape[-1]
        alone = [
            case.but(**{name: array[..., d : d + 1] for name, array in case.arguments.items()})
            for d in range(count)
        ]
        parts = np.stack([results(subject, one, output) for one in alone], axis=-1)
        yield claim(results(subject, case, output), _summed(parts))

    return check


def check_rows(output: str) -> Check:
    """Return the law that the first row does not depend on the others."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        first = case.but(**{name: array[:1] for name, array in case.arguments.items()})
        if next(iter(case.arguments.values())).ndim > 1:
            yield claim(results(subject, case, output)[:1], results(subject, first, output))

    return check


def swapped(case: Case) -> Case | None:
    """Return the policy of 1 − x; None where 1 − x is no float64."""
    changes = {name: case[name.replace("alpha", "beta")] for name in case.arguments
               if name.startswith("alpha")}  # fmt: skip
    changes |= {name: case[name.replace("beta", "alpha")] for name in case.arguments
                if name.startswith("beta")}  # fmt: skip
    if "actions" in case.arguments:
        changes["actions"] = 1 - case["actions"]
        if not np.array_equal(1 - changes["actions"], case["actions"]):
            return None
    return case.but(**changes)


def check_swap(outputs: dict[str, str]) -> Check:
    """Return the law that 1 − x is Beta(β, α): what each output becomes."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        turned = swapped(case)
        if turned is not None:
            for name, other in outputs.items():
                yield claim(results(subject, turned, name), results(subject, case, other))

    return check


def raised(case: Case) -> Case | None:
    """Return the case with α + 1; None where that is rounded."""
    alpha = case["alpha"] + 1
    return case.but(alpha=alpha) if np.array_equal(alpha - 1, case["alpha"]) else None


# --- log-probability and score -------------------------------------------------------------------


def check_normalised(subject: Subject, case: Case) -> Iterable[Claim]:
    """The density over xᵅ⁻¹ (1−x)ᵝ⁻¹ is one over the integral of that."""
    terms = np.empty(case["actions"].shape, dtype=object)
    for i in _each(case):
        alpha, beta, x = (
            float(case["alpha"][i]),
            float(case["beta"][i]),
            Tracked(float(case["actions"][i]), OURS),
        )
        integral = rational(moment(alpha, beta, 0)).log()
        terms[i] = (alpha - 1) * x.log() + (beta - 1) * (-x).log1p() - integral
    yield claim(results(subject, case, "log_prob"), _summed(terms))


def check_uniform(subject: Subject, case: Case) -> Iterable[Claim]:
    """With α = β = 1 the density is 1."""
    ones = np.ones_like(case["alpha"])
    flat = case.but(alpha=ones, beta=ones)
    output = "log_prob" if "actions" in case.arguments else "entropy"
    got = results(subject, flat, output)
    yield claim(got, tracked(np.zeros(got.shape)))


def check_raised_density(subject: Subject, case: Case) -> Iterable[Claim]:
    """B(α+1, β) = B(α, β) α/(α+β)."""
    more = raised(case)
    if more is None:
        return
    terms = np.empty(case["actions"].shape, dtype=object)
    for i in _each(case):
        odds = Tracked(float(case["beta"][i]), OURS) / float(case["alpha"][i])
        terms[i] = Tracked(float(case["actions"][i]), OURS).log() + odds.log1p()
    wanted = results(subject, case, "log_prob") + _summed(terms)
    yield claim(results(subject, more, "log_prob"), wanted)


def check_zero_mean(subject: Subject, case: Case) -> Iterable[Claim]:
    """E score = 0: the score is log x less its exact mean."""
    wanted = np.empty(case["actions"].shape, dtype=object)
    for i in _each(case):
        mean = mean_log(float(case["alpha"][i]), float(case["beta"][i]))
        wanted[i] = Tracked(float(case["actions"][i]), OURS).log() - rational(mean)
    yield claim(results(subject, case, "alpha"), wanted)


def check_raised_score(subject: Subject, case: Case) -> Iterable[Claim]:
    """From α to α + 1 the score of α changes by 1/(α+β) − 1/α."""
    more = raised(case)
    if more is not None:
        change = np.empty(case["actions"].shape, dtype=object)
        for i in _each(case):
            a, b = Fraction(case["alpha"][i]), Fraction(case["beta"][i])
            change[i] = rational(1 / (a + b) - 1 / a)
        yield claim(results(subject, more, "alpha"), results(subject, case, "alpha") + change)


# --- entropy, divergence, Fisher information -----------------------------------------------------


def _log_beta(alpha: float, beta: float) -> Any:
    return rational(moment(alpha, beta, 0)).log()


def check_exact_entropy(subject: Subject, case: Case) -> Iterable[Claim]:
    """H = −E log p, integrated exactly for whole α and β."""
    terms = np.empty(case["alpha"].shape, dtype=object)
    for i in _each(case):
        a, b = float(case["alpha"][i]), float(case["beta"][i])
        linear = (Fraction(a) - 1) * mean_log(a, b) + (Fraction(b) - 1) * mean_log(b, a)
        terms[i] = _log_beta(a, b) - rational(linear)
    yield claim(results(subject, case, "entropy"), _summed(terms))


def check_exact_kl(subject: Subject, case: Case) -> Iterable[Claim]:
    """KL = E_p (log p − log q), integrated exactly for whole α and β."""
    terms = np.empty(case["alpha_p"].shape, dtype=object)
    for i in _each(case):
        a, b, new_a, new_b = (float(array[i]) for array in case.arguments.values())
        linear = Fraction(a - new_a) * mean_log(a, b) + Fraction(b - new_b) * mean_log(b, a)
        terms[i] = _log_beta(new_a, new_b) - _log_beta(a, b) + rational(linear)
    yield claim(results(subject, case, "kl"), _summed(terms))


def check_no_distance(subject: Subject, case: Case) -> Iterable[Claim]:
    """KL(p‖p) = 0."""
    same = case.but(alpha_q=case["alpha_p"], beta_q=case["beta_p"])
    got = results(subject, same, "kl")
    yield claim(got, tracked(np.zeros(got.shape)))


def check_variance(subject: Subject, case: Case) -> Iterable[Claim]:
    """F of α is the variance of its score, the exact variance of log x."""
    got = results(subject, case, "fisher")[..., 0, 0]
    wanted = np.empty(got.shape, dtype=object)
    for i in _each(case):
        wanted[i] = rational(variance_log(float(case["alpha"][i]), float(case["beta"][i])))
    yield claim(got, wanted)


def check_covariance(subject: Subject, case: Case) -> Iterable[Claim]:
    """F between α and β is −ψ′(n) = Σ_{j<n} 1/j² − π²/6 for a whole n = α + β."""
    fisher = results(subject, case, "fisher")
    wanted = np.empty(case["alpha"].shape, dtype=object)
    for i in _each(case):
        whole = int(case["alpha"][i] + case["beta"][i])
        total = sum((Fraction(1, j * j) for j in range(1, whole)), Fraction(0))
        circle = rational(Fraction(math.pi)) * rational(Fraction(math.pi)) / 6
        wanted[i] = rational(total) - circle
    yield claim(fisher[..., 0, 1], wanted)
    yield claim(fisher[..., 1, 0], wanted)


def check_turned_fisher(subject: Subject, case: Case) -> Iterable[Claim]:
    """With α and β exchanged, so are the rows and the columns."""
    turned = swapped(case)
    if turned is not None:
        fisher = results(subject, case, "fisher")[..., ::-1, ::-1]
        yield claim(results(subject, turned, "fisher"), fisher)


def dimensions_add(output: str) -> Law:
    """Return the law that dimensions add."""
    return Law("dimensions-add", "the result is the sum over the dimensions taken one by one",
               check_dimensions_add(output))  # fmt: skip


def rows(output: str) -> Law:
    """Return the law that rows are independent."""
    return Law("rows-independent", "a row does not depend on the others", check_rows(output))


SWAP = "1 − x is Beta(β, α) distributed"
LOG_PROB_LAWS = (
    Law("integrates-to-one", "over xᵅ⁻¹ (1−x)ᵝ⁻¹ the density is one over the exact integral of it",
        check_normalised, holds_on=EXACT),
    Law("uniform", "with α = β = 1 the log-probability is 0", check_uniform),
    Law("raised", "B(α+1, β) = B(α, β) α/(α+β)", check_raised_density),
    Law("reflection", SWAP, check_swap({"log_prob": "log_prob"})),
    dimensions_add("log_prob"),
    rows("log_prob"),
)  # fmt: skip
SCORE_LAWS = (
    Law("zero-mean", "the score is log x less its exact mean", check_zero_mean, holds_on=EXACT,
        claim="C1"),
    Law("raised", "from α to α + 1 the score changes by 1/(α+β) − 1/α", check_raised_score),
    Law("reflection", SWAP, check_swap({"alpha": "beta", "beta": "alpha"})),
)  # fmt: skip
ENTROPY_LAWS = (
    Law("exact-integral", "for whole α and β it is −E log p, integrated exactly",
        check_exact_entropy, holds_on=("integer",)),
    Law("uniform", "with α = β = 1 the entropy is 0", check_uniform),
    Law("reflection", SWAP, check_swap({"entropy": "entropy"})),
    dimensions_add("entropy"),
)  # fmt: skip
KL_LAWS = (
    Law("exact-integral", "for whole α and β it is E_p (log p − log q), integrated exactly",
        check_exact_kl, holds_on=("integer",)),
    Law("itself", "KL(p‖p) = 0", check_no_distance),
    Law("reflection", SWAP, check_swap({"kl": "kl"})),
    dimensions_add("kl"),
)  # fmt: skip
FISHER_LAWS = (
    Law("variance-of-score", "F of α is the exact variance of log x", check_variance,
        holds_on=EXACT),
    Law("covariance", "between α and β it is Σ 1/j² − π²/6 over j < α + β, for whole α and β",
        check_covariance, holds_on=("integer",)),
    Law("reflection", SWAP, check_turned_fisher),
)  # fmt: skip
