"""The topic `traces`: the contract tests, and what only off-policy returns have."""

from fractions import Fraction

import numpy as np
import pytest
import torch

import rlverify
from rlverify.contracts import find
from rlverify.fast import traces as fast
from rlverify.reference import traces as reference
from rlverify.reference.advantages import gae
from rlverify.reference.returns import n_step_return
from strangers import corrections
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "traces"
OFF = np.zeros((4, 1), dtype=bool)


def column(*numbers):
    """Return fractions, one column."""
    return np.array([[Fraction(number)] for number in numbers], dtype=object)


REWARDS, VALUES, BEYOND = column(3, -1, 4, 1), column(2, 7, -1, 8), column(5)
FOLLOWING = np.concatenate([VALUES[1:], BEYOND])  # values that agree from step to step


@pytest.mark.claim("C29")
@pytest.mark.parametrize("lam", [Fraction(0), Fraction(2, 3), Fraction(1)])
def test_constant_coefficients_give_gae(lam):
    """With c = λ, and values that agree, G − Q is the generalised advantage, in fractions."""
    knobs = {"gamma": Fraction(3, 4)}
    trust = np.full_like(REWARDS, lam)
    got = reference.off_policy_return(REWARDS, VALUES, FOLLOWING, trust, OFF, OFF, **knobs)
    wanted = gae(REWARDS, VALUES, FOLLOWING, OFF, OFF, lam=lam, **knobs)
    assert (got - VALUES == wanted.advantages).all()


@pytest.mark.claim("C27")
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_full_trust_for_n_steps_is_the_n_step_error(n):
    """Coefficients of 1, then 0 after n steps, sum the errors to the n-step error."""
    knobs = {"gamma": Fraction(3, 4)}
    trust = column(*(int(t < n) for t in range(4)))
    got = reference.off_policy_return(REWARDS, VALUES, FOLLOWING, trust, OFF, OFF, **knobs)
    assert got[0] == n_step_return(REWARDS, FOLLOWING, OFF, OFF, n=n, **knobs)[0]


def test_action_that_the_target_never_takes_cuts_the_trace_before_it():
    """ρ = 0 at one step leaves that step's own target alone, and cuts those before."""
    rewards, values = REWARDS.astype(float), VALUES.astype(float)
    equal, never = np.zeros((4, 1)), np.zeros((4, 1))
    never[2] = -np.inf
    knobs = {"gamma": 0.75, "lam": 1.0}
    later = 8 + values  # agrees with nothing: corrections are not 0
    for function in (reference.retrace, reference.importance_sampling_return):
        whole = function(rewards, values, later, equal, OFF, OFF, **knobs)
        cut = function(rewards, values, later, never, OFF, OFF, **knobs)
        assert (cut[2:] == whole[2:]).all()
        assert cut[1] == rewards[1] + 0.75 * later[1]
        assert (cut[:2] != whole[:2]).all()


def test_retrace_of_a_single_step_knows_no_ratio():
    one, off = np.ones((1, 1)), np.zeros((1, 1), dtype=bool)
    for ratio in (-np.inf, -1.0, 0.0, 3.0):
        got = reference.retrace(one, 5 * one, 2 * one, ratio * one, off, off, gamma=0.5, lam=1.0)
        assert got == 2


def test_coefficients_that_nothing_is_carried_with_reach_neither_results_nor_gradients():
    """At the first action of an episode a ratio may be infinite, or not known at all."""
    ended = OFF.copy()
    ended[1] = True
    names = ("rewards", "q_taken", "next_state_values", "gamma")
    arrays = {name: np.full((4, 1), 0.5) for name in names}
    arrays["next_state_values"][1] = np.nan  # the value after a termination
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    flags = {"terminated": torch.from_numpy(ended), "truncated": torch.from_numpy(OFF)}
    for first in (np.inf, np.nan):
        ratios = torch.tensor([[first], [0.5], [first], [0.5]], dtype=torch.float64)
        for name, extra in (
            ("off_policy_return", {"coefficients": ratios}),
            ("importance_sampling_return", {"log_ratios": ratios, "lam": 0.5}),
            ("retrace", {"log_ratios": ratios, "lam": 0.5}),
        ):
            got = getattr(fast, name)(**tensors, **flags, **extra)
            assert torch.isfinite(got).all()
            for gradient in torch.autograd.grad(got.sum(), list(tensors.values())):
                assert torch.isfinite(gradient).all()


VTRACE = (
    "(gamma, lam, target_log_probs, behaviour_log_probs, values, next_values, rewards, done:after, "
    "terminated, rho_bar, c_bar, rho_bar_advantage) -> advantages, value_targets"
)


@pytest.mark.parametrize(
    ("name", "held_to", "call", "title"),
    [
        (
            "vtrace_errors",
            "vtrace",
            "vtrace_errors(values, next_values, rewards, discounts, ratios, lam, rho_bar, c_bar) "
            "-> value_targets where rho_bar_advantage=1",
            "right",
        ),
        ("vtrace_advantage_estimate", "vtrace", f"vtrace_advantage_estimate{VTRACE}", "right"),
        ("leaking", "vtrace", f"leaking{VTRACE}", "WRONG(G1)"),
        ("retrace_targets", "retrace", None, "right"),
        ("shifted_retrace", "retrace", None, "WRONG(G8)"),
    ],
)
def test_stranger_is_understood_and_judged(name, held_to, call, title):
    verdict = rlverify.check(getattr(corrections, name), held_to, call=call, budget=80)
    found = "right" if verdict.grade in ("EXACT", "TIGHT", "BOUND") else verdict.title
    assert found == title, verdict.title


def test_weight_on_the_first_error_is_named():
    """Retrace that weights each error with its own ratio, written from scratch."""

    def candidate(rewards, q_taken, next_state_values, log_ratios, terminated, truncated, gamma,
                  lam):  # fmt: skip
        trust = lam * np.minimum(1, np.exp(log_ratios))
        targets, correction = np.empty_like(rewards), 0 * rewards[0]
        for t in reversed(range(len(rewards))):
            last = t == len(rewards) - 1
            cut = terminated[t] | truncated[t] | last
            bootstrap = np.where(terminated[t], 0, next_state_values[t])
            error = rewards[t] + gamma * bootstrap - q_taken[t]
            carried = 0 if last else np.where(cut, 0, gamma * trust[t + 1] * correction)
            correction = trust[t] * error + carried
            targets[t] = q_taken[t] + correction
        return targets

    verdict = rlverify.check(candidate, "retrace", call=(
        "candidate(rewards, q_taken, next_state_values, log_ratios, terminated, truncated, gamma, "
        "lam)"), budget=80)  # fmt: skip
    assert verdict.title == "WRONG(G9)"


def test_contracts_name_what_only_traces_get_wrong():
    named = {bug.id for name in ("retrace", "vtrace") for bug in find(name).known_bugs}
    assert {"G1", "G2", "G3", "G4", "G8", "G9", "G11", "G13", "G17"} <= named
