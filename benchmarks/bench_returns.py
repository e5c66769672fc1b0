"""How long returns take: this library, a loop over the rows in PyTorch, a copy of the bytes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from racing import clocked
from rlverify.fast import returns as fast
from rlverify.fast.scan import STRATEGIES, reverse_linear_recurrence
from rlverify.reference import returns as reference

pytestmark = clocked

GAMMA, LAM, N = 0.99, 0.95, 5
# what the reference is given: the numbers as float32 holds them
EXACT = {"gamma": float(np.float32(GAMMA)), "lam": float(np.float32(LAM)), "n": N}
READS = {"td_error": [0, 1, 2, 3]}  # places in a recording; the others read no values
KNOBS = {
    "td_error": ["gamma"],
    "discounted_return": ["gamma"],
    "n_step_return": ["gamma", "n"],
    "lambda_return": ["gamma", "lam"],
}


@pytest.mark.parametrize("name", KNOBS)
def test_fast(
    name: str, recording: tuple, bound: np.ndarray, judge: Callable, timed: Callable
) -> None:
    places = READS.get(name, [0, 2, 3, 4])
    arrays = [recording[place] for place in places]
    knobs = {knob: {"gamma": GAMMA, "lam": LAM, "n": N}[knob] for knob in KNOBS[name]}
    function = getattr(fast, name)
    columns = recording.columns()
    exact = getattr(reference, name)(
        *(columns[place] for place in places), **{knob: EXACT[knob] for knob in knobs}
    )
    judge(function(*arrays, **knobs)[:, : exact.shape[1]], exact, bound)
    timed(name, lambda: function(*arrays, **knobs))


@pytest.mark.parametrize("name", KNOBS)
def test_copy(name: str, copied: Callable) -> None:
    copied(name, words=4 if name == "td_error" else 3, flags=1 if name == "td_error" else 2)


def row_by_row(
    rewards: torch.Tensor,
    next_values: torch.Tensor,
    terminated: torch.Tensor,
    truncated: torch.Tensor,
) -> torch.Tensor:
    """Return discounted returns the way most code computes them."""
    returns = torch.empty_like(rewards)
    following = next_values[-1]
    for t in reversed(range(len(rewards))):
        following = torch.where(truncated[t], next_values[t], following)
        following = rewards[t] + GAMMA * following * ~terminated[t]
        returns[t] = following
    return returns


def test_loop(recording: tuple, bound: np.ndarray, judge: Callable, timed: Callable) -> None:
    rewards, _, *others = recording
    columns = recording.columns()
    exact = reference.discounted_return(columns[0], *columns[2:], gamma=EXACT["gamma"])
    judge(row_by_row(rewards, *others)[:, : exact.shape[1]], exact, bound)
    timed("discounted_return", lambda: row_by_row(rewards, *others))


@pytest.mark.parametrize("kind", ["number", "array"])
@pytest.mark.parametrize("strategy", [*STRATEGIES, None])
def test_scan(
    strategy: str | None,
    kind: str,
    recording: tuple,
    bound: np.ndarray,
    judge: Callable,
    timed: Callable,
) -> None:
    cut = recording.terminated | recording.truncated
    decay = GAMMA if kind == "number" else torch.full_like(recording.rewards, GAMMA)
    zeros = np.zeros_like(recording.columns()[0])
    ends = recording.columns()[3] | recording.columns()[4]
    # nothing follows a cut: the discounted return of an episode that terminates there
    ends[-1] = True
    exact = reference.discounted_return(
        recording.columns()[0], zeros, ends, ends, gamma=EXACT["gamma"]
    )
    y = reverse_linear_recurrence(recording.rewards, decay, cut, strategy=strategy)
    judge(y[:, : exact.shape[1]], exact, bound)
    timed(
        f"scan, {kind}",
        lambda: reverse_linear_recurrence(recording.rewards, decay, cut, strategy=strategy),
    )
