"""Contracts of the topic `tanh_gaussian`: a diagonal Gaussian squashed by tanh."""

import functools
import math
from collections.abc import Iterable

import numpy as np

from rlverify.contract import (
    Argument,
    Case,
    Claim,
    Contract,
    Convention,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._gaussian_cases import (
    GOOD,
    POLICY,
    SIZES,
    good,
    narrow_policies,
    policies,
    refusals,
    sized,
)
from rlverify.contracts._gaussian_laws import (
    COMPONENTS_ADD,
    FAR_OUT,
    ROWS,
    density_law,
    log_tanh_slope,
    one,
    sample_laws,
)
from rlverify.contracts._lattice import REACH, nodes, quadrature_error
from rlverify.contracts._measured import exactly, known_within, measured, vanishes
from rlverify.fast import tanh_gaussian as fast
from rlverify.reference import tanh_gaussian as reference
from rlverify.rounding import Tracked

KINDS = ("near", "near", "squashed", "squashed", "saturated", "narrow", "wide")
# spacing at which a sum over log(1 − tanh²), with poles at ±iπ/2, is exact to rounding
FINE = 0.125
SLOPE = "2 * (LOG_TWO - u - _softplus(-2 * u))"

LOG_PROB_BUGS = (
    KnownBug("D1a", "log_prob[i] = total", "log_prob[i] = total / mean.shape[-1]"),
    KnownBug("D1b", "return log_prob", "return np.full_like(log_prob, log_prob.sum())"),
    KnownBug(
        "D2", "np.exp(spread[*i, d])", "np.exp(spread[*i, d] / 2)",
        also=(("/ 2 - spread[*i, d]", "/ 2 - spread[*i, d] / 2"),),
    ),
    KnownBug("D4", " - log_slope", ""),
    KnownBug("D5", SLOPE, "np.log(1 - np.tanh(np.tanh(u)) ** 2)"),
    KnownBug("D6a", SLOPE, "np.log(1 - np.tanh(u) ** 2)"),
    KnownBug("D6b", SLOPE, "np.log(1 - np.tanh(u) ** 2 + 1e-6)"),
    KnownBug("D7", SLOPE, f"LOG_TWO + {SLOPE}"),
    KnownBug(
        "D8", "u = pre_tanh[*i, d]",
        "a = min(max(np.tanh(pre_tanh[*i, d]), 1e-6 - 1), 1 - 1e-6)\n"
        "            u = np.log((1 + a) / (1 - a)) / 2",
    ),
)  # fmt: skip
MADE = "mean[i] + np.exp(spread[i]) * normals[i]"
SAMPLE_BUGS = (
    KnownBug("D2a", "np.exp(spread[i])", "np.exp(spread[i] / 2)"),
    KnownBug("D2b", "np.exp(spread[i])", "np.exp(2 * spread[i])"),
    KnownBug("D5", "np.tanh(pre_tanh[i])", "np.tanh(np.tanh(pre_tanh[i]))"),
    KnownBug(
        "D8", "actions[i] = np.tanh(pre_tanh[i])",
        "actions[i] = min(max(np.tanh(pre_tanh[i]), 1e-6 - 1), 1 - 1e-6)\n"
        "        pre_tanh[i] = np.log((1 + actions[i]) / (1 - actions[i])) / 2",
    ),
)  # fmt: skip
ENTROPY_BUGS = (
    KnownBug("D2", "np.exp(spread[*i, d])", "np.exp(spread[*i, d] / 2)"),
    KnownBug("D4", "+ (1 + LOG_TWO_PI) / 2 + slope", "+ (1 + LOG_TWO_PI) / 2"),
    KnownBug("D9", "entropy[i], error[i] = total", "entropy[i], error[i] = -total"),
    KnownBug("D10", "error[i] = total, bound", "error[i] = total / mean.shape[-1], bound"),
)  # fmt: skip

TORCH_SOFTPLUS = Convention(
    "softplus", "linear-above-20",
    "softplus(x) is taken for x above 20, as torch.nn.functional.softplus does by default: 2·10⁻⁹ "
    "is dropped, which float32 cannot see and float64 can",
    edits=(("if x > 0 else", "if 20 >= x > 0 else x if x > 20 else"),),
    helper="_softplus",
)  # fmt: skip


def check_squashed(subject: Subject, case: Case) -> Iterable[Claim]:
    """The action is tanh of the number beside it."""
    got, allowed = subject(case), subject.bound(case)
    before = measured(got["pre_tanh"], allowed["pre_tanh"])
    actions = measured(got["actions"], allowed["actions"])
    for i in np.ndindex(before.shape):
        yield vanishes(actions[i] - np.tanh(before[i]))


# --- entropy -------------------------------------------------------------------------------------


def alone(case: Case) -> Case:
    """Return one component of one row."""
    mean, log_std = one(case["mean"]), one(case["log_std"])
    return case.but(mean=np.array([[mean]]), log_std=np.array([[log_std]]))


@functools.lru_cache(4096)
def entropy_on_lattice(mean: float, log_std: float) -> tuple[Tracked, float]:
    """Return the entropy summed over a lattice of spacing h, and a bound on its error.

    Besides that of z², it is that of log(1 − tanh²), analytic for |Im u| < π/2: with the half-width
    a = min(9, 1.5/σ) in z, 4 e^(a²/2) (|μ| + σ + 4.2)/(e^(2πaσ/h) − 1), and a tail (Trefethen
    and Weideman 2014, theorem 5.1; |cosh(x + iy)| ≥ cosh x cos y bounds the integrand).
    """
    points, spacing = nodes(mean, log_std, at_most=FINE)
    std, constant = exactly(log_std).exp(), exactly(2 * math.pi).log() / 2 + log_std
    total = exactly(0.0)
    for u in points:
        z = (exactly(u) - mean) / std
        surprise = z**2 / 2 + constant + log_tanh_slope(float(u))
        total = total + (-(z**2) / 2).exp() * spacing / std * surprise
    sigma = math.exp(log_std)
    width, scale = min(REACH, 1.5 / sigma), abs(mean) + sigma + 4.2
    strip = 4 * math.exp(width**2 / 2) * scale / math.expm1(2 * math.pi * width * sigma / spacing)
    rest = quadrature_error(2) + (abs(float(constant)) + 2 * scale) * quadrature_error(1)
    return total / exactly(2 * math.pi).sqrt(), strip + rest


def check_other_lattice(subject: Subject, case: Case) -> Iterable[Claim]:
    """The sum over another lattice is the same: both are the integral."""
    here = alone(case)
    got, allowed = subject(here), subject.bound(here)
    entropy = known_within(got["entropy"][0], allowed["entropy"][0])
    wanted, slack = entropy_on_lattice(one(here["mean"]), one(here["log_std"]))
    yield vanishes(entropy - wanted, got["error"][0] + slack)


def check_uniform_is_most(subject: Subject, case: Case) -> Iterable[Claim]:
    """No density on (−1, 1) has more entropy than the uniform one, log 2 a component."""
    got, allowed = subject(case), subject.bound(case)
    most = case["mean"].shape[-1] * np.log(2)
    excess = np.maximum(got["entropy"] - most, 0)
    yield Claim(excess, np.zeros(excess.shape), allowed["entropy"] + got["error"])


LOG_PROB_CONTRACT = Contract(
    name="tanh_gaussian_log_prob",
    topic="tanh_gaussian",
    summary="log-density of the action tanh(u), from u",
    source="Haarnoja et al. 2018, arXiv:1801.01290, appendix C, eq. 21",
    reference=reference.tanh_gaussian_log_prob,
    fast=fast.tanh_gaussian_log_prob,
    arguments=(*POLICY, Argument("pre_tanh", "float", "... D")),
    outputs=("log_prob",),
    axes=("...",),
    inputs=policies(KINDS, "pre_tanh"),
    examples=(),
    laws=(density_law("pre_tanh", log_tanh_slope), COMPONENTS_ADD, ROWS, FAR_OUT),
    gradient_judged=True,
    gradients=("mean", "log_std", "pre_tanh"),
    known_bugs=LOG_PROB_BUGS,
    conventions=(TORCH_SOFTPLUS,),
    bad_inputs=refusals("tanh_gaussian_log_prob", "mean", "log_std", "pre_tanh"),
    sizes=SIZES,
    exact=False,
    good=good("pre_tanh"),
    sized=sized("pre_tanh"),
)
SAMPLE_CONTRACT = Contract(
    name="tanh_gaussian_sample",
    topic="tanh_gaussian",
    summary="squashed actions from standard normal numbers, with what they were squashed from",
    source="Haarnoja et al. 2018, arXiv:1801.01290, appendix C",
    reference=reference.tanh_gaussian_sample,
    fast=fast.tanh_gaussian_sample,
    arguments=(*POLICY, Argument("normals", "float", "... D")),
    outputs=("actions", "pre_tanh"),
    inputs=policies(KINDS, "normals"),
    examples=(
        Example(
            "back to the middle",
            Case(
                {
                    "mean": np.array([[2.0]]),
                    "log_std": np.array([0.0]),
                    "normals": np.array([[-2.0]]),
                },
                "near",
                "worked by hand",
            ),
            {"actions": [["0"]], "pre_tanh": [["0"]]},
        ),
    ),
    laws=(
        *sample_laws("pre_tanh"),
        Law("squashed", "the action is tanh of the number beside it", check_squashed),
    ),
    gradients=("mean", "log_std", "normals"),
    known_bugs=SAMPLE_BUGS,
    bad_inputs=refusals("tanh_gaussian_sample", "mean", "log_std", "normals"),
    sizes=SIZES,
    exact=False,
    good=good("normals"),
    sized=sized("normals"),
)
ENTROPY_CONTRACT = Contract(
    name="tanh_gaussian_entropy",
    topic="tanh_gaussian",
    summary="differential entropy of the squashed action, by quadrature with a proved error",
    source="Haarnoja et al. 2018, arXiv:1801.01290, eq. 21; Trefethen and Weideman 2014, "
    "theorem 5.1",
    reference=reference.tanh_gaussian_entropy,
    fast=None,
    fast_absent="it has no closed form: quadrature, for the reference alone",
    arguments=POLICY,
    outputs=("entropy", "error"),
    axes=("...", "..."),
    inputs=narrow_policies(),
    examples=(),
    laws=(
        COMPONENTS_ADD,
        Law("other-lattice", "summed over another lattice it is the same", check_other_lattice),
        Law("uniform-is-most", "it is at most that of a uniform action", check_uniform_is_most),
    ),
    gradients=("mean", "log_std"),
    known_bugs=ENTROPY_BUGS,
    bad_inputs=refusals("tanh_gaussian_entropy", "mean", "log_std", "mean")[:7],
    sizes=(),
    exact=False,
    good=Case(GOOD, "near", "good"),
)

CONTRACTS = (LOG_PROB_CONTRACT, SAMPLE_CONTRACT, ENTROPY_CONTRACT)
