"""Q-learning in a table, and the states of one made from continuous observations.

The table Q [S, A] holds a number for every state and action. Transitions (s, a, r, s′) are
applied one after another, each to what the ones before have left: the order matters, and two
visits of one pair are two updates. Leading axes are independent tables, each with its own
transitions.  The identity to remember: a step size of 1 writes the target itself, and one of
1/k in the k-th visit keeps the mean of all targets.

    >>> update = {"gamma": 0.5, "step_size": 0.5}
    >>> states, rewards, ended = np.array([0, 0]), np.array([4.0, 4.0]), np.array([True, True])
    >>> tabular_q_update(np.zeros((2, 1)), states, 0 * states, rewards, states + 1, ended, **update)
    array([[3.],
           [0.]])

An ε-greedy policy is `epsilon_greedy_probabilities` of a row, its decay `linear_schedule`. Other
targets than the greatest value (SARSA, double Q) stand in `q_learning`.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from rlverify.errors import Arguments
from rlverify.reference._functions import chosen, reached
from rlverify.refusals import finite, known_states, sorted_edges


def _greatest(values: Float[np.ndarray, "A"]) -> Any:
    """Return the greatest value; of those that rounding may exchange, either. NaN is greatest."""
    best = values[0]
    for value in values[1:]:
        if best == best:
            best = value if value != value else chosen(reached(best, value), value, best)
    return best


def tabular_q_update(
    q_values: Float[np.ndarray, "... S A"],
    states: Int[np.ndarray, "... N"],
    actions: Int[np.ndarray, "... N"],
    rewards: Float[np.ndarray, "... N"],
    next_states: Int[np.ndarray, "... N"],
    terminated: Bool[np.ndarray, "... N"],
    *,
    gamma: float,
    step_size: float,
) -> Float[np.ndarray, "... S A"]:
    """Table after N updates of Q-learning, one transition after another.

        Q(s, a) ← Q(s, a) + α (r + γ max_b Q(s′, b) − Q(s, a))        0 for max where terminated

    Source: Watkins 1989; Sutton & Barto 2018, eq. 6.8.
    Ours: a new table; N transitions in their order; a time limit is no end.

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
        >>> one = np.array([1])
        >>> table = np.array([[0.0, 0.0], [2.0, 4.0]])
        >>> end = np.array([False])
        >>> tabular_q_update(
        ...     table, 0 * one, one, np.array([2.0]), one, end, gamma=0.5, step_size=0.5
        ... )
        array([[0., 2.],
               [2., 4.]])
    """
    check = Arguments("tabular_q_update", np.ndarray, exact=True)
    check.floats("... S A", q_values=q_values)
    check.floats("... N", rewards=rewards)
    known_states(check, "... N", q_values.shape[-2], states=states, next_states=next_states)
    check.actions("... N", below=q_values.shape[-1], actions=actions)
    check.flags("... N", terminated=terminated)
    check.unit(gamma=gamma, step_size=step_size)

    table = q_values.copy()
    for i in np.ndindex(rewards.shape):
        row = (*i[:-1], states[i])
        greatest = 0 if terminated[i] else _greatest(table[*i[:-1], next_states[i]])
        error = rewards[i] + gamma * greatest - table[*row, actions[i]]
        table[*row, actions[i]] = table[*row, actions[i]] + step_size * error
    return table


def discretize(
    observations: Float[np.ndarray, "... D"], edges: Float[np.ndarray, "D E"]
) -> Int[np.ndarray, "..."]:
    """Number of the cell of a grid that an observation lies in.

        k_d = #{ e : edge_{d,e} ≤ x_d }                     a component's cell, from 0 to E
        s   = Σ_d k_d (E + 1)^(D − 1 − d)                   the last component counts fastest

    Source: Sutton & Barto 2018, section 9.5.4 (state aggregation by a grid).
    Ours: E edges make E + 1 cells, of which the outer two reach to infinity: what lies outside
    is clipped into them. A number on an edge belongs to the cell above, as in `np.digitize`.

    Args:
        observations: x, finite numbers.
        edges: of each component, not decreasing; `np.linspace(low, high, cells + 1)[1:-1]` is
            the usual row. Rows with fewer edges are filled up with infinity.

    Returns:
        s, an integer from 0 to (E + 1)^D − 1, the leading shape.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, an observation is not finite, edges decrease or are NaN, or
            there are 2^53 cells or more.

    Example:
        >>> edges = np.array([[0.0, 1.0], [-1.0, 1.0]])
        >>> discretize(np.array([[0.5, -9.0], [1.0, 2.0]]), edges)
        array([3, 8])
    """
    check = Arguments("discretize", np.ndarray, exact=True)
    check.floats("... D", observations=observations)
    check.floats("D E", edges=edges)
    finite(check, observations=observations)
    sorted_edges(check, edges)

    components, count = edges.shape
    cells = np.empty(observations.shape[:-1], dtype=observations.dtype)
    for i in np.ndindex(cells.shape):
        cell = 0
        for d in range(components):
            below = 0
            for e in range(count):
                below = below + reached(edges[d, e], observations[*i, d])
            cell = cell * (count + 1) + below
        cells[i] = cell
    return cells if cells.dtype == object else cells.astype(np.int64)
