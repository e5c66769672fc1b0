"""NumPy, one trajectory at a time, as in many tutorials."""

import numpy as np


def compute_gae(rewards, values, dones, last_value, gamma=0.99, gae_lambda=0.95):
    advantages = np.zeros_like(rewards)
    last_advantage = 0.0
    for t in reversed(range(len(rewards))):
        following = last_value if t == len(rewards) - 1 else values[t + 1]
        # `if` needs one flag, so this takes no columns
        running = 0.0 if dones[t] else 1.0
        delta = rewards[t] + gamma * following * running - values[t]
        last_advantage = delta + gamma * gae_lambda * running * last_advantage
        advantages[t] = last_advantage
    return advantages, advantages + values


def returns_first(rewards, values, dones, last_value, gamma, lam):
    """Gives its results the other way round, and says so only by their names."""
    advantages, returns = compute_gae(rewards, values, dones, last_value, gamma, lam)
    return returns, advantages


def discount_cumsum(rewards, gamma):
    """No flags, no values: one whole episode."""
    total = 0.0
    totals = []
    for reward in reversed(rewards):
        total = reward + gamma * total
        totals.insert(0, total)
    return totals
