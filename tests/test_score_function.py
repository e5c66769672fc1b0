"""Score-function estimators: the contract tests, and what only these functions have."""


from support import *  # noqa: F403

TOPIC = "score_function"
