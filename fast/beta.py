"""Beta policies: D independent actions in (0, 1), each Beta(α, β) distributed, in PyTorch.

The density of an action x is xᵅ⁻¹ (1−x)ᵝ⁻¹ / B(α, β), with B(α, β) = Γ(α)Γ(β)/Γ(α+β). Actions
stand last, `[..., D]`; a log-probability, an entropy and a divergence are sums over them, a
score and a Fisher matrix belong to each.

With α + β large, all of these are small differences of numbers of size α log α; the forms of
`_special` compute only what remains of them, in the dtype of the inputs: a float64 inside
would be slow on a GPU and is not needed. Half precision is computed in float32 and rounded
once.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.fast._special import (
    DIRECT,
    deviance,
    digamma_rise,
    log_gamma_entropy,
    log_score,
    stirling_surplus,
    surplus_divergence,
    trigamma,
    trigamma_fall,
)
from rlverify.fast._steps import widened


class BetaScore(NamedTuple):
    """The gradient of the log-probability.

    Attributes:
        alpha: ∂ log π / ∂α, [..., D].
        beta: ∂ log π / ∂β, [..., D].
    """

    alpha: torch.Tensor
    beta: torch.Tensor


def _log_density(alpha: torch.Tensor, beta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the density of each action."""
    log_x, log_y = x.log(), (-x).log1p()
    a, b = alpha.clamp(max=DIRECT), beta.clamp(max=DIRECT)
    normalizer = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    direct = (a - 1) * log_x + (b - 1) * log_y - normalizer
    away = deviance(alpha, beta, beta * x - alpha * (1 - x), x, 1 - x)
    peak = stirling_surplus(alpha) + stirling_surplus(beta) - stirling_surplus(alpha + beta)
    small = (alpha < DIRECT) & (beta < DIRECT)
    return torch.where(small, direct, peak - away - log_x - log_y)


class _Density(torch.autograd.Function):
    """The log-density with its written gradient: the score, which keeps its digits."""

    generate_vmap_rule = True

    @staticmethod
    def forward(alpha: torch.Tensor, beta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the log-density."""
        return _log_density(alpha, beta, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        """Keep the inputs."""
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the cotangents of α, β and x."""
        return tuple(cotangents[0] * slope for slope in _slopes(*ctx.saved_tensors))

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> torch.Tensor:
        """Return the tangent of the log-density."""
        alpha, beta, x = ctx.saved_tensors
        products = [
            slope * tangent
            for slope, tangent in zip(_slopes(alpha, beta, x), tangents, strict=True)
            if tangent is not None
        ]
        return torch.stack(products).sum(0)


def _slopes(
    alpha: torch.Tensor, beta: torch.Tensor, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the derivatives of the log-density with respect to α, β and x."""
    y = 1 - x
    of_x = (alpha - 1) / x - (beta - 1) / y
    return log_score(alpha, beta, x, y), log_score(beta, alpha, y, x), of_x


def beta_log_prob(
    alpha: Float[torch.Tensor, "... D"],
    beta: Float[torch.Tensor, "... D"],
    actions: Float[torch.Tensor, "... D"],
) -> Float[torch.Tensor, "..."]:
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
        log π(x), [...]. Gradients flow to all arrays.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, α or β is not above 0, or x lies outside (0, 1).

    Example:
        The density of Beta(2, 1) is 2x.

        >>> one = torch.ones(1, 2)
        >>> beta_log_prob(2 * one, one, torch.tensor([[0.5, 0.25]])).exp()
        tensor([0.5000])
    """
    check = Arguments("beta_log_prob", torch.Tensor)
    check.above("... D", 0, alpha=alpha, beta=beta)
    check.between("... D", 0, 1, actions=actions)

    a, b, x = widened(alpha, beta, actions)
    density: torch.Tensor = _Density.apply(a, b, x)  # type: ignore[no-untyped-call]
    return density.sum(-1).to(actions.dtype)


def beta_score(
    alpha: Float[torch.Tensor, "... D"],
    beta: Float[torch.Tensor, "... D"],
    actions: Float[torch.Tensor, "... D"],
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
        `alpha` and `beta`, each [..., D]. Gradients flow to all arrays.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, α or β is not above 0, or x lies outside (0, 1).

    Example:
        ψ(2) − ψ(1) = 1, so the score of a uniform action is 1 + log x.

        >>> one = torch.ones(1, 1)
        >>> beta_score(one, one, torch.exp(-2 * one)).alpha
        tensor([[-1.0000]])
    """
    check = Arguments("beta_score", torch.Tensor)
    check.above("... D", 0, alpha=alpha, beta=beta)
    check.between("... D", 0, 1, actions=actions)

    a, b, x = widened(alpha, beta, actions)
    y = 1 - x
    scores = log_score(a, b, x, y), log_score(b, a, y, x)
    return BetaScore(*(score.to(actions.dtype) for score in scores))


def beta_entropy(
    alpha: Float[torch.Tensor, "... D"],
    beta: Float[torch.Tensor, "... D"],
) -> Float[torch.Tensor, "..."]:
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
        H, [...]. Gradients: both.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or α or β is not above 0.

    Example:
        The density 2x has the entropy ½ − log 2 = −0.1931.

        >>> one = torch.ones(1, 1)
        >>> beta_entropy(2 * one, one)
        tensor([-0.1931])
    """
    check = Arguments("beta_entropy", torch.Tensor)
    check.above("... D", 0, alpha=alpha, beta=beta)

    a, b = widened(alpha, beta)
    spread = log_gamma_entropy(a) + log_gamma_entropy(b) - log_gamma_entropy(a + b)
    return (spread - digamma_rise(a, b) - digamma_rise(b, a)).sum(-1).to(alpha.dtype)


def beta_kl(
    alpha_p: Float[torch.Tensor, "... D"],
    beta_p: Float[torch.Tensor, "... D"],
    alpha_q: Float[torch.Tensor, "... D"],
    beta_q: Float[torch.Tensor, "... D"],
) -> Float[torch.Tensor, "..."]:
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
        KL(p‖q), [...]. Gradients flow to all four.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or an element is not above 0.

    Example:
        Between the density 1 and the density 2x, −∫ log 2x = 1 − log 2 = 0.3069.

        >>> one = torch.ones(1, 1)
        >>> beta_kl(one, one, 2 * one, one)
        tensor([0.3069])
    """
    check = Arguments("beta_kl", torch.Tensor)
    check.above("... D", 0, alpha_p=alpha_p, beta_p=beta_p, alpha_q=alpha_q, beta_q=beta_q)

    a, b, new_a, new_b = widened(alpha_p, beta_p, alpha_q, beta_q)
    gap_a, gap_b = new_a - a, new_b - b
    total, mean, rest = a + b, a / (a + b), b / (a + b)
    means = deviance(new_a, new_b, mean * gap_b - rest * gap_a, mean, rest)
    left = surplus_divergence(new_a, a, gap_a) + surplus_divergence(new_b, b, gap_b)
    left = left - surplus_divergence(new_a + new_b, total, gap_a + gap_b)
    return (means + left).sum(-1).to(alpha_p.dtype)


def beta_fisher(
    alpha: Float[torch.Tensor, "... D"],
    beta: Float[torch.Tensor, "... D"],
) -> Float[torch.Tensor, "... D 2 2"]:
    """Fisher information of (α, β), one matrix a dimension.

        F = [[ψ′(α) − ψ′(α+β),  −ψ′(α+β)], [−ψ′(α+β),  ψ′(β) − ψ′(α+β)]]

    Source: Johnson, Kotz and Balakrishnan 1995, vol. 2, chapter 25 (−E of the second derivatives).
    Ours: the differences are summed from positive numbers, so they keep their digits where one
    parameter is much smaller than the other.

    Args:
        alpha: α > 0.
        beta: β > 0.

    Returns:
        F, [..., D, 2, 2]; dimensions are independent, so between them it is 0. Gradients
        flow to both.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or α or β is not above 0.

    Example:
        ψ′(1) − ψ′(2) = 1: the variance of log x under the uniform density.

        >>> one = torch.ones(1, 1)
        >>> beta_fisher(one, one)[0, 0, 0]
        tensor([ 1.0000, -0.6449])
    """
    check = Arguments("beta_fisher", torch.Tensor)
    check.above("... D", 0, alpha=alpha, beta=beta)

    a, b = widened(alpha, beta)
    shared = -trigamma(a + b)
    rows = [trigamma_fall(a, b), shared, shared, trigamma_fall(b, a)]
    return torch.stack(rows, dim=-1).view(*alpha.shape, 2, 2).to(alpha.dtype)


def beta_sample(
    alpha: Float[torch.Tensor, "... D"],
    beta: Float[torch.Tensor, "... D"],
    generator: torch.Generator,
) -> Float[torch.Tensor, "... D"]:
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
        generator: what the draws are taken from, on the device of α; it is advanced.

    Returns:
        x, [..., D], strictly inside (0, 1); a constant to autograd. The device is waited for.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or α or β is not above 0.

    Example:
        >>> one = torch.ones(1, 1)
        >>> beta_sample(1e9 * one, 1e9 * one, torch.Generator().manual_seed(0)).round(decimals=3)
        tensor([[0.5000]])
    """
    check = Arguments("beta_sample", torch.Tensor)
    check.above("... D", 0, alpha=alpha, beta=beta)
    given: Any = generator  # whatever the annotation says
    if not isinstance(given, torch.Generator):
        kind = type(given).__name__
        raise TypeError(f"beta_sample: generator came as {kind}, wanted torch.Generator.")

    limits = torch.finfo(alpha.dtype)
    with torch.no_grad():
        a, b = widened(alpha, beta)
        odds = _log_gamma_draws(a, generator) - _log_gamma_draws(b, generator)
        return odds.sigmoid().to(alpha.dtype).clamp(limits.tiny, 1 - limits.eps / 2)


def _log_gamma_draws(shapes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the logarithms of Gamma(shape) variables; each try accepts over nine of ten."""
    d = shapes.flatten() + (1 - 1 / 3)
    draws, waiting = torch.empty_like(d), torch.arange(len(d), device=d.device)

    def uniforms(like: torch.Tensor) -> torch.Tensor:
        return 1 - torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)

    while len(waiting):
        trial = d[waiting]
        z = torch.randn(trial.shape, generator=generator, dtype=d.dtype, device=d.device)
        v = (1 + z / (9 * trial).sqrt()) ** 3
        limit = z * z / 2 + trial - trial * v + trial * v.log()  # NaN where v is negative
        accepted = uniforms(trial).log() < limit
        draws[waiting[accepted]] = (trial * v).log()[accepted]
        waiting = waiting[~accepted]
    return draws.view(shapes.shape) + uniforms(shapes).log() / shapes
