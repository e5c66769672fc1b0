"""Pathwise gradients in PyTorch: differentiate through the sample, not through its probability.

A Gaussian action is a deterministic function of noise, a = μ + σ ε with σ = exp(log_std), so
f′(a) times the derivative of the action estimates the gradient of E f(a), a sample at a time.
The same comes out of autograd where f is at hand in PyTorch; these are the estimates themselves,
for a reward gradient from elsewhere and for looking at their variance. Half precision is computed
in float32 and rounded once.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.fast._steps import widened


class GaussianGradient(NamedTuple):
    """One estimate for every sample, of the gradient with respect to its mean and log σ.

    Attributes:
        mean: f′(a), the estimate of ∂E f/∂μ.
        log_std: f′(a) σ ε, the estimate of ∂E f/∂log σ.
    """

    mean: torch.Tensor
    log_std: torch.Tensor


def gaussian_pathwise_gradient(
    mean: Float[torch.Tensor, "... D"],
    log_std: Float[torch.Tensor, "..."],
    normals: Float[torch.Tensor, "... D"],
    reward_gradients: Float[torch.Tensor, "... D"],
) -> GaussianGradient:
    """Pathwise estimates of the gradient of an expected reward, one for every sample.

        a = μ + σ ε        ∂/∂μ = f′(a)        ∂/∂log σ = f′(a) σ ε        σ = exp(log_std)

    Source: Kingma and Welling 2014, arXiv:1312.6114, section 2.4 and eq. 5; Mohamed et al.
    2020, arXiv:1906.10652, section 5.
    Ours: nothing is averaged and nothing is summed: every sample and dimension has its own
    estimate, also where log_std was shared. The estimate itself does not depend on μ, which
    has its say in a, so in `reward_gradients`; it gives the shape.

    Args:
        mean: μ, the last axis the dimensions of an action.
        log_std: log σ; broadcasts to the shape of `mean`.
        normals: ε, the standard normal draws that made the actions μ + σ ε.
        reward_gradients: f′(a) at those actions.

    Returns:
        `mean` and `log_std`, each of the shape of `mean`. To estimate a gradient take the
        average over samples, and sum over the axes along which a parameter was shared.
        Gradients flow to all arguments but `mean`.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> two = torch.tensor([[2.0]])
        >>> gaussian_pathwise_gradient(0 * two, torch.zeros(1), -two, 3 * two).log_std
        tensor([[-12.]])
    """
    check = Arguments("gaussian_pathwise_gradient", torch.Tensor)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)
    check.floats("... D", normals=normals, reward_gradients=reward_gradients)

    slopes, log_stds, noise = widened(reward_gradients, log_std, normals)
    by_log_std = slopes * (log_stds.exp() * noise)
    # a copy, so that no result is an argument, and of the widened array, so that the gradients of
    # both results meet before they are rounded
    return GaussianGradient(slopes.to(mean.dtype, copy=True), by_log_std.to(mean.dtype))
