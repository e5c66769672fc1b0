"""Contracts of the topic `returns`: TD error, discounted, n-step and λ-return."""

import numpy as np

from rlverify.contract import Case, Contract, Convention, Equivalent, Example, KnownBug, Law
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
    open_ended,
    start_flags,
    transposed,
    transposed_back,
)
from rlverify.contracts._return_laws import (
    TIME_LIMIT,
    bootstrap_impulse,
    check_lambda_zero,
    check_one_of_n,
    check_one_step,
    check_telescope,
    gamma_lambda_weights,
    gamma_weights,
    n_step_weights,
    no_weight,
    reward_impulse,
)
from rlverify.fast import returns as fast
from rlverify.inputs import long_recordings, recordings
from rlverify.reference import returns as reference

TD_ERROR = ("rewards", "values", "next_values", "terminated", "gamma")
DISCOUNTED = ("rewards", "next_values", "terminated", "truncated", "gamma")
N_STEP = (*DISCOUNTED, "n")
LAMBDA = (*DISCOUNTED, "lam")

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
    inputs=start_flags, nearest=open_ended,
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
        KnownBug(
            "C18", "discount = per_step(gamma, rewards)",
            f"discount, values = per_step(gamma, rewards), {NORMALISED_VALUES}",
        ),
    ),
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
    KnownBug(
        "A24", "if terminated[t, b]:",
        "if terminated[t, b] or (truncated[t, b] and np.ndim(gamma) > 0):",
    ),
    KnownBug("B1", "if terminated[t, b]", "if terminated[t, b] or truncated[t, b]"),
    KnownBug("B2", "if truncated[t, b]:", "if False:"),
    KnownBug("B5", "if terminated[t, b]:", "if terminated[t, b] and not truncated[t, b]:"),
    KnownBug(
        "C4", "if truncated[t, b]:", "if False:", also=(("if terminated[t, b]:", "if False:"),)
    ),
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
        SPLIT, COLUMNS, TERMINATED_WINS, UNREAD, PER_STEP_GAMMA, ENDS, TIME_LIMIT,
        reward_impulse(gamma_weights), bootstrap_impulse(gamma_weights),
    ),
    gradients=("rewards", "next_values", "gamma"),
    known_bugs=(
        *DISCOUNTED_BUGS,
        KnownBug("A19", "return returns", "return returns.squeeze()"),
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
            "γV(s') added to the reward where truncated, then cut (DLR-RM/stable-baselines3#1864)",
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
    KnownBug(
        "A24", "0 if terminated[k, b] else",
        "0 if terminated[k, b] or (truncated[k, b] and np.ndim(gamma) > 0) else",
    ),
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
            example_case(
                N_STEP, terminated=np.zeros((4, 1), bool), truncated=np.zeros((4, 1), bool)
            ),
            {"returns": [["27"], ["5"], ["11/2"], ["5"]]},
        ),
    ),
    laws=(
        SPLIT, COLUMNS, TERMINATED_WINS, UNREAD, PER_STEP_GAMMA, ENDS,
        Law("one-of-n", "n = 1 is the one-step target", check_one_of_n),
        reward_impulse(n_step_weights), bootstrap_impulse(n_step_weights),
    ),
    gradients=("rewards", "next_values", "gamma"),
    known_bugs=(
        *N_STEP_BUGS,
        KnownBug("A19", "return returns", "return returns.squeeze()"),
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
        SPLIT, COLUMNS, TERMINATED_WINS, UNREAD, PER_STEP_GAMMA, ENDS,
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
