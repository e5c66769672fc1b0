"""How long squashed Gaussian policies take: this library, torch.distributions, a copy."""

import torch
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "tanh_gaussian"
T = torch.Tensor


def torch_log_prob(mean: T, log_std: T, pre_tanh: T) -> T:
    squash = TanhTransform(cache_size=1)  # remembers u, or artanh of the action would be taken
    normal = Normal(mean, log_std.exp(), validate_args=False)
    policy = TransformedDistribution(normal, [squash], validate_args=False)
    return policy.log_prob(squash(pre_tanh)).sum(-1)


PEERS = {"tanh_gaussian_log_prob": torch_log_prob}
