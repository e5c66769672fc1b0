"""Interaction: environments side by side, whose every episode can be played again.

Column b plays its episodes 0, 1, 2, … one after the other, each reset with a seed that follows
from the run's seed, b and the episode's number. So where an environment is follows from three
things: column, number of the episode, and the actions taken in it; that is all that is saved,
and replaying it brings any environment back that draws its chances from its own seeded
generator.

A time limit is a truncation: what follows the last step is the value of the state it led to,
which is therefore handed out with the step, before the reset.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Bool, Float

from rlverify.settings import nearest


@dataclass(frozen=True)
class Problem:
    """What a policy has to fit.

    Attributes:
        name: of the environment.
        inputs: how many numbers an observation has.
        outputs: how many actions there are, or how many numbers an action has.
        distribution: of the actions, `"categorical"` or `"gaussian"`.
        limit: how many steps an episode can have; None if nobody says.
    """

    name: str
    inputs: int
    outputs: int
    distribution: str
    limit: int | None


class Step(NamedTuple):
    """One step of every column.

    Attributes:
        observations: of the states that the step led to, before any reset, [B, I].
        rewards: [B].
        terminated: the episode ended by itself, [B].
        truncated: a time limit cut it, [B].
    """

    observations: Float[np.ndarray, "B I"]
    rewards: Float[np.ndarray, "B"]
    terminated: Bool[np.ndarray, "B"]
    truncated: Bool[np.ndarray, "B"]


class Episode(NamedTuple):
    """An episode that ended.

    Attributes:
        step: how many steps all columns together had taken by then.
        total: the sum of its rewards.
        length: how many there were.
    """

    step: int
    total: float
    length: int


Position = dict[str, np.ndarray]


def made(name: str) -> gymnasium.Env[Any, Any]:
    """Return a new environment.

    Raises:
        ValueError: there is none of that name, or it cannot be made here.
    """
    known = [key for key, spec in gymnasium.registry.items() if spec.namespace is None]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an older version: the user named it
            return gymnasium.make(name, disable_env_checker=True)
    except gymnasium.error.UnregisteredEnv:
        hint = nearest(name, known) if nearest(name, known).startswith("did") else "as CartPole-v1."
        raise ValueError(
            f"environment came as {name!r}, wanted one that Gymnasium registers; {hint}"
        ) from None
    except (gymnasium.error.Error, ImportError) as problem:
        raise ValueError(f"environment {name}: {str(problem).splitlines()[0]}") from None


def problem_of(name: str) -> Problem:
    """Return what a policy has to fit in an environment.

    Raises:
        ValueError: there is no such environment, or its spaces are of another kind.
    """
    env = made(name)
    try:
        seen, done = env.observation_space, env.action_space
        if not isinstance(seen, Box) or len(seen.shape) != 1 or not seen.shape[0]:
            raise ValueError(f"environment {name}: its observations are {seen}, wanted a flat Box.")
        if isinstance(done, Discrete):
            outputs, distribution = int(done.n), "categorical"
        elif isinstance(done, Box) and len(done.shape) == 1 and done.shape[0]:
            outputs, distribution = done.shape[0], "gaussian"
        else:
            raise ValueError(
                f"environment {name}: its actions are {done}, wanted Discrete or a flat Box."
            )
        return Problem(name, seen.shape[0], outputs, distribution, limit_of(name, env))
    finally:
        env.close()


def limit_of(name: str, env: gymnasium.Env[Any, Any]) -> int | None:
    """Return how many steps an episode can have; None if nobody says.

    Raises:
        ValueError: an episode cannot be played again.
    """
    spec = env.spec
    if spec is not None and spec.nondeterministic:
        raise ValueError(f"environment {name} cannot be repeated, even with the same seed.")
    return None if spec is None else spec.max_episode_steps


def episode_seed(seed: int, column: int, episode: int) -> int:
    """Return the seed that a column's episode is reset with."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(0, column, episode))
    return int(sequence.generate_state(1)[0])


class Environments:
    """Environments side by side, a column each.

    Attributes:
        observations: of the states that the columns are in, [B, I].
        steps: how many all columns together have taken.
        ended: episodes that ended, in their order; whoever reads them empties the list.
    """

    def __init__(self, problem: Problem, columns: int, seed: int) -> None:
        self.envs = [made(problem.name) for _ in range(columns)]
        self.seed = seed
        self.space = self.envs[0].action_space
        self.observations = np.zeros((columns, problem.inputs))
        self.steps = 0
        self.ended: list[Episode] = []
        self.episodes = [-1] * columns
        self.actions: list[list[Any]] = [[] for _ in range(columns)]  # of the open episodes
        self.totals = [0.0] * columns

    def begin(self, columns: Sequence[int]) -> None:
        """Begin the next episode of some columns."""
        for column in columns:
            self._reset(column, self.episodes[column] + 1)

    def _reset(self, column: int, episode: int) -> None:
        self.episodes[column], self.actions[column], self.totals[column] = episode, [], 0.0
        seed = episode_seed(self.seed, column, episode)
        self.observations[column] = self.envs[column].reset(seed=seed)[0]

    def _play(self, column: int, action: Any) -> tuple[Any, float, bool, bool]:
        """Take one step of a column, and remember it."""
        if isinstance(self.space, Discrete):
            played: Any = int(action) + int(self.space.start)
        else:
            # the density is of what the policy drew; the environment gets what it can take
            assert isinstance(self.space, Box)
            played = np.clip(action, self.space.low, self.space.high).astype(self.space.dtype)
        seen, reward, terminated, truncated, _ = self.envs[column].step(played)
        self.actions[column].append(action)
        self.totals[column] += float(reward)
        self.observations[column] = seen
        return seen, float(reward), bool(terminated), bool(truncated)

    def step(self, actions: np.ndarray, columns: Sequence[int]) -> Step:
        """Take an action in each of some columns, whose episodes are open."""
        found = [self._play(b, action) for b, action in zip(columns, actions, strict=True)]
        self.steps += len(found)
        seen, rewards, terminated, truncated = zip(*found, strict=True)
        for b, ended, cut in zip(columns, terminated, truncated, strict=True):
            if ended or cut:
                self.ended.append(Episode(self.steps, self.totals[b], len(self.actions[b])))
        return Step(
            np.array(seen, dtype=np.float64), np.array(rewards),
            np.array(terminated), np.array(truncated),
        )  # fmt: skip

    def position(self) -> Position:
        """Return where every column is, as arrays that `restore` takes."""
        taken = [action for column in self.actions for action in column]
        return {
            "steps": np.array(self.steps),
            "episodes": np.array(self.episodes),
            "lengths": np.array([len(column) for column in self.actions]),
            "actions": np.array(taken),
            "observations": self.observations.copy(),
        }

    def restore(self, position: Position) -> None:
        """Play the open episodes again.

        Raises:
            ValueError: an environment did not come back to where it was.
        """
        self.steps = int(position["steps"])
        taken = np.split(position["actions"], np.cumsum(position["lengths"])[:-1])
        for column, (episode, actions) in enumerate(zip(position["episodes"], taken, strict=True)):
            if episode < 0:  # none has begun
                continue
            self._reset(column, int(episode))
            for action in actions:
                self._play(column, action)
            if not np.array_equal(self.observations[column], position["observations"][column]):
                raise ValueError(
                    f"environment {column} did not come back to where it was when its episode was "
                    "played again: it draws chances that its seed does not decide, or its version "
                    "has changed."
                )

    def close(self) -> None:
        """Close every environment."""
        for env in self.envs:
            env.close()
