"""The diagonal Gaussian policy: every component of the action is normal by itself.

The network gives the mean μ and the logarithm of the deviation, log σ, so that σ is positive
whatever the network says. All arrays are [..., D], D components last; `log_std` may be smaller
and broadcasts, as the state-independent vector [D] of most libraries does. The components are
independent, so log-probability, entropy and divergence are *sums* over D and have shape [...];
a mean over D is another, flatter policy.

The identity to remember: with z = (a − μ)/σ everything is a polynomial in z, since

    log π(a) = −z²/2 − log σ − ½ log 2π        ∇μ log π = z/σ        ∇(log σ) log π = z² − 1
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments

LOG_TWO_PI = math.log(2 * math.pi)
# below this size eˣ − 1 − x is summed from its series, since the difference would cancel
SERIES = 0.5
# with the terms up to xᵏ/k! for k = 17 what is left out is below 10⁻¹⁹ of the sum
LAST_TERM = 17


class Score(NamedTuple):
    """Gradient of the log-probability, component by component.

    Attributes:
        mean: in the mean, (a − μ)/σ².
        log_std: in log σ, z² − 1; where `log_std` broadcasts, before any reduction.
    """

    mean: np.ndarray
    log_std: np.ndarray


class Fisher(NamedTuple):
    """Diagonal of the Fisher information in (μ, log σ); everything off it is 0.

    Attributes:
        mean: of the mean, 1/σ².
        log_std: of log σ, 2 whatever σ is.
    """

    mean: np.ndarray
    log_std: np.ndarray


def gaussian_log_prob(
    mean: Float[np.ndarray, "... D"],
    log_std: Float[np.ndarray, "..."],
    actions: Float[np.ndarray, "... D"],
) -> Float[np.ndarray, "..."]:
    """Log-density of actions under a diagonal Gaussian.

        log π(a) = − Σ_d ( z_d²/2 + log σ_d + ½ log 2π )        z = (a − μ)/σ

    Source: Bishop 2006, eq. 2.42, for every component; Williams 1992, section 6 (Gaussian units).
    Ours: summed over the components, never averaged.

    Args:
        mean: μ.
        log_std: log σ, of a shape that broadcasts to that of the mean.
        actions: a, as they were drawn: not clipped.

    Returns:
        log π(a), the leading shape [...].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> half = LOG_TWO_PI / 2  # what a component contributes beside its z and σ
        >>> gaussian_log_prob(np.zeros((1, 2)), np.zeros(2), np.array([[1.0, 3.0]])) + 2 * half
        array([-5.])
    """
    check = Arguments("gaussian_log_prob", np.ndarray, exact=True)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)
    check.floats("... D", actions=actions)

    spread = np.broadcast_to(log_std, mean.shape)
    log_prob = np.empty(mean.shape[:-1], dtype=mean.dtype)
    for i in np.ndindex(log_prob.shape):
        total: Any = 0
        for d in range(mean.shape[-1]):
            z = (actions[*i, d] - mean[*i, d]) / np.exp(spread[*i, d])
            total = total - (z**2 + LOG_TWO_PI) / 2 - spread[*i, d]
        log_prob[i] = total
    return log_prob


def gaussian_score(
    mean: Float[np.ndarray, "... D"],
    log_std: Float[np.ndarray, "..."],
    actions: Float[np.ndarray, "... D"],
) -> Score:
    """Gradient of the log-density in the parameters.

        ∂ log π(a)/∂μ = (a − μ)/σ²        ∂ log π(a)/∂(log σ) = z² − 1        z = (a − μ)/σ

    Source: Williams 1992, section 6, there for σ itself: (z² − 1)/σ.
    Ours: in log σ. Each component of each action has its own score, [..., D]: where one
    log σ serves many actions or components, the gradient in it is the sum over those.

    Args:
        mean: μ.
        log_std: log σ, of a shape that broadcasts to that of the mean.
        actions: a, as they were drawn: not clipped.

    Returns:
        `mean` and `log_std`, each [..., D], whatever the shape of `log_std`.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> gaussian_score(np.zeros(1), np.zeros(1), np.array([3.0]))
        Score(mean=array([3.]), log_std=array([8.]))
    """
    check = Arguments("gaussian_score", np.ndarray, exact=True)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)
    check.floats("... D", actions=actions)

    spread = np.broadcast_to(log_std, mean.shape)
    of_mean, of_log_std = np.empty_like(mean), np.empty_like(mean)
    for i in np.ndindex(mean.shape):
        std = np.exp(spread[i])
        z = (actions[i] - mean[i]) / std
        of_mean[i] = z / std
        of_log_std[i] = z**2 - 1
    return Score(of_mean, of_log_std)


def gaussian_entropy(log_std: Float[np.ndarray, "... D"]) -> Float[np.ndarray, "..."]:
    """Differential entropy of a diagonal Gaussian.

        H = Σ_d ( log σ_d + ½ (1 + log 2π) )

    Source: Bishop 2006, eq. 1.110, for every component.
    Ours: summed over the components, and negative where the policy is narrow.

    Args:
        log_std: log σ.

    Returns:
        H, the leading shape [...].

    Raises:
        TypeError: the argument is of the wrong kind or dtype.
        ValueError: it has no axis of components.

    Example:
        >>> gaussian_entropy(np.array([[2.0, 1.0]])) - LOG_TWO_PI
        array([4.])
    """
    check = Arguments("gaussian_entropy", np.ndarray, exact=True)
    check.floats("... D", log_std=log_std)

    entropy = np.empty(log_std.shape[:-1], dtype=log_std.dtype)
    for i in np.ndindex(entropy.shape):
        total: Any = 0
        for d in range(log_std.shape[-1]):
            total = total + (2 * log_std[*i, d] + 1 + LOG_TWO_PI) / 2
        entropy[i] = total
    return entropy


def _exponential_rest(x: Any) -> Any:
    """Return eˣ − 1 − x without cancellation: never negative, x²/2 near 0."""
    if abs(x) >= SERIES:
        return np.expm1(x) - x
    rest: Any = 0
    for k in range(LAST_TERM, 2, -1):  # 1 + x/3 (1 + x/4 (1 + …))
        rest = (1 + rest) * x / k
    return (1 + rest) * x**2 / 2


def gaussian_kl(
    mean_p: Float[np.ndarray, "... D"],
    log_std_p: Float[np.ndarray, "..."],
    mean_q: Float[np.ndarray, "... D"],
    log_std_q: Float[np.ndarray, "..."],
) -> Float[np.ndarray, "..."]:
    """Kullback-Leibler divergence between diagonal Gaussians, KL(p ‖ q).

        KL = ½ Σ_d ( e^{2r_d} − 1 − 2r_d + δ_d² )    r = log σp − log σq,  δ = (μp − μq)/σq

    Source: Kullback and Leibler 1951, section 2; Bishop 2006, exercise 2.13, for a diagonal
    covariance: log(σq/σp) + (σp² + (μp − μq)²)/2σq² − ½, here with its terms collected.
    Ours: in this form every term is at least 0, and e^{2r} − 1 − 2r is summed from its series
    near 0. The textbook's cancels: between two policies a small step apart, where KL is needed,
    it leaves rounding noise, of either sign.

    Args:
        mean_p: μp, of the distribution that the expectation is taken under.
        log_std_p: log σp, of a shape that broadcasts to that of the mean.
        mean_q: μq.
        log_std_q: log σq, likewise.

    Returns:
        KL(p ‖ q) ≥ 0, the leading shape [...].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> zero = np.zeros(3)
        >>> gaussian_kl(np.array([1.0, 2.0, 0.0]), zero, zero, zero)
        array(2.5)
    """
    check = Arguments("gaussian_kl", np.ndarray, exact=True)
    check.floats("... D", mean_p=mean_p)
    check.broadcast("... D", log_std_p=log_std_p)
    check.floats("... D", mean_q=mean_q)
    check.broadcast("... D", log_std_q=log_std_q)

    spread_p = np.broadcast_to(log_std_p, mean_p.shape)
    spread_q = np.broadcast_to(log_std_q, mean_p.shape)
    divergence = np.empty(mean_p.shape[:-1], dtype=mean_p.dtype)
    for i in np.ndindex(divergence.shape):
        total: Any = 0
        for d in range(mean_p.shape[-1]):
            ratio = spread_p[*i, d] - spread_q[*i, d]  # log σp/σq
            delta = (mean_p[*i, d] - mean_q[*i, d]) / np.exp(spread_q[*i, d])
            total = total + (_exponential_rest(2 * ratio) + delta**2) / 2
        divergence[i] = total
    return divergence


def gaussian_fisher(log_std: Float[np.ndarray, "... D"]) -> Fisher:
    """Fisher information of a diagonal Gaussian in (μ, log σ).

        E[ s sᵀ ] = diag(1/σ², …, 2, …)        s the score in (μ, log σ)

    Source: Amari 1998, "Natural gradient works efficiently in learning", section 2, for the
    definition; E z² = 1 and E (z² − 1)² = 2 give the entries, E z (z² − 1) = 0 the zeros.
    Ours: only the diagonal is returned. It does not depend on the mean, nor the second half on
    anything. Where one log σ serves several actions, their information adds up.

    Args:
        log_std: log σ.

    Returns:
        `mean` and `log_std`, the shape of the argument.

    Raises:
        TypeError: the argument is of the wrong kind or dtype.
        ValueError: it has no axis of components.

    Example:
        >>> gaussian_fisher(np.zeros(2))
        Fisher(mean=array([1., 1.]), log_std=array([2., 2.]))
    """
    check = Arguments("gaussian_fisher", np.ndarray, exact=True)
    check.floats("... D", log_std=log_std)

    of_mean, of_log_std = np.empty_like(log_std), np.empty_like(log_std)
    for i in np.ndindex(log_std.shape):
        of_mean[i] = np.exp(-2 * log_std[i])
        of_log_std[i] = 2
    return Fisher(of_mean, of_log_std)


def gaussian_sample(
    mean: Float[np.ndarray, "... D"],
    log_std: Float[np.ndarray, "..."],
    normals: Float[np.ndarray, "... D"],
) -> Float[np.ndarray, "... D"]:
    """Actions from standard normal numbers.

        a = μ + σ ξ

    Source: Kingma and Welling 2014, arXiv:1312.6114, section 2.4 (the reparameterisation).
    Ours: the random numbers come in, so that two implementations can be given the same.

    Args:
        mean: μ.
        log_std: log σ, of a shape that broadcasts to that of the mean.
        normals: ξ, independent standard normal numbers.

    Returns:
        a, [..., D].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> gaussian_sample(np.array([5.0, 7.0]), np.zeros(2), np.array([-1.0, 2.0]))
        array([4., 9.])
    """
    check = Arguments("gaussian_sample", np.ndarray, exact=True)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)
    check.floats("... D", normals=normals)

    spread = np.broadcast_to(log_std, mean.shape)
    actions = np.empty_like(mean)
    for i in np.ndindex(mean.shape):
        actions[i] = mean[i] + np.exp(spread[i]) * normals[i]
    return actions
