"""Estimates of KL(old‖new) from log-probabilities, as people log them."""

import torch


def k1_of_old(logp, logp_old):
    """Average old minus new, as Spinning Up."""
    return (logp_old - logp).mean().item()


def k1_of_ratio(newlogprob, b_logprobs):
    """Negate the mean log-ratio, as CleanRL."""
    logratio = newlogprob - b_logprobs
    return (-logratio).mean()


def k1_masked(old_log_prob, log_prob, response_mask):
    """Average over what is real, as verl."""
    difference = torch.where(response_mask, old_log_prob - log_prob, 0.0)
    return difference.sum() / response_mask.sum()


def k2_half_square(new_logprobs, old_logprobs):
    """Halve the mean square, as trl."""
    return 0.5 * ((new_logprobs - old_logprobs) ** 2).mean()


def k3_as_written(newlogprob, b_logprobs):
    """Subtract 1 and the log-ratio from the ratio, as CleanRL and Stable-Baselines3."""
    logratio = newlogprob - b_logprobs
    return ((logratio.exp() - 1) - logratio).mean()


def k3_expm1(log_prob, old_log_prob):
    """Use expm1, as torchrl."""
    log_ratio = log_prob - old_log_prob
    return (torch.expm1(log_ratio) - log_ratio).mean()


def all_of_them(logp, logp_old, mask, kl_estimator):
    """Choose by name."""
    d = torch.where(mask, logp - logp_old, 0.0)
    terms = {"k1": -d, "k2": d**2 / 2, "k3": torch.expm1(d) - d}[kl_estimator]
    return terms.sum() / mask.sum()


def from_negated(neglogpac, old_neglogpac):
    """Halve the mean square of negated ones, as baselines."""
    return 0.5 * torch.mean((neglogpac - old_neglogpac) ** 2)


def exchanged_k3(newlogprob, b_logprobs):
    """Estimate the other direction from the same samples."""
    logratio = b_logprobs - newlogprob
    return (torch.expm1(logratio) - logratio).mean()


def negative_k1(newlogprob, b_logprobs):
    """Average the log-ratio."""
    return (newlogprob - b_logprobs).mean()


def clamped_before(log_prob, old_log_prob):
    """Clamp the log-ratio to ±1 first, as where a clipped ratio is at hand."""
    d = torch.clamp(log_prob - old_log_prob, -1.0, 1.0)
    return (torch.expm1(d) - d).mean()


def summed(logp, logp_old, mask):
    """Add up over tokens."""
    return torch.where(mask, logp_old - logp, 0.0).sum()


def divided_by_all(logp, logp_old, mask):
    """Average over padding too."""
    return torch.where(mask, logp_old - logp, 0.0).mean()


def multiplied(logp, logp_old, mask):
    """Multiply with the mask."""
    return ((logp_old - logp) * mask).sum() / mask.sum()


def blind_to_padding(logp, logp_old, mask):
    """Forget the mask."""
    return (logp_old - logp).mean()


def without_the_half(new_logprobs, old_logprobs):
    """Average the square."""
    return ((new_logprobs - old_logprobs) ** 2).mean()
