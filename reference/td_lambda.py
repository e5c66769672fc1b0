"""TD(λ): a table of values, learnt step by step with eligibility traces.

Every state keeps a trace z, how much it is to be credited with what happens now: 1 more at
each visit, γλ times less at each step. A one-step error δ then moves every state by α δ z. This
backward view needs no look into the future.  The identity to remember: offline, with V held
still, a state has moved in the end by α times the sum, over its visits, of λ-return − V, which
is the forward view; online, with V moving inside the episode, only nearly so.

Recordings are those of `returns`, with numbers of states where those have values: T steps of B
columns, time first, two flags for the two ways to end. A column is a table of its own.
"""

import numpy as np
from jaxtyping import Bool, Float, Int64

from rlverify.errors import Arguments
from rlverify.reference._functions import settled
from rlverify.reference._steps import per_step
from rlverify.refusals import known_states


def td_lambda(
    states: Int64[np.ndarray, "T B"],
    rewards: Float[np.ndarray, "T B"],
    next_states: Int64[np.ndarray, "T B"],
    terminated: Bool[np.ndarray, "T B"],
    truncated: Bool[np.ndarray, "T B"],
    initial_values: Float[np.ndarray, "S"],
    *,
    gamma: float | Float[np.ndarray, "T B"],
    lam: float,
    step_size: float,
    online: bool,
    traces: str,
) -> Float[np.ndarray, "S B"]:
    """Tables of values after one pass over a recording, by eligibility traces.

        δₜ = rₜ + γ V(s'ₜ) − V(sₜ)        V(s'ₜ) = 0 where the episode terminated
        zₜ(s) = γ λ zₜ₋₁(s) + 1[s = sₜ]    zₜ₋₁ = 0 where a new episode begins
        V(s) ← V(s) + α δₜ zₜ(s)          for every s

    Source: Sutton 1988; Sutton and Barto 2018, eq. 12.5, 12.6 and 12.7; replacing traces,
    zₜ(sₜ) = 1, are eq. 12.12 (Singh and Sutton 1996).
    Ours: a column is a table of its own. Offline, V stays at `initial_values` in every δ and
    all increments are added at the end. With one γₜ a step, zₜ decays with γₜ₋₁, the discount
    of the step that led to sₜ. λ = 0 is TD(0), λ = 1 is TD(1).

    Args:
        states: sₜ, the state that step t left, in [0, S).
        rewards: rₜ, the reward of step t.
        next_states: s'ₜ, the state that step t led to, before any reset; in [0, S).
        terminated: whether step t ended the episode for good.
        truncated: whether the recording of the episode stops after step t.
        initial_values: V before the first step, the same for every column.
        gamma: discount γ in [0, 1], or one γₜ a step.
        lam: trace λ in [0, 1].
        step_size: α above 0.
        online: whether δₜ is computed with the values that the steps before t have changed.
        traces: `"accumulating"` or `"replacing"`.

    Returns:
        V, shape [S, B]: one table a column. No gradient flows.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, a state lies outside the table, gamma or lam outside [0, 1],
            step_size is not above 0, or traces is no known word.

    Example:
        >>> states, off = np.array([[0], [1]]), np.zeros((2, 1), dtype=bool)
        >>> knobs = {"gamma": 1.0, "lam": 0.5, "step_size": 0.5, "traces": "accumulating"}
        >>> rewards, following = np.array([[1.0], [2.0]]), np.array([[1], [0]])
        >>> td_lambda(states, rewards, following, off, off, np.zeros(2), online=False, **knobs)
        array([[1.],
               [1.]])
        >>> td_lambda(states, rewards, following, off, off, np.zeros(2), online=True, **knobs)
        array([[1.125],
               [1.25 ]])
    """
    check = Arguments("td_lambda", np.ndarray, exact=True)
    check.floats("T B", rewards=rewards)
    check.floats("S", initial_values=initial_values)
    known_states(check, "T B", len(initial_values), states=states, next_states=next_states)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.unit(lam=lam)
    check.positive("step_size", step_size)
    check.switch(online=online)
    check.choice("traces", traces, ("accumulating", "replacing"))

    discount = per_step(gamma, rewards)
    steps, batch = rewards.shape
    tables = np.empty((len(initial_values), batch), dtype=rewards.dtype)
    for b in range(batch):
        values, learnt = initial_values.copy(), initial_values.copy()
        trace = 0 * initial_values  # z, of every state
        for t in range(steps):
            state = states[t, b]
            bootstrap = 0 if terminated[t, b] else values[next_states[t, b]]
            delta = rewards[t, b] + discount[t, b] * bootstrap - values[state]
            trace[state] = 1 + (trace[state] if traces == "accumulating" else 0)
            for s in range(len(values)):
                learnt[s] = learnt[s] + step_size * delta * trace[s]
                trace[s] = discount[t, b] * lam * trace[s]
                if online:
                    values[s] = learnt[s] = settled(learnt[s])
                if terminated[t, b] or truncated[t, b]:
                    trace[s] = 0 * initial_values[s]
        tables[:, b] = learnt
    return tables
