"""Off-policy corrections in the spelling of libraries; some of them wrong."""

import numpy as np
import torch


def vtrace_errors(v_tm1, v_t, r_t, discount_t, rho_tm1, lambda_, clip_rho_threshold, c_bar):
    """Errors and advantages as rlax has them, ratios given and all clipped alike."""
    rho, c = np.minimum(rho_tm1, clip_rho_threshold), lambda_ * np.minimum(rho_tm1, c_bar)
    deltas = rho * (r_t + discount_t * v_t - v_tm1)
    errors, following = np.empty_like(r_t), np.zeros_like(r_t[0])
    for t in reversed(range(len(r_t))):
        following = deltas[t] + discount_t[t] * c[t] * following
        errors[t] = following
    return errors + v_tm1


def vtrace_advantage_estimate(
    gamma, lam, log_pi, log_mu, state_value, next_state_value, reward, done, terminated,
    rho_thresh, c_thresh, rho_bar_advantage,
):  # fmt: skip
    """Advantages and targets in the manner of torchrl, with both flags."""
    rho = (log_pi - log_mu).exp()
    following = torch.where(terminated, 0, next_state_value)
    delta = rho.clamp(max=rho_thresh) * (reward + gamma * following - state_value)
    carry = torch.zeros_like(reward[0])
    corrections = torch.empty_like(reward)
    for t in reversed(range(len(reward))):
        carry = torch.where(done[t], 0, gamma * lam * rho[t].clamp(max=c_thresh) * carry) + delta[t]
        corrections[t] = carry
    value_targets = corrections + state_value
    later = following.clone()
    later[:-1] = torch.where(done[:-1], following[:-1], value_targets[1:])
    advantages = rho.clamp(max=rho_bar_advantage) * (reward + gamma * later - state_value)
    return advantages, value_targets


def leaking(
    gamma, lam, log_pi, log_mu, state_value, next_state_value, reward, done, terminated,
    rho_thresh, c_thresh, rho_bar_advantage,
):  # fmt: skip
    """The same with the targets shifted across truncations."""
    _, value_targets = vtrace_advantage_estimate(
        gamma, lam, log_pi, log_mu, state_value, next_state_value, reward, done, terminated,
        rho_thresh, c_thresh, rho_bar_advantage,
    )  # fmt: skip
    later = torch.cat([value_targets[1:], next_state_value[-1:]]).masked_fill(terminated, 0)
    rho = (log_pi - log_mu).exp().clamp(max=rho_bar_advantage)
    return rho * (reward + gamma * later - state_value), value_targets


def retrace_targets(q_t, expected_q, rewards, rho, terminations, truncations, gamma, lambda_):
    """Retrace written backwards, the target carried."""
    trust = lambda_ * np.minimum(rho, 1)
    targets, following = np.empty_like(rewards), None
    for t in reversed(range(len(rewards))):
        later = expected_q[t].copy()
        if following is not None:
            going_on = ~truncations[t]
            later[going_on] += (trust[t + 1] * (following - q_t[t + 1]))[going_on]
        later[terminations[t]] = 0
        following = rewards[t] + gamma * later
        targets[t] = following
    return targets


def shifted_retrace(q_t, expected_q, rewards, rho, terminations, truncations, gamma, lambda_):
    """The same with the coefficient of the step before."""
    earlier = np.concatenate([np.ones_like(rho[:1]), rho[:-1]])
    return retrace_targets(
        q_t, expected_q, rewards, earlier, terminations, truncations, gamma, lambda_
    )
