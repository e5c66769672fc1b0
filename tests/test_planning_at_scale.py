"""Planning on PyTorch: many processes in one call, and those that are almost all zeros."""

import numpy as np
import pytest
import torch

from finite_problems import even
from planning_arrays import ENVIRONMENTS, TOLERANCE, error, many, swept_error, tensors
from rational_mdp import rounding
from rlverify.checking import truth
from rlverify.contract import Case
from rlverify.contracts.dynamic_programming import VISITATION
from rlverify.fast import dynamic_programming as fast
from rlverify.fast._processes import compressed, operator
from rlverify.tabular_envs import from_gymnasium

# many at once


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
