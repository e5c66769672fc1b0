"""How long categorical policies take: this library, torch.distributions, a copy of the bytes."""

import torch
from torch.distributions import Categorical, kl_divergence

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "categorical"
Tensor = torch.Tensor


def masked(logits: Tensor, legal: Tensor) -> Categorical:
    return Categorical(logits=logits.masked_fill(~legal, -torch.inf))


def torch_log_prob(logits: Tensor, actions: Tensor, legal: Tensor) -> Tensor:
    return masked(logits, legal).log_prob(actions)


def torch_entropy(logits: Tensor, legal: Tensor) -> Tensor:
    return masked(logits, legal).entropy()


def torch_kl(logits_p: Tensor, logits_q: Tensor, legal: Tensor) -> Tensor:
    return kl_divergence(masked(logits_p, legal), masked(logits_q, legal))


PEERS = {
    "categorical_log_prob": torch_log_prob,
    "categorical_entropy": torch_entropy,
    "categorical_kl": torch_kl,
}
