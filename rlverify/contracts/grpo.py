"""Contracts of the topic `grpo`: advantages of groups, rewards of tokens, the clipped loss."""

import numpy as np

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
)
from rlverify.contracts._grpo_cases import (
    LOSS_ARGUMENTS,
    TOKEN_SIZES,
    penalized,
    sized_tokens,
    token_losses,
)
from rlverify.contracts._grpo_groups import GROUP_CONTRACT, LEAVE_ONE_OUT_CONTRACT
from rlverify.contracts._grpo_laws import LOSS_LAWS, REWARD_LAWS
from rlverify.contracts._refusals import bad, bad_floats, bad_masks
from rlverify.fast import grpo as fast
from rlverify.reference import grpo as reference

# --- tokens ------------------------------------------------------------------------------------

TOKENS = np.arange(6.0).reshape(2, 3) / 2
REAL = "if mask is None or mask[b, t]]"
KNOBS = {"beta": 0.5, "kl_estimator": "k3"}


def bad_tokens(function: str, number: str) -> tuple[BadInput, ...]:
    """Return the refusals of tokens [B, L] with one number a sequence."""
    return (
        *bad_floats(function, "log_probs", "[B, L]"),
        bad(function, "log_probs", "one axis", lambda x: x[0], ValueError,
            "log_probs came with shape (3,), wanted [B, L]; for a single sequence pass "
            "log_probs[None, :]."),
        bad(function, "reference_log_probs", "one token short", lambda x: x[:, 1:], ValueError,
            "reference_log_probs has shape (2, 2), but log_probs has shape (2, 3); they must "
            "agree."),
        bad(function, number, "one a token", lambda _: TOKENS, ValueError,
            f"{number} came with shape (2, 3), wanted [B]."),
        bad(function, number, "one too many", lambda _: np.zeros(3), ValueError,
            f"{number} has shape (3,), but log_probs has shape (2, 3); they must agree."),
        *bad_masks(function, "log_probs"),
        bad(function, "beta", "negative", lambda _: -0.5, ValueError,
            "beta came as -0.5, wanted a finite number above 0."),
        bad(function, "beta", "NaN", lambda _: float("nan"), ValueError,
            "beta came as nan, wanted a finite number above 0."),
        bad(function, "beta", "text", str, TypeError, "beta came as str, wanted a number."),
        bad(function, "kl_estimator", "unknown", lambda _: "k4", ValueError,
            "kl_estimator came as 'k4', wanted one of k1, k2, k3."),
    )  # fmt: skip


PENALTY_CONTRACT = Contract(
    name="kl_penalized_rewards",
    topic="grpo",
    summary="rewards of tokens: the answer's at its last token, less a KL penalty at each",
    source="Ziegler et al. 2019, arXiv:1909.08593, eq. 2",
    reference=reference.kl_penalized_rewards,
    fast=fast.kl_penalized_rewards,
    arguments=(
        Argument("rewards", "float", "B"),
        Argument("log_probs", "float", "B L"),
        Argument("reference_log_probs", "float", "B L"),
        Argument("mask", "mask", "B L"),
        Argument("beta", "number"),
        Argument("kl_estimator", "choice"),
    ),
    outputs=("token_rewards",),
    axes=("B L",),
    inputs=penalized(),
    examples=tuple(
        Example(
            f"{estimator}, padded",
            Case({"rewards": np.array([4.0, 1.0]), "log_probs": np.array([[0, 0, 1], [-1, 2.0, 3]]),
                  "reference_log_probs": np.array([[-1, 1, np.nan], [-1, 2.0, 4]]),
                  "mask": np.array([[True, True, False], [False, True, True]]), "beta": 0.5,
                  "kl_estimator": estimator}, label="worked by hand"),
            {"token_rewards": answer},
        )
        for estimator, answer in (
            ("k1", [["-1/2", "9/2", "0"], ["0", "0", "3/2"]]),
            ("k2", [["-1/4", "15/4", "0"], ["0", "0", "3/4"]]),
        )
    ),
    laws=REWARD_LAWS,
    gradients=(),
    known_bugs=(
        KnownBug("K1", "earned - beta * kl", "earned + beta * kl"),
        KnownBug("K6", "return token_rewards",
                 "return token_rewards + (0 if mask is None else 0 * log_probs * ~mask)"),
        KnownBug("K12", "rewards[b] if t", "rewards[t if batch == length else b] if t"),
        KnownBug(
            "K23", "earned = rewards[b] if t == real[-1] else 0",
            "earned = rewards[b] if t == length - 1 else 0",
        ),
        KnownBug(
            "K26", "return token_rewards",
            "for b, t in np.argwhere([] if mask is None else ~mask).reshape(-1, 2):\n"
            "        kl = _kl_estimate(log_probs[b, t], reference_log_probs[b, t], kl_estimator)\n"
            "        token_rewards[b, t] = -beta * kl\n"
            "    return token_rewards",
        ),
        KnownBug("K27", "reference_log_probs[b, t], kl",
                 "reference_log_probs[b, real[max(real.index(t) - 1, 0)]], kl"),
        KnownBug("E32", "difference = reference_log_prob - log_prob",
                 "difference = log_prob - reference_log_prob", helper="_kl_estimate"),
    ),
    bad_inputs=bad_tokens("kl_penalized_rewards", "rewards"),
    exact=False,
    sizes=TOKEN_SIZES,
    sized=sized_tokens(("rewards", "log_probs", "reference_log_probs", "mask"), KNOBS),
    good=Case({"rewards": np.arange(2.0), "log_probs": TOKENS, "reference_log_probs": TOKENS + 1,
               "mask": None, **KNOBS}, label="good"),
)  # fmt: skip

LOSS_KNOBS = {
    "clip_range": 0.25, **KNOBS, "ratio": "token", "aggregation": "token_mean", "normalizer": 4.0,
}  # fmt: skip
LOG_RATIO = "log_probs[b, t] - old_log_probs[b, t]"
SURROGATE = "min(rho * advantages[b], clipped * advantages[b])"
POOLED = '(loss / len(real) if aggregation == "sequence_mean" else loss)'
TURNED = "(advantages[t] if batch == length else advantages[b])"
HALVES = (
    "half = len(log_probs) // 2\n"
    '    if half and aggregation != "constant":\n'
    "        parts = [\n"
    "            grpo_loss(\n"
    "                log_probs[rows], old_log_probs[rows], reference_log_probs[rows],\n"
    "                advantages[rows], None if mask is None else mask[rows],\n"
    "                clip_range=clip_range, beta=beta, kl_estimator=kl_estimator, ratio=ratio,\n"
    "                aggregation=aggregation, normalizer=normalizer,\n"
    "            )\n"
    "            for rows in (slice(None, half), slice(half, None))\n"
    "            if mask is None or mask[rows].any()\n"
    "        ]\n"
    "        return scalar(sum(part[()] for part in parts) / len(parts), log_probs)\n"
    "    total: Any = 0"
)

LOSS_BUGS = (
    KnownBug("E1", "max(rho, 1 - clip_range)", "max(rho, clip_range)"),
    KnownBug("E3", SURROGATE, "rho * advantages[b]"),
    KnownBug("E4", SURROGATE, SURROGATE.replace("min(", "max(")),
    KnownBug("E5", LOG_RATIO, "log_probs[b, t] - log_probs[b, t]"),
    KnownBug("E6", LOG_RATIO, "old_log_probs[b, t] - log_probs[b, t]"),
    KnownBug("E12", REAL, "]"),
    KnownBug("E32", "difference = reference_log_prob - log_prob",
             "difference = log_prob - reference_log_prob", helper="_kl_estimate"),
    KnownBug("K1", "loss = loss + beta * kl", "loss = loss - beta * kl"),
    KnownBug("K6", "scalar(total /",
             "scalar((total + sum(0 * log_prob for log_prob in log_probs.flat)) /"),
    KnownBug("K12", SURROGATE, SURROGATE.replace("advantages[b]", TURNED)),
    KnownBug("K16", POOLED, POOLED.replace("sequence_mean", "token_mean"),
             also=(('{"token_mean": tokens, "sequence_mean": sequences',
                    '{"sequence_mean": tokens, "token_mean": sequences'),)),
    KnownBug("K17", "total: Any = 0", HALVES),
    KnownBug("K18", "tokens + len(real)", "tokens + length",
             also=((POOLED, POOLED.replace("len(real)", "length")),)),
    KnownBug("K20", "[sum(log_ratios) / len(real)] * len(real)", "[sum(log_ratios)] * len(real)"),
    KnownBug("K21", 'if ratio == "sequence":', "if False:"),
    KnownBug("K22", REAL, "if mask is None or advantages[b] != 0]"),
    KnownBug("K27", "old_log_probs[b, t] for t in real",
             "old_log_probs[b, real[max(real.index(t) - 1, 0)]] for t in real"),
)  # fmt: skip


def asymmetric(
    log_probs: np.ndarray, old_log_probs: np.ndarray, reference_log_probs: np.ndarray,
    advantages: np.ndarray, mask: np.ndarray | None, *, clip_range: float, beta: float,
    kl_estimator: str, ratio: str, aggregation: str, normalizer: float,
) -> np.ndarray:  # fmt: skip
    """Clip on one side alone, the one that the sign of the advantage names."""
    real = np.ones(log_probs.shape, dtype=bool) if mask is None else mask
    counts = real.sum(axis=1)
    lengths = np.maximum(counts, 1)
    log_ratios = np.where(real, log_probs, 0) - np.where(real, old_log_probs, 0)
    if ratio == "sequence":
        log_ratios = np.broadcast_to(log_ratios.sum(1)[:, None] / lengths[:, None], real.shape)
    rho, gain = np.exp(log_ratios), advantages[:, None]
    kept = np.where(gain > 0, np.minimum(rho, 1 + clip_range), np.maximum(rho, 1 - clip_range))
    d = np.where(real, reference_log_probs, 0) - np.where(real, log_probs, 0)
    kl = {"k1": -d, "k2": d * d / 2, "k3": np.expm1(d) - d}[kl_estimator]
    losses = np.where(real, beta * kl - kept * gain, 0)
    if aggregation == "sequence_mean":
        return np.asarray((losses.sum(axis=1) / lengths).sum() / (counts > 0).sum())
    return np.asarray(losses.sum() / (normalizer if aggregation == "constant" else counts.sum()))


LOSS_CONTRACT = Contract(
    name="grpo_loss",
    topic="grpo",
    summary="clipped surrogate over the tokens of answers, with a KL term",
    source="Shao et al. 2024, arXiv:2402.03300, eq. 3 and 4",
    reference=reference.grpo_loss,
    fast=fast.grpo_loss,
    arguments=(
        Argument("log_probs", "float", "B L"),
        Argument("old_log_probs", "float", "B L"),
        Argument("reference_log_probs", "float", "B L"),
        Argument("advantages", "float", "B"),
        Argument("mask", "mask", "B L"),
        *LOSS_ARGUMENTS,
    ),
    outputs=("loss",),
    axes=("",),
    inputs=token_losses(),
    examples=tuple(
        Example(
            f"on-policy, two tokens and one, {aggregation}",
            Case({"log_probs": np.array([[-1.0, -2.0], [-1.0, np.nan]]),
                  "old_log_probs": np.array([[-1.0, -2.0], [-1.0, np.inf]]),
                  "reference_log_probs": np.array([[-2.0, -2.0], [-3.0, 0.0]]),
                  "advantages": np.array([4.0, -2.0]),
                  "mask": np.array([[True, True], [True, False]]), **LOSS_KNOBS,
                  "kl_estimator": "k2", "aggregation": aggregation}, label="worked by hand"),
            {"loss": answer},
        )
        for aggregation, answer in (  # tokens: −15/4, −4 and 3
            ("token_mean", "-19/12"), ("sequence_mean", "-7/16"), ("constant", "-19/16"),
        )
    ),
    laws=LOSS_LAWS,
    gradient_judged=True,
    gradients=("log_probs",),
    handed_over=("old_log_probs", "reference_log_probs", "advantages"),
    known_bugs=LOSS_BUGS,
    conventions=(
        Convention("sign", "objective", "the objective to maximise, not the loss to minimise",
                   edits=(("scalar(total /", "scalar(-total /"),)),
        Convention("empty", "counted", "a sequence without a real token counts as one of loss 0 "
                   "in the mean over sequences (trl)",
                   edits=(('"sequence_mean": sequences', '"sequence_mean": batch'),)),
        Convention("sequence", "sum", "`sequence_mean` adds a sequence's tokens up before the mean "
                   "(verl: seq-mean-token-sum)", edits=((POOLED, "loss"),)),
        Convention("dual_clip", "3", "with A < 0 no token loses more than 3|A| (verl's default)",
                   edits=((f"loss = loss - {SURROGATE}",
                           f"least = {SURROGATE}\n"
                           "            dual = max(least, 3 * advantages[b])\n"
                           "            loss = loss - (dual if advantages[b] < 0 else least)"),)),
    ),
    equivalents=(
        Equivalent("one-sided clip", "clips above where A > 0, below where A < 0 (Spinning Up)",
                   asymmetric),
    ),
    bad_inputs=(
        *bad_tokens("grpo_loss", "advantages"),
        bad("grpo_loss", "clip_range", "zero", lambda _: 0, ValueError,
            "clip_range came as 0, wanted a finite number above 0."),
        bad("grpo_loss", "ratio", "unknown", lambda _: "group", ValueError,
            "ratio came as 'group', wanted one of token, sequence."),
        bad("grpo_loss", "aggregation", "unknown", lambda _: "mean", ValueError,
            "aggregation came as 'mean', wanted one of token_mean, sequence_mean, constant."),
        bad("grpo_loss", "normalizer", "None", lambda _: None, TypeError,
            "normalizer came as NoneType, wanted a number."),
    ),
    exact=False,
    sizes=TOKEN_SIZES,
    sized=sized_tokens(
        ("log_probs", "old_log_probs", "reference_log_probs", "advantages", "mask"), LOSS_KNOBS
    ),
    good=Case({"log_probs": TOKENS, "old_log_probs": TOKENS + 1, "reference_log_probs": TOKENS - 1,
               "advantages": np.arange(2.0), "mask": None, **LOSS_KNOBS}, label="good"),
)  # fmt: skip

CONTRACTS = (GROUP_CONTRACT, LEAVE_ONE_OUT_CONTRACT, PENALTY_CONTRACT, LOSS_CONTRACT)
