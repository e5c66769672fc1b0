"""GRPO: the contract tests, and what only these functions have."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rlverify
from rlverify.contracts._measured import exactly as counted
from rlverify.differentiation import Dual
from rlverify.fast import grpo as fast
from rlverify.reference import grpo as reference
from rlverify.reference.categorical import categorical_kl, categorical_log_prob
from support import *  # noqa: F403

TOPIC = "grpo"

KNOBS = {
    "clip_range": 0.2, "beta": 0.5, "kl_estimator": "k3", "ratio": "token",
    "aggregation": "token_mean", "normalizer": 4.0,
}  # fmt: skip

# advantages


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("ddof", [0, 1])
def test_equal_rewards_are_exactly_zero(scale, ddof):
    """The mean of three times 0.1 is not 0.1 in floats, and a small ε would show it."""
    rewards, groups = np.array([0.1, 7.0, 0.1, 0.1, 0.7]), np.array([2, 8, 2, 2, 1])
    knobs = {"scale": scale, "ddof": ddof, "eps": 1e-12}
    assert sum(rewards[groups == 2]) / 3 != 0.1
    assert not reference.group_advantages(rewards, groups, **knobs).any()
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        found = fast.group_advantages(
            torch.tensor(rewards, dtype=dtype), torch.tensor(groups), **knobs
        )
        assert not found.any()


def test_batch_of_one_group_is_scaled_by_it():
    """In a single group the deviation of the group is that of the batch."""
    rewards, groups = np.array([1.0, 4.0, 2.0, 8.0]), np.full(4, 5)
    by_group, by_batch = (
        reference.group_advantages(rewards, groups, scale=scale, ddof=1, eps=0.5)
        for scale in ("group", "batch")
    )
    assert (by_group == by_batch).all()


rational = st.integers(-16, 16).map(lambda k: Fraction(k, 4))


weights = st.lists(st.integers(1, 6), min_size=3, max_size=3)


@given(
    rewards=st.lists(rational, min_size=2, max_size=3),
    parts=weights,
    n=st.sampled_from((2, 3)),
)
def test_own_reward_in_the_mean_biases_by_the_group_size(rewards, parts, n):
    """Over all groups of n, leave-one-out is unbiased; the mean of all is (n − 1)/n of it."""
    arms = len(rewards)
    policy = [Fraction(part, sum(parts[:arms])) for part in parts[:arms]]
    groups = np.zeros(n, dtype=np.int64)
    for k in range(arms):
        wanted = policy[k] * (rewards[k] - sum(p * r for p, r in zip(policy, rewards, strict=True)))
        found = {"others": Fraction(0), "all": Fraction(0)}
        for taken in itertools.product(range(arms), repeat=n):
            earned = np.array([rewards[a] for a in taken], dtype=object)
            chance = np.prod([policy[a] for a in taken])
            scores = [(a == k) - policy[k] for a in taken]
            for name, advantages in (
                ("others", reference.leave_one_out_advantages(earned, groups)),
                ("all", reference.group_advantages(
                    earned, groups, scale="none", ddof=0, eps=Fraction(1))),
            ):  # fmt: skip
                found[name] += chance * sum(a * s for a, s in zip(advantages, scores, strict=True))
        assert found["others"] / n == wanted
        assert found["all"] / n == wanted * Fraction(n - 1, n)


# masks, gradients


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), -float("inf"), 1e6])
@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean", "constant"])
def test_garbage_changes_neither_loss_nor_gradient(garbage, ratio, aggregation):
    """Under the mask anything may stand, and in place of the advantage of an empty sequence."""
    torch.manual_seed(0)
    mask = torch.tensor([[True, False, True], [True, False, False], [False, False, False]])
    knobs = {**KNOBS, "ratio": ratio, "aggregation": aggregation}

    def run(filler):
        arrays = [torch.where(mask, array, filler) for array in POLICIES]
        advantages = torch.tensor([2.0, -1.0, filler], dtype=torch.float64)
        arrays[0].requires_grad_()
        loss = fast.grpo_loss(*arrays, advantages, mask, **knobs)
        (gradient,) = torch.autograd.grad(loss, arrays[0])
        plain = [array.detach().numpy() for array in (*arrays, advantages, mask)]
        assert np.isfinite(reference.grpo_loss(*plain, **knobs))
        return loss.detach(), gradient

    loss, gradient = run(0.0)
    assert all(map(torch.equal, run(garbage), (loss, gradient)))
    assert not gradient[~mask].any()
    assert gradient[mask].all()


POLICIES = torch.randn(3, 3, 3, dtype=torch.float64, generator=torch.manual_seed(1)) / 8


def test_reference_policy_is_not_read_without_beta():
    """Where β is 0 nothing that stands in place of log π_ref matters."""
    nowhere = torch.full((2, 3), float("nan"))
    log_probs, mask = torch.zeros(2, 3), None
    knobs = {**KNOBS, "beta": 0}
    ones = torch.ones(2)
    assert fast.grpo_loss(log_probs, log_probs, nowhere, ones, mask, **knobs).item() == -1
    rewards = fast.kl_penalized_rewards(ones, log_probs, nowhere, mask, beta=0, kl_estimator="k1")
    assert rewards.tolist() == [[0, 0, 1]] * 2


def duals(array, direction):
    """Return numbers that carry a derivative along a direction, and their rounding."""
    numbers = np.empty(array.shape, dtype=object)
    for i in np.ndindex(array.shape):
        numbers[i] = Dual(counted(array[i]), counted(direction[i]))
    return numbers


def token_slope(estimator, logits, against, token, direction):
    """Return ∂/∂θ of the KL term of one token, as `grpo_loss` has it, with its rounding."""
    still = np.zeros_like(logits)
    log_probs, other = (
        categorical_log_prob(duals(array, moves)[None], np.array([token]), None)[:, None]
        for array, moves in ((logits, direction), (against, still))
    )
    knobs = {**KNOBS, "beta": 1.0, "kl_estimator": estimator}
    silent, old = duals(np.zeros(1), np.zeros(1)), duals(np.zeros((1, 1)), np.zeros((1, 1)))
    return reference.grpo_loss(log_probs, old, other, silent, None, **knobs)[()].slope


def mean_slope(estimator, logits, against, direction):
    """Return the mean of that over the tokens that π draws."""
    mean = counted(0.0)
    for token in range(3):
        still = duals(logits, np.zeros_like(logits))[None]
        chance = np.exp(categorical_log_prob(still, np.array([token]), None)[0].value)
        mean = mean + chance * token_slope(estimator, logits, against, token, direction)
    return mean


LOGITS = st.lists(st.integers(-8, 8).map(lambda k: k / 4), min_size=3, max_size=3).map(np.array)


@settings(max_examples=20)
@given(logits=LOGITS, against=LOGITS)
def test_gradients_of_the_estimators_in_the_mean(logits, against):
    """Over three tokens, on-policy: 0 for k1, ∇KL(π ‖ π_ref) for k2, ∇KL(π_ref ‖ π) for k3."""
    for direction in np.eye(3):
        moving, other = duals(logits, direction)[None], duals(against, np.zeros(3))[None]
        wanted = {
            "k1": counted(0.0),
            "k2": categorical_kl(moving, other, None)[0].slope,
            "k3": categorical_kl(other, moving, None)[0].slope,
        }
        for estimator, slope in wanted.items():
            gap = mean_slope(estimator, logits, against, direction) - slope
            assert abs(float(gap)) <= gap.running_bound(), estimator


def test_the_estimators_have_three_different_gradients():
    """Where the policies are apart they differ by more than rounding: only k2 descends KL."""
    logits, against = np.array([1.0, 0.0, -1.0]), np.array([0.0, 0.0, 2.0])
    one, two, three = (
        mean_slope(estimator, logits, against, np.eye(3)[0]) for estimator in ("k1", "k2", "k3")
    )
    for gap in (two - one, three - one, three - two):
        assert abs(float(gap)) > gap.running_bound()


@pytest.mark.parametrize(("estimator", "slope"), [("k1", 1.0), ("k2", 0.5), ("k3", None)])
def test_slope_of_an_estimator(estimator, slope):
    """A token's own slope is 1, −d or 1 − e^d, d = log π_ref − log π."""
    knobs = {**KNOBS, "beta": 1.0, "kl_estimator": estimator}
    policy = np.full((1, 1), Dual(-1.0, 1.0))
    old, against = np.full((1, 1), Dual(-1.0, 0.0)), np.full((1, 1), Dual(-1.5, 0.0))
    silent = np.full(1, Dual(0.0, 0.0))
    found = reference.grpo_loss(policy, old, against, silent, None, **knobs)[()].slope
    assert found == (1 - np.exp(-0.5) if slope is None else slope)


@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_ratio_that_overflows_is_clipped_where_that_is_the_lesser(ratio, dtype):
    """A ratio of e^±1000: the clipped term has its value and no gradient, not the gradient NaN."""
    apart = torch.tensor([[1000.0], [-1000.0]], dtype=dtype, requires_grad=True)
    zero, gains = torch.zeros_like(apart), torch.tensor([2.0, -4.0], dtype=dtype)
    knobs = {**KNOBS, "beta": 0.0, "ratio": ratio, "aggregation": "constant", "clip_range": 0.5}
    loss = fast.grpo_loss(apart, zero, zero, gains, None, **knobs)
    assert loss.item() == (-3 + 2) / 4
    assert torch.autograd.grad(loss, apart)[0].tolist() == [[0.0], [0.0]]


def test_far_policies_stay_finite_where_they_are():
    """A reference 80 away gives e^80, not an overflow of a sum; one further back gives d."""
    zero, silent = torch.zeros(1, 1), torch.zeros(1)
    knobs = {**KNOBS, "beta": 1.0}
    found = fast.grpo_loss(zero, zero, zero - 1e4, silent, None, **knobs)
    assert found.item() == 1e4 - 1
    assert torch.isfinite(fast.grpo_loss(zero, zero, zero + 80, silent, None, **knobs))


# how strangers write them


def trl_loss(
    per_token_logps, old_per_token_logps, ref_per_token_logps, advantages, completion_mask,
    epsilon, beta,
):  # fmt: skip
    """Average over each sequence, then over sequences, as trl does; what is masked is selected."""
    mask = torch.ones_like(per_token_logps, dtype=torch.bool)
    mask = mask if completion_mask is None else completion_mask
    log_ratio = torch.where(mask, per_token_logps - old_per_token_logps.detach(), 0.0)
    delta = torch.where(mask, ref_per_token_logps.detach() - per_token_logps, 0.0)
    per_token_kl = torch.exp(delta) - delta - 1
    coef_1 = torch.exp(log_ratio)
    coef_2 = torch.clamp(coef_1, 1 - epsilon, 1 + epsilon)
    gain = advantages.detach().unsqueeze(1)
    per_token_loss = -torch.min(coef_1 * gain, coef_2 * gain)
    per_token_loss = torch.where(mask, per_token_loss + beta * per_token_kl, 0.0)
    return (per_token_loss.sum(-1) / mask.sum(-1).clamp(min=1.0)).mean()


def verl_loss(old_log_prob, log_prob, advantages, response_mask, cliprange):
    """Average over tokens with the clip on both sides and a third below, as verl does."""
    mask = torch.ones_like(log_prob, dtype=torch.bool) if response_mask is None else response_mask
    negative_approx_kl = torch.where(mask, log_prob - old_log_prob.detach(), 0.0)
    ratio, advantages = torch.exp(negative_approx_kl), advantages.detach().unsqueeze(1)
    pg_losses1 = -advantages * ratio
    pg_losses2 = -advantages * torch.clamp(ratio, 1 - cliprange, 1 + cliprange)
    clipped = torch.maximum(pg_losses1, pg_losses2)
    lower = torch.where(advantages < 0, torch.min(-advantages * 3.0, clipped), clipped)
    return torch.where(mask, lower, 0.0).sum() / mask.sum()


def summed_ratio(log_probs, old_log_probs, advantages, mask, clip_range):
    """Add log-ratios up over the sequence."""
    mask = torch.ones_like(log_probs, dtype=torch.bool) if mask is None else mask
    log_ratio = torch.where(mask, log_probs - old_log_probs, 0.0).sum(-1, keepdim=True)
    ratio, gain = log_ratio.exp(), advantages.unsqueeze(1)
    losses = -torch.min(ratio * gain, ratio.clamp(1 - clip_range, 1 + clip_range) * gain)
    return torch.where(mask, losses, 0.0).sum() / mask.sum()


def multiplied(log_probs, old_log_probs, advantages, mask, clip_range):
    """Mask by multiplication."""
    mask = torch.ones_like(log_probs) if mask is None else mask.to(log_probs.dtype)
    ratio, gain = (log_probs - old_log_probs).exp(), advantages.unsqueeze(1)
    losses = -torch.min(ratio * gain, ratio.clamp(1 - clip_range, 1 + clip_range) * gain)
    return (losses * mask).sum() / mask.sum()


def verl_advantages(scores, index, epsilon):
    """Go through the groups by number; alone, the score itself."""
    advantages = torch.empty_like(scores)
    for number in index.unique():
        own = index == number
        if own.sum() == 1:
            advantages[own] = scores[own] / (1 + epsilon)
        else:
            advantages[own] = (scores[own] - scores[own].mean()) / (scores[own].std() + epsilon)
    return advantages


def batch_mean_advantages(rewards, index):
    """Take the mean of the batch for that of the group."""
    return rewards - rewards.mean() + 0 * index


def placed(score, logprobs, ref_logprobs, mask, kl_coef):
    """Subtract the penalty everywhere, add the score at the last real token."""
    real = torch.ones_like(logprobs, dtype=torch.bool) if mask is None else mask
    rewards = torch.where(real, -kl_coef * (logprobs - ref_logprobs), 0.0)
    for b in range(len(rewards)):
        if real[b].any():
            rewards[b, real[b].nonzero()[-1]] += score[b]
    return rewards


TRL = (
    "trl_loss(log_probs, old_log_probs, reference_log_probs, advantages, mask, clip_range, beta) "
    "where kl_estimator='k3', ratio='token', normalizer=1, aggregation="
)
PLAIN = (
    "(log_probs, old_log_probs, advantages, mask, clip_range) "
    "where beta=0, kl_estimator='k3', normalizer=1, aggregation='token_mean', ratio="
)
VERL = "verl_loss(old_log_probs, log_probs, advantages, mask, clip_range)" + PLAIN.split(")")[1]


@pytest.mark.parametrize(
    ("function", "name", "call", "conventions", "title", "fine"),
    [
        (trl_loss, "grpo_loss", TRL + "'sequence_mean'", (), "CONVENTION(empty=counted)", False),
        (trl_loss, "grpo_loss", TRL + "'sequence_mean'", ("empty=counted",),
         "CONVENTION(empty=counted)", True),
        (verl_loss, "grpo_loss", VERL + "'token'", ("dual_clip=3",), "CONVENTION(dual_clip=3)",
         True),
        (summed_ratio, "grpo_loss", "summed_ratio" + PLAIN + "'sequence'", (), "WRONG(K20)", False),
        (multiplied, "grpo_loss", "multiplied" + PLAIN + "'token'", (), "WRONG(K6)", False),
        (verl_advantages, "group_advantages",
         "verl_advantages(rewards, group_ids, eps) where scale='group', ddof=1", ("alone=reward",),
         "CONVENTION(alone=reward)", True),
        (batch_mean_advantages, "leave_one_out_advantages",
         "batch_mean_advantages(rewards, group_ids)", (), "WRONG(K15a + L2a)", False),
        (placed, "kl_penalized_rewards",
         "placed(rewards, log_probs, reference_log_probs, mask, beta) where kl_estimator='k1'", (),
         "EXACT", True),
    ],
)  # fmt: skip
def test_stranger_gets_an_understandable_verdict(function, name, call, conventions, title, fine):
    """What libraries differ on is told from what is wrong, and what is wrong by name."""
    verdict = rlverify.check(function, name, call=call, conventions=conventions, budget=150)
    assert (verdict.title.replace("TIGHT", "EXACT"), verdict.ok) == (title, fine)
