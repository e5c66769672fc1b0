"""Why tables converge: Q-learning in expectation contracts by 1 − α(1 − γ), exactly.

A synchronous expected update moves every entry by what a sampled one moves it on average,

    Q ← Q + α (T Q − Q)        T Q(s, a) = Σ P(s′|s, a) (r + γ max_b Q(s′, b)),

and T contracts by γ in the maximum norm, so the update does by 1 − α + αγ. Where Q lies above Q*
by the same everywhere and nothing ends, that is no bound but the rate. Step sizes that satisfy
Robbins and Monro's conditions (Σα = ∞, Σα² < ∞) make the product of these factors 0; of those
whose sum is finite it is not.

Everything here is in fractions, so nothing is rounded and no tolerance is chosen. The averages
are of `tabular_q_update` itself, called for every outcome.
"""

from fractions import Fraction
from itertools import pairwise
from math import comb

import numpy as np
import pytest

from rational_mdp import solve
from rlverify.contracts._recordings import exact
from rlverify.reference.dynamic_programming import action_values, greedy_policy
from rlverify.reference.tabular_q import tabular_q_update
from rlverify.tabular_envs.finite_mdp import FiniteMDP

GAMMA = Fraction(1, 2)


def process(*, ends: bool) -> FiniteMDP:
    """Return two states of two actions, with short numbers; without ends unless asked for."""
    rng = np.random.default_rng(7)
    share = rng.integers(1, 4, (2, 2)) / 4
    transition = np.stack([share, 1 - share], axis=-1)
    reward = rng.integers(-8, 9, (2, 2, 2)).astype(float)
    terminal = np.zeros((2, 2, 2), dtype=bool)
    if ends:
        terminal[0, 1, 1] = terminal[1, 0, 1] = True
    return FiniteMDP(transition, reward, terminal, np.array([1.0, 0.0]), "two states")


def optimum(mdp: FiniteMDP) -> np.ndarray:
    """Return Q*, by policy iteration in fractions."""
    parts = exact(mdp.transition), exact(mdp.reward), mdp.terminal
    table = action_values(*parts, exact(np.zeros(mdp.states)), gamma=GAMMA)
    for _ in range(mdp.actions**mdp.states + 1):
        policy = greedy_policy(table)
        table = action_values(*parts, worth(mdp, policy), gamma=GAMMA)
    assert (greedy_policy(table) == policy).all()
    return table


def worth(mdp: FiniteMDP, policy: np.ndarray) -> np.ndarray:
    """Return V of a policy: (I − γ P) V = r, solved in fractions."""
    going = np.where(mdp.terminal, Fraction(0), exact(mdp.transition))
    paid = (exact(mdp.transition) * exact(mdp.reward)).sum(axis=2)
    states = range(mdp.states)
    chain = (policy[:, :, None] * going).sum(axis=1)
    matrix = [[int(s == t) - GAMMA * chain[s, t] for t in states] for s in states]
    return np.array(solve(matrix, list((policy * paid).sum(axis=1))), dtype=object)


def swept(table: np.ndarray, mdp: FiniteMDP, step_size: Fraction) -> np.ndarray:
    """Return the table after every pair was updated once, in expectation, from the same table."""
    found = np.full(table.shape, Fraction(0), dtype=object)
    for s, a, after in np.ndindex(mdp.transition.shape):
        updated = tabular_q_update(
            table, np.array([s]), np.array([a]), exact(mdp.reward[s, a, after, None]),
            np.array([after]), mdp.terminal[s, a, after, None], gamma=GAMMA, step_size=step_size,
        )  # fmt: skip
        found[s, a] += Fraction(mdp.transition[s, a, after]) * updated[s, a]
    return found


def distance(one: np.ndarray, other: np.ndarray) -> Fraction:
    return max(abs(one - other).ravel())


def factor(step_size: Fraction) -> Fraction:
    return 1 - step_size * (1 - GAMMA)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("step_size", [Fraction(1, 8), Fraction(1, 2), Fraction(1)])
def test_an_expected_update_contracts(ends: bool, step_size: Fraction):
    """Towards Q*, and of any two tables towards each other."""
    mdp, rng = process(ends=ends), np.random.default_rng(1)
    best = optimum(mdp)
    assert distance(swept(best, mdp, step_size), best) == 0
    for _ in range(20):
        one, other = exact(rng.integers(-64, 65, (2, *best.shape)) / 4)
        for first, second in ((one, best), (one, other)):
            before, after = distance(first, second), distance(
                swept(first, mdp, step_size), swept(second, mdp, step_size)
            )  # fmt: skip
            assert after <= factor(step_size) * before


def test_the_rate_is_met_where_all_entries_are_off_by_the_same():
    mdp = process(ends=False)
    best = optimum(mdp)
    for step_size in (Fraction(1, 8), Fraction(1, 2), Fraction(1)):
        after = swept(best + Fraction(3), mdp, step_size)
        assert (after - best == 3 * factor(step_size)).all()


def test_harmonic_step_sizes_reach_the_optimum():
    """With α = 1/k and γ = 1/2 what is left after k updates is the central binomial's share.

    Π (1 − 1/(2j)) for j up to k is C(2k, k)/4ᵏ, at most 1/√(3k + 1), which falls to 0.
    """
    mdp = process(ends=False)
    best = optimum(mdp)
    table, left = best + Fraction(1), []
    for k in range(1, 101):
        table = swept(table, mdp, Fraction(1, k))
        left.append(distance(table, best))
        assert left[-1] == Fraction(comb(2 * k, k), 4**k)
        assert left[-1] ** 2 <= Fraction(1, 3 * k + 1)
    assert all(later < sooner for sooner, later in pairwise(left))


def test_harmonic_step_sizes_on_a_process_that_ends():
    """From any table, never further away than the product of the factors."""
    mdp, rng = process(ends=True), np.random.default_rng(2)
    best = optimum(mdp)
    table = exact(rng.integers(-64, 65, best.shape) / 4)
    first = distance(table, best)
    for k in range(1, 61):
        table = swept(table, mdp, Fraction(1, k))
        assert distance(table, best) <= first * Fraction(comb(2 * k, k), 4**k)
    assert first > 0


def test_step_sizes_with_a_finite_sum_stop_short():
    """With α = 1/(k + 1)² more than half of the error is left for ever: 1 − Σα/2 ≥ 1/2."""
    mdp = process(ends=False)
    best = optimum(mdp)
    table = best + Fraction(1)
    for k in range(1, 41):
        table = swept(table, mdp, Fraction(1, (k + 1) ** 2))
        assert distance(table, best) > Fraction(1, 2)
