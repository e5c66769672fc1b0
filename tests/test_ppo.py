"""Proximal policy optimisation: the contract tests, and what only these functions have."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rlverify
from rlverify.contract import Case
from rlverify.contracts import find
from rlverify.contracts._measured import exactly as counted
from rlverify.contracts._measured import known_within, vanishes
from rlverify.fast import ppo as fast
from rlverify.reference import ppo as reference
from support import *  # noqa: F403

TOPIC = "ppo"

both = pytest.mark.parametrize("topic", [reference, fast], ids=["reference", "fast"])


def arrays(topic, *lists):
    """Return lists as float64 arrays of the kind that a version takes."""
    plain = [np.array(each, dtype=float) for each in lists]
    return plain if topic is reference else [torch.from_numpy(each) for each in plain]


# the clip table


@pytest.mark.claim("C24")
@pytest.mark.parametrize(
    ("advantage", "ratio", "share"),
    [(1.0, 2.0, 0.0), (-1.0, 0.5, 0.0), (-1.0, 2.0, 2.0), (1.0, 0.5, 0.5), (1.0, 1.0, 1.0)],
)
def test_gradient_follows_the_clip_table(advantage, ratio, share):
    """The gradient is exactly 0 in two cases, and −ρA/N as without a range in the others."""
    log_probs = torch.tensor([math.log(ratio)] * 4, dtype=torch.float64, requires_grad=True)
    old, gain = torch.zeros(4).double(), torch.full((4,), advantage).double()
    (found,) = torch.autograd.grad(
        fast.ppo_clip_loss(log_probs, old, gain, None, clip_range=0.25), log_probs
    )
    (free,) = torch.autograd.grad(
        fast.ppo_clip_loss(log_probs, old, gain, None, clip_range=2.0**20), log_probs
    )
    assert torch.equal(found, free if share else torch.zeros(4).double())
    assert torch.equal(free, -log_probs.detach().exp() * gain / 4)


@pytest.mark.parametrize("sign", [1, -1])
def test_ratio_on_the_edge_has_the_plain_gradient(sign):
    """Where ρ = 1 ± ε to the bit, nothing is clipped yet; one float further it is."""
    edge = torch.tensor([0.25 * sign], dtype=torch.float64)
    ratio = edge.exp()
    reach = float((ratio - 1).abs())  # exact: both are between a half and two
    assert 1 + sign * reach == ratio.item()
    further = torch.nextafter(edge, edge + sign)
    while further.exp() == ratio:
        further = torch.nextafter(further, edge + sign)
    gain, zero = torch.full((1,), float(sign)).double(), torch.zeros(1).double()
    for point, wanted in ((edge, -sign * ratio), (further, torch.zeros(1).double())):
        point.requires_grad_()
        loss = fast.ppo_clip_loss(point, zero, gain, None, clip_range=reach)
        (found,) = torch.autograd.grad(loss, point)
        assert torch.equal(found, wanted)


def test_infinite_ratio_that_is_clipped_has_no_gradient():
    """A ratio beyond the largest float is clipped like any other; autograd gives 0, not NaN."""
    log_probs = torch.tensor([1000.0, -1000.0, 1000.0], requires_grad=True)
    gain = torch.tensor([1.0, -1.0, 0.0])
    loss = fast.ppo_clip_loss(log_probs, torch.zeros(3), gain, None, clip_range=0.25)
    loss.backward()
    assert loss.item() == np.float32(-0.5) / np.float32(3)
    assert log_probs.grad.tolist() == [0, 0, 0]


# one range for each side


@both
def test_pair_clips_each_side_on_its_own(topic):
    """(1/4, 1/2) holds ρ within [3/4, 3/2]; a pair of equals is the number."""
    now, old, gain = arrays(topic, [4.0, -4.0], [0.0, 0.0], [1.0, -1.0])
    pair = topic.ppo_clip_loss(now, old, gain, None, clip_range=(0.25, 0.5))
    assert pair.item() == -(1.5 - 0.75) / 2
    one = topic.ppo_clip_loss(now, old, gain, None, clip_range=0.25)
    assert topic.ppo_clip_loss(now, old, gain, None, clip_range=(0.25, 0.25)).item() == one.item()
    now, old = arrays(topic, [0.375, -0.375, 0.0], [0.0, 0.0, 0.0])  # ratios 1.45, 0.69, 1
    for edges, wanted in (((0.25, 0.5), 1), ((0.5, 0.25), 1), ((0.5, 0.5), 0), ((0.25, 0.25), 2)):
        assert topic.clip_fraction(now, old, None, clip_range=edges).item() == wanted / 3


@both
def test_pair_of_ranges_is_a_loss_for_each_sign(topic):
    """Positive advantages meet the upper range alone, negative ones the lower."""
    rng = np.random.default_rng(0)
    now, old = arrays(topic, rng.integers(-16, 17, 9) / 8, rng.integers(-16, 17, 9) / 8)
    (gain,) = arrays(topic, rng.integers(1, 9, 9) / 8)
    for sign, edges in ((1, (0.1, 0.3)), (-1, (0.3, 0.1))):
        pair = topic.ppo_clip_loss(now, old, sign * gain, None, clip_range=edges)
        one = topic.ppo_clip_loss(now, old, sign * gain, None, clip_range=0.3)
        assert pair.item() == one.item()


# estimates of the divergence


def policies(data, actions=4):
    """Draw two distributions of odd eighths, and return their probabilities."""
    return [
        [Fraction(part, sum(parts)) for part in parts]
        for parts in data.draw(
            st.lists(st.lists(st.integers(1, 9), min_size=actions, max_size=actions),
                     min_size=2, max_size=2)
        )
    ]  # fmt: skip


def estimate(log_q, log_p, name):
    """Return one term of an estimator as a number that is known within its bound."""
    case = Case({"log_probs": np.array([log_q]), "old_log_probs": np.array([log_p]),
                 "mask": None, "estimator": name})  # fmt: skip
    now, old = torch.tensor([[log_q], [log_p]], dtype=torch.float64)
    term = fast.approximate_kl(now, old, None, estimator=name).item()
    return known_within(term, truth(find("approximate_kl"), case, "float64").allowed["kl"])  # noqa: F405


@given(data=st.data())
def test_k3_expects_what_k1_expects(data):
    """Σ p k1 is KL(p‖q) by definition, and Σ p k3 equals it, for Σ p (q/p − 1) = 0."""
    difference, slack = counted(0), counted(0)
    for p, q in zip(*policies(data), strict=True):
        chance = counted(p.numerator) / p.denominator
        log_p, log_q = np.log(chance), np.log(counted(q.numerator) / q.denominator)
        k1, k3 = (estimate(float(log_q), float(log_p), name) for name in ("k1", "k3"))
        difference = difference + chance * (k3 - k1)
        # the logarithms are rounded: e^(log q − log p) is q/p to within this
        slack = slack + chance * (np.exp(log_q - log_p) - 1)
    claim = vanishes(difference, slack.running_bound())
    assert (abs(claim.got) <= claim.allowed).all()


@both
def test_k3_keeps_its_digits_near_zero(topic):
    """At d = 2⁻³⁰ k3 is d²/2 (1 + d/3) to a few roundings, where eᵈ − 1 − d is 0 or noise."""
    d = 2.0**-30
    now, old = arrays(topic, [d], [0.0])
    found = Fraction(topic.approximate_kl(now, old, None, estimator="k3").item())
    wanted = Fraction(d) ** 2 / 2 * (1 + Fraction(d) / 3)
    case = Case({"log_probs": np.array([d]), "old_log_probs": np.zeros(1), "mask": None,
                 "estimator": "k3"})  # fmt: skip
    allowed = truth(find("approximate_kl"), case, "float64").allowed["kl"]  # noqa: F405
    assert abs(found - wanted) <= Fraction(float(allowed)) < wanted / 2**40


# what is watched, and the coefficient


@both
def test_ratio_on_the_edge_is_not_counted(topic):
    """A ratio exactly on the edge lies inside."""
    (point, zero) = arrays(topic, [0.25], [0.0])
    ratio = np.exp(point) if topic is reference else point.exp()
    reach = ratio.item() - 1
    assert 1 + reach == ratio.item()
    assert topic.clip_fraction(point, zero, None, clip_range=reach).item() == 0
    assert topic.clip_fraction(point, zero, None, clip_range=reach / 2).item() == 1


@both
def test_nothing_is_explained_where_nothing_varies(topic):
    """Equal returns have no variance to explain: NaN, from both."""
    values, returns = arrays(topic, [1.0, 2.0], [3.0, 3.0])
    assert math.isnan(topic.explained_variance(values, returns, None).item())


@both
def test_coefficient_stays_on_both_edges(topic):
    """At exactly target/band and target·band β stays; 0 stays 0 whatever happens."""
    beta, kl = arrays(topic, [1.0, 1.0, 0.0, 0.0], [0.5, 2.0, 0.0, 9.0])
    found = topic.adapt_kl_coefficient(beta, kl, target=1.0, band=2.0, factor=2.0)
    assert found.tolist() == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("loss", ["ppo_clip_loss", "ppo_penalty_loss", "clipped_value_loss",
                                  "approximate_kl"])  # fmt: skip
@pytest.mark.parametrize("garbage", [math.nan, math.inf, 1e6])
def test_what_is_masked_reaches_neither_loss_nor_gradient(loss, garbage):
    """Garbage under the mask changes nothing, forward or backward, and gets gradient 0."""
    contract, found = find(loss), []
    mask = torch.tensor([True, False, True])
    for filler in (0.0, garbage):
        case = dict(contract.good.arguments)
        inputs = {}
        for item in contract.arguments:
            if item.kind == "float":
                plain = torch.tensor([0.25, filler, 0.5]) * (1 + len(inputs))
                inputs[item.name] = plain.requires_grad_(item.name in contract.gradients)
        result = contract.fast(**{**case, **inputs, "mask": mask})
        result.backward()
        grads = [inputs[name].grad for name in contract.gradients]
        assert all(grad[1] == 0 for grad in grads)
        found.append((result, *grads))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


# how strangers write them


def cleanrl_policy(newlogprob, b_logprobs, b_advantages, clip_coef):
    """Take the larger of two negated losses."""
    ratio = (newlogprob - b_logprobs).exp()
    one = -b_advantages * ratio
    other = -b_advantages * torch.clamp(ratio, 1 - clip_coef, 1 + clip_coef)
    return torch.max(one, other).mean()


def sb3_policy(log_prob, old_log_prob, advantages, clip_range):
    """Negate the smaller of two objectives."""
    ratio = torch.exp(log_prob - old_log_prob)
    one = advantages * ratio
    other = advantages * torch.clamp(ratio, 1 - clip_range, 1 + clip_range)
    return -torch.min(one, other).mean()


def spinning_up_policy(logp, logp_old, adv, clip_ratio):
    """Multiply the clamped ratio inside the minimum."""
    ratio = torch.exp(logp - logp_old)
    clipped = torch.clamp(ratio, 1 - clip_ratio, 1 + clip_ratio) * adv
    return -(torch.min(ratio * adv, clipped)).mean()


def edge_policy(logp, logp_old, adv, clip_ratio):
    """Take the edge by the sign of the advantage, as Spinning Up once did."""
    limit = torch.where(adv > 0, (1 + clip_ratio) * adv, (1 - clip_ratio) * adv)
    return -torch.min(torch.exp(logp - logp_old) * adv, limit).mean()


def unclipped_gradient(logp, logp_old, adv, clip_ratio):
    """Have the right value with a ratio that is detached in the loss."""
    ratio = torch.exp(logp - logp_old).detach()
    clipped = torch.clamp(ratio, 1 - clip_ratio, 1 + clip_ratio)
    return -torch.min(ratio * adv, clipped * adv).mean() + 0 * logp.sum()


def optimistic(logp, logp_old, adv, clip_ratio):
    """Take the smaller of two losses."""
    ratio = torch.exp(logp - logp_old)
    return torch.min(-adv * ratio, -adv * ratio.clamp(1 - clip_ratio, 1 + clip_ratio)).mean()


def cleanrl_values(newvalue, b_values, b_returns, clip_coef):
    """Halve the mean of the larger squared error."""
    plain = (newvalue - b_returns) ** 2
    clipped = b_values + torch.clamp(newvalue - b_values, -clip_coef, clip_coef)
    return 0.5 * torch.max(plain, (clipped - b_returns) ** 2).mean()


def sb3_values(values, old_values, returns, clip_range_vf):
    """Count the held prediction alone, without the ½."""
    held = old_values + torch.clamp(values - old_values, -clip_range_vf, clip_range_vf)
    return torch.nn.functional.mse_loss(returns, held)


def whole_values(newvalue, b_values, b_returns, clip_coef):
    """Forget the ½."""
    return 2 * cleanrl_values(newvalue, b_values, b_returns, clip_coef)


def optimistic_values(newvalue, b_values, b_returns, clip_coef):
    """Take the smaller squared error."""
    plain = (newvalue - b_returns) ** 2
    clipped = b_values + torch.clamp(newvalue - b_values, -clip_coef, clip_coef)
    return 0.5 * torch.min(plain, (clipped - b_returns) ** 2).mean()


def k3_as_written(newlogprob, b_logprobs):
    """Subtract 1 and the log-ratio from the ratio."""
    logratio = newlogprob - b_logprobs
    return ((logratio.exp() - 1) - logratio).mean()


def k1_of_old(logp, logp_old):
    """Average old minus new, as Spinning Up logs it."""
    return (logp_old - logp).mean()


def fraction_outside(log_prob, old_log_prob, clip_range):
    """Count ratios further than ε from 1."""
    ratio = torch.exp(log_prob - old_log_prob)
    return torch.mean((torch.abs(ratio - 1) > clip_range).to(log_prob.dtype))


def explained(y_pred, y_true):
    """Compare two variances."""
    variance = np.var(y_true)
    return np.nan if variance == 0 else 1 - np.var(y_true - y_pred) / variance


K3 = "k3_as_written(log_probs, old_log_probs) where estimator='k3'"
K1 = "k1_of_old(log_probs, old_log_probs) where estimator='k1'"
EV = "explained(values, returns)"


@pytest.mark.parametrize(
    ("function", "name", "call", "title"),
    [
        (cleanrl_policy, "ppo_clip_loss", None, "EXACT"),
        (sb3_policy, "ppo_clip_loss", None, "EXACT"),
        (spinning_up_policy, "ppo_clip_loss", None, "EXACT"),
        (edge_policy, "ppo_clip_loss", None, "EXACT"),
        (optimistic, "ppo_clip_loss", None, "WRONG(E4)"),
        (cleanrl_values, "clipped_value_loss", None, "EXACT"),
        (sb3_values, "clipped_value_loss", None, "CONVENTION(clip=difference-alone)"),
        (whole_values, "clipped_value_loss", None, "CONVENTION(half=absent)"),
        (optimistic_values, "clipped_value_loss", None, "WRONG(E21)"),
        (k3_as_written, "approximate_kl", K3, "CONVENTION(k3=as-written)"),
        (k1_of_old, "approximate_kl", K1, "EXACT"),
        (fraction_outside, "clip_fraction", None, "EXACT"),
        (explained, "explained_variance", EV, "EXACT"),
        (explained, "explained_variance", "explained(returns, values)", "WRONG(E35)"),
    ],
)  # fmt: skip
def test_stranger_gets_an_understandable_verdict(function, name, call, title):
    """Names are understood, and what libraries differ on is told from what is wrong."""
    verdict = rlverify.check(function, name, call=call, budget=80)
    graded = "EXACT" if verdict.grade in ("TIGHT", "BOUND") else verdict.title
    assert (graded, verdict.ok) == (title, title == "EXACT")


def test_right_value_with_a_wrong_gradient_is_wrong():
    """A detached ratio gives the right loss and descends nothing."""
    verdict = rlverify.check(unclipped_gradient, "ppo_clip_loss", budget=80)
    assert verdict.grade == "WRONG"
    assert "gradient" in verdict.diagnosis
