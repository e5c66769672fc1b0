"""Claims about baselines, C9 and C10. In fractions: equal is equal, and more is more."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exact_cases import (
    Problem,
    at_states,
    column,
    deterministic,
    numbers,
    powers,
    problems,
    returns_to_go,
    some,
    step_scores,
    total_returns,
    weighted,
)
from finite_problems import even
from rational_mdp import Truth
from rlverify.enumeration import rational_policy
from rlverify.expectation import true_gradient
from rlverify.tabular_envs.environments import two_button_game


def estimates(problem, scores, baseline):
    """Σₜ γᵗ (Gₜ − b(sₜ)) ∂log π(aₜ|sₜ), [N, P]."""
    found, gamma = problem.every, problem.gamma
    credit = returns_to_go(found, gamma) - at_states(baseline, found)
    return weighted(powers(found, gamma) * credit, scores)


def scatter(problem, scores, baseline):
    """The sum of the variances of the elements."""
    return problem.expectation(estimates(problem, scores, baseline)).covariance.trace()


def carriers(problem, scores):
    """φₛ = Σₜ γᵗ [sₜ = s] ∂log π(aₜ|sₜ), which b(s) is taken off with, [S, N, P]."""
    found, discounts = problem.every, powers(problem.every, problem.gamma)
    return np.stack(
        [weighted(discounts * (found.states[:-1] == s), scores) for s in range(problem.mdp.states)]
    )


def joint_optimum(problem, scores):
    """b(s) = E⟨φₛ, g⟩ / E‖φₛ‖² with g the estimate without baseline; 0 where φₛ is."""
    chances = problem.every.probabilities[:, None]
    plain = estimates(problem, scores, column(*[0] * problem.mdp.states))
    found = carriers(problem, scores)
    sizes = [(chances * phi * phi).sum() for phi in found]
    pairs = zip(found, sizes, strict=True)
    best = [(chances * phi * plain).sum() / size if size else 0 for phi, size in pairs]
    return column(*best), sizes


@st.composite
def shared_parameters(draw):
    """Return a problem and its scores in parameters that several logits share."""
    problem = draw(problems())
    logits = problem.mdp.states * problem.mdp.actions
    entries = st.integers(-2, 2)
    mixing = [[draw(entries) for _ in range(2)] for _ in range(logits)]
    return problem, step_scores(problem.every, problem.policy) @ np.array(mixing, dtype=object)


def drawn_baseline(data, problem):
    return column(*[data.draw(numbers) for _ in range(problem.mdp.states)])


# C9


@pytest.mark.claim("C9")
@some
@given(problem=problems(), data=st.data())
def test_a_baseline_of_the_state_leaves_the_expectation(problem, data):
    """Whatever b(s) is, and also where it depends on the time, or on the past."""
    found, gamma = problem.every, problem.gamma
    gradient = true_gradient(problem.mdp, problem.policy, gamma=gamma, horizon=problem.horizon)
    scores = step_scores(found, problem.policy)
    got = problem.expectation(estimates(problem, scores, drawn_baseline(data, problem)))
    assert got.mean.tolist() == [*gradient.flat]
    # the baseline alone contributes nothing at any time, so it may be another one each time
    tables = [drawn_baseline(data, problem) for _ in range(problem.horizon)]
    varying = np.stack([table[row] for table, row in zip(tables, found.states[:-1], strict=True)])
    past = np.cumsum(np.vstack([0 * found.rewards[:1], found.rewards[:-1]]), axis=0)
    for term in (varying, varying * past):
        nothing = problem.expectation(weighted(powers(found, gamma) * term, scores)).mean
        assert not nothing.any()


@pytest.mark.claim("C9")
def test_a_baseline_of_the_action_does_not():
    """Off the return comes b = r(a) itself, and nothing is left of ∇J = (3/8, −3/8)."""
    game = two_button_game()
    problem = Problem(game, rational_policy([[3, 1], [1, 1]]), even(game), Fraction(1), 1)
    found = problem.every
    scores = step_scores(found, problem.policy)
    plain = problem.expectation(weighted(found.rewards, scores))
    assert plain.mean.tolist() == [Fraction(3, 8), Fraction(-3, 8), 0, 0]
    assert not problem.expectation(weighted(found.rewards - found.rewards, scores)).mean.any()


@pytest.mark.claim("C9")
@some
@given(shared=shared_parameters(), data=st.data())
def test_the_joint_optimum_has_the_smallest_variance_of_its_class(shared, data):
    """tr Cov(b) − tr Cov(b*) = Σₛ (b(s) − b*(s))² E‖φₛ‖², which is not negative."""
    problem, scores = shared
    best, sizes = joint_optimum(problem, scores)
    other = drawn_baseline(data, problem)
    gain = scatter(problem, scores, other) - scatter(problem, scores, best)
    assert gain == sum((other - best) ** 2 * np.array(sizes, dtype=object))
    assert gain >= 0


def two_rewards(first, second):
    """Two steps in a row, and 1 more for action 1 at each."""
    return deterministic(
        {(s, a): (s + 1, r + a, s == 1) for s, r in ((0, first), (1, second)) for a in (0, 1)}
    )


@pytest.mark.claim("C9")
def test_the_variance_falls_from_total_return_to_the_joint_optimum():
    """Rewards 10 and 10, 1 more for action 1, taken with ¾: 330.9, 204.8, with V 0.258, then 0.070.

    What the optimum leaves, 9/128, is the later reward's variance 3/16 times E‖score‖² = 3/8.
    """
    mdp = two_rewards(10, 10)
    problem = Problem(mdp, rational_policy([[1, 3]] * 3), even(mdp), Fraction(1), 2)
    found = problem.every
    scores = step_scores(found, problem.policy)
    total = problem.expectation(weighted(total_returns(found, 1), scores)).covariance.trace()
    values = column(*Truth(mdp, problem.policy.tolist(), 1).values())
    best, _ = joint_optimum(problem, scores)
    falling = [scatter(problem, scores, b) for b in (column(0, 0, 0), values, best)]
    assert values.tolist() == [Fraction(43, 2), Fraction(43, 4), 0]
    assert best.tolist() == [21, Fraction(41, 4), 0]
    assert [total, *falling] == [Fraction(x, 128) for x in (42354, 26220, 33, 9)]


@pytest.mark.claim("C9")
def test_the_value_can_raise_the_variance():
    """The bandit π = (.9, .1), r = (1, 0): V = .9 makes .0018 into .1152, 64 times as much."""
    mdp = deterministic({(0, 0): (1, 1, True), (0, 1): (1, 0, True)})
    problem = Problem(mdp, rational_policy([[9, 1], [1, 1]]), even(mdp), Fraction(1), 1)
    scores = step_scores(problem.every, problem.policy)
    values = column(*Truth(mdp, problem.policy.tolist(), 1).values())
    assert values.tolist() == [Fraction(9, 10), 0]
    best, _ = joint_optimum(problem, scores)
    found = [scatter(problem, scores, b) for b in (column(0, 0), values, best)]
    assert found == [Fraction(18, 10_000), Fraction(1152, 10_000), 0]
    # the optimum weighs the other button's return: b = π(1) r(0) + π(0) r(1)
    assert best[0] == Fraction(1, 10)


@pytest.mark.claim("C9")
def test_the_joint_optimum_is_not_the_one_of_each_step():
    """E[‖score‖² G | s]/E[‖score‖² | s] forgets that the steps of an episode share parameters.

    The first action leads to state 1, worth nothing, or to state 2, where action 1 pays 1; the
    logit of action 0 is one parameter for all states. Then b(2) is 1/2 and not 1/4.
    """
    leads = {(0, a): (1 + a, 0, False) for a in (0, 1)}
    ends = {(s, a): (3, float(s == 2 and a == 1), True) for s in (1, 2) for a in (0, 1)}
    mdp = deterministic(leads | ends)
    problem = Problem(mdp, rational_policy([[1, 3]] * 4), even(mdp), Fraction(1), 2)
    found = problem.every
    scores = step_scores(found, problem.policy) @ np.array([[1], [0]] * 4, dtype=object)
    best, sizes = joint_optimum(problem, scores)
    squares = found.probabilities * (scores**2).sum(axis=-1) * returns_to_go(found, Fraction(1))
    at = [(squares * (found.states[:-1] == s)).sum() for s in range(4)]
    each = column(*[a / size if size else 0 for a, size in zip(at, sizes, strict=True)])
    assert best[2] == Fraction(1, 2)
    assert each[2] == Fraction(1, 4)
    assert scatter(problem, scores, best) < scatter(problem, scores, each)


# C10


@st.composite
def games(draw):
    constant = Fraction(draw(st.integers(-(2**13), 2**13)), 8)
    weights = draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    game = two_button_game(float(constant))
    return Problem(game, rational_policy([weights, (1, 1)]), even(game), Fraction(1), 1), constant


def plain_moments(problem):
    found = problem.every
    return problem.expectation(weighted(found.rewards, step_scores(found, problem.policy)))


@pytest.mark.claim("C10")
@settings(max_examples=100)
@given(games())
def test_a_constant_leaves_the_gradient_and_changes_the_variance_as_stated(drawn):
    """E ĝ = 2p(1−p) and Var ĝ = p(1−p)(1 − 2p + c)², for the left logit; the right is minus it."""
    problem, constant = drawn
    p = problem.policy[0, 0]
    found = plain_moments(problem)
    gradient = true_gradient(problem.mdp, problem.policy, gamma=1, horizon=1)
    assert found.mean.tolist() == [*gradient.flat]
    assert found.mean[0] == -found.mean[1] == 2 * p * (1 - p)
    variance = p * (1 - p) * (1 - 2 * p + constant) ** 2
    signs = np.outer([1, -1, 0, 0], [1, -1, 0, 0])
    assert found.covariance.tolist() == (variance * signs).tolist()


@pytest.mark.claim("C10")
@pytest.mark.parametrize(
    ("weights", "gradient", "without", "with_it"),
    [((1, 1), "1/2", "0", "2500"), ((3, 1), "3/8", "3/64", "118803/64")],
    ids=["even", "three to one"],
)
def test_a_hundred_more_for_both_buttons(weights, gradient, without, with_it):
    """At p = ½ from no variance to 2500, at p = ¾ 39601 times as much; the gradient stays."""
    for bonus, variance in ((0, without), (100, with_it)):
        game = two_button_game(bonus)
        problem = Problem(game, rational_policy([weights, (1, 1)]), even(game), Fraction(1), 1)
        found = plain_moments(problem)
        assert found.mean[0] == Fraction(gradient)
        assert found.covariance[0, 0] == Fraction(variance)
