"""The two-button game with an estimator of its gradient; shared by tests of sampled checks."""

import numpy as np

from rlverify.enumeration import rational_policy, weighted_scores
from rlverify.expectation import exact_expectation, true_gradient
from rlverify.tabular_envs.environments import two_button_game

POLICY = rational_policy([[3, 1], [1, 1]])
GAME = two_button_game(1)  # left pays 2, right nothing
SETTINGS = {"rate": 1e-6, "seed": 0}


def pressed(found):
    return weighted_scores(found, POLICY, found.rewards)


EXPECTED = exact_expectation(pressed, GAME, POLICY, horizon=1)
GRADIENT = true_gradient(GAME, POLICY, gamma=1, horizon=1)
LEFT = np.array([0.5, -0.5, 0.0, 0.0])  # 2 · (1 − ¾)
RIGHT = np.zeros(4)


def estimate(generator, shift=0.0):
    return (LEFT if generator.random() < 0.75 else RIGHT) + np.array([shift, 0, 0, 0])
