"""Comparison of policies, beside a difference of two solved objectives and a copy of the bytes."""

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "policy_comparison"
Tensor = torch.Tensor


def two_objectives(
    transition: Tensor, reward: Tensor, terminal: Tensor, start: Tensor, policy: Tensor,
    old_policy: Tensor, *, gamma: float,
) -> Tensor:  # fmt: skip
    """Solve both systems and subtract, in float64: in float32 the difference would cancel."""
    goes = torch.where(terminal, 0, transition).double()
    pays = (transition * reward).sum(-1).double()

    def objective(table: Tensor) -> Tensor:
        chain = torch.einsum("sa,sai->si", table, goes)
        matrix = torch.eye(len(table), dtype=torch.float64) - gamma * chain
        return start.double() @ torch.linalg.solve(matrix, (table * pays).sum(-1))

    return (objective(policy.double()) - objective(old_policy.double())).to(policy.dtype)


PEERS = {"performance_difference": two_objectives}
