"""Laws of advantages, and forms of GAE that look wrong and are right."""

from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from rlverify.contract import Case, Claim, Equivalent, Subject
from rlverify.contracts._recordings import discounts, equals_exactly, exact
from rlverify.inputs import cut_of


def exact_errors(case: Case) -> np.ndarray:
    """Return δₜ as fractions."""
    following = exact(np.where(case["terminated"], 0, case["next_values"]))
    errors = exact(case["rewards"]) + exact(discounts(case)) * following - exact(case["values"])
    return np.asarray(errors)


def check_lambda_zero(subject: Subject, case: Case) -> Iterable[Claim]:
    """λ = 0 gives the one-step error."""
    zero = case.but(lam=0.0)
    got, allowed = subject(zero), subject.bound(zero)
    yield equals_exactly(got["advantages"], exact_errors(case), allowed["advantages"])


def check_lambda_one(subject: Subject, case: Case) -> Iterable[Claim]:
    """λ = 1 gives, on chained values, the discounted return minus V."""
    one = case.but(lam=1.0)
    got, allowed = subject(one), subject.bound(one)
    cut = cut_of(case["terminated"], case["truncated"])
    rewards, gamma = exact(case["rewards"]), exact(discounts(case))
    values, next_values = exact(case["values"]), exact(case["next_values"])
    wanted = np.empty_like(rewards)
    for b in range(cut.shape[1]):
        following = Fraction(0)
        for t in reversed(range(cut.shape[0])):
            if cut[t, b]:
                following = Fraction(0) if case["terminated"][t, b] else next_values[t, b]
            following = rewards[t, b] + gamma[t, b] * following
            wanted[t, b] = following - values[t, b]
    yield equals_exactly(got["advantages"], wanted, allowed["advantages"])


def check_error_weights(subject: Subject, case: Case) -> Iterable[Claim]:
    """Â is (1 − λ) Σ λᴺ⁻¹ Ψ_N with the last weight λᵏ, Ψ_N the N-step errors (C29)."""
    got, allowed = subject(case), subject.bound(case)
    cut = cut_of(case["terminated"], case["truncated"])
    errors, gamma, lam = exact_errors(case), exact(discounts(case)), Fraction(case["lam"])
    wanted = np.empty_like(errors)
    for b in range(cut.shape[1]):
        for t in range(cut.shape[0]):
            n_step, weight, trace, total = Fraction(0), Fraction(1), Fraction(1), Fraction(0)
            for j in range(t, cut.shape[0]):
                n_step = n_step + weight * errors[j, b]  # Ψ_N for N = j − t + 1
                last = bool(cut[j, b])
                total = total + (1 if last else 1 - lam) * trace * n_step
                weight, trace = weight * gamma[j, b], trace * lam
                if last:
                    break
            wanted[t, b] = total
    yield equals_exactly(got["advantages"], wanted, allowed["advantages"])


def check_n_step_errors(subject: Subject, case: Case) -> Iterable[Claim]:
    """On chained values the n-step advantage is Σ γᵏ δ over the steps used (C27)."""
    got, allowed = subject(case), subject.bound(case)
    cut = cut_of(case["terminated"], case["truncated"])
    errors, gamma = exact_errors(case), exact(discounts(case))
    wanted = np.empty_like(errors)
    for b in range(cut.shape[1]):
        for t in range(cut.shape[0]):
            weight, total = Fraction(1), Fraction(0)
            for j in range(t, min(t + case["n"], cut.shape[0])):
                total = total + weight * errors[j, b]
                weight = weight * gamma[j, b]
                if cut[j, b]:
                    break
            wanted[t, b] = total
    yield equals_exactly(got["advantages"], wanted, allowed["advantages"])


# --- forms that look wrong and are right -------------------------------------------------------

Array = np.ndarray


def _rows(gamma: float | Array, like: Array) -> Array:
    return np.broadcast_to(np.asarray(gamma, dtype=like.dtype), like.shape)


def _backward(delta: Array, decay: Array) -> Array:
    advantages, following = np.empty_like(delta), np.zeros_like(delta[0])
    for t in reversed(range(delta.shape[0])):
        following = delta[t] + decay[t] * following
        advantages[t] = following
    return advantages


def flags_of_starts(
    rewards: Array, values: Array, next_values: Array, terminated: Array, truncated: Array,
    *, gamma: float | Array, lam: float,
) -> tuple[Array, Array]:  # fmt: skip
    """Read starts[t + 1], where starts[t] says that the state of step t began an episode."""
    gamma = _rows(gamma, rewards)
    done = terminated | truncated
    starts = np.concatenate([np.zeros_like(done[:1]), done])
    ended = np.concatenate([np.zeros_like(done[:1]), terminated])
    delta = rewards + gamma * np.where(ended[1:], 0, next_values) - values
    advantages = _backward(delta, gamma * lam * ~starts[1:])
    return advantages, advantages + values


def values_masked_before(
    rewards: Array, values: Array, next_values: Array, terminated: Array, truncated: Array,
    *, gamma: float | Array, lam: float,
) -> tuple[Array, Array]:  # fmt: skip
    """Multiply V(s') by 1 − terminated first; the error itself then has no mask."""
    gamma = _rows(gamma, rewards)
    next_values = next_values * ~terminated
    delta = rewards + gamma * next_values - values
    advantages = _backward(delta, gamma * lam * ~(terminated | truncated))
    return advantages, advantages + values


def reward_augmented(
    rewards: Array, values: Array, next_values: Array, terminated: Array, truncated: Array,
    *, gamma: float | Array, lam: float,
) -> tuple[Array, Array]:  # fmt: skip
    """Add γV(s') to the reward of a truncated step, then treat every flag as an end."""
    gamma = _rows(gamma, rewards)
    done = terminated | truncated
    rewards = rewards + np.where(truncated & ~terminated, gamma * next_values, 0)
    delta = rewards + gamma * np.where(done, 0, next_values) - values
    advantages = _backward(delta, gamma * lam * ~done)
    return advantages, advantages + values


def returns_as_lambda_return(
    rewards: Array, values: Array, next_values: Array, terminated: Array, truncated: Array,
    *, gamma: float | Array, lam: float,
) -> tuple[Array, Array]:  # fmt: skip
    """On chained values, build the λ-return directly and subtract V."""
    gamma = _rows(gamma, rewards)
    returns, following = np.empty_like(rewards), next_values[-1]
    for t in reversed(range(rewards.shape[0])):
        following = np.where(truncated[t], next_values[t], following)
        mixture = (1 - lam) * next_values[t] + lam * following
        following = rewards[t] + np.where(terminated[t], 0, gamma[t] * mixture)
        returns[t] = following
    return returns - values, returns


EQUIVALENTS = (
    Equivalent(
        "flags of starts",
        "starts[t + 1] is done[t] (vwxyzjn/cleanrl#393)",
        flags_of_starts,
    ),
    Equivalent(
        "values masked before",
        "no mask in δ where V(s') was multiplied by 1 − terminated before (thu-ml/tianshou#869)",
        values_masked_before,
    ),
    Equivalent(
        "reward-augmented truncation",
        "γV(s') added to the reward of a truncated step, then cut (DLR-RM/stable-baselines3#1864)",
        reward_augmented,
    ),
    Equivalent(
        "returns as λ-return",
        "advantages + values is the TD(λ) target (openai/baselines#126, huggingface/trl#1150)",
        returns_as_lambda_return,
        holds_on=("chained",),
    ),
)
