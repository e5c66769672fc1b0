"""The processes that are built, what builders refuse, and the matrix game beside them."""

import re
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from gymnasium.envs.toy_text import TaxiEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from following_states import outcomes
from rlverify.tabular_envs.environments import (
    chain,
    chain_values,
    cliff,
    corridor,
    grid,
    sentences,
    two_button_game,
)
from rlverify.tabular_envs.from_gymnasium import from_gymnasium
from rlverify.tabular_envs.garnet import garnet
from rlverify.tabular_envs.matrix_games import (
    best_response,
    expected_payoff,
    guaranteed_payoff,
    rock_paper_scissors,
)

BUILT = {
    "two_button_game": two_button_game(),
    "two_button_game_100": two_button_game(100),
    "chain": chain(4),
    "corridor": corridor(5),
    "grid": grid(3, 4),
    "slippery grid": grid(2, 3, 0.125),
    "cliff": cliff(),
    "sentences": sentences(2, 3),
    "garnet": garnet(7, 2, 3, seed=0, ending=0.25),
    "garnet of one": garnet(1, 1, 1, seed=0),
}


# the builders


@pytest.mark.parametrize("name", BUILT)
def test_numbers_are_exact_as_fractions(name):
    mdp = BUILT[name]
    for row in [*mdp.transition.reshape(-1, mdp.states), mdp.start]:
        assert sum(map(Fraction, row)) == 1
    for number in np.unique([mdp.transition, mdp.reward]):
        assert Fraction(float(number)).denominator <= 2**16


@pytest.mark.parametrize("name", [name for name in BUILT if "garnet" not in name])
def test_ended_states_rest(name):
    mdp = BUILT[name]
    last = mdp.states - 1
    for action in range(mdp.actions):
        assert outcomes(mdp, last, action) == {last: (1, 0, True)}
    entered = mdp.transition[:last, :, last] > 0
    assert entered.any()
    assert (mdp.terminal[:last, :, last] == entered).all()
    assert not mdp.terminal[:last, :, :last].any()


def test_two_button_game_by_hand():
    assert outcomes(two_button_game(), 0, 0) == {1: (1, 1, True)}
    assert outcomes(two_button_game(), 0, 1) == {1: (1, -1, True)}
    assert outcomes(two_button_game(100), 0, 0) == {1: (1, 101, True)}
    assert outcomes(two_button_game(100), 0, 1) == {1: (1, 99, True)}
    assert two_button_game().start.tolist() == [1, 0]


def test_chain_by_hand():
    mdp = chain(2)
    assert mdp.start.tolist() == [1, 0, 0]
    assert outcomes(mdp, 0, 0) == {0: (1, 0, False)}
    assert outcomes(mdp, 0, 1) == {1: (1, 0, False)}
    assert outcomes(mdp, 1, 0) == {1: (1, 0, False)}
    assert outcomes(mdp, 1, 1) == {2: (1, 1, True)}
    # γ = 1/2 and p = 1/2: q = (1/2) / (3/4) = 2/3
    assert chain_values(2, 0.5, gamma=0.5).tolist() == [0.5 * (2 / 3) * (2 / 3), 2 / 3, 0]


def test_corridor_by_hand():
    mdp = corridor(3)
    assert mdp.start.tolist() == [1, 0, 0, 0]
    assert outcomes(mdp, 0, 0) == {0: (1, -1, False)}
    assert outcomes(mdp, 1, 0) == {0: (1, -1, False)}
    assert outcomes(mdp, 1, 1) == {2: (1, -1, False)}
    assert outcomes(mdp, 2, 1) == {3: (1, -1, True)}


def test_sentences_by_hand():
    # states 0 "", 1 "a", 2 "b", 3 the end; tokens 0 end, 1 a, 2 b
    mdp = sentences(2, 2, seed=3)
    assert outcomes(mdp, 0, 1) == {1: (1, 0, False)}
    assert outcomes(mdp, 0, 2) == {2: (1, 0, False)}
    complete = [(0, 0), *product((1, 2), range(3))]
    paid = []
    for state, token in complete:
        ((after, (chance, reward, ends)),) = outcomes(mdp, state, token).items()
        assert (after, chance, ends) == (3, 1, True)
        paid.append(reward)
    assert sorted(paid) == list(range(7))
    assert (mdp.reward != sentences(2, 2).reward).any()
    assert sentences(1, 3).states == 4
    assert sentences(3, 2).states == 5


def test_grid_by_hand():
    # 0 1 2
    # 3 4 5     up 0, right 1, down 2, left 3
    mdp = grid(2, 3, 0.25)
    assert mdp.start.tolist() == [1, 0, 0, 0, 0, 0]
    assert outcomes(mdp, 1, 2) == {
        4: (0.75, -1, False),
        0: (0.125, -1, False),
        2: (0.125, -1, False),
    }
    assert outcomes(mdp, 0, 0) == {0: (0.875, -1, False), 1: (0.125, -1, False)}
    assert outcomes(mdp, 2, 2) == {
        5: (0.75, -1, True),
        1: (0.125, -1, False),
        2: (0.125, -1, False),
    }
    assert outcomes(grid(2, 3), 4, 3) == {3: (1, -1, False)}


def test_cliff_by_hand():
    #  0  1  2  3
    #  4  5  6  7
    #  8  c  c 11     up 0, right 1, down 2, left 3
    mdp = cliff(3, 4)
    assert int(mdp.start.argmax()) == 8
    assert outcomes(mdp, 8, 1) == {8: (1, -100, False)}
    assert outcomes(mdp, 5, 2) == {8: (1, -100, False)}
    assert outcomes(mdp, 7, 2) == {11: (1, -1, True)}
    assert outcomes(mdp, 8, 0) == {4: (1, -1, False)}
    assert outcomes(mdp, 8, 3) == {8: (1, -1, False)}


@given(
    states=st.integers(1, 8),
    actions=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    ending=st.sampled_from([0.0, 0.5, 1.0]),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_garnet_has_its_three_counts(states, actions, seed, ending, data):
    branching = data.draw(st.integers(1, states))
    mdp = garnet(states, actions, branching, seed=seed, ending=ending)
    possible = mdp.transition > 0
    assert possible.shape == (states, actions, states)
    assert (possible.sum(axis=-1) == branching).all()
    assert (mdp.start > 0).all()
    assert (np.abs(mdp.reward) <= 1).all()
    assert not (mdp.terminal & ~possible).any()
    if ending in {0, 1}:
        assert (mdp.terminal == (possible & (ending == 1))).all()
    again = garnet(states, actions, branching, seed=seed, ending=ending)
    assert again.transition.tobytes() == mdp.transition.tobytes()
    assert again.reward.tobytes() == mdp.reward.tobytes()
    assert again.terminal.tobytes() == mdp.terminal.tobytes()


def test_garnet_probabilities_never_vanish():
    # with this many successors, two equal cut points would be all but certain
    mdp = garnet(600, 1, 600, seed=0)
    assert (mdp.transition > 0).all()
    assert (mdp.start > 0).all()


def test_garnet_depends_on_its_seed():
    one, other = (garnet(6, 2, 3, seed=seed) for seed in (0, 1))
    assert (one.transition != other.transition).any()
    assert (one.reward != other.reward).any()


REFUSALS = {
    "bonus": (lambda: two_button_game("1"), "two_button_game: bonus came as str, wanted a number."),
    "length": (
        lambda: chain(0),
        "chain: length came as 0, wanted an integer of at least 1.",
    ),
    "corridor": (
        lambda: corridor(2.0),
        "corridor: length came as float, wanted an integer.",
    ),
    "one cell": (
        lambda: grid(1, 1),
        "grid: columns came as 1, wanted an integer of at least 2.",
    ),
    "slip": (lambda: grid(2, 2, 1.5), "grid: slip came as 1.5, wanted a number in [0, 1]."),
    "cliff": (lambda: cliff(4, 2), "cliff: columns came as 2, wanted an integer of at least 3."),
    "sentences": (
        lambda: sentences(0, 2),
        "sentences: words came as 0, wanted an integer of at least 1.",
    ),
    "branching": (
        lambda: garnet(2, 1, 3, seed=0),
        "garnet: branching came as 3 of 2 states, wanted at most as many as there are states, "
        "and at most 65536 states.",
    ),
    "seed": (
        lambda: garnet(2, 1, 1, seed=-1),
        "garnet: seed came as -1, wanted an integer of at least 0.",
    ),
    "advance": (
        lambda: chain_values(2, 0.0, gamma=1),
        "chain_values: advance came as 0, wanted a number above 0, at most 1.",
    ),
    "no table": (
        lambda: from_gymnasium("CartPole-v1"),
        "from_gymnasium: env came as CartPole-v1, which has no tables P and "
        "initial_state_distrib; wanted FrozenLake, CliffWalking, Taxi or alike.",
    ),
    "no environment": (
        lambda: from_gymnasium(3),
        "from_gymnasium: env came as int, wanted an id or a gymnasium.Env.",
    ),
    "fickle": (
        lambda: from_gymnasium(TaxiEnv(fickle_passenger=True)),
        "from_gymnasium: env came as TaxiEnv with fickle_passenger=True, which its table P does "
        "not describe; wanted fickle_passenger=False.",
    ),
    "strategy": (
        lambda: guaranteed_payoff(rock_paper_scissors(), np.full(3, 0.5)),
        "guaranteed_payoff: row came with sum 1.5, wanted 1; divide the row by its sum.",
    ),
    "column": (
        lambda: expected_payoff(rock_paper_scissors(), np.array([1.0, 0, 0]), np.ones(1)),
        "expected_payoff: column has shape (1,), but payoff has shape (3, 3); they must agree.",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case):
    call, message = REFUSALS[case]
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(message) + "$"):
        call()


# rock, paper, scissors


@pytest.mark.claim("C5")
def test_uniform_attains_the_value_and_every_pure_strategy_is_worse():
    payoff = rock_paper_scissors()
    assert (payoff == -payoff.T).all()
    third = np.full(3, 1 / 3)
    assert guaranteed_payoff(payoff, third) == 0
    for pure in np.eye(3):
        assert guaranteed_payoff(payoff, pure) == -1
        answer = np.eye(3)[best_response(payoff, pure)]
        assert expected_payoff(payoff, pure, answer) == -1
        assert expected_payoff(payoff, third, pure) == 0


@given(counts=st.tuples(*[st.integers(0, 8)] * 2).filter(lambda c: sum(c) <= 16))
@settings(max_examples=100, deadline=None)
@pytest.mark.claim("C5")
def test_no_mixed_strategy_guarantees_more_than_zero(counts):
    row = np.array([*counts, 16 - sum(counts)]) / 16  # exact in float64, like all that follows
    payoff = rock_paper_scissors()
    guaranteed = guaranteed_payoff(payoff, row)
    answers = [expected_payoff(payoff, row, pure) for pure in np.eye(3)]
    assert guaranteed == min(answers) == answers[best_response(payoff, row)]
    # sixteenths cannot be even, and only the even strategy guarantees 0
    assert guaranteed < 0
