"""Contracts of the topic `advantages`: GAE, Monte-Carlo, n-step, sequences, normalisation."""

from collections.abc import Iterable
from fractions import Fraction

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
    RETURNS,
    SCALE,
    SIZES,
    SPLIT,
    TERMINATED_WINS,
    UNREAD,
    arguments,
    bad_inputs,
    discounts,
    equals_exactly,
    exact,
)
from rlverify.contracts._sequences import (
    NORMALIZE_CONTRACT,
    SEQUENCE_CONTRACT,
)
from rlverify.contracts.returns import (
    DISCOUNTED_BUGS,
    LAYOUT,
    N_STEP_BUGS,
    NORMALISED_VALUES,
    SHIFTED_REWARD,
    STARTS,
    TIME_LIMIT,
    bootstrap_impulse,
    example_case,
    gamma_lambda_weights,
    gamma_weights,
    n_step_weights,
    reward_impulse,
)
from rlverify.fast import advantages as fast
from rlverify.inputs import cut_of, long_recordings, recordings
from rlverify.reference import advantages as reference

MONTE_CARLO = ("rewards", "values", "next_values", "terminated", "truncated", "gamma")
GAE = (*MONTE_CARLO, "lam")
N_STEP = (*MONTE_CARLO, "n")

# --- laws ----------------------------------------------------------------------------------


def exact_errors(case: Case) -> np.ndarray:
    """Return δₜ as fractions."""
    following = exact(np.where(case["terminated"], 0, case["next_values"]))
    return (
        exact(case["rewards"]) + exact(discounts(case)) * following - exact(case["values"])
    )


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


SHARED_LAWS = (
    SPLIT, COLUMNS, SCALE, TERMINATED_WINS, UNREAD, PER_STEP_GAMMA, ENDS, RETURNS,
)  # fmt: skip

# --- forms that look wrong and are right -----------------------------------------------------

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

# --- known bugs --------------------------------------------------------------------------------

GAE_BOOTSTRAP = "0 if terminated[t, b] else next_values[t, b]"
GAE_CUT = "if terminated[t, b] or truncated[t, b]:"
STALE = (
    "return Advantages(advantages, advantages + values)",
    "return Advantages(advantages, np.zeros_like(rewards) + values)",
)
FROM_NORMALISED = (
    "((advantages - advantages.mean())"
    " / (np.sqrt(((advantages - advantages.mean()) ** 2).mean()) + 1e-8) + values)"
)


def at(index: str) -> tuple[tuple[str, str], ...]:
    """Return the edits that read both end flags at another index."""
    return (
        ("0 if terminated[t, b] else", f"0 if terminated[{index}, b] else"),
        (GAE_CUT, f"if terminated[{index}, b] or truncated[{index}, b]:"),
    )


def bug(bug_id: str, edits: tuple[tuple[str, str], ...], helper: str = "") -> KnownBug:
    """Return a known bug given as a tuple of edits."""
    return KnownBug(bug_id, *edits[0], helper=helper, also=edits[1:])


GAE_BUGS = (
    bug("A1", at("min(t + 1, steps - 1)")),
    bug("A2", at("t if t < steps - 1 else max(t - 1, 0)")),
    KnownBug("A3", GAE_CUT, "if False:"),
    KnownBug("A4", GAE_BOOTSTRAP, "next_values[t, b]"),
    KnownBug("A7", "following = 0  #", "following = next_values[steps - 1, b]  #"),
    KnownBug("A8", "0 if terminated[t, b] else", "0 if terminated[t, b] or t == steps - 1 else"),
    KnownBug(
        "A9", GAE_BOOTSTRAP,
        "0 if terminated[t, b] else (values[t, b] if t == steps - 1 else next_values[t, b])",
    ),
    KnownBug("A10", "= rewards[t, b] +", f"= {SHIFTED_REWARD[1]} +"),
    bug("A12", (STALE,)),
    KnownBug("A13", "advantages + values)", f"{FROM_NORMALISED})"),
    KnownBug(
        "A14", "following = delta + discount[t, b] * lam * following",
        "following = rewards[t, b] - values[t, b]",
    ),
    KnownBug(
        "A17", GAE_BOOTSTRAP,
        "0 if terminated[t, b] else (values[t + 1, b] if t < steps - 1 else next_values[t, b])",
    ),
    KnownBug(
        "A19", "return Advantages(advantages, advantages + values)",
        "return Advantages(advantages.squeeze(), (advantages + values).squeeze())",
    ),
    KnownBug("A22a", "discount[t, b] * bootstrap", "lam * bootstrap"),
    KnownBug("A22b", "discount[t, b] * bootstrap", "discount[t, b] * lam * bootstrap"),
    KnownBug("A22c", "discount[t, b] * lam", "discount[t, b] * discount[t, b] * lam"),
    KnownBug("A22d", "delta + discount[t, b] * lam * following", "delta + lam * following"),
    KnownBug(
        "A22e", "delta + discount[t, b] * lam * following", "delta + discount[t, b] * following"
    ),
    KnownBug(
        "A24", "0 if terminated[t, b] else",
        "0 if terminated[t, b] or (truncated[t, b] and np.ndim(gamma) > 0) else",
    ),
    KnownBug("B1", "0 if terminated[t, b] else", "0 if terminated[t, b] or truncated[t, b] else"),
    KnownBug("B2", GAE_CUT, "if terminated[t, b]:"),
    KnownBug(
        "B5", "0 if terminated[t, b] else", "0 if terminated[t, b] and not truncated[t, b] else"
    ),
    KnownBug(
        "C14", "return Advantages(advantages, advantages + values)",
        "advantages = advantages.reshape(batch, steps).T\n"
        "    return Advantages(advantages, advantages + values)",
    ),
)  # fmt: skip


def with_helper(bugs: tuple[KnownBug, ...], helper: str) -> tuple[KnownBug, ...]:
    """Return bugs of a helper as bugs of the function that calls it."""
    return tuple(KnownBug(b.id, b.right, b.wrong, helper, b.also) for b in bugs)


RETURN_LINE = "return Advantages(advantages, returns)"
OUTPUT_BUGS = (
    KnownBug("A12", RETURN_LINE, "return Advantages(advantages, np.zeros_like(rewards) + values)"),
    KnownBug("A13", RETURN_LINE, f"return Advantages(advantages, {FROM_NORMALISED})"),
    KnownBug("A14", "advantages = returns - values", "advantages = rewards - values"),
    KnownBug(
        "A19", RETURN_LINE, "return Advantages(advantages.squeeze(), returns.squeeze())"
    ),
    KnownBug("C18", "returns - values", f"returns - {NORMALISED_VALUES}"),
)  # fmt: skip

# --- contracts -----------------------------------------------------------------------------------

GAE_CONTRACT = Contract(
    name="gae",
    topic="advantages",
    summary="generalised advantage estimates",
    source="Schulman et al. 2016, arXiv:1506.02438, eq. 16",
    reference=reference.gae,
    fast=fast.gae,
    arguments=arguments(GAE),
    outputs=("advantages", "returns"),
    inputs=recordings(GAE, ("free", "chained")),
    examples=(
        Example(
            "a termination and a truncation inside",
            example_case(GAE),
            {
                "advantages": [["-1/2"], ["-6"], ["-6"], ["-11"]],
                "returns": [["7/2"], ["2"], ["6"], ["5"]],
            },
        ),
    ),
    laws=(
        *SHARED_LAWS,
        Law("lambda-zero", "λ = 0 is the one-step error", check_lambda_zero, claim="C29"),
        Law(
            "lambda-one", "λ = 1 is the return minus V, on chained values", check_lambda_one,
            holds_on=("chained",), claim="C29",
        ),
        Law(
            "mixture-of-n-step", "Â = (1 − λ) Σ λᴺ⁻¹ Ψ_N, the last weight λᵏ",
            check_error_weights, claim="C29",
        ),
        reward_impulse(gamma_lambda_weights), bootstrap_impulse(gamma_lambda_weights),
    ),
    gradients=("rewards", "values", "next_values", "gamma"),
    known_bugs=GAE_BUGS,
    conventions=(
        LAYOUT,
        STARTS,
        Convention(
            "next_values", "by-shift",
            "V of step t + 1 stands for the next value wherever no cut lies between",
            edits=((
                GAE_BOOTSTRAP,
                "0 if terminated[t, b] else (next_values[t, b] if t == steps - 1 "
                "or truncated[t, b] else values[t + 1, b])",
            ),),
        ),
        Convention(
            "first_link", "without-lambda",
            "Â = δ + γ Â₊ with Â₊ the λ-estimate of the next step (google/brax)",
            edits=((
                "following = delta + discount[t, b] * lam * following\n"
                "            advantages[t, b] = following",
                "advantages[t, b] = delta + discount[t, b] * following\n"
                "            following = delta + discount[t, b] * lam * following",
            ),),
        ),
        Convention(
            "returns", "monte-carlo",
            "the critic's target is the bootstrapped discounted return, not advantages + values",
            edits=((
                "return Advantages(advantages, advantages + values)",
                "return Advantages(advantages, discounted_return(rewards, next_values, "
                "terminated, truncated, gamma=gamma))",
            ),),
        ),
    ),
    equivalents=EQUIVALENTS,
    bad_inputs=bad_inputs("gae", GAE),
    sizes=SIZES,
    long_cases=long_recordings(GAE),
)  # fmt: skip

MONTE_CARLO_CONTRACT = Contract(
    name="monte_carlo_advantage",
    topic="advantages",
    summary="discounted return minus the value of the state",
    source="Schulman et al. 2016, arXiv:1506.02438, eq. 15 with λ = 1",
    reference=reference.monte_carlo_advantage,
    fast=fast.monte_carlo_advantage,
    arguments=arguments(MONTE_CARLO),
    outputs=("advantages", "returns"),
    inputs=recordings(MONTE_CARLO, ("free", "chained")),
    examples=(
        Example(
            "a termination and a truncation inside",
            example_case(MONTE_CARLO),
            {
                "advantages": [["-2"], ["-6"], ["-6"], ["-11"]],
                "returns": [["2"], ["2"], ["6"], ["5"]],
            },
        ),
    ),
    laws=(
        *SHARED_LAWS, TIME_LIMIT, reward_impulse(gamma_weights), bootstrap_impulse(gamma_weights),
    ),
    gradients=("rewards", "values", "next_values", "gamma"),
    known_bugs=(*with_helper(DISCOUNTED_BUGS, "discounted_return"), *OUTPUT_BUGS),
    conventions=(
        LAYOUT,
        STARTS,
        Convention(
            "bootstrap", "none", "the sum of the rewards alone, wherever the recording stops",
            edits=(("= next_values[t, b]", "= 0"), ("= next_values[steps - 1, b]", "= 0")),
            helper="discounted_return",
        ),
    ),
    bad_inputs=bad_inputs("monte_carlo_advantage", MONTE_CARLO),
    sizes=SIZES,
    long_cases=long_recordings(MONTE_CARLO),
)  # fmt: skip

N_STEP_CONTRACT = Contract(
    name="n_step_advantage",
    topic="advantages",
    summary="n-step return minus the value of the state",
    source="Schulman et al. 2016, arXiv:1506.02438, eq. 11",
    reference=reference.n_step_advantage,
    fast=fast.n_step_advantage,
    arguments=arguments(N_STEP),
    outputs=("advantages", "returns"),
    inputs=recordings(N_STEP, ("free", "chained")),
    examples=(
        Example(
            "two full steps",
            example_case(
                N_STEP, terminated=np.zeros((4, 1), bool), truncated=np.zeros((4, 1), bool)
            ),
            {
                "advantages": [["23"], ["-3"], ["-13/2"], ["-11"]],
                "returns": [["27"], ["5"], ["11/2"], ["5"]],
            },
        ),
    ),
    laws=(
        *SHARED_LAWS,
        Law(
            "sum-of-errors", "the n-step advantage is Σ γᵏ δ over the steps used, on chained values",
            check_n_step_errors, holds_on=("chained",), claim="C27",
        ),
        reward_impulse(n_step_weights), bootstrap_impulse(n_step_weights),
    ),
    gradients=("rewards", "values", "next_values", "gamma"),
    known_bugs=(*with_helper(N_STEP_BUGS, "n_step_return"), *OUTPUT_BUGS),
    conventions=(LAYOUT, STARTS),
    bad_inputs=bad_inputs("n_step_advantage", N_STEP),
    sizes=SIZES,
    long_cases=long_recordings(N_STEP),
)  # fmt: skip

CONTRACTS = (
    GAE_CONTRACT,
    MONTE_CARLO_CONTRACT,
    N_STEP_CONTRACT,
    SEQUENCE_CONTRACT,
    NORMALIZE_CONTRACT,
)
