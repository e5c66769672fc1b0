"""How long off-policy returns and V-trace take, beside loops over the rows and a copy."""

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401
from rlverify.fast.traces import Vtrace

TOPIC = "traces"
T = torch.Tensor


def row_by_row(
    rewards: T, q_taken: T, next_state_values: T, coefficients: T, terminated: T, truncated: T,
    *, gamma: float,
) -> T:  # fmt: skip
    """Correct the targets the way most code does, from the last row to the first."""
    returns, correction = torch.empty_like(rewards), torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        if t < len(rewards) - 1:
            going_on = ~(terminated[t] | truncated[t])
            correction = gamma * coefficients[t + 1] * going_on * correction
        bootstrap = next_state_values[t] * ~terminated[t]
        correction = rewards[t] + gamma * bootstrap - q_taken[t] + correction
        returns[t] = q_taken[t] + correction
    return returns


def retrace_loop(
    rewards: T, q_taken: T, next_state_values: T, log_ratios: T, terminated: T, truncated: T,
    *, gamma: float, lam: float,
) -> T:  # fmt: skip
    """Clip all ratios at once, then go row by row."""
    trust = lam * log_ratios.exp().clamp(max=1)
    return row_by_row(
        rewards, q_taken, next_state_values, trust, terminated, truncated, gamma=gamma
    )


def impala_loop(
    rewards: T, values: T, next_values: T, log_ratios: T, terminated: T, truncated: T, *,
    gamma: float, lam: float, rho_bar: float, c_bar: float, rho_bar_advantage: float,
) -> Vtrace:  # fmt: skip
    """Clip three times, go row by row, then shift the targets."""
    rho, cut = log_ratios.exp(), terminated | truncated
    bootstrap = next_values * ~terminated
    errors = rho.clamp(max=rho_bar) * (rewards + gamma * bootstrap - values)
    decay = gamma * lam * rho.clamp(max=c_bar) * ~cut
    targets, correction = torch.empty_like(rewards), torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        correction = errors[t] + decay[t] * correction
        targets[t] = values[t] + correction
    later = torch.where(cut[:-1], bootstrap[:-1], targets[1:])
    following = torch.cat([later, bootstrap[-1:]])
    acting = rho.clamp(max=rho_bar_advantage)
    return Vtrace(targets, acting * (rewards + gamma * following - values))


PEERS = {"off_policy_return": row_by_row, "retrace": retrace_loop, "vtrace": impala_loop}
