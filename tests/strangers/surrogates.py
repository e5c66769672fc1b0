"""The clipped surrogate as libraries and tutorials write it, and as people got it wrong."""

import torch


def two_losses(newlogprob, b_logprobs, b_advantages, clip_coef):
    """Take the larger of two negated losses, as CleanRL."""
    ratio = (newlogprob - b_logprobs).exp()
    one = -b_advantages * ratio
    other = -b_advantages * torch.clamp(ratio, 1 - clip_coef, 1 + clip_coef)
    return torch.max(one, other).mean()


def smaller_objective(log_prob, old_log_prob, advantages, clip_range):
    """Negate the smaller of two objectives, as Stable-Baselines3."""
    ratio = torch.exp(log_prob - old_log_prob)
    one = advantages * ratio
    other = advantages * torch.clamp(ratio, 1 - clip_range, 1 + clip_range)
    return -torch.min(one, other).mean()


def edge_by_sign(logp, logp_old, adv, clip_ratio):
    """Bound the objective by (1 ± ε)A after the sign of A, as Spinning Up at first."""
    limit = torch.where(adv > 0, (1 + clip_ratio) * adv, (1 - clip_ratio) * adv)
    return -torch.min(torch.exp(logp - logp_old) * adv, limit).mean()


def one_sided(logp, logp_old, adv, clip_epsilon):
    """Clamp from above for A ≥ 0 and from below else, as torchrl once did."""
    ratio = (logp - logp_old).exp()
    upper, lower = ratio.clamp(max=1 + clip_epsilon), ratio.clamp(min=1 - clip_epsilon)
    return -(torch.where(adv >= 0, upper, lower) * adv).mean()


def from_negated(neglogpac, old_neglogpac, advs, cliprange):
    """Subtract in the other order, for both numbers are negated, as OpenAI's baselines."""
    ratio = torch.exp(old_neglogpac - neglogpac)
    one = -advs * ratio
    return torch.mean(torch.max(one, -advs * torch.clamp(ratio, 1 - cliprange, 1 + cliprange)))


def two_ranges(log_prob, old_log_prob, advantages, cliprange_low, cliprange_high):
    """Have a range for each side."""
    ratio = torch.exp(log_prob - old_log_prob)
    held = torch.clamp(ratio, 1 - cliprange_low, 1 + cliprange_high)
    return -torch.minimum(ratio * advantages, held * advantages).mean()


def masked(logprobs, old_logprobs, advantages, response_mask, cliprange):
    """Select, then average over the tokens that are real."""
    ratio = torch.exp(torch.where(response_mask, logprobs - old_logprobs, 0.0))
    gain = torch.where(response_mask, advantages, 0.0)
    loss = torch.max(-gain * ratio, -gain * torch.clamp(ratio, 1 - cliprange, 1 + cliprange))
    return torch.where(response_mask, loss, 0.0).sum() / response_mask.sum()


def padded(logprobs, old_logprobs, advantages, padding_mask, cliprange):
    """Mark padding with True, as trl."""
    return masked(logprobs, old_logprobs, advantages, ~padding_mask, cliprange)


def indexed(action_log_probs, old_action_log_probs, adv, mask, clip_param):
    """Pick the real elements first."""
    ratio = torch.exp(action_log_probs[mask] - old_action_log_probs[mask])
    one, other = ratio * adv[mask], ratio.clamp(1 - clip_param, 1 + clip_param) * adv[mask]
    return -torch.min(one, other).mean()


def guarded(log_prob, old_log_prob, advantages, cliprange):
    """Clamp the log-ratio against overflow, as verl."""
    ratio = torch.exp(torch.clamp(log_prob - old_log_prob, min=-20.0, max=20.0))
    one, other = -advantages * ratio, -advantages * ratio.clamp(1 - cliprange, 1 + cliprange)
    return torch.maximum(one, other).mean()


def dual(logp, logp_old, adv, eps_clip):
    """Bound the loss of a negative advantage by 3|A| too, as Tianshou and verl offer."""
    ratio = (logp - logp_old).exp()
    held = torch.min(ratio * adv, ratio.clamp(1 - eps_clip, 1 + eps_clip) * adv)
    return -torch.where(adv < 0, torch.max(held, 3.0 * adv), held).mean()


def summed(log_prob, old_log_prob, advantages, clip_range):
    """Add up instead of averaging, as RLlib's older losses."""
    return smaller_objective(log_prob, old_log_prob, advantages, clip_range) * log_prob.numel()


def objective(log_prob, old_log_prob, advantages, clip_range):
    """Return what is to become large."""
    return -smaller_objective(log_prob, old_log_prob, advantages, clip_range)


def by_sequence(logprobs, old_logprobs, advantages, mask, cliprange):
    """Average over each sequence, then over sequences."""
    ratio = torch.exp(torch.where(mask, logprobs - old_logprobs, 0.0))
    gain = torch.where(mask, advantages, 0.0)
    loss = -torch.min(ratio * gain, ratio.clamp(1 - cliprange, 1 + cliprange) * gain)
    counts = mask.sum(-1)
    means = torch.where(mask, loss, 0.0).sum(-1) / counts.clamp(min=1)
    return means[counts > 0].mean()


# wrong ones


def _surrogate(logp, logp_old, adv, clip_ratio):
    """Do it right: the others hand over something wrong."""
    ratio = torch.exp(logp - logp_old)
    return -torch.min(ratio * adv, ratio.clamp(1 - clip_ratio, 1 + clip_ratio) * adv).mean()


def around_zero(logp, logp_old, adv, clip_ratio):
    """Clip to [ε, 1 + ε]."""
    ratio = torch.exp(logp - logp_old)
    return -torch.min(ratio * adv, torch.clamp(ratio, clip_ratio, 1 + clip_ratio) * adv).mean()


def not_used(logp, logp_old, adv, clip_ratio):
    """Compute the clipped surrogate, and average the other."""
    ratio = torch.exp(logp - logp_old)
    plain = ratio * adv
    _clipped = torch.min(plain, torch.clamp(ratio, 1 - clip_ratio, 1 + clip_ratio) * adv)
    return -plain.mean()


def optimistic(logp, logp_old, adv, clip_ratio):
    """Take the smaller of two losses."""
    ratio = torch.exp(logp - logp_old)
    return torch.min(-adv * ratio, -adv * ratio.clamp(1 - clip_ratio, 1 + clip_ratio)).mean()


def own_copy(logp, logp_old, adv, clip_ratio):
    """Divide the probability by its own detached copy."""
    return _surrogate(logp, logp.detach(), adv, clip_ratio) + 0 * logp_old.sum()


def inverted(logp, logp_old, adv, clip_ratio):
    """Divide old by new."""
    return _surrogate(logp_old, logp, adv, clip_ratio)


def squared(logp, logp_old, adv, clip_ratio):
    """Apply the ratio twice."""
    return _surrogate(2 * logp, 2 * logp_old, adv, clip_ratio)


def along_the_other_axis(logprobs, old_logprobs, advantages, cliprange):
    """Let one number a row broadcast along the columns (where there are as many)."""
    rows, columns = logprobs.shape[:1], logprobs.shape[-1:]
    turned = advantages.transpose(0, -1) if logprobs.ndim == 2 and rows == columns else advantages
    return _surrogate(logprobs, old_logprobs, turned, cliprange)


def outer(logp, logp_old, adv, clip_ratio):
    """Multiply a column by a row."""
    ratio = torch.exp(logp - logp_old).reshape(-1, 1)
    gain = adv.reshape(-1)
    return -torch.min(ratio * gain, ratio.clamp(1 - clip_ratio, 1 + clip_ratio) * gain).mean()


def divided_by_all(logprobs, old_logprobs, advantages, mask, cliprange):
    """Average over padding too."""
    return masked(logprobs, old_logprobs, advantages, mask, cliprange) * mask.sum() / mask.numel()


def multiplied(logprobs, old_logprobs, advantages, mask, cliprange):
    """Multiply with the mask after the exponential."""
    ratio = torch.exp(logprobs - old_logprobs)
    loss = -torch.min(ratio * advantages, ratio.clamp(1 - cliprange, 1 + cliprange) * advantages)
    return (loss * mask).sum() / mask.sum()


def blind_to_padding(logprobs, old_logprobs, advantages, mask, cliprange):
    """Forget the mask."""
    return _surrogate(logprobs, old_logprobs, advantages, cliprange)


def detached(logp, logp_old, adv, clip_ratio):
    """Have the right value with a ratio that carries no gradient."""
    return _surrogate(logp.detach(), logp_old, adv, clip_ratio) + 0 * logp.sum()
