"""Baselines, beside what people write and a copy of the bytes."""

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "baselines"
Tensor = torch.Tensor


def textbook_mean(returns: Tensor) -> Tensor:
    """Fill an array with the mean."""
    return torch.full_like(returns, returns.mean().item())


def textbook_leave_one_out(returns: Tensor) -> Tensor:
    """Take the own return off the sum."""
    return (returns.sum() - returns) / (len(returns) - 1)


def textbook_optimal(scores: Tensor, returns: Tensor, *, per_component: bool) -> Tensor:
    """Weigh returns by the squared norm of the score, as a matrix product."""
    assert not per_component
    norms = scores.square().sum(dim=1)
    return ((norms @ returns) / norms.sum()).repeat(scores.shape[1])


def textbook_value(states: Tensor, returns: Tensor) -> Tensor:
    """Add up in a table with a row for every state number."""
    totals = torch.zeros(int(states.max()) + 1, dtype=returns.dtype)
    counts = torch.bincount(states)
    return (totals.scatter_add(0, states, returns) / counts)[states]


PEERS = {
    "batch_mean_baseline": textbook_mean,
    "leave_one_out_baseline": textbook_leave_one_out,
    "variance_optimal_baseline": textbook_optimal,
    "value_baseline": textbook_value,
}
