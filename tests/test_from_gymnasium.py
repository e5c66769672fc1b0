"""The processes that are read from Gymnasium's tables."""

from fractions import Fraction
from itertools import product

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.toy_text import CliffWalkingEnv, FrozenLakeEnv, TaxiEnv

from following_states import outcomes
from rlverify.recording import newest_id
from rlverify.tabular_envs.environments import (
    cliff,
)
from rlverify.tabular_envs.exact import objective
from rlverify.tabular_envs.from_gymnasium import from_gymnasium


def best_values(mdp, horizon):
    """Optimal values of the undiscounted process with `horizon` steps to go."""
    goes_on = np.where(mdp.terminal, 0.0, mdp.transition)
    rewards = (mdp.transition * mdp.reward).sum(axis=-1)
    values = np.zeros(mdp.states)
    for _ in range(horizon):
        values = (rewards + goes_on @ values).max(axis=1)
    return values, (rewards + goes_on @ values).argmax(axis=1)


def test_frozen_lake():
    mdp = from_gymnasium("FrozenLake-v1")
    assert (mdp.states, mdp.actions, mdp.name) == (16, 4, "FrozenLake-v1")
    assert mdp.start.tolist() == [1] + [0] * 15
    # the corner: left (0) and up lead back to it, so two of three outcomes are one
    third, fails = 1 / 3, (1 - 1 / 3) / 2
    assert outcomes(mdp, 0, 0) == {0: (fails + third, 0, False), 4: (fails, 0, False)}
    # beside the goal, to the right: down, right, up
    assert outcomes(mdp, 14, 2) == {
        14: (fails, 0, False),
        15: (third, 1, True),
        10: (fails, 0, False),
    }
    # into the hole at 5
    assert outcomes(mdp, 1, 1)[5] == (third, 0, True)
    assert outcomes(mdp, 5, 1) == {5: (1, 0, True)}
    # the published optimum within the 100 steps of the time limit is 0.74
    assert f"{best_values(mdp, 100)[0][0]:.2f}" == "0.74"
    # without a limit, 14/17
    policy = np.eye(4)[best_values(mdp, 5000)[1]]
    assert Fraction(objective(mdp, policy, gamma=1)).limit_denominator(1000) == Fraction(14, 17)


def test_cliff_walking():
    mdp = from_gymnasium(newest_id("CliffWalking"))
    assert (mdp.states, mdp.actions) == (48, 4)
    values, actions = best_values(mdp, 100)
    assert values[36] == -13
    assert objective(mdp, np.eye(4)[actions], gamma=1) == -13
    # our own, built from the textbook, is the same process wherever it can be
    ours = cliff()
    assert (ours.start == mdp.start).all()
    for state, action in product([*range(37)], range(4)):
        assert outcomes(ours, state, action) == outcomes(mdp, state, action)


def test_slippery_cliff_walking_averages_what_duplicates_pay():
    mdp = from_gymnasium(CliffWalkingEnv(is_slippery=True))
    # from the start to the right: up, right (falls, −100), down (stays, −1)
    p, reward, ends = outcomes(mdp, 36, 1)[36]
    third = 1 / 3
    assert (p, reward, ends) == (
        third + third,
        (third * -100 + third * -1) / (third + third),
        False,
    )
    assert outcomes(mdp, 36, 1)[24] == (third, -1, False)


def test_taxi():
    mdp = from_gymnasium(newest_id("Taxi"))
    assert (mdp.states, mdp.actions) == (500, 6)
    assert np.unique(mdp.reward[mdp.transition > 0]).tolist() == [-10, -1, 20]
    assert ((mdp.start == 0) | (mdp.start == 1 / 300)).all()
    assert (mdp.start > 0).sum() == 300
    # delivering pays 20 and ends, and nothing else does either
    assert (mdp.terminal == (mdp.reward == 20)).all()
    # every start has an integer optimum, 21 less the shortest way, walked in the table itself;
    # the 8.46 in Gymnasium's registry is older than the map's correction in version 3
    values, _ = best_values(mdp, 40)
    steps = shortest_deliveries(TaxiEnv().P)
    for state in np.flatnonzero(mdp.start):
        assert values[state] == 21 - steps[state]
    assert Fraction(int(values[mdp.start > 0].sum()), 300) == Fraction(793, 100)


def shortest_deliveries(table):
    """Number of steps from each state to the end of the episode."""
    steps = {}
    for round_ in range(1, 60):
        done = set(steps)
        for state, actions in table.items():
            reached = [ends or after in done for ((_, after, _, ends),) in actions.values()]
            if state not in done and any(reached):
                steps[state] = round_
    return steps


class Table(gymnasium.Env):
    """Outcomes of the one action of the first of two states."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(1)
    initial_state_distrib = (1.0, 0.0)

    def __init__(self, outcomes_):
        self.P = {0: {0: outcomes_}, 1: {0: [(1.0, 1, 0, True)]}}


def test_duplicates_are_summed_and_flags_must_agree():
    mdp = from_gymnasium(Table([(0.25, 1, 2.0, True), (0.5, 0, 0, False), (0.25, 1, 2.0, True)]))
    assert outcomes(mdp, 0, 0) == {0: (0.5, 0, False), 1: (0.5, 2, True)}
    mdp = from_gymnasium(Table([(0.25, 1, 2, True), (0.5, 1, -1, True), (0.25, 1, 4, True)]))
    assert outcomes(mdp, 0, 0) == {1: (1, 1, True)}
    # an outcome without probability is none, whatever it says
    mdp = from_gymnasium(Table([(1.0, 1, 2, True), (0.0, 1, -9, False)]))
    assert outcomes(mdp, 0, 0) == {1: (1, 2, True)}
    with pytest.raises(ValueError, match="both end and continue in state 1; wanted one flag"):
        from_gymnasium(Table([(0.5, 1, 2, True), (0.5, 1, 2, False)]))
    with pytest.raises(ValueError, match=r"transition\[0, 0\] came with sum 0.5"):
        from_gymnasium(Table([(0.5, 1, 2, True)]))


def test_a_given_environment_stays_open():
    env = FrozenLakeEnv()
    closed = []
    env.close = lambda: closed.append(True)
    assert from_gymnasium(env).states == 16
    assert closed == []
