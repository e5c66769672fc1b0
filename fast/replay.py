"""Replay: the last transitions of several environments, kept to be drawn from again, in PyTorch.

A buffer keeps the last R rows; a row holds one transition of each of B environments. Where a
full buffer is written to, the oldest row goes. What is kept is numbered by age: pick k is
column k mod B of the ⌊k/B⌋-th oldest row.  The identity to remember: whatever is picked was
pushed just so, as one whole; it is never made of two transitions.

An episode that was cut by a time limit is stored as not terminated, with the observation it
really reached: a target bootstraps from that, and never from the reset. Storage may be `shared`:
the next observation of a row then is the observation of the row after it. That saves half of
the memory, and is right only with three exceptions: where an episode ended, for the newest row,
and where the row after has been written over.

    >>> zeros, off = torch.zeros(1), torch.tensor([False])
    >>> buffer = ReplayBuffer(rows=2, shared=True)
    >>> for t in (1.0, 2.0, 3.0):
    ...     here, there = torch.tensor([[t]]), torch.tensor([[t + 1]])
    ...     buffer.push(here, torch.tensor([0]), zeros, there, off, off)
    >>> buffer.read(torch.tensor([0, 1])).next_observations.tolist()
    [[3.0], [4.0]]
"""

from typing import NamedTuple

import torch
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

    observations: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    next_observations: torch.Tensor
    terminated: torch.Tensor


def replay_transitions(
    observations: Float[torch.Tensor, "T B D"],
    actions: Int[torch.Tensor, "T B"],
    rewards: Float[torch.Tensor, "T B"],
    next_observations: Float[torch.Tensor, "T B D"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    picks: Int[torch.Tensor, "M"],
    *,
    rows: int,
    shared: bool,
) -> Transitions:
    """What is read from a buffer of R rows that T rows have been pushed to.

        pick k  →  (s, a, r, s′, terminated) of row T − min(T, R) + ⌊k/B⌋, column k mod B

    Source: Lin 1992; Mnih et al. 2015, methods, algorithm 1.
    Ours: rows for several environments; picks count from the oldest row that is kept. The rows
    really go through a `ReplayBuffer`, one push each.

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
        >>> path, off = torch.tensor([[[1.0]], [[2.0]]]), torch.tensor([[False], [False]])
        >>> zeros = torch.zeros(2, 1)
        >>> newest = replay_transitions(
        ...     path, zeros.long(), zeros, path + 1, off, off, torch.tensor([1]), rows=2,
        ...     shared=True,
        ... )
        >>> newest.next_observations
        tensor([[3.]])
    """
    check = Arguments("replay_transitions", torch.Tensor)
    check.floats("T B D", observations=observations)
    check.integers("T B", least=0, actions=actions)
    check.floats("T B", rewards=rewards)
    check.floats("T B D", next_observations=next_observations)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.count("rows", rows, least=1)
    check.switch(shared=shared)
    steps, columns = rewards.shape
    check.actions("M", below=min(steps, rows) * columns, picks=picks)
    if shared:
        continued(check, observations, next_observations, terminated | truncated)

    buffer = ReplayBuffer(rows=rows, shared=shared)
    recording = (observations, actions, rewards, next_observations, terminated, truncated)
    for row in zip(*recording, strict=True):
        buffer._write(*row)
    return buffer.read(picks)


class ReplayBuffer:
    """A ring of rows, in tensors that are allocated once, at the first push.

    With `shared` storage no array of next observations is kept. The row after holds them, but
    for the newest row, whose next observations stand apart until they are pushed, and for
    episodes that ended, whose final observations lie in a pool: as many as there are ends.

    Args:
        rows: R, how many rows are kept.
        shared: whether next observations are kept as observations of the row after.
    """

    def __init__(self, *, rows: int, shared: bool) -> None:
        check = Arguments("ReplayBuffer", torch.Tensor)
        check.count("rows", rows, least=1)
        check.switch(shared=shared)
        self.rows = rows
        self.shared = shared
        self.written = 0  # rows ever pushed
        self.columns = 0
        self.ring: dict[str, torch.Tensor] = {}
        self.latest = torch.empty(0)  # next observations of the newest row
        self.ended = torch.empty(0)  # where the newest row ended an episode
        self.pool = torch.empty(0)
        self.free: list[int] = []

    def __len__(self) -> int:
        """Return how many transitions can be read."""
        return min(self.written, self.rows) * self.columns

    def push(
        self,
        observations: Float[torch.Tensor, "B D"],
        actions: Int[torch.Tensor, "B"],
        rewards: Float[torch.Tensor, "B"],
        next_observations: Float[torch.Tensor, "B D"],
        terminated: Bool[torch.Tensor, "B"],
        truncated: Bool[torch.Tensor, "B"],
    ) -> None:
        """Keep a row; the oldest goes where there are more than R.

        Raises:
            TypeError: an argument is of the wrong kind or dtype.
            ValueError: shapes disagree with each other or with the rows before, or storage is
                shared and an observation is not what the row before led to.
        """
        check = Arguments("ReplayBuffer", torch.Tensor)
        check.floats("B D", observations=observations)
        check.integers("B", least=0, actions=actions)
        check.floats("B", rewards=rewards)
        check.floats("B D", next_observations=next_observations)
        check.flags("B", terminated=terminated, truncated=truncated)
        if self.written:
            as_before(check, observations, self.ring["observations"].shape[1:])
        if self.shared and self.written:
            continued(
                check,
                torch.stack([observations, observations]),
                torch.stack([self.latest, next_observations]),
                torch.stack([self.ended, terminated]),
            )
        self._write(observations, actions, rewards, next_observations, terminated, truncated)

    def _write(
        self,
        observations: torch.Tensor,
        actions: torch.Tensor,
        rewards: torch.Tensor,
        next_observations: torch.Tensor,
        terminated: torch.Tensor,
        truncated: torch.Tensor,
    ) -> None:
        """Write a row that has been checked."""
        row = {
            "observations": observations.detach(),
            "actions": actions,
            "rewards": rewards.detach(),
            "terminated": terminated,
        }
        after = next_observations.detach()
        if not self.shared:
            row["next_observations"] = after
        if not self.ring:
            self._allocate(row)
        slot = self.written % self.rows
        for name, array in row.items():
            self.ring[name][slot] = array
        if self.shared:
            self.latest, self.ended = after.clone(), terminated | truncated
            self._keep_finals(slot)
        self.written += 1

    def _allocate(self, row: dict[str, torch.Tensor]) -> None:
        """Make the ring for rows like the first one."""
        self.columns = len(row["actions"])
        self.ring = {name: x.new_empty((self.rows, *x.shape)) for name, x in row.items()}
        if self.shared:  # the place of a final observation in the pool, −1 for none
            places = torch.full_like(row["actions"], -1)
            self.ring["places"] = places.repeat(self.rows, 1)
            self.pool = row["observations"].new_empty((0, row["observations"].shape[1]))

    def _keep_finals(self, slot: int) -> None:
        """Give the final observations of the oldest row back, and put those of the newest away."""
        places = self.ring["places"][slot]
        self.free += [place for place in places.tolist() if place >= 0]
        places.fill_(-1)
        columns = torch.nonzero(self.ended).flatten()
        missing = len(columns) - len(self.free)
        if missing > 0:
            old, more = len(self.pool), max(missing, len(self.pool))  # doubled: rarely copied
            fresh = self.pool.new_empty((old + more, self.pool.shape[1]))
            fresh[:old] = self.pool
            self.pool = fresh
            self.free += range(old, old + more)
        if len(columns):
            kept = len(self.free) - len(columns)
            taken = torch.tensor(self.free[kept:], device=places.device)
            del self.free[kept:]
            self.pool[taken] = self.latest[columns]
            places[columns] = taken

    def read(self, picks: Int[torch.Tensor, "M"]) -> Transitions:
        """Return transitions by age, the oldest row first."""
        check = Arguments("ReplayBuffer", torch.Tensor)
        not_empty(check, len(self))
        check.actions("M", below=len(self), picks=picks)
        ages = picks.div(self.columns, rounding_mode="floor")
        columns = picks % self.columns
        slots = (max(self.written - self.rows, 0) + ages) % self.rows

        def of(name: str) -> torch.Tensor:
            return self.ring[name][slots, columns]

        after = self._after(slots, columns) if self.shared else of("next_observations")
        return Transitions(
            of("observations"), of("actions"), of("rewards"), after, of("terminated")
        )

    def _after(self, slots: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Return the next observations, which nothing holds in one place."""
        newest = (slots == (self.written - 1) % self.rows).unsqueeze(-1)
        after = self.ring["observations"][(slots + 1) % self.rows, columns]
        after = torch.where(newest, self.latest[columns], after)
        places = self.ring["places"][slots, columns]
        if not len(self.pool):
            return after
        final = self.pool[places.clamp(min=0)]
        return torch.where((places >= 0).unsqueeze(-1), final, after)

    def sample(self, count: int, generator: torch.Generator) -> Transitions:
        """Return transitions drawn evenly, with replacement.

        Raises:
            ValueError: nothing was pushed yet, or fewer than one is asked for.
        """
        check = Arguments("ReplayBuffer", torch.Tensor)
        check.count("count", count, least=1)
        not_empty(check, len(self))
        device = self.ring["actions"].device
        picks = torch.randint(len(self), (count,), generator=generator, device=generator.device)
        return self.read(picks.to(device))
