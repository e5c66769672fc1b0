"""Baselines: the contract tests, and what only these functions have."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rlverify
from rlverify.fast import baselines as fast
from rlverify.reference.baselines import (
    batch_mean_baseline,
    leave_one_out_baseline,
    value_baseline,
    variance_optimal_baseline,
)
from support import *  # noqa: F403

TOPIC = "baselines"

eighths = st.integers(-80, 80).map(lambda k: Fraction(k, 8))
batches = st.lists(eighths, min_size=2, max_size=6).map(lambda x: np.array(x, dtype=object))


class Bandit:
    """A softmax policy over a few actions with chances of small denominators, and rewards."""

    def __init__(self, parts, rewards):
        self.chances = [Fraction(part, sum(parts)) for part in parts]
        self.rewards = [Fraction(reward) for reward in rewards]
        # as samples: every action as often as its chance says
        self.taken = [a for a, part in enumerate(parts) for _ in range(part)]

    def score(self, action):
        """Return ∇ log π(a) with respect to the logits: e_a − π."""
        return [int(action == k) - p for k, p in enumerate(self.chances)]

    def samples(self):
        """Return scores [N, P] and returns [N] in which frequencies are chances."""
        scores = np.array([self.score(a) for a in self.taken], dtype=object)
        return scores, np.array([self.rewards[a] for a in self.taken], dtype=object)

    def moments(self, baselines):
        """Return mean and variance of s (R − b), component by component, exactly."""
        outcomes = []
        for a, chance in enumerate(self.chances):
            pairs = zip(self.score(a), baselines, strict=True)
            outcomes.append((chance, [s * (self.rewards[a] - b) for s, b in pairs]))
        means = [sum(p * x[k] for p, x in outcomes) for k in range(len(self.chances))]
        seconds = [sum(p * x[k] ** 2 for p, x in outcomes) for k in range(len(self.chances))]
        return means, [x - mean**2 for x, mean in zip(seconds, means, strict=True)]

    def gradient(self):
        """Return ∇J: π_k (r_k − J)."""
        pairs = list(zip(self.chances, self.rewards, strict=True))
        value = sum(p * r for p, r in pairs)
        return [p * (r - value) for p, r in pairs]


@st.composite
def bandits(draw):
    """Draw a bandit of two to four actions."""
    actions = draw(st.integers(2, 4))
    parts = draw(st.lists(st.integers(1, 6), min_size=actions, max_size=actions))
    return Bandit(parts, draw(st.lists(eighths, min_size=actions, max_size=actions)))


# expectations


@pytest.mark.claim("C9")
@given(bandit=bandits(), shift=eighths)
def test_any_constant_baseline_leaves_the_mean(bandit, shift):
    """E[s (R − b)] is ∇J for every b, exactly."""
    assert bandit.moments([shift] * len(bandit.chances))[0] == bandit.gradient()


@pytest.mark.claim("C9")
@given(bandit=bandits(), other=eighths)
def test_variance_optimal_baseline_is_the_minimum(bandit, other):
    """Any other baseline costs E‖s‖² (b − b*)² more; one a component is no worse than one."""
    scores, returns = bandit.samples()
    joint = variance_optimal_baseline(scores, returns, per_component=False)
    own = variance_optimal_baseline(scores, returns, per_component=True)
    least = bandit.moments(joint)[1]
    for k, chance in enumerate(bandit.chances):
        weight = chance * (1 - chance)  # E[s_k²] of a softmax
        distance = (other - own[k]) ** 2
        assert bandit.moments([other] * len(own))[1][k] == (
            bandit.moments(own)[1][k] + weight * distance
        )
    total = sum(p * (1 - p) for p in bandit.chances)
    rest = sum(bandit.moments([other] * len(own))[1])
    assert rest == sum(least) + total * (other - joint[0]) ** 2
    assert sum(bandit.moments(own)[1]) <= sum(least)


@pytest.mark.claim("C9")
def test_state_value_can_raise_the_variance():
    """π = (0.9, 0.1), r = (1, 0): V = 0.9 has a larger variance than no baseline."""
    bandit = Bandit([9, 1], [1, 0])
    plain, value = (sum(bandit.moments([Fraction(b), Fraction(b)])[1]) for b in (0, "9/10"))
    scores, returns = bandit.samples()
    assert value_baseline(np.zeros(10, dtype=np.int64), returns)[0] == Fraction(9, 10)
    best = variance_optimal_baseline(scores, returns, per_component=False)
    assert best.tolist() == [Fraction(1, 10)] * 2  # of two actions, the other one's chance
    assert (plain, value) == (Fraction(9, 5000), Fraction(72, 625))
    assert sum(bandit.moments(best)[1]) == 0


@pytest.mark.claim("C10")
@given(bandit=bandits(), shift=st.sampled_from((100, Fraction(1, 8), -3)))
def test_constant_added_to_all_rewards_changes_the_variance_by_formula(bandit, shift):
    """∇J stays; the variance of component k grows by c² E[s_k²] + 2c E[s_k² R]."""
    zeros = [0] * len(bandit.chances)
    shifted = Bandit([1], [0])
    shifted.chances, shifted.rewards = bandit.chances, [r + shift for r in bandit.rewards]
    (mean, before), (same, after) = bandit.moments(zeros), shifted.moments(zeros)
    assert same == mean == bandit.gradient() == shifted.gradient()
    for k, chance in enumerate(bandit.chances):
        square = chance * (1 - chance)
        weighted = sum(
            p * bandit.score(a)[k] ** 2 * bandit.rewards[a] for a, p in enumerate(bandit.chances)
        )
        assert after[k] == before[k] + shift**2 * square + 2 * shift * weighted


@pytest.mark.claim("C10")
def test_two_buttons():
    """Two buttons pay 1 and 0, π = ½: +100 on both multiplies the variance by 201² = 40401."""
    small, large = Bandit([1, 1], [1, 0]), Bandit([1, 1], [101, 100])
    (mean, variance), (same, wider) = small.moments([0, 0]), large.moments([0, 0])
    assert mean == same == [Fraction(1, 4), Fraction(-1, 4)]
    assert variance == [Fraction(1, 16)] * 2
    assert wider == [x * 201**2 for x in variance]
    # the mean of both rewards is optimal where both scores have one length
    assert variance_optimal_baseline(*large.samples(), per_component=False)[0] == Fraction(201, 2)


# relations


@given(returns=batches)
def test_batch_mean_is_leave_one_out_times_a_factor(returns):
    """R − mean = (N − 1)/N (R − leave-one-out), exactly."""
    factor = Fraction(len(returns) - 1, len(returns))
    shrunk = returns - batch_mean_baseline(returns)
    assert (shrunk == factor * (returns - leave_one_out_baseline(returns))).all()


@given(returns=batches)
def test_value_baseline_within_a_state_is_a_batch_mean(returns):
    """In a state met n times it keeps (n − 1)/n of what leave-one-out there would."""
    states = np.arange(len(returns)) % 2
    found = value_baseline(states, returns)
    for state in (0, 1):
        own = states == state
        assert (found[own] == batch_mean_baseline(returns[own])).all()


@given(returns=batches, factor=st.integers(1, 5))
def test_variance_optimal_baseline_counts_frequencies(returns, factor):
    """Every sample twice is the same distribution."""
    scores = np.stack([returns, 1 + returns[::-1]], axis=1)
    for per_component in (True, False):
        once, twice = (
            variance_optimal_baseline(
                np.tile(scores, (n, 1)), np.tile(returns, n), per_component=per_component
            )
            for n in (1, factor)
        )
        assert (once == twice).all()


# how strangers write leave-one-out


def own_taken_off(rewards):
    """Take the own return off the sum."""
    return (rewards.sum() - rewards) / (len(rewards) - 1)


def others(rewards):
    """Average what is left when one is deleted."""
    return np.array([np.delete(rewards, i).mean() for i in range(len(rewards))])


def own_included(rewards):
    """Average all."""
    return np.full_like(rewards, rewards.mean())


@pytest.mark.parametrize(
    ("function", "title", "fine"),
    [
        (own_taken_off, "EXACT", True),
        (others, "TIGHT", True),
        (own_included, "WRONG(L2a)", False),
    ],
)
def test_leave_one_out_of_a_stranger(function, title, fine):
    """Both forms are right; the batch mean is the known mistake."""
    verdict = rlverify.check(function, "leave_one_out_baseline", budget=80)
    assert (verdict.title, verdict.ok) == (title, fine)


# extremes


def test_own_return_costs_the_others_no_digits():
    """Leave-one-out of 2⁶⁰ beside 1 and 2 is exact; the sum with the own taken off is not."""
    returns = torch.tensor([2.0**60, 1.0, 2.0])
    assert fast.leave_one_out_baseline(returns)[0].item() == 1.5
    assert ((returns.sum() - returns[0]) / 2).item() != 1.5


def test_silent_component_has_baseline_and_gradient_zero():
    """Where no sample has a score, b is 0 and lets no NaN through."""
    scores = torch.tensor([[0.0, 1.0], [0.0, 3.0]], requires_grad=True)
    returns = torch.tensor([5.0, 7.0], requires_grad=True)
    found = fast.variance_optimal_baseline(scores, returns, per_component=True)
    assert found.tolist()[0] == 0
    found.sum().backward()
    assert scores.grad[:, 0].tolist() == [0, 0]
    assert scores.grad.isfinite().all()
    assert returns.grad.isfinite().all()


def test_states_may_have_any_numbers():
    """State numbers are names: large ones cost no table."""
    states = torch.tensor([2**60, 3, 2**60])
    found = fast.value_baseline(states, torch.tensor([1.0, 5.0, 2.0]))
    assert found.tolist() == [1.5, 5.0, 1.5]
