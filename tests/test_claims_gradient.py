"""Claims about what estimates the gradient: C2, C7, C8, C13, C16. In fractions: equal is equal.

Derivatives that the claims are held against are carried by dual numbers through weights w of a
policy w/Σw, with ∂/∂θ = w ∂/∂w for θ = log w: neither scores nor the policy gradient theorem.
"""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exact_cases import (
    Problem,
    at_states,
    column,
    deterministic,
    numbers,
    powers,
    problems,
    reinforce,
    returns_to_go,
    some,
    step_scores,
    total_returns,
    weighted,
)
from finite_problems import even, policies
from rational_mdp import Truth
from rlverify.differentiation import Dual
from rlverify.enumeration import enumerate_trajectories, rational_policy
from rlverify.expectation import exact_expectation, true_gradient


def gradient_of(problem):
    return true_gradient(problem.mdp, problem.policy, gamma=problem.gamma, horizon=problem.horizon)


def directions(policy):
    """Yield each logit's index, and the policy as dual numbers that move with it."""
    for index in np.ndindex(policy.shape):
        weights = policy.copy()
        weights[index] = Dual(policy[index], policy[index])
        yield index, weights / weights.sum(axis=1, keepdims=True)


def slope(number):
    return number.slope if isinstance(number, Dual) else 0


def slopes(array):
    return np.array([slope(x) for x in array.flat], dtype=object).reshape(array.shape)


def exact_values(problem):
    """Q and V of each time, [H, S, A] and [H+1, S]."""
    mdp = problem.mdp
    truth = Truth(mdp, problem.policy.tolist(), problem.gamma)
    values = truth.horizon_values(problem.horizon, [Fraction(0)] * mdp.states)
    q = [[[truth.q(s, a, row) for a in truth.a] for s in truth.s] for row in values[1:]]
    return np.array(q, dtype=object), np.array(values, dtype=object)


def at_pairs(table, found):
    """Look up a table [H, S, A] at the steps, [H, N]."""
    times = np.arange(len(found.mask))[:, None]
    return table[times, found.states[:-1], found.actions]


# C2


def drawn(shares, uniform):
    """Index of an outcome by inversion, with the uniform as the sample."""
    total = Fraction(0)
    for index, share in enumerate(shares):
        total = total + share
        if uniform < total:
            return index
    raise AssertionError("the shares sum to 1, and a uniform is less")


def play(problem, policy, uniforms):
    """Discounted return of one episode; the policy may be made of dual numbers."""
    mdp, total = problem.mdp, Dual(Fraction(0))
    state = drawn([Fraction(p) for p in mdp.start], uniforms[0][0])
    for t in range(problem.horizon):
        for_action, for_state = uniforms[t + 1]
        action = drawn(policy[state], for_action)
        entered = drawn([Fraction(p) for p in mdp.transition[state, action]], for_state)
        total = total + problem.gamma**t * Fraction(mdp.reward[state, action, entered])
        if mdp.terminal[state, action, entered]:
            break
        state = entered
    return total


uniforms = st.integers(0, 2**20 - 1).map(lambda n: Fraction(n, 2**20))


@pytest.mark.claim("C2")
@some
@given(data=st.data(), problem=problems())
def test_the_plain_average_of_rewards_has_no_derivative(data, problem):
    """Σ R(τₙ)/N with the samples fixed, although J itself has one and every P(τ) depends on θ."""
    gradient = gradient_of(problem)
    assume(gradient.any())
    pairs = st.tuples(uniforms, uniforms)
    length = problem.horizon + 1
    samples = data.draw(
        st.lists(st.lists(pairs, min_size=length, max_size=length), min_size=1, max_size=4)
    )
    for _, moved in directions(problem.policy):
        average = sum(play(problem, moved, sample) for sample in samples) / len(samples)
        assert average.slope == 0


@pytest.mark.claim("C2")
@some
@given(problem=problems())
def test_the_score_function_estimate_has_the_right_mean(problem):
    """E[R ∇log P(τ)] = Σ R ∇P(τ) = ∇J: the part that the plain average leaves out."""
    found, gradient = problem.every, gradient_of(problem)
    returns = total_returns(found, problem.gamma)
    scores = step_scores(found, problem.policy)
    assert problem.expectation(weighted(returns, scores)).mean.tolist() == [*gradient.flat]
    for index, moved in directions(problem.policy):
        likelihoods = (
            moved[found.states[:-1], found.actions]
            / problem.policy[found.states[:-1], found.actions]
        )
        moving = np.where(found.mask, likelihoods, Fraction(1)).prod(axis=0)
        # what REINFORCE multiplies with is the derivative of the log-likelihood
        flat = np.ravel_multi_index(index, problem.policy.shape)
        assert slopes(moving).tolist() == scores.sum(axis=0)[:, flat].tolist()
        assert (found.probabilities * slopes(moving) * returns[0]).sum() == gradient[index]


# C7


def policy_slopes(policy):
    """∂π(a|s)/∂θ(s,b) by dual numbers, [S, B, A]; other states' probabilities do not move."""
    result = np.empty((*policy.shape, policy.shape[1]), dtype=object)
    for (s, b), moved in directions(policy):
        result[s, b] = slopes(moved[s])
        others = np.delete(moved, s, axis=0)
        assert not slopes(others).any()
    return result


@pytest.mark.claim("C7")
@some
@given(problem=problems(gammas=st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(7, 8)])))
def test_policy_gradient_theorem(problem):
    """∇J = Σₛ d(s) Σₐ ∇π(a|s) Q(s,a), and with A for Q; d = Σ γᵗ P(sₜ = s), not normalised."""
    mdp, policy, gamma = problem.mdp, problem.policy, problem.gamma
    truth = Truth(mdp, policy.tolist(), gamma)
    values, visits = truth.values(), truth.visits()
    q = np.array([[truth.q(s, a, values) for a in truth.a] for s in truth.s], dtype=object)
    advantages = q - np.array(values, dtype=object)[:, None]
    wanted = truth.gradient(policy.tolist(), lambda moved: moved.values())
    moves = policy_slopes(policy)
    for table in (q, advantages):
        found = [visits[s] * (moves[s, b] @ table[s]) for s, b in np.ndindex(policy.shape)]
        assert found == wanted
    if not mdp.terminal.any():
        # normalised it would sum to 1, and the gradient would lack this factor
        assert sum(visits) == 1 / (1 - gamma)


@pytest.mark.claim("C7")
@some
@given(problem=problems())
def test_policy_gradient_theorem_of_the_first_steps(problem):
    """The same with a horizon and any γ; the visits are counted in the trajectories."""
    mdp, found, gamma = problem.mdp, problem.every, problem.gamma
    q, values = exact_values(problem)
    advantages = q - values[:-1, :, None]
    visits = np.zeros((problem.horizon, mdp.states), dtype=object)
    for t, discount in enumerate(powers(found, gamma)[:, 0]):
        for n in np.flatnonzero(found.mask[t]):
            visits[t, found.states[t, n]] += discount * found.probabilities[n]
    moves = policy_slopes(problem.policy)
    for table in (q, advantages):
        got = [
            sum(visits[t, s] * (moves[s, b] @ table[t, s]) for t in range(problem.horizon))
            for s, b in np.ndindex(problem.policy.shape)
        ]
        assert got == [*gradient_of(problem).flat]


# C8


def total(found, policy, gamma):
    return weighted(total_returns(found, gamma), step_scores(found, policy))


def to_go(found, policy, gamma):
    weights = reinforce(found, gamma, to_go=True, discount_states=True)
    return weighted(weights, step_scores(found, policy))


def scatter(problem, estimates):
    """The sum of the variances."""
    return problem.expectation(estimates).covariance.trace()


@pytest.mark.claim("C8")
@some
@given(problem=problems())
def test_reward_to_go_and_total_return_have_equal_expectations(problem):
    found, arguments = problem.every, (problem.policy, problem.gamma)
    means = [problem.expectation(make(found, *arguments)).mean for make in (total, to_go)]
    assert means[0].tolist() == means[1].tolist() == [*gradient_of(problem).flat]


def two_rewards(first, second, bonus=0):
    """Two steps in a row; both actions lead on, and action 1 pays the bonus on top."""
    return deterministic(
        {
            (s, a): (s + 1, r + a * bonus, s == 1)
            for s, r in ((0, first), (1, second))
            for a in (0, 1)
        }
    )


def two_steps(mdp, gamma=1):
    return Problem(mdp, even(mdp), even(mdp), Fraction(gamma), 2)


@pytest.mark.claim("C8")
def test_reward_to_go_scatters_less_where_past_rewards_are_noise():
    """Rewards 10 and 10, and 1 more for action 1: tr Cov 441¼ and 275¾, for one gradient."""
    problem = two_steps(two_rewards(10, 10, bonus=1))
    found, arguments = problem.every, (problem.policy, problem.gamma)
    assert scatter(problem, total(found, *arguments)) == Fraction(1765, 4)
    assert scatter(problem, to_go(found, *arguments)) == Fraction(1103, 4)
    assert gradient_of(problem)[:2].tolist() == [[Fraction(-1, 4), Fraction(1, 4)]] * 2


@pytest.mark.claim("C8")
def test_reward_to_go_scatters_more_where_rewards_cancel():
    """r = (−10, +10): the total return is 0 in every episode, the return to go is not."""
    problem = two_steps(two_rewards(-10, 10))
    found, arguments = problem.every, (problem.policy, problem.gamma)
    assert scatter(problem, total(found, *arguments)) == 0
    assert scatter(problem, to_go(found, *arguments)) == 50  # ½ · 0² + ½ · 10²


# C13


def bandit(rewards):
    """One state, one step, these rewards."""
    return deterministic({(0, a): (1, float(r), True) for a, r in enumerate(rewards)})


def moments(mdp, policy, behaviour):
    """Mean and variance of the reward weighted by the ratio, while `behaviour` acts."""
    found = exact_expectation(
        lambda found: (found.ratios * found.rewards).T, mdp, policy, horizon=1, behaviour=behaviour
    )
    return found.mean[0], found.covariance[0, 0]


@st.composite
def distributions(draw):
    """Return a bandit's rewards f and two distributions p, q, any of which may hold zeros."""
    size = draw(st.integers(1, 5))
    f = draw(st.lists(st.one_of(st.just(Fraction(0)), numbers), min_size=size, max_size=size))
    mdp = bandit(f)
    return f, mdp, draw(policies(mdp)), draw(policies(mdp))


@pytest.mark.claim("C13")
@settings(max_examples=100)
@given(distributions())
def test_importance_sampling(drawn_numbers):
    """E_q[f p/q] = E_p f and Var_p f − Var_q(f p/q) = Σ p f² (1 − p/q), if q > 0 where p f ≠ 0.

    Where it is not, the mean lacks Σ_{q=0} p f.
    """
    f, mdp, p, q = drawn_numbers
    plain, weighted_mean = moments(mdp, p, p), moments(mdp, p, q)
    triples = list(zip(f, p[0], q[0], strict=True))
    assert plain[0] == sum(x * a for x, a, _ in triples)
    missing = sum((x * a for x, a, b in triples if b == 0), Fraction(0))
    assert weighted_mean[0] == plain[0] - missing
    if all(b > 0 for x, a, b in triples if x * a != 0):
        assert weighted_mean[0] == plain[0]
        gap = sum(a * x**2 * (1 - a / b) for x, a, b in triples if x * a != 0)
        assert plain[1] - weighted_mean[1] == gap


@pytest.mark.claim("C13")
def test_importance_sampling_can_lower_and_raise_the_variance_and_miss_half_of_the_mean():
    """f = (3, 1) under p = (¼, ¾): q ∝ p f leaves no variance, the reverse one raises it."""
    mdp, (p, even_row) = bandit((3, 1)), rational_policy([[1, 3], [1, 1]])
    policy = np.stack([p, even_row])
    found = {
        name: moments(mdp, policy, np.stack([column(*q), even_row]))
        for name, q in {
            "p": ("1/4", "3/4"), "best": ("1/2", "1/2"), "worse": ("1/8", "7/8"), "blind": (0, 1)
        }.items()
    }  # fmt: skip
    mean, variance = Fraction(3, 2), Fraction(3, 4)
    assert found["p"] == (mean, variance)
    assert found["best"] == (mean, 0)
    # Σ p²f²/q − (3/2)² = 9/2 + 9/14 − 9/4
    assert found["worse"] == (mean, Fraction(81, 28))
    # q = 0 where p f = 3/4
    assert found["blind"][0] == mean - Fraction(3, 4)


@pytest.mark.claim("C13")
@some
@given(problem=problems())
def test_importance_sampling_of_whole_trajectories(problem):
    """The same two identities with P(τ) for p and with the return for f."""
    on = problem.every
    off = enumerate_trajectories(
        problem.mdp, problem.policy, horizon=problem.horizon, behaviour=problem.behaviour
    )
    p, q, f = on.probabilities, off.probabilities, total_returns(on, problem.gamma)[0]
    ratios = off.ratios.prod(axis=0)
    assert (ratios * q).tolist() == p.tolist()
    found = exact_expectation(
        lambda found: (found.ratios.prod(axis=0) * f)[:, None],
        problem.mdp, problem.policy, horizon=problem.horizon, behaviour=problem.behaviour,
    )  # fmt: skip
    plain = problem.expectation(f[:, None])
    assert found.mean[0] == plain.mean[0] == (p * f).sum()
    gap = (p * f**2 * (1 - p / q)).sum()
    assert plain.covariance[0, 0] - found.covariance[0, 0] == gap


# C16


@pytest.mark.claim("C16")
@some
@given(problem=problems(), data=st.data())
def test_the_surrogate_has_the_gradient_at_the_old_policy(problem, data):
    """L(θ) = E_old Σ γᵗ (π_θ/π_old) wₜ, for w the advantage, Q, the return to go, or any of them
    less a baseline; and the form with the ratio of the whole trajectory and its return."""
    found, gamma = problem.every, problem.gamma
    q, values = exact_values(problem)
    baseline = np.array([data.draw(numbers) for _ in range(problem.mdp.states)], dtype=object)
    credits = {
        "advantage": at_pairs(q - values[:-1, :, None], found),
        "Q": at_pairs(q, found),
        "return to go": returns_to_go(found, gamma),
        "less a baseline": returns_to_go(found, gamma) - at_states(baseline, found),
    }
    gradient = gradient_of(problem)
    at = found.states[:-1], found.actions
    for index, moved in directions(problem.policy):
        ratios = np.where(found.mask, moved[at] / problem.policy[at], Fraction(0))
        for name, credit in credits.items():
            surrogate = (powers(found, gamma) * ratios * credit).sum(axis=0) @ found.probabilities
            assert slope(surrogate) == gradient[index], name
        whole = np.where(found.mask, ratios, Fraction(1)).prod(axis=0)
        surrogate = (whole * total_returns(found, gamma)[0]) @ found.probabilities
        assert slope(surrogate) == gradient[index]


@pytest.mark.claim("C16")
def test_elsewhere_the_surrogate_has_another_gradient():
    """Away from the old policy they differ: two steps, the second button only after the first."""
    mdp = deterministic({(0, 0): (2, 0, True), (0, 1): (1, 0, False), (1, 0): (2, 0, True),
                         (1, 1): (2, 1, True)})  # fmt: skip
    old, new = rational_policy([[1, 1]] * 3), rational_policy([[1, 3]] * 3)
    problem = Problem(mdp, new, old, Fraction(1), 2)
    q, values = exact_values(Problem(mdp, old, old, Fraction(1), 2))
    found = enumerate_trajectories(mdp, old, horizon=2)
    credit = at_pairs(q - values[:-1, :, None], found)
    at = found.states[:-1], found.actions
    credit = np.where(found.mask, credit / old[at], Fraction(0))
    surrogates = [
        slope((moved[at] * credit).sum(axis=0) @ found.probabilities)
        for _, moved in directions(new)
    ]
    # J = p₀p₁ has p₀(1−p₀)p₁ = 9/64 in the first logit; L knows the old p₁ and the old visits only
    assert gradient_of(problem)[:2].ravel().tolist() == [Fraction(x, 64) for x in (-9, 9, -9, 9)]
    assert surrogates[:4] == [Fraction(x, 64) for x in (-6, 6, -6, 6)]
