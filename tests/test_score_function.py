"""Score-function estimators: the contract tests, and what only these functions have."""

import pytest
import torch
from support import *  # noqa: F403

TOPIC = "score_function"
