"""Losses and measures of PPO, beside what people write and a copy of the bytes."""

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "ppo"
Tensor = torch.Tensor


def masked_mean(terms: Tensor, mask: Tensor | None) -> Tensor:
    """Index what is real and average it."""
    return (terms if mask is None else terms[mask]).mean()


def textbook_clip(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor | None,
    *, clip_range: float,
) -> Tensor:  # fmt: skip
    """Clamp the ratio and take the larger loss."""
    ratio = (log_probs - old_log_probs).exp()
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return masked_mean(torch.max(-advantages * ratio, -advantages * clipped), mask)


def textbook_penalty(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, kl: Tensor, mask: Tensor | None,
    *, beta: float,
) -> Tensor:  # fmt: skip
    """Take the penalty off the surrogate."""
    return masked_mean(beta * kl - (log_probs - old_log_probs).exp() * advantages, mask)


def textbook_coefficient(
    beta: Tensor, kl: Tensor, *, target: float, band: float, factor: float
) -> Tensor:
    """Choose between three coefficients."""
    shrunk = torch.where(kl < target / band, beta / factor, beta)
    return torch.where(kl > target * band, beta * factor, shrunk)


def textbook_values(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor | None, *, clip_range: float
) -> Tensor:
    """Take the larger of two squared errors."""
    held = old_values + (values - old_values).clamp(-clip_range, clip_range)
    errors = torch.max((values - returns) ** 2, (held - returns) ** 2)
    return 0.5 * masked_mean(errors, mask)


def textbook_kl(
    log_probs: Tensor, old_log_probs: Tensor, mask: Tensor | None, *, estimator: str
) -> Tensor:
    """Write k3 with expm1: as eᵈ − 1 − d it would be too far off to be timed."""
    assert estimator == "k3"
    d = (log_probs - old_log_probs).double()
    return masked_mean(torch.expm1(d) - d, mask).to(log_probs.dtype)


def textbook_fraction(
    log_probs: Tensor, old_log_probs: Tensor, mask: Tensor | None, *, clip_range: float
) -> Tensor:
    """Count ratios further than ε from 1."""
    ratio = (log_probs - old_log_probs).exp()
    return masked_mean(((ratio - 1).abs() > clip_range).to(ratio.dtype), mask)


def textbook_explained(values: Tensor, returns: Tensor, mask: Tensor | None) -> Tensor:
    """Divide two variances."""
    if mask is not None:
        values, returns = values[mask], returns[mask]
    return 1 - (returns - values).var() / returns.var()


PEERS = {
    "ppo_clip_loss": textbook_clip,
    "ppo_penalty_loss": textbook_penalty,
    "adapt_kl_coefficient": textbook_coefficient,
    "clipped_value_loss": textbook_values,
    "approximate_kl": textbook_kl,
    "clip_fraction": textbook_fraction,
    "explained_variance": textbook_explained,
}
