"""PyTorch, [B, T]."""

import torch


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    advantages = torch.empty_like(rewards)
    carry = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        following = torch.where(terminated[:, t], 0.0, next_values[:, t])
        delta = rewards[:, t] + gamma * following - values[:, t]
        carry = delta + gamma * lam * torch.where(terminated[:, t] | truncated[:, t], 0.0, carry)
        advantages[:, t] = carry
    return advantages, advantages + values


def with_bootstrap(rewards, values, last_values, dones, gamma, lam):
    following = torch.cat([values[:, 1:], last_values[:, None]], dim=1)
    running = 1 - dones  # PyTorch takes no 1 - bool
    carry = torch.zeros_like(last_values)
    columns = []
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * running[:, t] * following[:, t] - values[:, t]
        carry = delta + gamma * lam * running[:, t] * carry
        columns.append(carry)
    return torch.stack(columns[::-1], dim=1)
