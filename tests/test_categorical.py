"""The topic `categorical`: the contract tests, and what only these policies have."""

from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "categorical"
