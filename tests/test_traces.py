"""The topic `traces`: the contract tests, and what only off-policy returns have."""

from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "traces"
