"""Score-function estimators: the contract tests, and what only these functions have."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rlverify
from rlverify.differentiation import Dual
from rlverify.fast import score_function as fast
from rlverify.fast.advantages import gae
from rlverify.fast.returns import td_error
from rlverify.reference.cross_entropy import elite_episodes, elite_steps
from rlverify.reference.score_function import (
    importance_weighted_loss,
    log_likelihood_loss,
    policy_gradient_loss,
    reinforce_weights,
)
from support import *  # noqa: F403

TOPIC = "score_function"

shapes = st.tuples(st.integers(1, 4), st.integers(1, 3))
eighths = st.integers(-40, 40).map(lambda k: Fraction(k, 8))


def drawn(data, shape, numbers=eighths):
    """Draw an array of fractions."""
    array = np.empty(shape, dtype=object)
    for i in np.ndindex(shape):
        array[i] = data.draw(numbers)
    return array


def moving(array, index):
    """Return an array as dual numbers, one of which moves."""
    duals = np.empty(array.shape, dtype=object)
    for i in np.ndindex(array.shape):
        duals[i] = Dual(array[i], Fraction(int(i == index)))
    return duals


def gradient(loss, log_probs):
    """Return the exact derivative of a loss with respect to every log-probability."""
    slopes = np.empty(log_probs.shape, dtype=object)
    for i in np.ndindex(log_probs.shape):
        slopes[i] = loss(moving(log_probs, i))[()].slope
    return slopes


# the elite and the data set


@pytest.mark.claim("C6")
@given(data=st.data(), fraction=st.sampled_from((0.1, 0.25, 0.5, 1.0)))
def test_elite_update_is_the_policy_gradient_with_weights_of_one(data, fraction):
    """The likelihood gradient on the elite is the policy gradient with 1 there, 0 elsewhere."""
    shape = data.draw(shapes)
    log_probs, returns = drawn(data, shape), drawn(data, shape)
    by_step = elite_steps(returns, None, fraction=Fraction(fraction))
    by_episode = elite_episodes(returns.sum(axis=0), fraction=Fraction(fraction))
    for elite in (by_step, np.broadcast_to(by_episode, shape)):
        weights = np.where(elite, Fraction(1), Fraction(0))
        likelihood = gradient(lambda x, elite=elite: log_likelihood_loss(x, elite), log_probs)
        policy = gradient(lambda x, w=weights: policy_gradient_loss(x, w, None), log_probs)
        assert (likelihood * int(elite.sum()) == policy * shape[1]).all()
        assert (likelihood[~elite] == 0).all()


@pytest.mark.claim("C6")
@given(data=st.data())
def test_supervised_gradient_is_the_policy_gradient_with_q_of_one(data):
    """On a data set, real steps only, the likelihood gradient is that of weights 1."""
    shape = data.draw(shapes)
    log_probs, ones = drawn(data, shape), np.full(shape, Fraction(1))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=12, max_size=12)))
    mask = mask[: shape[0] * shape[1]].reshape(shape)
    mask.flat[0] = True
    likelihood = gradient(lambda x: log_likelihood_loss(x, mask), log_probs)
    policy = gradient(lambda x: policy_gradient_loss(x, ones, mask), log_probs)
    assert (likelihood * int(mask.sum()) == policy * shape[1]).all()


# the plain average, and what the score makes of it


@pytest.mark.claim("C2")
def test_average_of_rewards_has_no_derivative_and_the_loss_has():
    """With samples fixed the Monte-Carlo estimate of J does not depend on the parameters."""
    logits = torch.zeros(3, requires_grad=True)
    actions = torch.tensor([[0, 2], [1, 1]])
    log_probs = logits.log_softmax(0)[actions]
    rewards = torch.tensor([1.0, -2.0, 4.0])[actions]
    off, start = torch.zeros(2, 2, dtype=torch.bool), torch.zeros(2, dtype=torch.int64)
    knobs = {"gamma": 0.5, "to_go": False, "discount_states": False}
    returns = fast.reinforce_weights(rewards, off, off, start, **knobs)
    estimate = returns[0].mean()
    assert estimate.item() == (1 - 1 + 4 - 1) / 2
    assert not estimate.requires_grad
    (found,) = torch.autograd.grad(fast.policy_gradient_loss(log_probs, returns, None), logits)
    assert found.any()


def branches(data, actions, steps):
    """Draw a process without states: π at every history, and a reward after each."""
    weights = {}
    for length in range(steps):
        for history in itertools.product(range(actions), repeat=length):
            parts = data.draw(st.lists(st.integers(1, 5), min_size=actions, max_size=actions))
            weights[history] = [Fraction(part, sum(parts)) for part in parts]
    histories = [
        h for n in range(1, steps + 1) for h in itertools.product(range(actions), repeat=n)
    ]
    return weights, {history: data.draw(eighths) for history in histories}


def expected_gradient(policy, rewards, gamma, knobs, at):
    """Return −E[∂ loss/∂θ_k] at one history, exactly, over all episodes of the process.

    θ are the logits at that history, so ∂ log π(a)/∂θ_k is 1[a = k] − π_k, and 0 elsewhere.
    """
    actions = len(policy[()])
    steps = max(map(len, policy)) + 1
    total = [Fraction(0)] * actions
    end, start = np.zeros((steps, 1), dtype=bool), np.zeros(1, dtype=np.int64)
    for episode in itertools.product(range(actions), repeat=steps):
        chance = Fraction(1)
        column = np.empty((steps, 1), dtype=object)
        for t in range(steps):
            chance *= policy[episode[:t]][episode[t]]
            column[t, 0] = rewards[episode[: t + 1]]
        if episode[: len(at)] != at:
            continue
        weights = reinforce_weights(column, end, end, start, gamma=gamma, **knobs)
        for k in range(actions):
            log_probs = np.full((steps, 1), Dual(Fraction(0), Fraction(0)))
            log_probs[len(at), 0] = Dual(Fraction(0), int(episode[len(at)] == k) - policy[at][k])
            total[k] -= chance * policy_gradient_loss(log_probs, weights, None)[()].slope
    return total


def true_gradient(policy, rewards, gamma, at):
    """Return ∂J/∂θ_k at one history by differentiating J itself."""
    actions = len(policy[()])
    steps = max(map(len, policy)) + 1
    total = [Fraction(0)] * actions
    for episode in itertools.product(range(actions), repeat=steps):
        value, others = Fraction(0), Fraction(1)
        for t in range(steps):
            value += gamma**t * rewards[episode[: t + 1]]
            if episode[:t] != at:
                others *= policy[episode[:t]][episode[t]]
        if episode[: len(at)] == at:
            taken = episode[len(at)]
            for k in range(actions):  # ∂π_a/∂θ_k = π_a (1[a = k] − π_k)
                slope = policy[at][taken] * (int(taken == k) - policy[at][k])
                total[k] += others * slope * value
    return total


@pytest.mark.claim("C2")
@pytest.mark.claim("C8")
@given(data=st.data())
def test_two_forms_of_reinforce_are_unbiased(data):
    """To go with γᵗ and whole without are unbiased, exactly; to go without γᵗ is off by γᵗ."""
    actions, steps = data.draw(st.sampled_from(((2, 1), (3, 1), (2, 2), (2, 3), (3, 2))))
    policy, rewards = branches(data, actions, steps)
    gamma = data.draw(st.sampled_from((Fraction(0), Fraction(1, 2), Fraction(9, 10), Fraction(1))))
    for at in {(), (1,) * (steps - 1)}:
        wanted = true_gradient(policy, rewards, gamma, at)

        def found(to_go, discount_states, at=at):
            knobs = {"to_go": to_go, "discount_states": discount_states}
            return expected_gradient(policy, rewards, gamma, knobs, at)

        assert found(True, True) == wanted
        assert found(False, False) == wanted
        assert [gamma ** len(at) * x for x in found(True, False)] == wanted
        assert found(False, True) == [gamma ** len(at) * x for x in wanted]


# gradients


def test_gradient_is_the_weight_over_the_columns():
    """∂L/∂ log π is −w/B on-policy and −ρw/B off-policy, exactly 0 where masked."""
    weights = torch.tensor([[2.0, -4.0], [1.0, float("nan")]], requires_grad=True)
    mask = torch.tensor([[True, True], [True, False]])
    log_probs = torch.tensor([[-1.0, -2.0], [-3.0, float("inf")]], requires_grad=True)
    fast.policy_gradient_loss(log_probs, weights, mask).backward()
    assert log_probs.grad.tolist() == [[-1.0, 2.0], [-0.5, 0.0]]
    assert weights.grad is None
    log_probs.grad, behaviour = None, log_probs.detach().clone().requires_grad_()
    fast.importance_weighted_loss(log_probs, behaviour, weights, mask).backward()
    assert log_probs.grad.tolist() == [[-1.0, 2.0], [-0.5, 0.0]]
    assert weights.grad is None
    assert behaviour.grad is None


def test_actor_critic_gradients_are_losses_with_other_weights():
    """TD errors give the one-step actor-critic, GAE its own; at λ = 0 they are one."""
    torch.manual_seed(0)
    rewards, values, next_values = torch.randn(3, 4, 2, dtype=torch.float64)
    off = torch.zeros(4, 2, dtype=torch.bool)
    log_probs = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    delta = td_error(rewards, values, next_values, off, gamma=0.5)
    (one_step,) = torch.autograd.grad(fast.policy_gradient_loss(log_probs, delta, None), log_probs)
    assert torch.equal(one_step, -delta / 2)
    advantages = gae(rewards, values, next_values, off, off, gamma=0.5, lam=0.0).advantages
    assert torch.equal(advantages, delta)


@given(data=st.data())
def test_ratio_of_one_has_the_gradient_of_the_policy_gradient(data):
    """On-policy, the surrogate and the log-probability loss have one gradient, not one value."""
    shape = data.draw(shapes)
    log_probs = torch.tensor(drawn(data, shape).astype(float), requires_grad=True)
    weights = torch.tensor(drawn(data, shape).astype(float))
    losses = (
        fast.policy_gradient_loss(log_probs, weights, None),
        fast.importance_weighted_loss(log_probs, log_probs.detach(), weights, None),
    )
    one, other = (torch.autograd.grad(loss, log_probs)[0] for loss in losses)
    assert torch.equal(one, other)


# how strangers write them


def flat_mean(logp, weights):
    """Average over all steps, as Spinning Up does."""
    return -(logp * weights).mean()


def sum_and_mean(newlogprob, advantages):
    """Sum over time and average over columns."""
    return (-advantages * newlogprob).sum(0).mean()


def surrogate(new_log_probs, old_log_probs, advantages):
    """Average the importance-weighted advantages."""
    return -(np.exp(new_log_probs - old_log_probs) * advantages).mean()


def multiplied(logp, mask):
    """Mask by multiplication."""
    return -(logp * mask).sum() / mask.sum()


def entropy_loss(entropy):
    """Return the negative mean."""
    return -entropy.mean()


def to_go(rews, dones, gamma):
    """Loop backwards."""
    returns, following = np.zeros_like(rews), np.zeros(rews.shape[1])
    for t in reversed(range(len(rews))):
        following = rews[t] + gamma * following * (1 - dones[t])
        returns[t] = following
    return returns


TO_GO = "to_go(rewards, done:after, gamma) where to_go=True, discount_states="


@pytest.mark.parametrize(
    ("function", "name", "call", "title", "fine"),
    [
        (flat_mean, "policy_gradient_loss", None, "CONVENTION(reduction=mean)", False),
        (sum_and_mean, "policy_gradient_loss", None, "EXACT", True),
        (surrogate, "importance_weighted_loss", None, "CONVENTION(reduction=mean)", False),
        (multiplied, "log_likelihood_loss", None, "WRONG(K6)", False),
        (entropy_loss, "entropy_bonus", None, "WRONG(D9)", False),
        (to_go, "reinforce_weights", TO_GO + "False", "EXACT", True),
        (to_go, "reinforce_weights", TO_GO + "True", "CONVENTION(state_discount=absent)", False),
    ],
)
def test_stranger_gets_an_understandable_verdict(function, name, call, title, fine):
    """Names are understood, and what libraries differ on is told from what is wrong."""
    verdict = rlverify.check(function, name, call=call, budget=80)
    assert (verdict.title.replace("TIGHT", "EXACT"), verdict.ok) == (title, fine)


# extremes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ratio_survives_large_log_probabilities(dtype):
    """Only the difference is exponentiated: log-probabilities of −10⁴ give a ratio of 1."""
    far = torch.full((1, 1), -1e4, dtype=dtype)
    one = torch.ones(1, 1, dtype=dtype)
    assert fast.importance_weighted_loss(far, far, one, None).item() == -1
    plain = importance_weighted_loss(np.array([[-1e4]]), np.array([[-1e4]]), np.ones((1, 1)), None)
    assert plain.item() == -1


def test_step_count_may_be_long():
    """γ⁵⁰⁰ before the first row is as exact as a product of 500 factors."""
    rewards, off = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.bool)
    start, knobs = torch.tensor([500]), {"to_go": True, "discount_states": True}
    found = fast.reinforce_weights(rewards, off, off, start, gamma=0.99, **knobs).item()
    exact = Fraction(0.99) ** 500
    assert abs(Fraction(found) - exact) <= 501 * Fraction(1, 2**53) * exact


def test_array_of_discounts_needs_no_past():
    """With one γ a step, γᵏ is the product over the earlier steps of the episode."""
    rewards, off = np.ones((3, 1)), np.zeros((3, 1), dtype=bool)
    gamma, start = np.array([[0.5], [0.25], [0.0]]), np.zeros(1, dtype=np.int64)
    knobs = {"gamma": gamma, "to_go": False, "discount_states": True}
    found = reinforce_weights(rewards, off, off, start, **knobs)
    assert found.ravel().tolist() == [1.625, 0.8125, 0.203125]
