"""Exploration: what an ε-greedy policy lives through, one transition after another.

A rollout is `horizon` steps of every environment. The policy is that of the table before the
rollout; its transitions are in online order: time first, and at one time column after column.
With one environment and a horizon of 1 this is the textbook's loop: every action is chosen in the
table that all transitions before it have left.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.training.configuration import Tabular
from rlverify.training.discretization import Table
from rlverify.training.initialization import ACTIONS, Moment, State, Task
from rlverify.training.interaction import Environments

NOBODY = -1  # no action has been chosen yet


class Passage(NamedTuple):
    """N transitions in online order.

    Attributes:
        observations: s of each, as the environment gave it, [N, D].
        actions: a, [N].
        rewards: r, [N].
        next_observations: s′, before any reset, [N, D].
        next_actions: a′, drawn in s′ by the policy that acts, [N]; under SARSA it is then taken.
        terminated: the episode ended in s′ by itself, not by a time limit, [N].
        chosen: of each column what SARSA does next; −1 where an episode begins, [B].
    """

    observations: Float[np.ndarray, "N D"]
    actions: Int[np.ndarray, "N"]
    rewards: Float[np.ndarray, "N"]
    next_observations: Float[np.ndarray, "N D"]
    next_actions: Int[np.ndarray, "N"]
    terminated: Bool[np.ndarray, "N"]
    chosen: Int[np.ndarray, "B"]


def looked_up(
    probabilities: Float[np.ndarray, "N A"], uniforms: Float[np.ndarray, "N"]
) -> Int[np.ndarray, "N"]:
    """Return the action that each uniform number falls on in the cumulated probabilities."""
    cumulated = probabilities.cumsum(axis=1)
    # times the last: rounding must not leave a remainder to an action that has no share
    reached = cumulated[:, :-1] <= uniforms[:, None] * cumulated[:, -1:]
    found: np.ndarray = reached.sum(axis=1)
    return found


def collect_transitions(
    state: State, moment: Moment, task: Task, environments: Environments
) -> Passage:
    """Let the policy take `horizon` steps in every environment."""
    settings, table, policy = task.settings, task.problem, state["policy"]
    assert isinstance(settings, Tabular)
    assert isinstance(table, Table)
    columns = list(range(settings.environments))
    noise = task.generator(ACTIONS, moment.update).random((settings.horizon, 2, len(columns)))
    environments.begin([column for column in columns if environments.episodes[column] < 0])
    chosen = state["chosen"].copy()
    steps = []
    for now, later in noise:
        seen = environments.observations.copy()
        drawn = looked_up(policy[table.rows(seen)], now)
        actions = np.where(chosen == NOBODY, drawn, chosen)
        step = environments.step(actions, columns)
        following = step.observations.reshape(seen.shape)
        ended = step.terminated | step.truncated
        next_actions = actions
        if settings.rule == "sarsa":
            next_actions = looked_up(policy[table.rows(following)], later)
            chosen = np.where(ended, NOBODY, next_actions)
        steps.append((seen, actions, step.rewards, following, next_actions, step.terminated))
        environments.begin(np.flatnonzero(ended).tolist())
    seen, actions, rewards, following, next_actions, terminated = (
        np.concatenate(part) for part in zip(*steps, strict=True)
    )
    return Passage(seen, actions, rewards, following, next_actions, terminated, chosen)
