"""Whole updates of PPO: several epochs of mini-batches, each a gradient and a step of Adam.

A batch is N samples of a rollout, flat, whatever episodes they came from: inputs, actions, the
log-probabilities under the policy that acted, advantages, returns, and the critic's predictions
then. All of it is constant during the update; what moves is one vector of parameters (the
policy's network, log σ where the policy is Gaussian, the critic's network) and Adam's moments.
The randomness comes in as permutations, one an epoch.  The identity to remember: in the first
mini-batch of the first epoch every ratio is 1, so nothing is clipped there and the gradient is
that of A2C; all that PPO does otherwise happens after the first step.

`value_update` fits a critic alone in the same way, for algorithms that move their policy
otherwise. Both run through named stages, which a `trace` may look at and answer for.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rlverify.errors import Arguments, layer_parameters
from rlverify.reference._functions import reached
from rlverify.reference._reductions import scalar
from rlverify.reference._updates import Trace, evaluate, gradient, mini_batches, untraced
from rlverify.reference.advantages import normalize_advantages
from rlverify.reference.networks import mlp_backward, mlp_forward
from rlverify.reference.optimizers import adam, clip_grad_norm
from rlverify.reference.ppo import approximate_kl
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

    parameters: Float[np.ndarray, "P"]
    first: Float[np.ndarray, "P"]
    second: Float[np.ndarray, "P"]
    # shadows `tuple.count`; the field is named as the argument that it is passed on to
    count: Float[np.ndarray, ""]  # type: ignore[assignment]
    kl: Float[np.ndarray, ""]
    stopped: Float[np.ndarray, ""]
    steps: Float[np.ndarray, ""]


class ValueUpdate(NamedTuple):
    """What an update made of a critic's parameters and Adam's state.

    Attributes:
        parameters: of the critic.
        first: Adam's first moment.
        second: Adam's second moment.
        count: steps of Adam ever taken, these included.
    """

    parameters: Float[np.ndarray, "P"]
    first: Float[np.ndarray, "P"]
    second: Float[np.ndarray, "P"]
    count: Float[np.ndarray, ""]  # type: ignore[assignment]


def _surrogate_slopes(
    log_probs: np.ndarray, old_log_probs: np.ndarray, advantages: np.ndarray, clip_range: Any
) -> np.ndarray:
    """Return ∂L/∂log π of the clipped surrogate loss: −ρA/N, and 0 where it is flat."""
    below, above = clip_range if isinstance(clip_range, tuple) else (clip_range, clip_range)
    slopes = np.empty_like(log_probs)
    for i in range(len(slopes)):
        ratio, gains = np.exp(log_probs[i] - old_log_probs[i]), reached(0, advantages[i])
        # as numbers, so that where rounding decides both answers are known to be right
        free = gains * reached(ratio, 1 + above) + (1 - gains) * reached(1 - below, ratio)
        slopes[i] = -ratio * advantages[i] * free / len(slopes)
    return slopes


def _value_slopes(
    values: np.ndarray, old_values: np.ndarray, returns: np.ndarray, clip_range: Any
) -> np.ndarray:
    """Return ∂L/∂V of the critic's loss: (V − R)/N, and 0 where the clipped error is larger."""
    slopes = np.empty_like(values)
    for i in range(len(slopes)):
        error, free = values[i] - returns[i], 1
        if clip_range is not None:
            change = values[i] - old_values[i]
            inside = reached(-clip_range, change) * reached(change, clip_range)
            edge = clip_range if change > 0 else -clip_range
            larger = reached((old_values[i] + edge - returns[i]) ** 2, error**2)
            free = 1 - (1 - inside) * (1 - larger)
        slopes[i] = error * free / len(slopes)
    return slopes


def ppo_update(
    parameters: Float[np.ndarray, "P"],
    inputs: Float[np.ndarray, "N I"],
    actions: Int[np.ndarray, "N"] | Float[np.ndarray, "N D"],
    old_log_probs: Float[np.ndarray, "N"],
    advantages: Float[np.ndarray, "N"],
    returns: Float[np.ndarray, "N"],
    old_values: Float[np.ndarray, "N"],
    permutations: Int[np.ndarray, "E N"],
    first: Float[np.ndarray, "P"],
    second: Float[np.ndarray, "P"],
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
        >>> zeros, one = np.zeros(5), np.ones(1)
        >>> old = np.array([-(1 + np.log(2 * np.pi)) / 2])  # so that the ratio is 1
        >>> # the mean's weight has gradient −1, and Adam's first step is g/(|g| + 1)
        >>> ppo_update(zeros, np.array([[1.0]]), np.array([[1.0]]), old, one, one, one,
        ...     np.array([[0]]), zeros, zeros, **knobs).parameters
        array([0.25, 0.25, 0.  , 0.  , 0.  ])
    """
    check = Arguments("ppo_update", np.ndarray, exact=True)
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

    trace = untraced if trace is None else trace
    steps, stop = 0, 0
    kl: Any = 0
    parameters, first, second = parameters.copy(), first.copy(), second.copy()
    for stage, rows in mini_batches(permutations, minibatch_size):
        weights = advantages[rows]
        if normalize:
            weights = normalize_advantages(weights, None, ddof=ddof, eps=advantage_eps)
            weights = trace(stage + "normalize", {"advantages": weights})["advantages"]
        samples = parameters, inputs[rows], actions[rows]
        now = trace(stage + "evaluate", evaluate(*samples, **network)._asdict())
        log_probs, old = now["log_probs"], old_log_probs[rows]

        kl = approximate_kl(log_probs, old, None, estimator="k3")[()]
        stop = 0 if target_kl is None else 1 - reached(kl, target_kl)
        made = trace(stage + "stop", {"kl": kl, "stop": stop})
        kl, stop = made["kl"], made["stop"]
        if stop > 0.5:
            break

        slopes = _surrogate_slopes(log_probs, old, weights, clip_range)
        of_values = _value_slopes(now["values"], old_values[rows], returns[rows], value_clip_range)
        of_entropies = np.full_like(slopes, -entropy_coefficient / len(rows))
        of_values = of_values * value_coefficient
        slope = gradient(*samples, slopes, of_entropies, of_values, **network)
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
    numbers = (scalar(number, parameters) for number in (count + steps, kl, stop, steps))
    return PpoUpdate(parameters, first, second, *numbers)


def value_update(
    critic_parameters: Float[np.ndarray, "P"],
    inputs: Float[np.ndarray, "N I"],
    returns: Float[np.ndarray, "N"],
    permutations: Int[np.ndarray, "E N"],
    first: Float[np.ndarray, "P"],
    second: Float[np.ndarray, "P"],
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
        >>> zeros, order = np.zeros(2), np.array([[0]])
        >>> # the error is −3, and Adam's first step is g/(|g| + 1)
        >>> value_update(zeros, np.ones((1, 1)), 3 * np.ones(1), order, zeros, zeros,
        ...     **knobs).parameters
        array([0.375, 0.375])
    """
    check = Arguments("value_update", np.ndarray, exact=True)
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

    trace = untraced if trace is None else trace
    parameters = critic_parameters
    network: dict[str, Any] = {"sizes": critic_sizes, "activation": activation}
    for stage, rows in mini_batches(permutations, minibatch_size):
        values = mlp_forward(parameters, inputs[rows], **network)[:, 0]
        values = trace(stage + "evaluate", {"values": values})["values"]
        cotangents = _value_slopes(values, values, returns[rows], None)[:, np.newaxis]
        slope = mlp_backward(parameters, inputs[rows], cotangents, **network)
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
    return ValueUpdate(parameters, first, second, scalar(count, parameters))
