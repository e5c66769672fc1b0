"""Tables and grids, beside what people write and a copy of the bytes."""

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "tabular_q"
Tensor = torch.Tensor


def tutorial(
    q_values: Tensor,
    states: Tensor,
    actions: Tensor,
    rewards: Tensor,
    next_states: Tensor,
    terminated: Tensor,
    gamma: float,
    step_size: float,
) -> Tensor:
    """Index a NumPy table in a loop, as tutorials do."""
    tables = q_values.numpy().copy()
    lists = [x.tolist() for x in (states, actions, rewards, next_states, terminated)]
    for table, *walk in zip(tables, *lists, strict=True):
        for state, action, reward, after, ended in zip(*walk, strict=True):
            greatest = 0.0 if ended else table[after].max()
            error = reward + gamma * greatest - table[state, action]
            table[state, action] += step_size * error
    return torch.from_numpy(tables)


def bucketized(observations: Tensor, edges: Tensor) -> Tensor:
    """Bucketize one component after another."""
    cells = torch.zeros(observations.shape[:-1], dtype=torch.int64)
    for d, row in enumerate(edges):
        below = torch.bucketize(observations[..., d].contiguous(), row, right=True)
        cells = cells * (len(row) + 1) + below
    return cells


PEERS = {"tabular_q_update": tutorial, "discretize": bucketized}
