"""The topic `td_lambda`: the contract tests, and what only learning a table has."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlverify.fast import td_lambda as fast
from rlverify.reference import td_lambda as reference
from rlverify.reference.returns import discounted_return, lambda_return
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "td_lambda"
# one episode that meets state 1 twice and terminates in state 3
WALK = [0, 1, 2, 1, 3]
REWARDS = [3, -1, 4, 1]
START = [2, -3, 5, 7]


def episode(**changes):
    """Return the episode in fractions, one column."""
    terminated = np.zeros((4, 1), dtype=bool)
    terminated[-1] = True
    rewards = np.array([[Fraction(reward)] for reward in REWARDS], dtype=object)
    return {
        "states": np.array(WALK[:-1])[:, None],
        "rewards": rewards,
        "next_states": np.array(WALK[1:])[:, None],
        "terminated": terminated,
        "truncated": np.zeros_like(terminated),
        "initial_values": np.array([Fraction(value) for value in START], dtype=object),
        "gamma": Fraction(3, 4),
        "lam": Fraction(2, 3),
        "step_size": Fraction(1, 8),
        "online": False,
        "traces": "accumulating",
        **changes,
    }


def increments(arguments):
    """Return what the episode has added to each state."""
    return reference.td_lambda(**arguments)[:, 0] - arguments["initial_values"]


@pytest.mark.claim("C28")
@pytest.mark.parametrize("lam", [Fraction(0), Fraction(2, 3), Fraction(1)])
def test_offline_backward_view_is_the_forward_view(lam):
    """Σ α δ z = Σ α (λ-return − V) for every state, in fractions."""
    arguments = episode(lam=lam)
    values = arguments["initial_values"]
    returns = lambda_return(
        arguments["rewards"], values[arguments["next_states"]], arguments["terminated"],
        arguments["truncated"], gamma=arguments["gamma"], lam=lam,
    )  # fmt: skip
    forward = 0 * values
    for t, state in enumerate(WALK[:-1]):
        forward[state] += arguments["step_size"] * (returns[t, 0] - values[state])
    assert (increments(arguments) == forward).all()
    assert forward.any()


@pytest.mark.claim("C28")
def test_online_differs_from_offline_by_less_than_the_step_size_squared():
    """Online and offline tables differ, and halving α divides the difference by at least 3."""
    differences = []
    for k in range(3, 12):
        both = [
            increments(episode(step_size=Fraction(1, 2**k), online=online))
            for online in (True, False)
        ]
        differences.append(max(abs(both[0] - both[1])))
    print([float(difference) for difference in differences])
    # 0.0521 at α = ⅛, 0.0124 at half of it, and so on: α² times 3 and a little
    alphas = [Fraction(1, 2**k) for k in range(3, 12)]
    assert differences == [3 * a**2 + Fraction(345, 128) * a**3 for a in alphas]
    assert all(late < early / 3 for early, late in pairwise(differences))


@st.composite
def walks(draw):
    """Return an episode of four steps over three states, in fractions."""
    states = draw(st.lists(st.integers(0, 2), min_size=5, max_size=5))
    eighths = st.integers(-24, 24).map(lambda n: Fraction(n, 8))
    rewards = draw(st.lists(eighths, min_size=4, max_size=4))
    return episode(
        states=np.array(states[:-1])[:, None],
        rewards=np.array(rewards, dtype=object)[:, None],
        next_states=np.array(states[1:])[:, None],
        initial_values=np.array([draw(eighths) for _ in range(3)], dtype=object),
        gamma=draw(st.sampled_from([Fraction(1, 2), Fraction(7, 8), Fraction(1)])),
        lam=draw(st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(1)])),
        traces=draw(st.sampled_from(["accumulating", "replacing"])),
    )


@pytest.mark.claim("C28")
@settings(max_examples=settings.default.max_examples // 2)  # noqa: F405
@given(arguments=walks())
def test_online_minus_offline_has_neither_constant_nor_linear_term(arguments):
    """Over T steps the difference is α² times a polynomial in α of degree T − 2.

    Its (T−1)-th differences over α = 1, 2, …, T are 0, in fractions: so it falls with α² for
    any episode, with no step size too large for it.
    """
    quotients = []
    for alpha in (1, 2, 3, 4):
        known = {**arguments, "step_size": Fraction(alpha)}
        online, offline = (increments({**known, "online": each}) for each in (True, False))
        quotients.append((online - offline) / alpha**2)
    first, second, third, fourth = quotients
    assert (fourth - 3 * third + 3 * second - first == 0).all()


@pytest.mark.claim("C14")
def test_td_one_telescopes():
    """With λ = 1 and no reward, the state that was left first moves by α (γᵀ V_T − V_0)."""
    silent = 0 * episode()["rewards"]
    open_end = np.zeros((4, 1), dtype=bool)
    arguments = episode(rewards=silent, terminated=open_end, lam=Fraction(1))
    gamma, alpha = arguments["gamma"], arguments["step_size"]
    assert increments(arguments)[0] == alpha * (gamma**4 * START[3] - START[0])


@pytest.mark.parametrize("traces", ["accumulating", "replacing"])
def test_td_one_is_monte_carlo_where_no_state_is_met_twice(traces):
    """Offline TD(1) moves each state towards the discounted return."""
    arguments = episode(
        states=np.arange(4)[:, None], next_states=np.array([[1], [2], [3], [0]]),
        lam=Fraction(1), traces=traces,
    )  # fmt: skip
    returns = discounted_return(
        arguments["rewards"], arguments["rewards"], arguments["terminated"],
        arguments["truncated"], gamma=arguments["gamma"],
    )[:, 0]  # fmt: skip
    values = arguments["initial_values"]
    assert (increments(arguments) == arguments["step_size"] * (returns - values)).all()


def test_reward_of_the_end_reaches_the_start_undiminished():
    """With γ = λ = 1 a terminal reward is credited in full, the episode's last step included."""
    rewards = 0 * episode()["rewards"]
    rewards[-1] = Fraction(1)
    nothing = 0 * episode()["initial_values"]
    arguments = episode(
        rewards=rewards, initial_values=nothing, gamma=Fraction(1), lam=Fraction(1),
        traces="replacing",
    )  # fmt: skip
    alpha = arguments["step_size"]
    assert increments(arguments).tolist() == [alpha, alpha, alpha, 0]


def test_tables_carry_no_gradient():
    arguments = episode()
    tensors = {
        name: torch.from_numpy(value.astype(float) if value.dtype == object else value)
        if isinstance(value, np.ndarray)
        else float(value) if isinstance(value, Fraction) else value
        for name, value in arguments.items()
    }  # fmt: skip
    tensors["rewards"].requires_grad_()
    for online in (False, True):
        assert not fast.td_lambda(**{**tensors, "online": online}).requires_grad
