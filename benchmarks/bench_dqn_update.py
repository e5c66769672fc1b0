"""DQN's whole update, beside autograd with torch.optim.Adam and a copy of the bytes."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "dqn_update"


class Updated(NamedTuple):
    """Parameters and Adam's state."""

    parameters: Tensor
    first: Tensor
    second: Tensor
    count: Tensor


def module(vector: Tensor, sizes: tuple[int, ...]) -> nn.Sequential:
    """Return a vector of parameters as a module."""
    layers: list[nn.Module] = []
    for k in range(len(sizes) - 1):
        layers += [nn.ReLU()] * (k > 0)
        layers.append(nn.Linear(sizes[k], sizes[k + 1], dtype=vector.dtype))
    made = nn.Sequential(*layers)
    nn.utils.vector_to_parameters(vector.clone(), made.parameters())
    return made


def with_autograd(
    parameters: Tensor, target_parameters: Tensor, observations: Tensor, actions: Tensor,
    rewards: Tensor, next_observations: Tensor, terminated: Tensor, first: Tensor, second: Tensor,
    **knobs: Any,
) -> Updated:  # fmt: skip
    """Put the vectors into modules, call backward, clip and let torch.optim.Adam step."""
    assert knobs["double"]
    assert knobs["activation"] == "relu"
    assert knobs["count"] == 0
    assert not first.any()
    assert not second.any()
    network = module(parameters, knobs["sizes"])
    target = module(target_parameters, knobs["sizes"])
    adam = torch.optim.Adam(
        network.parameters(), lr=knobs["learning_rate"], betas=(knobs["beta1"], knobs["beta2"]),
        eps=knobs["eps"],
    )  # fmt: skip
    with torch.no_grad():
        best = network(next_observations).argmax(1, keepdim=True)
        worth = target(next_observations).gather(1, best)[:, 0]
        wanted = rewards + knobs["gamma"] * torch.where(terminated, 0, worth)
    values = network(observations).gather(1, actions[:, None])[:, 0]
    nn.functional.huber_loss(values, wanted, delta=knobs["huber"]).backward()
    norm = nn.utils.get_total_norm([weight.grad for weight in network.parameters()])
    if norm > knobs["max_norm"]:
        for weight in network.parameters():
            weight.grad *= knobs["max_norm"] / norm
    adam.step()
    state = [adam.state[weight] for weight in network.parameters()]
    moments = (torch.cat([each[x].flatten() for each in state]) for x in ("exp_avg", "exp_avg_sq"))
    moved = nn.utils.parameters_to_vector(network.parameters()).detach()
    return Updated(moved, *moments, moved.new_ones(()))


PEERS = {"dqn_update": with_autograd}
