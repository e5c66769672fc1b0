"""Returns, token sequences and normalisation, in names that people use."""

import numpy as np
import torch


def td_targets(rewards, values, next_values, dones, discount_factor):
    return rewards + discount_factor * next_values * (1 - dones) - values


def bootstrapped(rewards, dones, last_value, gamma):
    returns = np.empty_like(rewards)
    following = last_value
    for t in reversed(range(len(rewards))):
        following = rewards[t] + gamma * following * (1 - dones[t])
        returns[t] = following
    return returns


def dreamer(reward, value, pcont, bootstrap, lambda_):
    following = np.concatenate([value[1:], bootstrap[None]])
    carry = bootstrap
    out = []
    for t in reversed(range(len(reward))):
        carry = reward[t] + pcont[t] * ((1 - lambda_) * following[t] + lambda_ * carry)
        out.append(carry)
    return np.stack(out[::-1])


def n_step(rewards, next_values, terminations, truncations, gamma, n_steps):
    steps, batch = rewards.shape
    out = np.empty_like(rewards)
    for b in range(batch):
        for t in range(steps):
            total, weight = 0.0, 1.0
            for k in range(t, min(t + n_steps, steps)):
                total += weight * rewards[k, b]
                weight *= gamma
                if terminations[k, b] or truncations[k, b]:
                    break
            out[t, b] = total + weight * next_values[k, b] * (not terminations[k, b])
    return out


def token_gae(rewards, values, response_mask, gamma, lam):
    """One sequence after another, padding skipped."""
    advantages = torch.zeros_like(rewards)
    carry, following = 0.0, 0.0
    for t in reversed(range(rewards.shape[0])):
        if response_mask[t]:
            delta = rewards[t] + gamma * following - values[t]
            carry = delta + gamma * lam * carry
            following = values[t]
            advantages[t] = carry
    return advantages, torch.where(response_mask, advantages + values, 0.0)


def token_gae_time_major(rewards, values, gamma, lam):
    """Sequences without padding, tokens first."""
    advantages = np.zeros_like(rewards)
    carry, following = 0.0, 0.0
    for t in reversed(range(rewards.shape[0])):
        carry = rewards[t] + gamma * following - values[t] + gamma * lam * carry
        following = values[t]
        advantages[t] = carry
    return advantages


def normalize(adv):
    return (adv - adv.mean()) / (adv.std() + 0.5)
