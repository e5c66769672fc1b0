"""Beta policies: D independent actions in (0, 1), each Beta(α, β) distributed.

The density of an action x is xᵅ⁻¹ (1−x)ᵝ⁻¹ / B(α, β), with B(α, β) = Γ(α)Γ(β)/Γ(α+β). Actions
stand last, `[..., D]`; a log-probability, an entropy and a divergence are sums over them, a
score and a Fisher matrix belong to each. The identity to remember: log x has the mean
ψ(α) − ψ(α+β), so the score of α is log x minus its mean, and the Fisher matrix is the
covariance of log x and log(1−x).

With α + β large, all of these are small differences of numbers of size α log α; they are
written (`_special`) so that only what remains is ever computed. Bounded actions on another
interval cost a further −log(high − low) a dimension, which is not added here.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.reference._functions import lgamma
from rlverify.reference._special import (
    REACH,
    deviance,
    digamma_rise,
    log_gamma_entropy,
    log_score,
    stirling_surplus,
    surplus_divergence,
    trigamma,
    trigamma_fall,
)


class BetaScore(NamedTuple):
    """The gradient of the log-probability.

    Attributes:
        alpha: ∂ log π / ∂α, [..., D].
        beta: ∂ log π / ∂β, [..., D].
    """

    alpha: np.ndarray
    beta: np.ndarray


def _log_density(alpha: Any, beta: Any, x: Any) -> Any:
    """Return the logarithm of the density of one action."""
    if alpha < REACH and beta < REACH:
        normalizer = lgamma(alpha) + lgamma(beta) - lgamma(alpha + beta)
        return (alpha - 1) * np.log(x) + (beta - 1) * np.log1p(-x) - normalizer
    # xᵅ (1−x)ᵝ / (pᵅ qᵝ) with p = α/(α+β), q = 1−p, times pᵅ qᵝ / B, over x (1−x)
    away = deviance(alpha, beta, beta * x - alpha * (1 - x), x, 1 - x)
    peak = stirling_surplus(alpha) + stirling_surplus(beta) - stirling_surplus(alpha + beta)
    return peak - away - np.log(x) - np.log1p(-x)


def beta_log_prob(
    alpha: Float[np.ndarray, "... D"],
    beta: Float[np.ndarray, "... D"],
    actions: Float[np.ndarray, "... D"],
) -> Float[np.ndarray, "..."]:
    """Log-probability of bounded actions, summed over their dimensions.

        log π(x) = Σ (α−1) log x + (β−1) log(1−x) − log B(α, β)

    Source: Chou, Maturana and Scherer 2017, "Improving stochastic policy gradients in continuous
    control with deep reinforcement learning using the Beta distribution", the Beta policy.
    Ours: above α or β = 12 in the saddle-point form of Loader 2000, in which no large numbers
    cancel.

    Args:
        alpha: α > 0.
        beta: β > 0.
        actions: x, strictly inside (0, 1).

    Returns:
        log π(x), [...].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, α or β is not above 0, or x lies outside (0, 1).

    Example:
        The density of Beta(2, 1) is 2x.

        >>> one = np.ones((1, 2))
        >>> np.exp(beta_log_prob(2 * one, one, np.array([[0.5, 0.25]])))
        array([0.5])
    """
    check = Arguments("beta_log_prob", np.ndarray, exact=True)
    check.above("... D", 0, alpha=alpha, beta=beta)
    check.between("... D", 0, 1, actions=actions)

    log_prob = np.zeros(actions.shape[:-1], dtype=actions.dtype)
    for i in np.ndindex(actions.shape):
        log_prob[i[:-1]] = log_prob[i[:-1]] + _log_density(alpha[i], beta[i], actions[i])
    return log_prob


def beta_score(
    alpha: Float[np.ndarray, "... D"],
    beta: Float[np.ndarray, "... D"],
    actions: Float[np.ndarray, "... D"],
) -> BetaScore:
    """Gradient of the log-probability with respect to α and β.

        ∂ log π / ∂α = log x − (ψ(α) − ψ(α+β))
        ∂ log π / ∂β = log(1−x) − (ψ(β) − ψ(α+β))

    Source: Chou et al. 2017, the derivative of their density; Johnson, Kotz and Balakrishnan 1995,
    "Continuous univariate distributions" vol. 2, chapter 25 (the likelihood equations).
    Ours: ψ(α+β) − ψ(α) is summed from positive numbers, and joined with log x.

    Args:
        alpha: α > 0.
        beta: β > 0.
        actions: x, strictly inside (0, 1).

    Returns:
        `alpha` and `beta`, each [..., D].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, α or β is not above 0, or x lies outside (0, 1).

    Example:
        ψ(2) − ψ(1) = 1, so the score of a uniform action is 1 + log x.

        >>> one = np.ones((1, 1))
        >>> beta_score(one, one, np.exp(-one)).alpha.round(12) + 0
        array([[0.]])
    """
    check = Arguments("beta_score", np.ndarray, exact=True)
    check.above("... D", 0, alpha=alpha, beta=beta)
    check.between("... D", 0, 1, actions=actions)

    of_alpha, of_beta = np.empty_like(actions), np.empty_like(actions)
    for i in np.ndindex(actions.shape):
        x, y = actions[i], 1 - actions[i]
        of_alpha[i] = log_score(alpha[i], beta[i], x, y)
        of_beta[i] = log_score(beta[i], alpha[i], y, x)
    return BetaScore(of_alpha, of_beta)


def beta_entropy(
    alpha: Float[np.ndarray, "... D"],
    beta: Float[np.ndarray, "... D"],
) -> Float[np.ndarray, "..."]:
    """Entropy in nats, summed over the dimensions; negative where the density is narrow.

        H = Σ log B(α, β) − (α−1) ψ(α) − (β−1) ψ(β) + (α+β−2) ψ(α+β)
          = Σ h(α) + h(β) − h(α+β) − (ψ(α+β) − ψ(α)) − (ψ(α+β) − ψ(β))

    Source: Johnson, Kotz and Balakrishnan 1995, vol. 2, chapter 25.
    Ours: the second line, with h(z) = log Γ(z) + z − z ψ(z), which is of size log z; the first
    loses α log α.

    Args:
        alpha: α > 0.
        beta: β > 0.

    Returns:
        H, [...].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or α or β is not above 0.

    Example:
        The density 2x has the entropy ½ − log 2.

        >>> one = np.ones((1, 1))
        >>> (beta_entropy(2 * one, one) + np.log(2)).round(12)
        array([0.5])
    """
    check = Arguments("beta_entropy", np.ndarray, exact=True)
    check.above("... D", 0, alpha=alpha, beta=beta)

    entropy = np.zeros(alpha.shape[:-1], dtype=alpha.dtype)
    for i in np.ndindex(alpha.shape):
        a, b = alpha[i], beta[i]
        spread = log_gamma_entropy(a) + log_gamma_entropy(b) - log_gamma_entropy(a + b)
        entropy[i[:-1]] = entropy[i[:-1]] + spread - digamma_rise(a, b) - digamma_rise(b, a)
    return entropy


def beta_kl(
    alpha_p: Float[np.ndarray, "... D"],
    beta_p: Float[np.ndarray, "... D"],
    alpha_q: Float[np.ndarray, "... D"],
    beta_q: Float[np.ndarray, "... D"],
) -> Float[np.ndarray, "..."]:
    """Kullback-Leibler divergence KL(p‖q), summed over the dimensions.

        KL = Σ log B(α′, β′) − log B(α, β) − (α′−α) ∂ log B/∂α − (β′−β) ∂ log B/∂β
           = Σ V + v(α) + v(β) − v(α+β)              primes: of q; plain: of p

    Source: Penny 2001, "KL-divergences of Normal, Gamma, Dirichlet and Wishart densities", the
    Dirichlet density of two; the first line is the Bregman divergence of log B.
    Ours: the second line, in which each of α log α, …  has been cancelled by hand. V is
    (α′+β′) KL between the Bernoulli variables of means α′/(α′+β′) and α/(α+β), v the divergence
    of what Stirling's formula leaves. Below α = 12 the digits of a small KL are lost as in
    the first line: the error is of the size of a rounding of 1.

    Args:
        alpha_p: α of p, above 0.
        beta_p: β of p, above 0.
        alpha_q: α of q, above 0.
        beta_q: β of q, above 0.

    Returns:
        KL(p‖q), [...].

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or an element is not above 0.

    Example:
        Between the density 1 and the density 2x, −∫ log 2x = 1 − log 2.

        >>> one = np.ones((1, 1))
        >>> (beta_kl(one, one, 2 * one, one) + np.log(2)).round(12)
        array([1.])
    """
    check = Arguments("beta_kl", np.ndarray, exact=True)
    check.above("... D", 0, alpha_p=alpha_p, beta_p=beta_p, alpha_q=alpha_q, beta_q=beta_q)

    kl = np.zeros(alpha_p.shape[:-1], dtype=alpha_p.dtype)
    for i in np.ndindex(alpha_p.shape):
        a, b = alpha_p[i], beta_p[i]
        new_a, new_b = alpha_q[i], beta_q[i]
        gap_a, gap_b = new_a - a, new_b - b
        total, mean, rest = a + b, a / (a + b), b / (a + b)
        means = deviance(new_a, new_b, mean * gap_b - rest * gap_a, mean, rest)
        left = surplus_divergence(new_a, a, gap_a) + surplus_divergence(new_b, b, gap_b)
        left = left - surplus_divergence(new_a + new_b, total, gap_a + gap_b)
        kl[i[:-1]] = kl[i[:-1]] + means + left
    return kl


def beta_fisher(
    alpha: Float[np.ndarray, "... D"],
    beta: Float[np.ndarray, "... D"],
) -> Float[np.ndarray, "... D 2 2"]:
    """Fisher information of (α, β), one matrix a dimension.

        F = [[ψ′(α) − ψ′(α+β),  −ψ′(α+β)], [−ψ′(α+β),  ψ′(β) − ψ′(α+β)]]

    Source: Johnson, Kotz and Balakrishnan 1995, vol. 2, chapter 25 (−E of the second derivatives).
    Ours: the differences are summed from positive numbers, so they keep their digits where one
    parameter is much smaller than the other.

    Args:
        alpha: α > 0.
        beta: β > 0.

    Returns:
        F, [..., D, 2, 2]; dimensions are independent, so between them it is 0.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or α or β is not above 0.

    Example:
        ψ′(1) − ψ′(2) = 1: the variance of log x under the uniform density.

        >>> one = np.ones((1, 1))
        >>> beta_fisher(one, one)[0, 0, 0, 0].round(12)
        np.float64(1.0)
    """
    check = Arguments("beta_fisher", np.ndarray, exact=True)
    check.above("... D", 0, alpha=alpha, beta=beta)

    fisher = np.empty((*alpha.shape, 2, 2), dtype=alpha.dtype)
    for i in np.ndindex(alpha.shape):
        shared = trigamma(alpha[i] + beta[i])
        fisher[i] = [
            [trigamma_fall(alpha[i], beta[i]), -shared],
            [-shared, trigamma_fall(beta[i], alpha[i])],
        ]
    return fisher


def beta_sample(
    alpha: Float[np.ndarray, "... D"],
    beta: Float[np.ndarray, "... D"],
    generator: np.random.Generator,
) -> Float[np.ndarray, "... D"]:
    """Actions drawn from Beta(α, β), from a generator.

        x = G / (G + G′)        G ~ Gamma(α), G′ ~ Gamma(β), independent

    Source: Marsaglia and Tsang 2000, "A simple method for generating gamma variables", section 2;
    its last section for Gamma(α) = Gamma(α+1) U^(1/α).
    Ours: log G and log G′ are drawn, so that with α and β near 0 nothing underflows to 0/0. What
    would round to 0 or 1 is the nearest number inside. Twins agree in distribution, not in
    their draws.

    Args:
        alpha: α > 0.
        beta: β > 0.
        generator: what the draws are taken from; it is advanced.

    Returns:
        x, [..., D], strictly inside (0, 1).

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or α or β is not above 0.

    Example:
        >>> one = np.ones((1, 1))
        >>> beta_sample(1e9 * one, 1e9 * one, np.random.default_rng(0)).round(3)
        array([[0.5]])
    """
    check = Arguments("beta_sample", np.ndarray)
    check.above("... D", 0, alpha=alpha, beta=beta)
    given: Any = generator  # whatever the annotation says
    if not isinstance(given, np.random.Generator):
        kind = type(given).__name__
        raise TypeError(f"beta_sample: generator came as {kind}, wanted numpy.random.Generator.")

    least, most = np.finfo(alpha.dtype).tiny, 1 - np.finfo(alpha.dtype).epsneg
    actions = np.empty_like(alpha)
    for i in np.ndindex(alpha.shape):
        odds = _log_gamma_draw(beta[i], generator) - _log_gamma_draw(alpha[i], generator)
        actions[i] = min(max(1 / (1 + np.exp(min(odds, 709))), least), most)
    return actions


def _log_gamma_draw(shape: Any, generator: np.random.Generator) -> float:
    """Return the logarithm of a Gamma(shape) variable."""
    d = shape + 1 - 1 / 3
    while True:
        z, u = generator.standard_normal(), 1 - generator.random()
        v = (1 + z / np.sqrt(9 * d)) ** 3
        if v > 0 and np.log(u) < z**2 / 2 + d - d * v + d * np.log(v):
            return float(np.log(d * v) + np.log(1 - generator.random()) / shape)
