"""The squashed Gaussian policy: a = tanh(u) with u from a diagonal Gaussian.

The actions lie in (−1, 1). Arrays are those of `gaussian`: mean μ, `log_std` log σ that
broadcasts, components D last. A density follows its variable: where tanh compresses, it grows,

    log π(a) = log N(u; μ, σ) − Σ log(1 − tanh² u)        u = artanh a

Everything here starts from u, because a does not tell it: in float32 tanh(u) is 1 from u = 9 on.

The identity to remember keeps every digit where 1 − tanh² u has none left:

    log(1 − tanh² u) = 2 (log 2 − u − softplus(−2u))      softplus(x) = log(1 + eˣ)
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.reference.gaussian import LOG_TWO_PI

LOG_TWO = math.log(2)
# quadrature: log E, with e^−E the error aimed at; where the normal density is cut off, and its
# tail there is below e^−E too; how near to the poles of tanh at ±iπ/2; the most nodes a side
EXPONENT, REACH, STRIP, NODES = 40, 9, 1.5, 4096


class Actions(NamedTuple):
    """Actions, and the numbers they were squashed from.

    Attributes:
        actions: tanh(u), in (−1, 1) until rounding makes it ±1.
        pre_tanh: u: keep it, the density is computed from it.
    """

    actions: np.ndarray
    pre_tanh: np.ndarray


class Entropy(NamedTuple):
    """An entropy by quadrature.

    Attributes:
        entropy: H of the actions.
        error: how far it may lie from the integral, rounding aside: proved, not estimated.
    """

    entropy: np.ndarray
    error: np.ndarray


def _softplus(x: Any) -> Any:
    """Return log(1 + eˣ), whatever the size of x."""
    return x + np.log1p(np.exp(-x)) if x > 0 else np.log1p(np.exp(x))


def tanh_gaussian_log_prob(
    mean: Float[np.ndarray, "... D"],
    log_std: Float[np.ndarray, "..."],
    pre_tanh: Float[np.ndarray, "... D"],
) -> Float[np.ndarray, "..."]:
    """Log-density of the action tanh(u), from u.

        log π(tanh u) = − Σ_d ( z_d²/2 + log σ_d + ½ log 2π + 2 (log 2 − u_d − softplus(−2u_d)) )

    with z = (u − μ)/σ.

    Source: Haarnoja et al. 2018, arXiv:1801.01290, appendix C, eq. 21.
    Ours: log(1 − tanh² u) is rewritten as above. As it stands in the paper it loses digits from
    |u| = 2 on and is −∞ from 9 (float32) or 19 (float64); an ε inside the logarithm hides that
    and is wrong everywhere. Summed over the components.

    Args:
        mean: μ, of the Gaussian before squashing.
        log_std: log σ, of a shape that broadcasts to that of the mean.
        pre_tanh: u as it was drawn, not recovered from the action.

    Returns:
        log π(tanh u), the leading shape [...].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> zero = np.zeros((1, 1))  # tanh has slope 1 at 0: nothing but the Gaussian is left
        >>> tanh_gaussian_log_prob(zero, zero, zero) + LOG_TWO_PI / 2
        array([0.])
    """
    check = Arguments("tanh_gaussian_log_prob", np.ndarray, exact=True)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)
    check.floats("... D", pre_tanh=pre_tanh)

    spread = np.broadcast_to(log_std, mean.shape)
    log_prob = np.empty(mean.shape[:-1], dtype=mean.dtype)
    for i in np.ndindex(log_prob.shape):
        total: Any = 0
        for d in range(mean.shape[-1]):
            u = pre_tanh[*i, d]
            z = (u - mean[*i, d]) / np.exp(spread[*i, d])
            log_slope = 2 * (LOG_TWO - u - _softplus(-2 * u))
            total = total - (z**2 + LOG_TWO_PI) / 2 - spread[*i, d] - log_slope
        log_prob[i] = total
    return log_prob


def tanh_gaussian_sample(
    mean: Float[np.ndarray, "... D"],
    log_std: Float[np.ndarray, "..."],
    normals: Float[np.ndarray, "... D"],
) -> Actions:
    """Squashed actions from standard normal numbers.

        u = μ + σ ξ        a = tanh u

    Source: Haarnoja et al. 2018, arXiv:1801.01290, appendix C.
    Ours: u is returned beside the action; artanh(a) is ±∞ wherever the action rounds to ±1.

    Args:
        mean: μ, of the Gaussian before squashing.
        log_std: log σ, of a shape that broadcasts to that of the mean.
        normals: ξ, independent standard normal numbers.

    Returns:
        `actions` a and `pre_tanh` u, each [..., D].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> tanh_gaussian_sample(np.array([2.0]), np.zeros(1), np.array([-2.0]))
        Actions(actions=array([0.]), pre_tanh=array([0.]))
    """
    check = Arguments("tanh_gaussian_sample", np.ndarray, exact=True)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)
    check.floats("... D", normals=normals)

    spread = np.broadcast_to(log_std, mean.shape)
    actions, pre_tanh = np.empty_like(mean), np.empty_like(mean)
    for i in np.ndindex(mean.shape):
        pre_tanh[i] = mean[i] + np.exp(spread[i]) * normals[i]
        actions[i] = np.tanh(pre_tanh[i])
    return Actions(actions, pre_tanh)


def _lattice(std: float) -> tuple[float, int]:
    """Return the spacing and the number of nodes a side of the quadrature for a deviation."""
    width = min(REACH, STRIP / std)  # half-width of the strip of complex z that is made use of
    spacing = 2 * math.pi * width / (EXPONENT + width**2 / 2)
    nodes = math.ceil(REACH / spacing)
    return (spacing, nodes) if nodes <= NODES else (REACH / NODES, NODES)


def _expected_log_slope(mean: Any, std: Any) -> tuple[Any, Any]:
    """Return E log(1 − tanh² u) for u from N(mean, std²), and a bound on its error."""
    # the lattice is a choice, not a part of the integral: it carries no derivative
    spacing, nodes = _lattice(float(std))
    total: Any = 0
    for k in range(-nodes, nodes + 1):
        z = k * spacing
        u = mean + std * z
        density = math.exp(-(z**2) / 2 - LOG_TWO_PI / 2)
        total = total + spacing * density * 2 * (LOG_TWO - u - _softplus(-2 * u))
    size = abs(mean) + std
    tail = 4 * math.exp(-(REACH**2) / 2 - LOG_TWO_PI / 2) * size
    if nodes < NODES:
        return total, 4 * (size + 4.2) / math.expm1(EXPONENT) + tail
    return total, spacing**2 / 8 * 10 * size + tail


def tanh_gaussian_entropy(
    mean: Float[np.ndarray, "... D"], log_std: Float[np.ndarray, "..."]
) -> Entropy:
    """Differential entropy of the squashed action, by quadrature.

        H = Σ_d ( log σ_d + ½ (1 + log 2π) + E log(1 − tanh² u_d) )

    Source: Cover and Thomas 2006, theorem 8.6.4 in its form for functions, with Haarnoja et al.
    2018, arXiv:1801.01290, eq. 21; the rule and its error: Trefethen and Weideman 2014,
    "The exponentially convergent trapezoidal rule", theorem 5.1.
    Ours: the expectation has no closed form. E f(z), z normal, is taken by the trapezoidal rule
    h Σ φ(kh) f(kh), |kh| ≤ 9. With g = φ·log(1 − tanh²(μ + σz)), analytic for |Im z| < π/2σ,

        |error| ≤ 2M/(e^{2πa/h} − 1) + tail      M = sup over |b| ≤ a of ∫ |g(x + ib)| dx

    where a = min(9, 1.5/σ), σa ≤ 1.5 < π/2, |cosh(x + iy)| ≥ cosh x cos y give
    M ≤ 2 e^{a²/2} (|μ| + σ + 4.2), and h makes the first term 4 (|μ| + σ + 4.2) e⁻⁴⁰: below the
    rounding. That takes 38 σ nodes a side. Past σ = 107 there are 4096, and the error is that
    of a rule of second order, h²/8 ∫ |g″| ≤ (10/8) h² (|μ| + σ): a few millionths of H.

    Args:
        mean: μ, of the Gaussian before squashing.
        log_std: log σ, of a shape that broadcasts to that of the mean.

    Returns:
        `entropy` H and `error`, a bound on what quadrature adds to rounding, each [...].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> narrow = np.full((1, 1), -20.0)  # tanh is straight there: the Gaussian's own entropy
        >>> tanh_gaussian_entropy(np.zeros((1, 1)), narrow).entropy - (1 + LOG_TWO_PI) / 2
        array([-20.])
    """
    check = Arguments("tanh_gaussian_entropy", np.ndarray, exact=True)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)

    spread = np.broadcast_to(log_std, mean.shape)
    entropy = np.empty(mean.shape[:-1], dtype=mean.dtype)
    error = np.empty(mean.shape[:-1], dtype=mean.dtype)
    for i in np.ndindex(entropy.shape):
        total: Any = 0
        bound: Any = 0
        for d in range(mean.shape[-1]):
            slope, rest = _expected_log_slope(mean[*i, d], np.exp(spread[*i, d]))
            total = total + spread[*i, d] + (1 + LOG_TWO_PI) / 2 + slope
            bound = bound + rest
        entropy[i], error[i] = total, bound
    return Entropy(entropy, error)
