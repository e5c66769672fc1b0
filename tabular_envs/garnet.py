"""Garnet processes: random finite MDPs, described by three counts and a seed.

Every number is an integer over a power of two, so exact arithmetic on them is exact.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.tabular_envs.finite_mdp import FiniteMDP

UNITS = 2**16  # probabilities are integers over this
REWARD_UNITS = 2**4  # rewards are integers over this, between −1 and 1


def garnet(
    states: int, actions: int, branching: int, *, seed: int, ending: float = 0.0
) -> FiniteMDP:
    """A random process in which each (state, action) leads to `branching` distinct states.

    The successors are drawn without replacement; their probabilities are the gaps between
    uniform cut points of [0, 1]; rewards are uniform on [−1, 1].

    Source: Archibald, McKinnon & Thomas 1995, J. Operational Research Society 46(3); the name
        and the three counts as in Bhatnagar et al. 2009, Automatica 45(11), §6.
    Ours: rewards depend on the transition and are uniform, cut points lie on a grid of 1/2¹⁶,
        the start is drawn alike over all states, and transitions may end the episode.

    Args:
        states: number of states S, at least 1.
        actions: number of actions A, at least 1.
        branching: successors of each (state, action), from 1 to `states`.
        seed: of the draw; the same arguments give the same process.
        ending: probability that a possible transition is terminal, each drawn alone.

    Returns:
        The process; every probability is at least 1/2¹⁶ where it is not 0.

    Raises:
        TypeError, ValueError: an argument is no number in its range.

    Example:
        >>> garnet(5, 2, 3, seed=0).transition.astype(bool).sum(axis=-1).tolist()
        [[3, 3], [3, 3], [3, 3], [3, 3], [3, 3]]
    """
    arguments = Arguments("garnet", np.ndarray)
    arguments.count("states", states, least=1)
    arguments.count("actions", actions, least=1)
    arguments.count("branching", branching, least=1)
    arguments.count("seed", seed, least=0)
    arguments.unit(ending=ending)
    if max(branching, states) > UNITS or branching > states:
        raise ValueError(
            f"garnet: branching came as {branching} of {states} states, wanted at most as many "
            f"as there are states, and at most {UNITS} states."
        )
    generator = np.random.default_rng(seed)
    shape = (states, actions, states)
    transition = np.zeros(shape)
    for state in range(states):
        for action in range(actions):
            successors = generator.permutation(states)[:branching]
            transition[state, action, successors] = _probabilities(branching, generator)
    rewards = generator.integers(-REWARD_UNITS, REWARD_UNITS, size=shape, endpoint=True)
    terminal = (generator.random(shape) < ending) & (transition > 0)
    start = _probabilities(states, generator)
    name = f"garnet({states}, {actions}, {branching}, seed={seed})"
    return FiniteMDP(transition, rewards / REWARD_UNITS, terminal, start, name)


def _probabilities(count: int, generator: Any) -> Float[np.ndarray, "N"]:
    """`count` positive multiples of 1/2¹⁶ that sum to exactly one."""
    cuts = 1 + generator.choice(UNITS - 1, size=count - 1, replace=False)
    return np.asarray(np.diff(np.sort(cuts), prepend=0, append=UNITS) / UNITS)
