"""Contracts of sampling, and of probabilities made from action values.

They belong to the topic `categorical`; they stand here so that each file fits a sitting.
"""

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
    Law,
)
from rlverify.contracts._categorical_cases import LEADING, action_values, policies, sized
from rlverify.contracts._categorical_laws import (
    ILLEGAL,
    ROWS,
    SHIFT,
    check_always_explores,
    check_cold,
    check_first,
    check_frequencies,
    check_legal_sample,
    check_never_explores,
    check_odds,
    check_total,
)
from rlverify.contracts._categorical_shared import (
    COMMON,
    FLAT,
    OVERFLOW,
    SIZES,
    ZEROS,
    arguments,
    good,
    of,
    refusals,
    worked,
)
from rlverify.contracts._refusals import instead
from rlverify.fast import categorical as fast
from rlverify.reference import categorical as reference

DRAWN = ("logits", "uniforms", "legal")
Array = np.ndarray


def searched(logits: Array, uniforms: Array, legal: Array | None) -> Array:
    """Search each uniform in the cumulated probabilities."""
    read = logits if legal is None else np.where(legal, logits, -np.inf)
    powers = np.exp(read - read.max(axis=-1, keepdims=True))
    below = np.cumsum(powers / powers.sum(axis=-1, keepdims=True), axis=-1)
    drawn = np.empty(uniforms.shape, dtype=np.int64)
    for i in np.ndindex(uniforms.shape):
        likely = np.flatnonzero(np.isfinite(read[i]))
        drawn[i] = min(np.searchsorted(below[i], uniforms[i], side="right"), likely[-1])
    return drawn


SUM = "action = action + reached(below, uniforms[i])"
SAMPLE = Contract(
    name="categorical_sample",
    topic="categorical",
    summary="actions of a softmax policy by inversion of given uniform numbers",
    source="Devroye 1986, section III.2",
    reference=reference.categorical_sample,
    fast=fast.categorical_sample,
    arguments=arguments(DRAWN),
    outputs=("actions",),
    axes=("...",),
    returns="integer",
    inputs=policies(DRAWN, leading=LEADING[1:]),  # an action shows less than a number
    examples=of(
        "actions",
        worked(
            "two equal legal ones of three", ["1", "1", "2", "2"],
            logits=np.array([[np.nan, 2.0, 2.0]] * 4), uniforms=np.array([0.0, 0.25, 0.75, 1.0]),
            legal=np.array([[False, True, True]] * 4),
        ),
    ),
    laws=(
        Law("always-legal", "what is drawn is legal", check_legal_sample),
        Law("frequencies", "on a grid of uniforms each action has its share", check_frequencies),
        Law("first-at-zero", "0 draws the first action that has a probability", check_first),
        SHIFT, ILLEGAL,
    ),
    gradients=(),
    known_bugs=(
        *COMMON,
        KnownBug(
            "I3a", SUM,
            "most = sum(np.exp(log_probs[*i, c]) for c in range(allowed[-1]))\n"
            "            action = action + reached(below, uniforms[i] * most)",
        ),
        KnownBug("I3b", SUM, SUM.replace("reached(below, uniforms[i])",
                                         "1 - reached(uniforms[i], below)")),
    ),
    equivalents=(
        Equivalent("searched", "a binary search in the cumulated probabilities", searched),
    ),
    conventions=(FLAT,),
    bad_inputs=refusals("categorical_sample", DRAWN),
    sizes=SIZES,
    exact=False,
    good=good(DRAWN),
    sized=sized(DRAWN),
)  # fmt: skip

# --- probabilities made from action values --------------------------------------------------------


def knob_refusals(function: str, knob: str, wanted: str) -> tuple[BadInput, ...]:
    """Return the refusals of a function of action values and one number."""
    return (
        instead(function, "q_values", "a list", [1.0], TypeError,
                "q_values came as list, wanted a floating-point array [..., A]."),
        instead(function, "q_values", "integers", ZEROS.astype(np.int64), TypeError,
                "q_values came as dtype int64, wanted a floating-point dtype."),
        instead(function, knob, "negative", -0.5, ValueError,
                f"{knob} came as -0.5, wanted {wanted}."),
        instead(function, knob, "NaN", float("nan"), ValueError,
                f"{knob} came as nan, wanted {wanted}."),
    )  # fmt: skip


def knobs(knob: str) -> tuple[Argument, ...]:
    """Return the arguments of a function of action values and one number."""
    return (Argument("q_values", "float", "... A"), Argument(knob, "number"))


TIES = "ties = sum(1 for a in range(count) if q_values[*i, a] == greatest)"
SHARED = "greedy = (1 - epsilon) / ties if q_values[*i, a] == greatest else 0"
BEST = "if q_values[*i, a] == greatest else 0"
GIVEN = "probabilities[*i, a] = epsilon / count + greedy"
EPSILON = Contract(
    name="epsilon_greedy_probabilities",
    topic="categorical",
    summary="probabilities of the ε-greedy policy, ties sharing the greedy mass",
    source="Sutton & Barto 2018, sections 2.2 and 5.4",
    reference=reference.epsilon_greedy_probabilities,
    fast=fast.epsilon_greedy_probabilities,
    arguments=knobs("epsilon"),
    outputs=("probabilities",),
    axes=("... A",),
    inputs=action_values("epsilon", (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)),
    examples=(
        Example(
            "two of four are the greatest",
            Case({"q_values": np.array([2.0, 1.0, 2.0, 0.0]), "epsilon": 0.5}, "free",
                 "worked by hand"),
            {"probabilities": ["3/8", "1/8", "3/8", "1/8"]},
        ),
    ),
    laws=(
        Law("sums-to-one", "the probabilities sum to 1", check_total),
        Law("greedy-limit", "ε = 0 is the greedy policy, uniform over ties",
            check_never_explores, claim="C38"),
        Law("uniform-limit", "ε = 1 is the uniform policy", check_always_explores),
        ROWS,
    ),
    gradients=(),
    known_bugs=(
        KnownBug("D22", "check.unit(epsilon=epsilon)",
                 "check.unit(epsilon=epsilon)\n    epsilon = 1 - epsilon"),
        KnownBug("D23", GIVEN, f"probabilities[*i, a] = greedy {BEST.removesuffix('0')}"
                 "epsilon / count"),
        KnownBug("D24", "greatest = max(q_values[i])", "greatest = max(q_values.flat)",
                 also=((TIES, TIES.replace("sum(", "max(1, sum(") + ")"),)),
        KnownBug("G18", TIES, TIES.replace("== greatest", "+ 2.0**-20 >= greatest"),
                 also=((SHARED, SHARED.replace("== greatest", "+ 2.0**-20 >= greatest")),)),
    ),
    conventions=(
        FLAT,
        Convention(
            "ties", "first", "the first of the greatest actions gets the whole greedy mass",
            edits=(
                (TIES, "first = min(a for a in range(count) if q_values[*i, a] == greatest)"),
                (SHARED, "greedy = 1 - epsilon if a == first else 0"),
            ),
        ),
        Convention(
            "exploration", "others", "explores among the other actions only, ε / (A − N) each",
            edits=((
                GIVEN,
                "others = count - ties\n"
                "            probabilities[*i, a] = greedy + (epsilon / ties if others == 0 else "
                "(0 if q_values[*i, a] == greatest else epsilon / others))",
            ),),
        ),
    ),
    bad_inputs=knob_refusals("epsilon_greedy_probabilities", "epsilon", "a number in [0, 1]"),
    sizes=SIZES,
    good=Case({"q_values": ZEROS, "epsilon": 0.5}),
    sized=sized(("q_values", "epsilon")),
)  # fmt: skip


def softmax_of_quotients(q_values: Array, *, temperature: float) -> Array:
    """Divide first, subtract the greatest quotient after."""
    scaled = q_values / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


SCALED = "np.exp(_log_probs(q_values / temperature, None))"
BOLTZMANN = Contract(
    name="boltzmann_probabilities",
    topic="categorical",
    summary="probabilities of the Boltzmann policy, a softmax of action values over temperature",
    source="Sutton & Barto 1998, eq. 2.2",
    reference=reference.boltzmann_probabilities,
    fast=fast.boltzmann_probabilities,
    arguments=knobs("temperature"),
    outputs=("probabilities",),
    axes=("... A",),
    inputs=action_values("temperature", (0.125, 0.3, 0.5, 0.75, 1.0, 2.0, 4.0)),
    examples=of(
        "probabilities",
        worked("equal values share", ["1/2", "1/2"],
               q_values=np.array([1e4, 1e4]), temperature=0.25),
        worked("far apart", ["0", "1"], q_values=np.array([-1e4, 1e4]), temperature=0.5),
    ),
    laws=(
        Law("sums-to-one", "the probabilities sum to 1", check_total),
        Law("odds", "the odds of two actions are exp of their difference over τ", check_odds),
        Law("greedy-limit", "τ → 0 is the greedy policy, uniform over ties", check_cold,
            claim="C38"),
        SHIFT, ROWS,
    ),
    gradients=("q_values",),
    known_bugs=(
        OVERFLOW,
        KnownBug(
            "D24", "return probabilities", "return probabilities / sum(probabilities.flat)",
        ),
        KnownBug("K28a", SCALED, "np.exp(_log_probs(q_values, None) / temperature)"),
        KnownBug("K28b", SCALED, "np.exp(_log_probs(q_values, None))"),
    ),
    equivalents=(
        Equivalent("quotients first", "softmax of Q/τ, the greatest quotient subtracted after",
                   softmax_of_quotients),
    ),
    conventions=(FLAT,),
    bad_inputs=knob_refusals("boltzmann_probabilities", "temperature", "a finite number above 0"),
    sizes=SIZES,
    exact=False,
    good=Case({"q_values": ZEROS, "temperature": 0.5}),
    sized=sized(("q_values", "temperature")),
)  # fmt: skip
