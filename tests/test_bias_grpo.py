"""GRPO's variants: their exact means over all groups of answers that differ in length."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rlverify
from rlverify.biasing.grouping import EPSILON
from rlverify.contracts._measured import exactly
from rlverify.enumeration import rational_policy
from rlverify.expectation import exact_group_expectation
from rlverify.fast.grpo import group_advantages, grpo_loss, leave_one_out_advantages
from rlverify.tabular_envs.environments import sentences
from rlverify.tabular_envs.finite_mdp import FiniteMDP


def found(name: str, **options):
    return rlverify.bias(name, family="grpo", table=False, **options).finding


def policies(mdp: FiniteMDP):
    """Return draws of policies whose probabilities are fractions."""
    row = st.lists(st.integers(1, 5), min_size=mdp.actions, max_size=mdp.actions)
    return st.lists(row, min_size=mdp.states, max_size=mdp.states).map(rational_policy)


def lifted(number):
    """Return a fraction as a number that carries its rounding."""
    return exactly(Fraction(number).numerator) / exactly(Fraction(number).denominator)


def paid(mdp: FiniteMDP, change) -> FiniteMDP:
    """Return a process that pays something else for each answer."""
    return FiniteMDP(mdp.transition, change(mdp.reward), mdp.terminal, mdp.start, mdp.name)


SMALL = sentences(1, 3)  # four answers of one to three tokens
DIFFERENT = ("group-std", "group-std-ddof-1", "batch-std", "token-mean", "sequence-mean", "grpo",
             "dapo")  # fmt: skip


@settings(max_examples=15)
@given(policy=policies(SMALL), group=st.sampled_from((2, 3, 4)), seed=st.integers(0, 9))
def test_factors(policy, group, seed):
    """In fractions: 1 for leave-one-out, (N−1)/N for the group's mean, 1/H for the constant."""
    options = {"mdp": sentences(1, 3, seed=seed), "horizon": 3, "policy": policy, "batch": group}
    share = Fraction(group - 1, group)
    for name, factor in (
        ("leave-one-out", Fraction(1)), ("group-mean", share),
        ("constant", Fraction(1, 3)), ("dr-grpo", share / 3),
    ):  # fmt: skip
        each = found(name, **options)
        assert each.expectation.mean.dtype == object
        assert each.factor == factor
        assert each.unbiased is (factor == 1)


@pytest.mark.parametrize("group", [2, 3, 4])
def test_no_factor(group):
    """What divides by σ or by lengths has none, neither exactly nor among floats."""
    names = [name for name in DIFFERENT if group == 4 or name != "batch-std"]
    report = rlverify.bias(family="grpo", mdp=SMALL, horizon=3, batch=group)
    by_name = {each.name: each for each in report.findings}
    assert ("batch-std" in by_name) is (group == 4)
    for name in names:
        each = by_name[name]
        mean, truth = each.expectation.mean, report.situation.gradient
        crossed = np.outer(mean, truth) - np.outer(truth, mean)  # 0 where one is a multiple
        slack = np.outer(each.allowed, np.abs(truth))
        assert (np.abs(crossed) > slack + slack.T).any(), name
        assert each.factor is None
        assert not each.targets
        assert each.relative > 0


def test_answers_of_one_length_have_a_factor():
    """A mean over tokens is a constant where every answer has as many."""
    for name in ("token-mean", "sequence-mean", "constant", "leave-one-out"):
        assert found(name, mdp="sentences(2, 1)", horizon=1, batch=3).factor == 1


@settings(max_examples=10)
@given(policy=policies(SMALL), right=st.integers(0, 3), ddof=st.sampled_from((0, 1)))
def test_where_one_answer_is_right_the_deviation_is_a_factor(policy, right, ddof):
    """Rewards of 0 and 1: E ĝ is a multiple of ∇J, one that depends on how hard the prompt is.

    Of N answers k are right; A(1) − A(0) with the others given, in the mean over these, is it.
    """
    written = SMALL.terminal & (np.arange(SMALL.states) < SMALL.states - 1)[:, None, None]
    mdp = paid(SMALL, lambda reward: np.where(written & (reward == right), 1.0, 0.0))
    name = "group-std-ddof-1" if ddof else "group-std"
    report = rlverify.bias(name, family="grpo", mdp=mdp, policy=policy, horizon=3, batch=3)
    each, truth = report.finding, report.situation.gradient
    chance = report.situation.objective

    def advantage(own: int, others: int):
        got = [Fraction(own)] + [Fraction(1)] * others + [Fraction(0)] * (2 - others)
        mean = sum(got) / 3
        variance = lifted(sum((x - mean) ** 2 for x in got) / (3 - ddof))
        return lifted(own - mean) / (variance.sqrt() + exactly(EPSILON))

    factor = exactly(0.0)
    for k in range(3):
        weight = lifted(math.comb(2, k) * chance**k * (1 - chance) ** (2 - k))
        right_one = advantage(1, k) if k < 2 else exactly(0.0)
        factor = factor + weight * (right_one - (advantage(0, k) if k > 0 else exactly(0.0)))
    for mean, slope, allowed in zip(each.expectation.mean, truth, each.allowed, strict=True):
        wanted = factor * lifted(slope)
        assert abs(mean - float(wanted)) <= allowed + wanted.running_bound()


def test_the_factor_of_the_deviation_differs_between_prompts():
    """What is right with chance 1/2 and with chance 1/8 is weighed differently."""
    mdp = sentences(1, 1)  # two answers, which pay 0 and 1
    least, greatest = [], []
    for weights in ([1, 1], [7, 1]):
        policy = rational_policy([weights, [1, 1]])
        report = rlverify.bias("group-std", family="grpo", mdp=mdp, policy=policy, horizon=1)
        mean, truth = report.finding.expectation.mean, report.situation.gradient.astype(float)
        sizes = (mean[0] + np.array([-1, 1]) * report.finding.allowed[0]) / truth[0]
        least.append(sizes.min())
        greatest.append(sizes.max())
    assert greatest[0] < least[1]


# against the loss itself


VARIANTS = {
    "leave-one-out": (None, "constant", lambda n, h: n),
    "group-mean": ("none", "constant", lambda n, h: n),
    "group-std-ddof-1": ("group", "constant", lambda n, h: n),
    "token-mean": (None, "token_mean", lambda n, h: 1),
    "sequence-mean": (None, "sequence_mean", lambda n, h: 1),
    "constant": (None, "constant", lambda n, h: n * h),
    "grpo": ("group", "sequence_mean", lambda n, h: 1),
    "dapo": ("group", "token_mean", lambda n, h: 1),
    "dr-grpo": ("none", "constant", lambda n, h: n * h),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_the_gradients_of_the_loss(name):
    """Each row is −∂/∂θ of `grpo_loss`, taken by autograd group by group, on the same groups."""
    scale, aggregation, normalizer = VARIANTS[name]
    policy = np.array([[0.25, 0.75], [0.75, 0.25], [0.25, 0.75], [0.75, 0.25]])

    def estimate(trajectories):
        theta = torch.tensor(np.log(policy), requires_grad=True)
        rewards = torch.tensor(trajectories.rewards.sum(0))
        groups, mask = torch.zeros(3, dtype=torch.int64), torch.tensor(trajectories.mask.T)
        if scale is None:
            advantages = leave_one_out_advantages(rewards, groups)
        else:
            advantages = group_advantages(rewards, groups, scale=scale, ddof=1, eps=EPSILON)
        at = torch.tensor(trajectories.states[:-1].T), torch.tensor(trajectories.actions.T)
        taken = torch.log_softmax(theta, -1)[at]
        loss = grpo_loss(
            taken, taken.detach(), taken.detach(), advantages, mask, clip_range=0.2, beta=0.0,
            kl_estimator="k3", ratio="token", aggregation=aggregation,
            normalizer=float(normalizer(3, 3)),
        )  # fmt: skip
        (slope,) = torch.autograd.grad(loss, theta)
        return -slope.numpy().ravel()

    direct = exact_group_expectation(estimate, SMALL, policy, horizon=3, group=3)
    floats = rlverify.bias(name, family="grpo", mdp=SMALL, policy=policy, horizon=3, batch=3,
                           table=False).finding  # fmt: skip
    gap = np.abs(direct.mean - floats.expectation.mean)
    assert (gap <= 2 * floats.allowed).all()
    assert (np.abs(direct.mean) > floats.allowed).any()


def test_a_trainer_is_told_by_its_mean():
    def loss(log_probs, rewards, mask):
        scores = rewards.sum(0)
        advantages = (scores - scores.mean()) / (scores.std(correction=0) + EPSILON)
        return -(log_probs * advantages * mask).sum(0).mean()

    report = rlverify.bias(loss, family="grpo", arrays="torch", mdp=SMALL, horizon=3, batch=3)
    assert not report.ok
    assert report.finding.diagnosis == (
        "its mean is that of group-std: over the deviation of the group, ddof 0"
    )


REFUSALS = {
    "family": ({"family": "ppo"}, "family came as 'ppo', wanted one of policy-gradient, grpo."),
    "behaviour": (
        {"behaviour": "uniform"},
        "behaviour came with family grpo, whose estimators are on-policy.",
    ),
    "alone": ({"batch": 1}, "batch came as 1, wanted at least 2 with family grpo: a group."),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    options, told = REFUSALS[name]
    with pytest.raises(ValueError, match=told.replace("(", r"\(")):
        rlverify.bias(**{"family": "grpo", **options})


def test_every_variant_is_in_the_table():
    report = rlverify.bias(family="grpo")
    assert report.findings[0].name == "leave-one-out"
    assert {*VARIANTS, *DIFFERENT} <= {each.name for each in report.findings}
    assert report.ok
