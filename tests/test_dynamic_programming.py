"""The topic `dynamic_programming`: the contract tests, and what only planning has."""

from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "dynamic_programming"
