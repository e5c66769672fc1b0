"""Initialisation, beside what people write and a copy of the bytes."""

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "initializers"


def textbook(normals: torch.Tensor, *, gain: float) -> torch.Tensor:
    """Factorise, and multiply by the signs of the diagonal."""
    q, r = torch.linalg.qr(normals)
    return gain * q * torch.sign(torch.diag(r))


PEERS = {"orthogonal": textbook}
