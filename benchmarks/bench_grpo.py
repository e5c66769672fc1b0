"""Advantages of groups and losses over tokens, beside what people write and a copy of the bytes."""

import pytest
import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "grpo"
Tensor = torch.Tensor


def looped_advantages(
    rewards: Tensor, group_ids: Tensor, *, scale: str, ddof: int, eps: float
) -> Tensor:
    """Go through the groups by number, as verl does."""
    assert scale == "group"
    if len(rewards) > 16384:
        pytest.skip("a loop over 32 768 groups, each of which reads the whole batch")
    advantages = torch.empty_like(rewards)
    for number in group_ids.unique():
        own = group_ids == number
        group = rewards[own]
        advantages[own] = (group - group.mean()) / (group.std(correction=ddof) + eps)
    return advantages


def reshaped_leave_one_out(rewards: Tensor, group_ids: Tensor) -> Tensor:
    """Sort by group, reshape to groups of eight, as trl does, and put everything back."""
    order = group_ids.argsort()
    grouped = rewards[order].view(-1, 8)
    advantages = torch.empty_like(rewards)
    advantages[order] = (grouped - (grouped.sum(1, keepdim=True) - grouped) / 7).flatten()
    return advantages


def textbook_rewards(
    rewards: Tensor, log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor,
    *, beta: float, kl_estimator: str,
) -> Tensor:  # fmt: skip
    """Penalise everywhere, then add the reward where the padding begins."""
    assert kl_estimator == "k3"
    delta = reference_log_probs - log_probs
    found = torch.where(mask, -beta * (delta.exp() - delta - 1), 0)
    found[torch.arange(len(found)), mask.sum(1) - 1] += rewards
    return found


def textbook_loss(
    log_probs: Tensor, old_log_probs: Tensor, reference_log_probs: Tensor, advantages: Tensor,
    mask: Tensor, *, clip_range: float, beta: float, kl_estimator: str, ratio: str,
    aggregation: str, normalizer: float,
) -> Tensor:  # fmt: skip
    """Compute everything everywhere and select at the end."""
    assert (kl_estimator, ratio, aggregation) == ("k3", "token", "token_mean")
    ratios, gain = (log_probs - old_log_probs).exp(), advantages[:, None]
    delta = reference_log_probs - log_probs
    losses = -torch.min(ratios * gain, ratios.clamp(1 - clip_range, 1 + clip_range) * gain)
    losses = losses + beta * (delta.exp() - delta - 1)
    return torch.where(mask, losses, 0).sum() / mask.sum()


PEERS = {
    "group_advantages": looped_advantages,
    "leave_one_out_advantages": reshaped_leave_one_out,
    "kl_penalized_rewards": textbook_rewards,
    "grpo_loss": textbook_loss,
}
