"""Contracts of the topic `returns`: TD error, discounted, n-step and λ-return."""

from collections.abc import Iterable

import numpy as np

from rlverify.contract import (
    Case,
    Claim,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._recordings import (
    COLUMNS,
    ENDS,
    PER_STEP_GAMMA,
    SCALE,
    SIZES,
    SPLIT,
    TERMINATED_WINS,
    UNREAD,
    arguments,
    bad_inputs,
    check_bootstrap_impulse,
    check_reward_impulse,
    discounts,
    equals_exactly,
    exact,
    open_end,
    products,
    same,
    start_flags,
    transposed,
    transposed_back,
    truncated_of,
)
from rlverify.fast import returns as fast
from rlverify.inputs import cut_of, long_recordings, recordings
from rlverify.reference import returns as reference

TD_ERROR = ("rewards", "values", "next_values", "terminated", "gamma")
DISCOUNTED = ("rewards", "next_values", "terminated", "truncated", "gamma")
N_STEP = (*DISCOUNTED, "n")
LAMBDA = (*DISCOUNTED, "lam")

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


def reward_impulse(weights: object) -> Law:
    """Return the impulse law for the given weights."""
    return Law("reward-impulse", IMPULSE, check_reward_impulse(weights))  # type: ignore[arg-type]


def bootstrap_impulse(weights: object) -> Law:
    """Return the bootstrap law for the given weights; it needs next values of its own."""
    check = check_bootstrap_impulse(weights)  # type: ignore[arg-type]
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

# --- examples, bugs, conventions -------------------------------------------------------------


def example_case(names: tuple[str, ...], **changes: object) -> Case:
    """Return four steps of one column: a termination after step 1, a truncation after step 2."""
    column = np.array([[1.0], [2.0], [3.0], [4.0]])
    everything: dict[str, object] = {
        "rewards": column,
        "values": column * 4,
        "next_values": np.array([[8.0], [100.0], [6.0], [2.0]]),
        "terminated": np.array([[False], [True], [False], [False]]),
        "truncated": np.array([[False], [False], [True], [False]]),
        "gamma": 0.5,
        "lam": 0.5,
        "n": 2,
        **changes,
    }
    return Case({name: everything[name] for name in names}, "free", "worked by hand")


SHIFTED_REWARD = ("rewards[t, b]", "(rewards[t - 1, b] if t else 0)")
NORMALISED_VALUES = (
    "((values - values.mean()) / (np.sqrt(((values - values.mean()) ** 2).mean()) + 1e-8))"
)

LAYOUT = Convention(
    "layout", "batch-major", "recordings are given and returned as [B, T]",
    inputs=transposed, outputs=transposed_back,
)  # fmt: skip
STARTS = Convention(
    "done", "start",
    "flags say whether the state before the step began a new episode",
    inputs=start_flags, holds_on=open_end,
)  # fmt: skip


def reward_augmented(
    rewards: np.ndarray,
    next_values: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    *,
    gamma: float | np.ndarray,
) -> np.ndarray:
    """Add γ V(s') to the reward of a truncated step, then treat every flag as an end."""
    limit = truncated & ~terminated
    limit[-1] |= ~terminated[-1]
    rewards = rewards + np.where(limit, gamma * next_values, 0)
    returns, following = np.empty_like(rewards), np.zeros(rewards.shape[1])
    for t in reversed(range(rewards.shape[0])):
        gamma_t = gamma[t] if isinstance(gamma, np.ndarray) else gamma
        done = terminated[t] | truncated[t]
        following = rewards[t] + np.where(done, 0, gamma_t * following)
        returns[t] = following
    return returns


def seeded_with_bootstrap(
    rewards: np.ndarray,
    next_values: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    *,
    gamma: float | np.ndarray,
    lam: float,
) -> np.ndarray:
    """Start the λ-return at V(s') and mix (1 − λ)V + λV at a cut, which is V."""
    returns, following = np.empty_like(rewards), next_values[-1]
    for t in reversed(range(rewards.shape[0])):
        gamma_t = gamma[t] if isinstance(gamma, np.ndarray) else gamma
        following = np.where(truncated[t], next_values[t], following)
        mixture = (1 - lam) * next_values[t] + lam * following
        following = rewards[t] + np.where(terminated[t], 0, gamma_t * mixture)
        returns[t] = following
    return returns


TD_CONTRACT = Contract(
    name="td_error",
    topic="returns",
    summary="one-step temporal-difference errors",
    source="Sutton and Barto 2018, eq. 6.5",
    reference=reference.td_error,
    fast=fast.td_error,
    arguments=arguments(TD_ERROR),
    outputs=("errors",),
    inputs=recordings(TD_ERROR, ("free", "chained")),
    examples=(
        Example(
            "a termination inside",
            example_case(TD_ERROR),
            {"errors": [["1"], ["-6"], ["-6"], ["-11"]]},
        ),
    ),
    laws=(
        Law("one-step", "δ = r + γV' − V, V' = 0 where terminated", check_one_step),
        Law(
            "telescopes", "Σ γᵗ(γV' − V) = γᵀV_T − V_0 on chained values", check_telescope,
            holds_on=("chained",), claim="C14",
        ),
        COLUMNS, SCALE, UNREAD, PER_STEP_GAMMA, reward_impulse(no_weight),
        bootstrap_impulse(no_weight),
    ),
    gradients=("rewards", "values", "next_values", "gamma"),
    known_bugs=(
        KnownBug("A4", "0 if terminated[t, b] else next_values[t, b]", "next_values[t, b]"),
        KnownBug(
            "A8", "0 if terminated[t, b] else", "0 if terminated[t, b] or t == steps - 1 else"
        ),
        KnownBug(
            "A9", "else next_values[t, b]",
            "else (values[t, b] if t == steps - 1 else next_values[t, b])",
        ),
        KnownBug("A10", "= rewards[t, b] +", f"= {SHIFTED_REWARD[1]} +"),
        KnownBug("A19", "return errors", "return errors.squeeze()"),
        KnownBug(
            "A24", "0 if terminated[t, b] else",
            "0 if terminated[min(t + (np.ndim(gamma) > 0), steps - 1), b] else",
        ),
        KnownBug("C14", "return errors", "return errors.reshape(batch, steps).T"),
        KnownBug("C18", "- values[t, b]", f"- {NORMALISED_VALUES}[t, b]"),
    ),
    conventions=(LAYOUT,),
    bad_inputs=bad_inputs("td_error", TD_ERROR),
    sizes=SIZES,
    long_cases=long_recordings(TD_ERROR),
)  # fmt: skip

DISCOUNTED_BUGS = (
    KnownBug(
        "A1", "if truncated[t, b]", "if truncated[min(t + 1, steps - 1), b]",
        also=(("if terminated[t, b]", "if terminated[min(t + 1, steps - 1), b]"),),
    ),
    KnownBug(
        "A2", "if truncated[t, b]", "if truncated[t if t < steps - 1 else max(t - 1, 0), b]",
        also=(
            ("if terminated[t, b]", "if terminated[t if t < steps - 1 else max(t - 1, 0), b]"),
        ),
    ),
    KnownBug("A4", "if terminated[t, b]:", "if terminated[t, b] and t < steps - 1:"),
    KnownBug("A8", "= next_values[steps - 1, b]", "= 0"),
    KnownBug("A10", "= rewards[t, b] +", f"= {SHIFTED_REWARD[1]} +"),
    KnownBug("B1", "if terminated[t, b]", "if terminated[t, b] or truncated[t, b]"),
    KnownBug("B2", "if truncated[t, b]:", "if False:"),
    KnownBug("B5", "if terminated[t, b]:", "if terminated[t, b] and not truncated[t, b]:"),
    KnownBug("C4", "if truncated[t, b]:", "if False:", also=(("if terminated[t, b]:", "if False:"),)),
)  # fmt: skip

DISCOUNTED_CONTRACT = Contract(
    name="discounted_return",
    topic="returns",
    summary="discounted sum of the rewards up to the end of the episode",
    source="Sutton and Barto 2018, eq. 3.8 and 3.9",
    reference=reference.discounted_return,
    fast=fast.discounted_return,
    arguments=arguments(DISCOUNTED),
    outputs=("returns",),
    inputs=recordings(DISCOUNTED, ("free",)),
    examples=(
        Example(
            "a termination and a truncation inside",
            example_case(DISCOUNTED),
            {"returns": [["2"], ["2"], ["6"], ["5"]]},
        ),
        Example(
            "both flags at once",
            example_case(DISCOUNTED, truncated=np.array([[False], [True], [True], [False]])),
            {"returns": [["2"], ["2"], ["6"], ["5"]]},
        ),
    ),
    laws=(
        SPLIT, COLUMNS, SCALE, TERMINATED_WINS, UNREAD, PER_STEP_GAMMA, ENDS, TIME_LIMIT,
        reward_impulse(gamma_weights), bootstrap_impulse(gamma_weights),
    ),
    gradients=("rewards", "next_values", "gamma"),
    known_bugs=(
        *DISCOUNTED_BUGS,
        KnownBug("A19", "return returns", "return returns.squeeze()"),
        KnownBug(
            "A24", "if terminated[t, b]:",
            "if terminated[t, b] or (truncated[t, b] and np.ndim(gamma) > 0):",
        ),
        KnownBug(
            "C1", "returns[t, b] = following",
            "returns[t, b] = np.prod(discount[:t, b]) * rewards[t, b]",
        ),
        KnownBug("C2", "returns[t, b] = following", "returns[t:, b] = following"),
        KnownBug(
            "C3", "for t in reversed(range(steps))", "for t in range(steps)",
            also=(("= next_values[steps - 1, b]", "= 0"),),
        ),
        KnownBug("C14", "return returns", "return returns.reshape(batch, steps).T"),
    ),
    conventions=(
        LAYOUT,
        STARTS,
        Convention(
            "bootstrap", "none", "the sum of the rewards alone, wherever the recording stops",
            edits=(("= next_values[t, b]", "= 0"), ("= next_values[steps - 1, b]", "= 0")),
        ),
    ),
    equivalents=(
        Equivalent(
            "reward-augmented truncation",
            "γV(s') added to the reward of a truncated step, then cut (DLR-RM/stable-baselines3#1864)",
            reward_augmented,
        ),
    ),
    bad_inputs=bad_inputs("discounted_return", DISCOUNTED),
    sizes=SIZES,
    long_cases=long_recordings(DISCOUNTED),
)  # fmt: skip

N_STEP_BUGS = (
    KnownBug("A4", "0 if terminated[k, b] else next_values[k, b]", "next_values[k, b]"),
    KnownBug("A8", "0 if terminated[k, b] else", "0 if terminated[k, b] or k == steps - 1 else"),
    KnownBug("A10", "* rewards[k, b]", "* (rewards[k - 1, b] if k else 0)"),
    KnownBug("B1", "0 if terminated[k, b] else", "0 if terminated[k, b] or truncated[k, b] else"),
    KnownBug("B2", "if terminated[k, b] or truncated[k, b]:", "if terminated[k, b]:"),
    KnownBug(
        "B5", "0 if terminated[k, b] else", "0 if terminated[k, b] and not truncated[k, b] else"
    ),
    KnownBug("C6", "weight * bootstrap", "discount[t, b] * bootstrap"),
    KnownBug(
        "C7", "weight * bootstrap",
        "np.prod([discount[min(j, steps - 1), b] for j in range(t, t + n)]) * bootstrap",
    ),
    KnownBug("C8", "if terminated[k, b] or truncated[k, b]:", "if False:"),
    KnownBug(
        "C12", "for t in range(steps):\n            total, weight = 0, 1",
        "total, weight = 0, 1\n        for t in range(steps):\n            pass",
    ),
    KnownBug("C13", "weight = weight * discount[k, b]", "weight = weight * discount[t, b]"),
)  # fmt: skip

N_STEP_CONTRACT = Contract(
    name="n_step_return",
    topic="returns",
    summary="at most n rewards, then the value of the state they led to",
    source="Sutton and Barto 2018, eq. 7.1",
    reference=reference.n_step_return,
    fast=fast.n_step_return,
    arguments=arguments(N_STEP),
    outputs=("returns",),
    inputs=recordings(N_STEP, ("free",)),
    examples=(
        Example(
            "cut after one of two steps",
            example_case(N_STEP),
            {"returns": [["2"], ["2"], ["6"], ["5"]]},
        ),
        Example(
            "two full steps",
            example_case(N_STEP, terminated=np.zeros((4, 1), bool), truncated=np.zeros((4, 1), bool)),
            {"returns": [["27"], ["5"], ["11/2"], ["5"]]},
        ),
    ),
    laws=(
        SPLIT, COLUMNS, SCALE, TERMINATED_WINS, UNREAD, PER_STEP_GAMMA, ENDS,
        Law("one-of-n", "n = 1 is the one-step target", check_one_of_n),
        reward_impulse(n_step_weights), bootstrap_impulse(n_step_weights),
    ),
    gradients=("rewards", "next_values", "gamma"),
    known_bugs=(
        *N_STEP_BUGS,
        KnownBug("A19", "return returns", "return returns.squeeze()"),
        KnownBug(
            "A24", "0 if terminated[k, b] else",
            "0 if terminated[k, b] or (truncated[k, b] and np.ndim(gamma) > 0) else",
        ),
        KnownBug("C14", "return returns", "return returns.reshape(batch, steps).T"),
    ),
    conventions=(LAYOUT, STARTS),
    bad_inputs=bad_inputs("n_step_return", N_STEP),
    sizes=SIZES,
    long_cases=long_recordings(N_STEP),
)  # fmt: skip

LAMBDA_CONTRACT = Contract(
    name="lambda_return",
    topic="returns",
    summary="returns that trust V with weight 1 − λ at every step",
    source="Sutton and Barto 2018, eq. 12.2 and 12.18",
    reference=reference.lambda_return,
    fast=fast.lambda_return,
    arguments=arguments(LAMBDA),
    outputs=("returns",),
    inputs=recordings(LAMBDA, ("free",)),
    examples=(
        Example(
            "a termination and a truncation inside",
            example_case(LAMBDA),
            {"returns": [["7/2"], ["2"], ["6"], ["5"]]},
        ),
    ),
    laws=(
        SPLIT, COLUMNS, SCALE, TERMINATED_WINS, UNREAD, PER_STEP_GAMMA, ENDS,
        Law("lambda-zero", "λ = 0 is the one-step target", check_lambda_zero, claim="C29"),
        reward_impulse(gamma_lambda_weights), bootstrap_impulse(gamma_lambda_weights),
    ),
    gradients=("rewards", "next_values", "gamma"),
    known_bugs=(
        KnownBug(
            "A1", "if truncated[t, b] or", "if truncated[min(t + 1, steps - 1), b] or",
            also=(("if terminated[t, b]:", "if terminated[min(t + 1, steps - 1), b]:"),),
        ),
        KnownBug("A4", "mixture = 0", "mixture = next_values[t, b]"),
        KnownBug(
            "A8", "mixture = next_values[t, b]",
            "mixture = 0 if t == steps - 1 else next_values[t, b]",
        ),
        KnownBug("A10", "= rewards[t, b] +", f"= {SHIFTED_REWARD[1]} +"),
        KnownBug("A19", "return returns", "return returns.squeeze()"),
        KnownBug(
            "A24", "if terminated[t, b]:",
            "if terminated[t, b] or (truncated[t, b] and np.ndim(gamma) > 0):",
        ),
        KnownBug("B1", "if terminated[t, b]:", "if terminated[t, b] or truncated[t, b]:"),
        KnownBug("B2", "if truncated[t, b] or", "if"),
        KnownBug("B5", "if terminated[t, b]:", "if terminated[t, b] and not truncated[t, b]:"),
        KnownBug("C10a", "mixture = 0", "mixture = lam * following"),
        KnownBug("C10b", "mixture = 0", "mixture = (1 - lam) * next_values[t, b]"),
        KnownBug(
            "C11", "(1 - lam) * next_values[t, b]",
            "(1 - lam) * next_values[min(t + 1, steps - 1), b]",
        ),
        KnownBug("C14", "return returns", "return returns.reshape(batch, steps).T"),
    ),
    conventions=(LAYOUT, STARTS),
    equivalents=(
        Equivalent(
            "seeded with the bootstrap",
            "(1 − λ)V + λV at the last step is V (danijar/dreamerv3#102)",
            seeded_with_bootstrap,
        ),
    ),
    bad_inputs=bad_inputs("lambda_return", LAMBDA),
    sizes=SIZES,
    long_cases=long_recordings(LAMBDA),
)  # fmt: skip

CONTRACTS = (TD_CONTRACT, DISCOUNTED_CONTRACT, N_STEP_CONTRACT, LAMBDA_CONTRACT)
