"""How long advantages take: this library, a loop over the rows in PyTorch, a copy of the bytes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from racing import clocked
from rlverify.fast import advantages as fast
from rlverify.reference import advantages as reference

pytestmark = clocked

GAMMA, LAM, N, EPS = 0.99, 0.95, 5, 1e-8
# what the reference is given: the numbers as float32 holds them
EXACT = {"gamma": float(np.float32(GAMMA)), "lam": float(np.float32(LAM)), "n": N}
KNOBS = {
    "gae": ["gamma", "lam"],
    "monte_carlo_advantage": ["gamma"],
    "n_step_advantage": ["gamma", "n"],
}
UNIT = float(np.finfo(np.float32).eps) / 2


@pytest.mark.parametrize("name", KNOBS)
def test_fast(
    name: str, recording: tuple, bound: np.ndarray, judge: Callable, timed: Callable
) -> None:
    knobs = {knob: {"gamma": GAMMA, "lam": LAM, "n": N}[knob] for knob in KNOBS[name]}
    function = getattr(fast, name)
    exact = getattr(reference, name)(*recording.columns(), **{knob: EXACT[knob] for knob in knobs})
    for computed, right in zip(function(*recording, **knobs), exact, strict=True):
        judge(computed[:, : right.shape[1]], right, bound)
    timed(name, lambda: function(*recording, **knobs))


@pytest.mark.parametrize("name", KNOBS)
def test_copy(name: str, copied: Callable) -> None:
    copied(name, words=5, flags=2)


def row_by_row(
    rewards: torch.Tensor,
    values: torch.Tensor,
    next_values: torch.Tensor,
    terminated: torch.Tensor,
    truncated: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return GAE and returns the way most code computes them."""
    advantages = torch.empty_like(rewards)
    following = torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + GAMMA * next_values[t] * ~terminated[t] - values[t]
        following = delta + GAMMA * LAM * ~(terminated[t] | truncated[t]) * following
        advantages[t] = following
    return advantages, advantages + values


def test_loop(recording: tuple, bound: np.ndarray, judge: Callable, timed: Callable) -> None:
    exact = reference.gae(*recording.columns(), gamma=EXACT["gamma"], lam=EXACT["lam"])
    for computed, right in zip(row_by_row(*recording), exact, strict=True):
        judge(computed[:, : right.shape[1]], right, bound)
    timed("gae", lambda: row_by_row(*recording))


@pytest.mark.parametrize("masked", [False, True], ids=["all real", "masked"])
def test_sequences(
    masked: bool, recording: tuple, sequence_bound: Callable, judge: Callable, timed: Callable
) -> None:
    # the columns are the sequences
    rewards, values = recording.rewards.T.contiguous(), recording.values.T.contiguous()
    mask = torch.rand(rewards.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    mask[:, 0] = True
    given = mask if masked else None
    few = [array.T for array in recording.columns()[:2]]
    real = mask[: len(few[0])].numpy() if masked else np.ones(few[0].shape, dtype=bool)
    exact = reference.sequence_gae(*few, real, gamma=EXACT["gamma"], lam=EXACT["lam"])
    result = fast.sequence_gae(rewards, values, given, gamma=GAMMA, lam=LAM)
    radius = sequence_bound(*few, real)
    for computed, right in zip(result, exact, strict=True):
        judge(computed[: len(few[0])][torch.tensor(real)], right[real], radius[real])
    timed("sequence_gae", lambda: fast.sequence_gae(rewards, values, given, gamma=GAMMA, lam=LAM))


@pytest.mark.parametrize("masked", [False, True], ids=["all real", "masked"])
def test_normalization(masked: bool, recording: tuple, judge: Callable, timed: Callable) -> None:
    advantages = recording.rewards
    mask = recording.values > -1 if masked else None
    # the sums run over everything, so the judged slice is normalised by itself
    part, real = recording.columns()[0], recording.columns()[1] > -1
    exact = reference.normalize_advantages(part, real if masked else None, ddof=0, eps=EPS)
    few = torch.tensor(part, dtype=torch.float32)
    small = fast.normalize_advantages(few, torch.tensor(real) if masked else None, ddof=0, eps=EPS)
    kept = part[real] if masked else part.ravel()
    # n roundings in each sum; then as in any quotient: those of the deviation scale the result
    total = len(kept) * UNIT / (1 - len(kept) * UNIT)
    centred = np.abs(part - kept.mean())
    moved = UNIT * (np.abs(part) + abs(kept.mean())) + (total + UNIT) * np.abs(kept).mean()
    spread = np.abs(kept - kept.mean())
    slack = UNIT * (np.abs(kept) + abs(kept.mean())) + (total + UNIT) * np.abs(kept).mean()
    relative = (spread * slack).sum() / (spread**2).sum() + total + 4 * UNIT
    radius = (moved + centred * relative) / kept.std() / (1 - relative)
    shown = real if masked else np.ones(part.shape, dtype=bool)
    judge(small[torch.tensor(shown)], exact[shown], radius[shown])
    timed(
        "normalize_advantages",
        lambda: fast.normalize_advantages(advantages, mask, ddof=0, eps=EPS),
    )


def test_copied_sequences(copied: Callable) -> None:
    copied("sequence_gae", words=4, flags=1)


def test_copied_normalization(copied: Callable) -> None:
    copied("normalize_advantages", words=2, flags=1)
