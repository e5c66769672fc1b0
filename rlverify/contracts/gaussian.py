"""Contracts of the topic `gaussian`: the diagonal Gaussian policy."""

from typing import Any

import numpy as np

from rlverify.contract import Argument, Case, Contract, Convention, Equivalent, Example, KnownBug
from rlverify.contracts._gaussian_cases import (
    GOOD,
    POLICY,
    SIZES,
    THIRD,
    good,
    pairs,
    policies,
    refusals,
    sized,
    spread_refusals,
    spreads,
)
from rlverify.contracts._gaussian_laws import (
    COMPONENTS_ADD,
    ENTROPY_LAWS,
    FISHER_LAWS,
    KL_LAWS,
    REFLECTION,
    ROWS,
    SCORE_LAWS,
    density_law,
    sample_laws,
)
from rlverify.fast import gaussian as fast
from rlverify.inputs import worked
from rlverify.reference import gaussian as reference

ACTIONS = (*POLICY, Argument("actions", "float", "... D"))
SPREAD = (Argument("log_std", "float", "... D"),)
KINDS = ("near", "near", "far", "peak", "narrow", "wide")

# --- known bugs ----------------------------------------------------------------------------------

SUMMED = "log_prob[i] = total"
LOG_PROB_BUGS = (
    KnownBug("D1a", SUMMED, "log_prob[i] = total / mean.shape[-1]"),
    KnownBug("D1b", "return log_prob", "return np.full_like(log_prob, log_prob.sum())"),
    KnownBug(
        "D2a", "np.exp(spread[*i, d])", "np.exp(spread[*i, d] / 2)",
        also=(("/ 2 - spread[*i, d]", "/ 2 - spread[*i, d] / 2"),),
    ),
    KnownBug("D2b", "z**2 +", "z**2 * np.exp(spread[*i, d]) +"),
    KnownBug("D2c", "np.exp(spread[*i, d])", "np.exp(2 * spread[*i, d])"),
    KnownBug("D3", "(actions[*i, d] -", "(min(max(actions[*i, d], -1), 1) -"),
)  # fmt: skip
SCORE_BUGS = (
    KnownBug(
        "D1a", "return Score(of_mean, of_log_std)",
        "return Score(of_mean / mean.shape[-1], of_log_std / mean.shape[-1])",
    ),
    KnownBug("D2a", "np.exp(spread[i])", "np.exp(spread[i] / 2)"),
    KnownBug("D2b", "of_mean[i] = z / std", "of_mean[i] = z"),
    KnownBug("D2c", "z**2 - 1", "(z**2 - 1) / std"),
    KnownBug("D3", "(actions[i] -", "(min(max(actions[i], -1), 1) -"),
)  # fmt: skip
TOTAL = "entropy[i] = total"
ENTROPY_BUGS = (
    KnownBug("D2", "2 * log_std[*i, d]", "log_std[*i, d]"),
    KnownBug("D9", TOTAL, "entropy[i] = -total"),
    KnownBug("D10a", TOTAL, "entropy[i] = total / log_std.shape[-1]"),
    KnownBug(
        "D10b", "return entropy", "return np.full_like(entropy, entropy.sum() / log_std.size)"
    ),
    KnownBug("D13", "+ 1 + LOG_TWO_PI", "+ 2 + 2 * math.log(2)"),
)  # fmt: skip
KL_TERM = "(_exponential_rest(2 * ratio) + delta**2) / 2"
KL_BUGS = (
    KnownBug("D1a", "divergence[i] = total", "divergence[i] = total / mean_p.shape[-1]"),
    KnownBug("D1b", "return divergence", "return np.full_like(divergence, divergence.sum())"),
    KnownBug(
        "D2a", "np.exp(spread_q[*i, d])", "np.exp(spread_q[*i, d] / 2)",
        also=(("_exponential_rest(2 * ratio)", "_exponential_rest(ratio)"),),
    ),
    KnownBug("D2b", "_exponential_rest(2 * ratio)", "np.exp(ratio) - 1 - 2 * ratio"),
    KnownBug(
        "F4", KL_TERM, "np.exp(2 * spread_p[*i, d]) - ratio + delta**2 / 2 - 1 / 2"
    ),
)  # fmt: skip
FISHER_BUGS = (
    KnownBug("D2a", "np.exp(-2 * log_std[i])", "np.exp(-log_std[i])"),
    KnownBug("D2b", "of_log_std[i] = 2", "of_log_std[i] = 2 * of_mean[i]"),
    KnownBug("D2c", "of_log_std[i] = 2", "of_log_std[i] = 1 / 2"),
)
MADE = "mean[i] + np.exp(spread[i]) * normals[i]"
SAMPLE_BUGS = (
    KnownBug("D2a", "np.exp(spread[i])", "np.exp(spread[i] / 2)"),
    KnownBug("D2b", "np.exp(spread[i])", "np.exp(2 * spread[i])"),
    KnownBug("D3", MADE, f"min(max({MADE}, -1), 1)"),
)

# --- conventions and forms that look wrong -------------------------------------------------------

TEXTBOOK = Convention(
    "evaluation", "textbook",
    "log(σq/σp) + (σp² + (μp − μq)²)/2σq² − ½, as most libraries have it: the same number, but "
    "beside the ½ nothing is left of a small divergence",
    edits=(
        ("ratio = spread_p[*i, d] - spread_q[*i, d]",
         "std_p, std_q = np.exp(spread_p[*i, d]), np.exp(spread_q[*i, d])"),
        ("delta = (mean_p[*i, d] - mean_q[*i, d]) / np.exp(spread_q[*i, d])",
         "delta = (mean_p[*i, d] - mean_q[*i, d]) / std_q"),
        (f"total + {KL_TERM}",
         "total - np.log((std_p / std_q) ** 2) / 2 + ((std_p / std_q) ** 2 + delta**2) / 2 "
         "- 1 / 2"),
    ),
)  # fmt: skip
REVERSED = Convention(
    "direction", "reversed", "KL(q ‖ p), with the arguments in this order",
    edits=((
        "spread_p = np.broadcast_to(",
        "mean_p, log_std_p, mean_q, log_std_q = mean_q, log_std_q, mean_p, log_std_p\n"
        "    spread_p = np.broadcast_to(",
    ),),
)  # fmt: skip


def _with_variance(mean: Any, log_std: Any, actions: Any) -> Any:
    variance = np.exp(2 * log_std)
    terms = (actions - mean) ** 2 / variance + 2 * log_std + np.log(2 * np.pi)
    return -terms.sum(-1) / 2


# --- contracts -----------------------------------------------------------------------------------


LOG_PROB_CONTRACT = Contract(
    name="gaussian_log_prob",
    topic="gaussian",
    summary="log-density of actions under a diagonal Gaussian, summed over its components",
    source="Bishop 2006, eq. 2.42; Williams 1992, section 6",
    reference=reference.gaussian_log_prob,
    fast=fast.gaussian_log_prob,
    arguments=ACTIONS,
    outputs=("log_prob",),
    axes=("...",),
    inputs=policies(KINDS, "actions"),
    examples=(),
    laws=(density_law("actions"), COMPONENTS_ADD, ROWS, REFLECTION),
    gradient_judged=True,
    gradients=("mean", "log_std", "actions"),
    known_bugs=LOG_PROB_BUGS,
    equivalents=(
        Equivalent(
            "log-variance",
            "from the log-variance, unsquared: log σ² is 2 log σ, and the square of the distance "
            "is divided by the variance as it is (pat-coady/trpo#25)",
            _with_variance,
        ),
    ),
    bad_inputs=refusals("gaussian_log_prob", "mean", "log_std", "actions"),
    sizes=SIZES,
    exact=False,
    good=good("actions"),
    sized=sized("actions"),
)
SCORE_CONTRACT = Contract(
    name="gaussian_score",
    topic="gaussian",
    summary="gradient of that log-density in mean and log σ, component by component",
    source="Williams 1992, section 6",
    reference=reference.gaussian_score,
    fast=fast.gaussian_score,
    arguments=ACTIONS,
    outputs=("mean", "log_std"),
    inputs=policies(KINDS, "actions"),
    examples=(
        Example(
            "three deviations of 1, and a half of one",
            worked("near", mean=[[1.0, 2.0]], log_std=[0.0, 0.0], actions=[[4.0, 1.5]]),
            {"mean": [["3", "-1/2"]], "log_std": [["8", "-3/4"]]},
        ),
    ),
    laws=SCORE_LAWS,
    gradients=("mean", "log_std", "actions"),
    known_bugs=SCORE_BUGS,
    bad_inputs=refusals("gaussian_score", "mean", "log_std", "actions"),
    sizes=SIZES,
    exact=False,
    good=good("actions"),
    sized=sized("actions"),
)
ENTROPY_CONTRACT = Contract(
    name="gaussian_entropy",
    topic="gaussian",
    summary="differential entropy of a diagonal Gaussian, summed over its components",
    source="Bishop 2006, eq. 1.110",
    reference=reference.gaussian_entropy,
    fast=fast.gaussian_entropy,
    arguments=SPREAD,
    outputs=("entropy",),
    axes=("...",),
    inputs=spreads(),
    examples=(),
    laws=ENTROPY_LAWS,
    gradient_judged=True,
    gradients=("log_std",),
    known_bugs=ENTROPY_BUGS,
    bad_inputs=spread_refusals("gaussian_entropy"),
    sizes=SIZES,
    exact=False,
    good=Case({"log_std": GOOD["mean"]}, "near", "good"),
    sized=lambda shape: Case({"log_std": sized("actions")(shape)["actions"]}, "near", "sized"),
)
KL_CONTRACT = Contract(
    name="gaussian_kl",
    topic="gaussian",
    summary="Kullback-Leibler divergence between diagonal Gaussians, KL(p ‖ q)",
    source="Kullback and Leibler 1951, section 2; Bishop 2006, exercise 2.13",
    reference=reference.gaussian_kl,
    fast=fast.gaussian_kl,
    arguments=(
        Argument("mean_p", "float", "... D"),
        Argument("log_std_p", "float", "... D"),
        Argument("mean_q", "float", "... D"),
        Argument("log_std_q", "float", "... D"),
    ),
    outputs=("kl",),
    axes=("...",),
    inputs=pairs(),
    examples=(
        Example(
            "equal deviations of 1: half the squared distance",
            worked(
                "near", mean_p=[[1.0, 2.0]], log_std_p=[0.0, 0.0], mean_q=[[4.0, 1.0]],
                log_std_q=[0.0, 0.0],
            ),
            {"kl": ["5"]},
        ),
    ),
    laws=KL_LAWS,
    gradient_judged=True,
    gradients=("mean_p", "log_std_p", "mean_q", "log_std_q"),
    known_bugs=KL_BUGS,
    conventions=(TEXTBOOK, REVERSED),
    bad_inputs=(
        *refusals("gaussian_kl", "mean_p", "log_std_p", "mean_q"),
        *refusals("gaussian_kl", "mean_p", "log_std_q", "mean_q")[4:7],
    ),
    sizes=SIZES,
    exact=False,
    good=Case(
        {
            "mean_p": GOOD["mean"], "log_std_p": GOOD["log_std"],
            "mean_q": THIRD, "log_std_q": GOOD["log_std"][::-1].copy(),
        },
        "apart",
        "good",
    ),
    sized=lambda shape: Case(
        {
            "mean_p": (case := sized("mean_q")(shape))["mean"], "log_std_p": case["log_std"],
            "mean_q": case["mean_q"], "log_std_q": case["log_std"][::-1].copy(),
        },
        "apart",
        "sized",
    ),
)  # fmt: skip
FISHER_CONTRACT = Contract(
    name="gaussian_fisher",
    topic="gaussian",
    summary="Fisher information of a diagonal Gaussian in mean and log σ, its diagonal",
    source="Amari 1998, section 2",
    reference=reference.gaussian_fisher,
    fast=fast.gaussian_fisher,
    arguments=SPREAD,
    outputs=("mean", "log_std"),
    inputs=spreads(),
    examples=(
        Example(
            "deviations of 1",
            worked("near", log_std=[[0.0, 0.0, 0.0]]),
            {"mean": [["1", "1", "1"]], "log_std": [["2", "2", "2"]]},
        ),
    ),
    laws=FISHER_LAWS,
    gradients=("log_std",),
    known_bugs=FISHER_BUGS,
    bad_inputs=spread_refusals("gaussian_fisher"),
    sizes=SIZES,
    exact=False,
    good=Case({"log_std": GOOD["mean"]}, "near", "good"),
    sized=lambda shape: Case({"log_std": sized("actions")(shape)["actions"]}, "near", "sized"),
)
SAMPLE_CONTRACT = Contract(
    name="gaussian_sample",
    topic="gaussian",
    summary="actions from standard normal numbers, μ + σ ξ",
    source="Kingma and Welling 2014, arXiv:1312.6114, section 2.4",
    reference=reference.gaussian_sample,
    fast=fast.gaussian_sample,
    arguments=(*POLICY, Argument("normals", "float", "... D")),
    outputs=("actions",),
    inputs=policies(KINDS, "normals"),
    examples=(
        Example(
            "deviations of 1",
            worked("near", mean=[[5.0, 7.0]], log_std=[0.0, 0.0], normals=[[-1.0, 2.0]]),
            {"actions": [["4", "9"]]},
        ),
    ),
    laws=sample_laws("actions"),
    gradients=("mean", "log_std", "normals"),
    known_bugs=SAMPLE_BUGS,
    bad_inputs=refusals("gaussian_sample", "mean", "log_std", "normals"),
    sizes=SIZES,
    exact=False,
    good=good("normals"),
    sized=sized("normals"),
)

CONTRACTS = (
    LOG_PROB_CONTRACT,
    SCORE_CONTRACT,
    ENTROPY_CONTRACT,
    KL_CONTRACT,
    FISHER_CONTRACT,
    SAMPLE_CONTRACT,
)
