"""Off-policy returns and V-trace in other forms, which look wrong and are right."""

import numpy as np

from rlverify.inputs import cut_of

Array = np.ndarray


def _rows(gamma: float | Array, like: Array) -> Array:
    return np.broadcast_to(np.asarray(gamma, dtype=like.dtype), like.shape)


def direct(
    rewards: Array, q_taken: Array, next_state_values: Array, coefficients: Array,
    terminated: Array, truncated: Array, *, gamma: float | Array,
) -> Array:  # fmt: skip
    """Carry the target itself, not the correction; a coefficient of 0 stands at every cut."""
    discount, cut = _rows(gamma, rewards), cut_of(terminated, truncated)
    trust = np.where(cut, 0, np.roll(coefficients, -1, axis=0))
    value = np.roll(q_taken, -1, axis=0)
    discount = np.where(terminated, 0, discount)
    returns, following = np.empty_like(rewards), np.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        corrected = next_state_values[t] - trust[t] * value[t] + trust[t] * following
        following = rewards[t] + discount[t] * corrected
        returns[t] = following
    return returns


def summed(
    rewards: Array, q_taken: Array, next_state_values: Array, coefficients: Array,
    terminated: Array, truncated: Array, *, gamma: float | Array,
) -> Array:  # fmt: skip
    """Sum the errors forwards from every step, each with its product of coefficients."""
    discount, cut = _rows(gamma, rewards), cut_of(terminated, truncated)
    errors = rewards + discount * np.where(terminated, 0, next_state_values) - q_taken
    returns = q_taken.copy()
    for t, b in np.ndindex(rewards.shape):
        weight = 1.0
        for k in range(t, len(rewards)):
            returns[t, b] += weight * errors[k, b]
            if cut[k, b]:
                break
            weight *= discount[k, b] * coefficients[k + 1, b]
    return returns


def clipped_logarithm(
    rewards: Array, q_taken: Array, next_state_values: Array, log_ratios: Array,
    terminated: Array, truncated: Array, *, gamma: float | Array, lam: float,
) -> Array:  # fmt: skip
    """Clip log ρ at 0, which is ρ at 1."""
    coefficients = lam * np.exp(np.minimum(log_ratios, 0))
    return summed(
        rewards, q_taken, next_state_values, coefficients, terminated, truncated, gamma=gamma
    )


def impala(
    rewards: Array, values: Array, next_values: Array, log_ratios: Array,
    terminated: Array, truncated: Array, *, gamma: float | Array, lam: float,
    rho_bar: float, c_bar: float, rho_bar_advantage: float,
) -> tuple[Array, Array]:  # fmt: skip
    """Clip three times, sum backwards, add the values, and shift the targets by one row."""
    discount, cut = _rows(gamma, rewards), cut_of(terminated, truncated)
    rho = np.exp(log_ratios)
    bootstrap = np.where(terminated, 0, next_values)
    deltas = np.minimum(rho_bar, rho) * (rewards + discount * bootstrap - values)
    decay = np.where(cut, 0, discount * (lam * np.minimum(c_bar, rho)))
    corrections, following = np.empty_like(rewards), np.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        following = deltas[t] + decay[t] * following
        corrections[t] = following
    targets = corrections + values
    later = np.where(cut, bootstrap, np.roll(targets, -1, axis=0))
    advantages = np.minimum(rho_bar_advantage, rho) * (rewards + discount * later - values)
    return targets, advantages
