"""placeholder"""

from support import *  # noqa: F403

TOPIC = "cross_entropy"
