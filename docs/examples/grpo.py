"""GRPO as a trainer writes it: the answers to one prompt, a reward for each, token by token.

All arrays are [B, L] here: `rlverify bias --layout batch-major` hands them over so.
"""

import torch


def loss(log_probs: torch.Tensor, rewards: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Divide by the deviation of the group and by the length of each answer."""
    scores = rewards.sum(dim=1)
    advantages = (scores - scores.mean()) / (scores.std() + 1e-4)
    per_token = -(log_probs - log_probs.detach()).exp() * advantages[:, None]
    return ((per_token * mask).sum(dim=1) / mask.sum(dim=1)).mean()
