"""Policy-gradient losses as people write them: one is right, the others are not."""

import torch
from torch import Tensor


def discounted_to_go(rewards: Tensor, gamma: float) -> Tensor:
    """γᵗ Gₜ, [T, B]."""
    powers = gamma ** torch.arange(len(rewards), dtype=rewards.dtype)[:, None]
    return (powers * rewards).flip(0).cumsum(0).flip(0)


def returns(rewards: Tensor, gamma: float) -> Tensor:
    """Return of each trajectory, [B]."""
    return discounted_to_go(rewards, gamma)[0]


def surrogate(log_probs: Tensor, weights: Tensor) -> Tensor:
    """Sum over steps, mean over trajectories."""
    return -(log_probs * weights).sum(0).mean()


def reward_to_go(log_probs: Tensor, rewards: Tensor, gamma: float) -> Tensor:
    """Is right."""
    return surrogate(log_probs, discounted_to_go(rewards, gamma))


def batch_mean(log_probs: Tensor, rewards: Tensor, gamma: float) -> Tensor:
    """Subtracts a mean that contains the return it is subtracted from."""
    got = returns(rewards, gamma)
    return surrogate(log_probs, got - got.mean())


def standardised(log_probs: Tensor, rewards: Tensor, gamma: float) -> Tensor:
    """Divides by the deviation of the batch, as GRPO does."""
    got = returns(rewards, gamma)
    return surrogate(log_probs, (got - got.mean()) / (got.std() + 1e-8))


def no_gamma_t(log_probs: Tensor, rewards: Tensor, gamma: float) -> Tensor:
    """Discounts rewards from each step on, but not the steps from the start."""
    powers = gamma ** torch.arange(len(rewards), dtype=rewards.dtype)[:, None]
    return surrogate(log_probs, discounted_to_go(rewards, gamma) / powers)


def late_gamma(log_probs: Tensor, rewards: Tensor, gamma: float) -> Tensor:
    """Drops one γ: the next reward counts as much as that of the step itself."""
    powers = gamma ** torch.arange(len(rewards), dtype=rewards.dtype)[:, None]
    later = discounted_to_go(rewards, gamma) - powers * rewards
    return surrogate(log_probs, powers * rewards + later / gamma)


def squared_ratio(
    log_probs: Tensor, old_log_probs: Tensor, rewards: Tensor, gamma: float
) -> Tensor:
    """Weighs by the square of the importance ratio of the trajectory."""
    ratio = (log_probs - old_log_probs).sum(0).exp().detach()
    return surrogate(log_probs, ratio**2 * discounted_to_go(rewards, gamma))


def action_baseline(log_probs: Tensor, actions: Tensor, rewards: Tensor, gamma: float) -> Tensor:
    """Subtracts a baseline that depends on the action."""
    powers = gamma ** torch.arange(len(rewards), dtype=rewards.dtype)[:, None]
    baseline = torch.tensor([0.25, -0.5], dtype=rewards.dtype)[actions]
    return surrogate(log_probs, discounted_to_go(rewards, gamma) - powers * baseline)
