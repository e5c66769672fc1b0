"""How far chance alone can take a statistic of n draws, and how small a difference still shows.

Every threshold here is valid for every n: the probability that a right candidate exceeds it is at
most `rate`, by an inequality and not by a limit theorem. The normal approximation is used only
where Berry and Esseen's inequality says what it costs, and that is paid from the rate; at small
rates this takes so many draws that it is the exception.

A difference that exceeds the threshold at `rate` by the threshold at `miss` is found with
probability 1 − miss, for noise of the same distribution. That sum is what `visible` means
wherever a check states it.

The one identity to remember: what is seen = what chance allows at `rate` + what it hides at `miss`.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats
from jaxtyping import Float

# of the absolute constant for identically distributed summands; known to lie in (0.4097, 0.4690]
BERRY_ESSEEN = 0.4748
# share of the rate that the normal approximation may cost; where it costs more, Bernstein serves
NORMAL_SHARE = 0.1
# exact multinomial probabilities are exponentials of sums of a few logarithms of size n log n:
# their relative error stays far below this
SLACK = 2.0**-30


class Threshold(NamedTuple):
    """What a statistic exceeds with at most the asked probability.

    Attributes:
        value: the threshold, in the unit of the statistic.
        method: the inequality or distribution it rests on.
    """

    value: float
    method: str


def mean_threshold(
    n: int, *, deviation: float, third: float, largest: float, rate: float
) -> Threshold:
    """How far the mean of n independent draws can lie from its expectation, either way.

        Bernstein:     ε = (ML/3 + √(M²L²/9 + 2nσ²L)) / n        L = log(2/rate)
        normal:        ε = σ/√n · Φ⁻¹(1 − (rate − 2e)/2)          e = 0.4748 ρ/(σ³√n)

    Bernstein's P(|S| ≥ t) ≤ 2 exp(−t²/2 / (nσ² + Mt/3)) is solved for t. The normal threshold is
    taken where it is smaller, and only where 2e is at most a tenth of the rate.

    Source: Bernstein 1946 in Boucheron, Lugosi & Massart 2013, corollary 2.11; Shevtsova 2011,
        arXiv:1111.6554, the constant of the Berry–Esseen inequality.

    Args:
        n: number of draws, at least 1.
        deviation: standard deviation σ of one draw.
        third: third absolute central moment ρ = E|X − μ|³.
        largest: largest deviation M = max|X − μ|.
        rate: probability in (0, 1).

    Returns:
        ε and the method that gave it; 0 for what never varies.

    Example:
        >>> coin = dict(deviation=1.0, third=1.0, largest=1.0, rate=1e-6)
        >>> mean_threshold(10_000, **coin).method, mean_threshold(10**14, **coin).method
        ('Bernstein', 'normal')
    """
    if deviation == 0:
        return Threshold(0.0, "exact")
    logarithm = math.log(2 / rate)
    tilt = largest * logarithm / 3
    bernstein = (tilt + math.sqrt(tilt**2 + 2 * n * deviation**2 * logarithm)) / n
    cost = 2 * BERRY_ESSEEN * third / (deviation**3 * math.sqrt(n))
    if cost <= NORMAL_SHARE * rate:
        quantile = float(scipy.stats.norm.isf((rate - cost) / 2))
        normal = deviation / math.sqrt(n) * quantile
        if normal < bernstein:
            return Threshold(normal, "normal")
    return Threshold(bernstein, "Bernstein")


def norm_threshold(n: int, *, rank: int, reach: float, rate: float) -> Threshold:
    """How long √n times the mean of n whitened draws can be.

        T = √r + √(2L(1 + 2M√(r/n))) + ML/(3√n)        L = log(1/rate)

    Bousquet: with Z = sup_f Σᵢ f(Xᵢ), E f = 0, f ≤ 1, v = nσ² + 2EZ, P(Z ≥ EZ + √(2vx) + x/3) is
    at most e⁻ˣ. Here f ranges over the directions u of the unit ball, f(X) = ⟨u, X⟩/M, σ² = 1/M²
    since the draws are whitened, and EZ ≤ √(nr)/M, for (E‖S‖)² ≤ E‖S‖² = nr. As n grows, T²
    tends to (√r + √(2L))², where a χ² quantile would be somewhat smaller; but its error at a
    small rate is known for no practical n.

    Source: Bousquet 2002, C. R. Acad. Sci. Paris 334, theorem 2.3.

    Args:
        n: number of draws, at least 1.
        rank: number r of dimensions, whitened to variance 1 each.
        reach: bound M on the length of one whitened draw, centred.
        rate: probability in (0, 1).

    Returns:
        T and the method; 0 where there is no dimension.

    Example:
        >>> round(norm_threshold(10**12, rank=8, reach=10.0, rate=1e-6).value ** 2, 1)
        65.4
    """
    if rank == 0:
        return Threshold(0.0, "exact")
    logarithm, root = math.log(1 / rate), math.sqrt(n)
    spread = 2 * logarithm * (1 + 2 * reach * math.sqrt(rank) / root)
    value = math.sqrt(rank) + math.sqrt(spread) + reach * logarithm / (3 * root)
    return Threshold(value, "Bousquet")


def noncentrality(rank: int, *, rate: float, power: float) -> float:
    """Return the Λ at which a χ² test of a mean finds a bias with the asked power.

        P(χ²_r(Λ) > χ²_{r,1−rate}) = power        Λ = n bᵀΣ⁺b

    The limit for many draws, which no test of all directions alike can beat by much: n = Λ/Δ²
    draws show a bias of Δ standard deviations.

    Source: Anderson 2003, An Introduction to Multivariate Statistical Analysis, §5.4.

    Args:
        rank: degrees of freedom r, at least 1.
        rate: of false alarms, in (0, 1).
        power: in (rate, 1).

    Example:
        >>> [round(noncentrality(r, rate=1e-6, power=0.999), 1) for r in (1, 4, 8, 32)]
        [63.7, 74.9, 84.2, 115.9]
    """
    quantile = float(scipy.stats.chi2.isf(rate, rank))

    def lacking(size: float) -> float:
        return float(scipy.stats.ncx2.sf(quantile, rank, size)) - power

    most = quantile
    while lacking(most) < 0:
        most *= 2
    return float(scipy.optimize.brentq(lacking, 0, most))


def entropy_threshold(n: int, *, cells: int, rate: float) -> Threshold:
    """How large G = 2n KL(observed‖expected) of n draws in k cells can be.

        P(G ≥ g) ≤ e^{−g/2} (eg / 2(k−1))^{k−1}        for g > 2(k−1), solved for g

    The moment generating function of n KL is at most that of a gamma variable of shape k − 1 and
    rate 1, for every n and every distribution; the tail is Chernoff's bound of it.

    Source: Agrawal 2020, arXiv:1904.02291, theorem 1.1 and its corollary.
    Ours: G is twice n KL, as in the likelihood-ratio test.

    Args:
        n: number of draws; the bound does not depend on it.
        cells: number k of outcomes, at least 1.
        rate: probability in (0, 1).

    Returns:
        g and the method; 0 where there is one outcome only.

    Example:
        >>> round(entropy_threshold(100, cells=2, rate=1e-6).value, 1)
        35.4
    """
    free = cells - 1
    if free == 0:
        return Threshold(0.0, "exact")
    # x − 1 − log x = log(1/rate)/(k − 1) with x = g / 2(k − 1) is Lambert's equation
    share = math.log(1 / rate) / free
    scale = -float(scipy.special.lambertw(-math.exp(-1 - share), -1).real)
    return Threshold(2 * free * scale, "Agrawal")


def likelihood_ratio(
    counts: Float[np.ndarray, "M K"], probabilities: Float[np.ndarray, "K"]
) -> Float[np.ndarray, "M"]:
    """G = 2 Σₖ cₖ log(cₖ / npₖ) of M tables of counts, [M].

    Source: Wilks 1938, Annals of Mathematical Statistics 9; the G-test.
    """
    n = counts.sum(axis=1, keepdims=True)
    terms = scipy.special.xlogy(counts, counts / (n * probabilities))
    return np.asarray(2 * terms.sum(axis=1))


def exact_entropy_threshold(
    n: int, *, probabilities: Float[np.ndarray, "K"], rate: float
) -> Threshold:
    """As `entropy_threshold`, from the multinomial distribution itself, by listing all counts.

        P(counts) = n!/Πₖcₖ! Πₖ pₖ^cₖ

    Ours: tables whose G agree up to rounding are accepted or rejected together, and probabilities
    are counted a little too large, so the rate is never exceeded.

    Args:
        n: number of draws; all C(n+k−1, k−1) tables of counts are listed.
        probabilities: of the outcomes, all above 0, [K].
        rate: probability in (0, 1).

    Returns:
        The largest G that is not rejected, and the method.

    Example:
        >>> even = np.array([0.5, 0.5])  # of 20 tosses, 17 of one side or more: 2 · 1351 / 2²⁰
        >>> found = exact_entropy_threshold(20, probabilities=even, rate=0.003).value
        >>> bool(found < likelihood_ratio(np.array([[17, 3]]), even)[0])
        True
        >>> bool(found >= likelihood_ratio(np.array([[16, 4]]), even)[0])
        True
    """
    counts = _tables(n, probabilities.size)
    chance = scipy.special.gammaln(n + 1) - scipy.special.gammaln(counts + 1).sum(axis=1)
    chance = np.exp(chance + (counts * np.log(probabilities)).sum(axis=1))
    statistic = likelihood_ratio(counts, probabilities)
    order = np.argsort(-statistic)
    sizes, tail = statistic[order], np.cumsum(chance[order]) * (1 + SLACK)
    rejected = np.flatnonzero(tail[:-1] <= rate)
    first = int(rejected[-1]) + 1 if rejected.size else 0
    # what equals the first one accepted up to rounding is accepted with it
    return Threshold(float(sizes[first]) * (1 + SLACK), "multinomial")


def tables(n: int, cells: int) -> int:
    """Number of ways to put n draws into cells, C(n + k − 1, k − 1)."""
    return math.comb(n + cells - 1, cells - 1)


def _tables(n: int, cells: int) -> Float[np.ndarray, "M K"]:
    """Every table of counts, by giving the first cell each number from 0 to what is left."""
    table = np.zeros((1, 0), dtype=np.int64)
    left = np.array([n])
    for _ in range(cells - 1):
        repeats = left + 1
        parent = np.repeat(np.arange(left.size), repeats)
        ends = np.cumsum(repeats)
        given = np.arange(int(ends[-1])) - np.repeat(ends - repeats, repeats)
        table = np.column_stack([table[parent], given])
        left = left[parent] - given
    return np.column_stack([table, left]).astype(np.float64)


def kolmogorov_threshold(n: int, *, rate: float) -> Threshold:
    """How far the empirical distribution function of n draws can lie from the true one.

        P(sup|Fₙ − F| > ε) ≤ 2 exp(−2nε²)

    Source: Massart 1990, Annals of Probability 18(3), corollary 1.

    Example:
        >>> round(kolmogorov_threshold(10_000, rate=1e-6).value, 4)
        0.0269
    """
    return Threshold(math.sqrt(math.log(2 / rate) / (2 * n)), "Massart")
