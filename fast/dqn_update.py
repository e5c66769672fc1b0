"""Whole updates of DQN in PyTorch: a gradient on a batch of transitions, and a step of Adam.

A batch is N transitions drawn from a replay buffer: observations, actions, rewards, the
observations that the actions led to, and whether the episode ended there. Two networks of the
same widths give the values of all actions: one learns, the other, the target network, says what
the next state is worth and stands still; `soft_update` moves it, at its own times. A time limit
is no end: whoever fills the buffer keeps the final observation and does not call it terminated.

The identity to remember: only the value of the action taken gets a gradient, (Q(s, a) − y)/N;
the target y is a number, whatever network it came from. That makes it half of a gradient, and
not that of any loss of the parameters (Sutton and Barto 2018, section 11.4). Half precision is
widened once and the results are rounded once, at the end.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments, layer_parameters
from rlverify.fast._curvature import forward_pass
from rlverify.fast._updates import Trace, constants, untraced
from rlverify.fast.optimizers import adam, clip_grad_norm
from rlverify.fast.q_learning import double_q_target, q_learning_target
from rlverify.fast.scan import rounded
from rlverify.refusals import adam_step


class DqnUpdate(NamedTuple):
    """What an update made of the parameters and Adam's state.

    Attributes:
        parameters: of the network that learns.
        first: Adam's first moment.
        second: Adam's second moment.
        count: steps of Adam ever taken, this one included.
    """

    parameters: Float[torch.Tensor, "P"]
    first: Float[torch.Tensor, "P"]
    second: Float[torch.Tensor, "P"]
    # shadows `tuple.count`; the field is named as the argument that it is passed on to
    count: Float[torch.Tensor, ""]  # type: ignore[assignment]


def _td_slopes(
    q_values: torch.Tensor, actions: torch.Tensor, targets: torch.Tensor, huber: Any
) -> Float[torch.Tensor, "N A"]:
    """Return ∂L/∂Q(s, ·) of `td_loss`: the error over N at the action taken, 0 elsewhere."""
    taken = actions.unsqueeze(-1)
    errors = q_values.gather(-1, taken).squeeze(-1) - targets
    if huber is not None:
        edge = rounded(huber, errors.dtype)
        errors = errors.clamp(-edge, edge)
    return torch.zeros_like(q_values).scatter_(-1, taken, (errors / len(errors)).unsqueeze(-1))


def dqn_update(
    parameters: Float[torch.Tensor, "P"],
    target_parameters: Float[torch.Tensor, "P"],
    observations: Float[torch.Tensor, "N I"],
    actions: Int[torch.Tensor, "N"],
    rewards: Float[torch.Tensor, "N"],
    next_observations: Float[torch.Tensor, "N I"],
    terminated: Bool[torch.Tensor, "N"],
    first: Float[torch.Tensor, "P"],
    second: Float[torch.Tensor, "P"],
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
        >>> zeros, one, there = torch.zeros(4), torch.ones(1, 1), torch.tensor([0.0, 0.0, 2.0, 4.0])
        >>> # y is 1 + 4/2, the error −3, and Adam's first step is g/(|g| + 1)
        >>> dqn_update(zeros, there, one, torch.tensor([0]), torch.ones(1), one,
        ...     torch.tensor([False]), zeros, zeros, **knobs).parameters
        tensor([0.3750, 0.0000, 0.3750, 0.0000])
    """
    check = Arguments("dqn_update", torch.Tensor)
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

    trace, dtype = untraced if trace is None else trace, parameters.dtype
    parameters, target_parameters, first, second = constants(
        parameters, target_parameters, first, second
    )
    observations, rewards, next_observations = constants(observations, rewards, next_observations)
    # any observation will do where the episode ended: what it is worth is not read
    following = torch.where(terminated.unsqueeze(-1), observations, next_observations)
    learning = forward_pass(parameters, observations, sizes, activation)
    target = forward_pass(target_parameters, following, sizes, activation)
    said = {"q_values": learning.outputs, "next_q_target": target.outputs}
    if double:
        said["next_q_online"] = forward_pass(parameters, following, sizes, activation).outputs
    said = trace("evaluate", said)

    after = said["next_q_target"]
    if double:
        picking = said["next_q_online"]
        targets = double_q_target(rewards, picking, after, terminated, None, gamma=gamma)
    else:
        targets = q_learning_target(rewards, after, terminated, None, gamma=gamma)
    targets = trace("targets", {"targets": targets})["targets"]

    gradient = learning.pulled(_td_slopes(said["q_values"], actions, targets, huber))
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
    made = DqnUpdate(**state, count=torch.full_like(parameters[0], count + 1))
    return DqnUpdate(*(array.to(dtype) for array in made))
