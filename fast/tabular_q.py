"""Q-learning in a table, and the states of one made from continuous observations, in PyTorch.

The table Q [S, A] holds a number for every state and action. Transitions (s, a, r, s′) are
applied one after another, each to what the ones before have left: the order matters, and two
visits of one pair are two updates. Leading axes are independent tables, each with its own
transitions; all of them take a step at once.  The identity to remember: a step size of 1 writes
the target itself, and one of 1/k in the k-th visit keeps the mean of all targets.

    >>> update = {"gamma": 0.5, "step_size": 0.5}
    >>> states, ended = torch.tensor([0, 0]), torch.tensor([True, True])
    >>> rewards, table = torch.tensor([4.0, 4.0]), torch.zeros(2, 1)
    >>> tabular_q_update(table, states, 0 * states, rewards, states + 1, ended, **update)
    tensor([[3.],
            [0.]])

An ε-greedy policy is `epsilon_greedy_probabilities` of a row, its decay `linear_schedule`. Other
targets than the greatest value (SARSA, double Q) stand in `q_learning`.
"""

import torch
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.fast._steps import widened
from rlverify.fast.scan import rounded
from rlverify.refusals import finite, known_states, sorted_edges


def tabular_q_update(
    q_values: Float[torch.Tensor, "... S A"],
    states: Int[torch.Tensor, "... N"],
    actions: Int[torch.Tensor, "... N"],
    rewards: Float[torch.Tensor, "... N"],
    next_states: Int[torch.Tensor, "... N"],
    terminated: Bool[torch.Tensor, "... N"],
    *,
    gamma: float,
    step_size: float,
) -> Float[torch.Tensor, "... S A"]:
    """Table after N updates of Q-learning, one transition after another.

        Q(s, a) ← Q(s, a) + α (r + γ max_b Q(s′, b) − Q(s, a))        0 for max where terminated

    Source: Watkins 1989; Sutton & Barto 2018, eq. 6.8.
    Ours: a new table; N transitions in their order; a time limit is no end. Half precision is
    kept in float32 over all N and rounded once.

    Args:
        q_values: Q before.
        states: s of each transition.
        actions: a.
        rewards: r.
        next_states: s′, before any reset; where terminated any state: it is not read.
        terminated: True where the episode ended in s′. Not where it was cut.
        gamma: γ in [0, 1].
        step_size: α in [0, 1].

    Returns:
        Q after, the shape of `q_values`. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or a number is out of range.

    Example:
        >>> one = torch.tensor([1])
        >>> table = torch.tensor([[0.0, 0.0], [2.0, 4.0]])
        >>> end = torch.tensor([False])
        >>> tabular_q_update(
        ...     table, 0 * one, one, torch.tensor([2.0]), one, end, gamma=0.5, step_size=0.5
        ... )
        tensor([[0., 2.],
                [2., 4.]])
    """
    check = Arguments("tabular_q_update", torch.Tensor)
    check.floats("... S A", q_values=q_values)
    check.floats("... N", rewards=rewards)
    known_states(check, "... N", q_values.shape[-2], states=states, next_states=next_states)
    check.actions("... N", below=q_values.shape[-1], actions=actions)
    check.flags("... N", terminated=terminated)
    check.unit(gamma=gamma, step_size=step_size)

    (wide,) = widened(q_values.detach())
    count, moves = q_values.shape[-2:]
    # all tables below each other, so that one index finds a row of any of them
    table = wide.reshape(-1, moves).clone()
    places = table.view(-1)
    tables = torch.arange(len(table) // count, device=table.device) * count
    # time first, in one piece: a step then reads contiguous rows
    here, action, after, ended = (
        x.reshape(len(tables), -1).t().contiguous()
        for x in (states, actions, next_states, terminated)
    )
    (earned,) = widened(rewards.detach().reshape(len(tables), -1).t())
    taken, after = (here + tables) * moves + action, after + tables
    discount, share = rounded(gamma, q_values.dtype), rounded(step_size, q_values.dtype)
    steps = (x.unbind(0) for x in (taken, after, ended, earned))
    for place, row, end, reward in zip(*steps, strict=True):
        greatest = table.index_select(0, row).amax(-1).masked_fill_(end, 0)
        old = places.index_select(0, place)
        error = torch.add(reward, greatest, alpha=discount).sub_(old)
        places.index_copy_(0, place, old.add_(error, alpha=share))
    return table.reshape(q_values.shape).to(q_values.dtype)


def discretize(
    observations: Float[torch.Tensor, "... D"], edges: Float[torch.Tensor, "D E"]
) -> Int[torch.Tensor, "..."]:
    """Number of the cell of a grid that an observation lies in.

        k_d = #{ e : edge_{d,e} ≤ x_d }                     a component's cell, from 0 to E
        s   = Σ_d k_d (E + 1)^(D − 1 − d)                   the last component counts fastest

    Source: Sutton & Barto 2018, section 9.5.4 (state aggregation by a grid).
    Ours: E edges make E + 1 cells, of which the outer two reach to infinity: what lies outside
    is clipped into them. A number on an edge belongs to the cell above, as in `np.digitize`.

    Args:
        observations: x, finite numbers.
        edges: of each component, not decreasing; `torch.linspace(low, high, cells + 1)[1:-1]` is
            the usual row. Rows with fewer edges are filled up with infinity.

    Returns:
        s, an integer from 0 to (E + 1)^D − 1, the leading shape. No gradient.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, an observation is not finite, edges decrease or are NaN, or
            there are 2^53 cells or more.

    Example:
        >>> edges = torch.tensor([[0.0, 1.0], [-1.0, 1.0]])
        >>> discretize(torch.tensor([[0.5, -9.0], [1.0, 2.0]]), edges)
        tensor([3, 8])
    """
    check = Arguments("discretize", torch.Tensor)
    check.floats("... D", observations=observations)
    check.floats("D E", edges=edges)
    finite(check, observations=observations)
    sorted_edges(check, edges)

    components, count = edges.shape
    # a row of edges for each component, and all observations of that component behind each other
    rows = observations.detach().reshape(-1, components).t().contiguous()
    below = torch.searchsorted(edges.detach().contiguous(), rows, right=True)
    cells = below[0]
    for d in range(1, components):
        cells = cells * (count + 1) + below[d]
    return cells.reshape(observations.shape[:-1])
