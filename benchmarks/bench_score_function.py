"""Score-function losses and REINFORCE weights, beside what people write and a copy of the bytes."""

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "score_function"
Tensor = torch.Tensor


def textbook_loss(log_probs: Tensor, weights: Tensor, mask: Tensor | None) -> Tensor:
    """Select, multiply, sum over time, mean over columns."""
    terms = log_probs * weights
    if mask is not None:
        terms = torch.where(mask, terms, 0)
    return -terms.sum(dim=0).mean()


def textbook_importance(
    log_probs: Tensor, behaviour_log_probs: Tensor, weights: Tensor, mask: Tensor | None
) -> Tensor:
    """Form the ratio everywhere, then select."""
    terms = torch.exp(log_probs - behaviour_log_probs) * weights
    if mask is not None:
        terms = torch.where(mask, terms, 0)
    return -terms.sum(dim=0).mean()


def textbook_likelihood(log_probs: Tensor, mask: Tensor | None) -> Tensor:
    """Index what is real and average it."""
    return -(log_probs if mask is None else log_probs[mask]).mean()


def textbook_entropy(entropies: Tensor, mask: Tensor | None) -> Tensor:
    """Index what is real and average it."""
    return (entropies if mask is None else entropies[mask]).mean()


def textbook_weights(
    rewards: Tensor, terminated: Tensor, truncated: Tensor, start_steps: Tensor,
    *, gamma: float, to_go: bool, discount_states: bool,
) -> Tensor:  # fmt: skip
    """Loop backwards over the rows for returns to go, forwards for γᵏ."""
    assert to_go
    assert discount_states
    running = (~(terminated | truncated)).to(rewards.dtype)
    weights, following = torch.empty_like(rewards), torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        following = rewards[t] + gamma * running[t] * following
        weights[t] = following
    step = start_steps.to(rewards.dtype)
    for t in range(len(rewards)):
        weights[t] *= gamma**step
        step = (step + 1) * running[t]
    return weights


PEERS = {
    "policy_gradient_loss": textbook_loss,
    "importance_weighted_loss": textbook_importance,
    "log_likelihood_loss": textbook_likelihood,
    "entropy_bonus": textbook_entropy,
    "reinforce_weights": textbook_weights,
}
