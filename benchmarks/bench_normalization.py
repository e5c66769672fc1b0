"""Running moments and reward scaling, beside what people write and a copy of the bytes."""

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401
from rlverify.fast.normalization import RunningMoments, ScaledRewards

TOPIC = "normalization"

Tensor = torch.Tensor


def joined(
    count: Tensor,
    mean: Tensor,
    variance: Tensor,
    other_count: Tensor,
    other_mean: Tensor,
    other_variance: Tensor,
) -> RunningMoments:
    """Merge as baselines and what came after it do."""
    delta, total = other_mean - mean, count + other_count
    spread = count * variance + other_count * other_variance
    spread = spread + delta.square() * count * other_count / total
    return RunningMoments(total, mean + delta * other_count / total, spread / total)


def textbook_update(count: Tensor, mean: Tensor, variance: Tensor, x: Tensor) -> RunningMoments:
    """Merge with the moments of the batch."""
    batch = torch.tensor(float(len(x)), dtype=x.dtype)
    return joined(count, mean, variance, batch, x.mean(0), x.var(0, unbiased=False))


def textbook_normalize(
    mean: Tensor, variance: Tensor, x: Tensor, *, eps: float, clip: float
) -> Tensor:
    """Multiply by the inverse root."""
    return torch.clamp((x - mean) * torch.rsqrt(variance + eps), -clip, clip)


def textbook_scale(
    rewards: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    returns: Tensor,
    count: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    gamma: float,
    eps: float,
    clip: float,
) -> ScaledRewards:
    """Go row by row, as a wrapper of environments does."""
    scaled = torch.empty_like(rewards)
    for t in range(len(rewards)):
        returns = gamma * returns + rewards[t]
        count, mean, variance = textbook_update(
            count, mean.reshape(1), variance.reshape(1), returns[:, None]
        )
        scaled[t] = (rewards[t] / torch.sqrt(variance + eps)).clamp(-clip, clip)
        returns = returns.masked_fill(terminated[t] | truncated[t], 0)
    return ScaledRewards(scaled, returns, count, mean[0], variance[0])


PEERS = {
    "running_moments_update": textbook_update,
    "running_moments_merge": joined,
    "running_moments_normalize": textbook_normalize,
    "scale_rewards": textbook_scale,
}
