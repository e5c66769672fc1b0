"""Expectations over a Gaussian by quadrature: one-step problems with a continuous action.

    E f(a) = Σ wᵢ f(μ + σ xᵢ)        a ~ N(μ, σ²)

with the roots xᵢ of the n-th Hermite polynomial and their weights. The sum is exact for
polynomials of degree below 2n, and for smooth functions the error falls faster than any power
of n; where f has a kink or a jump it falls like 1/√n or not at all, and a closed form or a sum
over the smooth pieces is what serves. Nothing is sampled.

For the two estimators of the gradient of E f(a), the score function and the pathwise derivative,
this gives mean and variance of one sample's estimate (`docs/pathwise.md` has the numbers).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlverify.errors import Arguments

MOST_NODES = 128  # twice as many are used, and more than that nobody has held against exact ones
# relative errors of NumPy's nodes and weights in units of 2⁻⁵³, up to 256 nodes; measured against
# 60 digits: at most 5 and 800 (the far weights, 10⁻²⁰⁰ and the like, are the worst)
NODE_UNITS, WEIGHT_UNITS = 8, 1024

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class GaussianExpectation:
    """Mean and covariance of f(a), with what doubling the nodes still changed.

    Attributes:
        mean: E f(a): a number where f gives one for each action, [P] where it gives [n, P].
        covariance: E (f − mean)(f − mean)ᵀ: the variance, or [P, P].
        error: |change of the mean| when the nodes were doubled; the result is that of the doubled
            ones, so where the sum converges at all, its error is far smaller.
        covariance_error: the same of the covariance.
    """

    mean: Any
    covariance: Any
    error: Any
    covariance_error: Any


@dataclass(frozen=True, eq=False)
class GradientEstimators:
    """Both estimators of the gradient of E f(a) with respect to (μ, log σ), for one sample.

    Attributes:
        score: of f(a) ∇ log p(a); the mean is [2].
        pathwise: of f′(a) ∇a; None where f′ was not given.
    """

    score: GaussianExpectation
    pathwise: GaussianExpectation | None


def rule(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights for the standard normal distribution; the weights sum to 1."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return points, weights / weights.sum()


def _moments(function: Function, nodes: int) -> tuple[Any, Any]:
    """Return mean and covariance of a function of standard normal numbers."""
    points, weights = rule(nodes)
    values = np.asarray(function(points))
    if values.ndim not in (1, 2) or len(values) != nodes:
        raise ValueError(
            f"gaussian_expectation: function returned shape {values.shape}, wanted ({nodes},) or "
            f"({nodes}, P) for {nodes} actions."
        )
    mean = weights @ values
    centred = values - mean
    if values.ndim == 1:
        return float(mean), float(weights @ (centred * centred))
    return mean, centred.T @ (weights[:, None] * centred)


def _doubled(function: Function, nodes: int) -> GaussianExpectation:
    """Return the moments at twice the nodes, and how far they are from those at once."""
    mean, covariance = _moments(function, nodes)
    better, spread = _moments(function, 2 * nodes)
    return GaussianExpectation(better, spread, abs(better - mean), abs(spread - covariance))


def _checked(name: str, mean: float, std: float, nodes: int, **functions: Any) -> None:
    check = Arguments(name, np.ndarray)
    check.callable(**functions)
    check.number("mean", mean)
    check.positive("std", std)
    check.count("nodes", nodes, least=1)
    if nodes > MOST_NODES:
        raise ValueError(
            f"{name}: nodes came as {nodes}, wanted at most {MOST_NODES}; where so many do not "
            "suffice, the function is not smooth: sum over its smooth pieces instead."
        )


def gaussian_expectation(
    function: Function, mean: float, std: float, *, nodes: int
) -> GaussianExpectation:
    """Mean and covariance of a function of a Gaussian action, by Gauss–Hermite quadrature.

        E f(a) = Σ wᵢ f(μ + σ xᵢ)        Heₙ(xᵢ) = 0,   wᵢ = n! / (n Heₙ₋₁(xᵢ))²

    Source: Abramowitz and Stegun 1964, eq. 25.4.46, rescaled from e^(−x²) to the normal density;
    Golub and Welsch 1969, Math. Comp. 23 (nodes as eigenvalues), as NumPy computes them.
    Ours: done at `nodes` and at twice as many; the result is the latter's, the difference is
    reported. For f 2n times differentiable the error at n nodes is n! σ²ⁿ f⁽²ⁿ⁾(ξ)/(2n)!.

    Args:
        function: f, from actions [n] to numbers [n] or [n, P]; called twice.
        mean: μ.
        std: σ above 0.
        nodes: n, from 1 to 128.

    Returns:
        Mean and covariance, each with what doubling the nodes changed.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: σ is not above 0, there are too many nodes, or f returns another shape.

    Example:
        >>> found = gaussian_expectation(lambda a: a * a, 1.0, 2.0, nodes=4)
        >>> round(found.mean, 12), round(found.covariance, 12)  # μ² + σ², 2σ⁴ + 4μ²σ²
        (5.0, 48.0)
    """
    _checked("gaussian_expectation", mean, std, nodes, function=function)

    return _doubled(lambda noise: function(mean + std * noise), nodes)


def gradient_estimators(
    reward: Function,
    reward_gradient: Function | None,
    mean: float,
    std: float,
    *,
    nodes: int,
) -> GradientEstimators:
    """Mean and covariance of both estimators of ∇ E f(a) with respect to (μ, log σ).

        score function        f(a) ε/σ        f(a) (ε² − 1)
        pathwise              f′(a)           f′(a) σ ε              a = μ + σ ε

    Source: Mohamed et al. 2020, arXiv:1906.10652, sections 4 and 5; the two means are equal by
    Stein's lemma, E f(a) ε = σ E f′(a), where f is absolutely continuous.
    Ours: of one sample; the mean of N independent ones has an N-th of the covariance.

    Args:
        reward: f, from actions [n] to rewards [n].
        reward_gradient: f′; None where there is none, as for a step.
        mean: μ.
        std: σ above 0.
        nodes: as `gaussian_expectation` takes them.

    Returns:
        Both, each with mean [2] and covariance [2, 2].

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: σ is not above 0, there are too many nodes, or a function returns another
            shape.

    Example:
        >>> both = gradient_estimators(lambda a: a * a, lambda a: 2 * a, 1.0, 1.0, nodes=8)
        >>> [float(round(x.covariance[0, 0], 9)) for x in (both.score, both.pathwise)]
        [30.0, 4.0]
    """
    functions = {"reward": reward} | (
        {} if reward_gradient is None else {"reward_gradient": reward_gradient}
    )
    _checked("gradient_estimators", mean, std, nodes, **functions)

    def score(noise: np.ndarray) -> np.ndarray:
        rewards = reward(mean + std * noise)
        return np.stack([rewards * (noise / std), rewards * (noise * noise - 1)], axis=1)

    if reward_gradient is None:
        return GradientEstimators(_doubled(score, nodes), None)
    slope = reward_gradient

    def pathwise(noise: np.ndarray) -> np.ndarray:
        slopes = slope(mean + std * noise)
        return np.stack([slopes, slopes * (std * noise)], axis=1)

    return GradientEstimators(_doubled(score, nodes), _doubled(pathwise, nodes))
