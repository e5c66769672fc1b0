"""Whole updates of PPO in PyTorch: epochs of mini-batches, each a gradient and a step of Adam.

A batch is N samples of a rollout, flat, whatever episodes they came from: inputs, actions, the
log-probabilities under the policy that acted, advantages, returns, and the critic's predictions
then. All of it is constant during the update; what moves is one vector of parameters (the
policy's network, log σ where the policy is Gaussian, the critic's network) and Adam's moments.
The randomness comes in as permutations, one an epoch.  The identity to remember: in the first
mini-batch of the first epoch every ratio is 1, so nothing is clipped there and the gradient is
that of A2C; all that PPO does otherwise happens after the first step.

`value_update` fits a critic alone in the same way, for algorithms that move their policy
otherwise. Both run through named stages, which a `trace` may look at and answer for. Half
precision is widened once and the results are rounded once, at the end.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int

from rlverify.errors import Arguments, layer_parameters
from rlverify.fast._curvature import forward_pass
from rlverify.fast._updates import (
    Trace,
    constants,
    evaluation,
    mini_batches,
    passes_of,
    pulled,
    untraced,
)
from rlverify.fast.advantages import normalize_advantages
from rlverify.fast.optimizers import adam, clip_grad_norm
from rlverify.fast.ppo import approximate_kl
from rlverify.fast.scan import rounded
from rlverify.refusals import adam_step, clip_edges, critic, mini_batched, policy_and_critic


class PpoUpdate(NamedTuple):
    """What an update made of parameters and Adam's state, and how it went.

    Attributes:
        parameters: of policy and critic.
        first: Adam's first moment.
        second: Adam's second moment.
        count: steps of Adam ever taken, these included.
        kl: estimate k3 of KL(π_old ‖ π) on the last mini-batch that was looked at.
        stopped: 1 where that was above target_kl, which ended the update; else 0.
        steps: how many steps were taken.
    """

    parameters: Float[torch.Tensor, "P"]
    first: Float[torch.Tensor, "P"]
    second: Float[torch.Tensor, "P"]
    # shadows `tuple.count`; the field is named as the argument that it is passed on to
    count: Float[torch.Tensor, ""]  # type: ignore[assignment]
    kl: Float[torch.Tensor, ""]
    stopped: Float[torch.Tensor, ""]
    steps: Float[torch.Tensor, ""]


class ValueUpdate(NamedTuple):
    """What an update made of a critic's parameters and Adam's state.

    Attributes:
        parameters: of the critic.
        first: Adam's first moment.
        second: Adam's second moment.
        count: steps of Adam ever taken, these included.
    """

    parameters: Float[torch.Tensor, "P"]
    first: Float[torch.Tensor, "P"]
    second: Float[torch.Tensor, "P"]
    count: Float[torch.Tensor, ""]  # type: ignore[assignment]


def _surrogate_slopes(
    log_probs: torch.Tensor, old_log_probs: torch.Tensor, advantages: torch.Tensor, clip_range: Any
) -> torch.Tensor:
    """Return ∂L/∂log π of the clipped surrogate loss: −ρA/N, and 0 where it is flat."""
    below, above = clip_range if isinstance(clip_range, tuple) else (clip_range, clip_range)
    dtype = log_probs.dtype
    low, high = rounded(1 - rounded(below, dtype), dtype), rounded(1 + rounded(above, dtype), dtype)
    ratios = (log_probs - old_log_probs).exp()
    free = torch.where(advantages >= 0, ratios <= high, ratios >= low)
    return torch.where(free, ratios * advantages, 0).div_(-len(ratios))


def _value_slopes(
    values: torch.Tensor, old_values: torch.Tensor, returns: torch.Tensor, clip_range: Any
) -> torch.Tensor:
    """Return ∂L/∂V of the critic's loss: (V − R)/N, and 0 where the clipped error is larger."""
    errors = values - returns
    if clip_range is None:
        return errors.div_(len(values))
    edge = rounded(clip_range, values.dtype)
    changes = values - old_values
    held = old_values + changes.clamp(-edge, edge) - returns
    free = (changes.abs() <= edge) | (held.square() <= errors.square())
    return torch.where(free, errors, 0).div_(len(values))


def ppo_update(
    parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "N I"],
    actions: Int[torch.Tensor, "N"] | Float[torch.Tensor, "N D"],
    old_log_probs: Float[torch.Tensor, "N"],
    advantages: Float[torch.Tensor, "N"],
    returns: Float[torch.Tensor, "N"],
    old_values: Float[torch.Tensor, "N"],
    permutations: Int[torch.Tensor, "E N"],
    first: Float[torch.Tensor, "P"],
    second: Float[torch.Tensor, "P"],
    *,
    count: int,
    sizes: tuple[int, ...],
    critic_sizes: tuple[int, ...],
    activation: str,
    distribution: str,
    minibatch_size: int,
    normalize: bool,
    ddof: int,
    advantage_eps: float,
    clip_range: float | tuple[float, float],
    value_clip_range: float | None,
    value_coefficient: float,
    entropy_coefficient: float,
    max_norm: float | None,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    target_kl: float | None,
    trace: Trace | None = None,
) -> PpoUpdate:
    """One update of PPO, from a rollout to the next policy and critic.

        for every epoch, for every mini-batch of its permutation:
            Âᵢ ← (Aᵢ − mean A)/(std A + ε), if asked
            k = mean (ρᵢ − 1 − log ρᵢ)        ρ = exp(log π − log π_old);  stop if k > target
            L = L_clip(Â) + c_V L_critic − c_H mean H
            g = ∇L, made no longer than max_norm;  θ ← Adam(θ, g)

    Source: Schulman et al. 2017, arXiv:1707.06347, algorithm 1 and eqs. 7 and 9; Engstrom et al.
    2020, arXiv:2005.12729, section 3, for what the paper leaves to its code.
    Ours: ½ in the critic's loss; advantages are normalised in the mini-batch; what is left over
    at the end of a permutation is a smaller mini-batch, not dropped; k is looked at before the
    step, so a policy that is too far away is not moved further.

    Args:
        parameters: the policy's network, log σ [D] if the distribution is Gaussian, the critic's.
        inputs: one sample a row.
        actions: what was done: integers [N], or [N, D] for a Gaussian policy.
        old_log_probs: log π_old of the actions, under the policy that acted.
        advantages: A, as they come out of the rollout.
        returns: R, what the critic is to predict.
        old_values: the critic's predictions during the rollout; read where it is clipped.
        permutations: of the numbers 0 to N − 1, one an epoch.
        first: Adam's first moment; 0 before the first update.
        second: Adam's second moment; 0 before the first update.
        count: steps of Adam ever taken before.
        sizes: widths of the layers of the policy's network.
        critic_sizes: widths of the layers of the critic's network; the last is 1.
        activation: `"tanh"` or `"relu"`, of both.
        distribution: `"categorical"` or `"gaussian"` (diagonal, log σ independent of the state).
        minibatch_size: samples of a step.
        normalize: whether advantages are normalised.
        ddof: as of `normalize_advantages`.
        advantage_eps: ε of the normalisation.
        clip_range: of the ratio, as of `ppo_clip_loss`.
        value_clip_range: of the critic, as of `clipped_value_loss`; None: not clipped.
        value_coefficient: c_V.
        entropy_coefficient: c_H.
        max_norm: greatest norm of a gradient, of policy and critic together; None: any.
        learning_rate: as of `adam`.
        beta1: as of `adam`.
        beta2: as of `adam`.
        eps: as of `adam`.
        target_kl: k above which no further step is taken; None: never stop.
        trace: what looks at the stages: normalize, evaluate, stop, gradient, clip, optimize.

    Returns:
        `parameters`, `first`, `second`, `count`, `kl`, `stopped` and `steps`. None carries a
        gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree or do not fit the sizes, a number is out of its range, a row
            of permutations is none, or a mini-batch is too small to be normalised.

    Example:
        >>> knobs = dict(count=0, sizes=(1, 1), critic_sizes=(1, 1), activation="tanh",
        ...     distribution="gaussian", minibatch_size=1, normalize=False, ddof=0,
        ...     advantage_eps=1.0, clip_range=0.5, value_clip_range=None, value_coefficient=0.0,
        ...     entropy_coefficient=0.0, max_norm=None, learning_rate=0.5, beta1=0.5, beta2=0.5,
        ...     eps=1.0, target_kl=None)
        >>> zeros, one = torch.zeros(5), torch.ones(1)
        >>> old = -(1 + torch.tensor([2 * torch.pi]).log()) / 2  # so that the ratio is 1
        >>> # the mean's weight has gradient −1, and Adam's first step is g/(|g| + 1)
        >>> ppo_update(zeros, torch.tensor([[1.0]]), torch.tensor([[1.0]]), old, one, one, one,
        ...     torch.tensor([[0]]), zeros, zeros, **knobs).parameters
        tensor([0.2500, 0.2500, 0.0000, 0.0000, 0.0000])
    """
    check = Arguments("ppo_update", torch.Tensor)
    network: dict[str, Any] = {
        "sizes": sizes,
        "critic_sizes": critic_sizes,
        "activation": activation,
        "distribution": distribution,
    }
    policy_and_critic(check, parameters, inputs, actions, **network)
    check.floats("N", old_log_probs=old_log_probs, advantages=advantages)
    check.floats("N", returns=returns, old_values=old_values)
    mini_batched(check, permutations, minibatch_size, len(inputs))
    check.switch(normalize=normalize)
    check.count("ddof", ddof, least=0)
    check.positive("advantage_eps", advantage_eps)
    clip_edges(check, clip_range)
    for name, value in (("value_clip_range", value_clip_range), ("max_norm", max_norm)):
        if value is not None:
            check.positive(name, value)
    check.number("value_coefficient", value_coefficient)
    check.number("entropy_coefficient", entropy_coefficient)
    adam_step(
        check, first, second, count=count, least=0,
        learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps,
    )  # fmt: skip
    if target_kl is not None:
        check.positive("target_kl", target_kl)
    if normalize:
        check.degrees_of_freedom(len(inputs) % minibatch_size or minibatch_size, ddof)

    trace, dtype = untraced if trace is None else trace, parameters.dtype
    parameters, inputs, old_log_probs, advantages, returns, old_values, first, second = constants(
        parameters, inputs, old_log_probs, advantages, returns, old_values, first, second
    )
    if distribution == "gaussian":
        (actions,) = constants(actions)
    # what comes back must not be what came in, if no step is taken
    parameters, first, second = parameters.clone(), first.clone(), second.clone()
    kl = stop = parameters.new_zeros(())
    steps = 0
    for stage, rows in mini_batches(permutations, minibatch_size):
        weights = advantages[rows]
        if normalize:
            weights = normalize_advantages(weights, None, ddof=ddof, eps=advantage_eps)
            weights = trace(stage + "normalize", {"advantages": weights})["advantages"]
        taken = actions[rows]
        passes = passes_of(parameters, inputs[rows], **network)
        now = trace(stage + "evaluate", evaluation(passes, taken)._asdict())
        log_probs, old = now["log_probs"], old_log_probs[rows]

        kl = approximate_kl(log_probs, old, None, estimator="k3")
        if target_kl is not None:
            stop = (kl > rounded(target_kl, kl.dtype)).to(kl.dtype)
        made = trace(stage + "stop", {"kl": kl, "stop": stop})
        kl, stop = made["kl"], made["stop"]
        if target_kl is not None and stop > 0.5:  # a look at a number waits for the device
            break

        slopes = _surrogate_slopes(log_probs, old, weights, clip_range)
        of_values = _value_slopes(now["values"], old_values[rows], returns[rows], value_clip_range)
        bonus = rounded(entropy_coefficient, slopes.dtype)
        of_entropies = torch.full_like(slopes, -bonus / len(rows))
        of_values *= rounded(value_coefficient, slopes.dtype)
        slope = pulled(passes, taken, slopes, of_entropies, of_values)
        slope = trace(stage + "gradient", {"gradient": slope})["gradient"]
        if max_norm is not None:
            clipped = clip_grad_norm(slope, max_norm=max_norm)
            slope = trace(stage + "clip", clipped._asdict())["gradients"]

        steps = steps + 1
        moved = adam(
            parameters,
            slope,
            first,
            second,
            count=count + steps,
            learning_rate=learning_rate,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
        )
        state = trace(stage + "optimize", moved._asdict())
        parameters, first, second = state["parameters"], state["first"], state["second"]
    taken, ever = torch.full_like(kl, steps), torch.full_like(kl, count + steps)
    whole = (parameters, first, second, ever, kl, stop, taken)
    return PpoUpdate(*(array.to(dtype) for array in whole))


def value_update(
    critic_parameters: Float[torch.Tensor, "P"],
    inputs: Float[torch.Tensor, "N I"],
    returns: Float[torch.Tensor, "N"],
    permutations: Int[torch.Tensor, "E N"],
    first: Float[torch.Tensor, "P"],
    second: Float[torch.Tensor, "P"],
    *,
    count: int,
    critic_sizes: tuple[int, ...],
    activation: str,
    minibatch_size: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    trace: Trace | None = None,
) -> ValueUpdate:
    """Fit of a critic to the returns of a rollout, by mini-batches and Adam.

        for every epoch, for every mini-batch of its permutation:
            L = (1/2M) Σᵢ (Vᵢ − Rᵢ)²;  θ ← Adam(θ, ∇L)

    Source: Schulman et al. 2016, arXiv:1506.02438, eq. 28 (the regression); Kingma and Ba 2015,
    arXiv:1412.6980, algorithm 1 (the steps).
    Ours: the paper stays within a trust region; most code takes steps of Adam instead. What is
    left over at the end of a permutation is a smaller mini-batch, not dropped.

    Args:
        critic_parameters: of the critic's network.
        inputs: one sample a row.
        returns: R, what the critic is to predict.
        permutations: of the numbers 0 to N − 1, one an epoch.
        first: Adam's first moment; 0 before the first update.
        second: Adam's second moment; 0 before the first update.
        count: steps of Adam ever taken before.
        critic_sizes: widths of the layers; the last is 1.
        activation: `"tanh"` or `"relu"`.
        minibatch_size: samples of a step.
        learning_rate: as of `adam`.
        beta1: as of `adam`.
        beta2: as of `adam`.
        eps: as of `adam`.
        trace: what looks at the stages: evaluate, gradient, optimize.

    Returns:
        `parameters`, `first`, `second` and `count`. None carries a gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree or do not fit the sizes, a number is out of its range, or a
            row of permutations is none.

    Example:
        >>> knobs = dict(count=0, critic_sizes=(1, 1), activation="tanh", minibatch_size=1,
        ...     learning_rate=0.5, beta1=0.5, beta2=0.5, eps=1.0)
        >>> zeros, order = torch.zeros(2), torch.tensor([[0]])
        >>> # the error is −3, and Adam's first step is g/(|g| + 1)
        >>> value_update(zeros, torch.ones((1, 1)), 3 * torch.ones(1), order, zeros, zeros,
        ...     **knobs).parameters
        tensor([0.3750, 0.3750])
    """
    check = Arguments("value_update", torch.Tensor)
    critic(check, critic_sizes)
    check.choice("activation", activation, ("tanh", "relu"))
    check.floats("P", critic_parameters=critic_parameters)
    check.floats("N I", inputs=inputs)
    check.width(critic_sizes, layer_parameters(critic_sizes), critic_parameters=critic_parameters)
    check.width(critic_sizes, critic_sizes[0], inputs=inputs)
    check.floats("N", returns=returns)
    mini_batched(check, permutations, minibatch_size, len(inputs))
    adam_step(
        check, first, second, count=count, least=0,
        learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps,
    )  # fmt: skip

    trace, dtype = untraced if trace is None else trace, critic_parameters.dtype
    parameters, inputs, returns, first, second = constants(
        critic_parameters, inputs, returns, first, second
    )
    for stage, rows in mini_batches(permutations, minibatch_size):
        forward = forward_pass(parameters, inputs[rows], critic_sizes, activation)
        values = forward.outputs[:, 0]
        values = trace(stage + "evaluate", {"values": values})["values"]
        cotangents = _value_slopes(values, values, returns[rows], None)[:, None]
        slope = forward.pulled(cotangents)
        slope = trace(stage + "gradient", {"gradient": slope})["gradient"]
        count = count + 1
        moved = adam(
            parameters,
            slope,
            first,
            second,
            count=count,
            learning_rate=learning_rate,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
        )
        state = trace(stage + "optimize", moved._asdict())
        parameters, first, second = state["parameters"], state["first"], state["second"]
    made = ValueUpdate(parameters, first, second, torch.full_like(parameters[0], count))
    return ValueUpdate(*(array.to(dtype) for array in made))
