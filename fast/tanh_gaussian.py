"""The squashed Gaussian policy in PyTorch: a = tanh(u) with u from a diagonal Gaussian.

The actions lie in (−1, 1). Arrays are those of `gaussian`: mean μ, `log_std` log σ that
broadcasts, components D last. A density follows its variable: where tanh compresses, it grows,

    log π(a) = log N(u; μ, σ) − Σ log(1 − tanh² u)        u = artanh a

Everything here starts from u, because a does not tell it: in float32 tanh(u) is 1 from u = 9 on.

The identity to remember keeps every digit where 1 − tanh² u has none left; tanh² is even, so

    log(1 − tanh² u) = 2 (log 2 + u − softplus(2u))       softplus(x) = log(1 + eˣ)

Half precision is computed in float32 and rounded once.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.fast._components import HALF_LOG_TWO_PI, over_components
from rlverify.fast._steps import widened

# torch takes softplus(x) for x above a threshold, by default 20, and so drops e⁻²⁰ = 2·10⁻⁹;
# above 40 what it drops is below the rounding of x in float64
THRESHOLD = 40.0
LOG_FOUR = math.log(4)


class Actions(NamedTuple):
    """Actions, and the numbers they were squashed from.

    Attributes:
        actions: tanh(u), in (−1, 1) until rounding makes it ±1.
        pre_tanh: u: keep it, the density is computed from it.
    """

    actions: torch.Tensor
    pre_tanh: torch.Tensor


def tanh_gaussian_log_prob(
    mean: Float[torch.Tensor, "... D"],
    log_std: Float[torch.Tensor, "..."],
    pre_tanh: Float[torch.Tensor, "... D"],
) -> Float[torch.Tensor, "..."]:
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
        log π(tanh u), the leading shape [...]. Gradients flow to all three.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> zero = torch.zeros(1, 1)  # tanh has slope 1 at 0: −½ log 2π of the Gaussian is left
        >>> tanh_gaussian_log_prob(zero, zero, zero)
        tensor([-0.9189])
    """
    check = Arguments("tanh_gaussian_log_prob", torch.Tensor)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)
    check.floats("... D", pre_tanh=pre_tanh)

    centre, spread, u = widened(mean, log_std, pre_tanh)
    z = (u - centre) * torch.exp(-spread)
    # ½ softplus(2u) − ½ u; the quotient of the slopes is taken together with z² in one sum
    cosh = torch.sub(torch.nn.functional.softplus(u, 2, THRESHOLD), u, alpha=0.5)
    components = mean.shape[-1]
    normalizer = over_components(spread, components) + components * (HALF_LOG_TWO_PI + LOG_FOUR)
    total = torch.sub(cosh, z.square(), alpha=0.125).sum(-1)
    return torch.sub(4 * total, normalizer).to(mean.dtype)


def tanh_gaussian_sample(
    mean: Float[torch.Tensor, "... D"],
    log_std: Float[torch.Tensor, "..."],
    normals: Float[torch.Tensor, "... D"],
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
        `actions` a and `pre_tanh` u, each [..., D]. Gradients flow to all three arguments.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree.

    Example:
        >>> tanh_gaussian_sample(torch.tensor([2.0]), torch.zeros(1), torch.tensor([-2.0]))
        Actions(actions=tensor([0.]), pre_tanh=tensor([0.]))
    """
    check = Arguments("tanh_gaussian_sample", torch.Tensor)
    check.floats("... D", mean=mean)
    check.broadcast("... D", log_std=log_std)
    check.floats("... D", normals=normals)

    centre, spread, noise = widened(mean, log_std, normals)
    pre_tanh = torch.addcmul(centre, torch.exp(spread), noise)
    return Actions(torch.tanh(pre_tanh).to(mean.dtype), pre_tanh.to(mean.dtype))
