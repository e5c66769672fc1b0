"""Contracts of the topic `a2c`: the loss of policy and critic together, and a whole update."""

import numpy as np

from rlverify.contract import (
    Argument,
    Case,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
)
from rlverify.contracts import _update_cases as cases
from rlverify.contracts._a2c_laws import ARRAYS, COEFFICIENTS, LOSS_LAWS, UPDATE_LAWS, loss_cases
from rlverify.contracts._ppo_cases import (
    SIZES,
    bad_arrays,
    good_case,
    mean_bugs,
    mean_conventions,
    sized_case,
)
from rlverify.contracts._refusals import bad, bad_floats, bad_masks
from rlverify.contracts._update_forms import autograd_a2c
from rlverify.contracts.ppo_update import FACTOR, NETWORK, ROLLOUT, bad_policy, names_of, vectors
from rlverify.fast import a2c as fast
from rlverify.reference import a2c as reference

START, TERM = "total, count = 0, 0\n", "total = total + value_coefficient * error**2 / 2 - gain"
BONUS = "advantages[i] * log_probs[i] + entropy_coefficient * entropies[i]"
COSTS = {"value_coefficient": 0.5, "entropy_coefficient": 0.25}

LOSS_CONTRACT = Contract(
    name="a2c_loss",
    topic="a2c",
    summary="loss of policy and critic together",
    source="Mnih et al. 2016, arXiv:1602.01783, algorithm S3 and section 4",
    reference=reference.a2c_loss,
    fast=fast.a2c_loss,
    arguments=(
        *(Argument(name, "float", "...") for name in ARRAYS),
        Argument("mask", "mask", "..."),
        *(Argument(name, "number") for name in COEFFICIENTS),
    ),
    outputs=("loss",),
    axes=("",),
    inputs=loss_cases(),
    examples=(
        Example(
            "one of two is real",  # 2 · 1 + ½ · ½ · 4 − ¼ · 1
            Case(
                {"log_probs": np.array([-1.0, np.nan]), "advantages": np.array([2.0, 1.0]),
                 "values": np.array([1.0, np.inf]), "returns": np.array([3.0, 0.0]),
                 "entropies": np.array([1.0, 7.0]), "mask": np.array([True, False]), **COSTS},
                label="worked by hand",
            ),
            {"loss": "11/4"},
        ),
    ),
    laws=LOSS_LAWS,
    gradient_judged=True,
    gradients=("log_probs", "values", "entropies"),
    handed_over=("returns",),
    known_bugs=(
        KnownBug("D9", BONUS, BONUS.replace("+", "-")),
        KnownBug("E26", f"{TERM}\n        count = count + 1\n    return scalar(total / count,",
                 "total = total - gain\n        count = count + 1\n"
                 "        errors = errors + value_coefficient * error**2 / 2\n"
                 "    return scalar(total / count + errors,",
                 also=((START, f"errors, {START.replace('0, 0', '0, 0, 0')}"),)),
        *mean_bugs("a2c_loss", ARRAYS, COEFFICIENTS, TERM, "total / count"),
    ),
    conventions=(
        Convention(
            "value-loss", "without-half", "the critic's squared error without its ½",
            edits=(("error**2 / 2", "error**2"),),
        ),
        *mean_conventions("log_probs", START, TERM, "total / count"),
        Convention(
            "sign", "objective", "the objective to maximise, not the loss to minimise",
            edits=(("scalar(total / count,", "scalar(-total / count,"),),
        ),
    ),
    bad_inputs=(
        *bad_floats("a2c_loss", "log_probs", "[...]"),
        *bad_arrays("a2c_loss", "log_probs", ARRAYS[1:]),
        *bad_masks("a2c_loss", "log_probs"),
        bad("a2c_loss", "value_coefficient", "text", lambda _: "1", TypeError,
            "value_coefficient came as str, wanted a number."),
    ),
    sizes=SIZES,
    sized=sized_case(ARRAYS, **COSTS),
    good=good_case(ARRAYS, **COSTS),
)  # fmt: skip

# --- the update ----------------------------------------------------------------------------------

UPDATE_ARGUMENTS = (
    *ROLLOUT,
    *vectors("advantages", "returns"),
    *vectors("squares", axes="P"),
    *NETWORK,
    *(Argument(name, "number") for name in (*COEFFICIENTS, "max_norm", "learning_rate")),
    Argument("decay", "number"),
    Argument("eps", "number"),
    Argument("eps_inside", "switch"),
)
KNOBS = {
    **COSTS, "max_norm": 0.5, "learning_rate": 0.01, "decay": 0.75, "eps": 0.125,
    "eps_inside": False,
}  # fmt: skip
ROOT = "np.sqrt(average + eps) if eps_inside else np.sqrt(average) + eps"
POLICY = "-advantages[i] / len(advantages)"
CRITIC = 'value_coefficient * (now["values"][i] - returns[i]) / len(advantages)'
ENTROPY = "-entropy_coefficient / len(advantages)"
CLIPPED = 'slope = trace("clip", clipped._asdict())["gradients"]'
# how many parameters are those of the policy
PART = "part = parameters.size - sum((i + 1) * o for i, o in zip(critic_sizes, critic_sizes[1:]))\n"
MOVED = 'return A2cUpdate(**trace("optimize", moved._asdict()))'

UPDATE_CONTRACT = Contract(
    name="a2c_update",
    topic="a2c",
    summary="A2C's whole update: one gradient, one step of RMSprop",
    source="Mnih et al. 2016, arXiv:1602.01783, algorithm S3, eqs. 8 and 9",
    reference=reference.a2c_update,
    fast=fast.a2c_update,
    arguments=UPDATE_ARGUMENTS,
    outputs=("parameters", "squares"),
    axes=("P", "P"),
    inputs=cases.a2c_cases(names_of(UPDATE_ARGUMENTS)),
    examples=(),
    laws=UPDATE_LAWS,
    gradients=(),
    conventions=(
        Convention(
            "value-loss", "without-half", "the critic's squared error without its ½",
            edits=((CRITIC, f"2 * {CRITIC}"),),
        ),
        Convention(
            "reduction", "sum", "the sum over the samples: its scale follows their number",
            edits=tuple(
                (term, term.replace(" / len(advantages)", "")) for term in (POLICY, CRITIC, ENTROPY)
            ),
        ),
        Convention(
            "norm", "epsilon-beside",
            "1e-6 is added to the norm that gradients are divided by (torch)",
            edits=((FACTOR, "min(max_norm / (norm + 1e-6), 1)"),), helper="clip_grad_norm",
        ),
    ),
    known_bugs=(
        KnownBug("D9", ENTROPY, ENTROPY.removeprefix("-")),
        KnownBug("E26", CRITIC, CRITIC.replace(" / len(advantages)", "")),
        KnownBug("E38", CLIPPED,
                 f"{PART}        held = clip_grad_norm(slope[:part], max_norm=max_norm).gradients\n"
                 "        slope = np.concatenate([held, slope[part:]])"),
        KnownBug("E39", CLIPPED, CLIPPED.removeprefix("slope = ")),
        KnownBug("E47", MOVED,
                 f"{PART}    kept = np.concatenate([moved.parameters[:part], parameters[part:]])\n"
                 "    return A2cUpdate(kept, moved.squares)"),
        KnownBug("L5a", ROOT, "np.sqrt(average) + eps", helper="rmsprop"),
        KnownBug("L5b", ROOT, "np.sqrt(average + eps)", helper="rmsprop"),
        KnownBug("O9", "moved[i] = parameters[i] -", "moved[i] = parameters[i] * 0.75 -",
                 helper="rmsprop"),
        KnownBug("O13", "(1 - decay) * gradients[i] ** 2", "gradients[i] ** 2", helper="rmsprop"),
    ),
    equivalents=(
        Equivalent("autograd", "the loss through PyTorch's autograd, RMSprop written out",
                   autograd_a2c),
    ),
    bad_inputs=(
        *bad_policy("a2c_update"),
        bad("a2c_update", "squares", "one short", lambda x: x[:-1], ValueError,
            "squares has shape (19,), but parameters has shape (20,); they must agree."),
        bad("a2c_update", "decay", "one", lambda _: 1.0, ValueError,
            "decay came as 1.0, wanted a number below 1."),
        bad("a2c_update", "eps_inside", "a number", lambda _: 1, TypeError,
            "eps_inside came as int, wanted a bool."),
    ),
    exact=False,
    sizes=((4, 4, 3), (256, 256, 64), (2048, 2048, 64, 64)),
    sized=cases.sized(names_of(UPDATE_ARGUMENTS), **KNOBS),
    good=cases.good(names_of(UPDATE_ARGUMENTS), **KNOBS),
)  # fmt: skip

CONTRACTS = (LOSS_CONTRACT, UPDATE_CONTRACT)
