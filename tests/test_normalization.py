"""Running moments: the contract tests, and what only these functions have."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rlverify
from rlverify.fast import normalization as fast
from rlverify.reference.normalization import (
    running_moments_init,
    running_moments_merge,
    running_moments_update,
    scale_rewards,
)
from support import *  # noqa: F403

TOPIC = "normalization"

eighths = st.integers(-80, 80).map(lambda k: Fraction(k, 8))
batches = st.lists(st.lists(eighths, min_size=2, max_size=2), min_size=1, max_size=7).map(
    lambda rows: np.array(rows, dtype=object)
)


def nothing_seen():
    """Return the empty state of two components, in fractions."""
    zeros = np.array([Fraction(0), Fraction(0)], dtype=object)
    return running_moments_init(zeros)


def equal(one, other):
    """Whether two states are the same to the last digit."""
    return all((a == b).all() for a, b in zip(one, other, strict=True))


# exactly


@given(x=batches, data=st.data())
def test_any_split_gives_the_same_state_exactly(x, data):
    """One batch, any pieces of it in turn, or moments of the pieces joined: one state."""
    cuts = sorted(
        data.draw(st.sets(st.integers(1, max(len(x) - 1, 1)), max_size=3)) & {*range(1, len(x))}
    )
    whole, stream, joined = running_moments_update(*nothing_seen(), x), nothing_seen(), None
    for piece in np.split(x, cuts):
        stream = running_moments_update(*stream, piece)
        alone = running_moments_update(*nothing_seen(), piece)
        joined = alone if joined is None else running_moments_merge(*joined, *alone)
    assert equal(whole, stream)
    assert equal(whole, joined)
    mean = x.sum(axis=0) / len(x)
    assert (whole.mean == mean).all()
    assert (whole.variance == ((x - mean) ** 2).sum(axis=0) / len(x)).all()


@given(one=batches, two=batches, three=batches)
def test_merging_is_associative_exactly(one, two, three):
    """It does not matter which two of three are joined first."""
    a, b, c = (running_moments_update(*nothing_seen(), x) for x in (one, two, three))
    left = running_moments_merge(*running_moments_merge(*a, *b), *c)
    assert equal(left, running_moments_merge(*a, *running_moments_merge(*b, *c)))


@given(x=batches)
def test_normalised_by_its_own_moments_a_batch_has_mean_zero(x):
    """Before the root is taken: the deviations sum to 0, their squares to n σ²."""
    state = running_moments_update(*nothing_seen(), x)
    assert (sum(x - state.mean) == 0).all()
    assert (sum((x - state.mean) ** 2) == state.count[()] * state.variance).all()


# what an empty state holds


@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e6])
def test_an_empty_state_is_not_read(garbage):
    """NaN, inf and 1e6 in a state that counts nothing change nothing."""
    x = np.array([[1.0], [4.0]])
    zero, filler, five = np.array(0.0), np.array([garbage]), np.array([5.0])
    for update, merge, new in (
        (running_moments_update, running_moments_merge, lambda a: a),
        (fast.running_moments_update, fast.running_moments_merge, torch.from_numpy),
    ):
        empty = new(zero), new(filler), new(filler)
        known = new(np.array(2.0)), new(five), new(five)
        assert [v.item() for v in update(*empty, new(x))] == [2, 2.5, 2.25]
        assert [v.item() for v in merge(*empty, *known)] == [2, 5, 5]
        assert [v.item() for v in merge(*known, *empty)] == [2, 5, 5]
        assert [v.item() for v in merge(*empty, *empty)] == [0, 0, 0]


def test_init_is_empty():
    """Nothing has been seen, in the dtype of what will be."""
    for found in (
        running_moments_init(np.ones(3)),
        fast.running_moments_init(torch.ones(3).half()),
    ):
        assert [np.shape(v) for v in found] == [(), (3,), (3,)]
        assert not any(bool(v.any()) for v in found)
    assert {v.dtype for v in found} == {torch.float16}


def test_count_is_exact_or_refused():
    """A dtype that cannot hold the next count is refused; a smaller one is exact."""
    for dtype, most in ((torch.bfloat16, 256), (torch.float16, 2048), (torch.float32, 2**24)):
        one, zero = torch.ones(1, 1, dtype=dtype), torch.zeros(1, dtype=dtype)
        almost = torch.tensor(most - 1.0, dtype=dtype)
        assert fast.running_moments_update(almost, zero, zero, one).count.item() == most
        with pytest.raises(ValueError, match=f"count came with an element outside .0, {most - 1}"):
            fast.running_moments_update(almost + 1, zero, zero, one)


def test_evaluation_leaves_the_state_as_it_is():
    """Normalising neither counts nor moves anything, and lets no gradient into the state."""
    mean, variance = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    x = torch.tensor([[3.0, 1.0]], requires_grad=True)
    found = fast.running_moments_normalize(mean, variance, x, eps=3.0, clip=0.5)
    found.sum().backward()
    assert (mean.tolist(), variance.tolist()) == ([1, 1], [1, 1])
    assert mean.grad is None
    assert variance.grad is None
    assert x.grad.tolist() == [[0, 0.5]]  # none where it is clipped


# the stream of rewards


@given(rewards=st.lists(st.integers(-40, 40), min_size=2, max_size=8), data=st.data())
def test_two_windows_are_one(rewards, data):
    """A recording in two calls gives what one call gives, bit by bit: the state is all there is."""
    steps, cut = len(rewards), data.draw(st.integers(1, len(rewards) - 1))
    terminated, truncated = (
        np.array(data.draw(st.lists(st.booleans(), min_size=steps, max_size=steps)))[:, None]
        for _ in range(2)
    )
    arrays = np.array(rewards)[:, None] / 8, terminated, truncated
    knobs = {"gamma": 0.5, "eps": 0.25, "clip": 4.0}
    state = np.zeros(1), *(np.array(0.0) for _ in range(3))
    whole = scale_rewards(*arrays, *state, **knobs)
    first = scale_rewards(*(a[:cut] for a in arrays), *state, **knobs)
    second = scale_rewards(*(a[cut:] for a in arrays), *first[1:], **knobs)
    assert np.array_equal(np.concatenate([first.rewards, second.rewards]), whole.rewards)
    assert all(np.array_equal(a, b) for a, b in zip(second[1:], whole[1:], strict=True))


def test_a_constant_added_to_rewards_is_not_taken_off():
    """Rewards of 1 and 1 stay positive: taking the mean off would make both 0."""
    state = np.zeros(1), *(np.array(0.0) for _ in range(3))
    ones, off = np.ones((2, 1)), np.zeros((2, 1), dtype=bool)
    found = scale_rewards(ones, off, off, *state, gamma=0.0, eps=1.0, clip=5.0)
    assert found.rewards.tolist() == [[1], [1]]


# how strangers write it


def from_moments(mean, var, count, batch_mean, batch_var, batch_count):
    """Join as OpenAI baselines and what came after it do."""
    delta, total = batch_mean - mean, count + batch_count
    spread = var * count + batch_var * batch_count + delta**2 * count * batch_count / total
    return mean + delta * batch_count / total, spread / total, total


class RunningMeanStd:
    """A state with a method, as libraries have it."""

    def __init__(self, count, mean, var):
        self.mean, self.var, self.count = mean, var, count

    def update(self, x):
        """Take a batch in."""
        moments = x.mean(axis=0), x.var(axis=0), len(x)
        self.mean, self.var, self.count = from_moments(self.mean, self.var, self.count, *moments)


def library(count, mean, variance, x):
    """Adapt a class to the state's arrays."""
    state = RunningMeanStd(count, mean, variance)
    state.update(x)
    return state.count, state.mean, state.var


CALL = (
    "from_moments(mean, variance, count, other_mean, other_variance, other_count)"
    " -> mean, variance, count"
)


def test_the_usual_forms_pass():
    """Baselines' formula, as a function and in a class."""
    verdict = rlverify.check(from_moments, "running_moments_merge", call=CALL, budget=80)
    assert verdict.ok, verdict.title
    verdict = rlverify.check(library, "running_moments_update", budget=80)
    assert verdict.ok, verdict.title


def test_a_batch_counted_once_is_named():
    """The same class, a batch being one sample to it."""

    def counted_once(count, mean, variance, x):
        found = from_moments(mean, variance, count, x.mean(axis=0), x.var(axis=0) * len(x), 1)
        return found[2], found[0], found[1]

    assert rlverify.check(counted_once, "running_moments_update", budget=80).title == "WRONG(J1)"
