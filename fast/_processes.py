"""What planning in finite Markov decision processes is made of, many processes at once.

Arrays are checked already. Leading axes of different arrays agree, or are absent.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int

from rlverify.errors import Arguments
from rlverify.fast._steps import widened

Operator = Callable[[torch.Tensor], torch.Tensor]
broadcast_shapes: Callable[..., tuple[int, ...]] = torch.broadcast_shapes

# a dense product reads zeros too, but in a row: measured on a CPU, products of compressed rows
# win from about 1 nonzero in 32 on
SPARSE = 32
# from how many states on a product of matrices beats a sum of products in a new array
PRODUCTS = 64
# how many sweeps a GPU makes before the host asks whether they were enough
ASKED_EVERY = 32


class PolicyEvaluation(NamedTuple):
    """What sweeps found out about a policy.

    Attributes:
        values: V(s).
        iterations: how many sweeps were made, one number a process.
        residual: the greatest change of a value in the last of them.
    """

    values: Float[torch.Tensor, "... S"]
    iterations: Int[torch.Tensor, "..."]
    residual: Float[torch.Tensor, "..."]


class Plan(NamedTuple):
    """What planning found.

    Attributes:
        values: V(s).
        policy: probabilities of a policy that is greedy for them.
        iterations: how many sweeps, or how many policies, there were, one number a process.
        residual: the greatest change of a value in the last sweep, or in one more sweep.
    """

    values: Float[torch.Tensor, "... S"]
    policy: Float[torch.Tensor, "... S A"]
    iterations: Int[torch.Tensor, "..."]
    residual: Float[torch.Tensor, "..."]


def at_least_zero(check: Arguments, name: str, value: Any) -> None:
    """Require a finite number of at least 0."""
    check.number(name, value)
    if not 0 <= value < float("inf"):
        raise ValueError(
            f"{check.function}: {name} came as {value}, wanted a finite number of at least 0."
        )


def going_on(transition: torch.Tensor, terminal: torch.Tensor) -> torch.Tensor:
    """Return P(s′|s,a)·[not terminal], [..., S, A, S], in the dtype it is computed in."""
    (wide,) = widened(transition)
    return torch.where(terminal, 0, wide)


def earned(transition: torch.Tensor, reward: torch.Tensor) -> torch.Tensor:
    """Return Σₛ′ P(s′|s,a) r(s,a,s′), [..., S, A], in the dtype it is computed in."""
    pays: torch.Tensor = torch.linalg.vecdot(*widened(transition, reward))
    return pays


def backup(earned: torch.Tensor, going: torch.Tensor, values: Any, gamma: float) -> torch.Tensor:
    """Return Q, [..., S, A]."""
    return earned + gamma * torch.einsum("...sai,...i->...sa", going, values)


def chain(going: torch.Tensor, policy: torch.Tensor) -> torch.Tensor:
    """Return P_π(s,s′), [..., S, S]; one process may be under many policies."""
    if going.shape[-1] < PRODUCTS:
        return (going * policy.unsqueeze(-1)).sum(-2)
    return torch.matmul(policy.unsqueeze(-2), going).squeeze(-2)


def discounted_solution(
    chains: torch.Tensor, gamma: float, right: torch.Tensor, *, transposed: bool = False
) -> torch.Tensor:
    """Solve (I − γ P) x = b, or with Pᵀ; one right side may serve many matrices."""
    matrix = chains.mul(-gamma)
    matrix.diagonal(dim1=-2, dim2=-1).add_(1)
    if transposed:
        matrix = matrix.mT
    shape = broadcast_shapes(matrix.shape[:-1], right.shape)
    right = right.expand(shape).unsqueeze(-1)
    solution: torch.Tensor = torch.linalg.solve(matrix.expand(*shape, shape[-1]), right)
    return solution.squeeze(-1)


def compressed(weights: torch.Tensor) -> torch.Tensor:
    """Return B matrices [B, R, S] as the blocks of one sparse matrix [B·R, B·S]."""
    batch, rows, columns = weights.shape
    places = weights.nonzero()
    counts = (weights != 0).sum(-1).flatten()
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls all of its CSR support new
        return torch.sparse_csr_tensor(
            starts,
            places[:, 0] * columns + places[:, 2],
            weights[tuple(places.T)],
            (batch * rows, batch * columns),
            check_invariants=False,
        )


def operator(weights: torch.Tensor) -> Operator:
    """Return x ↦ W x for B matrices [B, R, S], applied to vectors [B, S], many times."""
    batch, rows = weights.shape[:2]
    if int(weights.count_nonzero()) * SPARSE <= weights.numel():
        sparse = compressed(weights)
        return lambda x: (sparse @ x.reshape(-1)).view(batch, rows)
    if batch == 1:
        whole = weights[0]
        return lambda x: (whole @ x[0])[None]
    # from the left: small matrices, of which BLAS takes columns three times as fast as rows
    turned = weights.mT.contiguous()
    return lambda x: torch.bmm(x.unsqueeze(1), turned).squeeze(1)


def swept(
    sweep: Operator, start: torch.Tensor, *, weight: float, limit: float, max_iterations: int
) -> PolicyEvaluation:
    """Sweep values [B, S] until weight · ‖change‖ ≤ limit, each process for itself."""
    if len(start) == 1 and start.device.type == "cpu":
        return _swept_alone(sweep, start, weight=weight, limit=limit, most=max_iterations)
    values = start
    busy = torch.ones(len(start), dtype=torch.bool, device=start.device)
    iterations = torch.zeros(len(start), dtype=torch.int64, device=start.device)
    residual = start.new_zeros(len(start))
    patience = 1 if start.device.type == "cpu" else ASKED_EVERY
    for count in range(1, max_iterations + 1):
        after = sweep(values)
        moved = (after - values).abs().amax(-1)
        # those that are done stand still, so that the answer of each is what it gets alone
        values = torch.where(busy.unsqueeze(-1), after, values)
        residual = torch.where(busy, moved, residual)
        iterations += busy
        busy = busy & ~(weight * moved <= limit)
        if count % patience == 0 and not bool(busy.any()):
            break
    return PolicyEvaluation(values, iterations, residual)


def _swept_alone(
    sweep: Operator, start: torch.Tensor, *, weight: float, limit: float, most: int
) -> PolicyEvaluation:
    """Sweep one process: nothing has to wait for others, which halves what a sweep costs."""
    values, moved, count = start, start.new_zeros(()), 0
    while count < most:
        after = sweep(values)
        moved = (after - values).abs_().amax()
        values, count = after, count + 1
        if bool(weight * moved <= limit):
            break
    return PolicyEvaluation(values, torch.tensor([count]), moved.unsqueeze(0))


def greedy(table: torch.Tensor) -> torch.Tensor:
    """Return probabilities that the greatest of each row share evenly."""
    (wide,) = widened(table)
    best = (wide == wide.amax(-1, keepdim=True)).to(wide.dtype)
    return best / best.sum(-1, keepdim=True)


def improved(pays: torch.Tensor, going: torch.Tensor, discount: float, max_iterations: int) -> Plan:
    """Solve and act greedily in turn, B processes [B, S, A], each until its policy stays."""
    batch, states = pays.shape[:2]
    choice = torch.zeros(batch, states, 1, dtype=torch.int64, device=pays.device)
    busy = torch.ones(batch, dtype=torch.bool, device=pays.device)
    iterations = torch.zeros_like(busy, dtype=torch.int64)
    before = pays.new_full((batch,), -torch.inf)
    values, table = pays[..., 0], pays
    for count in range(1, max_iterations + 1):
        own = choice.unsqueeze(-1).expand(-1, -1, -1, states)
        chains = going.gather(2, own).squeeze(2)
        found = discounted_solution(chains, discount, pays.gather(2, choice).squeeze(2))
        values = torch.where(busy.unsqueeze(-1), found, values)
        table = backup(pays, going, values, discount)
        best = table.max(-1, keepdim=True)
        keeps = table.gather(2, choice) >= best.values
        total = values.sum(-1)
        iterations += busy
        # but for rounding the values add up to more after every change
        busy = busy & ~keeps.all(1).squeeze(-1) & (total > before)
        if count == max_iterations or not bool(busy.any()):
            break
        choice = torch.where(busy[:, None, None] & ~keeps, best.indices, choice)
        before = total
    policy = torch.zeros_like(pays).scatter_(2, choice, 1)
    return Plan(values, policy, iterations, (table.amax(-1) - values).abs().amax(-1))
