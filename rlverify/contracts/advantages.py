"""Contracts of the topic `advantages`: GAE, Monte-Carlo, n-step, sequences, normalisation."""

import numpy as np

from rlverify.contract import Contract, Convention, Example, KnownBug, Law
from rlverify.contracts._advantage_laws import (
    EQUIVALENTS,
    check_error_weights,
    check_lambda_one,
    check_lambda_zero,
    check_n_step_errors,
)
from rlverify.contracts._masks import NORMALIZE_CONTRACT
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
)
from rlverify.contracts._return_laws import (
    TIME_LIMIT,
    bootstrap_impulse,
    gamma_lambda_weights,
    gamma_weights,
    n_step_weights,
    reward_impulse,
)
from rlverify.contracts._sequences import SEQUENCE_CONTRACT
from rlverify.contracts.returns import (
    DISCOUNTED_BUGS,
    LAYOUT,
    N_STEP_BUGS,
    NORMALISED_VALUES,
    SHIFTED_REWARD,
    STARTS,
    example_case,
)
from rlverify.fast import advantages as fast
from rlverify.inputs import long_recordings, recordings
from rlverify.reference import advantages as reference

MONTE_CARLO = ("rewards", "values", "next_values", "terminated", "truncated", "gamma")
GAE = (*MONTE_CARLO, "lam")
N_STEP = (*MONTE_CARLO, "n")

SHARED_LAWS = (
    SPLIT, COLUMNS, SCALE, TERMINATED_WINS, UNREAD, PER_STEP_GAMMA, ENDS, RETURNS,
)  # fmt: skip

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
            "sum-of-errors", "the n-step advantage is Σ γᵏ δ on chained values",
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
