"""The topic `dynamic_programming`: the contract tests, and what only planning has."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given
from hypothesis import strategies as st

from exact_cases import problems, some
from finite_problems import even
from rational_mdp import Truth, rounding
from rlverify.checking import drawn_cases, truth
from rlverify.contract import Case
from rlverify.contracts._process_cases import slack as rounding_of
from rlverify.contracts.dynamic_programming import EVALUATION, VALUE_ITERATION, VISITATION
from rlverify.fast import dynamic_programming as fast
from rlverify.fast._processes import compressed, operator
from rlverify.reference import dynamic_programming as reference
from rlverify.rounding import exactly, lifted
from rlverify.tabular_envs import chain, cliff, from_gymnasium, garnet, grid, policy_values
from rlverify.twinning import as_torch
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "dynamic_programming"
NAMES = ("transition", "reward", "terminal")
ENVIRONMENTS = ("FrozenLake-v1", "CliffWalking-v1", "Taxi-v4")
TOLERANCE = 2.0**-20
below_one = st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(7, 8)])


def arrays(mdp):
    """The arrays of a process, for the reference."""
    return {name: getattr(mdp, name) for name in NAMES}


def tensors(*processes, dtype=torch.float64):
    """The arrays of processes of one size, for the fast version; of one, without leading axis."""
    found = {}
    for name in NAMES:
        many = torch.from_numpy(np.stack([getattr(mdp, name) for mdp in processes]))
        many = many if name == "terminal" else many.to(dtype)
        found[name] = many if len(processes) > 1 else many[0]
    return found


def in_fractions(mdp):
    """The arrays of a process as fractions."""
    return lifted(arrays(mdp), exactly)


def error(arguments, values, gamma):
    """How far values may lie from the best: ‖T V − V‖ / (1 − γ), its own rounding counted.

    An action value is a sum of 2S terms of at most three products, of size R + γ max|V|.
    """
    reward, states = arguments["reward"], arguments["reward"].shape[-1]
    table = fast.action_values(**arguments, values=values, gamma=gamma)
    moved = (table.amax(-1) - values).abs().amax(-1)
    size = reward.abs().amax((-3, -2, -1)) + values.abs().amax(-1)
    unit = torch.finfo(values.dtype).eps / 2
    return (moved + float(rounding(2 * states + 4)) * unit * 2.0**53 * size) / (1 - gamma)


def swept_error(arguments, values, gamma):
    """What rounding adds up to in any number of sweeps: 1/(1−γ) times that of one."""
    still = torch.zeros_like(values)
    size = arguments["reward"].abs().amax((-3, -2, -1)) + values.abs().amax(-1)
    unit = torch.finfo(values.dtype).eps / 2
    count = float(rounding(2 * values.shape[-1] + 4)) * unit * 2.0**53
    return (still.amax(-1) + 2 * count * size) / (1 - gamma)


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


# many at once


def many(count, states, actions, seed=0):
    """Random processes, of which some steps end."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, states, actions, states)
    weights = torch.rand(shape, generator=generator)
    return {
        "transition": weights / weights.sum(-1, keepdim=True),
        "reward": torch.rand(shape, generator=generator) * 2 - 1,
        "terminal": torch.rand(shape, generator=generator) < 0.02,
    }


def test_ten_thousand_processes_in_one_call():
    """Every one within the theorem's bound, and those alone like those among others."""
    gamma, tolerance = 0.9, 2.0**-6
    arguments = many(10_000, 20, 4)
    found = fast.value_iteration(
        **arguments, gamma=gamma, tolerance=tolerance, max_iterations=10_000
    )
    assert found.values.shape == (10_000, 20)
    assert found.iterations.shape == found.residual.shape == (10_000,)
    slack = swept_error(arguments, found.values, gamma)
    assert (error(arguments, found.values, gamma) <= tolerance / 2 + 2 * slack).all()
    for i in (0, 17, 9_999):
        alone = fast.value_iteration(
            **{name: array[i] for name, array in arguments.items()},
            gamma=gamma, tolerance=tolerance, max_iterations=10_000,
        )  # fmt: skip
        assert alone.iterations.shape == ()
        away = (alone.values - found.values[i]).abs().max()
        assert away <= tolerance + 2 * slack[i]
        assert abs(int(alone.iterations) - int(found.iterations[i])) <= 1


def test_leading_axes_of_every_function():
    """N processes, N policies of one process, and both: each row is what it is alone."""
    count, gamma = 5, 0.75
    process = many(count, 4, 3)
    process = {k: v if k == "terminal" else v.double() for k, v in process.items()}
    process["transition"] /= process["transition"].sum(-1, keepdim=True)
    one = {name: array[2] for name, array in process.items()}
    policy = torch.softmax(torch.randn(count, 4, 3, generator=torch.Generator().manual_seed(1)), -1)
    policy = policy.double() / policy.double().sum(-1, keepdim=True)
    start = torch.full((4,), 0.25, dtype=torch.float64)
    knobs = {"gamma": gamma, "tolerance": 2.0**-40, "max_iterations": 10_000}

    def visits(arguments, table):
        flow = {name: arguments[name] for name in ("transition", "terminal")}
        return fast.visitation(**flow, start=start, policy=table, gamma=gamma)

    for arguments in (process, one):
        rows = [{k: v[i] if v.ndim == 4 else v for k, v in arguments.items()}
                for i in range(count)]  # fmt: skip
        evaluated = fast.policy_evaluation(**arguments, policy=policy, **knobs)
        assert evaluated.values.shape == (count, 4)
        assert evaluated.iterations.shape == (count,)
        visited = visits(arguments, policy)
        table = fast.action_values(**arguments, values=evaluated.values, gamma=gamma)
        for i, row in enumerate(rows):
            alone = fast.policy_evaluation(**row, policy=policy[i], **knobs)
            slack = 2.0**-39 + 2 * swept_error(row, alone.values, gamma)
            assert (alone.values - evaluated.values[i]).abs().max() <= slack
            own = fast.action_values(**row, values=alone.values, gamma=gamma)
            assert (own - table[i]).abs().max() <= slack
            own = visits(row, policy[i])
            flow = {name: array.numpy() for name, array in row.items() if name != "reward"}
            case = Case({**flow, "start": start.numpy(), "policy": policy[i].numpy(),
                         "gamma": gamma})  # fmt: skip
            known = truth(VISITATION, case, "float64")
            for got in (own, visited[i]):
                away = np.abs(got.numpy() - known.value["visits"])
                assert (away <= known.allowed["visits"]).all()


# almost all zeros


def test_compressed_rows_give_the_same_products():
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(3, 40, 80, generator=generator, dtype=torch.float64)
    weights[torch.rand(3, 40, 80, generator=generator) > 0.02] = 0
    weights[1, 7] = 0  # a row without anything
    x = torch.rand(3, 80, generator=generator, dtype=torch.float64)
    wanted = torch.einsum("bij,bj->bi", weights, x)
    matrix = compressed(weights)
    assert matrix.shape == (120, 240)
    assert matrix.values().numel() == int((weights != 0).sum()) > 0
    allowed = float(rounding(80)) * 2 * wanted
    assert ((operator(weights)(x) - wanted).abs() <= allowed).all()
    dense = weights + 1
    wanted = torch.einsum("bij,bj->bi", dense, x)
    assert ((operator(dense)(x) - wanted).abs() <= float(rounding(80)) * 2 * wanted).all()


def corners(side, dtype=torch.float64):
    """A grid as a sparse matrix: four moves, a wall around, an end in the far corner."""
    states = side * side
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    moves = torch.tensor([[-1, 0], [0, 1], [1, 0], [0, -1]])
    down = (rows.reshape(-1, 1) + moves[:, 0]).clamp(0, side - 1)
    right = (columns.reshape(-1, 1) + moves[:, 1]).clamp(0, side - 1)
    to = (down * side + right).reshape(-1)
    going = (to != states - 1).to(dtype)
    earned = torch.full((states, 4), -1, dtype=dtype)
    earned[-1] = 0
    going[-4:] = 0
    matrix = torch.sparse_coo_tensor(
        torch.stack([torch.arange(4 * states), to]),
        going,
        (4 * states, states),
        check_invariants=True,
    )
    return matrix.coalesce(), earned, (2 * (side - 1) - rows - columns).reshape(-1)


def test_a_grid_of_forty_thousand_states():
    """Too large for [S, A, S]; V = −(1 − γᵈ)/(1 − γ), d moves from the end."""
    gamma, tolerance = 0.875, 2.0**-30
    going, earned, distance = corners(200)
    found = fast.sparse_value_iteration(
        going, earned, gamma=gamma, tolerance=tolerance, max_iterations=1000
    )
    wanted = -(1 - gamma ** distance.double()) / (1 - gamma)
    # a sweep rounds a product and a sum, the formula four times; nothing is greater than 1/(1−γ)
    count = float(rounding(2)) / (1 - gamma) ** 2 + float(rounding(4)) / (1 - gamma)
    assert (found.values - wanted).abs().max() <= tolerance / 2 + count
    assert found.policy.shape == (40_000, 4)
    # the policy it finds is worth as much
    again = fast.sparse_policy_evaluation(
        going, earned, found.policy, gamma=gamma, tolerance=tolerance, max_iterations=1000
    )
    assert (again.values - wanted).abs().max() <= 2 * tolerance + count


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_sparse_planning_is_planning(name):
    mdp = from_gymnasium(name)
    arguments = tensors(mdp)
    goes = torch.where(arguments["terminal"], 0, arguments["transition"])
    going = goes.reshape(-1, mdp.states).to_sparse_coo()
    earned = (arguments["transition"] * arguments["reward"]).sum(-1)
    policy = torch.from_numpy(even(mdp).astype(float))
    knobs = {"gamma": 0.9, "tolerance": TOLERANCE, "max_iterations": 10_000}
    pairs = (
        (fast.sparse_value_iteration(going, earned, **knobs),
         fast.value_iteration(**arguments, **knobs)),
        (fast.sparse_policy_evaluation(going, earned, policy, **knobs),
         fast.policy_evaluation(**arguments, policy=policy, **knobs)),
    )  # fmt: skip
    for ours, theirs in pairs:
        slack = 2 * swept_error(arguments, theirs.values, 0.9)
        assert (ours.values - theirs.values).abs().max() <= 2 * TOLERANCE + slack
        assert abs(int(ours.iterations) - int(theirs.iterations)) <= 1


def test_sparse_planning_refuses_what_does_not_fit():
    going, earned, _ = corners(3)
    knobs = {"gamma": 0.5, "tolerance": 0.5, "max_iterations": 9}
    with pytest.raises(ValueError, match="going came with 36 rows, wanted 18, one for each state"):
        fast.sparse_value_iteration(going, earned[:, :2].contiguous(), **knobs)
    with pytest.raises(TypeError, match="earned came as dtype torch"):
        fast.sparse_value_iteration(going, earned.half(), **knobs)
    with pytest.raises(ValueError, match="policy came with a row of sum 4"):
        fast.sparse_policy_evaluation(going, earned, torch.ones(9, 4).double(), **knobs)


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
