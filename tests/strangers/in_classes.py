"""Functions that live in classes, and results that live in records."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass
class Estimate:
    targets: np.ndarray
    advantage: np.ndarray


class Pair(NamedTuple):
    returns: np.ndarray
    adv: np.ndarray


class Estimator:
    def __init__(self, scale=1.0):
        self.scale = scale

    def estimate(self, reward, value, next_value, done, discount, lmbda):
        following = np.concatenate([value[1:], next_value[None]])
        carry = np.zeros_like(next_value)
        advantage = np.empty_like(reward)
        for t in reversed(range(reward.shape[0])):
            delta = reward[t] + discount * np.where(done[t], 0, following[t]) - value[t]
            carry = delta + discount * lmbda * np.where(done[t], 0, carry)
            advantage[t] = carry * self.scale
        return Estimate(advantage + value, advantage)

    @staticmethod
    def as_pair(reward, value, next_value, done, discount, lmbda):
        estimate = Estimator().estimate(reward, value, next_value, done, discount, lmbda)
        return Pair(estimate.targets, estimate.advantage)

    def built_in(self, reward, value, next_value, done):
        return self.estimate(reward, value, next_value, done, 0.5, 0.5)


class Needy:
    def __init__(self, config):
        self.config = config

    def estimate(self, rewards, values, dones, last_value, gamma, lam):
        return rewards
