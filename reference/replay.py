"""Replay: the last transitions of several environments, kept to be drawn from again.

A buffer keeps the last R rows; a row holds one transition of each of B environments. Where a
full buffer is written to, the oldest row goes. What is kept is numbered by age: pick k is
column k mod B of the ⌊k/B⌋-th oldest row.  The identity to remember: whatever is picked was
pushed just so, as one whole; it is never made of two transitions.

An episode that was cut by a time limit is stored as not terminated, with the observation it
really reached: a target bootstraps from that, and never from the reset. Storage may be `shared`:
the next observation of a row then is the observation of the row after it. That saves half of
the memory, and is right only with three exceptions: where an episode ended, for the newest row,
and where the row after has been written over.

    >>> zeros, off = np.zeros(1), np.array([False])
    >>> buffer = ReplayBuffer(rows=2, shared=False)
    >>> for t in (1.0, 2.0, 3.0):
    ...     here, there = np.array([[t]]), np.array([[t + 1]])
    ...     buffer.push(here, np.array([0]), zeros, there, off, off)
    >>> buffer.read(np.array([0, 1])).next_observations.tolist()
    [[3.0], [4.0]]
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.refusals import as_before, continued, not_empty


class Transitions(NamedTuple):
    """Transitions that were read.

    Attributes:
        observations: s, [M, D].
        actions: a, [M].
        rewards: r, [M].
        next_observations: s′ before any reset, [M, D].
        terminated: True where the episode ended in s′, [M]; not where it was cut.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_observations: np.ndarray
    terminated: np.ndarray


def replay_transitions(
    observations: Float[np.ndarray, "T B D"],
    actions: Int[np.ndarray, "T B"],
    rewards: Float[np.ndarray, "T B"],
    next_observations: Float[np.ndarray, "T B D"],
    terminated: Bool[np.ndarray, "T B"],
    truncated: Bool[np.ndarray, "T B"],
    picks: Int[np.ndarray, "M"],
    *,
    rows: int,
    shared: bool,
) -> Transitions:
    """What is read from a buffer of R rows that T rows have been pushed to.

        pick k  →  (s, a, r, s′, terminated) of row T − min(T, R) + ⌊k/B⌋, column k mod B

    Source: Lin 1992; Mnih et al. 2015, methods, algorithm 1.
    Ours: rows for several environments; picks count from the oldest row that is kept.

    Args:
        observations: s of each step.
        actions: a.
        rewards: r.
        next_observations: s′ before any reset: the final observation where an episode ended.
        terminated: True where the episode ended in s′.
        truncated: True where it was cut; decides nothing but that another episode follows.
        picks: what is read.
        rows: R, how many rows are kept.
        shared: whether next observations are kept as observations of the row after.

    Returns:
        `observations`, `actions`, `rewards`, `next_observations`, `terminated`, one a pick. No
        gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a pick is out of range, or storage is shared and an
            observation is not what the step before led to.

    Example:
        >>> path = np.array([[[1.0]], [[2.0]]])
        >>> zeros, off = np.zeros((2, 1), dtype=np.int64), np.array([[False], [False]])
        >>> newest = replay_transitions(
        ...     path, zeros, 0.5 * zeros, path + 1, off, off, np.array([1]), rows=2, shared=True
        ... )
        >>> newest.next_observations
        array([[3.]])
    """
    check = Arguments("replay_transitions", np.ndarray, exact=True)
    check.floats("T B D", observations=observations)
    check.integers("T B", least=0, actions=actions)
    check.floats("T B", rewards=rewards)
    check.floats("T B D", next_observations=next_observations)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.count("rows", rows, least=1)
    check.switch(shared=shared)
    steps, columns = rewards.shape
    kept = min(steps, rows)
    check.actions("M", below=kept * columns, picks=picks)
    if shared:
        continued(check, observations, next_observations, terminated | truncated)

    read = Transitions(
        np.empty((len(picks), observations.shape[2]), dtype=observations.dtype),
        np.empty(len(picks), dtype=np.int64),
        np.empty(len(picks), dtype=rewards.dtype),
        np.empty((len(picks), observations.shape[2]), dtype=observations.dtype),
        np.empty(len(picks), dtype=bool),
    )
    for m in range(len(picks)):
        t, b = steps - kept + picks[m] // columns, picks[m] % columns
        read.observations[m] = observations[t, b]
        read.actions[m] = actions[t, b]
        read.rewards[m] = rewards[t, b]
        read.next_observations[m] = next_observations[t, b]
        read.terminated[m] = terminated[t, b]
    return read


class ReplayBuffer:
    """A buffer as a plain list of rows: what the fast one is held against.

    Args:
        rows: R, how many rows are kept.
        shared: whether pushes must continue what was pushed before; memory is not saved here.
    """

    def __init__(self, *, rows: int, shared: bool) -> None:
        check = Arguments("ReplayBuffer", np.ndarray)
        check.count("rows", rows, least=1)
        check.switch(shared=shared)
        self.rows = rows
        self.shared = shared
        self.kept: list[tuple[np.ndarray, ...]] = []

    def __len__(self) -> int:
        """Return how many transitions can be read."""
        return len(self.kept) * len(self.kept[0][1]) if self.kept else 0

    def push(
        self,
        observations: Float[np.ndarray, "B D"],
        actions: Int[np.ndarray, "B"],
        rewards: Float[np.ndarray, "B"],
        next_observations: Float[np.ndarray, "B D"],
        terminated: Bool[np.ndarray, "B"],
        truncated: Bool[np.ndarray, "B"],
    ) -> None:
        """Keep a row; the oldest goes where there are more than R.

        Raises:
            TypeError: an argument is of the wrong kind or dtype.
            ValueError: shapes disagree with each other or with the rows before, or storage is
                shared and an observation is not what the row before led to.
        """
        check = Arguments("ReplayBuffer", np.ndarray)
        check.floats("B D", observations=observations)
        check.integers("B", least=0, actions=actions)
        check.floats("B", rewards=rewards)
        check.floats("B D", next_observations=next_observations)
        check.flags("B", terminated=terminated, truncated=truncated)
        if self.kept:
            as_before(check, observations, self.kept[0][0].shape)
        row = (observations, actions, rewards, next_observations, terminated, truncated)
        if self.shared and self.kept:
            last = self.kept[-1]
            continued(
                check,
                np.stack([last[0], observations]),
                np.stack([last[3], next_observations]),
                np.stack([last[4] | last[5], terminated]),
            )
        self.kept.append(tuple(np.array(array) for array in row))
        del self.kept[: -self.rows]

    def read(self, picks: Int[np.ndarray, "M"]) -> Transitions:
        """Return transitions by age, the oldest row first."""
        check = Arguments("ReplayBuffer", np.ndarray)
        not_empty(check, len(self))
        check.actions("M", below=len(self), picks=picks)
        columns = len(self.kept[0][1])
        rows = [[each[k % columns] for each in self.kept[k // columns]] for k in picks]
        return Transitions(*(np.array([row[j] for row in rows]) for j in range(5)))

    def sample(self, count: int, generator: np.random.Generator) -> Transitions:
        """Return transitions drawn evenly, with replacement.

        Raises:
            ValueError: nothing was pushed yet, or fewer than one is asked for.
        """
        check = Arguments("ReplayBuffer", np.ndarray)
        check.count("count", count, least=1)
        not_empty(check, len(self))
        return self.read(generator.integers(0, len(self), count))
