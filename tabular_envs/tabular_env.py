"""A finite MDP as a Gymnasium environment, one copy or many columns at once.

An observation is the number of the state, an action the number of the action. `terminated`
is the MDP's own end; `truncated` is the time limit, which cuts a state of value V(s) ≠ 0.
Both flags are True where the last allowed step ends the episode by itself.

Each step consumes exactly one uniform number per column, and so does each reset: a vector
environment of one column and a single environment, seeded alike, make the same episodes.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.tabular_envs.finite_mdp import FiniteMDP


def _cumulative(probabilities: Float[np.ndarray, "... S"]) -> Float[np.ndarray, "... S"]:
    """Cumulative sums that reach 1 at the last possible outcome, whatever the rounding."""
    possible = probabilities > 0
    later: Any = np.cumsum(possible[..., ::-1], axis=-1)[..., ::-1] - possible  # how many follow
    return np.where(later == 0, 1.0, np.cumsum(probabilities, axis=-1))


def _pick(cumulative: Any, uniforms: Any) -> Any:
    # the first outcome whose cumulative probability exceeds u, for u in [0, 1)
    return (cumulative <= uniforms[..., None]).sum(axis=-1)


class _Tables:
    """What both environments look up: the process, and its cumulative probabilities."""

    def __init__(self, function: str, mdp: Any, max_episode_steps: Any) -> None:
        if not isinstance(mdp, FiniteMDP):
            raise TypeError(f"{function}: mdp came as {type(mdp).__name__}, wanted a FiniteMDP.")
        if max_episode_steps is not None:
            Arguments(function, np.ndarray).count("max_episode_steps", max_episode_steps, least=1)
        self.mdp = mdp
        self.transition = _cumulative(mdp.transition)
        self.start = _cumulative(mdp.start)
        self.limit = np.inf if max_episode_steps is None else max_episode_steps


class TabularEnv(gymnasium.Env[np.int64, np.int64]):
    """One copy of a finite MDP, through Gymnasium's interface.

    Args:
        mdp: the process.
        max_episode_steps: the step that sets `truncated`, counted from 1; None for no limit.

    Raises:
        TypeError: mdp is no FiniteMDP, or the limit no integer.
        ValueError: the limit is below 1.

    Example:
        >>> from rlverify.tabular_envs.environments import corridor
        >>> env = TabularEnv(corridor(5), max_episode_steps=2)
        >>> _ = env.reset(seed=0)
        >>> [tuple(map(int, env.step(np.int64(1))[:4])) for _ in range(2)]
        [(1, -1, 0, 0), (2, -1, 0, 1)]
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(self, mdp: FiniteMDP, *, max_episode_steps: int | None = None) -> None:
        self._tables = _Tables("TabularEnv", mdp, max_episode_steps)
        self.mdp = mdp
        self.observation_space = gymnasium.spaces.Discrete(mdp.states)
        self.action_space = gymnasium.spaces.Discrete(mdp.actions)
        self._state: int | None = None
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        """Draw the first state; `seed` restarts the random numbers, `options` are ignored."""
        super().reset(seed=seed)
        self._state = int(_pick(self._tables.start, np.asarray(self.np_random.random())))
        self._steps = 0
        return np.int64(self._state), {}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        """Take one step; an episode that has ended must be reset first.

        Raises:
            ResetNeeded: the episode has not begun, or has ended.
            InvalidAction: the action is none of the process.
        """
        if self._state is None:
            raise ResetNeeded("TabularEnv.step: no episode is running; call reset() first.")
        if not self.action_space.contains(action):
            raise InvalidAction(
                f"TabularEnv.step: action came as {action!r}, wanted an integer from 0 to "
                f"{self.mdp.actions - 1}."
            )
        before, uniform = self._state, np.asarray(self.np_random.random())
        after = int(_pick(self._tables.transition[before, action], uniform))
        self._steps += 1
        reward = float(self.mdp.reward[before, action, after])
        terminated = bool(self.mdp.terminal[before, action, after])
        truncated = self._steps >= self._tables.limit
        self._state = None if terminated or truncated else after
        return np.int64(after), reward, terminated, bool(truncated), {}


Flags = Bool[np.ndarray, "N"]
States = Int[np.ndarray, "N"]


class TabularVectorEnv(gymnasium.vector.VectorEnv[States, States, np.ndarray]):
    """N independent columns of a finite MDP, stepped together by NumPy.

    What happens after an end is `autoreset_mode`, kept in `metadata["autoreset_mode"]`:

    - next step: the step that ends returns the final observation; the following step
      ignores the action, resets, and returns reward 0 without flags. Drop it from data.
    - same step: the step that ends already returns the reset observation; the final one is
      in `info["final_obs"]`, where `info["_final_obs"]` is True.
    - disabled: the caller resets, by `reset(options={"reset_mask": ended})`.

    Args:
        mdp: the process.
        num_envs: number of columns N, at least 1.
        max_episode_steps: the step that sets `truncated`, counted from 1; None for no limit.
        autoreset_mode: Gymnasium's `AutoresetMode`, or its value as a string.

    Raises:
        TypeError: mdp is no FiniteMDP, or a count no integer.
        ValueError: a count is below 1, or the mode is unknown.
    """

    metadata = {  # noqa: RUF012 - as Gymnasium declares it
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        mdp: FiniteMDP,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        function = "TabularVectorEnv"
        self._tables = _Tables(function, mdp, max_episode_steps)
        Arguments(function, np.ndarray).count("num_envs", num_envs, least=1)
        modes = {mode.value: mode for mode in AutoresetMode}
        name = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else autoreset_mode
        if name not in modes:
            raise ValueError(
                f"{function}: autoreset_mode came as {autoreset_mode!r}, wanted one of "
                f"{sorted(modes)}."
            )
        self.mdp = mdp
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.autoreset_mode = modes[name]
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = gymnasium.spaces.Discrete(mdp.states)
        self.single_action_space = gymnasium.spaces.Discrete(mdp.actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._states = np.zeros(num_envs, dtype=np.int64)
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._begun = np.zeros(num_envs, dtype=bool)
        self._ended = np.zeros(num_envs, dtype=bool)

    def _start(self, columns: Flags, uniforms: Float[np.ndarray, "N"]) -> None:
        self._states[columns] = _pick(self._tables.start, uniforms)[columns]
        self._steps[columns] = 0
        self._begun |= columns
        self._ended &= ~columns

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[States, dict[str, Any]]:
        """Draw first states, of all columns or of those in `options["reset_mask"]`.

        Args:
            seed: restarts the random numbers that all columns share; None continues them.
            options: may hold `reset_mask`, boolean [N] with a True element.

        Raises:
            TypeError, ValueError: reset_mask is no such array.
        """
        super().reset(seed=seed)
        columns = np.ones(self.num_envs, dtype=bool)
        if options is not None and "reset_mask" in options:
            columns = options["reset_mask"]
            Arguments("TabularVectorEnv.reset", np.ndarray).flags("N", reset_mask=columns)
            if columns.shape != (self.num_envs,) or not columns.any():
                raise ValueError(
                    f"TabularVectorEnv.reset: reset_mask came as {columns}, wanted a flag for "
                    f"each of {self.num_envs} columns, at least one True."
                )
        self._start(columns, self.np_random.random(self.num_envs))
        return self._states.copy(), {}

    def step(
        self, actions: States
    ) -> tuple[States, Float[np.ndarray, "N"], Flags, Flags, dict[str, Any]]:
        """Take one step in every column, or reset the columns that have ended.

        Raises:
            ResetNeeded: a column has not begun, or (autoreset disabled) has ended.
            InvalidAction: an action is none of the process.
        """
        disabled = self.autoreset_mode == AutoresetMode.DISABLED
        if not self._begun.all() or (disabled and self._ended.any()):
            raise ResetNeeded("TabularVectorEnv.step: a column has no episode; reset it first.")
        actions = np.asarray(actions)
        if not self.action_space.contains(actions):
            raise InvalidAction(
                f"TabularVectorEnv.step: actions came as {actions!r}, wanted {self.num_envs} "
                f"integers from 0 to {self.mdp.actions - 1}."
            )
        idle = self._ended.copy()  # next-step mode: these reset now, and take no step
        uniforms = self.np_random.random(self.num_envs)
        before = self._states
        after = _pick(self._tables.transition[before, actions], uniforms)
        self._steps += 1
        rewards = np.where(idle, 0.0, self.mdp.reward[before, actions, after])
        terminated = ~idle & self.mdp.terminal[before, actions, after]
        truncated = ~idle & (self._steps >= self._tables.limit)
        self._states = after
        self._start(idle, uniforms)
        self._ended = terminated | truncated
        info: dict[str, Any] = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._ended.any():
            ended = self._ended.copy()
            final = np.full(self.num_envs, None, dtype=object)
            final[ended] = after[ended]
            info = {"final_obs": final, "_final_obs": ended, "final_info": {}, "_final_info": ended}
            self._start(ended, self.np_random.random(self.num_envs))
        return self._states.copy(), rewards, terminated, truncated, info
