"""Losses of policies as strangers write them; shared by tests of `bias`."""

from typing import Any

import torch

import rlverify


def judged(function: Any = None, **options: Any) -> Any:
    return rlverify.bias(function, table=False, **options)


def returns_to_go(rewards: Any, gamma: float) -> Any:
    powers = gamma ** torch.arange(len(rewards), dtype=rewards.dtype)[:, None]
    return (powers * rewards).flip(0).cumsum(0).flip(0)


def with_log_probs(log_probs, rewards, gamma):
    return -(log_probs * returns_to_go(rewards, gamma)).sum(0).mean()


def advantages_given(log_probs, advantages):
    return -(log_probs * advantages).sum(0).mean()
