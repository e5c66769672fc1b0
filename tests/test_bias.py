"""Exact bias: the suite's estimators over their class, baselines, arithmetic."""

from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import rlverify
from finite_problems import policies, problems, telling_problems
from rlverify.biasing import estimation
from rlverify.biasing.estimation import OFF_POLICY, ON_POLICY
from rlverify.biasing.measurement import Finding, measure
from rlverify.biasing.preparation import uniform
from rlverify.biasing.situation import Recorded, Situation
from rlverify.expectation import exact_expectation
from rlverify.rationalization import rational_policy
from rlverify.tabular_envs.environments import two_button_game
from rlverify.tabular_envs.garnet import garnet

ROOT = Path(__file__).resolve().parents[1]
BY_NAME = {item.name: item for item in (*ON_POLICY, *OFF_POLICY)}
HALF = Fraction(1, 2)


def situated(problem: Any, **more: Any) -> Situation:
    mdp, policy, behaviour, gamma, horizon = problem
    options = {"behaviour": None, "lam": HALF, "batch": 2, **more}
    if options["behaviour"] is not None:
        options["behaviour"] = behaviour
    return Situation(mdp, policy, gamma=gamma, horizon=horizon, **options)


def wrong_critic(states: int, seed: int) -> Any:
    drawn = np.random.default_rng(seed).integers(-16, 17, size=states).tolist()
    found = np.empty(states, dtype=object)
    found[:] = [Fraction(x, 8) for x in drawn]
    return found


def found(situation: Situation, name: str) -> Finding:
    return measure(situation, BY_NAME[name])


# what holds for every process

# half of the draws are trivial in some way, half are not
EITHER = st.one_of(problems(least=1), telling_problems())


@pytest.mark.claim("C8")
@pytest.mark.claim("C9")
@given(problem=EITHER, seed=st.integers(0, 2**32), bootstrap=st.booleans())
@settings(max_examples=40, deadline=None)
def test_unbiased_whatever_the_process_and_the_critic(problem, seed, bootstrap):
    """Only the estimators that bootstrap inside an episode need a critic that is right."""
    mdp, _, _, gamma, _ = problem
    table = wrong_critic(mdp.states, seed)
    situation = situated(problem, table=table, bootstrap=bootstrap)
    zero = [0] * (mdp.states * mdp.actions)
    names = ("total-return", "reward-to-go", "constant-baseline", "optimal-constant")
    for name in (*names, "value-baseline", "optimal-baseline"):
        assert found(situation, name).bias.tolist() == zero, name
    for name in ("reward-to-go-no-gamma-t", "value-baseline-no-gamma-t"):
        each = found(situation, name)
        assert each.expectation.mean.tolist() == situation.field.tolist(), name
        assert each.targets[-1:] == ("undiscounted",) or gamma != 1 or not situation.field.any()
    assert found(situation, "likelihood").expectation.mean.tolist() == zero


@pytest.mark.claim("C12")
@given(problem=EITHER)
@settings(max_examples=40, deadline=None)
def test_with_the_exact_critic_bootstrapping_is_unbiased(problem):
    situation = situated(problem)
    assert not found(situation, "actor-critic").bias.any()
    assert not found(situation, "gae").bias.any()
    assert found(situation, "gae-no-gamma-t").expectation.mean.tolist() == situation.field.tolist()


@pytest.mark.claim("C13")
@given(problem=EITHER, seed=st.integers(0, 2**32), bootstrap=st.booleans())
@settings(max_examples=30, deadline=None)
def test_importance_weights(problem, seed, bootstrap):
    table = wrong_critic(problem[0].states, seed)
    situation = situated(problem, behaviour=True, table=table, bootstrap=bootstrap)
    for name in ("importance-trajectory", "importance-step", "importance-value-baseline"):
        assert not found(situation, name).bias.any(), name


@given(
    problem=st.one_of(problems(least=1, horizon=2), telling_problems(2)), batch=st.integers(2, 3)
)
@settings(max_examples=15, deadline=None)
def test_batch_mean_and_leave_one_out(problem, batch):
    mdp = problem[0]
    situation = situated(problem, batch=batch)
    count = situation.trajectories.probabilities.size
    assume(comb(count + batch - 1, batch) <= 600)
    mean = found(situation, "batch-mean")
    assert (
        mean.expectation.mean.tolist() == (Fraction(batch - 1, batch) * situation.gradient).tolist()
    )
    assert mean.factor == (Fraction(batch - 1, batch) if situation.gradient.any() else None)
    assert found(situation, "leave-one-out").bias.tolist() == [0] * (mdp.states * mdp.actions)


def test_variance_of_a_batch_by_hand():
    # each estimate is S²/2 times (1, −1), S² the sample variance of N numbers ±1, whose own
    # variance is 2/(N(N−1)); less the mean that contains them it is (N−1)/N of that
    game = two_button_game(100)
    for batch in (2, 3, 4):
        situation = Situation(game, uniform(game), None, HALF, HALF, 1, batch)
        assert found(situation, "leave-one-out").variance == Fraction(1, batch - 1)
        assert found(situation, "batch-mean").variance == Fraction(batch - 1, batch**2)


# baselines


def scatter(situation: Situation, weights: Any) -> Fraction:
    every = situation.recorded
    expectation = exact_expectation(
        lambda _: every.weighted(weights),
        situation.mdp,
        situation.policy,
        horizon=situation.horizon,
    )
    return expectation.covariance.trace()


def sizes(situation: Situation, weights: Any) -> Fraction:
    every = situation.recorded
    direction = every.weighted(weights)
    return every.found.probabilities @ (direction * direction).sum(axis=1)


@pytest.mark.claim("C9")
@given(problem=EITHER, seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_the_optimal_baselines_are_optimal(problem, seed):
    """Var(b) = Var(b*) + Σ (b − b*)² E‖φ‖², exactly, for any b: nothing scatters less than b*."""
    situation = situated(problem)
    every, mdp = situation.recorded, situation.mdp
    drawn = np.random.default_rng(seed).integers(-16, 17, size=(every.steps, mdp.states))
    other = drawn.astype(object) * Fraction(1, 8)
    rows = np.arange(every.steps)[:, None]

    def at(baseline: Any) -> Any:
        return every.powers * (every.returns - baseline[rows, every.found.states[:-1]])

    best = estimation.optimal_baseline(situation)
    least = scatter(situation, at(best))
    assert least == found(situation, "optimal-baseline").variance
    more = sum(
        (other[t, s] - best[t, s]) ** 2
        * sizes(
            situation,
            np.where(
                (np.arange(every.steps)[:, None] == t) & (every.found.states[:-1] == s),
                every.powers,
                Fraction(0),
            ),
        )
        for t in range(every.steps)
        for s in range(mdp.states)
    )
    assert scatter(situation, at(other)) == least + more

    constant = estimation.optimal_constant(situation)
    least = scatter(situation, every.powers * (every.returns - constant))
    direction = every.powers + 0 * every.returns
    more = (other[0, 0] - constant) ** 2 * sizes(situation, direction)
    assert scatter(situation, every.powers * (every.returns - other[0, 0])) == least + more


def variances(report: Any) -> dict[str, Fraction]:
    return {each.name: each.variance for each in report.findings}


@pytest.mark.claim("C8")
@pytest.mark.claim("C9")
def test_variance_falls_on_the_named_process():
    found = variances(rlverify.bias())
    names = ("total-return", "reward-to-go", "value-baseline", "optimal-baseline")
    figures = [found[name] for name in names]
    assert all(isinstance(figure, Fraction) for figure in figures)
    assert figures == sorted(figures, reverse=True)
    assert len(set(figures)) == len(figures)


@pytest.mark.claim("C8")
def test_reward_to_go_can_scatter_more():
    path = ROOT / "docs" / "examples" / "opposites.json"
    found = variances(rlverify.bias(mdp=str(path), gamma=1, horizon=2, batch=2))
    # the return is always 0; to go there are 10, at a score of ‖∂log π‖² = 2 · ¾ · ¼ on average
    assert found["total-return"] == 0
    assert found["reward-to-go"] == 100 * Fraction(3, 8)


@pytest.mark.claim("C9")
def test_a_value_baseline_can_scatter_more():
    examples = ROOT / "docs" / "examples"
    found = variances(
        rlverify.bias(
            mdp=str(examples / "bandit.json"),
            policy=str(examples / "nine-in-ten.json"),
            horizon=1,
        )
    )
    # r (1−p)√2 with probability p = 9/10: 2p(1−p)³; r − V is 1/10 or −9/10: E‖ĝ‖² is
    # 2p(1−p)⁴ + 2(1−p)p⁴, less ‖∇J‖² = 2p²(1−p)²
    p, q = Fraction(9, 10), Fraction(1, 10)
    assert found["total-return"] == 2 * p * q**2 - 2 * p**2 * q**2
    assert found["value-baseline"] == 2 * p * q**4 + 2 * q * p**4 - 2 * p**2 * q**2
    assert found["value-baseline"] > found["total-return"]


@pytest.mark.claim("C10")
@given(bonus=st.integers(-1000, 1000), data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_two_button_game(bonus, data):
    """The gradient stays, the variance follows the formula of docs/bias.md."""
    game = two_button_game(bonus)
    policy = data.draw(policies(game, 1))
    situation = Situation(game, policy, None, HALF, HALF, 1, 1)
    p, c = policy[0, 0], bonus
    assert situation.gradient.tolist() == [2 * p * (1 - p), -2 * p * (1 - p), 0, 0]
    variance = found(situation, "total-return").variance
    assert variance == 2 * p * (1 - p) * (c + 1 - 2 * p) ** 2


# arithmetic


def test_floats_agree_with_fractions():
    """In floats each bias keeps to what it allows, and targets and factors are the same."""
    policy = rational_policy([[1, 2], [5, 2]])
    for behaviour in (None, "uniform"):
        options = {"gamma": "9/10", "lam": "1/3", "policy": policy, "behaviour": behaviour}
        exact, rounded = rlverify.bias(**options), rlverify.bias(**options, exact=False)
        assert exact.situation.exact
        assert not rounded.situation.exact
        for one, other in zip(exact.findings, rounded.findings, strict=True):
            assert (one.name, one.targets, one.factor) == (other.name, other.targets, other.factor)
            assert not one.allowed.any()
            pairs = zip(other.expectation.mean.tolist(), one.expectation.mean, strict=True)
            error = [abs(Fraction(got) - wanted) for got, wanted in pairs]
            allowed = other.allowed.tolist()
            assert all(e <= b for e, b in zip(error, allowed, strict=True)), one.name


def through_logarithms(rewards, values):
    return np.exp(np.log(rewards)) - values


def test_what_cancels_is_allowed_for():
    """A large bonus that a baseline takes away leaves its rounding, and that is no bias."""
    game = {"mdp": "two_button_game(1000001)", "horizon": 1, "arrays": "numpy"}
    found = rlverify.bias(through_logarithms, table=False, **game).finding
    gradient = rlverify.bias(table=False, mdp=game["mdp"], horizon=1).situation.gradient
    got = [Fraction(x) for x in found.expectation.mean.tolist()]
    error = max(abs(x - y) for x, y in zip(got, gradient, strict=True))
    # far more than the sum rounds, and than the estimates do for their own size
    assert error > found.expectation.rounding.max()
    assert error > 2**-53 * found.expectation.largest.max()
    assert found.unbiased
    assert found.precision == "float64"


def test_what_is_not_dyadic_is_computed_in_floats():
    policy = np.full((2, 2), 0.5)
    assert not rlverify.bias(policy=policy).situation.exact
    mdp = garnet(2, 2, 1, seed=22, ending=0.25)
    thirds = np.full((2, 2, 2), 1 / 3)
    thirds[:, :, 1] = 2 / 3
    report = rlverify.bias(
        mdp=type(mdp)(thirds, mdp.reward, mdp.terminal, mdp.start), horizon=1, gamma="9/10"
    )
    assert "wanted exactly 1" in report.notes[0]
    names = {each.name for each in report.findings if each.unbiased}
    assert {"reward-to-go", "optimal-baseline", "leave-one-out"} <= names


def test_a_behaviour_that_lacks_an_action_is_told():
    behaviour = rational_policy([[1, 0], [1, 1]])
    report = rlverify.bias(behaviour=behaviour)
    assert report.notes[0].startswith("the behaviour never takes action 1 in state 0, which the")
    by_name = {each.name: each for each in report.findings}
    assert not by_name["importance-trajectory"].unbiased


def test_too_many_batches_are_left_out():
    report = rlverify.bias(mdp="grid(2, 2)", horizon=2, batch=6)
    names = {each.name for each in report.findings}
    assert not names & {"batch-mean", "leave-one-out"}
    assert "batch-mean is left out: 6 of 16 trajectories make 54264 batches" in report.notes[0]


def test_what_a_trajectory_is_told():
    """The horizon ends an episode, unless it is a time limit."""
    for bootstrap in (False, True):
        situation = rlverify.bias(bootstrap=bootstrap).situation
        every = situation.recorded
        last = every.found.truncated[-1]
        assert last.any()
        assert (every.terminated[-1][last] == (not bootstrap)).all()
        assert every.truncated[-1].any() == bootstrap
        assert every.following[-1][last].any() == bootstrap
        worth = situation.objective
        assert every.found.probabilities @ every.returns[0] == worth


def test_recorded_columns_are_those_of_the_whole():
    situation = rlverify.bias(bootstrap=True, critic="+1/4").situation
    every, count = situation.recorded, situation.trajectories.probabilities.size
    for column in range(count):
        alone = Recorded(situation, situation.trajectories.single(column))
        steps = alone.steps
        for name in ("values", "next_values", "returns", "errors", "advantages", "following"):
            one, whole = getattr(alone, name), getattr(every, name)
            assert one[:, 0].tolist() == whole[:steps, column].tolist(), name
