"""Inputs of GRPO: rewards in groups, and token log-probabilities under three policies."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Argument, Case
from rlverify.contracts._loss_cases import drawn_mask
from rlverify.inputs import GARBAGE, distinct
from rlverify.refusals import KL_ESTIMATORS

# the knobs of the loss, in the order of every signature
LOSS_ARGUMENTS = (
    Argument("clip_range", "number"),
    Argument("beta", "number"),
    Argument("kl_estimator", "choice"),
    Argument("ratio", "choice"),
    Argument("aggregation", "choice"),
    Argument("normalizer", "number"),
)

# square ones among them: one number a sequence is silently broadcast on them alone
SHAPES = ((1, 1), (1, 3), (3, 1), (2, 2), (2, 2), (3, 3), (2, 3), (3, 2), (4, 2), (2, 4))
GROUP_SIZES = ((64,), (16384,), (1024,), (262144,))
TOKEN_SIZES = ((4, 16), (64, 256), (512, 1024))
MASKS = ("none", "full", "right", "right", "right", "scattered", "scattered", "column", "one")
# members of each group; groups of one and two, and several of unlike sizes
GROUPS = ((1,), (1, 1, 2), (3, 1), (1, 2, 3), (4,), (2, 2), (3, 2), (2, 2, 2), (4, 3))


@st.composite
def grouped(draw: st.DrawFn, *, single: bool) -> Case:
    """Draw rewards `[N]` in groups that do not stand together, their numbers in no order.

    Where `single`, groups of one are among them, and so are equal rewards and NaN ones, and
    what scales them.
    """
    sizes = draw(st.sampled_from([g for g in GROUPS if single or min(g) > 1]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    names = rng.permutation(9)[: len(sizes)]
    group_ids = rng.permutation(np.repeat(names, sizes))
    (rewards,) = distinct(rng, (sum(sizes),))
    kind = "plain"
    if single:
        kind = draw(st.sampled_from(("plain", "plain", "plain", "equal", "failed")))
    if kind == "equal":
        rewards[group_ids == names[0]] = 2.5
    elif kind == "failed":
        rewards[int(rng.integers(len(rewards)))] = np.nan
    knobs: dict[str, Any] = {}
    if single:
        knobs = {
            "scale": draw(st.sampled_from(("group", "group", "batch", "none"))),
            "ddof": draw(st.sampled_from((0, 1, 1))),
            "eps": draw(st.sampled_from((0.5, 4.0, 4.0, 1e-4))),
        }
    return Case({"rewards": rewards, "group_ids": group_ids, **knobs}, kind)


def drawn_policies(draw: st.DrawFn) -> tuple[dict[str, Any], np.ndarray, np.random.Generator]:
    """Draw log-probabilities `[B, L]` under π, π_old and π_ref, one number a sequence, a mask.

    Differences are multiples of 1/8: no ratio of a token, and no mean over a few, lies within
    rounding of 1 ± 0.2, 1 ± 0.25 or 1 ± 0.5.
    """
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    log_probs, numbers = distinct(rng, shape, shape[:1])
    columns = drawn_mask(draw(st.sampled_from(MASKS)), shape[::-1], rng)
    mask = None if columns is None else columns.T.copy()
    arrays = {
        "log_probs": log_probs,
        "old_log_probs": log_probs - rng.integers(-12, 13, shape) / 8,
        "reference_log_probs": log_probs + rng.integers(-12, 13, shape) / 8,
    }
    if mask is not None:
        garbage = draw(st.sampled_from(GARBAGE))
        arrays = {name: np.where(mask, array, garbage) for name, array in arrays.items()}
    return {**arrays, "mask": mask}, numbers, rng


@st.composite
def penalized(draw: st.DrawFn) -> Case:
    """Draw what `kl_penalized_rewards` takes."""
    arrays, numbers, _ = drawn_policies(draw)
    del arrays["old_log_probs"]
    beta = draw(st.sampled_from((0.0, 0.5, 0.5, 0.5, 2.0, 2.0, 0.04)))
    knobs = {"beta": beta, "kl_estimator": draw(st.sampled_from(KL_ESTIMATORS))}
    return Case({"rewards": numbers, **arrays, **knobs})


@st.composite
def token_losses(draw: st.DrawFn) -> Case:
    """Draw what `grpo_loss` takes; on-policy where π is π_old, and one advantage may be 0."""
    arrays, numbers, rng = drawn_policies(draw)
    kind = draw(st.sampled_from(("near", "near", "near", "near", "on-policy")))
    if kind == "on-policy":
        arrays["old_log_probs"] = arrays["log_probs"].copy()
    advantages = numbers / 8
    if draw(st.booleans()):
        advantages[int(rng.integers(len(advantages)))] = 0
    knobs = {
        "clip_range": draw(st.sampled_from((0.2, 0.25, 0.5, 0.5))),
        "beta": draw(st.sampled_from((0.0, 0.5, 0.5, 2.0))),
        "kl_estimator": draw(st.sampled_from(KL_ESTIMATORS)),
        "ratio": draw(st.sampled_from(("token", "sequence"))),
        "aggregation": draw(st.sampled_from(("token_mean", "sequence_mean", "constant"))),
        "normalizer": draw(st.sampled_from((3.0, 8.0))),
    }
    mask = arrays.pop("mask")
    return Case({**arrays, "advantages": advantages, "mask": mask, **knobs}, kind)


def sized_groups(knobs: dict[str, Any]) -> Callable[[tuple[int, ...]], Case]:
    """Return the function that makes a case of a benchmark size: groups of eight, mixed."""

    def sized(shape: tuple[int, ...]) -> Case:
        rng = np.random.default_rng(0)
        rewards = rng.integers(-255, 256, shape) / 128
        group_ids = rng.permutation(np.arange(shape[0]) // 8)
        return Case({"rewards": rewards, "group_ids": group_ids, **knobs}, "plain", "timing")

    return sized


def sized_tokens(names: tuple[str, ...], knobs: dict[str, Any]) -> Callable[..., Case]:
    """Return the function that makes a case of a benchmark size, padded at the right."""

    def sized(shape: tuple[int, ...]) -> Case:
        rng = np.random.default_rng(0)
        log_probs = -rng.integers(1, 256, shape) / 64
        arrays = {
            "log_probs": log_probs,
            "old_log_probs": log_probs + rng.integers(-8, 9, shape) / 64,
            "reference_log_probs": log_probs + rng.integers(-32, 33, shape) / 64,
            "rewards": rng.integers(-64, 65, shape[:1]) / 64,
            "advantages": rng.integers(-64, 65, shape[:1]) / 64,
            "mask": np.arange(shape[1]) < rng.integers(1, shape[1] + 1, shape[0])[:, None],
        }
        return Case({**{name: arrays[name] for name in names}, **knobs}, "near", "timing")

    return sized
