"""Contracts of the topic `traces`: off-policy returns and V-trace."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from rlverify.contract import Case, Contract, Convention, Equivalent, Example, KnownBug
from rlverify.contracts import _trace_forms as forms
from rlverify.contracts import _trace_laws as laws
from rlverify.contracts._recordings import (
    SIZES,
    open_ended,
    start_flags,
    transposed,
    transposed_back,
)
from rlverify.contracts._trace_cases import (
    bad_traces,
    good_traces,
    long_traces,
    sized_traces,
    trace_arguments,
    trace_recordings,
)
from rlverify.fast import traces as fast
from rlverify.reference import traces as reference

VALUES = ("rewards", "q_taken", "next_state_values")
FLAGS = ("terminated", "truncated", "gamma")
GENERAL = (*VALUES, "coefficients", *FLAGS)
RATIOS = (*VALUES, "log_ratios", *FLAGS, "lam")
PROBABILITIES = (*VALUES, "target_probabilities", *FLAGS, "lam")
LEVELS = ("rho_bar", "c_bar", "rho_bar_advantage")
VTRACE = ("rewards", "values", "next_values", "log_ratios", *FLAGS, "lam", *LEVELS)
DIFFERENTIABLE = (*VALUES, "gamma")

# --- what all off-policy returns share -----------------------------------------------------------

CUT = "cut = terminated[t, b] or truncated[t, b] or t == steps - 1"
BOOTSTRAP = "0 if terminated[t, b] else next_state_values[t, b]"
NEXT = "coefficients[t + 1, b]"
CARRIED = f"carried = 0 if cut else discount[t, b] * {NEXT} * correction"
SHIFTED_REWARD = "(rewards[t - 1, b] if t else 0)"
LATE = "max(t - 1, 0)"


def in_helper(bug_id: str, right: str, wrong: str) -> KnownBug:
    """Return a mistake in the recursion that all off-policy returns share."""
    return KnownBug(bug_id, right, wrong, helper="_corrected")


RECURSION_BUGS = (
    in_helper("A4", BOOTSTRAP, "next_state_values[t, b]"),
    in_helper("A8", "0 if terminated[t, b] else", "0 if terminated[t, b] or t == steps - 1 else"),
    in_helper("A10", "delta = rewards[t, b] +", f"delta = {SHIFTED_REWARD} +"),
    in_helper("B1", "0 if terminated[t, b] else", "0 if terminated[t, b] or truncated[t, b] else"),
    in_helper("A24", BOOTSTRAP, "0 if terminated[t, b] or (truncated[t, b] and "
              "any(discount.strides)) else next_state_values[t, b]"),
    in_helper("B5", BOOTSTRAP,
              "0 if terminated[t, b] and not truncated[t, b] else next_state_values[t, b]"),
    in_helper("B2", CUT, CUT.replace(" or truncated[t, b]", "")),
    in_helper("C4", CUT, "cut = t == steps - 1"),
    in_helper("G2", "correction = delta + carried",
              "correction = 0 if t == steps - 1 else delta + carried"),
    in_helper("G8", NEXT, "coefficients[t, b]"),
    in_helper("G9", "correction = delta + carried",
              "correction = coefficients[t, b] * delta + carried"),
    in_helper("G11", CUT, CUT.replace("[t, b]", f"[{LATE}, b]")),
    in_helper("G17", "correction = delta + carried",
              "correction = coefficients[t, b] * (delta + (0 if cut else discount[t, b] * "
              "correction))"),
    in_helper("A19", "return returns", "return returns.squeeze()"),
    in_helper("C14", "return returns", "return returns.reshape(batch, steps).T"),
)  # fmt: skip

# the recursion is the same function for all; retrace shows every mistake in it
FEW_BUGS = tuple(
    bug
    for bug in RECURSION_BUGS
    if bug.id in ("A4", "A24", "B1", "B2", "B5", "C4", "G8", "G9", "C14")
)

CONVENTIONS = (
    Convention(
        "layout", "batch-major", "recordings are given and returned as [B, T]",
        inputs=transposed, outputs=transposed_back,
    ),
    Convention(
        "done", "start", "flags say whether the state before the step began a new episode",
        inputs=start_flags, nearest=open_ended,
    ),
)  # fmt: skip
CORRECTION = Convention(
    "target", "correction", "the correction alone, the target minus Q(s, a) (rlax)",
    edits=(("returns[t, b] = q_taken[t, b] + correction", "returns[t, b] = correction"),),
    helper="_corrected",
)  # fmt: skip


def example(names: tuple[str, ...], answers: list[str], **changes: object) -> Example:
    """Return four steps of one column: a termination after step 1, then one that goes on."""
    column = np.array([[1.0], [2.0], [3.0], [4.0]])
    everything: dict[str, object] = {
        "rewards": column,
        "q_taken": column * 2,
        "values": column * 2,
        "next_state_values": np.array([[8.0], [100.0], [6.0], [2.0]]),
        "next_values": np.array([[8.0], [100.0], [6.0], [2.0]]),
        "coefficients": np.array([[9.0], [0.5], [9.0], [0.25]]),
        "target_probabilities": np.array([[1.0], [1.0], [0.0], [0.5]]),
        "log_ratios": np.zeros((4, 1)),
        "terminated": np.array([[False], [True], [False], [False]]),
        "truncated": np.zeros((4, 1), dtype=bool),
        "gamma": 0.5,
        "lam": 0.5,
        **changes,
    }
    case = Case({name: everything[name] for name in names}, label="worked by hand")
    return Example("a termination inside", case, {"returns": [[answer] for answer in answers]})


def ones(case: Case) -> Case:
    """Return the case on policy."""
    return case.but(log_ratios=np.zeros_like(case["rewards"]))


def certain(case: Case) -> Case:
    """Return the case of a target policy without choice."""
    return case.but(target_probabilities=np.ones_like(case["rewards"]))


def halves(case: Case) -> Case:
    """Return the case with every coefficient one half."""
    return case.but(coefficients=np.full_like(case["rewards"], 0.5))


GENERAL_CONTRACT = Contract(
    name="off_policy_return",
    topic="traces",
    summary="returns of a target policy, corrected with coefficients of trust",
    source="Munos et al. 2016, arXiv:1606.02647, eq. 3",
    reference=reference.off_policy_return,
    fast=fast.off_policy_return,
    arguments=trace_arguments(GENERAL),
    outputs=("returns",),
    inputs=trace_recordings(GENERAL),
    # corrections, last to first: 4 + 1 − 8, 3 + 3 − 6 − 3/8, 2 − 4, 1 + 4 − 2 − 1/2
    examples=(example(GENERAL, ["9/2", "2", "45/8", "5"]),),
    laws=laws.return_laws(
        "coefficients", laws.given, halves, Fraction(1, 2), ("coefficients", 0.0)
    ),
    gradients=(*DIFFERENTIABLE[:3], "coefficients", "gamma"),
    known_bugs=FEW_BUGS,
    conventions=(*CONVENTIONS, CORRECTION),
    equivalents=(
        Equivalent("the target carried", "r + γ(V' − cQ + cG), with c = 0 at a cut (rlax)",
                   forms.direct),
        Equivalent("errors summed forwards", "Q + Σ γᵏ c … c δ, as the paper prints it",
                   forms.summed),
    ),
    bad_inputs=bad_traces("off_policy_return", GENERAL),
    sizes=SIZES,
    sized=sized_traces(GENERAL),
    good=good_traces(GENERAL),
    long_cases=long_traces(GENERAL),
)  # fmt: skip


def inverted() -> KnownBug:
    """Return the mistake of an inverted ratio."""
    return KnownBug("E6", "np.exp(log_ratios[i])", "np.exp(-log_ratios[i])")


LIKELIHOOD_CONTRACT = Contract(
    name="importance_sampling_return",
    topic="traces",
    summary="returns of a target policy, every later step weighted with its ratio",
    source="Munos et al. 2016, arXiv:1606.02647, section 3; Precup et al. 2000",
    reference=reference.importance_sampling_return,
    fast=fast.importance_sampling_return,
    arguments=trace_arguments(RATIOS),
    outputs=("returns",),
    inputs=trace_recordings(RATIOS),
    examples=(example(RATIOS, ["9/2", "2", "21/4", "5"]),),
    laws=laws.return_laws("log_ratios", laws.likelihood, ones, "lam", ("lam", 0.0)),
    gradients=DIFFERENTIABLE,
    known_bugs=(
        *FEW_BUGS,
        inverted(),
        KnownBug("G7d", "lam * np.exp", "np.exp"),
        KnownBug("G13", "np.exp(log_ratios[i])", "np.exp(2 * log_ratios[i])"),
    ),
    conventions=(*CONVENTIONS, CORRECTION),
    bad_inputs=bad_traces("importance_sampling_return", RATIOS),
    exact=False,
    sizes=SIZES,
    sized=sized_traces(RATIOS),
    good=good_traces(RATIOS),
)

RETRACE_CONTRACT = Contract(
    name="retrace",
    topic="traces",
    summary="returns of a target policy, with traces cut where it would not have acted so",
    source="Munos et al. 2016, arXiv:1606.02647, section 3",
    reference=reference.retrace,
    fast=fast.retrace,
    arguments=trace_arguments(RATIOS),
    outputs=("returns",),
    inputs=trace_recordings(RATIOS),
    examples=(
        example(RATIOS, ["9/2", "2", "21/4", "5"],
                log_ratios=np.array([[-9.0], [1.0], [-9.0], [40.0]])),
    ),
    laws=laws.return_laws("log_ratios", laws.truncated_likelihood, ones, "lam", ("lam", 0.0)),
    gradients=DIFFERENTIABLE,
    known_bugs=(
        *RECURSION_BUGS,
        inverted(),
        KnownBug("G7a", "limited(np.exp(log_ratios[i]), 0, 1)",
                 "limited(np.exp(log_ratios[i]), 1, np.inf)"),
        KnownBug("G7b", "limited(np.exp(log_ratios[i]), 0, 1)",
                 "np.exp(limited(log_ratios[i], -np.inf, 1))"),
        KnownBug("G7d", "lam * limited", "limited"),
        KnownBug("G7e", "limited(np.exp(log_ratios[i]), 0, 1)", "np.exp(log_ratios[i])"),
        KnownBug("G13", "np.exp(log_ratios[i])", "np.exp(2 * log_ratios[i])"),
    ),
    conventions=(*CONVENTIONS, CORRECTION),
    equivalents=(
        Equivalent("clipped logarithm", "exp(min(0, log ρ)) is min(1, ρ)",
                   forms.clipped_logarithm),
    ),
    bad_inputs=bad_traces("retrace", RATIOS),
    exact=False,
    sizes=SIZES,
    sized=sized_traces(RATIOS),
    good=good_traces(RATIOS),
    long_cases=long_traces(RATIOS),
)  # fmt: skip

BACKUP_CONTRACT = Contract(
    name="tree_backup",
    topic="traces",
    summary="returns of a target policy that need not know which policy acted",
    source="Precup et al. 2000; Munos et al. 2016, arXiv:1606.02647, section 3",
    reference=reference.tree_backup,
    fast=fast.tree_backup,
    arguments=trace_arguments(PROBABILITIES),
    outputs=("returns",),
    inputs=trace_recordings(PROBABILITIES),
    examples=(example(PROBABILITIES, ["9/2", "2", "45/8", "5"]),),
    laws=laws.return_laws(
        "target_probabilities", laws.probability, certain, "lam", ("lam", 0.0)
    ),
    gradients=DIFFERENTIABLE,
    known_bugs=(
        *FEW_BUGS,
        KnownBug("G7d", "lam * target_probabilities", "target_probabilities"),
        KnownBug("G13", "lam * target_probabilities[i]",
                 "lam * target_probabilities[i] * target_probabilities[i]"),
    ),
    conventions=(*CONVENTIONS, CORRECTION),
    bad_inputs=bad_traces("tree_backup", PROBABILITIES),
    sizes=SIZES,
    sized=sized_traces(PROBABILITIES),
    good=good_traces(PROBABILITIES),
)  # fmt: skip

# --- V-trace -------------------------------------------------------------------------------------

VTRACE_CUT = "(0 if cut else decay * correction)"
FOLLOWING = "bootstrap if cut else targets[t + 1, b]"
RATIO = "ratio = np.exp(log_ratios[t, b])"
C_BAR, RHO_BAR = "limited(ratio, 0, c_bar)", "limited(ratio, 0, rho_bar)"
ACTING = "limited(ratio, 0, rho_bar_advantage)"
FALLS = "bootstrap = 0 if terminated[t, b] else next_values[t, b]"


def all_levels(wrong: Callable[[str], str]) -> tuple[tuple[str, str], ...]:
    """Return the edits of the three places where a ratio is limited."""
    return tuple((f"limited(ratio, 0, {level})", wrong(level)) for level in ("c_bar", *LEVELS[::2]))


FROM_BELOW = all_levels(lambda level: f"limited(ratio, {level}, np.inf)")
LOGARITHM = all_levels(lambda level: f"np.exp(limited(log_ratios[t, b], -np.inf, {level}))")
UNCLIPPED = all_levels(lambda level: "ratio")

VTRACE_BUGS = (
    KnownBug("A4", FALLS, "bootstrap = next_values[t, b]"),
    KnownBug("A8", FALLS, FALLS.replace(" else", " or t == steps - 1 else")),
    KnownBug("A10", "error = rewards[t, b] + discount[t, b] * bootstrap",
             f"error = {SHIFTED_REWARD} + discount[t, b] * bootstrap"),
    KnownBug("B1", FALLS, FALLS.replace(" else", " or truncated[t, b] else")),
    KnownBug("A24", FALLS,
             FALLS.replace(" else", " or (truncated[t, b] and np.ndim(gamma) > 0) else")),
    KnownBug("B5", FALLS, FALLS.replace(" else", " and not truncated[t, b] else")),
    KnownBug("B2", VTRACE_CUT,
             "(0 if terminated[t, b] or t == steps - 1 else decay * correction)"),
    KnownBug("E6", RATIO, "ratio = np.exp(-log_ratios[t, b])"),
    KnownBug("G1", FOLLOWING,
             "bootstrap if terminated[t, b] or t == steps - 1 else targets[t + 1, b]"),
    KnownBug("G2", f"correction = {RHO_BAR} * error",
             f"correction = 0 if t == steps - 1 else {RHO_BAR} * error"),
    KnownBug("G3", FALLS, "bootstrap = 0 if terminated[t, b] else "
             "(values[t, b] if t == steps - 1 else next_values[t, b])"),
    KnownBug("G4", "correction = 0  # vₜ₊₁ − V(sₜ₊₁)", "correction = next_values[steps - 1, b]",
             also=((VTRACE_CUT,
                    "(0 if terminated[t, b] or truncated[t, b] else decay * correction)"),)),
    KnownBug("G7a", *FROM_BELOW[0], also=FROM_BELOW[1:]),
    KnownBug("G7b", *LOGARITHM[0], also=LOGARITHM[1:]),
    KnownBug("G7c", C_BAR, RHO_BAR, also=((RHO_BAR + " * error", C_BAR + " * error"),)),
    KnownBug("G7d", "discount[t, b] * lam *", "discount[t, b] *"),
    KnownBug("G7e", *UNCLIPPED[0], also=UNCLIPPED[1:]),
    KnownBug("G7f", ACTING, "ratio"),
    KnownBug("G8", C_BAR, "limited(np.exp(log_ratios[min(t + 1, steps - 1), b]), 0, c_bar)"),
    KnownBug("G11", VTRACE_CUT, f"(0 if terminated[{LATE}, b] or truncated[{LATE}, b] "
             "or t == steps - 1 else decay * correction)"),
    KnownBug("A19", "return Vtrace(targets, advantages)",
             "return Vtrace(targets.squeeze(), advantages.squeeze())"),
    KnownBug("C14", "return Vtrace(targets, advantages)",
             "return Vtrace(targets.reshape(batch, steps).T, "
             "advantages.reshape(batch, steps).T)"),
)  # fmt: skip

ERRORS = ("return Vtrace(targets, advantages)", "return Vtrace(targets - values, advantages)")
MIXED = (FOLLOWING, "bootstrap if cut else (1 - lam) * values[t + 1, b] + lam * targets[t + 1, b]")

VTRACE_CONTRACT = Contract(
    name="vtrace",
    topic="traces",
    summary="targets of a critic and advantages of an actor from another policy's steps",
    source="Espeholt et al. 2018, arXiv:1802.01561, eq. 1, remarks 1 and 2, and section 4.2",
    reference=reference.vtrace,
    fast=fast.vtrace,
    arguments=trace_arguments(VTRACE),
    outputs=("value_targets", "advantages"),
    inputs=trace_recordings(VTRACE),
    examples=(
        Example(
            "a termination inside, ρ̄ = 1/2",
            example(VTRACE, [], rho_bar=0.5, c_bar=1.0, rho_bar_advantage=float("inf")).case,
            # errors 3, −2, 0, −3; corrections, last to first: −3/2, −3/8, −1, 3/2 − 1/4
            {"value_targets": [["13/4"], ["3"], ["45/8"], ["13/2"]],
             "advantages": [["1/2"], ["-2"], ["1/4"], ["-3"]]},
        ),
    ),
    laws=laws.VTRACE_LAWS,
    gradients=("rewards", "values", "next_values", "gamma"),
    known_bugs=VTRACE_BUGS,
    conventions=(
        *CONVENTIONS,
        Convention(
            "targets", "errors", "the targets minus the values (rlax: vtrace)", edits=(ERRORS,),
        ),
        Convention(
            "advantage", "mixed", "advantages mix the next target and the next value with λ (rlax)",
            edits=(MIXED,),
        ),
        Convention(
            "targets", "errors-and-mixed", "the targets minus the values, and advantages that mix "
            "with λ (rlax: vtrace_td_error_and_advantage)", edits=(MIXED, ERRORS),
        ),
    ),
    equivalents=(
        Equivalent("as IMPALA has it", "clips, sums and shifts as the learner of IMPALA does",
                   forms.impala),
    ),
    bad_inputs=bad_traces("vtrace", VTRACE),
    exact=False,
    sizes=SIZES,
    sized=sized_traces(VTRACE),
    good=good_traces(VTRACE),
    long_cases=long_traces(VTRACE),
)  # fmt: skip

CONTRACTS = (
    GENERAL_CONTRACT,
    LIKELIHOOD_CONTRACT,
    RETRACE_CONTRACT,
    BACKUP_CONTRACT,
    VTRACE_CONTRACT,
)
