"""Laws of returns, and of advantages built from them."""

from collections.abc import Iterable

import numpy as np

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._recordings import (
    Weights,
    check_bootstrap_impulse,
    check_reward_impulse,
    discounts,
    equals_exactly,
    exact,
    products,
    same,
    truncated_of,
)
from rlverify.inputs import cut_of

# --- weights of a later reward -----------------------------------------------------------


def no_weight(case: Case, t: int, b: int) -> np.ndarray:
    """A one-step target knows its own reward only."""
    return products(np.zeros(case["rewards"].shape[0]), t)


def gamma_weights(case: Case, t: int, b: int) -> np.ndarray:
    """γₛ … γₜ₋₁."""
    return products(discounts(case)[:, b], t)


def gamma_lambda_weights(case: Case, t: int, b: int) -> np.ndarray:
    """(γₛλ) … (γₜ₋₁λ)."""
    return products(discounts(case)[:, b] * case["lam"], t)


def n_step_weights(case: Case, t: int, b: int) -> np.ndarray:
    """γₛ … γₜ₋₁ within n steps, 0 beyond."""
    weights = gamma_weights(case, t, b)
    weights[: max(t - case["n"] + 1, 0)] = 0
    return weights


IMPULSE = "a single reward reaches each earlier step of its episode with the right weight"
BOOTSTRAP = "the value after the last step reaches each step with the right weight"


def reward_impulse(weights: Weights) -> Law:
    """Return the impulse law for the given weights."""
    return Law("reward-impulse", IMPULSE, check_reward_impulse(weights))


def bootstrap_impulse(weights: Weights) -> Law:
    """Return the bootstrap law for the given weights; it needs next values of its own."""
    check = check_bootstrap_impulse(weights)
    return Law("bootstrap-impulse", BOOTSTRAP, check, holds_on=("free",))


# --- laws of single functions --------------------------------------------------------------


def check_telescope(subject: Subject, case: Case) -> Iterable[Claim]:
    """Without rewards, Σ γᵗ δₜ over a column without ends is γᵀ V_T − V_0 (C14)."""
    if case["terminated"].any():
        return
    silent = case.but(rewards=np.zeros_like(case["rewards"]))
    errors, allowed = subject(silent)["errors"], subject.bound(silent)["errors"]
    if not np.isfinite(errors).all():
        return
    gamma, steps = exact(discounts(case)), errors.shape[0]
    powers = np.vstack([np.ones_like(gamma[:1]), np.cumprod(gamma, axis=0)])
    wanted = powers[steps] * exact(case["next_values"])[-1] - exact(case["values"])[0]
    total = (powers[:-1] * exact(errors)).sum(axis=0)
    slack = (powers[:-1].astype(float) * allowed).sum(axis=0)
    # the slack is itself a float64 sum of positive numbers: T roundings, at most
    slack = slack * (1 + 2 * steps * 2.0**-53)
    yield Claim((total - wanted).astype(float), np.zeros(total.shape), slack)


def check_one_step(subject: Subject, case: Case) -> Iterable[Claim]:
    """δ is the reward plus the discounted next value, minus the value."""
    following = np.where(case["terminated"], 0, case["next_values"])
    target = case["rewards"] + discounts(case) * following - case["values"]
    yield from same(subject, case, {"errors": target})


def check_one_of_n(subject: Subject, case: Case) -> Iterable[Claim]:
    """With n = 1 the n-step return is the one-step target."""
    one = case.but(n=1)
    following = np.where(case["terminated"], 0, case["next_values"])
    yield from same(subject, one, {"returns": case["rewards"] + discounts(case) * following})


def check_lambda_zero(subject: Subject, case: Case) -> Iterable[Claim]:
    """With λ = 0 the λ-return is the one-step target."""
    zero = case.but(lam=0.0)
    following = np.where(case["terminated"], 0, case["next_values"])
    yield from same(subject, zero, {"returns": case["rewards"] + discounts(case) * following})


def check_time_limit(subject: Subject, case: Case) -> Iterable[Claim]:
    """Taking a time limit for an end lowers the return by exactly γᵏ V(s') (C36)."""
    steps, batch = case["rewards"].shape
    cut = cut_of(case["terminated"], truncated_of(case))
    limit = case.but(
        terminated=np.concatenate([case["terminated"][:-1], np.zeros((1, batch), dtype=bool)]),
        truncated=np.concatenate([case["truncated"][:-1], np.ones((1, batch), dtype=bool)]),
    )
    end = limit.but(
        terminated=np.concatenate([case["terminated"][:-1], np.ones((1, batch), dtype=bool)])
    )
    got, other = subject(limit), subject(end)
    allowed, bound = subject.bound(limit), subject.bound(end)
    bias = exact(np.zeros((steps, batch)))
    gamma, values = exact(discounts(case)), exact(case["next_values"])
    for b in range(batch):
        weight = gamma[-1, b]  # γᵏ, k steps before the end and itself included
        for t in range(steps - 1, -1, -1):
            if t < steps - 1 and cut[t, b]:
                break
            bias[t, b] = weight * values[-1, b]
            weight = weight * gamma[t - 1, b]
    for name in got:
        # got = end + bias, where `end` is the float the subject itself gave
        shifted = bias + exact(np.nan_to_num(other[name]))
        yield equals_exactly(got[name], shifted, allowed[name] + bound[name])


TIME_LIMIT = Law(
    "time-limit-bias",
    "dropping the bootstrap at a time limit biases the return by γᵏ V(s')",
    check_time_limit,
    claim="C36",
)
