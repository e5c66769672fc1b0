"""The topic `gaussian`: the contract tests, and what only it has."""

from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "gaussian"
