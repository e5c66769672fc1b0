"""Targets of Q-learning and DQN in the spelling of libraries and tutorials; some of them wrong.

Most multiply what follows an end by 0. That is right as long as it is a finite number, and the
values of a network are.
"""

import numpy as np
import torch

# one network values


def train(next_q_values, rewards, dones, gamma):
    """Multiply with 1 − done, as Stable-Baselines3."""
    with torch.no_grad():
        next_q_values, _ = next_q_values.max(dim=1)
        next_q_values = next_q_values.reshape(-1, 1)
        target_q_values = (
            rewards.reshape(-1, 1) + (1 - dones.reshape(-1, 1)) * gamma * next_q_values
        )
    return target_q_values.flatten()


def td_target(rewards, target_next_q, dones, gamma):
    """Flatten, and multiply with 1 − done, as CleanRL."""
    target_max, _ = target_next_q.max(dim=1)
    return rewards.flatten() + gamma * target_max * (1 - dones.flatten())


def backup(r, q_next, d, gamma):
    """Name everything by one letter, as Spinning Up."""
    return r + gamma * (1 - d) * torch.max(q_next, -1).values


def bellman_target(rewards, next_qs, terminals, cumulative_gamma):
    """Have a discount of several steps, as Dopamine."""
    replay_next_qt_max = np.max(next_qs, 1)
    return rewards + cumulative_gamma * replay_next_qt_max * (1.0 - terminals)


def nstep_target(rew, q_next, terminated, gamma):
    """Put 0 where an episode ended, then discount, as Tianshou."""
    target_q = q_next.max(axis=1)
    target_q = target_q * ~terminated
    return rew + gamma * target_q


def td_targets(r_t, discount_t, q_next):
    """Have one discount a transition, 0 at an end, as rlax and Acme."""
    return r_t + discount_t * np.max(q_next, axis=-1)


def masked_target(rewards, next_q_values, next_action_mask, dones, gamma):
    """Fill what is illegal with a huge negative number."""
    values = np.where(next_action_mask, next_q_values, -1e8)
    return rewards + (1 - dones) * gamma * values.max(axis=1)


def infinite_target(rewards, next_q_values, next_action_mask, dones, gamma):
    """Fill what is illegal with −∞, although a state after an end has no legal action."""
    values = np.where(next_action_mask, next_q_values, -np.inf)
    return rewards + (1 - dones) * gamma * values.max(axis=1)


def unmasked_target(rewards, next_q_values, next_action_mask, dones, gamma):
    """Take the mask, and forget it in the maximum."""
    return rewards + (1 - dones) * gamma * next_q_values.max(axis=1)


def zeroed_target(rewards, next_q_values, next_action_mask, dones, gamma):
    """Put 0 at illegal actions: greater than what is negative."""
    values = np.where(next_action_mask, next_q_values, 0.0)
    return rewards + (1 - dones) * gamma * values.max(axis=1)


def endless(next_q_values, rewards, dones, gamma):
    """Forget the end."""
    return rewards + gamma * next_q_values.max(dim=1).values


def discounted_reward(next_q_values, rewards, dones, gamma):
    """Discount the reward too."""
    return gamma * (rewards + (1 - dones) * next_q_values.max(dim=1).values)


def greatest_of_all(next_q_values, rewards, dones, gamma):
    """Take the maximum over the whole batch."""
    return rewards + gamma * next_q_values.max() * (1 - dones)


def mean_target(next_q_values, rewards, dones, gamma):
    """Take the mean over actions."""
    return rewards + gamma * next_q_values.mean(dim=1) * (1 - dones)


def outer_target(next_q_values, rewards, dones, gamma):
    """Keep a column, which makes a matrix of all targets."""
    next_q_values = next_q_values.max(dim=1, keepdim=True).values
    return rewards + gamma * next_q_values * (1 - dones)


def multiplied_mask(rewards, next_q_values, next_action_mask, dones, gamma):
    """Multiply with the mask: an illegal action is worth 0."""
    values = next_q_values * next_action_mask
    return rewards + (1 - dones) * gamma * values.max(axis=1)


# one picks, the other values


def double_by_index(rewards, online_next_q, target_next_q, dones, gamma):
    """Gather what the other network picked, as rl tutorials."""
    next_actions = online_next_q.argmax(dim=1, keepdim=True)
    worth = target_next_q.gather(1, next_actions).squeeze(1)
    return rewards + gamma * worth * (1 - dones)


def double_by_one_hot(rewards, q_next_online, q_next_target, dones, gamma):
    """Multiply with a one-hot vector and add up, as baselines."""
    best = np.eye(q_next_online.shape[1])[q_next_online.argmax(1)].astype(q_next_target.dtype)
    return rewards + gamma * (q_next_target * best).sum(1) * (1.0 - dones)


def double_by_arange(rew, q_next_online, q_next_target, terminated, gamma):
    """Index rows by number, as Tianshou."""
    act = q_next_online.argmax(axis=1)
    target_q = q_next_target[np.arange(len(act)), act]
    return rew + gamma * np.where(terminated, 0.0, target_q)


def clipped_double(rewards, online_next_q, target_next_q, dones, gamma):
    """Take the smaller of both values, as a discrete TD3."""
    best = online_next_q.argmax(dim=1, keepdim=True)
    worth = torch.min(target_next_q.gather(1, best), online_next_q.gather(1, best)).squeeze(1)
    return rewards + gamma * worth * (1 - dones)


def picked_by_the_target(rewards, online_next_q, target_next_q, dones, gamma):
    """Let the target network pick, too."""
    best = target_next_q.argmax(dim=1, keepdim=True)
    return rewards + gamma * target_next_q.gather(1, best).squeeze(1) * (1 - dones)


def exchanged(rewards, online_next_q, target_next_q, dones, gamma):
    """Let the target network pick and the other value."""
    return double_by_index(rewards, target_next_q, online_next_q, dones, gamma)


def valued_online(rewards, online_next_q, target_next_q, dones, gamma):
    """Let the network that learns do both."""
    return double_by_index(rewards, online_next_q, online_next_q, dones, gamma)


def of_another_step(rewards, online_next_q, target_next_q, dones, gamma):
    """Take the action that was picked for the transition before."""
    return double_by_index(rewards, online_next_q.roll(1, 0), target_next_q, dones, gamma)


# the policy's action, or its mean


def sarsa(rewards, next_q_values, next_actions, dones, gamma):
    """Gather the value of the next action."""
    following = next_q_values.gather(1, next_actions.unsqueeze(1)).squeeze(1)
    return rewards + gamma * following * (1 - dones)


def greedy_sarsa(rewards, next_q_values, next_actions, dones, gamma):
    """Take the greatest value whatever the action."""
    return rewards + gamma * next_q_values.max(1).values * (1 - dones)


def expected_sarsa(rewards, next_q_values, next_probs, dones, gamma):
    """Take the mean under the policy, as Acme's discrete critics."""
    return rewards + gamma * (next_probs * next_q_values).sum(-1) * (1 - dones)


def even_sarsa(rewards, next_q_values, next_probs, dones, gamma):
    """Take the mean over actions whatever the policy."""
    return rewards + gamma * next_q_values.mean(-1) * (1 - dones)
