"""Tianshou: the compiled loop of its GAE, its conjugate gradients, its running moments."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch


class Advantages(NamedTuple):
    """What `compute_episodic_return` returns.

    Attributes:
        returns: advantages + values.
        advantages: GAE.
    """

    returns: np.ndarray
    advantages: np.ndarray


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
    """Lay the columns end to end, as its buffers do, and run `_gae`.

    As in `compute_episodic_return`: next values are masked where an episode terminated, and the
    last step of each column ends it.
    """
    from tianshou.algorithm import algorithm_base

    ends = terminated | truncated
    ends[-1] = True

    def flat(array: np.ndarray) -> np.ndarray:
        return array.T.reshape(-1)

    following = flat(next_values) * ~flat(terminated)
    found = algorithm_base._gae(flat(values), following, flat(rewards), flat(ends), gamma, lam)
    advantages = found.reshape(rewards.shape[::-1]).T.astype(rewards.dtype)
    return Advantages(advantages + values, advantages)


def conjugate_gradient(
    matvec: Callable[[torch.Tensor], torch.Tensor],
    b: torch.Tensor,
    *,
    max_iterations: int,
    tolerance: float,
) -> torch.Tensor:
    """Solve by the method of its natural policy gradient, with another matrix."""
    from tianshou.algorithm.modelfree.npg import NPG

    owner: Any = SimpleNamespace(_MVP=lambda v, gradient: matvec(v))
    found: torch.Tensor = NPG._conjugate_gradients(
        owner, b, b, nsteps=max_iterations, residual_tol=tolerance
    )
    return found


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


def running_moments_update(
    count: np.ndarray, mean: np.ndarray, variance: np.ndarray, x: np.ndarray
) -> Moments:
    """Let a `RunningMeanStd` take a batch in."""
    from tianshou.utils.statistics import RunningMeanStd

    moments: Any = RunningMeanStd()
    moments.count, moments.mean, moments.var = count, mean, variance
    moments.update(x)
    return Moments(moments.count, moments.mean, moments.var)
