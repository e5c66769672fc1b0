"""Every training loop learns within its budget: 4 of 5 seeds, all settings as by default.

About ten minutes of one core: a minute for PPO, under two for TRPO and A2C, one for REINFORCE,
half a one for GRPO, five for DQN. `make learn` runs them, `make test` does not.
"""

import pytest

from rlverify.training.commanding import task_of
from rlverify.training.computation import Fast, one_thread
from rlverify.training.running import Run
from rlverify.training.tokenization import BEST

SEEDS = range(5)
ENOUGH = 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "environment", "steps", "target"),
    [
        ("ppo", "CartPole-v1", 100_000, 400.0),
        ("trpo", "CartPole-v1", 150_000, 400.0),
        ("a2c", "CartPole-v1", 400_000, 400.0),
        ("reinforce", "CartPole-v1", 400_000, 400.0),
        ("grpo", "tokens", 300_000, 0.9 * BEST),
        ("dqn", "CartPole-v1", 150_000, 400.0),
    ],
    ids=["ppo", "trpo", "a2c", "reinforce", "grpo", "dqn"],
)
def test_loop_learns(algorithm: str, environment: str, steps: int, target: float):
    reached = []
    for seed in SEEDS:
        task = task_of(algorithm, environment, [], None, seed)
        assert task.settings.steps == steps  # the default is the budget
        with one_thread():
            run = Run(task, Fast(task.settings.dtype))
            for _ in run.updates():
                pass
        run.close()
        assert run.moment.steps <= steps
        print(f"{algorithm}, seed {seed}: {run.recent} after {run.moment.steps} steps")
        reached.append(run.recent is not None and run.recent >= target)
        missed = len(reached) - sum(reached)
        if missed > len(SEEDS) - ENOUGH:
            break  # it cannot be made good any more
    assert sum(reached) >= ENOUGH, reached
