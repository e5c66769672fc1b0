"""The topic `beta`: the contract tests, and what only Beta policies have."""

from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "beta"
