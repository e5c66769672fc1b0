"""The topic `policy_comparison`: the contract tests, and what only comparisons have."""

from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "policy_comparison"
