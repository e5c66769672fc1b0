"""The estimators of GRPO and its variants, as the suite brings them: groups of one prompt.

    ĝ = (1/divisor) Σᵢ Aᵢ Σₜ ∂log π(aₜᵢ|sₜᵢ)/∂θ        N trajectories, the answers to one prompt

Aᵢ is what answer i earned beyond its group: `reference.grpo` computes it. The divisor is how the
loss aggregates: the number of answers, of all their tokens, of tokens a group could have at most;
or each answer is divided by its own length first. On-policy and unclipped, for this is where all
of them begin; what is biased here stays biased.

The one identity to remember: whatever divides by something that depends on the answers (σ, a
length) weighs them, and a weighted mean of ∇J's terms is ∇J only by chance.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from rlverify.biasing.estimation import Estimator
from rlverify.biasing.situation import Recorded, Situation
from rlverify.reference.grpo import group_advantages, leave_one_out_advantages

# as trl adds it; group_advantages wants one above 0
EPSILON = 1e-4

Advantages = Callable[[Recorded], Any]


def _others(recorded: Recorded) -> Any:
    got = recorded.returns[0]
    return leave_one_out_advantages(got, np.zeros(got.size, dtype=np.int64))


def _scaled(scale: str, ddof: int = 0, groups: int = 1) -> Advantages:
    def advantages(recorded: Recorded) -> Any:
        got = recorded.returns[0]
        group_ids = np.arange(got.size) * groups // got.size
        eps = recorded.situation.number(EPSILON)
        return group_advantages(got, group_ids, scale=scale, ddof=ddof, eps=eps)

    return advantages


def _lengths(recorded: Recorded) -> Any:
    """Return the number of tokens of each answer, in the numbers of the situation."""
    counts = recorded.found.mask.sum(axis=0)
    return np.array([recorded.situation.number(int(count)) for count in counts])


def _summed(advantages: Advantages) -> Any:
    return lambda r: np.broadcast_to(advantages(r), r.found.mask.shape)


def _token_mean(advantages: Advantages) -> Any:
    def weights(r: Recorded) -> Any:
        lengths = _lengths(r)
        return np.broadcast_to(advantages(r) * lengths.size / lengths.sum(), r.found.mask.shape)

    return weights


def _sequence_mean(advantages: Advantages) -> Any:
    return lambda r: np.broadcast_to(advantages(r) / _lengths(r), r.found.mask.shape)


def _constant(advantages: Advantages) -> Any:
    return lambda r: np.broadcast_to(
        advantages(r) / r.situation.number(r.steps), r.found.mask.shape
    )


PLAIN, MEAN = _scaled("none"), "R − mean"
DEVIATION, SAMPLE = _scaled("group"), _scaled("group", ddof=1)

VARIANTS = (
    Estimator(
        "leave-one-out", "A = R − mean of the others'",
        "RLOO: less the mean of the others in the group", _summed(_others), coupled=True,
    ),
    Estimator(
        "group-mean", f"{MEAN}", "less the mean of the group, not divided",
        _summed(PLAIN), coupled=True,
    ),
    Estimator(
        "group-std", f"({MEAN})/(σ + ε)", "over the deviation of the group, ddof 0",
        _summed(DEVIATION), coupled=True, rational=False,
    ),
    Estimator(
        "group-std-ddof-1", f"({MEAN})/(σ₁ + ε)",
        "over the deviation of the group, ddof 1 as in torch",
        _summed(SAMPLE), coupled=True, rational=False,
    ),
    Estimator(
        "batch-std", f"({MEAN})/(σ₁ of 2 groups + ε)",
        "two groups of N/2, each less its mean, over the deviation of the whole batch",
        _summed(_scaled("batch", ddof=1, groups=2)), coupled=True, ordered=True, rational=False,
    ),
    Estimator(
        "token-mean", "A/tokens of the group · N",
        "leave-one-out, divided by the number of all tokens", _token_mean(_others), coupled=True,
    ),
    Estimator(
        "sequence-mean", "A/tokens of the answer",
        "leave-one-out, each answer divided by its own length", _sequence_mean(_others),
        coupled=True,
    ),
    Estimator(
        "constant", "A/H", "leave-one-out, divided by the N·H tokens that a group has at most",
        _constant(_others), coupled=True,
    ),
    Estimator(
        "grpo", f"({MEAN})/(σ₁ + ε)/tokens of the answer",
        "GRPO as published: deviation of the group, mean of each answer's tokens",
        _sequence_mean(SAMPLE), coupled=True, rational=False,
    ),
    Estimator(
        "dapo", f"({MEAN})/(σ₁ + ε)/tokens of the group · N",
        "DAPO: deviation of the group, mean over all tokens",
        _token_mean(SAMPLE), coupled=True, rational=False,
    ),
    Estimator(
        "dr-grpo", f"({MEAN})/H", "Dr. GRPO: neither deviation nor lengths",
        _constant(PLAIN), coupled=True,
    ),
)  # fmt: skip


def variants(situation: Situation) -> tuple[Estimator, ...]:
    """Return those that a group of the situation's size allows.

    Raises:
        ValueError: another policy acts, or a group has one member.
    """
    if situation.behaviour is not None:
        raise ValueError("behaviour came with family grpo, whose estimators are on-policy.")
    if situation.batch == 1:
        raise ValueError("batch came as 1, wanted at least 2 with family grpo: a group.")
    halves = situation.batch > 2 and situation.batch % 2 == 0
    return tuple(item for item in VARIANTS if halves or item.name != "batch-std")
