"""Replay, beside what people write and a copy of the bytes."""

from collections import deque

import torch

from racing import test_copy, test_fast, test_peer  # noqa: F401
from rlverify.fast.replay import Transitions

TOPIC = "replay"
Tensor = torch.Tensor


def deque_of_tuples(
    observations: Tensor,
    actions: Tensor,
    rewards: Tensor,
    next_observations: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    picks: Tensor,
    rows: int,
    shared: bool,
) -> Transitions:
    """Keep tuples in a deque and stack what is picked, as tutorials do."""
    columns = actions.shape[1]
    kept: deque[tuple[Tensor, ...]] = deque(maxlen=rows * columns)
    fields = (observations, actions, rewards, next_observations, terminated)
    kept.extend(zip(*(array.flatten(0, 1) for array in fields), strict=True))
    drawn = [kept[k] for k in picks.tolist()]
    return Transitions(*(torch.stack(field) for field in zip(*drawn, strict=True)))


PEERS = {"replay_transitions": deque_of_tuples}
