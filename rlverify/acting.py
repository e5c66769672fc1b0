"""Who acts and who values in a recorded rollout: seeded random agents, a fixed network.

Neither is any good at its environment, nor need it be: estimators are judged on arithmetic.
What matters is that both are the same every time, that values differ from state to state,
and that episodes end in both ways, by themselves and by the time limit.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

HIDDEN = 16  # width of the value network
NETWORK_SEED = 0
GUIDED = 0.75  # share of steps that walk towards an end, where the environment's table shows one


def value_network(space: gymnasium.Space[Any]) -> Callable[[Any], float]:
    """A perceptron with fixed random weights, V(x) = ⟨w, tanh(b + xW)⟩; the same every time.

    A discrete observation enters as a one-hot vector, so all its values are distinct.

    Args:
        space: observation space of a single environment, `Discrete` or a one-axis `Box`.

    Returns:
        A function of one observation. It takes one at a time, so that equal observations
        have bitwise equal values wherever they were recorded.

    Raises:
        TypeError: the space is of another kind.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        # a one-hot vector selects a row of W
        features, scale = int(space.n), 1.0
    elif isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1:
        features = space.shape[0]
        scale = float(np.sqrt(features))
    else:
        raise TypeError(
            f"value_network: space came as {space}, wanted Discrete or a Box with one axis."
        )
    generator = np.random.default_rng(NETWORK_SEED)
    first = generator.standard_normal((features, HIDDEN)) / scale
    bias = generator.standard_normal(HIDDEN)
    second = generator.standard_normal(HIDDEN)

    def network(observation: Any) -> float:
        x = np.asarray(observation)
        inner = x.astype(np.float64) @ first if x.ndim else first[x]
        return float(np.tanh(bias + inner) @ second)

    return network


def guide(env: gymnasium.Env[Any, Any]) -> dict[int, int]:
    """For each state of a toy-text table `P`, the action on a shortest way to the best-paid end.

    Args:
        env: any environment; without a table the answer is empty.

    Returns:
        State to action, for the states from which such an end can be reached at all.
    """
    table = getattr(env.unwrapped, "P", {})
    edges = [
        (s, a, int(after), reward, ends)
        for s, actions in table.items()
        for a, outcomes in actions.items()
        for p, after, reward, ends in outcomes
        if p > 0
    ]
    best = max((reward for *_, reward, ends in edges if ends), default=0.0)
    towards: dict[int, int] = {}
    before: dict[int, list[tuple[int, int]]] = {}
    for s, a, after, reward, ends in edges:
        if ends and reward == best and s not in towards:
            towards[s] = a
        elif not ends:
            before.setdefault(after, []).append((s, a))
    queue = deque(towards)
    while queue:
        for s, a in before.get(queue.popleft(), []):
            if s not in towards:
                towards[s] = a
                queue.append(s)
    return towards


class Agent:
    """Random actions of one column, drawn from default_rng([seed, column]).

    Uniform over the space; where there is a guide, GUIDED of the actions follow it.

    Args:
        space: action space of a single environment, `Discrete` or a bounded `Box`.
        guide: state to action, or empty.
        seed: of all columns, at least 0.
        column: which of them.
    """

    def __init__(self, space: Any, guide: dict[int, int], seed: int, column: int) -> None:
        self.space = space
        self.guide = guide
        self.generator = np.random.default_rng([seed, column])

    def act(self, observation: Any) -> Any:
        """Draw the next action; one of the space."""
        if isinstance(self.space, gymnasium.spaces.Box):
            drawn = self.generator.uniform(self.space.low, self.space.high)
            return drawn.astype(self.space.dtype)
        drawn = self.generator.integers(self.space.n)
        if not self.guide:
            return drawn
        follow = self.generator.random() < GUIDED
        return np.int64(self.guide.get(int(observation), drawn)) if follow else drawn
