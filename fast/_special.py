"""Combinations of log Γ, ψ and ψ′ in which nothing large cancels, in PyTorch.

log B(α, β) = log Γ(α) + log Γ(β) − log Γ(α+β) is a number of size 10 made of numbers of size
10⁷ where α = β = 10⁶: in float32 nothing of it is left. Everything here is written in what
does remain: Stirling's series where an argument is large, and differences of ψ and ψ′ as sums
of positive numbers. Both branches of a `where` are computed, each on numbers that it can take,
so that no NaN of the branch not taken reaches a gradient.

A series needs fewer terms in float32: with (6, 4) as `reach` and number of terms, and with
(12, 8) in float64, the first omitted term is below a thirtieth of a rounding.
"""

import math
from typing import NamedTuple

import torch

DIRECT = 12  # below, log Γ itself is small enough
LOG_2PI = math.log(2 * math.pi)
# B₂, B₄, …, B₁₆
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


class Series(NamedTuple):
    """From where on an asymptotic series serves, and how much of it.

    Attributes:
        reach: the smallest argument.
        terms: how many Bernoulli numbers.
    """

    reach: int
    terms: int


def _series(like: torch.Tensor) -> Series:
    return Series(12, 8) if like.dtype == torch.float64 else Series(6, 4)


def _horner(square: torch.Tensor, coefficients: list[float]) -> torch.Tensor:
    """Return the polynomial c₀ + c₁ s + c₂ s² and so on."""
    value = torch.full_like(square, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * square + coefficient
    return value


def excess(weight: torch.Tensor | int, step: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    """Return w g(h/w) ≥ 0, with g(t) = t − log(1 + t) and the ratio 1 + h/w."""
    t = step / weight
    near, low = t.abs() < 0.25, t < -0.5
    # far below 0, 1 + t has lost digits that the ratio still has
    logarithm = torch.where(low, ratio, 1).log() + t.masked_fill(low, 0).log1p()
    small = t.masked_fill(~near, 0)
    v = small / (2 + small)
    square = v * v
    terms = 10 if t.dtype == torch.float64 else 5
    series = _horner(square, [1 / (2 * k + 3) for k in range(terms)])
    return torch.where(near, v * (step - 2 * weight * square * series), step - weight * logarithm)


def deviance(
    alpha: torch.Tensor, beta: torch.Tensor, d: torch.Tensor, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Return α log(α/((α+β) x)) + β log(β/((α+β) y)) ≥ 0, with x + y = 1 and d = β x − α y."""
    total = alpha + beta
    return excess(alpha, d, total / alpha * x) + excess(beta, -d, total / beta * y)


def stirling_surplus(z: torch.Tensor) -> torch.Tensor:
    """Return z log z − z − log Γ(z), which is ½ log(z/2π) − δ(z)."""
    reach, terms = _series(z)
    logarithm, small = z.log(), z.clamp(max=reach)
    y = 1 / z.clamp(min=reach)
    correction = y * _horner(
        y * y, [BERNOULLI[k] / ((2 * k + 2) * (2 * k + 1)) for k in range(terms)]
    )
    large = (logarithm - LOG_2PI) / 2 - correction
    return torch.where(z < reach, small * logarithm - small - torch.lgamma(small), large)


def stirling_slope(z: torch.Tensor) -> torch.Tensor:
    """Return log z − ψ(z) > 0, the derivative of the `stirling_surplus`."""
    reach, terms = _series(z)
    small, y = z.clamp(max=reach), 1 / z.clamp(min=reach)
    series = _horner(y * y, [BERNOULLI[k] / (2 * k + 2) for k in range(terms)])
    return torch.where(z < reach, small.log() - _digamma(small), y * (0.5 + y * series))


def _digamma(z: torch.Tensor) -> torch.Tensor:
    """Return ψ(z). PyTorch's own has a derivative, its trigamma, with half of float64's digits."""
    reach, terms = _series(z)
    large = z + reach
    y = 1 / large
    series = _horner(y * y, [BERNOULLI[k] / (2 * k + 2) for k in range(terms)])
    total = 1 / z
    for j in range(1, reach):
        total = total + 1 / (z + j)
    return large.log() - y * (0.5 + y * series) - total


def surplus_divergence(new: torch.Tensor, old: torch.Tensor, gap: torch.Tensor) -> torch.Tensor:
    """Return c′(z) h − (c(z + h) − c(z)), c the `stirling_surplus`, z the old and h the gap."""
    reach, terms = _series(old)
    small = (new < reach) | (old < reach)
    direct = stirling_slope(old) * gap - (stirling_surplus(new) - stirling_surplus(old))
    step = gap.masked_fill(small, 0)  # the series is not for these
    near, far = 1 / old.clamp(min=reach), 1 / new.clamp(min=reach)
    # of z⁻ᵐ it is h²/(z (z+h)) Σᵢ (m − i) z⁻⁽ᵐ⁻ⁱ⁾ (z+h)⁻ⁱ, i < m: no summand is negative
    power, powers, weighted = torch.ones_like(far), torch.ones_like(far), near
    series = torch.zeros_like(near)
    for k in range(terms):
        series = series + BERNOULLI[k] / ((2 * k + 2) * (2 * k + 1)) * weighted
        for _ in range(2):  # from m to m + 1
            power = power * far
            powers = powers * near + power
            weighted = near * (weighted + powers)
    ratio = torch.where(small, 1, new / old)
    positive = excess(1, step / old, ratio) / 2 + step * near * step * far * series
    return torch.where(small, direct, positive)


def log_gamma_entropy(z: torch.Tensor) -> torch.Tensor:
    """Return log Γ(z) + z − z ψ(z), the entropy of log G where G is Gamma(z) distributed."""
    reach, terms = _series(z)
    small, large = z.clamp(max=reach), z.clamp(min=reach)
    y = 1 / large
    series = y * _horner(y * y, [BERNOULLI[k] / (2 * k + 1) for k in range(terms)])
    return torch.where(
        z < reach,
        torch.lgamma(small) + small - small * _digamma(small),
        (1 + LOG_2PI - large.log()) / 2 + series,
    )


def _digamma_steps(z: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Return ψ(z + h) − ψ(z) less the same at z + reach."""
    far = z + step
    total = step / z / far
    for j in range(1, _series(z).reach):
        total = total + step / (z + j) / (far + j)
    return total


def _digamma_rest(z: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Return ψ(z + h) − ψ(z) − log((z + h)/z) for z above the reach."""
    near, far = 1 / z, 1 / (z + step)
    near_square, far_square = near * near, far * far
    power, powers = torch.ones_like(near), torch.ones_like(near)
    series = torch.full_like(near, BERNOULLI[0] / 2)
    for k in range(1, _series(z).terms):
        # z⁻²ᵏ − (z+h)⁻²ᵏ is (z⁻² − (z+h)⁻²) times the sum of z⁻²ⁱ (z+h)⁻²ʲ, i + j = k − 1
        power = power * far_square
        powers = powers * near_square + power
        series = series + BERNOULLI[k] / (2 * k + 2) * powers
    return step * near * far * (0.5 + (near + far) * series)


def digamma_rise(z: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Return ψ(z + h) − ψ(z) ≥ 0, to a relative error even where h is small beside z."""
    large = z + _series(z).reach
    rest = _digamma_rest(large, step)
    return _digamma_steps(z, step) + torch.log1p(step / large) + rest


def log_score(
    alpha: torch.Tensor, beta: torch.Tensor, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Return log x − E[log x] = log x + ψ(α + β) − ψ(α), for x + y = 1."""
    large = alpha + _series(alpha).reach
    t = (beta * x - large * y) / large
    low = t < -0.5
    ratio = torch.where(low, (large + beta) / large * x, 1)
    # log x + log((α + β)/α) is small where x is near its mean
    share = ratio.log() + t.masked_fill(low, 0).log1p()
    return _digamma_steps(alpha, beta) + share + _digamma_rest(large, beta)


def trigamma(z: torch.Tensor) -> torch.Tensor:
    """Return ψ′(z)."""
    reach, terms = _series(z)
    total = 1 / z / z
    for j in range(1, reach):
        inverse = 1 / (z + j)
        total = total + inverse * inverse
    y = 1 / (z + reach)
    series = _horner(y * y, list(BERNOULLI[:terms]))
    return total + y * (1 + y * (0.5 + y * series))


def trigamma_fall(z: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Return ψ′(z) − ψ′(z + h) ≥ 0, to a relative error even where h is small beside z."""
    reach, terms = _series(z)
    total = step / z / (z + step) * (1 / z + 1 / (z + step))
    for j in range(1, reach):
        near, far = 1 / (z + j), 1 / (z + step + j)
        total = total + step * near * far * (near + far)
    near, far = 1 / (z + reach), 1 / (z + step + reach)
    near_square, far_square, both = near * near, far * far, near * far
    power, powers = far_square, near_square + both + far_square
    series = torch.zeros_like(near)
    for k in range(terms):
        # z⁻ᵐ − (z+h)⁻ᵐ is (1/z − 1/(z+h)) times the sum of z⁻ⁱ (z+h)⁻ʲ, i + j = m − 1 = 2k
        series = series + BERNOULLI[k] * powers
        powers = powers * near_square + power * (both + far_square)
        power = power * far_square
    return total + step * near * far * (1 + (near + far) / 2 + series)


def exp_surplus(d: torch.Tensor) -> torch.Tensor:
    """Return eᵈ − 1 − d, to its own accuracy however small d is.

    For |d| < 1/2 by the series d²/2 (1 + d/3 (1 + d/4 (…))), to where a term rounds away.
    """
    near = d.abs() < 0.5
    small, large = torch.where(near, d, 0), torch.where(near, 0, d)
    inner = torch.ones_like(small)
    for k in range(18 if d.dtype == torch.float64 else 10, 2, -1):
        inner = 1 + small * inner / k
    return torch.where(near, small.square() / 2 * inner, torch.expm1(large) - large)
