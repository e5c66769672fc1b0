"""The critic's loss and estimates of the divergence, as people write them."""

import torch
from torch.nn import functional


def half_of_the_larger(newvalue, b_values, b_returns, clip_coef):
    """Halve the mean of the larger squared error, as CleanRL and baselines."""
    plain = (newvalue - b_returns) ** 2
    clipped = b_values + torch.clamp(newvalue - b_values, -clip_coef, clip_coef)
    return 0.5 * torch.max(plain, (clipped - b_returns) ** 2).mean()


def between_bounds(vpreds, returns, values, response_mask, cliprange_value):
    """Clamp the value between two bounds, as trl and verl."""
    held = torch.clamp(vpreds, values - cliprange_value, values + cliprange_value)
    worse = torch.maximum((vpreds - returns) ** 2, (held - returns) ** 2)
    return 0.5 * torch.where(response_mask, worse, 0.0).sum() / response_mask.sum()


def through_zero(values, old_values, returns, mask, clip_range):
    """Put zeros under the mask, then average."""
    now, old, wanted = (torch.where(mask, x, 0.0) for x in (values, old_values, returns))
    held = old + (now - old).clamp(-clip_range, clip_range)
    return 0.5 * torch.max((now - wanted) ** 2, (held - wanted) ** 2).sum() / mask.sum()


def held_alone(values, old_values, returns, clip_range_vf):
    """Count the held prediction alone, without the ½, as Stable-Baselines3."""
    held = old_values + torch.clamp(values - old_values, -clip_range_vf, clip_range_vf)
    return functional.mse_loss(returns, held)


def whole(newvalue, b_values, b_returns, clip_coef):
    """Leave the ½ to the coefficient, as rsl_rl."""
    return 2 * half_of_the_larger(newvalue, b_values, b_returns, clip_coef)


def clamped_error(vf_preds, value_targets, vf_clip_param):
    """Clamp the squared error, as RLlib."""
    return torch.clamp((vf_preds - value_targets) ** 2, 0, vf_clip_param).mean()


def plain(values, returns):
    """Do not clip at all."""
    return functional.mse_loss(values, returns)


def half_plain(values, returns):
    """Do not clip at all, and halve."""
    return 0.5 * ((returns - values) ** 2).mean()


def optimistic(newvalue, b_values, b_returns, clip_coef):
    """Take the smaller squared error."""
    plain = (newvalue - b_returns) ** 2
    clipped = b_values + torch.clamp(newvalue - b_values, -clip_coef, clip_coef)
    return 0.5 * torch.min(plain, (clipped - b_returns) ** 2).mean()


def recomputed(newvalue, b_values, b_returns, clip_coef):
    """Compute the old value again with the critic that learns."""
    return (
        half_of_the_larger(newvalue, newvalue.detach(), b_returns, clip_coef) + 0 * b_values.sum()
    )


def unreduced(newvalue, b_values, b_returns, clip_coef):
    """Forget the mean."""
    plain = (newvalue - b_returns) ** 2
    clipped = b_values + torch.clamp(newvalue - b_values, -clip_coef, clip_coef)
    return 0.5 * torch.max(plain, (clipped - b_returns) ** 2)


def multiplied(values, old_values, returns, mask, clip_range):
    """Multiply with the mask at the end."""
    held = old_values + (values - old_values).clamp(-clip_range, clip_range)
    worse = torch.max((values - returns) ** 2, (held - returns) ** 2)
    return 0.5 * (worse * mask).sum() / mask.sum()


def divided_by_all(values, old_values, returns, mask, clip_range):
    """Average over padding too."""
    return through_zero(values, old_values, returns, mask, clip_range) * mask.sum() / mask.numel()


def blind_to_padding(values, old_values, returns, mask, clip_range):
    """Forget the mask."""
    return half_of_the_larger(values, old_values, returns, clip_range)


def reversed_bounds(values, old_values, returns, clip_range):
    """Clamp with the bounds in reversed order, as the notes print them."""
    held = old_values + torch.clamp(values - old_values, clip_range, -clip_range)
    return 0.5 * torch.max((values - returns) ** 2, (held - returns) ** 2).mean()


def outer(newvalue, b_values, b_returns, clip_coef):
    """Compare a column of values with a row of returns."""
    now, old = newvalue.reshape(-1, 1), b_values.reshape(-1, 1)
    wanted = b_returns.reshape(-1)
    held = old + (now - old).clamp(-clip_coef, clip_coef)
    return 0.5 * torch.max((now - wanted) ** 2, (held - wanted) ** 2).mean()
