"""How long TD(λ) takes, beside a table for each column in turn and a copy of the bytes."""

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "td_lambda"
T = torch.Tensor


def dense(
    states: T, rewards: T, next_states: T, terminated: T, truncated: T, initial_values: T, *,
    gamma: float, lam: float, step_size: float, online: bool, traces: str,
) -> T:  # fmt: skip
    """Write visits as rows of an identity matrix, and every trace out."""
    assert online
    assert traces == "accumulating"
    table = initial_values[:, None].repeat(1, rewards.shape[1])
    eligible, rows = torch.zeros_like(table), torch.eye(len(table), dtype=table.dtype)
    for t in range(len(rewards)):
        visit, after = rows[states[t]].T, rows[next_states[t]].T
        eligible = eligible + visit
        bootstrap = (after * table).sum(0) * ~terminated[t]
        error = rewards[t] + gamma * bootstrap - (visit * table).sum(0)
        table = table + step_size * error * eligible
        eligible = gamma * lam * eligible * ~(terminated[t] | truncated[t])
    return table


PEERS = {"td_lambda": dense}
