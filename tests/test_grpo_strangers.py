"""GRPO as trainers write it: called by the names they use, judged by value and by gradient."""

import pytest
import torch

import rlverify
from rlverify.calling import CallError, in_process
from rlverify.contracts import find

# by the names of trl


def trl_rewards(rewards, num_generations, scale_rewards, ddof, eps):
    """View the rewards as groups that stand one after the other."""
    grouped = rewards.view(-1, num_generations)
    mean = grouped.mean(dim=1).repeat_interleave(num_generations)
    centred = rewards - mean
    if scale_rewards == "none":
        return centred
    if num_generations == 1:
        return 0 * centred
    if scale_rewards == "group":
        std = grouped.std(dim=1, correction=ddof).repeat_interleave(num_generations)
    else:
        std = rewards.std(correction=ddof)
    constant = (grouped.amax(1) == grouped.amin(1)).repeat_interleave(num_generations)
    return torch.where(constant, 0.0, centred / (std + eps))


def trl_rewards_swapped(rewards, num_generations, scale_rewards, ddof, eps):
    """Take the deviation of the batch for that of the group."""
    swapped = {"group": "batch", "batch": "group"}.get(scale_rewards, scale_rewards)
    return trl_rewards(rewards, num_generations, swapped, ddof, eps)


def rloo(rewards, num_generations):
    """Leave one out, group by group."""
    grouped = rewards.view(-1, num_generations)
    others = (grouped.sum(1, keepdim=True) - grouped) / (num_generations - 1)
    return (grouped - others).flatten()


def trl_compute_loss(
    per_token_logps, old_per_token_logps, ref_per_token_logps, advantages, completion_mask,
    epsilon, beta, importance_sampling_level, kl_term=None,
):  # fmt: skip
    """Sum over each sequence divided by a constant, with k3; constants are not detached."""
    mask = torch.ones_like(per_token_logps) if completion_mask is None else completion_mask
    mask = mask.bool()
    delta = torch.where(mask, ref_per_token_logps - per_token_logps, 0.0)
    per_token_kl = (kl_term or (lambda d: d.exp() - d - 1))(delta)
    log_ratio = torch.where(mask, per_token_logps - old_per_token_logps, 0.0)
    if importance_sampling_level == "sequence":
        log_ratio = (log_ratio.sum(-1) / mask.sum(-1).clamp(min=1.0)).unsqueeze(-1)
    coef_1 = torch.exp(log_ratio)
    coef_2 = torch.clamp(coef_1, 1 - epsilon, 1 + epsilon)
    gain = advantages.unsqueeze(1)
    per_token_loss = -torch.min(coef_1 * gain, coef_2 * gain) + beta * per_token_kl
    return torch.where(mask, per_token_loss, 0.0).sum() / 8.0


def trl_detached_kl(
    per_token_logps, old_per_token_logps, ref_per_token_logps, advantages, completion_mask,
    epsilon, beta, importance_sampling_level,
):  # fmt: skip
    """Log the penalty instead of learning from it: the value is right."""
    return trl_compute_loss(
        per_token_logps, old_per_token_logps, ref_per_token_logps, advantages, completion_mask,
        epsilon, beta, importance_sampling_level,
        kl_term=lambda d: (d.exp() - d - 1).detach(),
    )  # fmt: skip


def trl_rewarded_kl(
    per_token_logps, old_per_token_logps, ref_per_token_logps, advantages, completion_mask,
    epsilon, beta, importance_sampling_level,
):  # fmt: skip
    """Maximise the divergence."""
    return trl_compute_loss(
        per_token_logps, old_per_token_logps, ref_per_token_logps, advantages, completion_mask,
        epsilon, beta, importance_sampling_level, kl_term=lambda d: -(d.exp() - d - 1),
    )  # fmt: skip


# by the names of verl


def verl_policy_loss(old_log_prob, log_prob, ref_log_prob, advantages, response_mask, cliprange,
                     kl_coef, kl_type):  # fmt: skip
    """Take the mean over tokens; the penalty by name."""
    mask = torch.ones_like(log_prob).bool() if response_mask is None else response_mask.bool()
    negative_approx_kl = torch.where(mask, log_prob - old_log_prob, 0.0)
    ratio = torch.exp(negative_approx_kl)
    gain = advantages.unsqueeze(-1)
    pg_losses = torch.maximum(
        -gain * ratio, -gain * torch.clamp(ratio, 1 - cliprange, 1 + cliprange)
    )
    kl = torch.where(mask, log_prob - ref_log_prob, 0.0)
    kld = {"k1": kl, "k2": kl.square() / 2, "k3": torch.exp(-kl) + kl - 1}[kl_type]
    return torch.where(mask, pg_losses + kl_coef * kld, 0.0).sum() / mask.sum()


def verl_apply_kl_penalty(scores, log_prob, ref_log_prob, response_mask, kl_coef, kl_type):
    """Put the score at the last real token, the penalty at each."""
    mask = torch.ones_like(log_prob).bool() if response_mask is None else response_mask.bool()
    kl = torch.where(mask, log_prob - ref_log_prob, 0.0)
    penalty = {"k1": kl, "k2": kl.square() / 2, "k3": torch.exp(-kl) + kl - 1}[kl_type]
    rewards = -kl_coef * penalty
    places = torch.arange(mask.shape[1]) * mask
    last = torch.zeros_like(mask).scatter(1, places.argmax(1, keepdim=True), True) & mask
    return rewards + torch.where(last, scores[:, None], 0.0)


def late_scores(scores, log_prob, ref_log_prob, response_mask, kl_coef, kl_type):
    """Put the score at the last place, real or not."""
    mask = torch.ones_like(log_prob).bool() if response_mask is None else response_mask.bool()
    rewards = verl_apply_kl_penalty(0 * scores, log_prob, ref_log_prob, mask, kl_coef, kl_type)
    rewards[:, -1] = rewards[:, -1] + torch.where(mask[:, -1], scores, 0.0)
    return rewards


TRL = (
    "(log_probs, old_log_probs, reference_log_probs, advantages, mask, clip_range, beta, ratio) "
    "where kl_estimator='k3', aggregation='constant', normalizer=8"
)
VERL = (
    "verl_policy_loss(old_log_probs, log_probs, reference_log_probs, advantages, mask, clip_range, "
    "beta, kl_estimator) where ratio='token', aggregation='token_mean', normalizer=1"
)


@pytest.mark.parametrize(
    ("function", "name", "call", "title"),
    [
        (trl_rewards, "group_advantages", None, "EXACT"),
        (trl_rewards_swapped, "group_advantages", None, "WRONG(K11a)"),
        (rloo, "leave_one_out_advantages", None, "EXACT"),
        (trl_compute_loss, "grpo_loss", "trl_compute_loss" + TRL, "EXACT"),
        (trl_rewarded_kl, "grpo_loss", "trl_rewarded_kl" + TRL, "WRONG(K1)"),
        (verl_policy_loss, "grpo_loss", VERL, "EXACT"),
        (verl_apply_kl_penalty, "kl_penalized_rewards", None, "EXACT"),
        (late_scores, "kl_penalized_rewards", None, "WRONG(K23)"),
    ],
)
def test_a_trainer_gets_its_verdict(function, name, call, title):
    """A loss that leaves it to its caller to detach what came out of the rollout is right."""
    verdict = rlverify.check(function, name, call=call, budget=150)
    assert verdict.title.replace("TIGHT", "EXACT") == title
    assert verdict.ok is (title == "EXACT")


def test_a_right_value_with_a_wrong_gradient_is_wrong():
    """The penalty is in the loss and moves nothing."""
    call = "trl_detached_kl" + TRL
    verdict = rlverify.check(trl_detached_kl, "grpo_loss", call=call, budget=150)
    assert not verdict.ok
    assert "gradient" in verdict.diagnosis


# what names mean


def test_groups_by_size_stand_together():
    """A size tells groups that stand one after the other, equally large; it is said so."""
    candidate = in_process(rloo, find("leave_one_out_advantages"))
    assert "group_size" in candidate.mapping
    assert any("stand together and are equally large" in note for note in candidate.notes)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("per_token_logps, ref_per_token_logps, rewards, completion_mask, kl_coef, kl_type",
         "per_token_logps=log_probs, ref_per_token_logps=reference_log_probs"),
        ("scores, logprobs, ref_logprobs, response_mask, beta, kl_type",
         "scores=rewards, logprobs=log_probs, ref_logprobs=reference_log_probs"),
    ],
)  # fmt: skip
def test_names_are_read(parameters, told):
    written = f"def placed({parameters}): return 0 * {parameters.split(', ')[0]}"
    if parameters.startswith("scores"):
        written = f"def placed({parameters}): return 0 * logprobs"
    space: dict = {}
    exec(written, space)
    candidate = in_process(space["placed"], find("kl_penalized_rewards"), arrays="numpy")
    assert told in candidate.mapping


def test_what_no_name_says_is_asked_for():
    """A loss does not say by name how it aggregates: the answer says how to declare that."""

    def loss(per_token_logps, old_per_token_logps, ref_per_token_logps, advantages,
             completion_mask, epsilon, beta): ...  # fmt: skip

    with pytest.raises(CallError, match="no parameter takes kl_estimator and ratio and aggreg"):
        in_process(loss, find("grpo_loss"))
