"""Values with one row more than rewards; whether they have it, no name tells."""

import numpy as np


def calculate_advantages(rewards, values, dones, gamma, lam):
    steps = len(rewards)
    running = 1.0 - dones
    delta = rewards + gamma * values[1:] * running - values[:-1]
    advantages = np.zeros_like(rewards)
    carry = np.zeros_like(rewards[0])
    for t in reversed(range(steps)):
        carry = delta[t] + gamma * lam * running[t] * carry
        advantages[t] = carry
    return {"adv": advantages, "value_targets": advantages + values[:-1], "delta": delta}


def nothing_follows(rewards, masks, values, gamma, tau):
    """The same names but for T values: beyond the last step nothing is worth anything."""
    following = np.concatenate([values[1:], np.zeros_like(values[:1])])
    advantages = np.zeros_like(rewards)
    carry = 0.0
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * following[t] * masks[t] - values[t]
        carry = delta + gamma * tau * masks[t] * carry
        advantages[t] = carry
    return advantages
