"""The diagonal Gaussian policy in PyTorch: every component of the action is normal by itself.

The network gives the mean μ and the logarithm of the deviation, log σ. All arrays are
[..., D], components last; `log_std` may be smaller and broadcasts, and whatever depends on it
alone is computed at its own size: a state-independent vector [D] costs next to nothing.
Log-probability, entropy and divergence are sums over D and have shape [...].

The identity to remember: with z = (a − μ)/σ everything is a polynomial in z, since

    log π(a) = −z²/2 − log σ − ½ log 2π        ∇μ log π = z/σ        ∇(log σ) log π = z² − 1

Half precision is computed in float32 and rounded once.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.fast._components import HALF_LOG_TWO_PI, exponential_rest, over_components
from rlverify.fast._steps import widened


class Score(NamedTuple):
    """Gradient of the log-probability, component by component.

    Attributes:
        mean: in the mean, (a − μ)/σ².
        log_std: in log σ, z² − 1; where `log_std` broadcasts, before any reduction.
    """

    mean: torch.Tensor
    log_std: torch.Tensor


class Fisher(NamedTuple):
    """Diagonal of the Fisher information in (μ, log σ); everything off it is 0.

    Attributes:
        mean: of the mean, 1/σ².
        log_std: of log σ, 2 whatever σ is.
    """

    mean: torch.Tensor
    log_std: torch.Tensor


def gaussian_log_prob(
    mean: Float[torch.Tensor, "... D"],
    log_std: Float[torch.Tensor, "..."],
    actions: Float[torch.Tensor, "... D"],
) -> Float[torch.Tensor, "..."]:
    """Log-density of actions under a diagonal Gaussian.

        log π(a) = − Σ_d ( z_d²/2 + log σ_d + ½ log 2π )        z = (a − μ)/σ

    Source: Bishop 2006, eq. 2.42, for every component; Williams 1992, section 6 (Gaussian units).
    Ours: summed over the components, never averaged; log σ is never taken from σ.

    Args:
        mean: μ.
        log_std: log σ, of a shape that broadcasts to that of the mean.
        actions: a, as they were drawn: not clipped.

    Returns:
        log π(a), the leading shape [...]. Gradients flow to all three.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> actions = torch.tensor([[1.0, 3.0]])
        >>> gaussian_log_prob(torch.zeros(1, 2), torch.zeros(2), actions) + 2 * HALF_LOG_TWO_PI
        tensor([-5.])
    """
    check = Arguments("gaussian_log_prob", torch.Tensor)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)
    check.floats("... D", actions=actions)

    centre, spread, taken = widened(mean, log_std, actions)
    z = (taken - centre) * torch.exp(-spread)
    components = mean.shape[-1]
    normalizer = over_components(spread, components) + components * HALF_LOG_TWO_PI
    return torch.sub(-normalizer, z.square().sum(-1), alpha=0.5).to(mean.dtype)


def gaussian_score(
    mean: Float[torch.Tensor, "... D"],
    log_std: Float[torch.Tensor, "..."],
    actions: Float[torch.Tensor, "... D"],
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
        `mean` and `log_std`, each [..., D], whatever the shape of `log_std`. Gradients flow to
        all three.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> gaussian_score(torch.zeros(1), torch.zeros(1), torch.tensor([3.0]))
        Score(mean=tensor([3.]), log_std=tensor([8.]))
    """
    check = Arguments("gaussian_score", torch.Tensor)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)
    check.floats("... D", actions=actions)

    centre, spread, taken = widened(mean, log_std, actions)
    inverse = torch.exp(-spread)
    z = (taken - centre) * inverse
    return Score((z * inverse).to(mean.dtype), (z.square() - 1).to(mean.dtype))


def gaussian_entropy(log_std: Float[torch.Tensor, "... D"]) -> Float[torch.Tensor, "..."]:
    """Differential entropy of a diagonal Gaussian.

        H = Σ_d ( log σ_d + ½ (1 + log 2π) )

    Source: Bishop 2006, eq. 1.110, for every component.
    Ours: summed over the components, and negative where the policy is narrow.

    Args:
        log_std: log σ.

    Returns:
        H, the leading shape [...]. Gradients flow to `log_std`.

    Raises:
        TypeError: the argument is of the wrong kind or dtype.
        ValueError: it has no axis of components.

    Example:
        >>> gaussian_entropy(torch.tensor([[2.0, 1.0]])) - 2 * HALF_LOG_TWO_PI
        tensor([4.])
    """
    check = Arguments("gaussian_entropy", torch.Tensor)
    check.floats("... D", log_std=log_std)

    (spread,) = widened(log_std)
    components = log_std.shape[-1]
    return (spread.sum(-1) + components * (0.5 + HALF_LOG_TWO_PI)).to(log_std.dtype)


def gaussian_kl(
    mean_p: Float[torch.Tensor, "... D"],
    log_std_p: Float[torch.Tensor, "..."],
    mean_q: Float[torch.Tensor, "... D"],
    log_std_q: Float[torch.Tensor, "..."],
) -> Float[torch.Tensor, "..."]:
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
        KL(p ‖ q) ≥ 0, the leading shape [...]. Gradients flow to all four.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> zero = torch.zeros(3)
        >>> gaussian_kl(torch.tensor([1.0, 2.0, 0.0]), zero, zero, zero)
        tensor(2.5000)
    """
    check = Arguments("gaussian_kl", torch.Tensor)
    check.floats("... D", mean_p=mean_p)
    check.broadcast("... D", log_std_p=log_std_p)
    check.floats("... D", mean_q=mean_q)
    check.broadcast("... D", log_std_q=log_std_q)

    centre_p, spread_p, centre_q, spread_q = widened(mean_p, log_std_p, mean_q, log_std_q)
    rest = exponential_rest(2 * (spread_p - spread_q))
    delta = (centre_p - centre_q) * torch.exp(-spread_q)
    total = over_components(rest, mean_p.shape[-1]) + delta.square().sum(-1)
    return (total / 2).to(mean_p.dtype)


def gaussian_fisher(log_std: Float[torch.Tensor, "... D"]) -> Fisher:
    """Fisher information of a diagonal Gaussian in (μ, log σ).

        E[ s sᵀ ] = diag(1/σ², …, 2, …)        s the score in (μ, log σ)

    Source: Amari 1998, "Natural gradient works efficiently in learning", section 2, for the
    definition; E z² = 1 and E (z² − 1)² = 2 give the entries, E z (z² − 1) = 0 the zeros.
    Ours: only the diagonal is returned. It does not depend on the mean, nor the second half on
    anything. Where one log σ serves several actions, their information adds up.

    Args:
        log_std: log σ.

    Returns:
        `mean` and `log_std`, the shape of the argument. Gradients flow through the former.

    Raises:
        TypeError: the argument is of the wrong kind or dtype.
        ValueError: it has no axis of components.

    Example:
        >>> gaussian_fisher(torch.zeros(2))
        Fisher(mean=tensor([1., 1.]), log_std=tensor([2., 2.]))
    """
    check = Arguments("gaussian_fisher", torch.Tensor)
    check.floats("... D", log_std=log_std)

    (spread,) = widened(log_std)
    return Fisher(torch.exp(-2 * spread).to(log_std.dtype), torch.full_like(log_std, 2))


def gaussian_sample(
    mean: Float[torch.Tensor, "... D"],
    log_std: Float[torch.Tensor, "..."],
    normals: Float[torch.Tensor, "... D"],
) -> Float[torch.Tensor, "... D"]:
    """Actions from standard normal numbers.

        a = μ + σ ξ

    Source: Kingma and Welling 2014, arXiv:1312.6114, section 2.4 (the reparameterisation).
    Ours: the random numbers come in, so that two implementations can be given the same.

    Args:
        mean: μ.
        log_std: log σ, of a shape that broadcasts to that of the mean.
        normals: ξ, independent standard normal numbers.

    Returns:
        a, [..., D]. Gradients flow to all three: this is the pathwise derivative.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> gaussian_sample(torch.tensor([5.0, 7.0]), torch.zeros(2), torch.tensor([-1.0, 2.0]))
        tensor([4., 9.])
    """
    check = Arguments("gaussian_sample", torch.Tensor)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)
    check.floats("... D", normals=normals)

    centre, spread, noise = widened(mean, log_std, normals)
    return torch.addcmul(centre, torch.exp(spread), noise).to(mean.dtype)
