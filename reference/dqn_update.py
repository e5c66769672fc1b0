"""Whole updates of DQN: a gradient on a batch of transitions, and a step of Adam.

A batch is N transitions drawn from a replay buffer: observations, actions, rewards, the
observations that the actions led to, and whether the episode ended there. Two networks of the
same widths give the values of all actions: one learns, the other, the target network, says what
the next state is worth and stands still; `soft_update` moves it, at its own times. A time limit
is no end: whoever fills the buffer keeps the final observation and does not call it terminated.

The identity to remember: only the value of the action taken gets a gradient, (Q(s, a) − y)/N;
the target y is a number, whatever network it came from. That makes it half of a gradient, and
not that of any loss of the parameters (Sutton and Barto 2018, section 11.4).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments, layer_parameters
from rlverify.reference._functions import limited
from rlverify.reference._reductions import scalar
from rlverify.reference._updates import Trace, untraced
from rlverify.reference.networks import mlp_backward, mlp_forward
from rlverify.reference.optimizers import adam, clip_grad_norm
from rlverify.reference.q_learning import double_q_target, q_learning_target
from rlverify.refusals import adam_step


class DqnUpdate(NamedTuple):
    """What an update made of the parameters and Adam's state.

    Attributes:
        parameters: of the network that learns.
        first: Adam's first moment.
        second: Adam's second moment.
        count: steps of Adam ever taken, this one included.
    """

    parameters: Float[np.ndarray, "P"]
    first: Float[np.ndarray, "P"]
    second: Float[np.ndarray, "P"]
    # shadows `tuple.count`; the field is named as the argument that it is passed on to
    count: Float[np.ndarray, ""]  # type: ignore[assignment]


def _td_slopes(
    q_values: np.ndarray, actions: np.ndarray, targets: np.ndarray, huber: Any
) -> Float[np.ndarray, "N A"]:
    """Return ∂L/∂Q(s, ·) of `td_loss`: the error over N at the action taken, 0 elsewhere."""
    slopes = np.empty_like(q_values)
    for n in range(len(slopes)):
        error = q_values[n, actions[n]] - targets[n]
        if huber is not None:
            error = limited(error, -huber, huber)
        for a in range(slopes.shape[1]):
            slopes[n, a] = error / len(slopes) if a == actions[n] else 0 * error
    return slopes


def dqn_update(
    parameters: Float[np.ndarray, "P"],
    target_parameters: Float[np.ndarray, "P"],
    observations: Float[np.ndarray, "N I"],
    actions: Int[np.ndarray, "N"],
    rewards: Float[np.ndarray, "N"],
    next_observations: Float[np.ndarray, "N I"],
    terminated: Bool[np.ndarray, "N"],
    first: Float[np.ndarray, "P"],
    second: Float[np.ndarray, "P"],
    *,
    count: int,
    sizes: tuple[int, ...],
    activation: str,
    gamma: float,
    double: bool,
    huber: float | None,
    max_norm: float | None,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    trace: Trace | None = None,
) -> DqnUpdate:
    """One update of DQN or double DQN, from a batch of transitions to the next network.

        y = r + γ max_b Q⁻(s′, b)        or, double, r + γ Q⁻(s′, argmax_b Q(s′, b));  r at an end
        e = Q(s, a) − y,  made no larger than δ        g = (1/N) Σᵢ eᵢ ∇Q(sᵢ, aᵢ)
        g made no longer than max_norm;  θ ← Adam(θ, g)

    Source: Mnih et al. 2015, Nature 518, algorithm 1 and "Training details" (the clipped error);
    van Hasselt, Guez and Silver 2016, arXiv:1509.06461, eq. 4 (double).
    Ours: ½ in the squared error, so that its slope is the error, and Huber's with the same slope
    up to δ; Adam for the papers' RMSprop; the target network is moved elsewhere (`soft_update`).

    Args:
        parameters: θ, of the network that learns.
        target_parameters: θ⁻, of the target network; constant.
        observations: s, one a row.
        actions: a, what was done.
        rewards: r.
        next_observations: s′ before any reset; where terminated it is not read.
        terminated: True where the episode ended in s′; not where a time limit cut it.
        first: Adam's first moment; 0 before the first update.
        second: Adam's second moment; 0 before the first update.
        count: steps of Adam ever taken before.
        sizes: widths of the layers of both networks; the last is the number of actions.
        activation: `"tanh"` or `"relu"`.
        gamma: γ in [0, 1].
        double: whether the network that learns picks the action in s′.
        huber: δ, as of `td_loss`; None for the squared error.
        max_norm: greatest norm of a gradient; None: any.
        learning_rate: as of `adam`.
        beta1: as of `adam`.
        beta2: as of `adam`.
        eps: as of `adam`.
        trace: what looks at the stages: evaluate, targets, gradient, clip, optimize.

    Returns:
        `parameters`, `first`, `second` and `count`. None carries a gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree or do not fit the sizes, or a number is out of its range.

    Example:
        >>> knobs = dict(count=0, sizes=(1, 2), activation="tanh", gamma=0.5, double=False,
        ...     huber=None, max_norm=None, learning_rate=0.5, beta1=0.5, beta2=0.5, eps=1.0)
        >>> zeros, one, there = np.zeros(4), np.ones((1, 1)), np.array([0.0, 0.0, 2.0, 4.0])
        >>> # y is 1 + 4/2, the error −3, and Adam's first step is g/(|g| + 1)
        >>> dqn_update(zeros, there, one, np.array([0]), np.ones(1), one, np.array([False]), zeros,
        ...     zeros, **knobs).parameters
        array([0.375, 0.   , 0.375, 0.   ])
    """
    check = Arguments("dqn_update", np.ndarray, exact=True)
    check.sizes(sizes)
    check.choice("activation", activation, ("tanh", "relu"))
    check.floats("P", parameters=parameters, target_parameters=target_parameters)
    check.width(sizes, layer_parameters(sizes), parameters=parameters)
    check.floats("N I", observations=observations, next_observations=next_observations)
    check.width(sizes, sizes[0], observations=observations)
    check.actions("N", below=sizes[-1], actions=actions)
    check.floats("N", rewards=rewards)
    check.flags("N", terminated=terminated)
    check.unit(gamma=gamma)
    check.switch(double=double)
    for name, value in (("huber", huber), ("max_norm", max_norm)):
        if value is not None:
            check.positive(name, value)
    adam_step(
        check, first, second, count=count, least=0,
        learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps,
    )  # fmt: skip

    trace = untraced if trace is None else trace
    network: dict[str, Any] = {"sizes": sizes, "activation": activation}
    following = next_observations.copy()
    following[terminated] = observations[terminated]  # any will do: what it is worth is not read
    said = {
        "q_values": mlp_forward(parameters, observations, **network),
        "next_q_target": mlp_forward(target_parameters, following, **network),
    }
    if double:
        said["next_q_online"] = mlp_forward(parameters, following, **network)
    said = trace("evaluate", said)

    after = said["next_q_target"]
    if double:
        picking = said["next_q_online"]
        targets = double_q_target(rewards, picking, after, terminated, None, gamma=gamma)
    else:
        targets = q_learning_target(rewards, after, terminated, None, gamma=gamma)
    targets = trace("targets", {"targets": targets})["targets"]

    slopes = _td_slopes(said["q_values"], actions, targets, huber)
    gradient = mlp_backward(parameters, observations, slopes, **network)
    gradient = trace("gradient", {"gradient": gradient})["gradient"]
    if max_norm is not None:
        clipped = clip_grad_norm(gradient, max_norm=max_norm)
        gradient = trace("clip", clipped._asdict())["gradients"]
    moved = adam(
        parameters,
        gradient,
        first,
        second,
        count=count + 1,
        learning_rate=learning_rate,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
    )
    state = trace("optimize", moved._asdict())
    return DqnUpdate(**state, count=scalar(count + 1, parameters))
