"""Losses of DQN, and steps of its target network, in the spelling of libraries; some wrong."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody spells it

# losses


def mse(td_target, old_val):
    """Let torch take the mean square, as CleanRL."""
    return F.mse_loss(td_target.detach(), old_val)


def smooth_l1(current_q_values, target_q_values):
    """Let torch take the smooth distance, δ = 1, as Stable-Baselines3."""
    return F.smooth_l1_loss(current_q_values, target_q_values.detach())


def huber(q_pred, td_target, delta):
    """Let torch take Huber's loss, as Dopamine's agents."""
    return F.huber_loss(q_pred, td_target.detach(), delta=delta)


def smooth_with_beta(q_pred, td_target, delta):
    """Let torch take the smooth distance, which is Huber's loss divided by δ."""
    return F.smooth_l1_loss(q_pred, td_target.detach(), beta=delta)


def huber_by_pieces(q_pred, td_target, delta):
    """Put Huber's loss together, as baselines."""
    error = q_pred - td_target.detach()
    distance = error.abs()
    beyond = delta * (distance - 0.5 * delta)
    return torch.where(distance < delta, error.square() * 0.5, beyond).mean()


def l2_loss(q_tm1, target):
    """Halve the square, as rlax."""
    return 0.5 * (q_tm1 - target.detach()).pow(2).mean()


def summed(q_pred, td_target):
    """Add up."""
    return 0.5 * (q_pred - td_target.detach()).square().sum()


def clipped_error(q_pred, td_target, delta):
    """Clip the error, then square: no gradient is left beyond δ."""
    return 0.5 * (q_pred - td_target.detach()).clamp(-delta, delta).square().mean()


def without_offset(q_pred, td_target, delta):
    """Forget the half of δ beyond δ."""
    distance = (q_pred - td_target.detach()).abs()
    return torch.where(distance < delta, 0.5 * distance.square(), delta * distance).mean()


def outer(q_pred, td_target):
    """Compare a column of values with a row of targets."""
    return 0.5 * (q_pred.flatten()[:, None] - td_target.detach().flatten()).square().mean()


# target networks


def polyak_update(params, target_params, tau):
    """Mix, as CleanRL."""
    return tau * params + (1.0 - tau) * target_params


def in_place(target_params, params, tau):
    """Overwrite a copy of the target, as Stable-Baselines3 its target."""
    moved = target_params.clone()
    moved.mul_(1 - tau)
    torch.add(moved, params, alpha=tau, out=moved)
    return moved


def overwritten(target_params, params, tau):
    """Overwrite the target itself."""
    target_params.mul_(1 - tau).add_(params, alpha=tau)
    return target_params


def incremental(target_params, params, tau):
    """Go a share of the way, as optax."""
    return target_params + tau * (params - target_params)


def soft(target_params, params, tau):
    """Interpolate."""
    return torch.lerp(target_params, params, tau)


def reversed_share(target_params, params, tau):
    """Keep the share τ of the old."""
    return tau * target_params + (1 - tau) * params


def kept(target_params, params, tau):
    """Make a new network, and return the old one."""
    _ = tau * params + (1.0 - tau) * target_params
    return target_params + 0


def copied(target_params, params, tau):
    """Copy whatever the share."""
    return params + 0 * tau


def added(target_params, params, tau):
    """Add without taking anything off."""
    return target_params + tau * params


# tables


def q_learning(q_table, states, actions, rewards, next_states, dones, alpha, gamma):
    """Move one value after the other, as every tutorial."""
    q_table = q_table.copy()
    for s, a, r, s_next, done in zip(states, actions, rewards, next_states, dones, strict=True):
        best = np.max(q_table[s_next])
        q_table[s, a] += alpha * (r + gamma * best * (1 - done) - q_table[s, a])
    return q_table


def q_learning_at_once(q_table, states, actions, rewards, next_states, dones, alpha, gamma):
    """Move all values at once: of two visits one counts."""
    q_table = q_table.copy()
    target = rewards + gamma * q_table[next_states].max(1) * (1 - dones)
    q_table[states, actions] += alpha * (target - q_table[states, actions])
    return q_table


def q_learning_endless(q_table, states, actions, rewards, next_states, dones, alpha, gamma):
    """Forget the end."""
    return q_learning(
        q_table, states, actions, rewards, next_states, np.zeros_like(dones), alpha, gamma
    )


def q_learning_of_state(q_table, states, actions, rewards, next_states, dones, alpha, gamma):
    """Take the greatest value of the state that was left."""
    return q_learning(q_table, states, actions, rewards, states, dones, alpha, gamma)


def digitized(obs, bins):
    """Look every component up, as tutorials on CartPole, and count in one number."""
    cells = [np.digitize(obs[..., d], bins[d]) for d in range(bins.shape[0])]
    return np.ravel_multi_index(tuple(cells), (bins.shape[1] + 1,) * bins.shape[0])


def colliding(obs, bins):
    """Count with as many cells as there are edges: one too few."""
    cells = [np.digitize(obs[..., d], bins[d]) for d in range(bins.shape[0])]
    number = np.zeros_like(cells[0])
    for cell in cells:
        number = number * bins.shape[1] + cell
    return number
