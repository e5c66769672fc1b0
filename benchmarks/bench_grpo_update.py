"""GRPO's whole update, beside autograd with torch.optim.Adam and a copy of the bytes."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "grpo_update"


class Updated(NamedTuple):
    """Parameters and Adam's state."""

    parameters: Tensor
    first: Tensor
    second: Tensor
    count: Tensor


def with_autograd(
    parameters: Tensor, inputs: Tensor, actions: Tensor, old_log_probs: Tensor,
    reference_log_probs: Tensor, advantages: Tensor, mask: Tensor, permutations: Tensor,
    first: Tensor, second: Tensor, **knobs: Any,
) -> Updated:  # fmt: skip
    """Compute padded tokens too and select at the end; backward, clip and step by torch."""
    assert (knobs["kl_estimator"], knobs["ratio"], knobs["aggregation"]) == (
        "k3", "token", "token_mean",
    )  # fmt: skip
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
    low, high, steps = 1 - knobs["clip_range"], 1 + knobs["clip_range"], 0
    for order in permutations:
        for rows in order.split(knobs["minibatch_size"]):
            log_probs = torch.log_softmax(policy(inputs[rows]), dim=-1)
            now, gain = log_probs.gather(2, actions[rows][..., None])[..., 0], advantages[rows]
            ratios, d = (now - old_log_probs[rows]).exp(), reference_log_probs[rows] - now
            losses = -torch.min(ratios * gain[:, None], ratios.clamp(low, high) * gain[:, None])
            losses = losses + knobs["beta"] * (d.exp() - d - 1)
            loss = torch.where(mask[rows], losses, 0).sum() / mask[rows].sum()
            adam.zero_grad()
            loss.backward()
            norm = nn.utils.get_total_norm([weight.grad for weight in policy.parameters()])
            if norm > knobs["max_norm"]:
                for weight in policy.parameters():
                    weight.grad *= knobs["max_norm"] / norm
            adam.step()
            steps += 1
    state = [adam.state[weight] for weight in policy.parameters()]
    moments = (torch.cat([each[x].flatten() for each in state]) for x in ("exp_avg", "exp_avg_sq"))
    moved = nn.utils.parameters_to_vector(policy.parameters()).detach()
    return Updated(moved, *moments, moved.new_full((), steps))


PEERS = {"grpo_update": with_autograd}
