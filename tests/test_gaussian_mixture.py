"""The topic `gaussian_mixture`: the contract tests, and what only mixtures have."""

from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "gaussian_mixture"
