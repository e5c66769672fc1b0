"""The topic `natural_gradient`: the contract tests, claims, named ends of the solver."""

from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "natural_gradient"
