"""Advantages with mean 0 and deviation 1, as people write it."""

import numpy as np
import torch
from torch.nn import functional


def torch_std(mb_advantages: torch.Tensor):
    """Divide by the sample deviation plus 1e-8, as CleanRL and Stable-Baselines3."""
    return (mb_advantages - mb_advantages.mean()) / (mb_advantages.std() + 1e-8)


def numpy_std(advs):
    """Divide by the population deviation plus 1e-8, as baselines and Spinning Up."""
    return (advs - advs.mean()) / (advs.std() + 1e-8)


def with_knobs(advantages, correction, eps):
    """Have both knobs."""
    return (advantages - advantages.mean()) / (advantages.std(correction=correction) + eps)


def torch_var(values):
    """Multiply with the reciprocal root of variance plus 1e-8, as trl's and verl's whitening."""
    return (values - values.mean()) * torch.rsqrt(values.var() + 1e-8)


def clamped(advantage):
    """Divide by the deviation, but not by less than 1e-6, as torchrl."""
    return (advantage - advantage.mean()) / advantage.std().clamp_min(1e-6)


def masked(advantages, mask):
    """Take moments of what is real."""
    real = advantages[mask]
    return torch.where(mask, (advantages - real.mean()) / (real.std() + 1e-8), 0.0)


def masked_rsqrt(values, mask):
    """Whiten what is real, as trl and verl."""
    kept = torch.where(mask, values, 0.0)
    count = mask.sum()
    mean = kept.sum() / count
    variance = torch.where(mask, (kept - mean) ** 2, 0.0).sum() / count * count / (count - 1)
    return torch.where(mask, (kept - mean) * torch.rsqrt(variance + 1e-8), 0.0)


def layer_norm(advantages):
    """Let a library do it: population variance, ε under the root."""
    return functional.layer_norm(advantages, advantages.shape, eps=1e-5)


def no_epsilon(atarg):
    """Divide by the deviation alone, as baselines' TRPO."""
    return (atarg - atarg.mean()) / atarg.std()


def along_one_axis(advantages):
    """Take moments of each column."""
    return (advantages - advantages.mean(0)) / (advantages.std(0, correction=0) + 1e-8)


def blind_to_padding(advantages, mask):
    """Take moments of padding too."""
    found = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    return torch.where(mask, found, 0.0)


def multiplied(advantages, mask):
    """Multiply with the mask."""
    count = mask.sum()
    mean = (advantages * mask).sum() / count
    spread = (((advantages - mean) * mask) ** 2).sum() / (count - 1)
    return (advantages - mean) / (spread.sqrt() + 1e-8) * mask


def divided_by_all(advantages, mask):
    """Divide masked sums by the number of all elements."""
    kept = torch.where(mask, advantages, 0.0)
    mean = kept.mean()
    spread = torch.where(mask, (kept - mean) ** 2, 0.0).mean()
    return torch.where(mask, (kept - mean) / (spread.sqrt() + 1e-8), 0.0)


def squares_less_mean_square(advs):
    """Take the variance as E[x²] − E[x]²."""
    mean = advs.mean()
    return (advs - mean) / (np.sqrt(np.maximum((advs**2).mean() - mean**2, 0)) + 1e-8)


def not_used(advantages):
    """Standardise, and return what came."""
    _standardised = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    return advantages.clone()
