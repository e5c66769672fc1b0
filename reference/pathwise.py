"""Pathwise gradients: differentiate through the sample instead of through its probability.

A Gaussian action is a deterministic function of noise, a = μ + σ ε with σ = exp(log_std) and
ε standard normal, so the expectation of a smooth reward can be differentiated inside:

    ∇ E f(a) = E f′(a) ∇a        ∂a/∂μ = 1        ∂a/∂log σ = σ ε

The score-function estimator f(a) ∇ log π(a) has the same expectation where f is differentiable
and integrable. Neither always has the smaller variance, and where f jumps only the score
function sees it: f′ is 0 almost everywhere, and so is the pathwise estimate (`docs/pathwise.md`
has the numbers).  The identity to remember: E f(a) ε = σ E f′(a), Stein's lemma.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments


class GaussianGradient(NamedTuple):
    """One estimate for every sample, of the gradient with respect to its mean and log σ.

    Attributes:
        mean: f′(a), the estimate of ∂E f/∂μ.
        log_std: f′(a) σ ε, the estimate of ∂E f/∂log σ.
    """

    mean: np.ndarray
    log_std: np.ndarray


def gaussian_pathwise_gradient(
    mean: Float[np.ndarray, "... D"],
    log_std: Float[np.ndarray, "..."],
    normals: Float[np.ndarray, "... D"],
    reward_gradients: Float[np.ndarray, "... D"],
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

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> two = np.array([[2.0]])
        >>> gaussian_pathwise_gradient(0 * two, np.zeros(1), -two, 3 * two).log_std
        array([[-12.]])
    """
    check = Arguments("gaussian_pathwise_gradient", np.ndarray, exact=True)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)
    check.floats("... D", normals=normals, reward_gradients=reward_gradients)

    log_stds = np.broadcast_to(log_std, mean.shape)
    by_mean, by_log_std = np.empty_like(mean), np.empty_like(mean)
    for i in np.ndindex(mean.shape):
        std = np.exp(log_stds[i])
        by_mean[i] = reward_gradients[i]
        by_log_std[i] = reward_gradients[i] * (std * normals[i])
    return GaussianGradient(by_mean, by_log_std)
