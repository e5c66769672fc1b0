"""REINFORCE's whole update, beside autograd with torch.optim.Adam and a copy of the bytes."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "reinforce"


class Updated(NamedTuple):
    """Parameters and Adam's state."""

    parameters: Tensor
    first: Tensor
    second: Tensor
    count: Tensor


def with_autograd(
    parameters: Tensor, inputs: Tensor, actions: Tensor, weights: Tensor, first: Tensor,
    second: Tensor, **knobs: Any,
) -> Updated:  # fmt: skip
    """Put the vector into a module, call backward and let torch.optim.Adam step."""
    sizes, layers = knobs["sizes"], []
    for k in range(len(sizes) - 1):
        layers += [nn.Tanh()] * (k > 0)
        layers.append(nn.Linear(sizes[k], sizes[k + 1], dtype=parameters.dtype))
    policy = nn.Sequential(*layers)
    nn.utils.vector_to_parameters(parameters.clone(), policy.parameters())
    adam = torch.optim.Adam(
        policy.parameters(), lr=knobs["learning_rate"], betas=(knobs["beta1"], knobs["beta2"]),
        eps=knobs["eps"],
    )  # fmt: skip
    assert knobs["count"] == 0
    assert not first.any()
    assert not second.any()
    log_probs = torch.log_softmax(policy(inputs), dim=-1)
    loss = -(weights * log_probs.gather(1, actions[:, None])[:, 0]).mean()
    loss.backward()
    adam.step()
    state = [adam.state[weight] for weight in policy.parameters()]
    moments = (torch.cat([each[x].flatten() for each in state]) for x in ("exp_avg", "exp_avg_sq"))
    moved = nn.utils.parameters_to_vector(policy.parameters()).detach()
    return Updated(moved, *moments, moved.new_ones(()))


PEERS = {"reinforce_update": with_autograd}
