"""Off-policy returns as people write them: two are right, the others are not."""

import numpy as np
from numpy import ndarray


def retrace(
    rewards: ndarray, q_taken: ndarray, next_state_values: ndarray, ratios: ndarray,
    terminated: ndarray, truncated: ndarray, gamma: float, lam: float,
) -> ndarray:  # fmt: skip
    """Is right: the coefficient is that of the next action."""
    trust = lam * np.minimum(ratios, 1)
    targets, correction = np.empty_like(rewards), 0 * rewards[0]
    for t in reversed(range(len(rewards))):
        following = np.where(terminated[t], 0, next_state_values[t])
        error = rewards[t] + gamma * following - q_taken[t]
        carried = gamma * trust[t + 1] * correction if t + 1 < len(rewards) else 0
        correction = error + np.where(terminated[t] | truncated[t], 0, carried)
        targets[t] = q_taken[t] + correction
    return targets


def shifted(
    rewards: ndarray, q_taken: ndarray, next_state_values: ndarray, ratios: ndarray,
    terminated: ndarray, truncated: ndarray, gamma: float, lam: float,
) -> ndarray:  # fmt: skip
    """Takes the coefficient of the action that is being corrected."""
    earlier = np.concatenate([ratios[:1], ratios[:-1]])
    return retrace(rewards, q_taken, next_state_values, earlier, terminated, truncated, gamma, lam)


def errors_of_values(
    rewards: ndarray, values: ndarray, next_values: ndarray, ratios: ndarray,
    terminated: ndarray, truncated: ndarray, gamma: float, lam: float,
) -> ndarray:  # fmt: skip
    """Puts Retrace's coefficients on errors of V, the first of which has no ratio at all."""
    return retrace(rewards, values, next_values, ratios, terminated, truncated, gamma, lam)


def vtrace(
    rewards: ndarray, values: ndarray, next_values: ndarray, ratios: ndarray,
    terminated: ndarray, truncated: ndarray, gamma: float, lam: float, rho_bar: float, c_bar: float,
) -> ndarray:  # fmt: skip
    """Is right: it learns the values of the policy between π and μ."""
    following = np.where(terminated, 0, next_values)
    errors = np.minimum(ratios, rho_bar) * (rewards + gamma * following - values)
    carried = gamma * lam * np.minimum(ratios, c_bar) * ~(terminated | truncated)
    targets, correction = np.empty_like(rewards), 0 * rewards[0]
    for t in reversed(range(len(rewards))):
        correction = errors[t] + carried[t] * correction
        targets[t] = values[t] + correction
    return targets
