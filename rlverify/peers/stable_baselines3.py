"""Stable-Baselines3: its rollout buffer, its measures, its running moments."""

import functools
from typing import Any, NamedTuple

import numpy as np
import torch


class Advantages(NamedTuple):
    """What the buffer holds after it was told the last values.

    Attributes:
        advantages: GAE.
        returns: advantages + values.
    """

    advantages: np.ndarray
    returns: np.ndarray


@functools.cache
def _buffer(steps: int, columns: int) -> Any:
    from gymnasium.spaces import Box
    from stable_baselines3.common.buffers import RolloutBuffer

    space = Box(-1.0, 1.0, (1,))
    return RolloutBuffer(steps, space, space, device="cpu", n_envs=columns)


def gae(
    rewards: np.ndarray,
    values: np.ndarray,
    next_values: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    *,
    gamma: float,
    lam: float,
) -> Advantages:
    """Fill a `RolloutBuffer` as `collect_rollouts` does, and let it compute.

    It adds γ V of the final observation to the reward of a truncated step; it knows no next
    values but those of the next row and of the last observation.
    """
    buffer, ends = _buffer(*rewards.shape), terminated | truncated
    buffer.gamma, buffer.gae_lambda = gamma, lam
    folded = truncated & ~terminated
    buffer.rewards = np.where(folded, rewards + gamma * next_values, rewards)
    buffer.values, buffer.advantages = values, np.empty_like(rewards)
    buffer.episode_starts = np.concatenate([np.ones_like(rewards[:1]), ends[:-1]])
    buffer.compute_returns_and_advantage(torch.tensor(next_values[-1]), ends[-1])
    return Advantages(buffer.advantages, buffer.returns)


def explained_variance(values: np.ndarray, returns: np.ndarray) -> float:
    """Return `explained_variance` of flat arrays, as its callers flatten them."""
    from stable_baselines3.common import utils

    return float(utils.explained_variance(values.reshape(-1), returns.reshape(-1)))


def soft_update(target: torch.Tensor, online: torch.Tensor, *, tau: float) -> torch.Tensor:
    """Let `polyak_update` move a copy of the target."""
    from stable_baselines3.common.utils import polyak_update

    moved = target.clone()
    polyak_update([online], [moved], tau)
    return moved


class Moments(NamedTuple):
    """A `RunningMeanStd` in three parts.

    Attributes:
        count: how many there were.
        mean: of all of them.
        variance: of all of them.
    """

    count: Any
    mean: np.ndarray
    variance: np.ndarray


def _moments(count: Any, mean: np.ndarray, variance: np.ndarray) -> Any:
    from stable_baselines3.common.running_mean_std import RunningMeanStd

    moments = RunningMeanStd(shape=np.shape(mean))
    moments.count, moments.mean, moments.var = count, mean, variance
    return moments


def running_moments_update(
    count: np.ndarray, mean: np.ndarray, variance: np.ndarray, x: np.ndarray
) -> Moments:
    """Let a `RunningMeanStd` take a batch in."""
    moments = _moments(count, mean, variance)
    moments.update(x)
    return Moments(moments.count, moments.mean, moments.var)


def running_moments_merge(
    count: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    other_count: np.ndarray,
    other_mean: np.ndarray,
    other_variance: np.ndarray,
) -> Moments:
    """Let one `RunningMeanStd` combine with another."""
    moments = _moments(count, mean, variance)
    moments.combine(_moments(other_count, other_mean, other_variance))
    return Moments(moments.count, moments.mean, moments.var)
