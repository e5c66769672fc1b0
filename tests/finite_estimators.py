"""Gradient estimators that are generic over the numbers, fractions or floats."""

import numpy as np

from rlverify.enumeration import (
    rational_policy,
    weighted_scores,
)
from rlverify.tabular_envs.environments import two_button_game


def discounts(found, gamma):
    return np.array([gamma**t for t in range(len(found.mask))])[:, None]


def returns(found, gamma):
    return (discounts(found, gamma) * found.rewards).sum(axis=0)


def rewards_to_go(found, gamma):
    result, following = np.zeros_like(found.rewards), 0
    for t in reversed(range(len(result))):
        following = result[t] = found.rewards[t] + gamma * following
    return result


def total_return(policy, gamma):
    def estimate(found):
        # the padding is weighted too; weighted_scores leaves it out
        weights = np.tile(returns(found, gamma), (len(found.mask), 1))
        return weighted_scores(found, policy, weights)

    return estimate


def reward_to_go(policy, gamma, *, start_discounted=True):
    def estimate(found):
        weights = rewards_to_go(found, gamma)
        if start_discounted:
            weights = discounts(found, gamma) * weights
        return weighted_scores(found, policy, weights)

    return estimate


def importance_weighted(estimate):
    def weighted(found):
        return found.ratios.prod(axis=0)[:, None] * estimate(found)

    return weighted


def with_baseline(policy, gamma, *, itself):
    """Total return less the mean return of the batch, with or without the own one."""

    def estimate(found):
        got = returns(found, gamma)
        count = len(got)
        mean = got.sum() / count if itself else (got.sum() - got) / (count - 1)
        weights = np.tile(got - mean, (len(found.mask), 1))
        return weighted_scores(found, policy, weights).sum(axis=0) / count

    return estimate


# what refusals are tried with

GAME = two_button_game()
HALF = np.full((2, 2), 0.5)
THIRDS = rational_policy([[1, 2], [1, 1]])


def zeros(found):
    return np.zeros((found.probabilities.size, 1))
