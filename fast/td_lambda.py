"""TD(λ): a table of values, learnt step by step with eligibility traces, in PyTorch.

Every state keeps a trace z, how much it is to be credited with what happens now: 1 more at
each visit, γλ times less at each step. A one-step error δ then moves every state by α δ z. The
columns are tables of their own and move together.  The identity to remember: offline, with
V held still, a state has moved in the end by α times the sum, over its visits, of λ-return − V.
That needs no trace at all but one backward recurrence, that of `scan`; only online learning,
and traces that are replaced, go through the recording step by step.

With λ = 0 a step moves the one state it left, and nothing else is touched. Half precision is
computed in float32 and rounded once. Tables carry no gradient.
"""

import torch
from jaxtyping import Bool, Float, Int64

from rlverify.errors import Arguments
from rlverify.fast._steps import one_step, weight, widened
from rlverify.fast.scan import reverse_linear_recurrence, rounded
from rlverify.refusals import known_states


@torch.no_grad()
def td_lambda(
    states: Int64[torch.Tensor, "T B"],
    rewards: Float[torch.Tensor, "T B"],
    next_states: Int64[torch.Tensor, "T B"],
    terminated: Bool[torch.Tensor, "T B"],
    truncated: Bool[torch.Tensor, "T B"],
    initial_values: Float[torch.Tensor, "S"],
    *,
    gamma: float | Float[torch.Tensor, "T B"],
    lam: float,
    step_size: float,
    online: bool,
    traces: str,
) -> Float[torch.Tensor, "S B"]:
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
        >>> states, off = torch.tensor([[0], [1]]), torch.zeros(2, 1, dtype=torch.bool)
        >>> knobs = {"gamma": 1.0, "lam": 0.5, "step_size": 0.5, "traces": "accumulating"}
        >>> rewards, following = torch.tensor([[1.0], [2.0]]), torch.tensor([[1], [0]])
        >>> start = torch.zeros(2)
        >>> td_lambda(states, rewards, following, off, off, start, online=False, **knobs)
        tensor([[1.],
                [1.]])
        >>> td_lambda(states, rewards, following, off, off, start, online=True, **knobs)
        tensor([[1.1250],
                [1.2500]])
    """
    check = Arguments("td_lambda", torch.Tensor)
    check.floats("T B", rewards=rewards)
    check.floats("S", initial_values=initial_values)
    known_states(check, "T B", len(initial_values), states=states, next_states=next_states)
    check.flags("T B", terminated=terminated, truncated=truncated)
    check.unit("T B", gamma=gamma)
    check.unit(lam=lam)
    check.positive("step_size", step_size)
    check.switch(online=online)
    check.choice("traces", traces, ("accumulating", "replacing"))

    earned, start = widened(rewards, initial_values)
    discount, trace = weight(gamma, rewards), rounded(lam, rewards.dtype)
    alpha, cut = rounded(step_size, rewards.dtype), terminated | truncated
    if not online and (traces == "accumulating" or trace == 0):
        errors = one_step(earned, start[states], start[next_states], terminated, discount)
        corrections = reverse_linear_recurrence(errors, discount * trace, cut)
        table = start[:, None].repeat(1, rewards.shape[1])
        return table.scatter_add_(0, states, alpha * corrections).to(rewards.dtype)

    # what is worth nothing is read from a further row, which no step leaves
    table = torch.cat([start, start.new_zeros(1)])[:, None].repeat(1, rewards.shape[1])
    after = next_states.masked_fill(terminated, len(start))
    if isinstance(discount, float):
        discount = torch.full_like(earned, discount)
    decay = (discount * trace).masked_fill_(cut, 0)
    known = table if online else table.clone()
    _walk(known, table, states, after, earned, discount, decay, alpha, traces == "replacing")
    return table[:-1].to(rewards.dtype, copy=True)


def _walk(
    values: torch.Tensor,
    learnt: torch.Tensor,
    states: torch.Tensor,
    after: torch.Tensor,
    rewards: torch.Tensor,
    discount: torch.Tensor,
    decay: torch.Tensor,
    step_size: float,
    replacing: bool,
) -> None:
    """Change `learnt` step by step by errors of `values`, which may be the same table."""
    eligible, one = torch.zeros_like(learnt), torch.ones_like(rewards[:1])
    visit = eligible.scatter_ if replacing else eligible.scatter_add_
    fading = bool(decay.any())
    # views are made once: in a loop this short they cost as much as the arithmetic
    rows = (torch.stack([after, states], 1), rewards[:, None], discount[:, None], decay[:, None])
    for places, reward, gamma, fade in zip(*(array.unbind(0) for array in rows), strict=True):
        pair = values.gather(0, places)
        delta = torch.addcmul(reward, gamma, pair[:1]).sub_(pair[1:])
        if not fading:  # then a step moves nothing but the state it left
            learnt.scatter_add_(0, places[1:], delta.mul_(step_size))
            continue
        visit(0, places[1:], one)
        learnt.addcmul_(eligible, delta, value=step_size)
        eligible.mul_(fade)
