"""RLax: its functions of one trajectory, mapped over the columns and compiled.

A discount is zero where an episode ends. What a truncated step bootstraps from is folded into
its reward by the caller, since no discount can say both.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

A = jax.Array


class Advantages(NamedTuple):
    """What is made of its advantages.

    Attributes:
        advantages: GAE.
        returns: advantages + values.
    """

    advantages: A
    returns: A


class Corrected(NamedTuple):
    """What is made of its V-trace.

    Attributes:
        advantages: of the policy gradient.
        value_targets: errors + values.
    """

    advantages: A
    value_targets: A


def compiled(*still: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that compiles once, for each value of some arguments."""
    return functools.partial(jax.jit, static_argnames=still)


def _over_columns(function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.vmap(function, in_axes=1, out_axes=1)


def _folded(rewards: A, next_values: A, terminated: A, truncated: A, gamma: Any) -> tuple[A, A]:
    """Return rewards with what truncated steps bootstrap from, and discounts."""
    ends = terminated | truncated
    folded = jnp.where(truncated & ~terminated, rewards + gamma * next_values, rewards)
    return folded, jnp.where(ends, 0.0, gamma * jnp.ones_like(rewards))


@compiled()
def gae(
    rewards: A, values: A, next_values: A, terminated: A, truncated: A, *, gamma: float, lam: float
) -> Advantages:
    """Return `truncated_generalized_advantage_estimation`, which knows no next values."""
    import rlax

    rewards, discounts = _folded(rewards, next_values, terminated, truncated, gamma)
    chain = jnp.concatenate([values, next_values[-1:]])

    def column(r: A, d: A, v: A) -> Any:
        return rlax.truncated_generalized_advantage_estimation(r, d, lam, v)

    advantages = _over_columns(column)(rewards, discounts, chain)
    return Advantages(advantages, advantages + values)


@compiled()
def discounted_return(
    rewards: A, next_values: A, terminated: A, truncated: A, *, gamma: float
) -> A:
    """Return `discounted_returns`, bootstrapping from the last value."""
    import rlax

    rewards, discounts = _folded(rewards, next_values, terminated, truncated, gamma)
    found: A = _over_columns(rlax.discounted_returns)(rewards, discounts, next_values)
    return found


@compiled()
def lambda_return(
    rewards: A, next_values: A, terminated: A, truncated: A, *, gamma: float, lam: float
) -> A:
    """Return `lambda_returns`."""
    import rlax

    rewards, discounts = _folded(rewards, next_values, terminated, truncated, gamma)

    def column(r: A, d: A, v: A) -> Any:
        return rlax.lambda_returns(r, d, v, lam)

    found: A = _over_columns(column)(rewards, discounts, next_values)
    return found


@compiled("n")
def n_step_return(
    rewards: A, next_values: A, terminated: A, truncated: A, *, gamma: float, n: int
) -> A:
    """Return `n_step_bootstrapped_returns`."""
    import rlax

    rewards, discounts = _folded(rewards, next_values, terminated, truncated, gamma)

    def column(r: A, d: A, v: A) -> Any:
        return rlax.n_step_bootstrapped_returns(r, d, v, n)

    found: A = _over_columns(column)(rewards, discounts, next_values)
    return found


@compiled()
def retrace(
    rewards: A,
    q_taken: A,
    next_state_values: A,
    log_ratios: A,
    terminated: A,
    truncated: A,
    *,
    gamma: float,
    lam: float,
) -> A:
    """Return `retrace_continuous`, an error, plus what it is the error of."""
    import rlax

    rewards, discounts = _folded(rewards, next_state_values, terminated, truncated, gamma)

    def column(q: A, v: A, r: A, d: A, rho: A) -> Any:
        return rlax.retrace_continuous(q, q[1:], v, r, d, rho[1:], lam) + q

    found: A = _over_columns(column)(q_taken, next_state_values, rewards, discounts, log_ratios)
    return found


@compiled()
def vtrace(
    rewards: A,
    values: A,
    next_values: A,
    log_ratios: A,
    terminated: A,
    truncated: A,
    *,
    gamma: float,
    lam: float,
    rho_bar: float,
    rho_bar_advantage: float,
) -> Corrected:
    """Return `vtrace_td_error_and_advantage`, whose c̄ is 1."""
    import rlax

    rewards, discounts = _folded(rewards, next_values, terminated, truncated, gamma)

    def column(v: A, w: A, r: A, d: A, rho: A) -> Any:
        return rlax.vtrace_td_error_and_advantage(v, w, r, d, rho, lam, rho_bar, rho_bar_advantage)

    found = _over_columns(column)(values, next_values, rewards, discounts, jnp.exp(log_ratios))
    return Corrected(found.pg_advantage, found.errors + values)


@compiled()
def q_learning_target(rewards: A, next_q_values: A, terminated: A, *, gamma: float) -> A:
    """Return the error of `q_learning` where the value that was taken is 0."""
    import rlax

    discounts = jnp.where(terminated, 0.0, gamma * jnp.ones_like(rewards))

    def sample(r: A, d: A, q: A) -> Any:
        return rlax.q_learning(jnp.zeros_like(q), jnp.int32(0), r, d, q)

    found: A = jax.vmap(sample)(rewards, discounts, next_q_values)
    return found


@compiled()
def double_q_target(
    rewards: A, next_q_online: A, next_q_target: A, terminated: A, *, gamma: float
) -> A:
    """Return the error of `double_q_learning` where the value that was taken is 0."""
    import rlax

    discounts = jnp.where(terminated, 0.0, gamma * jnp.ones_like(rewards))

    def sample(r: A, d: A, q: A, selector: A) -> Any:
        return rlax.double_q_learning(jnp.zeros_like(q), jnp.int32(0), r, d, q, selector)

    found: A = jax.vmap(sample)(rewards, discounts, next_q_target, next_q_online)
    return found


@compiled()
def ppo_clip_loss(log_probs: A, old_log_probs: A, advantages: A, *, clip_range: float) -> A:
    """Return `clipped_surrogate_pg_loss` of flat arrays."""
    import rlax

    ratios = jnp.exp(log_probs - old_log_probs).reshape(-1)
    found: A = rlax.clipped_surrogate_pg_loss(ratios, advantages.reshape(-1), clip_range)
    return found
