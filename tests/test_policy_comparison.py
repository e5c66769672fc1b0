"""The topic `policy_comparison`: the contract tests, and what only comparisons have."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from exact_cases import problems, some
from finite_problems import even
from rational_mdp import Truth
from rlverify.checking import truth
from rlverify.contract import Case
from rlverify.contracts.policy_comparison import CONTRACTS
from rlverify.fast import policy_comparison as fast
from rlverify.reference import dynamic_programming, policy_comparison
from rlverify.rounding import exactly, lifted
from rlverify.tabular_envs import chain, garnet
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "policy_comparison"
PROCESS = ("transition", "reward", "terminal")
below_one = st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(7, 8)])


def in_fractions(mdp, *, start=True):
    """The arrays of a process as fractions."""
    names = (*PROCESS, "start") if start else PROCESS
    return lifted({name: getattr(mdp, name) for name in names}, exactly)


def objective_of(mdp, policy, gamma):
    """J in fractions, by a linear system of its own."""
    truth = Truth(mdp, policy.tolist(), gamma)
    return sum(p * v for p, v in zip(truth.start, truth.values(), strict=True))


@pytest.mark.claim("C15")
@some
@given(problem=problems(gammas=below_one))
def test_the_performance_difference_is_exact_in_fractions(problem):
    mdp, gamma, old, new = problem.mdp, problem.gamma, problem.behaviour, problem.policy
    got = policy_comparison.performance_difference(
        **in_fractions(mdp), policy=new, old_policy=old, gamma=gamma
    )
    assert got[()] == objective_of(mdp, new, gamma) - objective_of(mdp, old, gamma)


@pytest.mark.claim("C15")
@some
@given(problem=problems(gammas=below_one), data=st.data())
def test_differences_add_up_along_policies(problem, data):
    """J(c) − J(a) = (J(c) − J(b)) + (J(b) − J(a)): the terms telescope."""
    mdp, gamma, a, c = problem.mdp, problem.gamma, problem.behaviour, problem.policy
    share = data.draw(st.sampled_from([Fraction(1, 4), Fraction(1, 2)]))
    b = share * a + (1 - share) * c

    def difference(new, old):
        return policy_comparison.performance_difference(
            **in_fractions(mdp), policy=new, old_policy=old, gamma=gamma
        )[()]

    assert difference(c, a) == difference(c, b) + difference(b, a)


def bound_to_fifty_digits(mdp, new, old, gamma):
    """C max KL, from exact advantages."""
    truth = Truth(mdp, old.tolist(), gamma)
    values = truth.values()
    advantages = [truth.q(s, a, values) - values[s] for s in truth.s for a in truth.a]
    constant = 4 * gamma * max(map(abs, advantages)) / (1 - gamma) ** 2

    def number(x):
        return mpf(x.numerator) / x.denominator

    divergences = [
        sum((number(p) * mp.log(number(p) / number(q)) for p, q in zip(*rows, strict=True) if p),
            mpf(0))
        for rows in zip(old.tolist(), new.tolist(), strict=True)
    ]  # fmt: skip
    return number(constant) * max(divergences)


def surrogate(mdp, new, old, gamma):
    """L in fractions."""
    return policy_comparison.surrogate_objective(
        **in_fractions(mdp), policy=new, old_policy=old, gamma=gamma
    )[()]


@pytest.mark.claim("C17")
@some
@given(problem=problems(gammas=below_one))
def test_the_surrogate_is_within_the_bound(problem):
    """|J − J_old − L| ≤ C·KL_max, the left side in fractions, the right to 50 digits."""
    mdp, gamma, old, new = problem.mdp, problem.gamma, problem.behaviour, problem.policy
    off = objective_of(mdp, new, gamma) - objective_of(mdp, old, gamma)
    off = abs(off - surrogate(mdp, new, old, gamma))
    with mp.workdps(50):
        bound = bound_to_fifty_digits(mdp, new, old, gamma)
        if not bound:
            assert off == 0
        assert mpf(off.numerator) / off.denominator <= bound


def minorised(mdp, old, gamma):
    """The best of the policies on the way to the greedy one, by L − C·KL, and that number."""
    truth = Truth(mdp, old.tolist(), gamma)
    values = np.array(truth.values(), dtype=object)
    known = in_fractions(mdp, start=False)
    table = dynamic_programming.action_values(**known, values=values, gamma=gamma)
    greedy = dynamic_programming.greedy_policy(table)
    best, least = old, mpf(0)
    for halvings in range(1, 12):
        share = Fraction(1, 2**halvings)
        trial = (1 - share) * old + share * greedy
        gain = surrogate(mdp, trial, old, gamma)
        gain = mpf(gain.numerator) / gain.denominator
        gain -= bound_to_fifty_digits(mdp, trial, old, gamma)
        if gain > least:
            best, least = trial, gain
    return best, least


@pytest.mark.claim("C18")
@settings(max_examples=10)  # noqa: F405
@given(problem=problems(gammas=below_one))
def test_minorise_maximise_never_loses(problem):
    """With the true C, J rises by at least what L − C·KL_max promises."""
    mdp, gamma, policy = problem.mdp, problem.gamma, problem.policy
    with mp.workdps(50):
        before = objective_of(mdp, policy, gamma)
        policy, promised = minorised(mdp, policy, gamma)
        after = objective_of(mdp, policy, gamma)
        rise = after - before
        assert mpf(rise.numerator) / rise.denominator >= promised >= 0


@pytest.mark.claim("C18")
def test_minorise_maximise_climbs_and_an_overconfident_c_falls():
    """On a chain it climbs step by step; without the bound, the best L may be worth less."""
    mdp, gamma = chain(2), Fraction(1, 4)
    policy, path = even(mdp), []
    with mp.workdps(50):
        for _ in range(4):
            path.append(objective_of(mdp, policy, gamma))
            policy, promised = minorised(mdp, policy, gamma)
            assert promised > 0
    assert path == sorted(set(path))


def trap():
    """To go costs 1; where one goes to, one gains 4 or loses 8."""
    arrays = {name: np.zeros((3, 2, 3)) for name in ("transition", "reward")}
    for (s, a), (to, pays) in {
        (0, 0): (2, 0), (0, 1): (1, -1), (1, 0): (2, 4), (1, 1): (2, -8),
        (2, 0): (2, 0), (2, 1): (2, 0),
    }.items():  # fmt: skip
        arrays["transition"][s, a, to], arrays["reward"][s, a, to] = 1, pays
    ends = np.zeros((3, 2, 3), dtype=bool)
    ends[:, :, 2] = True
    return {**arrays, "terminal": ends, "start": np.array([1.0, 0.0, 0.0])}


@pytest.mark.claim("C18")
def test_the_surrogate_alone_says_too_little_and_too_much():
    """To go looks bad and is good, if one then stays; it is worse than it looks if one does not.

    The first state may stay out or go, for 1, to one that then gains 4 or loses 8; γ = ½.
    """
    process = lifted(trap(), exactly)
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    old = np.array([[half, half], [3 * quarter, quarter], [half, half]], dtype=object)
    found = []
    for stays in (Fraction(1), Fraction(0)):
        new = old.copy()
        new[1] = [stays, 1 - stays]
        new[0] = [0, 1]
        new = np.array([[Fraction(x) for x in row] for row in new], dtype=object)
        knobs = {"policy": new, "old_policy": old, "gamma": half}
        found.append(
            (
                policy_comparison.surrogate_objective(**process, **knobs)[()],
                policy_comparison.performance_difference(**process, **knobs)[()],
            )
        )
    # V₁ = 1, Q(0, go) = −½, V₀ = −¼, A(0, go) = −¼; d₁ = ¼, A(1, ·) = 3 or −9
    assert found[0] == (half, Fraction(5, 4))  # −¼ + ¼·3, and −¼ + ½·3: better than it seemed
    assert found[1] == (-quarter - Fraction(9, 4), -quarter - Fraction(9, 2))  # and worse


@pytest.mark.claim("C16")
@some
@given(problem=problems(gammas=below_one))
def test_the_gradient_at_the_old_policy_is_that_of_the_objective(problem):
    """∂L/∂θ = ∂J/∂θ for the logits of a softmax, in fractions.

    L is linear in π, and 0 at π_old: where one state alone takes action a for certain, L is
    ∂L/∂π(a|s) less its mean over π_old, which times π(a|s) is the derivative by the logit.
    """
    mdp, gamma, old = problem.mdp, problem.gamma, problem.policy
    truth = Truth(mdp, old.tolist(), gamma)
    wanted = truth.gradient(old.tolist(), lambda dual: dual.values())
    got = []
    for s, a in np.ndindex(old.shape):
        sure = old.copy()
        sure[s] = [Fraction(int(a == b)) for b in range(mdp.actions)]
        got.append(old[s, a] * surrogate(mdp, sure, old, gamma))
    assert got == wanted


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("judged", CONTRACTS, ids=lambda contract: contract.name)
def test_processes_and_policies_side_by_side(shared, judged):
    """Many policies of one process, and many processes, get what each gets alone."""
    processes = [garnet(4, 2, 2, seed=0 if shared else i, ending=0.2) for i in range(3)]
    rng = np.random.default_rng(0)
    cases = []
    for mdp in processes:
        arguments = {name: getattr(mdp, name) for name in (*PROCESS, "start")}
        for name in ("policy", "old_policy"):
            arguments[name] = (1 + rng.multinomial(14, [0.5, 0.5], 4)) / 16
        arguments["gamma"] = 0.75
        cases.append(Case({item.name: arguments[item.name] for item in judged.arguments}))
    together = {}
    for name, value in cases[0].arguments.items():
        many = [torch.tensor(case[name]) for case in cases]
        alike = name == "gamma" or (shared and "policy" not in name)
        together[name] = value if name == "gamma" else many[0] if alike else torch.stack(many)
    got = judged.fast(**together)
    assert got.shape == (3,)
    for case, number in zip(cases, got, strict=True):
        known, (name,) = truth(judged, case, "float64"), judged.outputs
        assert abs(float(number) - known.value[name]) <= known.allowed[name]


def test_what_is_never_done_again_has_no_bound():
    """KL is infinite where the new policy excludes an action of the old, but C = 0 without γ."""
    mdp = chain(2)
    arrays = {name: getattr(mdp, name) for name in PROCESS}
    old, new = np.full((3, 2), 0.5), np.array([[1.0, 0.0]] * 3)
    for gamma, wanted in ((0.5, np.inf), (0.0, 0.0)):
        knobs = {"gamma": gamma}
        assert policy_comparison.surrogate_bound(**arrays, policy=new, old_policy=old, **knobs) == (
            wanted
        )
        # the other way round nothing is excluded, but new actions are there: finite
        tensors = {name: torch.from_numpy(a.copy()) for name, a in arrays.items()}
        tables = {"policy": torch.from_numpy(new), "old_policy": torch.from_numpy(old)}
        assert float(fast.surrogate_bound(**tensors, **tables, **knobs)) == wanted
        other = policy_comparison.surrogate_bound(**arrays, policy=old, old_policy=new, **knobs)
        assert np.isfinite(other)
