"""Tables learn within their budgets: 4 of 5 seeds, all settings as they are by default.

Where a process is known exactly, so is what the greedy policy of the learnt table is worth, and
nothing is sampled to judge it. `make learn` runs these, `make test` does not.
"""

from collections.abc import Callable

import numpy as np
import pytest

from rlverify.reference.dynamic_programming import greedy_policy, policy_iteration
from rlverify.tabular_envs.exact import objective
from rlverify.tabular_envs.finite_horizon import horizon_objective
from rlverify.tabular_envs.from_gymnasium import from_gymnasium
from rlverify.training.commanding import task_of
from rlverify.training.computation import Fast, one_thread
from rlverify.training.running import Run
from test_training_learning import ENOUGH, SEEDS

LIMIT = 200  # steps of an episode that are looked at; the best policies need fewer than 20


def greedy(run: Run) -> np.ndarray:
    return greedy_policy(run.state["q_values"].sum(axis=0))


def played(run: Run) -> float:
    """Return the exact mean return of the greedy policy, over all first states, undiscounted."""
    mdp = from_gymnasium(run.task.problem.name)
    return horizon_objective(mdp, greedy(run), gamma=1.0, horizon=LIMIT)


def share_of_the_best(run: Run) -> float:
    """Return what the greedy policy is worth beside the best one, by linear solves."""
    mdp, gamma = from_gymnasium(run.task.problem.name), run.task.settings.gamma
    best = policy_iteration(
        mdp.transition, mdp.reward, mdp.terminal, gamma=gamma, max_iterations=100
    ).policy
    return objective(mdp, greedy(run), gamma=gamma) / objective(mdp, best, gamma=gamma)


def recent(run: Run) -> float:
    """Return the mean of the last 100 episodes."""
    assert run.recent is not None
    return run.recent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "steps", "measure", "target"),
    [
        ("FrozenLake-v1", 100_000, share_of_the_best, 0.95),
        ("CliffWalking-v1", 40_000, played, -13.0),  # no policy earns more
        ("Taxi-v4", 100_000, played, 7.0),  # the best earns 7.93
        ("CartPole-v1", 150_000, recent, 195.0),
    ],
)
def test_table_learns(environment: str, steps: int, measure: Callable[[Run], float], target: float):
    reached = []
    for seed in SEEDS:
        task = task_of("q_learning", environment, [], None, seed)
        assert task.settings.steps == steps  # the default is the budget
        with one_thread():
            run = Run(task, Fast(task.settings.dtype))
            for _ in run.updates():
                pass
        run.close()
        assert run.moment.steps <= steps
        found = measure(run)
        print(f"{environment}, seed {seed}: {found} after {run.moment.steps} steps")
        reached.append(found >= target)
        if len(reached) - sum(reached) > len(SEEDS) - ENOUGH:
            break  # it cannot be made good any more
    assert sum(reached) >= ENOUGH, reached
