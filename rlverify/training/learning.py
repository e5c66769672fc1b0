"""Learning: the algorithms, each one function: collected → estimated → updated.

A loop is the same everywhere: `collect` lets the policy act, `update` turns what it lived
through into the next state. An update calls the suite's functions through a backend, by name;
its last call is the whole update of the topic, whose arguments a function of its own puts
together (`ppo_arguments` for `ppo_update`, and so on). What learns in a table has modules of its
own, `exploration` and `correction`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlverify.training import collection, correction, exploration, tokenization
from rlverify.training.action import drawn
from rlverify.training.collection import Experience
from rlverify.training.computation import Backend
from rlverify.training.configuration import (
    Critical,
    Dqn,
    Grpo,
    Interactive,
    Reinforce,
    Tabular,
)
from rlverify.training.estimation import Rollout, actor, evaluated
from rlverify.training.initialization import ACTIONS, Moment, State, Task, beginning
from rlverify.training.interaction import Environments
from rlverify.training.provision import (
    a2c_arguments,
    grpo_arguments,
    ppo_arguments,
    reinforce_arguments,
    trpo_arguments,
    value_arguments,
)
from rlverify.training.recollection import RememberingEnvironments
from rlverify.training.tokenization import LENGTH, Prompter, Responses
from rlverify.training.valuation import collect_transitions, dqn

# --- collecting ----------------------------------------------------------------------------------


def collect_steps(
    state: State, moment: Moment, task: Task, environments: Environments
) -> Experience:
    """Let the policy take `horizon` steps in every environment."""
    settings = task.settings
    assert isinstance(settings, Critical)
    noise = drawn(
        task.generator(ACTIONS, moment.update),
        task.problem.distribution,
        (settings.horizon, settings.environments),
        task.problem.outputs,
    )
    return collection.steps(environments, actor(state, task), noise)


def collect_episodes(
    state: State, moment: Moment, task: Task, environments: Environments
) -> Experience:
    """Let the policy play one episode in every environment."""
    limit, outputs = task.problem.limit, task.problem.outputs
    assert limit is not None
    generator = task.generator(ACTIONS, moment.update)
    return collection.episodes(environments, actor(state, task), generator, limit, outputs)


def collect_responses(state: State, moment: Moment, task: Task, prompter: Prompter) -> Responses:
    """Let the policy answer a batch of prompts, each of them several times."""
    settings = task.settings
    assert isinstance(settings, Grpo)
    generator = task.generator(ACTIONS, moment.update)
    prompts, group = settings.prompts, settings.group
    return tokenization.responses(prompter, actor(state, task), generator, prompts, group)


# --- REINFORCE -----------------------------------------------------------------------------------


def reinforce(state: State, taken: Experience, moment: Moment, task: Task, twins: Backend) -> State:
    """Follow Σ w ∇log π over whole episodes, w the normalised return from each step on."""
    settings = task.settings
    assert isinstance(settings, Reinforce)
    rollout, state = evaluated(state, taken, task, twins)
    weights = twins(
        "reinforce_weights",
        rewards=rollout.rewards,
        terminated=rollout.terminated,
        truncated=rollout.truncated,
        start_steps=np.zeros(rollout.rewards.shape[1], dtype=np.int64),
        gamma=settings.gamma,
        to_go=True,
        discount_states=settings.discount_states,
    )
    if settings.normalize_weights:
        weights = twins(
            "normalize_advantages",
            advantages=weights, mask=rollout.mask, ddof=settings.ddof, eps=settings.weight_eps,
        )  # fmt: skip
    updated = twins(
        "reinforce_update", **reinforce_arguments(state, rollout, weights, moment, task, twins)
    )
    return {**state, **_stepped(updated)}


# --- actor and critic ----------------------------------------------------------------------------


def _estimates(rollout: Rollout, task: Task, twins: Backend) -> Any:
    """Return advantages and returns, [T, B]."""
    settings = task.settings
    assert isinstance(settings, Critical)
    return twins(
        "gae",
        rewards=rollout.rewards,
        values=rollout.values,
        next_values=rollout.next_values,
        terminated=rollout.terminated,
        truncated=rollout.truncated,
        gamma=settings.gamma,
        lam=settings.lam,
    )


def _stepped(updated: Any) -> State:
    """Return parameters and Adam's moments after an update."""
    return {
        "parameters": updated.parameters,
        "first": updated.first,
        "second": updated.second,
        "count": np.array(updated.count, dtype=np.int64),
    }


def a2c(state: State, taken: Experience, moment: Moment, task: Task, twins: Backend) -> State:
    """Take one step of RMSprop on a short rollout."""
    rollout, state = evaluated(state, taken, task, twins)
    estimates = _estimates(rollout, task, twins)
    updated = twins("a2c_update", **a2c_arguments(state, rollout, estimates, moment, task, twins))
    return {**state, "parameters": updated.parameters, "squares": updated.squares}


def trpo(state: State, taken: Experience, moment: Moment, task: Task, twins: Backend) -> State:
    """Take the policy as far as the bound on its KL allows; fit the critic to the returns."""
    rollout, state = evaluated(state, taken, task, twins)
    estimates = _estimates(rollout, task, twins)
    updated = twins("trpo_update", **trpo_arguments(state, rollout, estimates, task, twins))
    fitted = twins(
        "value_update", **value_arguments(state, rollout, estimates, moment, task, twins)
    )
    critic = _stepped(fitted)
    return {
        **state, **critic, "critic": critic["parameters"], "parameters": updated.parameters,
    }  # fmt: skip


def ppo(state: State, taken: Experience, moment: Moment, task: Task, twins: Backend) -> State:
    """Take several epochs of clipped steps on a rollout."""
    rollout, state = evaluated(state, taken, task, twins)
    estimates = _estimates(rollout, task, twins)
    updated = twins("ppo_update", **ppo_arguments(state, rollout, estimates, moment, task, twins))
    return {**state, **_stepped(updated)}


# --- GRPO ----------------------------------------------------------------------------------------


def grpo(state: State, taken: Responses, moment: Moment, task: Task, twins: Backend) -> State:
    """Compare the responses to each prompt with each other, and take clipped steps."""
    settings = task.settings
    assert isinstance(settings, Grpo)
    advantages = twins(
        "group_advantages",
        rewards=taken.rewards,
        group_ids=taken.group_ids,
        scale=settings.scale,
        ddof=settings.ddof,
        eps=settings.advantage_eps,
    )
    updated = twins("grpo_update", **grpo_arguments(state, taken, advantages, moment, task, twins))
    return {**state, **_stepped(updated)}


# --- all of them ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Algorithm:
    """An algorithm.

    Attributes:
        collect: (state, moment, task, world) → what the policy lived through there. The world is
            `Environments`, or for GRPO a `Prompter`.
        update: (state, that, moment, task, backend) → the next state.
        begin: (task, backend) → the first state.
    """

    collect: Callable[[State, Moment, Task, Any], Any]
    update: Callable[[State, Any, Moment, Task, Backend], State]
    begin: Callable[[Task, Backend], State] = beginning


ALGORITHMS: Mapping[str, Algorithm] = {
    "reinforce": Algorithm(collect_episodes, reinforce),
    "a2c": Algorithm(collect_steps, a2c),
    "trpo": Algorithm(collect_steps, trpo),
    "ppo": Algorithm(collect_steps, ppo),
    "grpo": Algorithm(collect_responses, grpo),
    "dqn": Algorithm(collect_transitions, dqn),
    "q_learning": Algorithm(
        exploration.collect_transitions, correction.q_learning, correction.start
    ),
}


def world_of(task: Task, twins: Backend) -> Environments | Prompter:
    """Return what the policy of a task acts in, before anything has happened there."""
    settings = task.settings
    if isinstance(settings, Interactive | Tabular):
        return Environments(task.problem, settings.environments, task.seed)
    if isinstance(settings, Dqn):
        columns = settings.environments
        memory = twins.memory(settings.capacity // columns)
        return RememberingEnvironments(task.problem, columns, task.seed, memory)
    return Prompter()


def most_steps(task: Task) -> int:
    """Return how many steps one update can take."""
    settings = task.settings
    if isinstance(settings, Critical | Dqn | Tabular):
        return settings.environments * settings.horizon
    if isinstance(settings, Reinforce):
        assert task.problem.limit is not None
        return settings.environments * task.problem.limit
    assert isinstance(settings, Grpo)
    return settings.prompts * settings.group * LENGTH
