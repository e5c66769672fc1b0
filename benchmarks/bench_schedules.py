"""Schedules, beside what people write and a copy of the bytes."""

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "schedules"


def textbook(step: torch.Tensor, *, start: float, end: float, steps: float) -> torch.Tensor:
    """Mix both ends."""
    return torch.lerp(torch.tensor(start), torch.tensor(end), (step / steps).clamp(0, 1))


PEERS = {"linear_schedule": textbook}
