"""Exact bias of strangers' estimators: every form, mistakes and what is said of them."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rlverify
from policy_losses import advantages_given, judged, returns_to_go, with_log_probs

ROOT = Path(__file__).resolve().parents[1]
LOSSES = str(ROOT / "docs" / "examples" / "losses.py")


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
    wanted = next(each for each in rlverify.bias().findings if each.name == "reward-to-go")
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


def test_declared_calls():
    call = "advantages_given(log_probs, advantages:gae)"
    assert judged(advantages_given, call=call).finding.target == "field"
    assert judged(advantages_given, call=call, gamma=1).ok

    def objective(log_probs, rewards, gamma):
        return -with_log_probs(log_probs, rewards, gamma)

    assert not judged(objective).ok
    assert judged(objective, call="objective(log_probs, rewards, gamma) -> objective").ok
