"""Gaussian mixture policies: one of K diagonal Gaussians is picked, and the action drawn from it.

The mixture weights are the softmax of `logits` [..., K]; component k has its own `mean` and
`log_std` [..., K, D], and the action is [..., D]. The density is the weighted sum of the
components' densities, so its logarithm is a log-sum-exp over k of *joint* log-probabilities,
log wₖ + Σ_d log N(a_d; μₖ_d, σₖ_d), and the responsibilities p(k | a) are their softmax.

Entropy and divergence have no closed form; the reference integrates them numerically. Half
precision is computed in float32 and rounded once.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.fast._steps import widened

HALF_LOG_2PI = math.log(2 * math.pi) / 2


class GaussianMixtureScore(NamedTuple):
    """The gradient of the log-probability.

    Attributes:
        logits: ∂ log π / ∂ logits, [..., K].
        mean: ∂ log π / ∂ mean, [..., K, D].
        log_std: ∂ log π / ∂ log_std, [..., K, D].
    """

    logits: torch.Tensor
    mean: torch.Tensor
    log_std: torch.Tensor


def _standardised(
    mean: torch.Tensor, log_std: torch.Tensor, actions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return z and 1/σ, [..., K, D]."""
    per_std = torch.exp(-log_std)
    return (actions.unsqueeze(-2) - mean) * per_std, per_std


def _joint(log_weights: torch.Tensor, z: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """Return log p(k, a), [..., K]."""
    return log_weights - (z * z / 2 + log_std + HALF_LOG_2PI).sum(-1)


def gaussian_mixture_log_prob(
    logits: Float[torch.Tensor, "... K"],
    mean: Float[torch.Tensor, "... K D"],
    log_std: Float[torch.Tensor, "... K D"],
    actions: Float[torch.Tensor, "... D"],
) -> Float[torch.Tensor, "..."]:
    """Log-probability of actions under a mixture of diagonal Gaussians.

        log π(a) = log Σₖ exp( log wₖ + Σ_d log N(a_d; μₖ_d, σₖ_d²) ),    w = softmax(logits)

    Source: Bishop 2006, "Pattern recognition and machine learning", eq. 9.7; Bishop 1994, "Mixture
    density networks", for weights, means and deviations that a network puts out.
    Ours: the largest joint log-probability is taken out of the sum, so an action far from every
    component has a finite log-probability.

    Args:
        logits: unnormalised log-weights of the components.
        mean: μ.
        log_std: log σ.
        actions: a.

    Returns:
        log π(a), [...]. Gradients flow to all arrays.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        Two standard Gaussians at the same place are one.

        >>> zeros = torch.zeros(2, 1)
        >>> gaussian_mixture_log_prob(torch.zeros(2), zeros, zeros, torch.zeros(1))
        tensor(-0.9189)
    """
    check = Arguments("gaussian_mixture_log_prob", torch.Tensor)
    check.floats("... K", logits=logits)
    check.floats("... K D", mean=mean, log_std=log_std)
    check.floats("... D", actions=actions)

    weights, centre, scale, taken = widened(logits, mean, log_std, actions)
    z, _ = _standardised(centre, scale, taken)
    return _joint(weights.log_softmax(-1), z, scale).logsumexp(-1).to(logits.dtype)


def gaussian_mixture_score(
    logits: Float[torch.Tensor, "... K"],
    mean: Float[torch.Tensor, "... K D"],
    log_std: Float[torch.Tensor, "... K D"],
    actions: Float[torch.Tensor, "... D"],
) -> GaussianMixtureScore:
    """Gradient of the log-probability with respect to logits, means and log-deviations.

        ∂/∂logitsₖ = rₖ − wₖ       ∂/∂μₖ_d = rₖ zₖ_d / σₖ_d       ∂/∂log σₖ_d = rₖ (zₖ_d² − 1)
        rₖ = p(k | a) = exp(log p(k, a) − log π(a)),              z = (a − μ)/σ

    Source: Bishop 2006, eq. 9.13 (responsibilities) and section 9.2.2.

    Args:
        logits: unnormalised log-weights of the components.
        mean: μ.
        log_std: log σ.
        actions: a.

    Returns:
        `logits` [..., K], `mean` and `log_std` [..., K, D]. Gradients flow to all arrays.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        Half of the action belongs to each of two equal components: half a Gaussian's score.

        >>> zeros = torch.zeros(2, 1)
        >>> gaussian_mixture_score(torch.zeros(2), zeros, zeros, torch.ones(1)).mean
        tensor([[0.5000],
                [0.5000]])
    """
    check = Arguments("gaussian_mixture_score", torch.Tensor)
    check.floats("... K", logits=logits)
    check.floats("... K D", mean=mean, log_std=log_std)
    check.floats("... D", actions=actions)

    weights, centre, scale, taken = widened(logits, mean, log_std, actions)
    z, per_std = _standardised(centre, scale, taken)
    log_weights = weights.log_softmax(-1)
    responsibility = _joint(log_weights, z, scale).softmax(-1)
    each = responsibility.unsqueeze(-1)
    score = responsibility - log_weights.exp(), each * z * per_std, each * (z * z - 1)
    return GaussianMixtureScore(*(array.to(logits.dtype) for array in score))


def gaussian_mixture_sample(
    logits: Float[torch.Tensor, "... K"],
    mean: Float[torch.Tensor, "... K D"],
    log_std: Float[torch.Tensor, "... K D"],
    uniforms: Float[torch.Tensor, "..."],
    normals: Float[torch.Tensor, "... D"],
) -> Float[torch.Tensor, "... D"]:
    """Actions from given random numbers: a uniform picks the component, normals do the rest.

        k = min { k : u < w₀ + … + wₖ }          a = μₖ + σₖ ε

    Source: Devroye 1986, "Non-uniform random variate generation", section III.2 (inversion) and
    II.4 (discrete mixtures).
    Ours: the randomness comes in as arguments; the last component is taken where rounding leaves
    the sum of all weights below u. The gradient is that of the picked component (pathwise);
    the logits get none.

    Args:
        logits: unnormalised log-weights of the components.
        mean: μ.
        log_std: log σ.
        uniforms: u in [0, 1], one a mixture.
        normals: ε, standard normal numbers.

    Returns:
        a, [..., D]. Where u lies within rounding of a partial sum, either component is right.
        Gradients flow to the picked mean and log_std, and to the normals.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or a uniform lies outside [0, 1].

    Example:
        >>> mean, zeros = torch.tensor([[3.0], [5.0]]), torch.zeros(2, 1)
        >>> gaussian_mixture_sample(torch.zeros(2), mean, zeros, torch.tensor(0.75), torch.ones(1))
        tensor([6.])
    """
    check = Arguments("gaussian_mixture_sample", torch.Tensor)
    check.floats("... K", logits=logits)
    check.floats("... K D", mean=mean, log_std=log_std)
    check.within("...", 0, 1, uniforms=uniforms)
    check.floats("... D", normals=normals)

    weights, uniform = widened(logits.detach(), uniforms.detach())
    below = weights.softmax(-1).cumsum(-1)[..., :-1].contiguous()
    picked = torch.searchsorted(below, uniform.unsqueeze(-1).contiguous(), right=True)
    place = picked.unsqueeze(-1).expand(*picked.shape, mean.shape[-1])
    centre, scale, noise = widened(mean, log_std, normals)
    chosen, spread = (array.gather(-2, place).squeeze(-2) for array in (centre, scale))
    return (chosen + spread.exp() * noise).to(normals.dtype)
