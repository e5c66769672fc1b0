"""Short runs of every training loop, as tasks and as words; shared by tests of `train`."""

from rlverify.training import commanding
from rlverify.training.initialization import Task
from rlverify.training.learning import ALGORITHMS

PLACES = dict.fromkeys(ALGORITHMS, "CartPole-v1")
PLACES |= {"grpo": "tokens", "q_learning": "FrozenLake-v1"}
# short runs, whose updates cut episodes in the middle
SHORT = {
    "reinforce": ["steps=4000", "environments=3", "hidden=8"],
    "a2c": ["steps=300", "environments=3", "horizon=7", "hidden=8"],
    "trpo": ["steps=300", "environments=3", "horizon=20", "hidden=8", "minibatch_size=16"],
    "ppo": ["steps=300", "environments=3", "horizon=20", "hidden=8", "minibatch_size=16"],
    "dqn": ["steps=300", "environments=3", "horizon=20", "hidden=8", "capacity=100",
            "warm_up=100", "gradient_steps=7", "target_every=5"],
    "grpo": ["steps=800", "prompts=3", "group=4", "hidden=8", "minibatch_size=5"],
    "q_learning": ["steps=700", "environments=3", "horizon=7", "cells=3", "initial_value=1"],
}  # fmt: skip
RECIPE = ["normalize_observations=on", "scale_rewards=on"]


def task(algorithm: str, *more: str, environment: str = "", seed: int = 3) -> Task:
    given = [*SHORT[algorithm], *more]
    return commanding.task_of(algorithm, environment or PLACES[algorithm], given, None, seed)


def chosen(algorithm: str, *more: str) -> list[str]:
    given = [*SHORT[algorithm], *more]
    return [algorithm, PLACES[algorithm], *(word for item in given for word in ("--set", item))]
