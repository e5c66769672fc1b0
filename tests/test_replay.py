"""Replay: the contract tests, and what only a buffer has."""

import re

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rlverify.fast import replay as fast
from rlverify.fast.q_learning import q_learning_target
from rlverify.reference import replay as reference
from support import *  # noqa: F403

TOPIC = "replay"


class World:
    """Environments whose every number is new: a transition that never happened is none of them."""

    def __init__(self, columns, components, seed):
        self.rng = np.random.default_rng(seed)
        self.shape, self.count = (columns, components), 0
        self.observations = self.fresh()

    def fresh(self):
        """Return observations that have never been seen."""
        self.count += 1
        size = self.shape[0] * self.shape[1]
        return self.count * size + np.arange(float(size)).reshape(self.shape)

    def step(self, ending):
        """Return a transition of every environment, and begin anew where an episode ended."""
        observations, following = self.observations, self.fresh()
        kinds = self.rng.integers(0, 3, len(observations))
        ended = self.rng.random(len(observations)) < ending
        self.observations = np.where(ended[:, None], self.fresh(), following)
        self.count += 1
        actions = self.count * len(observations) + np.arange(len(observations))
        return (observations, actions, actions / 2, following, ended & (kinds != 1),
                ended & (kinds != 0))  # fmt: skip


def tensors(arrays):
    """Return arrays as tensors."""
    return [torch.from_numpy(np.array(array)) for array in arrays]


class BufferMachine(RuleBasedStateMachine):
    """The ring, with and without shared storage, beside a plain list of all that happened."""

    transitions = 0  # of all runs

    @initialize(
        rows=st.integers(1, 9), columns=st.sampled_from((1, 3, 5000, 9000)),
        components=st.integers(1, 2), seed=st.integers(0, 2**32 - 1),
    )  # fmt: skip
    def begin(self, rows, columns, components, seed):
        """Make the buffers; the list is the model."""
        self.world, self.rows = World(columns, components, seed), rows
        self.rng = np.random.default_rng(seed)
        self.buffers = [fast.ReplayBuffer(rows=rows, shared=shared) for shared in (True, False)]
        self.plain = reference.ReplayBuffer(rows=rows, shared=True)
        self.happened = []

    @rule(pushes=st.integers(1, 12), ending=st.sampled_from((0.0, 0.2, 0.5, 1.0)))
    def push(self, pushes, ending):
        """Push some rows, each of all environments."""
        for _ in range(pushes):
            row = self.world.step(ending)
            self.happened.append(row)
            BufferMachine.transitions += len(row[1])
            self.plain.push(*row)
            for buffer in self.buffers:
                buffer.push(*tensors(row))

    def kept(self):
        """What should be there, the oldest row first."""
        rows = self.happened[-self.rows :]
        return [np.concatenate([row[j] for row in rows]) for j in range(5)]

    @precondition(lambda self: self.happened)
    @rule(count=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
    def sample(self, count, seed):
        """What is sampled has happened, as a whole, and not long ago."""
        kept = self.kept()
        for buffer in self.buffers:
            found = buffer.sample(count, torch.Generator().manual_seed(seed))
            picks = np.searchsorted(kept[1], found.actions.numpy())  # actions only grow
            for array, wanted in zip(found, kept, strict=True):
                assert np.array_equal(array, wanted[picks])

    @invariant()
    def nothing_lost(self):
        """All that is kept is read, from the oldest to the newest."""
        if not hasattr(self, "happened") or not self.happened:
            return
        kept = self.kept()
        every = np.arange(len(kept[1]))
        some = every if len(every) < 100 else self.rng.choice(every, 100)
        for buffer, picks in (*((each, every) for each in self.buffers), (self.plain, some)):
            assert len(buffer) == len(every)
            found = buffer.read(picks if buffer is self.plain else torch.from_numpy(picks))
            for array, wanted in zip(found, kept, strict=True):
                assert np.array_equal(array, wanted[picks])


def test_buffers_through_a_million_transitions():
    """Batched pushes and samples in any order, 10⁶ transitions and more in all."""
    BufferMachine.transitions = 0
    run_state_machine_as_test(
        BufferMachine, settings=settings(max_examples=40, stateful_step_count=20, deadline=None)
    )
    assert BufferMachine.transitions >= 10**6


@pytest.mark.parametrize("shared", [True, False])
def test_a_large_buffer(shared):
    """Of 10⁵ transitions pushed, in rows of 50, all that should be kept is, and nothing else."""
    columns, rows = 50, 300
    world, buffer = World(columns, 1, 0), fast.ReplayBuffer(rows=rows, shared=shared)
    kept = []
    for t in range(2000):
        row = world.step(0.05)
        buffer.push(*tensors(row))
        kept = [*kept[-rows + 1 :], row]
        if t % 150 in (0, 149):  # around the write pointer's returns, and between them
            found = buffer.read(torch.arange(len(buffer)))
            for j, array in enumerate(found):
                wanted = np.concatenate([each[j] for each in kept])
                assert np.array_equal(array, wanted)
    if shared:  # the pool holds the ends that are kept, and at most doubles
        ends = sum(int((row[4] | row[5]).sum()) for row in kept)
        assert len(buffer.pool) - len(buffer.free) == ends
        assert len(buffer.pool) <= 4 * ends


def test_a_seed_gives_the_same_samples():
    """Sampling takes a generator: the same seed draws the same, another one does not."""
    world, buffer = World(2, 1, 0), fast.ReplayBuffer(rows=50, shared=True)
    for _ in range(60):
        buffer.push(*tensors(world.step(0.1)))

    def drawn(seed):
        return buffer.sample(64, torch.Generator().manual_seed(seed)).actions.tolist()

    assert drawn(3) == drawn(3) != drawn(4)


def test_every_transition_is_drawn_alike():
    """Picks are drawn by torch.randint from all that is kept: the oldest and the newest too."""
    world, buffer = World(1, 1, 0), fast.ReplayBuffer(rows=3, shared=True)
    for _ in range(5):
        buffer.push(*tensors(world.step(0.0)))
    found = set(buffer.sample(64, torch.Generator().manual_seed(0)).actions.tolist())
    every = set(buffer.read(torch.arange(3)).actions.tolist())
    assert found == every  # one of three is missed by 64 draws with probability below 2⁻³⁵


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.claim("C36")
def test_the_target_bootstraps_from_the_final_observation(shared):
    """At a time limit what is valued is the state reached, neither nothing nor the reset."""
    buffer = fast.ReplayBuffer(rows=4, shared=shared)
    off, on, zero = torch.tensor([False]), torch.tensor([True]), torch.tensor([0])
    first, final, reset = (torch.tensor([[x]], dtype=torch.float64) for x in (1.0, 8.0, 64.0))
    reward = torch.tensor([2.0], dtype=torch.float64)
    buffer.push(first, zero, reward, final, off, on)
    buffer.push(reset, zero, reward, first, off, off)
    found = buffer.read(torch.tensor([0]))
    target = q_learning_target(
        found.rewards, found.next_observations, found.terminated, None, gamma=0.5
    )
    assert target.tolist() == [2.0 + 0.5 * 8.0]


@pytest.mark.parametrize(("twin", "make"), [(reference, np.array), (fast, torch.tensor)])
def test_a_row_that_does_not_continue_is_refused(twin, make):
    """Shared storage would make up a transition from the reset; it says so, and what helps."""
    buffer, other = (twin.ReplayBuffer(rows=4, shared=shared) for shared in (True, False))
    row = [make([[1.0]]), make([0]), make([0.0]), make([[2.0]]), make([False]), make([False])]
    for each in (buffer, other):
        each.push(*row)
    other.push(*row)
    message = "ReplayBuffer: observations came with a row that is not what the row before led to"
    with pytest.raises(ValueError, match=message):
        buffer.push(*row)
    assert (len(buffer), len(other)) == (1, 2)


@pytest.mark.parametrize("twin", [reference, fast])
def test_what_was_pushed_may_be_overwritten(twin):
    """A vectorised environment writes its observations in place: the buffer keeps copies."""
    make = np.array if twin is reference else torch.tensor
    for shared in (True, False):
        buffer = twin.ReplayBuffer(rows=4, shared=shared)
        row = [make([[1.0]]), make([0]), make([0.0]), make([[2.0]]), make([False]), make([True])]
        buffer.push(*row)
        row[0][:], row[3][:], row[5][:] = 7.0, 7.0, False
        found = buffer.read(make([0]))
        assert found.observations.tolist() + found.next_observations.tolist() == [[1.0], [2.0]]
        buffer.push(*row)  # the first row ended its episode, whatever its flag says now


@pytest.mark.parametrize(("twin", "make"), [(reference, np.array), (fast, torch.tensor)])
def test_what_does_not_fit_a_buffer_is_refused(twin, make):
    """Another number of environments or components, and drawing nothing."""
    buffer = twin.ReplayBuffer(rows=4, shared=False)
    generator = np.random.default_rng(0) if twin is reference else torch.Generator()

    def row(columns, components):
        here, flags = make([[1.0] * components] * columns), make([False] * columns)
        return here, make([0] * columns), make([0.0] * columns), here, flags, flags

    buffer.push(*row(3, 2))
    for columns, components in ((1, 2), (3, 1)):
        message = re.escape(
            f"ReplayBuffer: observations came with shape {(columns, components)}, "
            "wanted (3, 2) as in the rows before."
        )
        with pytest.raises(ValueError, match=message):
            buffer.push(*row(columns, components))
    with pytest.raises(ValueError, match="ReplayBuffer: count came as 0"):
        buffer.sample(0, generator)
    assert len(buffer) == 3


def test_shared_storage_is_smaller():
    """Without ends, shared storage holds one observation a transition, not two."""
    sizes = {}
    for shared in (True, False):
        buffer, world = fast.ReplayBuffer(rows=100, shared=shared), World(4, 50, 0)
        for _ in range(150):
            buffer.push(*tensors(world.step(0.0)))
        held = [*buffer.ring.values(), buffer.latest, buffer.pool]
        sizes[shared] = sum(x.numel() * x.element_size() for x in held)
    assert sizes[True] * 1.8 < sizes[False]


@pytest.mark.parametrize("twin", [reference, fast], ids=["reference", "fast"])
def test_an_empty_buffer_is_refused(twin):
    """Nothing can be read before something was pushed, and the message says so."""
    buffer = twin.ReplayBuffer(rows=2, shared=False)
    told = "ReplayBuffer: came empty, wanted a transition to read; push first."
    with pytest.raises(ValueError, match=told):
        buffer.read(np.zeros(1, np.int64) if twin is reference else torch.zeros(1).long())
    with pytest.raises(ValueError, match=told):
        buffer.sample(1, np.random.default_rng(0) if twin is reference else torch.Generator())
