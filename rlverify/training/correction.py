"""Correction: a table moves towards its targets, one transition after another.

`rule` says what the target is of: the greatest value of the next state (Q-learning), the action
that is taken next (SARSA), the mean over the ε-greedy policy (expected SARSA), or the value in
one table of the action that another holds for the best (double Q). Transitions are applied in
online order, each to what the ones before it have left; that order is part of the result.

All arithmetic on the table is the suite's own: `tabular_q_update`, for the other rules on the
targets of `q_learning`, which it writes as what an episode that ends pays: nothing follows them.
"""

from typing import Any

import numpy as np

from rlverify.training.computation import Backend
from rlverify.training.configuration import Tabular
from rlverify.training.discretization import Table
from rlverify.training.estimation import annealed
from rlverify.training.exploration import NOBODY, Passage
from rlverify.training.initialization import ORDER, Moment, State, Task


def start(task: Task, twins: Backend) -> State:
    """Return the state that a table begins with: equal values, and the policy of the first step."""
    settings, table = task.settings, task.problem
    assert isinstance(settings, Tabular)
    assert isinstance(table, Table)
    count = 2 if settings.rule == "double_q" else 1
    values = np.full((count, table.states, table.outputs), settings.initial_value)
    return {
        "q_values": values,
        "chosen": np.full(settings.environments, NOBODY),
        **_policy(values, 0, task, twins),
    }


def _policy(values: np.ndarray, steps: int, task: Task, twins: Backend) -> State:
    """Return ε and the ε-greedy policy after some steps; of two tables it takes the sum."""
    settings = task.settings
    assert isinstance(settings, Tabular)
    epsilon = twins(
        "linear_schedule",
        step=float(steps), start=settings.epsilon_start, end=settings.epsilon_end,
        steps=settings.exploration * settings.steps,
    )  # fmt: skip
    policy = twins(
        "epsilon_greedy_probabilities", q_values=values.sum(axis=0), epsilon=float(epsilon)
    )
    return {"epsilon": np.array(float(epsilon)), "policy": policy}


def _rows(observations: np.ndarray, table: Table, twins: Backend) -> np.ndarray:
    """Return the rows that observations belong to."""
    if not table.edges:
        return table.rows(observations)
    found: np.ndarray = twins("discretize", observations=observations, edges=table.grid)
    return found


def q_learning(state: State, taken: Passage, moment: Moment, task: Task, twins: Backend) -> State:
    """Apply a rollout to the table, and let the policy follow."""
    settings, table = task.settings, task.problem
    assert isinstance(settings, Tabular)
    assert isinstance(table, Table)
    transitions = {
        "states": _rows(taken.observations, table, twins),
        "actions": taken.actions,
        "rewards": taken.rewards,
        "next_states": _rows(taken.next_observations, table, twins),
        "terminated": taken.terminated,
    }
    knobs = {
        "gamma": settings.gamma,
        "step_size": annealed(
            settings.learning_rate, settings.anneal_learning_rate, moment, task, twins
        ),
    }
    if settings.rule == "q_learning":
        one = twins("tabular_q_update", q_values=state["q_values"][0], **transitions, **knobs)
        values = one[None]
    else:
        values = state["q_values"].copy()
        halves = task.generator(ORDER, moment.update).random(len(taken.rewards)) < 0.5
        for n in range(len(taken.rewards)):
            single = {name: array[n : n + 1] for name, array in transitions.items()}
            # double Q lets a coin say which table learns
            which = int(halves[n]) if settings.rule == "double_q" else 0
            targets = _targets(values, which, single, taken.next_actions[n : n + 1],
                               float(state["epsilon"]), settings, twins)  # fmt: skip
            paid = {**single, "rewards": targets, "terminated": np.array([True])}
            values[which] = twins("tabular_q_update", q_values=values[which], **paid, **knobs)
    steps = moment.steps + len(taken.rewards)
    return {
        "q_values": values, "chosen": taken.chosen, **_policy(values, steps, task, twins),
    }  # fmt: skip


def _targets(
    values: np.ndarray,
    which: int,
    single: dict[str, np.ndarray],
    next_actions: np.ndarray,
    epsilon: float,
    settings: Tabular,
    twins: Backend,
) -> Any:
    """Return the target of one transition, [1], under another rule than Q-learning's."""
    rows = values[which, single["next_states"]]
    given = {
        "rewards": single["rewards"], "terminated": single["terminated"], "gamma": settings.gamma,
    }  # fmt: skip
    if settings.rule == "sarsa":
        return twins("sarsa_target", next_q_values=rows, next_actions=next_actions, **given)
    if settings.rule == "expected_sarsa":
        chances = twins("epsilon_greedy_probabilities", q_values=rows, epsilon=epsilon)
        return twins(
            "expected_sarsa_target",
            next_q_values=rows, next_probabilities=chances, legal=None, **given,
        )  # fmt: skip
    other = values[1 - which, single["next_states"]]
    return twins("double_q_target", next_q_online=rows, next_q_target=other, legal=None, **given)
