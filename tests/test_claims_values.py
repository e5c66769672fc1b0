"""Claims about values and targets: C4, C11, C12, C30, C36. In fractions: equal is equal."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exact_cases import column, deterministic, numbers, problems, some
from finite_problems import even
from rational_mdp import Bounds, Truth
from rlverify.enumeration import enumerate_trajectories
from rlverify.reference.returns import discounted_return, n_step_return, td_error
from rlverify.tabular_envs.exact import objective, policy_values

below_one = st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(7, 8)])


# C4


@pytest.mark.claim("C4")
def test_a_lower_error_in_q_can_choose_worse_actions():
    """Q = (1, 2; 3, 100). The first table errs by 50 once and acts best: 625 and J = 51.

    The second errs by 1 twice, a mean square of ½, and acts worse where it does: J = 50½.
    """
    rewards = np.array([[1.0, 2.0], [3.0, 100.0]])
    mdp = deterministic(
        {(s, a): (2, float(rewards[s, a]), True) for s in (0, 1) for a in (0, 1)},
        start=(0.5, 0.5),
    )
    found = {}
    for name, table in {"first": [[1, 2], [3, 50]], "second": [[2, 1], [3, 100]]}.items():
        table = np.array(table, dtype=float)
        greedy = np.vstack([np.eye(2)[table.argmax(axis=1)], [1, 0]])
        found[name] = np.mean((table - rewards) ** 2), objective(mdp, greedy, gamma=1.0)
    assert found == {"first": (625, 51), "second": (0.5, 50.5)}
    # and 51 is the best there is
    assert objective(mdp, np.array([[0.0, 1.0]] * 3), gamma=1.0) == 51


# C11


@pytest.mark.claim("C11")
@some
@given(problem=problems(gammas=below_one))
def test_advantages_average_to_zero(problem):
    """Σₐ π(a|s) A(s,a) = 0 for the solved values, exactly, and in floats up to their bounds."""
    mdp, policy, gamma = problem.mdp, problem.policy, problem.gamma
    truth = Truth(mdp, policy.tolist(), gamma)
    values = truth.values()
    for s in truth.s:
        assert sum(policy[s, a] * (truth.q(s, a, values) - values[s]) for a in truth.a) == 0
    found = policy_values(mdp, policy.astype(float), gamma=float(gamma))
    bounds = Bounds(truth)
    assert bounds.usable
    for row, chances in zip(found.advantages.tolist(), policy, strict=True):
        average = sum(p * Fraction(x) for p, x in zip(chances, row, strict=True))
        assert abs(average) <= bounds.advantages


@pytest.mark.claim("C11")
@some
@given(problem=problems())
def test_advantages_of_each_time_average_to_zero(problem):
    mdp, policy = problem.mdp, problem.policy
    truth = Truth(mdp, policy.tolist(), problem.gamma)
    values = truth.horizon_values(problem.horizon, [Fraction(0)] * mdp.states)
    for here, then in pairwise(values):
        for s in truth.s:
            assert sum(policy[s, a] * (truth.q(s, a, then) - here[s]) for a in truth.a) == 0


# C12


@pytest.mark.claim("C12")
@some
@given(problem=problems())
def test_the_one_step_error_has_the_advantage_as_conditional_expectation(problem):
    """E[r + γV(s′) − V(s) | sₜ = s, aₜ = a] = A_t(s,a), with the errors of the suite."""
    mdp, found, gamma = problem.mdp, problem.every, problem.gamma
    truth = Truth(mdp, problem.policy.tolist(), gamma)
    values = truth.horizon_values(problem.horizon, [Fraction(0)] * mdp.states)
    table = np.array(values, dtype=object)
    times = np.arange(problem.horizon)[:, None]
    errors = td_error(
        found.rewards,
        table[times, found.states[:-1]],
        table[times + 1, found.states[1:]],
        found.terminated,
        gamma=gamma,
    )
    seen = 0
    for t, s, a in np.ndindex(problem.horizon, mdp.states, mdp.actions):
        met = found.mask[t] & (found.states[t] == s) & (found.actions[t] == a)
        if met.any():
            chances = found.probabilities[met]
            advantage = truth.q(s, a, values[t + 1]) - values[t][s]
            assert chances @ errors[t, met] == advantage * chances.sum()
            seen += met.sum()
    assert seen == found.mask.sum()


@pytest.mark.claim("C12")
def test_with_another_v_it_has_not():
    """V(s′) too large by 1 adds γ P(going on); V(s) too large by 1 takes 1 off."""
    mdp = deterministic({(0, 0): (1, 1, False), (1, 0): (2, 3, True)})
    gamma = Fraction(1, 2)
    found = enumerate_trajectories(mdp, even(mdp), horizon=2)
    exact = column(Fraction(5, 2), 3, 0)

    def first_error(values):
        here, after = values[found.states[:-1]], values[found.states[1:]]
        return td_error(found.rewards, here, after, found.terminated, gamma=gamma)[0, 0]

    assert first_error(exact) == 0
    assert first_error(exact + column(0, 1, 0)) == gamma
    assert first_error(exact + column(1, 0, 0)) == -1


# C30


def targets(mdp, policy, critic, gamma, n):
    """n-step targets of the first step, [N], and the trajectories that they come from."""
    found = enumerate_trajectories(mdp, policy, horizon=n)
    off = np.zeros_like(found.terminated)
    after = critic[found.states[1:]]
    got = n_step_return(found.rewards, after, found.terminated, off, gamma=gamma, n=n)
    return found, got[0]


def moments(mdp, policy, critic, gamma, n, state):
    """Mean and variance of the target from a state."""
    found, got = targets(mdp, policy, critic, gamma, n)
    met = found.states[0] == state
    chances = found.probabilities[met] / found.probabilities[met].sum()
    mean = chances @ got[met]
    return mean, chances @ (got[met] - mean) ** 2


def bound(critic, values, gamma, n):
    """γⁿ ‖V̂ − V‖∞."""
    return gamma**n * max(abs(critic - values))


@pytest.mark.claim("C30")
@some
@given(problem=problems(gammas=below_one), data=st.data())
def test_the_bias_of_an_n_step_target_is_bounded_by_the_critics_error(problem, data):
    """|E G⁽ⁿ⁾(s) − V(s)| ≤ γⁿ ‖V̂ − V‖∞; it is γⁿ P_πⁿ (V̂ − V)."""
    mdp, policy, gamma, n = problem.mdp, problem.policy, problem.gamma, problem.horizon
    truth = Truth(mdp, policy.tolist(), gamma)
    values = column(*truth.values())
    critic = column(*[data.draw(numbers) for _ in range(mdp.states)])
    rewards = column(*[truth.v(s, [0] * mdp.states) for s in truth.s])
    left = critic - values  # each step back multiplies by γ P_π: a Bellman step without rewards
    for _ in range(n):
        left = column(*[truth.v(s, left) for s in truth.s]) - rewards
    for s in truth.s:
        bias = moments(mdp, policy, critic, gamma, n, s)[0] - values[s]
        assert bias == left[s]
        assert abs(bias) <= bound(critic, values, gamma, n)


@pytest.mark.claim("C30")
@some
@given(problem=problems(gammas=below_one, endings=(0.0,)), error=numbers)
def test_the_bound_is_attained_by_a_constant_error(problem, error):
    mdp, policy, gamma, n = problem.mdp, problem.policy, problem.gamma, problem.horizon
    assume(error != 0)
    values = column(*Truth(mdp, policy.tolist(), gamma).values())
    for s in range(mdp.states):
        mean, _ = moments(mdp, policy, values + error, gamma, n, s)
        assert abs(mean - values[s]) == bound(values + error, values, gamma, n)


def coins(length):
    """A line of coins, 1 or −1 each; V = 0 everywhere."""
    return deterministic({(s, a): (s + 1, 2.0 * a - 1, s == length - 1)
                          for s in range(length) for a in (0, 1)})  # fmt: skip


@pytest.mark.claim("C30")
def test_bias_falls_and_variance_grows_on_a_line_of_coins():
    """Four coins, γ = ½, a critic that says 1: from one step to Monte-Carlo, which is n = 4."""
    mdp, gamma = coins(4), Fraction(1, 2)
    critic = column(1, 1, 1, 1, 0)
    found = [moments(mdp, even(mdp), critic, gamma, n, 0) for n in (1, 2, 3, 4)]
    assert [mean for mean, _ in found] == [gamma, gamma**2, gamma**3, 0]
    assert [variance for _, variance in found] == [1, Fraction(5, 4), Fraction(21, 16),
                                                   Fraction(85, 64)]  # fmt: skip
    # more steps than there are change nothing
    assert moments(mdp, even(mdp), critic, gamma, 7, 0) == found[3]


@pytest.mark.claim("C30")
def test_bias_need_not_fall():
    """A critic that errs in state 2 only is right after one step and wrong after two."""
    mdp, gamma = coins(4), Fraction(1, 2)
    found = [moments(mdp, even(mdp), column(0, 0, 1, 0, 0), gamma, n, 0)[0] for n in (1, 2, 3, 4)]
    assert found == [0, gamma**2, 0, 0]


@pytest.mark.claim("C30")
def test_variance_need_not_grow():
    """What the coin gives the next step takes back: 1 after one step, nothing after two."""
    gives = {(0, a): (1 + a, 2.0 * a - 1, False) for a in (0, 1)}
    takes = {(s, a): (3, 3.0 - 2 * s, True) for s in (1, 2) for a in (0, 1)}
    mdp = deterministic(gives | takes)
    critic = column(0, 0, 0, 0)
    assert [moments(mdp, even(mdp), critic, Fraction(1), n, 0) for n in (1, 2)] == [(0, 1), (0, 0)]


# C36


ends = st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True)


@pytest.mark.claim("C36")
@given(data=st.data(), ends=ends, gamma=below_one)
def test_a_time_limit_taken_for_an_end_costs_exactly_its_value(data, ends, gamma):
    """Over recordings with several ends: γᵏ V(s′) at k steps before the cut, 0 where there is none.

    The same at a true end that is taken for a time limit, with the other sign.
    """
    rewards, after = (column(*[data.draw(numbers) for _ in range(5)])[:, None] for _ in range(2))
    off, cut = np.zeros((5, 1), dtype=bool), np.zeros((5, 1), dtype=bool)
    cut[ends] = True
    limit = discounted_return(rewards, after, off, cut, gamma=gamma)
    ended = discounted_return(rewards, after, cut, off, gamma=gamma)
    for t in range(5):
        to_go = [end - t for end in sorted(ends) if end >= t]
        k = to_go[0] + 1 if to_go else None
        wanted = 0 if k is None else gamma**k * after[t + k - 1, 0]
        assert (limit - ended)[t, 0] == wanted


@pytest.mark.claim("C36")
@some
@given(problem=problems(endings=(0.25, 1.0)))
def test_in_expectation_it_costs_what_the_flags_get_wrong(problem):
    """Σ P(cut at k) γᵏ V(s′) is the bias of the mean return, either way, on all trajectories.

    With both right, the mean from each start is V: nothing is lost at a time limit.
    """
    mdp, gamma, found = problem.mdp, problem.gamma, problem.every
    assume(gamma < 1)
    values = column(*Truth(mdp, problem.policy.tolist(), gamma).values())
    after, off = values[found.states[1:]], np.zeros_like(found.terminated)

    def mean(terminated, truncated):
        got = discounted_return(found.rewards, after, terminated, truncated, gamma=gamma)
        return found.probabilities @ got[0]

    right = mean(found.terminated, found.truncated)
    assert right == sum(Fraction(p) * v for p, v in zip(mdp.start, values, strict=True))

    def worth(flags):
        powers = np.array([gamma ** (t + 1) for t in range(len(flags))])[:, None]
        return found.probabilities @ np.where(flags, powers * after, Fraction(0)).sum(axis=0)

    assert right - mean(found.terminated | found.truncated, off) == worth(found.truncated)
    wrong = mean(off, found.terminated | found.truncated)
    assert wrong - right == worth(found.terminated)
