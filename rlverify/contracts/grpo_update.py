"""Contract of the topic `grpo_update`: GRPO's whole update."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rlverify.contract import Argument, BadInput, Contract, Convention, Equivalent, KnownBug
from rlverify.contracts._grpo_cases import LOSS_ARGUMENTS
from rlverify.contracts._grpo_update_laws import LAWS, answers, plain, sized
from rlverify.contracts._refusals import bad
from rlverify.contracts._update_forms import Adam, batches, forward, shortened, tensors
from rlverify.contracts.ppo_update import ADAM_BUGS, DROPPED, NORM, PLAIN_ADAM, STATE
from rlverify.fast import grpo_update as fast
from rlverify.reference import grpo_update as reference

ARGUMENTS = (
    Argument("parameters", "float", "P"),
    Argument("inputs", "float", "M L I"),
    Argument("actions", "integer", "M L"),
    Argument("old_log_probs", "float", "M L"),
    Argument("reference_log_probs", "float", "M L"),
    Argument("advantages", "float", "M"),
    Argument("mask", "mask", "M L"),
    Argument("permutations", "integer", "E M"),
    Argument("first", "float", "P"),
    Argument("second", "float", "P"),
    Argument("count", "count"),
    Argument("sizes", "sizes"),
    Argument("activation", "choice"),
    Argument("minibatch_size", "count"),
    *LOSS_ARGUMENTS,
    Argument("max_norm", "number"),
    Argument("learning_rate", "number"),
    Argument("beta1", "number"),
    Argument("beta2", "number"),
    Argument("eps", "number"),
)
NAMES = tuple(item.name for item in ARGUMENTS)
KNOBS = {
    "count": 0, "clip_range": 0.5, "beta": 0.5, "kl_estimator": "k3", "ratio": "token",
    "aggregation": "token_mean", "normalizer": 4.0, "max_norm": 0.5, **PLAIN_ADAM,
}  # fmt: skip
TIMED = {
    **KNOBS, "clip_range": 0.2, "beta": 0.04, "learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999,
    "eps": 1e-5,
}  # fmt: skip


def autograd(
    parameters: np.ndarray, inputs: np.ndarray, actions: np.ndarray, old_log_probs: np.ndarray,
    reference_log_probs: np.ndarray, advantages: np.ndarray, mask: np.ndarray | None,
    permutations: np.ndarray, first: np.ndarray, second: np.ndarray, **knobs: Any,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Write GRPO with one loss over padded tokens, autograd and torch.optim.Adam."""
    weights = torch.tensor(parameters, requires_grad=True)
    adam = Adam(weights, first, second, knobs["count"], knobs)
    written = np.ones(actions.shape, dtype=bool) if mask is None else mask
    states = np.where(written[..., None], inputs, 0.0)
    old, other = (np.where(written, x, 0.0) for x in (old_log_probs, reference_log_probs))
    seen, taken, before, known, gains, real = tensors(
        states, actions, old, other, np.where(written.any(axis=1), advantages, 0.0), written
    )
    low, high = 1 - knobs["clip_range"], 1 + knobs["clip_range"]
    for rows in batches(permutations, knobs["minibatch_size"]):
        counts = real[rows].sum(dim=1)
        if counts.sum() == 0:
            continue
        flat = seen[rows].flatten(0, 1)
        logits = forward(weights, flat, knobs["sizes"], knobs["activation"])
        chosen = torch.log_softmax(logits, dim=-1).gather(1, taken[rows].reshape(-1, 1))
        now = torch.where(real[rows], chosen.view(len(rows), -1), 0.0)
        log_ratios = now - before[rows]
        if knobs["ratio"] == "sequence":
            log_ratios = (log_ratios.sum(dim=1) / counts.clamp(min=1))[:, None].expand_as(now)
        ratios, gain = log_ratios.exp(), gains[rows][:, None]
        losses = -torch.minimum(ratios * gain, ratios.clamp(low, high) * gain)
        d = torch.where(real[rows], known[rows] - now, 0.0)
        kl = {"k1": -d, "k2": d * d / 2, "k3": d.exp() - d - 1}[knobs["kl_estimator"]]
        losses = torch.where(real[rows], losses + knobs["beta"] * kl, 0.0)
        if knobs["aggregation"] == "sequence_mean":
            loss = (losses.sum(dim=1) / counts.clamp(min=1)).sum() / (counts > 0).sum()
        elif knobs["aggregation"] == "token_mean":
            loss = losses.sum() / counts.sum()
        else:
            loss = losses.sum() / knobs["normalizer"]
        (gradient,) = torch.autograd.grad(loss, weights)
        adam.step(shortened(gradient, knobs["max_norm"]))
    *state, count = adam.results
    return *state, np.array(float(count))  # torch counts in single precision


def refusal(argument: str, name: str, spoil: Callable[[Any], Any], error: type[Exception],
            message: str) -> BadInput:  # fmt: skip
    """Return one refusal of this function."""
    return bad("grpo_update", argument, name, spoil, error, message)


BAD = (
    refusal("parameters", "one short", lambda x: x[:-1], ValueError,
            "parameters came with shape (16,), wanted 17 along the last axis for sizes (2, 3, 2)."),
    refusal("inputs", "flat", lambda x: x.reshape(-1, 2), ValueError,
            "inputs came with shape (12, 2), wanted [M, L, I]."),
    refusal("inputs", "a feature too many", lambda x: np.zeros((*x.shape[:2], 3)), ValueError,
            "inputs came with shape (4, 3, 3), wanted 2 along the last axis for sizes (2, 3, 2)."),
    refusal("actions", "beyond", lambda x: 0 * x + 2, ValueError,
            "actions came with 2 in it, wanted actions in [0, 2)."),
    refusal("actions", "floats", lambda x: x * 1.0, TypeError,
            "actions came as dtype float64, wanted int64."),
    refusal("old_log_probs", "a token short", lambda x: x[:, 1:], ValueError,
            "old_log_probs has shape (4, 2), but inputs has shape (4, 3, 2); they must agree."),
    refusal("reference_log_probs", "a list", np.ndarray.tolist, TypeError,
            "reference_log_probs came as list, wanted a floating-point array [M, L]."),
    refusal("advantages", "one a token", lambda x: np.ones((4, 3)), ValueError,
            "advantages came with shape (4, 3), wanted [M]."),
    refusal("mask", "nothing real", np.zeros_like, ValueError,
            "mask came without a True element, wanted at least one real one."),
    refusal("permutations", "an answer twice", lambda x: 0 * x, ValueError,
            "permutations came with a row that is none of the numbers 0 to 3, wanted each of them "
            "once."),
    refusal("permutations", "one short", lambda x: x[:, :-1], ValueError,
            "permutations came with a row that is none of the numbers 0 to 3, wanted each of them "
            "once."),
    refusal("second", "one short", lambda x: x[:-1], ValueError,
            "second has shape (16,), but parameters has shape (17,); they must agree."),
    refusal("count", "below 0", lambda _: -1, ValueError,
            "count came as -1, wanted an integer of at least 0."),
    refusal("sizes", "a list", lambda _: [2, 2], ValueError,
            "sizes came as [2, 2], wanted a tuple of at least two integers of at least 1."),
    refusal("activation", "unknown", lambda _: "gelu", ValueError,
            "activation came as 'gelu', wanted one of tanh, relu."),
    refusal("minibatch_size", "zero", lambda _: 0, ValueError,
            "minibatch_size came as 0, wanted an integer of at least 1."),
    refusal("clip_range", "zero", lambda _: 0.0, ValueError,
            "clip_range came as 0.0, wanted a finite number above 0."),
    refusal("beta", "negative", lambda _: -0.5, ValueError,
            "beta came as -0.5, wanted a finite number above 0."),
    refusal("kl_estimator", "unknown", lambda _: "k4", ValueError,
            "kl_estimator came as 'k4', wanted one of k1, k2, k3."),
    refusal("ratio", "unknown", lambda _: "group", ValueError,
            "ratio came as 'group', wanted one of token, sequence."),
    refusal("aggregation", "unknown", lambda _: "mean", ValueError,
            "aggregation came as 'mean', wanted one of token_mean, sequence_mean, constant."),
    refusal("normalizer", "zero", lambda _: 0.0, ValueError,
            "normalizer came as 0.0, wanted a finite number above 0."),
    refusal("max_norm", "zero", lambda _: 0.0, ValueError,
            "max_norm came as 0.0, wanted a finite number above 0."),
    refusal("beta1", "one", lambda _: 1.0, ValueError,
            "beta1 came as 1.0, wanted a number below 1."),
    refusal("eps", "zero", lambda _: 0.0, ValueError,
            "eps came as 0.0, wanted a finite number above 0."),
)  # fmt: skip

RATIO = "now[t] - old[t]"
FREE = "gains * reached(rho, 1 + clip_range) + (1 - gains) * reached(1 - clip_range, rho)"
GRADIENT = 'gradient = trace(stage + "gradient", {"gradient": gradient})["gradient"]'
CLIPPED = 'gradient = trace(stage + "clip", clipped._asdict())["gradients"]'
TOKENS, ANSWERS = "[sum(counts)] * len(counts)", "[answers * tokens for tokens in counts]"
KNOWN_BUGS = (
    KnownBug("E3", "-rho * advantage * free", "-rho * advantage", helper="_surrogate_slope"),
    KnownBug("E4", FREE, FREE.replace("gains *", "(1 - gains) *", 1).replace(
        "+ (1 - gains) *", "+ gains *"), helper="_surrogate_slope"),
    KnownBug("E6", RATIO, "old[t] - now[t]"),
    KnownBug("E32", "difference = reference_log_prob - log_prob",
             "difference = log_prob - reference_log_prob", helper="_kl_slope"),
    KnownBug("E39", CLIPPED, CLIPPED.removeprefix("gradient = ")),
    KnownBug("K1", "slope = slope + beta", "slope = slope - beta"),
    KnownBug("K6", GRADIENT,
             f"gradient = gradient + 0 * sum(old_log_probs[rows].flat)\n        {GRADIENT}"),
    KnownBug("K16", TOKENS, "[sum(1 for x in counts if x) * tokens for tokens in counts]",
             helper="_divisors", also=((ANSWERS, TOKENS),)),
    KnownBug("K18", "int(row.sum()) for row in real", "len(row) for row in real",
             helper="_divisors"),
    KnownBug("K20", "[sum(log_ratios) / len(tokens)]", "[sum(log_ratios)]"),
    DROPPED,
    KnownBug("O10", "count=count,\n", "count=count + 1000,\n"),
    KnownBug("U1", "advantages[rows[b]]", "advantages[b]"),
    KnownBug("U2", STATE, 'parameters, first, second = state["parameters"], 0 * first, 0 * second'),
    ADAM_BUGS[1],
)  # fmt: skip

CONTRACT = Contract(
    name="grpo_update",
    topic="grpo_update",
    summary="GRPO's whole update: epochs of mini-batches of answers, each a gradient and a step",
    source="Shao et al. 2024, arXiv:2402.03300, algorithm 1, eq. 3",
    reference=reference.grpo_update,
    fast=fast.grpo_update,
    arguments=ARGUMENTS,
    outputs=("parameters", "first", "second", "count"),
    axes=("P", "P", "P", ""),
    inputs=answers(NAMES),
    examples=(),
    laws=LAWS,
    gradients=(),
    conventions=(
        Convention(
            "empty", "counted", "a sequence without a real token counts as one of loss 0 in the "
            "mean over sequences (trl)",
            edits=(("answers = sum(1 for tokens in counts if tokens > 0)",
                    "answers = len(counts)"),),
            helper="_divisors",
        ),
        NORM,
    ),
    known_bugs=KNOWN_BUGS,
    equivalents=(
        Equivalent("autograd", "the loss through PyTorch's autograd, torch.optim.Adam for the step",
                   autograd),
    ),
    bad_inputs=BAD,
    exact=False,
    sizes=((3, 2, 2, 2), (32, 12, 8, 32), (512, 12, 128, 64, 64)),
    sized=sized(NAMES, **TIMED),
    good=plain(NAMES, (4, 3, 2), (2, 3, 2), "good", **KNOBS),
)  # fmt: skip

CONTRACTS = (CONTRACT,)
