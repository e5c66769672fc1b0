"""The topic `dynamic_programming`: the contract tests, and what only planning has."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given
from hypothesis import strategies as st

from exact_cases import problems, some
from planning_arrays import ENVIRONMENTS, TOLERANCE, arrays, error, many, swept_error, tensors
from rational_mdp import Truth
from rlverify.checking import drawn_cases
from rlverify.contracts._process_cases import slack as rounding_of
from rlverify.contracts.dynamic_programming import EVALUATION, VALUE_ITERATION
from rlverify.fast import dynamic_programming as fast
from rlverify.reference import dynamic_programming as reference
from rlverify.rounding import exactly, lifted
from rlverify.tabular_envs import chain, cliff, from_gymnasium, garnet, grid, policy_values
from rlverify.twinning import as_torch
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "dynamic_programming"
below_one = st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(7, 8)])


def in_fractions(mdp):
    """The arrays of a process as fractions."""
    return lifted(arrays(mdp), exactly)


# three ways to the best values


def assert_all_ways_meet(processes, gamma):
    """Value iteration, policy iteration and the linear solve, within the theorem's bound."""
    arguments = tensors(*processes)
    swept = fast.value_iteration(
        **arguments, gamma=gamma, tolerance=TOLERANCE, max_iterations=100_000
    )
    planned = fast.policy_iteration(**arguments, gamma=gamma, max_iterations=1000)
    off = error(arguments, planned.values, gamma)
    assert (off < TOLERANCE / 4).all()  # or nothing would be shown
    allowed = TOLERANCE / 2 + swept_error(arguments, swept.values, gamma) + off
    assert ((swept.values - planned.values).abs().amax(-1) <= allowed).all()
    rows = zip(
        processes,
        planned.values.reshape(len(processes), -1),
        planned.policy.reshape(len(processes), *planned.policy.shape[-2:]),
        swept.policy.reshape(len(processes), *swept.policy.shape[-2:]),
        np.broadcast_to(off.numpy(), len(processes)),
        strict=True,
    )
    for mdp, values, policy, nearly, slack in rows:
        solved = policy_values(mdp, policy.numpy(), gamma=gamma).values
        # both solve the same system; either is as far from the best as its own residual says
        own = float(error(tensors(mdp), torch.from_numpy(solved), gamma))
        assert np.abs(solved - values.numpy()).max() <= slack + own
        # and the greedy policy of value iteration is worth no less than the tolerance says
        earned = policy_values(mdp, nearly.numpy(), gamma=gamma).values
        assert (earned >= values.numpy() - TOLERANCE - slack - own).all()


@pytest.mark.claim("C33")
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_all_ways_meet_on_environments(name):
    assert_all_ways_meet([from_gymnasium(name)], 0.99)


@pytest.mark.claim("C33")
@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_all_ways_meet_on_two_hundred_random_processes(gamma):
    assert_all_ways_meet([garnet(6, 3, 3, seed=i, ending=0.1 * (i % 2)) for i in range(200)], gamma)


@pytest.mark.claim("C33")
@some
@given(problem=problems(gammas=below_one))
def test_greedy_improvement_never_loses(problem):
    """V of the greedy policy is nowhere below V, and somewhere above unless V is the best."""
    mdp, gamma = problem.mdp, problem.gamma
    known = in_fractions(mdp)
    truth = Truth(mdp, problem.policy.tolist(), gamma)
    values = np.array(truth.values(), dtype=object)
    table = reference.action_values(**known, values=values, gamma=gamma)
    greedy = reference.greedy_policy(table)
    better = np.array(Truth(mdp, greedy.tolist(), gamma).values(), dtype=object)
    assert (better >= values).all()
    best = reference.policy_iteration(**known, gamma=gamma, max_iterations=100).values
    assert (better > values).any() or (values == best).all()


@pytest.mark.claim("C33")
@some
@given(problem=problems(gammas=below_one))
def test_policies_sweeps_and_the_linear_program_meet(problem):
    """In fractions: the policy that a linear program finds is worth what policy iteration says.

    min Σ V subject to V(s) ≥ r̄(s,a) + γ Σ P(s′|s,a) V(s′).
    """
    mdp, gamma = problem.mdp, problem.gamma
    known = in_fractions(mdp)
    planned = reference.policy_iteration(**known, gamma=gamma, max_iterations=100)
    best = planned.values
    table = reference.action_values(**known, values=best, gamma=gamma)
    assert (table.max(axis=1) == best).all()  # V = T V: nothing is better
    assert best.tolist() == Truth(mdp, planned.policy.tolist(), gamma).values()
    assert planned.residual == 0

    goes = np.where(mdp.terminal, 0, mdp.transition)
    own = np.repeat(np.eye(mdp.states), mdp.actions, axis=0)
    earned = (mdp.transition * mdp.reward).sum(axis=2).reshape(-1)
    program = scipy.optimize.linprog(
        np.ones(mdp.states),
        A_ub=float(gamma) * goes.reshape(-1, mdp.states) - own,
        b_ub=-earned,
        bounds=(None, None),
    )
    found = fast.action_values(**tensors(mdp), values=torch.from_numpy(program.x), gamma=gamma)
    policy = [[Fraction(int(a == row.argmax())) for a in range(mdp.actions)] for row in found]
    # a solver's optimum is no fraction, but its policy is worth exactly the best
    assert Truth(mdp, policy, gamma).values() == best.tolist()

    tolerance = Fraction(1, 1024)
    swept = reference.value_iteration(
        **known, gamma=gamma, tolerance=tolerance, max_iterations=10_000
    )
    assert max(abs(swept.values - best)) <= tolerance / 2
    worth = Truth(mdp, swept.policy.tolist(), gamma).values()
    assert max(best - np.array(worth, dtype=object)) <= tolerance


@some
@given(problem=problems(gammas=below_one))
def test_sweeps_contract_and_end_as_soon_as_they_may(problem):
    """In fractions: each change is at most γ times the last, and no earlier one was enough."""
    mdp, gamma, tolerance = problem.mdp, problem.gamma, Fraction(1, 64)
    known, policy = in_fractions(mdp), problem.policy

    def evaluated(sweeps):
        return reference.policy_evaluation(
            **known, policy=policy, gamma=gamma, tolerance=tolerance, max_iterations=sweeps
        )

    def planned(sweeps):
        return reference.value_iteration(
            **known, gamma=gamma, tolerance=tolerance, max_iterations=sweeps
        )

    values = np.array(Truth(mdp, policy.tolist(), gamma).values(), dtype=object)
    for run, share in ((evaluated, 1), (planned, 2)):
        found, limit = run(1000), tolerance * (1 - gamma)
        assert share * gamma * found.residual <= limit
        if found.iterations > 1:
            before = run(found.iterations - 1)
            assert before.iterations == found.iterations - 1
            assert share * gamma * before.residual > limit
            assert found.residual <= gamma * before.residual
            assert max(abs(found.values - before.values)) == found.residual
    assert max(abs(evaluated(1000).values - values)) <= tolerance


@pytest.mark.parametrize("swept", [EVALUATION, VALUE_ITERATION], ids=lambda c: c.name)
def test_twins_make_as_many_sweeps(swept):
    """Numbers of sweeps and last changes agree, unless rounding decides when to stop."""
    share = 2 if swept is VALUE_ITERATION else 1
    for case in drawn_cases(swept, 100, 0):
        ours = swept.reference(**case.arguments)
        theirs = swept.fast(**as_torch(dict(case.arguments), "float64"))
        counts = sorted([ours.iterations, int(theirs.iterations)])
        assert counts[1] <= case["max_iterations"]
        if counts[0] < counts[1]:  # where it first stopped, the change was at the limit
            last = swept.reference(**case.but(max_iterations=counts[0]).arguments)
            limit = case["tolerance"] * (1 - case["gamma"])
            rounds = rounding_of(case, 2.0**-53, 0.0, last.values).max()
            assert abs(share * case["gamma"] * last.residual - limit) <= 2 * share * rounds


# ends, ties, no discount


def test_without_discount_sweeps_end_where_nothing_changes():
    """Thirteen steps along the cliff, in fractions and in floats: nothing is rounded."""
    mdp = cliff()
    knobs = {"gamma": 1, "tolerance": 0, "max_iterations": 1000}
    ours = reference.value_iteration(**in_fractions(mdp), **knobs)
    theirs = fast.value_iteration(**tensors(mdp), **knobs)
    assert ours.values[36] == float(theirs.values[36]) == -13
    assert ours.values.astype(float).tolist() == theirs.values.tolist()
    assert ours.iterations == int(theirs.iterations)
    assert ours.residual == float(theirs.residual) == 0


def test_sweeps_stop_at_the_number_that_was_asked_for():
    """Undiscounted and endless: what k steps pay is k, and that the residual is 1 is said."""
    loop = np.ones((1, 1, 1))
    for k in (1, 2, 7):
        knobs = {"gamma": 1.0, "tolerance": 0.5, "max_iterations": k}
        found = reference.value_iteration(loop, loop, loop < 1, **knobs)
        assert (found.values.tolist(), found.iterations, found.residual) == ([k], k, 1)
        one = torch.ones(1, 1, 1)
        theirs = fast.value_iteration(one, one, one < 1, **knobs)
        assert (theirs.values.tolist(), int(theirs.iterations), float(theirs.residual)) == (
            [k], k, 1,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_do_not_send_policies_in_circles(dtype):
    """Every step pays the same, so that all policies tie but for rounding.

    One in twenty of these never ends where the values' sum does not decide.
    """
    gamma, most = 0.9, 100
    arguments = {k: v if k == "terminal" else v.to(dtype) for k, v in many(500, 4, 4).items()}
    arguments["transition"] /= arguments["transition"].sum(-1, keepdim=True)
    arguments["reward"] = torch.full_like(arguments["reward"], 0.1)
    arguments["terminal"] = torch.zeros_like(arguments["terminal"])
    found = fast.policy_iteration(**arguments, gamma=gamma, max_iterations=most)
    assert int(found.iterations.max()) < most
    assert (found.policy.sum(-1) == 1).all()
    wanted = float(arguments["reward"][0, 0, 0, 0]) / (1 - gamma)
    off = error(arguments, found.values, gamma)
    assert ((found.values - wanted).abs().amax(-1) <= off).all()
    if dtype == torch.float64:
        for i in range(40):
            one = {name: array[i].numpy() for name, array in arguments.items()}
            ours = reference.policy_iteration(**one, gamma=gamma, max_iterations=most)
            assert ours.iterations < most


def test_each_of_many_stops_by_itself():
    """Rewards of 1, 2⁻⁸ and 0 need fewer and fewer sweeps; on powers of two nothing is rounded."""
    pays = torch.tensor([1.0, 2.0**-8, 0.0])[:, None, None, None].expand(3, 1, 2, 1).clone()
    pays[:, :, 0] /= 2
    loop = torch.ones(3, 1, 2, 1)
    policy = torch.full((3, 1, 2), 0.5)
    knobs = {"gamma": 0.5, "tolerance": 2.0**-10, "max_iterations": 1000}
    runs = (
        lambda *process: fast.value_iteration(*process[:3], **knobs),
        lambda *process: fast.policy_evaluation(*process, **knobs),
        lambda *process: fast.policy_iteration(*process[:3], gamma=0.5, max_iterations=9),
    )
    for run in runs:
        together = run(loop, pays, loop < 1, policy)
        assert len(set(together.iterations.tolist())) > 1
        for i in range(3):
            alone = run(loop[i], pays[i], loop[i] < 1, policy[i])
            for ours, theirs in zip(alone, together, strict=True):
                assert torch.equal(ours, theirs[i])


def test_a_policy_that_is_cut_short_is_the_one_that_was_evaluated():
    """With one policy allowed, values and policy belong together: the first action everywhere."""
    mdp = chain(3)
    for found in (
        reference.policy_iteration(**arrays(mdp), gamma=0.5, max_iterations=1),
        fast.policy_iteration(**tensors(mdp), gamma=0.5, max_iterations=1),
    ):
        assert np.asarray(found.policy)[:, 0].tolist() == [1, 1, 1, 1]
        assert np.asarray(found.values).tolist() == [0, 0, 0, 0]
        assert float(found.residual) == 1  # one action would pay 1


def test_what_follows_an_end_is_never_read():
    """V may be anything where only ends lead to; a reward is paid on the way."""
    mdp = grid(2, 2)
    for worth in (0.0, 1e6):
        values = np.array([0.0, 0.0, 0.0, worth])
        table = reference.action_values(**arrays(mdp), values=values, gamma=0.5)
        theirs = fast.action_values(**tensors(mdp), values=torch.from_numpy(values), gamma=0.5)
        assert table[1].tolist() == theirs[1].tolist() == [-1, -1, -1, -1]
