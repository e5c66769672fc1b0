"""Running moments: the contract tests, and what only these functions have."""

from support import *  # noqa: F403

TOPIC = "normalization"
