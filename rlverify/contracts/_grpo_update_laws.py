"""Inputs and laws of GRPO's update: a few answers of a few tokens, a policy of a few parameters."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts import _update_cases as cases
from rlverify.contracts._measured import UNIT, exactly, measured, vanishes
from rlverify.contracts._recordings import same
from rlverify.contracts._update_laws import (
    ONE,
    UPDATE_LAWS,
    direction_of,
    dual,
    duals,
    empty,
    gradient_law,
    single,
)
from rlverify.errors import layer_parameters
from rlverify.inputs import GARBAGE, distinct
from rlverify.reference.categorical import categorical_log_prob
from rlverify.reference.grpo import grpo_loss
from rlverify.reference.networks import mlp_forward

HIDDEN = ("inputs", "old_log_probs", "reference_log_probs")
LOSS_KNOBS = (
    "clip_range", "beta", "kl_estimator", "ratio", "aggregation", "normalizer",
)  # fmt: skip
SIZES = ((1, 2), (2, 2), (2, 3), (1, 1, 2))
SHAPES = ((3, 2), (2, 3), (2, 2), (3, 1), (3, 2), (2, 2))


def real_of(case: Case | dict[str, Any]) -> np.ndarray:
    """Return where a token is real."""
    mask = case["mask"]
    return np.ones(case["actions"].shape, dtype=bool) if mask is None else np.asarray(mask)


def log_probs_of(case: Case | dict[str, Any], parameters: np.ndarray, inputs: np.ndarray) -> Any:
    """Return log π of every token, [M, L]; 0 where masked."""
    real = real_of(case)
    logits = mlp_forward(
        parameters, inputs[real], sizes=case["sizes"], activation=case["activation"]
    )
    found = np.zeros(real.shape, dtype=parameters.dtype)
    found[real] = categorical_log_prob(logits, case["actions"][real], None)
    return found


def predictions(case: Case | dict[str, Any]) -> np.ndarray:
    """Return log π of every token before the update, as every dtype can hold it."""
    found = log_probs_of(case, case["parameters"], case["inputs"])
    return np.asarray(found.astype(np.float32).astype(np.float64))


def masked(case: Case | dict[str, Any], value: float) -> dict[str, np.ndarray]:
    """Return what nothing should read filled with a value."""
    real = real_of(case)
    return {
        name: np.where(real[..., None] if name == "inputs" else real, case[name], value)
        for name in HIDDEN
    }


@st.composite
def answers(draw: st.DrawFn, names: tuple[str, ...]) -> Case:
    """Draw an update of some answers, garbage where they are padded; the kind counts steps."""
    shape, rng = draw(st.sampled_from(SHAPES)), cases.seeded(draw)
    sizes = draw(st.sampled_from(SIZES))
    count = layer_parameters(sizes)
    parameters, inputs, advantages = distinct(rng, (count,), (*shape, sizes[0]), shape[:1])
    kind = draw(st.sampled_from(("none", "right", "right", "scattered")))
    mask = None
    if kind != "none":
        lengths = rng.integers(0, shape[1] + 1, shape[0])
        mask = np.arange(shape[1]) < lengths[:, None]
        if kind == "scattered":
            mask = rng.random(shape) < 0.5
        mask[int(rng.integers(shape[0])), int(rng.integers(shape[1]))] = True
    drawn: dict[str, Any] = {
        "parameters": parameters / 32, "inputs": inputs / 16, "advantages": advantages / 16,
        "actions": rng.integers(0, sizes[-1], shape), "mask": mask, "sizes": sizes,
        "activation": draw(st.sampled_from(("tanh", "relu"))),
    }  # fmt: skip
    now = cases.eighths(predictions(drawn))
    drawn |= cases.permutations(draw, rng, shape[0])
    drawn |= cases.moments(draw, rng, count, drawn)
    near = draw(st.booleans())  # two or three eighths, or up to one and a half
    steps = rng.integers(1, 4 if near else 13, shape) * rng.choice((-1, 1), shape) / 8
    drawn |= {
        "old_log_probs": now - steps,
        "reference_log_probs": now + rng.integers(-12, 13, shape) / 8,
        "clip_range": draw(st.sampled_from(cases.RATIO_RANGES)),
        "beta": draw(st.sampled_from((0.0, 0.5, 0.5, 2.0))),
        "kl_estimator": draw(st.sampled_from(("k1", "k2", "k3"))),
        "ratio": draw(st.sampled_from(("token", "sequence"))),
        "aggregation": draw(st.sampled_from(("token_mean", "sequence_mean", "constant"))),
        "normalizer": draw(st.sampled_from((3.0, 8.0))),
        "max_norm": draw(st.sampled_from((None, 0.5, 64.0, 0.0625))),
    }
    if mask is not None:
        drawn |= masked(drawn, draw(st.sampled_from(GARBAGE)))
    return Case({name: drawn[name] for name in names}, cases.kind_of(drawn))


def plain(
    names: tuple[str, ...], shape: tuple[int, int, int], sizes: tuple[int, ...], label: str,
    **knobs: Any,
) -> Case:  # fmt: skip
    """Return an update with ordinary numbers: answers, of how many tokens, in mini-batches."""
    count, length, size = shape
    rng, parameters = np.random.default_rng(0), layer_parameters(sizes)
    drawn: dict[str, Any] = {
        "parameters": rng.normal(size=parameters) / np.sqrt(max(sizes)),
        "inputs": rng.normal(size=(count, length, sizes[0])),
        "actions": rng.integers(0, sizes[-1], (count, length)),
        "old_log_probs": -rng.random((count, length)) - 0.25,
        "reference_log_probs": -rng.random((count, length)) - 0.25,
        "advantages": rng.normal(size=count),
        "mask": np.arange(length) < rng.integers(1, length + 1, count)[:, None],
        "permutations": np.array([rng.permutation(count)]), "minibatch_size": size,
        "first": np.zeros(parameters), "second": np.zeros(parameters),
        "sizes": sizes, "activation": "tanh", **knobs,
    }  # fmt: skip
    return Case({name: drawn[name] for name in names}, "several", label)


def sized(names: tuple[str, ...], **knobs: Any) -> Callable[[tuple[int, ...]], Case]:
    """Return what makes cases of a benchmark size: answers, tokens, mini-batch, hidden widths."""

    def of(shape: tuple[int, ...]) -> Case:
        count, length, size, *hidden = shape
        return plain(names, (count, length, size), (4, *hidden, 8), "timing", **knobs)

    return of


# --- laws ----------------------------------------------------------------------------------------


def loss_slope(case: Case) -> Any:
    """Return the derivative of the loss along the direction, with its bound."""
    parameters = duals(case["parameters"], direction_of(case["parameters"]))
    log_probs = log_probs_of(case, parameters, duals(case["inputs"]))
    log_probs[~real_of(case)] = dual(0.0)
    knobs = {name: case[name] for name in LOSS_KNOBS}
    for name in ("clip_range", "normalizer"):
        knobs[name] = dual(case[name])
    if case["beta"] != 0:
        knobs["beta"] = dual(case["beta"])
    old, other, gains = (duals(case[name]) for name in (*HIDDEN[1:], "advantages"))
    loss: Any = grpo_loss(log_probs, old, other, gains, case["mask"], **knobs)[()]
    return loss.slope


def check_garbage(subject: Subject, case: Case) -> Iterable[Claim]:
    """NaN and 2¹⁵ in place of padded tokens do not matter."""
    if real_of(case).all():
        return
    clean = case.but(**masked(case, 0.0))
    wanted = subject(clean)
    for value in (2.0**15, np.nan):
        yield from same(subject, case.but(**masked(case, value)), wanted, clean)


def check_flat(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where every ratio is far beyond the range as asked, the policy has no gradient."""
    signs = np.where(case["advantages"] >= 0, 1.0, -1.0)[:, None]
    old = predictions(case) - 2 * signs
    alone = single(case, old_log_probs=old, beta=0.0, clip_range=0.5)
    got, allowed = subject(alone)["first"], subject.bound(alone)["first"]
    yield Claim(got, case["beta1"] * case["first"], allowed)


def check_norm(subject: Subject, case: Case) -> Iterable[Claim]:
    """Gradients are made no longer than max_norm, by one factor."""
    long = single(case, **empty(case), max_norm=None)
    short = long.but(max_norm=0.25)
    gradients = measured(subject(long)["first"], subject.bound(long)["first"])
    clipped = measured(subject(short)["first"], subject.bound(short)["first"])
    limit = exactly(0.25) * (1 - exactly(case["beta1"]))
    norm = np.sqrt(sum(x * x for x in gradients))
    if float(norm) - norm.free_bound() > float(limit) * (1 + UNIT):
        for x, y in zip(clipped, gradients, strict=True):
            yield vanishes(x * norm - y * limit)


LAWS = (
    gradient_law(loss_slope),
    *UPDATE_LAWS,
    Law("garbage-invisible", "NaN and 2¹⁵ in place of padded tokens do not matter", check_garbage),
    Law("flat", "beyond the range, as asked, the policy has no gradient", check_flat, ONE),
    Law("norm", "gradients are made no longer than max_norm, by one factor", check_norm, ONE),
)
