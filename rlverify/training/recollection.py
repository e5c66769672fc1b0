"""Recollection: environments whose transitions are kept, to be learnt from again and again.

The memory is a replay buffer of the suite, the reference's or the fast one: a backend makes it.
What is kept is part of where a run is, so it is saved with the environments, and pushed again row
by row when the run goes on: numbered by age, as picks are, it is the same memory then.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.training.collection import Experience
from rlverify.training.interaction import Environments, Position, Problem

PREFIX = "memory_"  # of its arrays among those of a position


class Recalled(NamedTuple):
    """M transitions out of a memory, as arrays of NumPy.

    Attributes:
        observations: s, [M, I].
        actions: a, [M].
        rewards: r, [M].
        next_observations: s′ of the same episode, also where it ended, [M, I].
        terminated: the episode ended by itself in s′, [M]; False where a time limit cut it.
    """

    observations: Float[np.ndarray, "M I"]
    actions: Int[np.ndarray, "M"]
    rewards: Float[np.ndarray, "M"]
    next_observations: Float[np.ndarray, "M I"]
    terminated: Bool[np.ndarray, "M"]


class Memory(Protocol):
    """A replay buffer that takes and gives arrays of NumPy."""

    def __len__(self) -> int:
        """Return how many transitions can be read."""

    def push(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        next_observations: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> None:
        """Keep one transition of each environment."""

    def read(self, picks: np.ndarray) -> Any:
        """Return transitions by age, the oldest row first; fields as of `Recalled`."""


class RememberingEnvironments(Environments):
    """Environments side by side, and what they went through.

    Attributes:
        memory: their replay buffer.
    """

    def __init__(self, problem: Problem, columns: int, seed: int, memory: Memory) -> None:
        super().__init__(problem, columns, seed)
        self.memory = memory

    def remember(self, taken: Experience) -> None:
        """Keep every step of an experience, the final observations of episodes among them."""
        for row in zip(
            taken.observations, taken.actions, taken.rewards, taken.next_observations,
            taken.terminated, taken.truncated, strict=True,
        ):  # fmt: skip
            self.memory.push(*row)

    def recall(self, picks: np.ndarray) -> Recalled:
        """Return transitions by age, the oldest row first."""
        return Recalled(*self.memory.read(picks))

    def position(self) -> Position:
        """Return where every column is and what is remembered, as arrays that `restore` takes."""
        found = super().position()
        if len(self.memory):
            kept = self.recall(np.arange(len(self.memory)))
            found |= {PREFIX + name: array for name, array in kept._asdict().items()}
        return found

    def restore(self, position: Position) -> None:
        """Play the open episodes again, and remember what was remembered.

        Raises:
            ValueError: an environment did not come back to where it was.
        """
        super().restore(position)
        kept = {name: position.get(PREFIX + name) for name in Recalled._fields}
        rows = [
            None if array is None else array.reshape(-1, len(self.envs), *array.shape[1:])
            for array in kept.values()
        ]
        if rows[0] is None:
            return
        cut = np.zeros(len(self.envs), dtype=np.bool_)  # what was cut is stored as what goes on
        for row in zip(*(array for array in rows if array is not None), strict=True):
            self.memory.push(*[*row, cut])
