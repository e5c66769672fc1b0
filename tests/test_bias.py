"""Exact bias: the suite's estimators over their class, strangers' mistakes, the command."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import rlverify
from finite_problems import policies, problems, telling_problems
from rlverify import cli
from rlverify.biasing import estimation
from rlverify.biasing.estimation import OFF_POLICY, ON_POLICY, estimators
from rlverify.biasing.measurement import Finding, measure
from rlverify.biasing.preparation import uniform
from rlverify.biasing.situation import Recorded, Situation
from rlverify.calling import CallError
from rlverify.expectation import exact_expectation
from rlverify.rationalization import rational_policy
from rlverify.tabular_envs.environments import two_button_game
from rlverify.tabular_envs.garnet import garnet

ROOT = Path(__file__).resolve().parents[1]
LOSSES = str(ROOT / "docs" / "examples" / "losses.py")
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


# strangers


def judged(function: Any = None, **options: Any) -> Any:
    return rlverify.bias(function, table=False, **options)


def returns_to_go(rewards: Any, gamma: float) -> Any:
    powers = gamma ** torch.arange(len(rewards), dtype=rewards.dtype)[:, None]
    return (powers * rewards).flip(0).cumsum(0).flip(0)


def with_log_probs(log_probs, rewards, gamma):
    return -(log_probs * returns_to_go(rewards, gamma)).sum(0).mean()


def with_logits(logits, actions, rewards, mask, gamma):
    log_probs = torch.distributions.Categorical(logits=logits).log_prob(actions)
    return with_log_probs(torch.where(mask, log_probs, 0.0), rewards, gamma)


def with_table(theta, obs, acts, rew, mask, discount_factor):
    log_probs = torch.log_softmax(theta, -1)[obs, acts]
    return {"entropy": 0.0, "loss": with_log_probs(log_probs * mask, rew, discount_factor)}


def with_numbers(log_probs, rewards, gamma):
    loss, following = 0.0, 0.0
    for t in reversed(range(len(rewards))):
        following = rewards[t].item() + gamma * following
        loss = loss - log_probs[t] * gamma**t * following
    return loss


def with_weights(rewards, gamma):
    weights, following = np.zeros_like(rewards), 0
    for t in reversed(range(len(rewards))):
        following = weights[t] = rewards[t] + gamma * following
    return gamma ** np.arange(len(rewards))[:, None] * weights


def with_gradient(states, actions, rewards, mask, gamma):
    policy, gradient = np.array([[0.25, 0.75], [0.75, 0.25]]), np.zeros((2, 2))
    weights = with_weights(rewards, gamma)
    for t, b in np.argwhere(mask):
        s, a = states[t, b], actions[t, b]
        gradient[s] += weights[t, b] * ((np.arange(2) == a) - policy[s])
    return gradient / rewards.shape[1]


def flags_as_floats(log_probs, rewards, dones, gamma):
    assert (dones * (1 - dones)).sum() == 0  # booleans have no 1 − x in torch
    return with_log_probs(log_probs, rewards, gamma)


def single_precision(log_probs, rewards, gamma):
    return with_log_probs(log_probs.float(), rewards.float(), gamma)


FORMS: dict[str, Callable[..., Any]] = {
    "a loss of log-probabilities": with_log_probs,
    "a loss of logits": with_logits,
    "a loss of the table, among other results": with_table,
    "a loss of one trajectory": with_numbers,
    "weights": with_weights,
    "a gradient": with_gradient,
    "flags as floats": flags_as_floats,
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_estimator_in_every_form(form: str):
    report = judged(FORMS[form])
    assert report.ok, report.failure or report.finding.diagnosis
    wanted = found(rlverify.bias(table=False).situation, "reward-to-go")
    error = report.finding.expectation.mean - wanted.expectation.mean.astype(np.float64)
    assert (abs(error) <= report.finding.allowed).all()
    # of the covariance, what rounding may do to a mean is as good a scale as any
    scatter = float(report.finding.variance) - float(wanted.variance)
    assert abs(scatter) <= 8 * report.finding.allowed.sum()
    # no bias in sight is smaller than that
    assert report.finding.allowed.max() < 2**-40


def test_a_loss_in_jax():
    jnp = pytest.importorskip("jax.numpy")

    def loss(log_probs, rewards, gamma):
        powers = gamma ** jnp.arange(len(rewards))[:, None]
        return -(log_probs * jnp.cumsum((powers * rewards)[::-1], 0)[::-1]).sum(0).mean()

    report = judged(loss, gamma="9/10")
    assert report.ok
    assert "jax" in report.finding.formula
    assert report.finding.precision == "float32"


def test_single_precision_is_told_apart():
    report = judged(single_precision, gamma="9/10")
    assert report.ok
    assert report.finding.precision == "float32"
    assert judged(with_log_probs, gamma="9/10").finding.precision == "float64"


MISTAKES = {
    # the five negative controls
    "batch_mean": ({}, r"^the baseline contains the return .*\(N−1\)/N = 3/4 of ∇J$"),
    "standardised": ({}, r"^it divides by the spread of the batch"),
    "late_gamma": ({}, r"^it drops one γ"),
    "squared_ratio": (
        {"behaviour": "uniform"},
        r"^it squares the importance ratio of the trajectory$",
    ),
    "action_baseline": ({}, r"depends on the action: .* 0\.25 for action 0, -0\.5 for action 1$"),
    # and the most common of all
    "no_gamma_t": ({}, r"^it lacks γᵗ before each step"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_negative_controls(name: str):
    options, told = MISTAKES[name]
    report = judged(f"{LOSSES}:{name}", **options)
    assert not report.ok
    assert report.failure == ""
    assert re.search(told, report.finding.diagnosis), report.finding.diagnosis
    # by far more than rounding
    assert abs(report.finding.bias).max() > 2**20 * report.finding.allowed.max()


def scaled(factor: float) -> Callable[..., Any]:
    def loss(log_probs, rewards, gamma):
        return factor * with_log_probs(log_probs, rewards, gamma)

    return loss


def baseline_of_the_next_state(log_probs, rewards, next_values, gamma):
    powers = gamma ** torch.arange(len(rewards), dtype=rewards.dtype)[:, None]
    weights = returns_to_go(rewards, gamma) - powers * next_values
    return -(log_probs * weights).sum(0).mean()


def exact_q_subtracted(log_probs, rewards, q_values, gamma):
    powers = gamma ** torch.arange(len(rewards), dtype=rewards.dtype)[:, None]
    weights = returns_to_go(rewards, gamma) - powers * q_values
    return -(log_probs * weights).sum(0).mean()


def mean_over_steps(log_probs, rewards, mask, gamma):
    return -(log_probs * returns_to_go(rewards, gamma))[mask].mean()


def no_discount(log_probs, rewards):
    return with_log_probs(log_probs, rewards, 1.0)


def unweighted(log_probs, rewards, gamma):
    return with_log_probs(log_probs, rewards, gamma)


def one_step(log_probs, rewards, values, next_values, terminated, gamma):
    powers = gamma ** torch.arange(len(rewards), dtype=rewards.dtype)[:, None]
    errors = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    return -(log_probs * powers * errors).sum(0).mean()


def through_ends(log_probs, rewards, values, next_values, gamma):
    powers = gamma ** torch.arange(len(rewards), dtype=rewards.dtype)[:, None]
    return -(log_probs * powers * (rewards + gamma * next_values - values)).sum(0).mean()


DIAGNOSES = {
    "half": (scaled(0.5), {}, "the mean is γ = 1/2 times ∇J"),
    "third": (scaled(1 / 3), {"gamma": "1/2"}, "the mean is 1/H = 1/3 times ∇J"),
    "sign": (scaled(-1), {}, "its sign is reversed"),
    "next state": (baseline_of_the_next_state, {"critic": "+1"}, "its baseline V(sₜ₊₁) depends"),
    "action value": (exact_q_subtracted, {}, "its mean is 0; what it subtracts"),
    "steps": (mean_over_steps, {}, "it divides by the number of steps in the batch"),
    "no discount": (no_discount, {}, "it does not discount"),
    "no weights": (unweighted, {"behaviour": "uniform"}, "the importance ratio is missing"),
    "wrong critic": (one_step, {"critic": "+1"}, "bootstraps from a critic that is wrong"),
    "time limit": (
        with_log_probs,
        {"bootstrap": True},
        "it drops what follows the time limit",
    ),
    "ends": (through_ends, {}, "it bootstraps from the state after the end of an episode"),
}


@pytest.mark.parametrize(("loss", "options", "told"), DIAGNOSES.values(), ids=DIAGNOSES)
def test_diagnoses(loss: Callable[..., Any], options: dict[str, Any], told: str):
    report = judged(loss, **options)
    assert not report.ok
    assert told in report.finding.diagnosis


def test_an_aim_can_be_declared():
    assert judged(no_discount, aim="undiscounted").ok
    report = judged(with_log_probs, aim="field")
    assert not report.ok
    assert report.finding.diagnosis == "it is unbiased for ∇J, not for the field without γᵗ"
    assert judged(with_log_probs, aim="field", gamma=1).ok


def batch_major(log_probs, rewards, gamma):
    powers = gamma ** torch.arange(rewards.shape[1], dtype=rewards.dtype)
    to_go = (powers * rewards).flip(1).cumsum(1).flip(1)
    return -(log_probs * to_go).sum(1).mean()


def test_layouts():
    report = judged(batch_major)
    assert not report.ok
    assert "with --layout batch-major it is unbiased" in report.failure
    assert judged(batch_major, layout="batch-major").ok

    def one_axis(log_probs, rewards):
        assert rewards.ndim == 1
        others = (rewards.sum() - rewards) / (len(rewards) - 1)
        return -(log_probs * (rewards - others)).mean()

    game = {"mdp": "two_button_game(100)", "horizon": 1, "batch": 3}
    report = judged(one_axis, layout="samples", **game)
    assert report.ok
    assert (report.finding.samples, report.finding.expectation.count) == (3, 4)


def test_a_sum_over_the_batch_is_told():
    def summed(log_probs, rewards, gamma):
        return with_log_probs(log_probs, rewards, gamma) * rewards.shape[1]

    report = judged(summed)
    assert report.ok
    assert "it sums over its batch" in " ".join(report.finding.notes)


def test_order_in_the_batch():
    def first_is_special(log_probs, rewards, gamma):
        scale = torch.ones(rewards.shape[1], dtype=rewards.dtype)
        scale[0] = 2.0 if len(scale) > 1 else 1.0
        return -(log_probs * returns_to_go(rewards, gamma) * scale).sum(0).mean()

    report = judged(first_is_special, batch=2, layout="time-major")
    assert report.finding.factor == Fraction(3, 2)  # the mean of 2 and 1
    assert report.finding.expectation.count == 11**2


def advantages_given(log_probs, advantages):
    return -(log_probs * advantages).sum(0).mean()


def test_declared_calls():
    call = "advantages_given(log_probs, advantages:gae)"
    assert judged(advantages_given, call=call).finding.target == "field"
    assert judged(advantages_given, call=call, gamma=1).ok

    def objective(log_probs, rewards, gamma):
        return -with_log_probs(log_probs, rewards, gamma)

    assert not judged(objective).ok
    assert judged(objective, call="objective(log_probs, rewards, gamma) -> objective").ok


def nan_on_equal_returns(log_probs, rewards, gamma):
    returns = returns_to_go(rewards, gamma)[0]
    return -(log_probs * (returns - returns.mean()) / returns.std()).sum(0).mean()


def less_the_mean(log_probs, rewards, gamma):
    returns = returns_to_go(rewards, gamma)[0]
    return -(log_probs * (returns - returns.mean())).sum(0).mean()


def raising(log_probs, rewards):
    raise RuntimeError("boom")


def detached(log_probs, rewards):
    return (log_probs.detach() * rewards).sum()


def unreduced(log_probs, rewards):
    return log_probs * rewards


def random(log_probs, rewards):
    return -(log_probs * rewards * torch.rand(())).sum(0).mean()


def counting(log_probs, rewards, _calls=[]):  # noqa: B006
    _calls.append(1)
    return -(log_probs * rewards).sum(0).mean() * len(_calls)


FAILURES = {
    "randomness": (random, r"draws random numbers of its own; rlverify\.sampled_check is made"),
    "a state": (counting, r"it keeps a state or"),
    "nan": (nan_on_equal_returns, r"the estimate is nan \(for .*returns 1\.641, 1\.641"),
    "raised": (raising, r"RuntimeError: boom \(called raising\(log_probs, rewards\)"),
    "detached": (detached, r"no derivative flows back"),
    "unreduced": (unreduced, r"wanted a scalar loss; weights .* declared with '-> weights'"),
}


@pytest.mark.parametrize(("loss", "told"), FAILURES.values(), ids=FAILURES)
def test_no_estimate(loss: Callable[..., Any], told: str):
    report = judged(loss)
    assert not report.ok
    assert report.finding is None
    assert re.search(told, report.failure), report.failure


REFUSED = {
    "an unknown name": (
        lambda: judged(lambda log_probs, foo: foo),
        r"what its parameter foo means is not known",
    ),
    "several readings": (
        lambda: judged(advantages_given),
        r"more than one reading\. Declare(.|\n)*advantages:to-go(.|\n)*advantages:gae",
    ),
    "an unknown source": (
        lambda: judged(raising, call="raising(log_probs, reward)"),
        r"reward came as a source; there are log_probs",
    ),
    "a source with readings": (
        lambda: judged(raising, call="raising(log_probs, returns)"),
        r"returns came as a source; wanted returns:to-go or returns:total",
    ),
    "an output": (
        lambda: judged(raising, call="raising(log_probs, rewards) -> gae"),
        r"wanted one of loss, objective, weights, gradient after '->'",
    ),
    "no derivative": (
        lambda: judged(raising, call="raising(values, rewards) -> loss"),
        r"a loss has no derivative here; hand over one of log_probs, logits, theta",
    ),
    "built in": (
        lambda: judged(raising, call="raising(log_probs, rewards) where gamma=1"),
        r"nothing can stand after 'where' here",
    ),
    "an estimator": (lambda: judged("gea"), r"no estimator 'gea' here; did you mean 'gae'"),
    "a layout": (lambda: judged(raising, layout="rows"), r"layout came as 'rows', wanted"),
    "samples of several steps": (
        lambda: judged(raising, layout="samples"),
        r"layout came as 'samples', wanted a horizon of 1",
    ),
    "an aim": (lambda: judged(aim="nothing"), r"aim came as 'nothing', wanted one of grad"),
    "a process": (lambda: judged(mdp="chian(2)"), r"no process 'chian'; did you mean"),
    "no call": (lambda: judged(mdp="chain[2]"), r"mdp came as 'chain\[2\]', wanted FILE"),
    "its arguments": (lambda: judged(mdp="chain(0)"), r"which is refused: chain: length"),
    "code": (
        lambda: judged(mdp="chain(__import__('os').getpid())"),
        r"which is refused: malformed node",
    ),
    "no file": (lambda: judged(mdp="none.json"), r"mdp came as .*there is no such file"),
    "a number": (lambda: judged(gamma="half"), r"gamma came as 'half', wanted a number"),
    "a range": (lambda: judged(gamma=2), r"gamma came as 2, wanted a number in \[0, 1\]"),
    "a count": (lambda: judged(batch=0), r"batch came as 0, wanted an integer of at least"),
    "a policy": (lambda: judged(policy="even"), r"policy came as 'even', wanted FILE.npy"),
    "a policy of another process": (
        lambda: judged(policy=np.full((3, 2), 0.5)),
        r"policy has shape \(3, 2\), but mdp has 2 states",
    ),
    "a critic": (
        lambda: judged(critic=np.zeros(3)),
        r"critic came with shape \(3,\), wanted \(2,\) or \(4, 2\)",
    ),
    "exact floats": (
        lambda: judged(policy=np.full((2, 2), 0.5), exact=True),
        r"exact arithmetic is not possible here: a policy came as floats",
    ),
    "too many batches": (
        lambda: judged(less_the_mean, mdp="cliff(2, 3)"),
        r"it couples its batch, and 4 of 64 trajectories make 766480 batches, wanted at most",
    ),
}


@pytest.mark.parametrize(("call", "told"), REFUSED.values(), ids=REFUSED)
def test_refusals(call: Callable[[], Any], told: str):
    with pytest.raises(ValueError, match=told):
        call()


def test_refusals_of_calls_are_call_errors():
    with pytest.raises(CallError):
        judged(advantages_given)


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


# the command


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(ROOT / "docs")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def command(*words: str) -> tuple[int, str, str]:
        status = cli.main(words)
        return status, *capsys.readouterr()

    return command


def test_statuses(run: Any):
    assert run("bias")[0] == 0
    assert run("bias", "batch-mean")[0] == 0  # biased, but nobody's
    status, out, _ = run("bias", "examples/losses.py:reward_to_go")
    assert (status, out.splitlines()[0]) == (0, "UNBIASED  reward_to_go")
    status, out, _ = run("bias", "examples/losses.py:no_gamma_t")
    assert (status, out.splitlines()[0]) == (1, "BIASED  no_gamma_t")
    status, out, _ = run("bias", "examples/losses.py:no_gamma_t", "--aim", "field")
    assert (status, out.splitlines()[0]) == (0, "UNBIASED(field)  no_gamma_t")
    status, out, _ = run("bias", "examples/losses.py:reward_to_go", "--aim", "field")
    assert (status, out.splitlines()[0]) == (1, "BIASED(field)  reward_to_go")
    for words in (["gea"], ["examples/none.py:f"], ["--mdp", "chian(2)"], ["--gamma", "x"]):
        status, out, error = run("bias", *words)
        assert (status, out) == (2, "")
        assert error.startswith("rlverify: error: ")


def test_json(run: Any, tmp_path: Path):
    file = tmp_path / "bias.json"
    status, _, _ = run("bias", "examples/losses.py:batch_mean", "--json", str(file))
    document = json.loads(file.read_text(encoding="utf-8"))
    assert status == 1
    assert (document["command"], document["ok"]) == ("bias", False)
    assert document["target"]["factor"] == "3/4"
    assert document["target"]["unbiased"] is False
    by_name = {each["name"]: each for each in document["results"]}
    assert by_name["reward-to-go"]["bias"] == ["0"] * 4
    gradient = [Fraction(x) for x in document["situation"]["gradient"]]
    mean = [Fraction(x) for x in by_name["batch-mean"]["mean"]]
    assert mean == [Fraction(3, 4) * x for x in gradient]


def test_the_default_answers_at_once_and_without_torch():
    code = (
        "import sys; from rlverify.cli import main; status = main(['bias']); "
        "sys.exit(status or 'torch' in sys.modules)"
    )
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # of the processor, for other tests may run beside this one
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


CONSOLE = re.compile(r"^```console\n\$ (.*)\n((?:.*\n)*?)```$", re.MULTILINE)


def blocks() -> list[tuple[str, str]]:
    text = (ROOT / "docs" / "bias.md").read_text(encoding="utf-8")
    return CONSOLE.findall(text)


@pytest.mark.parametrize(("command", "shown"), blocks(), ids=lambda item: item.split("\n")[0])
def test_the_document_shows_what_the_command_prints(run: Any, command: str, shown: str):
    import shlex

    words = shlex.split(command)
    assert words[:2] == ["rlverify", "bias"]
    _, out, _ = run(*words[1:])
    assert shown.strip() == "\n".join(line.rstrip() for line in out.splitlines()).strip()


def test_every_estimator_is_in_the_document():
    text = (ROOT / "docs" / "bias.md").read_text(encoding="utf-8")
    report = rlverify.bias(behaviour="uniform")
    variants = rlverify.bias(family="grpo").findings
    for item in (*estimators(rlverify.bias().situation), *report.findings, *variants):
        assert item.name in text


def test_a_ratio_that_is_always_one_is_noted(tmp_path):
    """On-policy a squared ratio is unbiased: nobody may take that for proof of the ratio."""
    file = tmp_path / "mine.py"
    file.write_text(
        "def loss(log_probs, old_log_probs, rewards, gamma):\n"
        "    ratio = (log_probs - old_log_probs).sum(0).exp()\n"
        "    returns = sum(gamma**t * row for t, row in enumerate(rewards))\n"
        "    return -(0.5 * ratio**2 * returns).mean()\n"
    )
    at_home = rlverify.bias(f"{file}:loss", arrays="torch", table=False)
    assert at_home.ok
    assert any("every ratio is 1" in note for note in at_home.finding.notes)
    abroad = rlverify.bias(f"{file}:loss", arrays="torch", behaviour="uniform", table=False)
    assert not abroad.ok
    assert abroad.finding.diagnosis == "it squares the importance ratio of the trajectory"
    assert not any("every ratio is 1" in note for note in abroad.finding.notes)
