"""Integrals against a normal density, by sums over a lattice whose error is derived.

With ω = 2π σ/h Poisson's formula gives for the spacing h, wherever the lattice lies,

    | h Σ_k z_kⁿ φ(z_k) − E zⁿ |  ≤  2 Σ_{m ≥ 1} |He_n(mω)| e^{−m²ω²/2}       z_k = (a_k − μ)/σ

since the characteristic function of zⁿφ is He_n e^{−ω²/2} up to a sign. The zeros of He_n lie
within 2√n of 0, so |He_n(x)| ≤ (|x| + 2√n)ⁿ. With h ≤ 0.6 σ the sum is its first term but for a
factor below 2, and that term is below 10⁻¹⁹ up to n = 4. Beyond |z| = 9 the terms fall, so they
sum to less than ∫ zⁿφ, which is at most 9ⁿ⁻¹ φ(9)/(1 − n/81).

The nodes are multiples of a power of two: any dtype that can hold them, holds them exactly.
"""

import functools
import math

import numpy as np

from rlverify.contracts._measured import exactly
from rlverify.rounding import Tracked

SPACING, REACH = 0.6, 9.0


def nodes(mean: float, log_std: float, at_most: float = math.inf) -> tuple[np.ndarray, float]:
    """Return lattice points that cover a normal distribution, and their spacing."""
    std = math.exp(log_std)
    spacing = 2.0 ** math.floor(math.log2(min(SPACING * std, at_most)))
    first = math.floor((mean - REACH * std) / spacing)
    last = math.ceil((mean + REACH * std) / spacing)
    return np.arange(first, last + 1) * spacing, spacing


def quadrature_error(power: int) -> float:
    """Return how far h Σ zⁿφ may lie from E zⁿ, in units of σⁿ (see the module)."""
    omega = 2 * math.pi / SPACING
    between = 4 * (omega + 2 * math.sqrt(power)) ** power * math.exp(-(omega**2) / 2)
    density = math.exp(-(REACH**2) / 2) / math.sqrt(2 * math.pi)
    beyond = 2 * REACH ** (power - 1) * density / (1 - power / REACH**2)
    return between + beyond


@functools.lru_cache(4096)
def weights(mean: float, log_std: float) -> tuple[tuple[Tracked, ...], tuple[Tracked, ...]]:
    """Return h φ(z_k)/σ and z_k at the nodes, with the bounds of their own rounding."""
    points, spacing = nodes(mean, log_std)
    std = exactly(log_std).exp()
    scores = tuple((exactly(a) - mean) / std for a in points)
    density = math.sqrt(2 * math.pi)
    shares = tuple((-(z**2) / 2).exp() * spacing / (std * exactly(density)) for z in scores)
    return shares, scores
