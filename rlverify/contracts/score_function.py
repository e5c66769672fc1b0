"""Contracts of the topic `score_function`: losses from log-probabilities, and their weights."""

from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from rlverify.contract import (
    Argument,
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
from rlverify.contracts._loss_cases import (
    SIZES,
    STEP_SIZES,
    element_losses,
    good_losses,
    sized_losses,
    step_losses,
)
from rlverify.contracts._loss_laws import (
    STEP_CONVENTIONS,
    STEP_LAWS,
    check_additive,
    mean_conventions,
    mean_laws,
    number,
    total,
)
from rlverify.contracts._masks import mask_of
from rlverify.contracts._recordings import equals_exactly, same
from rlverify.contracts._refusals import bad, bad_floats, bad_masks
from rlverify.contracts._reinforce import REINFORCE_CONTRACT
from rlverify.fast import score_function as fast
from rlverify.reference import score_function as reference

POLICY_GRADIENT = ("log_probs", "weights", "mask")
IMPORTANCE = ("log_probs", "behaviour_log_probs", "weights", "mask")


def single_weights(case: Case) -> Iterable[tuple[Case, tuple[int, ...]]]:
    """Yield the case with one weight of 1 among zeros, first and last real step in turn."""
    mask = mask_of(case, "log_probs")
    real = np.argwhere(mask)
    for place in {tuple(int(i) for i in real[0]), tuple(int(i) for i in real[-1])}:
        weights = np.zeros(mask.shape)
        weights[place] = 1
        yield case.but(weights=weights), place


def check_pairing(subject: Subject, case: Case) -> Iterable[Claim]:
    """A single weight of 1 picks its own log-probability, over the number of columns."""
    for single, place in single_weights(case):
        wanted = Fraction(-case["log_probs"][place]) / case["log_probs"].shape[1]
        yield equals_exactly(subject(single)["loss"], number(wanted), subject.bound(single)["loss"])


def check_ratio(subject: Subject, case: Case) -> Iterable[Claim]:
    """A single weight of 1 picks its own likelihood ratio, over the number of columns."""
    for single, place in single_weights(case):
        ratio = np.exp(case["log_probs"][place] - case["behaviour_log_probs"][place])
        # the bound counts an exponential and a division in float64 for the reference itself
        wanted = np.array(-ratio / case["log_probs"].shape[1])
        yield from same(subject, single, {"loss": wanted})


def check_on_policy(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where both policies are equal the loss is −(1/B) Σ w."""
    equal, mask = case.but(behaviour_log_probs=case["log_probs"]), mask_of(case, "log_probs")
    wanted = -total(case["weights"], mask) / mask.shape[1]
    yield equals_exactly(subject(equal)["loss"], number(wanted), subject.bound(equal)["loss"])


# --- known bugs --------------------------------------------------------------------------------

REAL = "if mask is None or mask[t, b]:"
UNMASKED = "1 if mask is None else int(mask[t, b])"
STEP_TERM = "total = total + weights[t, b] * log_probs[t, b]"
RATIO = "np.exp(log_probs[t, b] - behaviour_log_probs[t, b])"
RATIO_TERM = "total = total + ratio * weights[t, b]"
MEAN_WEIGHT = (
    "(sum(weights[t, c] for c in range(batch) if mask is None or mask[t, c])"
    " / sum(1 for c in range(batch) if mask is None or mask[t, c]))"
)
TURNED = "(weights[b, t] if steps == batch else weights[t, b])"
EARLIER = "max([s for s in range(t) if mask is None or mask[s, b]], default=t)"

POLICY_GRADIENT_BUGS = (
    KnownBug("A20", STEP_TERM, f"total = total + {MEAN_WEIGHT} * log_probs[t, b]"),
    KnownBug(
        "E15", "total = 0\n",
        "real = [weights[i] for i in real_places(weights, mask)]\n"
        "    mean = sum(real) / len(real)\n"
        "    deviation = np.sqrt(sum((x - mean) ** 2 for x in real) / len(real)) + 1e-8\n"
        "    weights = (weights - mean) / deviation\n"
        "    total = 0\n",
    ),
    KnownBug("K6", f"{REAL}\n                {STEP_TERM}",
             f"if True:\n                {STEP_TERM} * ({UNMASKED})"),
    KnownBug("K12", STEP_TERM, f"total = total + {TURNED} * log_probs[t, b]"),
    KnownBug("E12", REAL, "if True:"),
    KnownBug("K22", REAL, "if mask is None or weights[t, b] != 0:"),
    KnownBug("K27", STEP_TERM, f"total = total + weights[{EARLIER}, b] * log_probs[t, b]"),
)  # fmt: skip

IMPORTANCE_BUGS = (
    KnownBug("A20", RATIO_TERM, f"total = total + ratio * {MEAN_WEIGHT}"),
    KnownBug("E5", RATIO, "np.exp(log_probs[t, b] - log_probs[t, b])"),
    KnownBug("E6", RATIO, "np.exp(behaviour_log_probs[t, b] - log_probs[t, b])"),
    KnownBug("E43", RATIO_TERM, "total = total + ratio * ratio * weights[t, b]"),
    KnownBug("K6", f"{REAL}\n                ratio = {RATIO}\n                {RATIO_TERM}",
             f"if True:\n                ratio = {RATIO}\n"
             f"                {RATIO_TERM} * ({UNMASKED})"),
    KnownBug("K12", RATIO_TERM, f"total = total + ratio * {TURNED}"),
    KnownBug("E12", REAL, "if True:"),
    KnownBug("K22", REAL, "if mask is None or weights[t, b] != 0:"),
    KnownBug("K27", RATIO, f"np.exp(log_probs[t, b] - behaviour_log_probs[{EARLIER}, b])"),
)  # fmt: skip


def mean_bugs(function: str, array: str, result: str) -> tuple[KnownBug, ...]:
    """Return the known bugs of a masked mean."""
    loop = f"for i in real_places({array}, mask):"
    body = f"\n        total = total + {array}[i]\n        count = count + 1"
    real = "(1 if mask is None else int(mask[i]))"
    halves = (
        f"half, parts = len({array}) // 2, []\n"
        "    for rows in (slice(None, half), slice(half, None)):\n"
        f"        part = [{array}[rows][i] for i in real_places(\n"
        f"            {array}[rows], None if mask is None else mask[rows])]\n"
        "        parts += [sum(part) / len(part)] if part else []\n"
        f"    return scalar({result.replace('total', 'sum(parts)')} / len(parts), {array})"
    )
    return (
        KnownBug("E12", loop, f"for i in real_places({array}, None):"),
        KnownBug("E13", f"scalar({result} / count,", f"scalar({result} / {array}.size,"),
        KnownBug(
            "K6", loop + body,
            f"for i in np.ndindex({array}.shape):\n"
            f"        total = total + {array}[i] * {real}\n        count = count + {real}",
        ),
        KnownBug("K17", f"return scalar({result} / count, {array})", halves),
    )  # fmt: skip


# --- forms that look wrong and are right -------------------------------------------------------


def negated_log_probs(
    log_probs: np.ndarray, behaviour_log_probs: np.ndarray, weights: np.ndarray,
    mask: np.ndarray | None,
) -> np.ndarray:  # fmt: skip
    """Write the ratio as exp(old − new) of negated log-probabilities."""
    real = np.ones(weights.shape, dtype=bool) if mask is None else mask
    neglogp, old_neglogp = -log_probs, -behaviour_log_probs
    with np.errstate(all="ignore"):
        ratio = np.exp(old_neglogp - neglogp)
        return np.asarray(-np.where(real, ratio * weights, 0).sum(axis=0).mean())


# --- contracts ---------------------------------------------------------------------------------

MASKED = {
    "log_probs": np.array([[-1.0, -2.0], [-4.0, np.nan]]),
    "weights": np.array([[2.0, -4.0], [0.5, np.inf]]),
    "mask": np.array([[True, True], [True, False]]),
}

POLICY_GRADIENT_CONTRACT = Contract(
    name="policy_gradient_loss",
    topic="score_function",
    summary="loss whose gradient is the negative policy gradient",
    source="Williams 1992, section 5; Sutton et al. 2000, theorem 1",
    reference=reference.policy_gradient_loss,
    fast=fast.policy_gradient_loss,
    arguments=(
        Argument("log_probs", "float", "T B"),
        Argument("weights", "float", "T B"),
        Argument("mask", "mask", "T B"),
    ),
    outputs=("loss",),
    axes=("",),
    inputs=step_losses(POLICY_GRADIENT),
    examples=(
        Example("one step is padding", Case(MASKED, label="worked by hand"), {"loss": "-2"}),
    ),
    laws=(
        Law("pairing", "a single weight picks its own log-probability", check_pairing),
        Law("additive-in-weights", "the loss of a sum of weights is the sum of the losses",
            check_additive),
        *STEP_LAWS,
    ),
    gradient_judged=True,
    gradients=("log_probs",),
    known_bugs=POLICY_GRADIENT_BUGS,
    conventions=STEP_CONVENTIONS,
    bad_inputs=(
        *bad_floats("policy_gradient_loss", "log_probs", "[T, B]"),
        bad("policy_gradient_loss", "weights", "one a column", lambda x: x[:1], ValueError,
            "weights has shape (1, 3), but log_probs has shape (2, 3); they must agree."),
        bad("policy_gradient_loss", "weights", "one axis more", lambda x: x[..., None], ValueError,
            "weights came with shape (2, 3, 1), wanted [T, B]."),
        *bad_masks("policy_gradient_loss", "log_probs"),
    ),
    sizes=STEP_SIZES,
    sized=sized_losses(POLICY_GRADIENT),
    good=good_losses(POLICY_GRADIENT),
)  # fmt: skip

IMPORTANCE_CONTRACT = Contract(
    name="importance_weighted_loss",
    topic="score_function",
    summary="off-policy surrogate: weights times the likelihood ratio of each step",
    source="Schulman et al. 2015, arXiv:1502.05477, eq. 14",
    reference=reference.importance_weighted_loss,
    fast=fast.importance_weighted_loss,
    arguments=(
        Argument("log_probs", "float", "T B"),
        Argument("behaviour_log_probs", "float", "T B"),
        Argument("weights", "float", "T B"),
        Argument("mask", "mask", "T B"),
    ),
    outputs=("loss",),
    axes=("",),
    inputs=step_losses(IMPORTANCE),
    examples=(
        Example(
            "on-policy, one step is padding",
            Case({**MASKED, "behaviour_log_probs": MASKED["log_probs"]}, "on-policy",
                 "worked by hand"),
            {"loss": "3/4"},
        ),
    ),
    laws=(
        Law("ratio", "a single weight picks its own likelihood ratio", check_ratio),
        Law("on-policy", "where both policies are equal the loss is −(1/B) Σ w", check_on_policy),
        *STEP_LAWS,
    ),
    gradient_judged=True,
    gradients=("log_probs",),
    known_bugs=IMPORTANCE_BUGS,
    conventions=(
        *STEP_CONVENTIONS,
        Convention(
            "log_ratio", "clamped-at-20", "the log-ratio is clamped to ±20 against overflow",
            edits=((RATIO, RATIO.replace("np.exp(", "np.exp(min(max(").replace(
                "behaviour_log_probs[t, b])", "behaviour_log_probs[t, b], -20), 20))")),),
        ),
    ),
    equivalents=(
        Equivalent(
            "negated log-probabilities",
            "exp(old − new) of negated log-probabilities is the ratio (hill-a#447)",
            negated_log_probs,
        ),
    ),
    bad_inputs=(
        *bad_floats("importance_weighted_loss", "log_probs", "[T, B]"),
        bad("importance_weighted_loss", "behaviour_log_probs", "one step short",
            lambda x: x[:1], ValueError, "behaviour_log_probs has shape (1, 3), but log_probs has "
            "shape (2, 3); they must agree."),
        bad("importance_weighted_loss", "weights", "None", lambda x: None, TypeError,
            "weights came as NoneType, wanted a floating-point array [T, B]."),
        *bad_masks("importance_weighted_loss", "log_probs"),
    ),
    exact=False,
    sizes=STEP_SIZES,
    sized=sized_losses(IMPORTANCE),
    good=good_losses(IMPORTANCE),
)  # fmt: skip

LIKELIHOOD_CONTRACT = Contract(
    name="log_likelihood_loss",
    topic="score_function",
    summary="mean negative log-likelihood of the given actions",
    source="Pomerleau 1991; de Boer et al. 2005, section 2",
    reference=reference.log_likelihood_loss,
    fast=fast.log_likelihood_loss,
    arguments=(Argument("log_probs", "float", "..."), Argument("mask", "mask", "...")),
    outputs=("loss",),
    axes=("",),
    inputs=element_losses("log_probs"),
    examples=(
        Example(
            "two of three are elite",
            Case({"log_probs": np.array([-1.0, np.nan, -4.0]),
                  "mask": np.array([True, False, True])}, label="worked by hand"),
            {"loss": "5/2"},
        ),
    ),
    laws=mean_laws("log_probs", "loss", -1),
    gradient_judged=True,
    gradients=("log_probs",),
    known_bugs=(
        *mean_bugs("log_likelihood_loss", "log_probs", "-total"),
        KnownBug(
            "K31", "return scalar(-total / count,",
            "padding = log_probs.size - count\n"
            "    return scalar(-(total + padding) / log_probs.size,",
        ),
    ),
    conventions=(
        *mean_conventions("log_probs", "-total"),
        Convention(
            "sign", "objective", "the mean log-likelihood, to maximise",
            edits=(("scalar(-total / count,", "scalar(total / count,"),),
        ),
    ),
    bad_inputs=(
        *bad_floats("log_likelihood_loss", "log_probs", "[...]"),
        *bad_masks("log_likelihood_loss", "log_probs"),
    ),
    sizes=SIZES,
    sized=sized_losses(("log_probs",)),
    good=good_losses(("log_probs", "mask")),
)  # fmt: skip

ENTROPY_CONTRACT = Contract(
    name="entropy_bonus",
    topic="score_function",
    summary="mean entropy of the policy over the visited states",
    source="Mnih et al. 2016, arXiv:1602.01783, section 4",
    reference=reference.entropy_bonus,
    fast=fast.entropy_bonus,
    arguments=(Argument("entropies", "float", "..."), Argument("mask", "mask", "...")),
    outputs=("bonus",),
    axes=("",),
    inputs=element_losses("entropies"),
    examples=(
        Example(
            "one state is padding",
            Case({"entropies": np.array([[0.5, 0.25], [np.inf, 1.5]]),
                  "mask": np.array([[True, True], [False, True]])}, label="worked by hand"),
            {"bonus": "3/4"},
        ),
    ),
    laws=mean_laws("entropies", "bonus", 1),
    gradient_judged=True,
    gradients=("entropies",),
    known_bugs=(
        KnownBug("D9", "scalar(total / count,", "scalar(-total / count,"),
        *mean_bugs("entropy_bonus", "entropies", "total"),
    ),
    conventions=mean_conventions("entropies", "total"),
    bad_inputs=(
        *bad_floats("entropy_bonus", "entropies", "[...]"),
        *bad_masks("entropy_bonus", "entropies"),
    ),
    sizes=SIZES,
    sized=sized_losses(("entropies",)),
    good=good_losses(("entropies", "mask")),
)  # fmt: skip

CONTRACTS = (
    POLICY_GRADIENT_CONTRACT,
    IMPORTANCE_CONTRACT,
    LIKELIHOOD_CONTRACT,
    ENTROPY_CONTRACT,
    REINFORCE_CONTRACT,
)
