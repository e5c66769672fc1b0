"""Gymnasium's toy-text environments as finite MDPs, read from their tables `P`.

`P[s][a]` lists outcomes (probability, next state, reward, terminated). The same next state
may be listed several times: on a slippery lake, bumping into two walls leads to one place.
Probabilities of such duplicates are added up.
"""

from typing import Any

import gymnasium
import numpy as np

from rlverify.tabular_envs.finite_mdp import FiniteMDP


def from_gymnasium(env: str | gymnasium.Env[Any, Any]) -> FiniteMDP:
    """The process behind FrozenLake, CliffWalking, Taxi, or any environment with their tables.

        P(s′|s,a) = Σ p        r(s,a,s′) = Σ p·r / Σ p        over the outcomes that lead to s′

    Source: Gymnasium 1.4, `gymnasium.envs.toy_text`: attributes `P`, `initial_state_distrib`.
    Ours: where duplicates pay differently (slippery CliffWalking: a fall and a bump both lead
        to the start) the reward is their mean. Values, visitation, J and ∇J are then exact;
        the variance of the return is not kept. Time limits are no part of the process.

    Args:
        env: an environment, or an id that `gymnasium.make` knows.

    Returns:
        The process, named after the id; rewards are 0 where the probability is 0.

    Raises:
        ValueError: the environment has no such tables or does not obey them, or duplicates
            disagree on whether the episode ends.

    Example:
        >>> mdp = from_gymnasium("FrozenLake-v1")
        >>> mdp.states, mdp.actions, mdp.reward.max()
        (16, 4, np.float64(1.0))
    """
    function = "from_gymnasium"
    made = gymnasium.make(env) if isinstance(env, str) else env
    if not isinstance(made, gymnasium.Env):
        raise TypeError(
            f"{function}: env came as {type(env).__name__}, wanted an id or a gymnasium.Env."
        )
    try:
        bare: Any = made.unwrapped
        name = bare.spec.id if bare.spec is not None else type(bare).__name__
        if not hasattr(bare, "P") or not hasattr(bare, "initial_state_distrib"):
            raise ValueError(
                f"{function}: env came as {name}, which has no tables P and "
                f"initial_state_distrib; wanted FrozenLake, CliffWalking, Taxi or alike."
            )
        if getattr(bare, "fickle_passenger", False):
            # the passenger's change of mind happens in step(), beside the table
            raise ValueError(
                f"{function}: env came as {name} with fickle_passenger=True, which its table P "
                f"does not describe; wanted fickle_passenger=False."
            )
        states, actions = int(bare.observation_space.n), int(bare.action_space.n)
        start = np.array(bare.initial_state_distrib, dtype=np.float64)
        return _read(bare.P, states, actions, start, name)
    finally:
        if isinstance(env, str):
            made.close()


def _read(table: Any, states: int, actions: int, start: Any, name: str) -> FiniteMDP:
    transition = np.zeros((states, actions, states))
    reward = np.zeros((states, actions, states))
    terminal = np.zeros((states, actions, states), dtype=bool)
    for s in range(states):
        for a in range(actions):
            for p, after, pays, ends in table[s][a]:
                if p == 0:
                    continue
                at = (s, a, int(after))
                known = transition[at]
                if known > 0 and terminal[at] != ends:
                    raise ValueError(
                        f"from_gymnasium: env came as {name}, whose outcomes of (state {s}, "
                        f"action {a}) both end and continue in state {int(after)}; wanted one "
                        f"flag per (state, action, next state)."
                    )
                if known > 0 and reward[at] != pays:
                    reward[at] = (known * reward[at] + p * pays) / (known + p)
                elif known == 0:
                    reward[at] = pays
                transition[at] = known + p
                terminal[at] = ends
    return FiniteMDP(transition, reward, terminal, start, name)
