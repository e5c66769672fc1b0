"""Rollouts recorded from real Gymnasium environments, for judging estimators on.

A row is one step that an agent took: V of the state it stood in, the reward it got, V of
the state the step led to, and whether the episode ended there (`terminated`) or was merely
cut by the time limit (`truncated`). Arrays are time-major, [T, B]; a column is one copy of
the environment and runs through many episodes.

The one thing to remember: `next_values` belongs to the state the step led to, even where
the environment has already moved on to the next episode. Gymnasium's vector environments
reset by themselves, in one of two ways, and each hides a trap:

- next step: the step after an end resets and ignores the action. It is no step of any
  agent (the reward 0 is made up), so it is left out of the recording.
- same step: the ending step returns the first observation of the next episode; the state
  it led to stands in `info["final_obs"]` alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from jaxtyping import Bool, Float

from rlverify.acting import Agent, guide, value_network
from rlverify.errors import Arguments

PLAN: tuple[tuple[str, int, AutoresetMode | None], ...] = (
    ("CartPole", 20, None),
    ("CartPole", 20, AutoresetMode.NEXT_STEP),
    ("CartPole", 20, AutoresetMode.SAME_STEP),
    ("Pendulum", 15, None),
    ("Pendulum", 15, AutoresetMode.NEXT_STEP),
    ("FrozenLake", 12, None),
    ("FrozenLake", 12, AutoresetMode.SAME_STEP),
    ("CliffWalking", 24, None),
    ("CliffWalking", 24, AutoresetMode.NEXT_STEP),
    ("Taxi", 18, None),
    ("Taxi", 18, AutoresetMode.SAME_STEP),
)  # name, time limit, how the vector environment resets (None: a single environment)


@dataclass(frozen=True, eq=False)
class Rollout:
    """T recorded steps of B columns; every row is a step that was really taken.

    Attributes:
        name: environment id and how it was recorded.
        rewards: rₜ, float64 [T, B], in the environment's own unit.
        values: V(sₜ) of a fixed random network, float64 [T, B].
        next_values: V(sₜ₊₁) of the state the action led to, before any reset, also where
            the episode terminated: an estimator has to drop it there by itself.
        terminated: the episode ended by itself, boolean [T, B].
        truncated: the time limit cut the episode, boolean [T, B]; both may be True.
    """

    name: str
    rewards: Float[np.ndarray, "T B"]
    values: Float[np.ndarray, "T B"]
    next_values: Float[np.ndarray, "T B"]
    terminated: Bool[np.ndarray, "T B"]
    truncated: Bool[np.ndarray, "T B"]


class _Step(NamedTuple):
    observation: Any
    reward: float
    next_observation: Any  # of the same episode, always
    terminated: bool
    truncated: bool


def newest_id(name: str) -> str:
    """The id of the highest version of `name` that the installed Gymnasium registers.

    Raises:
        ValueError: there is none.

    Example:
        >>> newest_id("CartPole")
        'CartPole-v1'
    """
    versions = [
        spec.version or 0
        for spec in gymnasium.registry.values()
        if spec.namespace is None and spec.name == name
    ]
    if not versions:
        raise ValueError(f"newest_id: name came as {name!r}, wanted one that Gymnasium registers.")
    return f"{name}-v{max(versions)}"


def record(
    env_id: str,
    *,
    steps: int,
    columns: int,
    seed: int,
    vector: bool,
    time_limit: int,
    autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
) -> Rollout:
    """Record `steps` steps of `columns` copies of an environment under random actions.

    Column b is seeded with seed + b and draws its actions from default_rng([seed, b]):
    uniformly, or, where the environment has a toy-text table `P`, most of the time towards
    its best-paid end, for pure chance would not get there. So an environment records
    the same whether single or vector, unless it brings a vector version of its own.

    Args:
        env_id: an id of `gymnasium.make`, with discrete or one-axis observations.
        steps: rows T, at least 1.
        columns: columns B, at least 1.
        seed: of environments and actions, at least 0.
        vector: through `gymnasium.make_vec` rather than one environment after the other.
        time_limit: the step after which an episode is truncated, at least 1.
        autoreset_mode: with `vector`, how the vector environment resets: next step (through
            the environment's own vector version, where there is one) or same step.

    Returns:
        The rollout, [T, B]. No row is a reset, and the last row is cut without a flag.

    Raises:
        TypeError: an argument is of another type.
        ValueError: a number is out of its range, or the autoreset mode is disabled.
    """
    arguments = Arguments("record", np.ndarray)
    for name, value, least in (
        ("steps", steps, 1),
        ("columns", columns, 1),
        ("seed", seed, 0),
        ("time_limit", time_limit, 1),
    ):
        arguments.count(name, value, least=least)
    if autoreset_mode not in {AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP}:
        raise ValueError(
            f"record: autoreset_mode came as {autoreset_mode}, wanted NEXT_STEP or SAME_STEP."
        )
    probe = gymnasium.make(env_id, disable_env_checker=True)
    network, towards = value_network(probe.observation_space), guide(probe)
    agents = [Agent(probe.action_space, towards, seed, column) for column in range(columns)]
    probe.close()
    limit = int(time_limit)
    if vector:
        recorded = _vector_steps(env_id, agents, steps, seed=seed, limit=limit, mode=autoreset_mode)
    else:
        recorded = [_steps(env_id, agent, steps, seed + b, limit) for b, agent in enumerate(agents)]

    def table(field: Callable[[_Step], Any], dtype: type) -> Any:
        rows = zip(*recorded, strict=True)
        return np.array([[field(step) for step in row] for row in rows], dtype=dtype)

    return Rollout(
        name=f"{env_id} " + (f"(vector, {autoreset_mode.value})" if vector else "(single)"),
        rewards=table(lambda step: step.reward, np.float64),
        values=table(lambda step: network(step.observation), np.float64),
        next_values=table(lambda step: network(step.next_observation), np.float64),
        terminated=table(lambda step: step.terminated, np.bool_),
        truncated=table(lambda step: step.truncated, np.bool_),
    )


def _steps(env_id: str, agent: Agent, steps: int, seed: int, limit: int) -> list[_Step]:
    env = gymnasium.make(env_id, max_episode_steps=limit, disable_env_checker=True)
    observation, _ = env.reset(seed=seed)
    recorded: list[_Step] = []
    while len(recorded) < steps:
        after, reward, terminated, truncated, _ = env.step(agent.act(observation))
        recorded.append(_Step(observation, float(reward), after, terminated, truncated))
        observation = env.reset()[0] if terminated or truncated else after
    env.close()
    return recorded


def _vector_steps(
    env_id: str, agents: list[Agent], steps: int, *, seed: int, limit: int, mode: AutoresetMode
) -> list[list[_Step]]:
    settings: dict[str, Any] = {"num_envs": len(agents), "max_episode_steps": limit}
    native = gymnasium.spec(env_id).vector_entry_point is not None
    if not native or mode == AutoresetMode.SAME_STEP:
        settings |= {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": mode}}
        settings["disable_env_checker"] = True
    envs = gymnasium.make_vec(env_id, **settings)
    if envs.metadata["autoreset_mode"] != mode:
        raise ValueError(
            f"record: env_id came as {env_id}, whose own vector version resets by "
            f"{envs.metadata['autoreset_mode']}; wanted autoreset_mode=AutoresetMode.SAME_STEP."
        )
    observations, _ = envs.reset(seed=seed)
    recorded: list[list[_Step]] = [[] for _ in agents]
    resetting = np.zeros(len(agents), dtype=bool)
    actions = [agent.act(x) for agent, x in zip(agents, observations, strict=True)]
    while min(map(len, recorded)) < steps:
        after, rewards, terminated, truncated, info = envs.step(np.stack(actions))
        ended = terminated | truncated
        for b, column in enumerate(recorded):
            if resetting[b] or len(column) == steps:
                continue
            hidden = mode == AutoresetMode.SAME_STEP and ended[b]
            final = info["final_obs"][b] if hidden else after[b]
            column.append(_Step(observations[b], rewards[b], final, terminated[b], truncated[b]))
        observations = after
        resetting = ended & (mode == AutoresetMode.NEXT_STEP)
        for b, agent in enumerate(agents):
            if not resetting[b]:  # where it is, the old action serves: it will be ignored
                actions[b] = agent.act(observations[b])
    envs.close()
    return recorded


def real_rollouts(*, seed: int) -> list[Rollout]:
    """Rollouts of CartPole, Pendulum, FrozenLake, CliffWalking and Taxi, single and vector.

    The time limits are short, so that episodes are truncated, and long enough for some to
    terminate as well; Pendulum never does. Each rollout has a seed of its own.

    Args:
        seed: of environments and actions, at least 0.

    Returns:
        Eleven rollouts of 96 steps of 4 columns.

    Raises:
        TypeError, ValueError: seed is not an integer of at least 0.
    """
    Arguments("real_rollouts", np.ndarray).count("seed", seed, least=0)
    return [
        record(
            newest_id(name),
            steps=96,
            columns=4,
            seed=1000 * seed + 10 * i,
            vector=mode is not None,
            time_limit=limit,
            autoreset_mode=mode or AutoresetMode.NEXT_STEP,
        )
        for i, (name, limit, mode) in enumerate(PLAN)
    ]
