"""Advantage actor-critic in PyTorch: one gradient of policy and critic, one step of RMSprop.

A rollout is used once: the gradient is taken under the policy that acted, so no ratio and no
clipping is needed, and the loss is the plain policy gradient, the critic's squared error and an
entropy bonus, each a mean over the samples:

    L = −mean A log π + c_V ½ mean (V − R)² − c_H mean H

Advantages and returns are constant. The identity to remember: PPO's first mini-batch, where all
ratios are 1, has the same gradient, if it is the whole batch and advantages are as they come. Half
precision is computed in float32 and rounded once.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.fast._reductions import real, real_dot
from rlverify.fast._updates import Trace, constants, evaluation, passes_of, pulled, untraced
from rlverify.fast.optimizers import clip_grad_norm, rmsprop
from rlverify.fast.scan import rounded
from rlverify.refusals import policy_and_critic, shares


class A2cUpdate(NamedTuple):
    """What an update made of parameters and RMSprop's state.

    Attributes:
        parameters: of policy and critic.
        squares: RMSprop's mean squares.
    """

    parameters: Float[torch.Tensor, "P"]
    squares: Float[torch.Tensor, "P"]


def a2c_loss(
    log_probs: Float[torch.Tensor, "..."],
    advantages: Float[torch.Tensor, "..."],
    values: Float[torch.Tensor, "..."],
    returns: Float[torch.Tensor, "..."],
    entropies: Float[torch.Tensor, "..."],
    mask: Bool[torch.Tensor, "..."] | None,
    *,
    value_coefficient: float,
    entropy_coefficient: float,
) -> Float[torch.Tensor, ""]:
    """Loss of policy and critic together.

        L = (1/N) Σᵢ ( −Aᵢ log πᵢ + c_V ½ (Vᵢ − Rᵢ)² − c_H Hᵢ )

    Source: Mnih et al. 2016, arXiv:1602.01783, algorithm S3 and section 4 (the entropy);
    Dhariwal et al. 2017, OpenAI Baselines, a2c (one loss with coefficients).
    Ours: the loss to minimise; a mean over the real elements, where the paper's gradients are
    sums; ½ in the critic's error, which the paper and much code leave out.

    Args:
        log_probs: log π(aᵢ | sᵢ).
        advantages: Aᵢ; constant.
        values: Vᵢ, the critic that learns.
        returns: Rᵢ, its targets; constant.
        entropies: Hᵢ, of the policy in each state.
        mask: True where an element is real; None when all are. What stands elsewhere is ignored.
        value_coefficient: c_V.
        entropy_coefficient: c_H.

    Returns:
        L, shape (). Its gradient is −A/N with respect to log_probs, c_V (V − R)/N with respect
        to values, −c_H/N with respect to entropies, and 0 where masked.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or nothing is real.

    Example:
        >>> one, three = torch.tensor([1.0]), torch.tensor([3.0])
        >>> a2c_loss(-one, 2 * one, one, three, one, None,  # 2 + 4/4 − 1/4
        ...          value_coefficient=0.5, entropy_coefficient=0.25)
        tensor(2.7500)
    """
    check = Arguments("a2c_loss", torch.Tensor)
    check.floats("...", log_probs=log_probs, advantages=advantages, values=values)
    check.floats("...", returns=returns, entropies=entropies)
    check.mask("...", mask)
    check.number("value_coefficient", value_coefficient)
    check.number("entropy_coefficient", entropy_coefficient)

    dtype = log_probs.dtype
    of_policy = real_dot(log_probs, advantages.detach(), mask)
    errors = real(values, mask) - real(returns.detach(), mask)
    of_critic = errors.square().sum() * (rounded(value_coefficient, dtype) / 2)
    bonus = real(entropies, mask).sum() * rounded(entropy_coefficient, dtype)
    count = log_probs.numel() if mask is None else mask.sum()
    return ((of_critic - of_policy - bonus) / count).to(dtype)


def a2c_update(
    parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "N I"],
    actions: Int[torch.Tensor, "N"] | Float[torch.Tensor, "N D"],
    advantages: Float[torch.Tensor, "N"],
    returns: Float[torch.Tensor, "N"],
    squares: Float[torch.Tensor, "P"],
    *,
    sizes: tuple[int, ...],
    critic_sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    value_coefficient: float,
    entropy_coefficient: float,
    max_norm: float | None,
    learning_rate: float,
    decay: float,
    eps: float,
    eps_inside: bool,
    trace: Trace | None = None,
) -> A2cUpdate:
    """One update of advantage actor-critic, from a rollout to the next policy and critic.

        g = ∇L, made no longer than max_norm        θ ← RMSprop(θ, g)

    Source: Mnih et al. 2016, arXiv:1602.01783, algorithm S3 and eqs. 8 and 9; Dhariwal et al.
    2017, OpenAI Baselines, a2c (synchronous, one loss, the norm).
    Ours: a mean over the samples, ½ in the critic's loss.

    Args:
        parameters: the policy's network, log σ [D] if the distribution is Gaussian, the critic's.
        inputs: one sample a row.
        actions: what was done: integers [N], or [N, D] for a Gaussian policy.
        advantages: A, constant.
        returns: R, what the critic is to predict.
        squares: RMSprop's mean squares; 0 (torch) or 1 (TensorFlow) before the first update.
        sizes: widths of the layers of the policy's network.
        critic_sizes: widths of the layers of the critic's network; the last is 1.
        activation: `"tanh"` or `"relu"`, of both.
        distribution: `"categorical"` or `"gaussian"` (diagonal, log σ independent of the state).
        value_coefficient: c_V.
        entropy_coefficient: c_H.
        max_norm: greatest norm of a gradient, of policy and critic together; None: any.
        learning_rate: as of `rmsprop`.
        decay: as of `rmsprop`.
        eps: as of `rmsprop`.
        eps_inside: whether ε stands under the root (TensorFlow) or beside it (torch).
        trace: what looks at the stages: evaluate, gradient, clip, optimize.

    Returns:
        `parameters` and `squares`. None carries a gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree or do not fit the sizes, or a number is out of its range.

    Example:
        >>> knobs = dict(sizes=(1, 1), critic_sizes=(1, 1), activation="tanh",
        ...     distribution="gaussian", value_coefficient=0.0, entropy_coefficient=0.0,
        ...     max_norm=None, learning_rate=0.5, decay=0.75, eps=0.5, eps_inside=False)
        >>> zeros, one = torch.zeros(5), torch.ones(1)
        >>> # the mean's weight has gradient −1, and the step is ½ g/(½|g| + ½)
        >>> a2c_update(zeros, torch.tensor([[1.0]]), torch.tensor([[1.0]]), one, one, zeros,
        ...     **knobs).parameters
        tensor([0.5000, 0.5000, 0.0000, 0.0000, 0.0000])
    """
    check = Arguments("a2c_update", torch.Tensor)
    network: dict[str, Any] = {
        "sizes": sizes,
        "critic_sizes": critic_sizes,
        "activation": activation,
        "distribution": distribution,
    }
    policy_and_critic(check, parameters, inputs, actions, **network)
    check.floats("N", advantages=advantages, returns=returns)
    check.floats("P", squares=squares)
    check.number("value_coefficient", value_coefficient)
    check.number("entropy_coefficient", entropy_coefficient)
    if max_norm is not None:
        check.positive("max_norm", max_norm)
    check.number("learning_rate", learning_rate)
    shares(check, decay=decay)
    check.positive("eps", eps)
    check.switch(eps_inside=eps_inside)

    trace, dtype = untraced if trace is None else trace, parameters.dtype
    parameters, inputs, advantages, returns, squares = constants(
        parameters, inputs, advantages, returns, squares
    )
    if distribution == "gaussian":
        (actions,) = constants(actions)
    passes = passes_of(parameters, inputs, **network)
    now = trace("evaluate", evaluation(passes, actions)._asdict())
    number, scale = rounded(value_coefficient, advantages.dtype), len(advantages)
    of_values = (now["values"] - returns) * (number / scale)
    bonus = rounded(entropy_coefficient, advantages.dtype)
    of_entropies = torch.full_like(advantages, -bonus / scale)
    slopes = advantages / -scale, of_entropies, of_values
    slope = pulled(passes, actions, *slopes)
    slope = trace("gradient", {"gradient": slope})["gradient"]
    if max_norm is not None:
        clipped = clip_grad_norm(slope, max_norm=max_norm)
        slope = trace("clip", clipped._asdict())["gradients"]
    rates: dict[str, Any] = {"learning_rate": learning_rate, "decay": decay, "eps": eps}
    moved = rmsprop(parameters, slope, squares, **rates, eps_inside=eps_inside)
    state = trace("optimize", moved._asdict())
    return A2cUpdate(state["parameters"].to(dtype), state["squares"].to(dtype))
