"""Collection: what a policy lives through in its environments, as arrays.

`steps` records a fixed number of steps of every column, whose episodes run on from one
rollout into the next. `episodes` records one whole episode of every column.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from rlverify.training.action import Actor, drawn
from rlverify.training.interaction import Environments


class Experience(NamedTuple):
    """T steps of B columns, as the environments gave them.

    Attributes:
        observations: sₜ, [T, B, I].
        next_observations: sₜ₊₁ of the same episode, also where it ended, [T, B, I].
        actions: [T, B] of a categorical policy, [T, B, D] of a Gaussian one.
        rewards: rₜ, [T, B].
        terminated: the episode ended by itself, [T, B].
        truncated: a time limit cut it, [T, B].
        mask: the step was really taken, [T, B]; False below the end of a shorter episode, where
            everything else is 0 and `terminated` is True.
    """

    observations: Float[np.ndarray, "T B I"]
    next_observations: Float[np.ndarray, "T B I"]
    actions: np.ndarray
    rewards: Float[np.ndarray, "T B"]
    terminated: Bool[np.ndarray, "T B"]
    truncated: Bool[np.ndarray, "T B"]
    mask: Bool[np.ndarray, "T B"]


def _empty(length: int, columns: int, inputs: int, noise: np.ndarray, gaussian: bool) -> Experience:
    shape = (length, columns)
    return Experience(
        observations=np.zeros((*shape, inputs)),
        next_observations=np.zeros((*shape, inputs)),
        actions=np.zeros(noise.shape, dtype=np.float64 if gaussian else np.int64),
        rewards=np.zeros(shape),
        terminated=np.ones(shape, dtype=np.bool_),
        truncated=np.zeros(shape, dtype=np.bool_),
        mask=np.zeros(shape, dtype=np.bool_),
    )


def _record(
    taken: Experience,
    t: int,
    environments: Environments,
    actor: Actor,
    noise: np.ndarray,
    columns: list[int],
) -> list[int]:
    """Record one step of some columns; return those whose episodes it ended."""  # fmt: skip
    seen = environments.observations[columns]
    actions = actor.act(seen, noise[columns])
    step = environments.step(actions, columns)
    taken.observations[t, columns] = seen
    taken.next_observations[t, columns] = step.observations
    taken.actions[t, columns] = actions
    taken.rewards[t, columns] = step.rewards
    taken.terminated[t, columns] = step.terminated
    taken.truncated[t, columns] = step.truncated
    taken.mask[t, columns] = True
    ended = step.terminated | step.truncated
    return [column for column, over in zip(columns, ended, strict=True) if over]


def steps(environments: Environments, actor: Actor, noise: np.ndarray) -> Experience:
    """Record a step of every column for each row of noise."""
    length, columns = noise.shape[:2]
    everyone = list(range(columns))
    environments.begin([column for column in everyone if environments.episodes[column] < 0])
    width = environments.observations.shape[1]
    taken = _empty(length, columns, width, noise, actor.deviation is not None)
    for t in range(length):
        environments.begin(_record(taken, t, environments, actor, noise[t], everyone))
    return taken


def episodes(
    environments: Environments, actor: Actor, generator: np.random.Generator, limit: int, width: int
) -> Experience:
    """Record one episode of every column, from its first step to its last."""
    columns = len(environments.envs)
    distribution = "categorical" if actor.deviation is None else "gaussian"
    # for every step that there could be, so that no draw depends on how long others play
    noise = drawn(generator, distribution, (limit, columns), width)
    inputs = environments.observations.shape[1]
    taken = _empty(limit, columns, inputs, noise, actor.deviation is not None)
    going = list(range(columns))
    environments.begin(going)
    for t in range(limit):
        over = _record(taken, t, environments, actor, noise[t], going)
        going = [column for column in going if column not in over]
        if not going:
            break
    return Experience(*(array[: t + 1] for array in taken))
