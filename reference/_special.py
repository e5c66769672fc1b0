"""Combinations of log Γ, ψ and ψ′ in which nothing large cancels.

log B(α, β) = log Γ(α) + log Γ(β) − log Γ(α+β) is a number of size 10 made of numbers of size
10⁷ where α = β = 10⁶: in float32 nothing of it is left. Everything here is written in what
does remain. Above `REACH` that is Stirling's series,

    log Γ(z) = z log z − z − ½ log(z/2π) + δ(z)      δ(z) = Σ B₂ₖ / (2k (2k−1) z²ᵏ⁻¹)
    ψ(z) = log z − 1/2z − Σ B₂ₖ / (2k z²ᵏ)           ψ′(z) = 1/z + 1/2z² + Σ B₂ₖ / z²ᵏ⁺¹

whose error is below its first omitted term (DLMF 5.11.1, 5.11.2 and 5.11(ii); for ψ′ by the
same integral of Binet's); eight terms leave less than 2⁻⁵⁸ of the value at z = 12. Differences
of powers are summed as products of positive numbers. The form of the density is Loader's
(2000, "Fast and accurate computation of binomial probabilities").
"""

import math
from typing import Any

import numpy as np

from rlverify.reference._functions import digamma, lgamma

REACH = 12
LOG_2PI = math.log(2 * math.pi)
# B₂, B₄, …, B₁₆
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def excess(weight: Any, step: Any, ratio: Any) -> Any:
    """Return w g(h/w) ≥ 0, with g(t) = t − log(1 + t) and the ratio 1 + h/w.

    Near t = 0, with v = t/(2 + t), log(1 + t) = 2 artanh v, so that nothing cancels:
    g(t) = v (t − 2 (v²/3 + v⁴/5 + …)).
    """
    t = step / weight
    if t < -0.5:  # here 1 + t has lost digits that the ratio still has
        return step - weight * np.log(ratio)
    if abs(t) >= 0.25:
        return step - weight * np.log1p(t)
    v = t / (2 + t)
    square, series = v**2, 0
    for k in reversed(range(10)):  # v² < 1/49: the eleventh term is below 2⁻⁵⁶ of t
        series = series * square + 1 / (2 * k + 3)
    return v * (step - 2 * weight * square * series)


def deviance(alpha: Any, beta: Any, d: Any, x: Any, y: Any) -> Any:
    """Return α log(α/((α+β) x)) + β log(β/((α+β) y)) ≥ 0, with x + y = 1 and d = β x − α y.

    As α g(d/α) + β g(−d/β) with g(t) = t − log(1 + t): neither summand is negative.
    """
    total = alpha + beta
    return excess(alpha, d, total / alpha * x) + excess(beta, -d, total / beta * y)


def stirling_surplus(z: Any) -> Any:
    """Return z log z − z − log Γ(z), which is ½ log(z/2π) − δ(z)."""
    if z < REACH:
        return z * np.log(z) - z - lgamma(z)
    y, correction = 1 / z, 0
    for k in reversed(range(8)):
        correction = correction * y**2 + BERNOULLI[k] / ((2 * k + 2) * (2 * k + 1))
    return (np.log(z) - LOG_2PI) / 2 - correction * y


def stirling_slope(z: Any) -> Any:
    """Return log z − ψ(z) > 0, the derivative of the `stirling_surplus`."""
    if z < REACH:
        return np.log(z) - digamma(z)
    y, series = 1 / z, 0
    for k in reversed(range(8)):
        series = series * y**2 + BERNOULLI[k] / (2 * k + 2)
    return y * (1 / 2 + y * series)


def surplus_divergence(new: Any, old: Any, gap: Any) -> Any:
    """Return c′(z) h − (c(z + h) − c(z)), c the `stirling_surplus`, z the old and h the gap.

    Above the reach it is ½ g(h/z), positive, and the same divergence of δ, much smaller.
    """
    if new < REACH or old < REACH:
        return stirling_slope(old) * gap - (stirling_surplus(new) - stirling_surplus(old))
    near, far = 1 / old, 1 / new
    # of z⁻ᵐ it is h²/(z (z+h)) Σᵢ (m − i) z⁻⁽ᵐ⁻ⁱ⁾ (z+h)⁻ⁱ, i < m: no summand is negative
    power, powers, weighted, series = 1, 1, near, 0
    for k in range(8):
        series = series + BERNOULLI[k] / ((2 * k + 2) * (2 * k + 1)) * weighted
        for _ in range(2):  # from m to m + 1
            power = power * far
            powers = powers * near + power
            weighted = near * (weighted + powers)
    return excess(1, gap / old, new / old) / 2 + gap * near * gap * far * series


def log_gamma_entropy(z: Any) -> Any:
    """Return log Γ(z) + z − z ψ(z), the entropy of log G where G is Gamma(z) distributed."""
    if z < REACH:
        return lgamma(z) + z - z * digamma(z)
    y, series = 1 / z, 0
    for k in reversed(range(8)):  # 1/(2k (2k−1)) of δ and 1/2k of ψ make 1/(2k−1)
        series = series * y**2 + BERNOULLI[k] / (2 * k + 1)
    return (1 + LOG_2PI - np.log(z)) / 2 + series * y


def digamma_rise(z: Any, step: Any) -> Any:
    """Return ψ(z + h) − ψ(z) ≥ 0, to a relative error even where h is small beside z.

    Below the reach, ψ(z + h) − ψ(z) = h / (z (z + h)) + the same at z + 1.
    """
    total: Any = 0
    while z < REACH:
        total = total + step / z / (z + step)
        z = z + 1
    return total + np.log1p(step / z) + _digamma_rest(z, step)


def log_score(alpha: Any, beta: Any, x: Any, y: Any) -> Any:
    """Return log x − E[log x] = log x + ψ(α + β) − ψ(α), for x + y = 1."""
    total: Any = 0
    while alpha < REACH:
        total = total + beta / alpha / (alpha + beta)
        alpha = alpha + 1
    # log x + log((α + β)/α) is small where x is near its mean
    t = (beta * x - alpha * y) / alpha
    share = np.log1p(t) if t >= -0.5 else np.log((alpha + beta) / alpha * x)
    return total + share + _digamma_rest(alpha, beta)


def _digamma_rest(z: Any, step: Any) -> Any:
    """Return ψ(z + h) − ψ(z) − log((z + h)/z) for z above the reach."""
    near, far = 1 / z, 1 / (z + step)
    power, powers, series = 1, 0, 0
    for k in range(8):
        # z⁻²ᵏ − (z+h)⁻²ᵏ is (z⁻² − (z+h)⁻²) times the sum of z⁻²ⁱ (z+h)⁻²ʲ, i + j = k − 1
        powers = powers * near**2 + power
        power = power * far**2
        series = series + BERNOULLI[k] / (2 * k + 2) * powers
    return step * near * far * (1 / 2 + (near + far) * series)


def trigamma(z: Any) -> Any:
    """Return ψ′(z). Below the reach, ψ′(z) = 1/z² + ψ′(z + 1)."""
    total: Any = 0
    while z < REACH:
        total = total + 1 / z**2
        z = z + 1
    y, series = 1 / z, 0
    for k in reversed(range(8)):
        series = series * y**2 + BERNOULLI[k]
    return total + y * (1 + y * (1 / 2 + y * series))


def trigamma_fall(z: Any, step: Any) -> Any:
    """Return ψ′(z) − ψ′(z + h) ≥ 0, to a relative error even where h is small beside z.

    Below the reach, it is h (2z + h) / (z (z + h))² + the same at z + 1.
    """
    total: Any = 0
    while z < REACH:
        total = total + step / z / (z + step) * (1 / z + 1 / (z + step))
        z = z + 1
    near, far = 1 / z, 1 / (z + step)
    power, powers, series = far**2, near**2 + near * far + far**2, 0
    for k in range(8):
        # z⁻ᵐ − (z+h)⁻ᵐ is (1/z − 1/(z+h)) times the sum of z⁻ⁱ (z+h)⁻ʲ, i + j = m − 1 = 2k
        series = series + BERNOULLI[k] * powers
        powers = powers * near**2 + power * near * far + power * far**2
        power = power * far**2
    return total + step * near * far * (1 + (near + far) / 2 + series)


def exp_surplus(d: Any) -> Any:
    """Return eᵈ − 1 − d, to its own accuracy however small d is.

    For |d| < 1/2 by the series d²/2 (1 + d/3 (1 + d/4 (…))), whose next term is below 2⁻⁵⁴.
    """
    if not abs(d) < 0.5:
        return np.expm1(d) - d
    inner = 1
    for k in range(18, 2, -1):
        inner = 1 + d * inner / k
    return d * d / 2 * inner
