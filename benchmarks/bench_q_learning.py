"""Q-learning, beside what people write and a copy of the bytes."""

import torch
from torch.nn import functional

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "q_learning"
Tensor = torch.Tensor


def filled(values: Tensor, legal: Tensor | None) -> Tensor:
    """Put −∞ where an action is not legal."""
    return values if legal is None else values.masked_fill(~legal, -torch.inf)


def dqn(
    rewards: Tensor, next_q_values: Tensor, terminated: Tensor, legal: Tensor | None, gamma: float
) -> Tensor:
    """Multiply by 1 − d, as CleanRL and Stable-Baselines3 do."""
    greatest = filled(next_q_values, legal).amax(1)
    return rewards + gamma * greatest * (1 - terminated.to(rewards.dtype))


def double_dqn(
    rewards: Tensor,
    next_q_online: Tensor,
    next_q_target: Tensor,
    terminated: Tensor,
    legal: Tensor | None,
    gamma: float,
) -> Tensor:
    """Gather with the argmax of the other network."""
    best = filled(next_q_online, legal).argmax(1, keepdim=True)
    worth = next_q_target.gather(1, best).squeeze(1)
    return rewards + gamma * worth * (1 - terminated.to(rewards.dtype))


def sarsa(
    rewards: Tensor, next_q_values: Tensor, next_actions: Tensor, terminated: Tensor, gamma: float
) -> Tensor:
    """Gather with the actions taken."""
    worth = next_q_values.gather(1, next_actions[:, None]).squeeze(1)
    return rewards + gamma * worth * (1 - terminated.to(rewards.dtype))


def expected_sarsa(
    rewards: Tensor,
    next_q_values: Tensor,
    next_probabilities: Tensor,
    terminated: Tensor,
    legal: Tensor | None,
    gamma: float,
) -> Tensor:
    """Multiply and add."""
    chances = next_probabilities if legal is None else next_probabilities * legal
    worth = (chances * next_q_values).sum(1)
    return rewards + gamma * worth * (1 - terminated.to(rewards.dtype))


def torch_loss(
    q_taken: Tensor, targets: Tensor, mask: Tensor | None, huber: float | None
) -> Tensor:
    """torch's own loss of the real elements."""
    if mask is not None:
        q_taken, targets = q_taken[mask], targets[mask]
    if huber is None:
        return functional.mse_loss(q_taken, targets) / 2
    return functional.huber_loss(q_taken, targets, delta=huber)


def polyak(target: Tensor, online: Tensor, tau: float) -> Tensor:
    """Add two products."""
    return (1 - tau) * target + tau * online


PEERS = {
    "q_learning_target": dqn,
    "double_q_target": double_dqn,
    "sarsa_target": sarsa,
    "expected_sarsa_target": expected_sarsa,
    "td_loss": torch_loss,
    "soft_update": polyak,
}
