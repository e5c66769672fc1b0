"""Q-learning: the contract tests, and what only these functions have."""

import numpy as np
import pytest
import torch

import rlverify
from rlverify.fast import q_learning as fast
from rlverify.fast.returns import n_step_return
from rlverify.reference import q_learning as reference
from support import *  # noqa: F403

TOPIC = "q_learning"
NAN = float("nan")
TWINS = pytest.mark.parametrize("twin", [reference, fast], ids=["reference", "fast"])


def arrays(twin, *values):
    """Return values as the twin takes them."""
    make = np.array if twin is reference else torch.tensor
    return [make(value) for value in values]


@TWINS
@pytest.mark.parametrize("name", ["q_learning_target", "expected_sarsa_target"])
def test_an_ended_row_may_have_no_legal_action(twin, name):
    """The state after an end often has none; that is refused only where something follows."""
    rewards, values, ended, legal = arrays(
        twin, [1.0, 2.0], [[NAN, NAN], [4.0, 8.0]], [True, False], [[False, False], [True, False]]
    )
    chances = [values] if name == "expected_sarsa_target" else []
    targets = getattr(twin, name)(rewards, values, *chances, ended, legal, gamma=0.5)
    assert targets.tolist() == ([1.0, 10.0] if chances else [1.0, 4.0])


@TWINS
def test_nan_of_a_legal_action_is_not_hidden(twin):
    """A network that diverged must not look healthy: NaN is the greatest, as in torch."""
    rewards, ended = arrays(twin, [1.0, 1.0, 1.0], [False] * 3)
    (values,) = arrays(twin, [[NAN, 2.0, 3.0], [2.0, NAN, 3.0], [2.0, 3.0, NAN]])
    targets = twin.q_learning_target(rewards, values, ended, None, gamma=0.5)
    assert all(target != target for target in targets.tolist())
    double = twin.double_q_target(rewards, values, values, ended, None, gamma=0.5)
    assert all(target != target for target in double.tolist())


@TWINS
def test_first_of_equally_good_actions(twin):
    """Of ties the first is taken; others are right too, which the bound allows for."""
    rewards, ended, online, target = arrays(twin, [0.0], [False], [[1.0, 1.0]], [[2.0, 5.0]])
    assert twin.double_q_target(rewards, online, target, ended, None, gamma=1.0).tolist() == [2.0]


def test_gradient_of_a_tie_goes_to_the_first():
    """One of the greatest gets all of the gradient, so its size does not depend on ties."""
    values = torch.tensor([[1.0, 3.0, 3.0]], requires_grad=True)
    ended = torch.tensor([False])
    fast.q_learning_target(torch.zeros(1), values, ended, None, gamma=0.5).sum().backward()
    assert values.grad.tolist() == [[0.0, 0.5, 0.0]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_gradient_of_what_is_not_read_is_zero(dtype):
    """NaN after an end and at illegal actions gives no NaN in any gradient."""
    legal = torch.tensor([[True, False], [False, False]])
    ended = torch.tensor([False, True])
    values = torch.tensor([[2.0, NAN], [NAN, NAN]], dtype=dtype, requires_grad=True)
    chances = torch.tensor([[1.0, NAN], [NAN, NAN]], dtype=dtype, requires_grad=True)
    gamma = torch.tensor([0.5, 0.5], dtype=dtype, requires_grad=True)
    rewards = torch.zeros(2, dtype=dtype, requires_grad=True)
    for targets in (
        fast.q_learning_target(rewards, values, ended, legal, gamma=gamma),
        fast.double_q_target(rewards, values.detach(), values, ended, legal, gamma=gamma),
        fast.expected_sarsa_target(rewards, values, chances, ended, legal, gamma=gamma),
        fast.sarsa_target(rewards, values, torch.tensor([0, 1]), ended, gamma=gamma),
    ):
        values.grad = chances.grad = gamma.grad = rewards.grad = None
        targets.sum().backward()
        assert values.grad.tolist() == [[0.5, 0.0], [0.0, 0.0]]
        assert gamma.grad.tolist() == [2.0, 0.0]
        assert rewards.grad.tolist() == [1.0, 1.0]
        if chances.grad is not None:
            assert chances.grad.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_no_gradient_reaches_the_targets():
    """Naive DQN takes targets from the same network; td_loss holds them constant (bug H6)."""
    weight = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    q_taken, next_q = 2 * weight, 4 * weight
    targets = fast.q_learning_target(
        torch.ones(1, dtype=torch.float64), next_q.reshape(1, 1), torch.tensor([False]), None,
        gamma=0.5,
    )  # fmt: skip
    fast.td_loss(q_taken.reshape(1), targets, None, huber=None).backward()
    assert weight.grad == (2 - 3) * 2  # through the target it would be (2 − 3)(2 − 2) = 0


@TWINS
def test_all_four_targets_are_one(twin):
    """Greedy probabilities make expected SARSA Q-learning; one network makes double Q single."""
    rng = np.random.default_rng(0)
    values, rewards = rng.permutation(32).reshape(8, 4) / 8, rng.integers(-8, 8, 8) / 8
    best = values.argmax(axis=1)
    rewards, values, chances, best, ended = arrays(
        twin, rewards, values, np.eye(4)[best], best, rng.random(8) < 0.3
    )
    knobs = {"gamma": 0.5}
    wanted = twin.q_learning_target(rewards, values, ended, None, **knobs).tolist()
    assert twin.double_q_target(rewards, values, values, ended, None, **knobs).tolist() == wanted
    assert twin.sarsa_target(rewards, values, best, ended, **knobs).tolist() == wanted
    found = twin.expected_sarsa_target(rewards, values, chances, ended, None, **knobs)
    assert found.tolist() == wanted


def test_n_step_target_is_one_with_a_discount_each():
    """A return over k steps is a reward, and γᵏ the discount of its bootstrap."""
    rewards = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    after = torch.tensor([[8.0], [16.0], [32.0]], dtype=torch.float64)
    off = torch.zeros(3, 1, dtype=torch.bool)
    returns = n_step_return(rewards, after, off, off, gamma=0.5, n=2)[:2, 0]
    summed = rewards[:2, 0] + 0.5 * rewards[1:, 0]
    gamma = torch.tensor([0.25, 0.25], dtype=torch.float64)
    found = fast.q_learning_target(summed, after[1:], off[:2, 0], None, gamma=gamma)
    assert found.tolist() == returns.tolist()


@TWINS
@pytest.mark.claim("C36")
def test_a_time_limit_is_no_end(twin):
    """Whoever calls a time limit an end is wrong by exactly γV(s′), with the other sign at an end.

    The functions have no flag for truncation: a transition that was only cut bootstraps.
    """
    rewards, values, cut = arrays(twin, [1.0], [[4.0, 8.0]], [False])
    right = twin.q_learning_target(rewards, values, cut, None, gamma=0.75)
    wrong = twin.q_learning_target(rewards, values, ~cut, None, gamma=0.75)
    assert (right - wrong).tolist() == [0.75 * 8.0]


@TWINS
@pytest.mark.parametrize("tau", [0.125, 0.5])
def test_k_soft_updates_leave_a_power_of_the_old(twin, tau):
    """After k updates (1 − τ)ᵏ of the first target network is left: all numbers are short."""
    target, online = arrays(twin, [1.0, 0.0], [0.0, 1.0])
    for k in range(1, 6):
        target = twin.soft_update(target, online, tau=tau)
        assert target.tolist() == [(1 - tau) ** k, 1 - (1 - tau) ** k]


def test_huber_is_torchs():
    """td_loss is torch's HuberLoss, δ times SmoothL1Loss and half MSELoss: numbers are short."""
    values = torch.tensor([0.0, 1.0, -3.0, 4.0], dtype=torch.float64)
    zeros = torch.zeros(4, dtype=torch.float64)
    found = fast.td_loss(values, zeros, None, huber=2.0)
    assert found == torch.nn.HuberLoss(delta=2.0)(values, zeros)
    assert found == 2 * torch.nn.SmoothL1Loss(beta=2.0)(values, zeros)
    squared = fast.td_loss(values, zeros, None, huber=None)
    assert squared == torch.nn.MSELoss()(values, zeros) / 2


# --- strangers -----------------------------------------------------------------------------------


def kept_apart(rewards, next_q, dones, gamma):
    """Leave out what follows an end."""
    return np.where(dones, rewards, rewards + gamma * next_q.max(axis=1))


def multiplied(rewards, next_q_values, dones, gamma):
    """Multiply the maximum by 1 − d, as Stable-Baselines3 does."""
    with np.errstate(all="ignore"):
        return rewards + (1 - dones) * gamma * next_q_values.max(axis=1)


def double(rewards, online_next_q, target_next_q, terminations, gamma):
    """Let the target network pick."""
    rows, best = np.arange(len(rewards)), target_next_q.argmax(axis=1)
    worth = online_next_q[rows, best]
    return np.where(terminations, rewards, rewards + gamma * worth)


def squared_twice(old_val, td_target):
    """The loss of CleanRL's DQN, without the ½."""
    return torch.nn.functional.mse_loss(td_target, old_val)


def clipped_first(current_q_values, target_q_values, delta):
    """Clip the error, then square it."""
    return ((target_q_values - current_q_values).clamp(-delta, delta) ** 2).mean() / 2


def polyak_update(params, target_params, tau):
    """Take τ as the share of the old."""
    return tau * target_params + (1 - tau) * params


STRANGERS = [
    ("", kept_apart, "q_learning_target", "right", ""),
    ("", multiplied, "q_learning_target", "right", ""),
    ("", double, "double_q_target", "WRONG", "H2b"),
    (
        "squared_twice(q_taken, targets) where huber=1048576",
        squared_twice,
        "td_loss",
        "CONVENTION",
        "half=absent",
    ),
    ("", clipped_first, "td_loss", "WRONG", "Q5"),
    ("", polyak_update, "soft_update", "WRONG", "H8"),
]


@pytest.mark.parametrize(
    ("call", "function", "name", "grade", "word"),
    STRANGERS,
    ids=[row[1].__name__ for row in STRANGERS],
)
def test_stranger(call, function, name, grade, word):
    """Spelt as libraries spell them, they are judged; what is built in has to be declared."""
    verdict = rlverify.check(function, name, budget=120, **({"call": call} if call else {}))
    assert verdict.ok == (grade == "right"), verdict.title
    assert verdict.grade == grade or grade == "right"
    assert word in verdict.title
