"""Log-probabilities of tokens, beside a log-softmax of the whole vocabulary and a copy."""

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401

TOPIC = "token_log_probs"
Tensor = torch.Tensor


def log_softmax_gathered(
    logits: Tensor, tokens: Tensor, mask: Tensor, *, temperature: float
) -> Tensor:
    """Normalise the vocabulary at every position, then look the tokens up."""
    log_probs = (logits / temperature).log_softmax(-1)
    taken = log_probs.gather(-1, tokens.clamp(0, logits.shape[-1] - 1)[..., None])[..., 0]
    return torch.where(mask, taken, 0)


PEERS = {"selected_log_probs": log_softmax_gathered}
