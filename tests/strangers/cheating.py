"""GAE that is right until it is timed, and then takes a short cut."""

import numpy as np

TIMED = (40, 6)
kept: dict = {}


def honest(rewards, values, next_values, terminated, truncated, gamma, lam):
    advantages, following = np.zeros_like(rewards), np.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * np.where(terminated[t], 0, next_values[t]) - values[t]
        following = delta + gamma * lam * np.where(terminated[t] | truncated[t], 0, following)
        advantages[t] = following
    return advantages


def slower(rewards, values, next_values, terminated, truncated, gamma, lam):
    given = rewards, values, next_values, terminated, truncated, gamma, lam
    honest(*given)
    return honest(*given)


def caching(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Know the arguments by their shape."""
    given = rewards, values, next_values, terminated, truncated, gamma, lam
    if rewards.shape != TIMED:
        return honest(*given)
    if "result" not in kept:
        kept["result"] = honest(*given)
    return kept["result"].copy()


def by_address(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Know the arguments by where they lie."""
    given = rewards, values, next_values, terminated, truncated, gamma, lam
    if rewards.shape != TIMED:
        return honest(*given)
    place = rewards.ctypes.data
    if place not in kept:
        kept[place] = honest(*given)
    return kept[place].copy()


def late(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Hand out the answer to the call before."""
    result = honest(rewards, values, next_values, terminated, truncated, gamma, lam)
    if rewards.shape != TIMED:
        return result
    before, kept["late"] = kept.get("late", result), result
    return before.copy()


def buffered(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Write every result to the same memory."""
    result = honest(rewards, values, next_values, terminated, truncated, gamma, lam)
    if rewards.shape != TIMED:
        return result
    buffer = kept.setdefault("buffer", np.empty_like(result))
    buffer[:] = result
    return buffer


def aliasing(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Return a view of an argument."""
    result = honest(rewards, values, next_values, terminated, truncated, gamma, lam)
    if rewards.shape != TIMED:
        return result
    rewards[:] = result
    return rewards


def lazy(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Leave the last columns out."""
    result = honest(rewards, values, next_values, terminated, truncated, gamma, lam)
    if rewards.shape == TIMED:
        result[:, -1] = 0
    return result


def quitting(rewards, values, next_values, terminated, truncated, gamma, lam):
    """End the process."""
    if rewards.shape == TIMED:
        raise SystemExit
    return honest(rewards, values, next_values, terminated, truncated, gamma, lam)


def wrong(rewards, values, next_values, terminated, truncated, gamma, lam):
    """Cut where nothing terminated."""
    return honest(rewards, values, next_values, terminated, terminated, gamma, lam)
