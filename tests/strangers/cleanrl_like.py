"""PyTorch, in the shape of CleanRL's scripts: dones mark the step after an episode's last."""

import torch


def compute(rewards, values, dones, next_value, next_done, gamma, gae_lambda):
    advantages = torch.zeros_like(rewards)
    carry = 0
    steps = rewards.shape[0]
    for t in reversed(range(steps)):
        if t == steps - 1:
            running, following = 1.0 - next_done, next_value.reshape(1, -1)
        else:
            running, following = 1.0 - dones[t + 1], values[t + 1]
        delta = rewards[t] + gamma * following * running - values[t]
        advantages[t] = carry = delta + gamma * gae_lambda * running * carry
    returns = advantages + values
    return advantages, returns


def no_next_done(rewards, values, episode_starts, last_values, gamma, gae_lambda):
    """Nobody tells it whether the last step ended an episode."""
    starts = torch.cat([episode_starts[1:], torch.zeros_like(episode_starts[:1])])
    following = torch.cat([values[1:], last_values[None]])
    advantages = torch.zeros_like(rewards)
    carry = torch.zeros_like(last_values)
    for t in reversed(range(len(rewards))):
        running = 1.0 - starts[t]
        delta = rewards[t] + gamma * following[t] * running - values[t]
        advantages[t] = carry = delta + gamma * gae_lambda * running * carry
    return advantages
