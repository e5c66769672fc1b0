"""TorchRL: its functional value estimates; a column is a feature, or a batch of its own."""

from typing import Any, NamedTuple

import torch

T = torch.Tensor


class Advantages(NamedTuple):
    """What its estimates return.

    Attributes:
        advantages: GAE.
        returns: advantages + values.
    """

    advantages: T
    returns: T


class Corrected(NamedTuple):
    """What its V-trace returns.

    Attributes:
        advantages: of the policy gradient.
        value_targets: what values are drawn to.
    """

    advantages: T
    value_targets: T


def _functional() -> Any:
    from torchrl.objectives.value import functional

    return functional


def _batched(*arrays: T) -> list[T]:
    """Return arrays with a trajectory a row and one feature, as TorchRL's own modules have them."""
    return [array.T.unsqueeze(-1) for array in arrays]


def gae(
    rewards: T, values: T, next_values: T, terminated: T, truncated: T, *, gamma: float, lam: float
) -> Advantages:
    """Return `generalized_advantage_estimate`."""
    done = terminated | truncated
    found = _functional().generalized_advantage_estimate(
        gamma, lam, values, next_values, rewards, done, terminated
    )
    return Advantages(*found)


def vec_gae(
    rewards: T, values: T, next_values: T, terminated: T, truncated: T, *, gamma: float, lam: float
) -> Advantages:
    """Return `vec_generalized_advantage_estimate`."""
    done = terminated | truncated
    arrays = _batched(values, next_values, rewards, done, terminated)
    found = _functional().vec_generalized_advantage_estimate(gamma, lam, *arrays)
    return Advantages(*(each.squeeze(-1).T for each in found))


def td_error(rewards: T, values: T, next_values: T, terminated: T, *, gamma: float) -> T:
    """Return `td0_advantage_estimate`."""
    found: T = _functional().td0_advantage_estimate(
        gamma, values, next_values, rewards, terminated, terminated
    )
    return found


def discounted_return(
    rewards: T, next_values: T, terminated: T, truncated: T, *, gamma: float
) -> T:
    """Return `td1_return_estimate`."""
    done = terminated | truncated
    found: T = _functional().td1_return_estimate(gamma, next_values, rewards, done, terminated)
    return found


def lambda_return(
    rewards: T, next_values: T, terminated: T, truncated: T, *, gamma: float, lam: float
) -> T:
    """Return `td_lambda_return_estimate`."""
    done = terminated | truncated
    found: T = _functional().td_lambda_return_estimate(
        gamma, lam, next_values, rewards, done, terminated
    )
    return found


def vec_lambda_return(
    rewards: T, next_values: T, terminated: T, truncated: T, *, gamma: float, lam: float
) -> T:
    """Return `vec_td_lambda_return_estimate`."""
    done = terminated | truncated
    arrays = _batched(next_values, rewards, done, terminated)
    found: T = _functional().vec_td_lambda_return_estimate(gamma, lam, *arrays).squeeze(-1).T
    return found


def vtrace(
    rewards: T,
    values: T,
    next_values: T,
    log_ratios: T,
    terminated: T,
    truncated: T,
    *,
    gamma: float,
    c_bar: float,
) -> Corrected:
    """Return `vtrace_advantage_estimate`, which knows no λ and one ρ̄, here 1."""
    done = terminated | truncated
    found = _functional().vtrace_advantage_estimate(
        gamma, log_ratios, torch.zeros_like(log_ratios), values, next_values, rewards, done,
        terminated, c_thresh=c_bar,
    )  # fmt: skip
    return Corrected(*found)
