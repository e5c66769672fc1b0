"""Contracts of the topic `categorical`: log-probability, score, entropy, divergence, Fisher."""

import numpy as np

from rlverify.contract import Contract, Convention, Equivalent, KnownBug, Law
from rlverify.contracts._categorical_cases import policies, sized, unspecified_where_illegal
from rlverify.contracts._categorical_laws import (
    ILLEGAL,
    ROWS,
    SHIFT,
    check_covariance,
    check_differences,
    check_entropy_range,
    check_equal_entropy,
    check_equal_fisher,
    check_equal_log_prob,
    check_equal_score,
    check_from_uniform,
    check_null,
    check_positive,
    check_score_sum,
    check_self,
    check_single_entropy,
    check_sum,
    check_twins,
    check_zero_mean,
)
from rlverify.contracts._categorical_shared import (
    ADDED,
    ALONE,
    COMMON,
    FLAT,
    IGNORED,
    OVERFLOW,
    PAIR,
    SIZES,
    STALE,
    TAKEN,
    TRANSPOSED,
    arguments,
    good,
    of,
    refusals,
    worked,
)
from rlverify.contracts._exploration import BOLTZMANN, EPSILON, SAMPLE
from rlverify.fast import categorical as fast
from rlverify.reference import categorical as reference

# --- forms that look wrong and are right ---------------------------------------------------------

Array = np.ndarray


def normalizer(logits: Array, legal: Array | None) -> tuple[Array, Array]:
    """Return logits with −∞ at illegal actions, and log Σ exp of them."""
    read = logits if legal is None else np.where(legal, logits, -np.inf)
    highest = read.max(axis=-1, keepdims=True)
    return read, highest + np.log(np.exp(read - highest).sum(axis=-1, keepdims=True))


def minus_log_sum_exp(logits: Array, actions: Array, legal: Array | None) -> Array:
    """Subtract the log-sum-exp from all logits, then look the actions up."""
    read, total = normalizer(logits, legal)
    return np.take_along_axis(read - total, actions[..., None], axis=-1)[..., 0]


def negative_log_odds(logits: Array, actions: Array, legal: Array | None) -> Array:
    """Return −log Σ exp(x_b − x_a), which is the same for a legal a."""
    read, _ = normalizer(logits, legal)
    taken = np.take_along_axis(read, actions[..., None], axis=-1)
    with np.errstate(all="ignore"):
        log_odds = np.logaddexp.reduce(read - taken, axis=-1)
    return np.where(np.isinf(taken[..., 0]), -np.inf, -log_odds)


def log_sum_exp_minus_mean(logits: Array, legal: Array | None) -> Array:
    """Return log Σ exp x − Σ π x."""
    read, total = normalizer(logits, legal)
    powers = np.exp(read - read.max(axis=-1, keepdims=True))
    policy = powers / powers.sum(axis=-1, keepdims=True)
    mean = (policy * np.where(np.isinf(read), 0.0, read)).sum(axis=-1)
    return np.asarray(total[..., 0] - mean)


def difference_of_logs(logits_p: Array, logits_q: Array, legal: Array | None) -> Array:
    """Return Σ p (log p − log q), which needs no Σ q − Σ p."""
    log_p, log_q = (np.subtract(*normalizer(x, legal)) for x in (logits_p, logits_q))
    real = np.isfinite(log_p)
    gap = np.where(real, log_p, 0.0) - np.where(real, log_q, 0.0)
    return np.asarray((np.exp(log_p) * gap).sum(axis=-1))


# --- contracts -----------------------------------------------------------------------------------

LOG_LINE = "settled(logits[*i, a] - normalizer)"
LOG_OF_POLICY = "np.log(np.exp(logits[*i, a] - highest) / total)"
LOG_PROB = Contract(
    name="categorical_log_prob",
    topic="categorical",
    summary="log-probability of the actions taken by a softmax policy",
    source="Sutton & Barto 2018, eq. 13.2",
    reference=reference.categorical_log_prob,
    fast=fast.categorical_log_prob,
    arguments=arguments(TAKEN),
    outputs=("log_prob",),
    axes=("...",),
    inputs=policies(TAKEN),
    examples=of(
        "log_prob",
        worked(
            "far above the others; a single legal one", ["0", "0"],
            logits=np.array([[1e4, 0.0, -1e4], [np.nan, np.inf, 3.0]]),
            actions=np.array([0, 2]),
            legal=np.array([[True, True, True], [False, False, True]]),
        ),
    ),
    laws=(
        Law("probabilities-sum-to-one", "probabilities of all actions sum to 1", check_sum),
        Law("equal-logits", "equal logits give each of K legal actions −log K",
            check_equal_log_prob),
        Law("differences", "log-probabilities differ as the logits do", check_differences),
        SHIFT, ILLEGAL, ROWS,
    ),
    gradients=("logits",),
    gradient_judged=True,
    known_bugs=(
        *COMMON,
        TRANSPOSED,
        KnownBug("D25b", OVERFLOW.right, OVERFLOW.wrong, "_log_probs",
                 ((LOG_LINE, LOG_OF_POLICY),)),
        KnownBug("D26", LOG_LINE, LOG_OF_POLICY, "_log_probs"),
    ),
    conventions=(
        FLAT,
        Convention(
            "illegal", "unspecified", "the log-probability of an illegal action is left open",
            outputs=unspecified_where_illegal,
        ),
    ),
    equivalents=(
        Equivalent(
            "log-sum-exp subtracted",
            "normalises all logits first, as torch.distributions.Categorical does",
            minus_log_sum_exp,
        ),
        Equivalent(
            "log of the odds", "−log Σ exp(x_b − x_a): the greatest logit is not subtracted first",
            negative_log_odds,
        ),
    ),
    bad_inputs=refusals("categorical_log_prob", TAKEN),
    sizes=SIZES,
    exact=False,
    good=good(TAKEN),
    sized=sized(TAKEN),
)  # fmt: skip

SCORE = Contract(
    name="categorical_score",
    topic="categorical",
    summary="gradient of the log-probability of the actions taken in the logits",
    source="Sutton & Barto 2018, eq. 13.9",
    reference=reference.categorical_score,
    fast=fast.categorical_score,
    arguments=arguments(TAKEN),
    outputs=("score",),
    axes=("... A",),
    inputs=policies(TAKEN),
    examples=of(
        "score",
        worked(
            "equal logits, one of three illegal",
            [["1/2", "0", "-1/2"], ["0", "0", "0"]],
            logits=np.array([[2.0, np.nan, 2.0]] * 2),
            actions=np.array([0, 1]),
            legal=np.array([[True, False, True]] * 2),
        ),
    ),
    laws=(
        Law("zero-mean", "the mean of the score under its own policy is 0", check_zero_mean,
            claim="C1"),
        Law("sums-to-zero", "the score sums to 0 over the logits", check_score_sum),
        Law("equal-logits", "equal logits give [a = b] − 1/K", check_equal_score),
        SHIFT, ILLEGAL, ROWS,
    ),
    gradients=("logits",),
    known_bugs=(*COMMON, TRANSPOSED),
    conventions=(FLAT,),
    bad_inputs=refusals("categorical_score", TAKEN),
    sizes=SIZES,
    exact=False,
    good=good(TAKEN),
    sized=sized(TAKEN),
)  # fmt: skip

ENTROPY_TERM = "entropy[i] = entropy[i] - probability * log_probs[*i, b]"
ENTROPY = Contract(
    name="categorical_entropy",
    topic="categorical",
    summary="entropy of a softmax policy",
    source="Shannon 1948, section 6",
    reference=reference.categorical_entropy,
    fast=fast.categorical_entropy,
    arguments=arguments(ALONE),
    outputs=("entropy",),
    axes=("...",),
    inputs=policies(ALONE),
    examples=of(
        "entropy",
        worked(
            "a single legal action; one far above the other", ["0", "0"],
            logits=np.array([[np.nan, 5.0], [1e4, -1e4]]),
            legal=np.array([[False, True], [True, True]]),
        ),
    ),
    laws=(
        Law("equal-logits", "equal logits over K legal actions have the entropy log K",
            check_equal_entropy),
        Law("single-action", "a single legal action has the entropy 0", check_single_entropy),
        Law("range", "the entropy lies between 0 and log K", check_entropy_range),
        Law("copies", "two copies of every action add log 2", check_twins),
        SHIFT, ILLEGAL,
    ),
    gradients=("logits",),
    gradient_judged=True,
    known_bugs=(
        KnownBug("D9", "entropy[i] - probability", "entropy[i] + probability"),
        KnownBug(
            "D11", "for b in range(logits.shape[-1]):",
            "for b in [max(range(logits.shape[-1]), key=lambda c: log_probs[*i, c])]:",
        ),
        KnownBug(
            "D13", ENTROPY_TERM,
            f"{ENTROPY_TERM}\n"
            "            if 0 < probability < 1:\n"
            "                entropy[i] = entropy[i] - (1 - probability) * np.log1p(-probability)",
        ),
        KnownBug("D16", "if probability > 0:", "if True:"),
        IGNORED,
        STALE,
        OVERFLOW,
    ),
    equivalents=(
        Equivalent(
            "log-sum-exp minus mean logit", "log Σ exp x − Σ π x is the same by definition of π",
            log_sum_exp_minus_mean,
        ),
    ),
    conventions=(FLAT,),
    bad_inputs=refusals("categorical_entropy", ALONE),
    sizes=SIZES,
    exact=False,
    good=good(ALONE),
    sized=sized(ALONE),
)  # fmt: skip

BOTH = "log_p, log_q = _log_probs(logits_p, legal), _log_probs(logits_q, legal)"
SKIPPED = "if legal is not None and not legal[*i, b]:"
KL = Contract(
    name="categorical_kl",
    topic="categorical",
    summary="Kullback-Leibler divergence of two softmax policies",
    source="Kullback & Leibler 1951; Schulman 2020, \"Approximating KL divergence\"",
    reference=reference.categorical_kl,
    fast=fast.categorical_kl,
    arguments=arguments(PAIR),
    outputs=("kl",),
    axes=("...",),
    inputs=policies(PAIR, most=3),
    examples=of(
        "kl",
        worked(
            "a policy from itself; one certain action from another", ["0", "20000"],
            logits_p=np.array([[1.0, np.inf, 2.0], [1e4, np.nan, -1e4]]),
            logits_q=np.array([[1.0, np.nan, 2.0], [-1e4, 0.0, 1e4]]),
            legal=np.array([[True, False, True]] * 2),
        ),
    ),
    laws=(
        Law("itself", "a policy does not diverge from itself", check_self),
        Law("not-negative", "a divergence is not negative", check_positive),
        Law("from-uniform", "from equal ones: log Σ exp x − mean x − log K", check_from_uniform),
        SHIFT, ILLEGAL,
    ),
    gradients=("logits_p", "logits_q"),
    gradient_judged=True,
    known_bugs=(
        KnownBug("D16", SKIPPED, "if False:"),
        KnownBug("D17a", BOTH, BOTH.replace("legal", "None"), also=((SKIPPED, "if False:"),)),
        KnownBug("D17b", "_log_probs(logits_q, legal)", "_log_probs(logits_q, None)"),
        STALE,
        OVERFLOW,
        ADDED,
    ),
    conventions=(
        FLAT,
        Convention(
            "direction", "reverse", "KL(q ‖ p): the mean is taken under the second policy",
            edits=((BOTH, BOTH.replace("log_p, log_q", "log_q, log_p")),),
        ),
        Convention(
            "underflow", "infinite",
            "infinite where a probability of q underflows (torch.distributions.kl_divergence)",
            edits=((
                "if d <= 0:", "if np.exp(log_q[*i, b]) == 0 and np.exp(log_p[*i, b]) > 0:\n"
                "                term = np.inf\n            elif d <= 0:",
            ),),
        ),
    ),
    equivalents=(
        Equivalent(
            "difference of logs", "Σ p (log p − log q), within the rounding of its terms",
            difference_of_logs,
        ),
    ),
    bad_inputs=refusals("categorical_kl", PAIR),
    sizes=SIZES,
    exact=False,
    good=good(PAIR),
    sized=sized(PAIR),
)  # fmt: skip

FISHER = Contract(
    name="categorical_fisher",
    topic="categorical",
    summary="Fisher information of a softmax policy in its logits",
    source="Amari 1998; Kakade 2001, section 2",
    reference=reference.categorical_fisher,
    fast=fast.categorical_fisher,
    arguments=arguments(ALONE),
    outputs=("fisher",),
    axes=("... A A",),
    inputs=policies(ALONE, most=3),
    examples=of(
        "fisher",
        worked(
            "two equal ones, the third illegal",
            [["1/4", "-1/4", "0"], ["-1/4", "1/4", "0"], ["0", "0", "0"]],
            logits=np.array([3.0, 3.0, np.nan]), legal=np.array([True, True, False]),
        ),
    ),
    laws=(
        Law("null-direction", "every row sums to 0", check_null),
        Law("covariance-of-score", "F = Σ π(a) s sᵀ", check_covariance),
        Law("equal-logits", "equal logits give [a = b]/K − 1/K²", check_equal_fisher),
        SHIFT, ILLEGAL,
    ),
    gradients=("logits",),
    known_bugs=COMMON,
    conventions=(FLAT,),
    bad_inputs=refusals("categorical_fisher", ALONE),
    sizes=((16, 6), (4096, 6), (65536, 6), (512, 128)),
    exact=False,
    good=good(ALONE),
    sized=sized(ALONE),
)  # fmt: skip

CONTRACTS = (LOG_PROB, SCORE, ENTROPY, KL, FISHER, SAMPLE, EPSILON, BOLTZMANN)
