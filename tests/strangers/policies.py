"""Divergences of Gaussian policies in logarithms of variances."""

import numpy as np


def kl_of_log_variances(mu_p, logvar_p, mu_q, logvar_q):
    """Take the trace of a quotient of variances, none of them squared, as pat-coady's TRPO."""
    trace = np.exp(logvar_p - logvar_q).sum(-1)
    distance = ((mu_q - mu_p) ** 2 * np.exp(-logvar_q)).sum(-1)
    return 0.5 * ((logvar_q - logvar_p).sum(-1) + trace + distance - mu_p.shape[-1])


def kl_with_a_parenthesis_too_few(mu_p, logvar_p, mu_q, logvar_q):
    """Divide the distance by twice the variance, and not the trace."""
    variance_p, variance_q = np.exp(logvar_p), np.exp(logvar_q)
    each = (logvar_q - logvar_p) / 2 + variance_p + (mu_q - mu_p) ** 2 / (2 * variance_q) - 0.5
    return each.sum(-1)
