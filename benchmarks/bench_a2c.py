"""How long A2C takes: its loss beside one written out, its update beside autograd, copies."""

from typing import Any

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401
from rlverify.contracts import _update_forms as forms
from rlverify.fast.a2c import A2cUpdate

TOPIC = "a2c"
Tensor = torch.Tensor


def textbook(
    log_probs: Tensor, advantages: Tensor, values: Tensor, returns: Tensor, entropies: Tensor,
    mask: Tensor, *, value_coefficient: float, entropy_coefficient: float,
) -> Tensor:  # fmt: skip
    """Select the real elements, then take three means."""
    policy = -(advantages[mask] * log_probs[mask]).mean()
    critic = 0.5 * (values[mask] - returns[mask]).square().mean()
    return policy + value_coefficient * critic - entropy_coefficient * entropies[mask].mean()


def autograd(**arguments: Any) -> A2cUpdate:
    """Take the gradient by autograd."""
    arrays = {k: v.numpy() if isinstance(v, Tensor) else v for k, v in arguments.items()}
    return A2cUpdate(*(torch.from_numpy(array) for array in forms.autograd_a2c(**arrays)))


PEERS = {"a2c_loss": textbook, "a2c_update": autograd}
