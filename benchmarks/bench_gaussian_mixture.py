"""How long Gaussian mixtures take: this library, torch.distributions, a copy of the bytes."""

import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "gaussian_mixture"


def torch_log_prob(
    logits: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor, actions: torch.Tensor
) -> torch.Tensor:
    components = Independent(Normal(mean, log_std.exp(), validate_args=False), 1)
    return MixtureSameFamily(Categorical(logits=logits), components).log_prob(actions)


PEERS = {"gaussian_mixture_log_prob": torch_log_prob}
