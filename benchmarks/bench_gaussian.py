"""How long Gaussian policies take: this library, torch.distributions, a copy of the bytes."""

import torch
from torch.distributions import Normal, kl_divergence

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "gaussian"
T = torch.Tensor


def policy(mean: T, log_std: T) -> Normal:
    return Normal(mean, log_std.exp(), validate_args=False)


def torch_log_prob(mean: T, log_std: T, actions: T) -> T:
    return policy(mean, log_std).log_prob(actions).sum(-1)


def torch_entropy(log_std: T) -> T:
    return policy(torch.zeros_like(log_std), log_std).entropy().sum(-1)


def torch_kl(mean_p: T, log_std_p: T, mean_q: T, log_std_q: T) -> T:
    return kl_divergence(policy(mean_p, log_std_p), policy(mean_q, log_std_q)).sum(-1)


def torch_sample(mean: T, log_std: T, normals: T) -> T:
    return mean + log_std.exp() * normals


PEERS = {
    "gaussian_log_prob": torch_log_prob,
    "gaussian_entropy": torch_entropy,
    "gaussian_kl": torch_kl,
    "gaussian_sample": torch_sample,
}
