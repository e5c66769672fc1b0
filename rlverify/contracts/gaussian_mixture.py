"""Contracts of the topic `gaussian_mixture`: one of K diagonal Gaussians, picked by weight."""

from typing import Any

import numpy as np
from scipy import special

from rlverify.contract import Contract, Convention, Equivalent, Example, KnownBug
from rlverify.contracts._mixture_cases import (
    ACTING,
    DRAWING,
    GOOD_LINE,
    GOOD_LINES,
    MIXTURE,
    TWO,
    entropy_cases,
    good,
    in_the_plane,
    kl_cases,
    policies,
    refusals,
    sized,
)
from rlverify.contracts._mixture_laws import (
    ENTROPY_LAWS,
    KL_LAWS,
    LOG_PROB_LAWS,
    SAMPLE_LAWS,
    SCORE_LAWS,
)
from rlverify.contracts._refusals import instead
from rlverify.fast import gaussian_mixture as fast
from rlverify.inputs import worked
from rlverify.reference import gaussian_mixture as reference

SIZES = ((4, 3, 2), (64, 5, 6), (1024, 5, 6), (16384, 5, 6))
PARAMETERS = ("logits", "mean", "log_std")
TAKEN = (*PARAMETERS, "actions")
DRAWN = (*PARAMETERS, "uniforms", "normals")
INTEGRAL = "no closed form: the reference integrates it numerically along a line"

# --- known bugs ----------------------------------------------------------------------------------

Z, SPREAD = "np.exp(-log_std[k, d])", "- log_std[k, d] -"
JOINT_BUGS = (
    KnownBug(
        "D2a", Z, "np.exp(-log_std[k, d] / 2)", "_joint", ((SPREAD, "- log_std[k, d] / 2 -"),)
    ),
    KnownBug("D2b", "z**2 / 2", "z**2 * np.exp(log_std[k, d]) / 2", "_joint"),
    KnownBug("D2c", Z, "np.exp(-2 * log_std[k, d])", "_joint"),
)
LOG_PROB_BUGS = (
    KnownBug(
        "D1a", "joint[k] = joint[k] - z**2 / 2 - log_std[k, d] - HALF_LOG_2PI",
        "joint[k] = joint[k] - (z**2 / 2 + log_std[k, d] + HALF_LOG_2PI) / len(action)", "_joint",
    ),
    KnownBug("D1b", "return log_prob", "return np.full_like(log_prob, log_prob.sum())"),
    *JOINT_BUGS,
    KnownBug("D3", "(action[d] -", "(min(max(action[d], -1), 1) -", "_joint"),
)  # fmt: skip
SCORES = "return GaussianMixtureScore(of_logits, of_mean, of_log_std)"
PER_STD = "np.exp(-log_std[*i, k, d])"
SCORE_BUGS = (
    KnownBug(
        "D1a", SCORES,
        "count = actions.shape[-1]\n"
        "    return GaussianMixtureScore(of_logits, of_mean / count, of_log_std / count)",
    ),
    KnownBug(
        "D1b", SCORES,
        "sums = (np.full_like(each, each.sum()) for each in (of_logits, of_mean, of_log_std))\n"
        "    return GaussianMixtureScore(*sums)",
    ),
    KnownBug("D2a", PER_STD, "np.exp(-log_std[*i, k, d] / 2)"),
    KnownBug("D2b", "responsibility * z * per_std", "responsibility * z"),
    KnownBug("D3", "(actions[*i, d] -", "(min(max(actions[*i, d], -1), 1) -"),
)  # fmt: skip
MADE = "mean[*i, k, d] + np.exp(log_std[*i, k, d]) * normals[*i, d]"
SAMPLE_BUGS = (
    KnownBug("D2a", MADE, MADE.replace("log_std[*i, k, d]", "log_std[*i, k, d] / 2")),
    KnownBug("D2b", MADE, MADE.replace("log_std[*i, k, d]", "2 * log_std[*i, k, d]")),
    KnownBug("D3", MADE, f"min(max({MADE}, -1), 1)"),
)
ENTROPY_BUGS = (
    KnownBug("D9", "return entropy", "return -entropy"),
    KnownBug(
        "D13", "entropy[i] = _integral(summand, _ends(mean[i], log_std[i]))",
        "entropy[i] = sum(\n"
        "            np.exp(log_weights[k]) * (log_std[*i, k, 0] + HALF_LOG_2PI + 1 / 2)\n"
        "            for k in range(len(log_weights)))",
    ),
    JOINT_BUGS[0],
)  # fmt: skip
KL_BUGS = JOINT_BUGS

REVERSED = Convention(
    "direction", "reversed", "KL(q ‖ p), with the arguments in this order",
    edits=((
        "kl = np.empty(",
        "logits_p, mean_p, log_std_p, logits_q, mean_q, log_std_q = (\n"
        "        logits_q, mean_q, log_std_q, logits_p, mean_p, log_std_p)\n"
        "    kl = np.empty(",
    ),),
)  # fmt: skip


def _normalised_last(logits: Any, mean: Any, log_std: Any, actions: Any) -> Any:
    z = (actions[..., None, :] - mean) / np.exp(log_std)
    joint = logits - (z**2 / 2 + log_std + np.log(2 * np.pi) / 2).sum(-1)
    return special.logsumexp(joint, axis=-1) - special.logsumexp(logits, axis=-1)


# --- contracts -----------------------------------------------------------------------------------


LOG_PROB_CONTRACT = Contract(
    name="gaussian_mixture_log_prob",
    topic="gaussian_mixture",
    summary="log-probability of actions under a mixture of diagonal Gaussians",
    source="Bishop 2006, eq. 9.7; Bishop 1994",
    reference=reference.gaussian_mixture_log_prob,
    fast=fast.gaussian_mixture_log_prob,
    arguments=ACTING,
    outputs=("log_prob",),
    axes=("...",),
    inputs=policies(TAKEN),
    examples=(),
    laws=LOG_PROB_LAWS,
    gradient_judged=True,
    gradients=TAKEN,
    known_bugs=LOG_PROB_BUGS,
    equivalents=(
        Equivalent(
            "normalised-last",
            "the logits are added as they are, and their log-sum-exp is taken off at the end: the "
            "weights need not sum to 1 before",
            _normalised_last,
        ),
    ),
    bad_inputs=refusals("gaussian_mixture_log_prob", TAKEN),
    sizes=SIZES,
    exact=False,
    good=good(TAKEN),
    sized=sized(TAKEN),
)
SCORE_CONTRACT = Contract(
    name="gaussian_mixture_score",
    topic="gaussian_mixture",
    summary="gradient of that log-probability, by the responsibilities",
    source="Bishop 2006, eq. 9.13 and section 9.2.2",
    reference=reference.gaussian_mixture_score,
    fast=fast.gaussian_mixture_score,
    arguments=ACTING,
    outputs=PARAMETERS,
    axes=("... K", "... K D", "... K D"),
    inputs=policies(TAKEN),
    examples=(
        Example(
            "two components at one place, one deviation of 1 below the action",
            worked("near", logits=[[0, 0]], mean=[[[1], [1]]], log_std=[[[0], [0]]], actions=[[3]]),
            {"logits": [["0", "0"]], "mean": [[["1"], ["1"]]], "log_std": [[["3/2"], ["3/2"]]]},
        ),
    ),
    laws=SCORE_LAWS,
    gradients=TAKEN,
    known_bugs=SCORE_BUGS,
    bad_inputs=refusals("gaussian_mixture_score", TAKEN),
    sizes=SIZES,
    exact=False,
    good=good(TAKEN),
    sized=sized(TAKEN),
)
SAMPLE_CONTRACT = Contract(
    name="gaussian_mixture_sample",
    topic="gaussian_mixture",
    summary="actions from a uniform that picks the component and normal numbers",
    source="Devroye 1986, sections III.2 and II.4",
    reference=reference.gaussian_mixture_sample,
    fast=fast.gaussian_mixture_sample,
    arguments=DRAWING,
    outputs=("actions",),
    axes=("... D",),
    inputs=policies(DRAWN),
    examples=(
        Example(
            "three quarters pick the second of two",
            worked(
                "near", logits=[[0, 0]], mean=[[[3], [5]]], log_std=[[[0], [0]]], uniforms=[0.75],
                normals=[[2]],
            ),
            {"actions": [["7"]]},
        ),
    ),
    laws=SAMPLE_LAWS,
    gradients=("mean", "log_std", "normals"),
    known_bugs=SAMPLE_BUGS,
    bad_inputs=refusals("gaussian_mixture_sample", DRAWN),
    sizes=SIZES,
    exact=False,
    good=good(DRAWN),
    sized=sized(DRAWN),
)  # fmt: skip
ENTROPY_CONTRACT = Contract(
    name="gaussian_mixture_entropy",
    topic="gaussian_mixture",
    summary="entropy of a mixture of Gaussians on a line, by quadrature",
    source="Cover and Thomas 2006, eq. 8.1",
    reference=reference.gaussian_mixture_entropy,
    fast=None,
    fast_absent=INTEGRAL,
    arguments=MIXTURE,
    outputs=("entropy",),
    axes=("...",),
    inputs=entropy_cases(),
    examples=(),
    laws=ENTROPY_LAWS,
    gradients=(),
    known_bugs=ENTROPY_BUGS,
    bad_inputs=(
        instead("gaussian_mixture_entropy", "mean", "wider", np.zeros((2, 3, 2)), ValueError,
            "log_std has shape (2, 3, 1), but mean has shape (2, 3, 2); they must agree."),
        in_the_plane("gaussian_mixture_entropy", "mean", "log_std"),
    ),
    sizes=SIZES,
    exact=False,
    good=GOOD_LINE,
    sized=lambda shape: sized(PARAMETERS)((*shape[:2], 1)),
)  # fmt: skip
KL_CONTRACT = Contract(
    name="gaussian_mixture_kl",
    topic="gaussian_mixture",
    summary="Kullback-Leibler divergence KL(p ‖ q) of mixtures on a line, by quadrature",
    source="Cover and Thomas 2006, eq. 8.46",
    reference=reference.gaussian_mixture_kl,
    fast=None,
    fast_absent=INTEGRAL,
    arguments=TWO,
    outputs=("kl",),
    axes=("...",),
    inputs=kl_cases(),
    examples=(),
    laws=KL_LAWS,
    gradients=(),
    known_bugs=KL_BUGS,
    conventions=(REVERSED,),
    bad_inputs=(
        instead("gaussian_mixture_kl", "mean_q", "a component more", np.zeros((2, 3, 1)),
                ValueError,
                "mean_q has shape (2, 3, 1), but logits_q has shape (2, 2); they must agree."),
    ),
    sizes=SIZES,
    exact=False,
    good=GOOD_LINES,
    sized=lambda shape: GOOD_LINES,
)  # fmt: skip

CONTRACTS = (
    LOG_PROB_CONTRACT,
    SCORE_CONTRACT,
    SAMPLE_CONTRACT,
    ENTROPY_CONTRACT,
    KL_CONTRACT,
)
