"""Contracts of the topic `ppo_update`: PPO's whole update, and the fit of a critic alone."""

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
from rlverify.contracts import _update_cases as cases
from rlverify.contracts import _update_laws as laws
from rlverify.contracts._refusals import bad
from rlverify.contracts._update_forms import autograd_ppo, autograd_value
from rlverify.fast import ppo_update as fast
from rlverify.reference import ppo_update as reference

ADAM = tuple(Argument(name, "number") for name in ("learning_rate", "beta1", "beta2", "eps"))
NETWORK = (
    Argument("sizes", "sizes"), Argument("critic_sizes", "sizes"),
    Argument("activation", "choice"), Argument("distribution", "choice"),
)  # fmt: skip
ROLLOUT = (
    Argument("parameters", "float", "P"), Argument("inputs", "float", "N I"),
    Argument("actions", "integer", "N"),  # of a Gaussian policy floats [N, D]
)  # fmt: skip
SIZES = ((4, 2, 3), (256, 64, 16), (2048, 64, 64, 64))


def vectors(*names: str, axes: str = "N") -> tuple[Argument, ...]:
    """Return arguments that are arrays of floats."""
    return tuple(Argument(name, "float", axes) for name in names)


def numbers(*names: str) -> tuple[Argument, ...]:
    """Return arguments that are numbers."""
    return tuple(Argument(name, "number") for name in names)


PPO_ARGUMENTS = (
    *ROLLOUT,
    *vectors("old_log_probs", "advantages", "returns", "old_values"),
    Argument("permutations", "integer", "E N"),
    *vectors("first", "second", axes="P"),
    Argument("count", "count"),
    *NETWORK,
    Argument("minibatch_size", "count"),
    Argument("normalize", "switch"),
    Argument("ddof", "count"),
    *numbers("advantage_eps", "clip_range", "value_clip_range"),
    *numbers("value_coefficient", "entropy_coefficient", "max_norm"),
    *ADAM,
    *numbers("target_kl"),
)
VALUE_ARGUMENTS = (
    *vectors("critic_parameters", axes="P"),
    Argument("inputs", "float", "N I"),
    *vectors("returns"),
    Argument("permutations", "integer", "E N"),
    *vectors("first", "second", axes="P"),
    Argument("count", "count"),
    Argument("critic_sizes", "sizes"),
    Argument("activation", "choice"),
    Argument("minibatch_size", "count"),
    *ADAM,
)


def names_of(arguments: tuple[Argument, ...]) -> tuple[str, ...]:
    """Return the names of arguments."""
    return tuple(item.name for item in arguments)


PLAIN_ADAM = {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.5, "eps": 1.0}
PPO_KNOBS = {
    "count": 0, "normalize": False, "ddof": 0, "advantage_eps": 1.0, "clip_range": 0.5,
    "value_clip_range": 0.5, "value_coefficient": 0.5, "entropy_coefficient": 0.25,
    "max_norm": 0.5, **PLAIN_ADAM, "target_kl": None,
}  # fmt: skip
TIMED = {
    **PPO_KNOBS, "normalize": True, "advantage_eps": 1e-8, "clip_range": 0.2,
    "value_clip_range": 0.2, "entropy_coefficient": 0.01, "learning_rate": 0.01, "beta1": 0.9,
    "beta2": 0.999, "eps": 1e-5,
}  # fmt: skip

# --- refusals ------------------------------------------------------------------------------------


def bad_network(function: str, critic: str, parameters: str, short: str) -> tuple[BadInput, ...]:
    """Return the refusals of networks; the good case has widths (2, 3, 2) and (2, 1), N = 4."""
    return (
        bad(function, parameters, "one short", lambda x: x[:-1], ValueError, short),
        bad(function, parameters, "a list", np.ndarray.tolist, TypeError,
            f"{parameters} came as list, wanted a floating-point array [P]."),
        bad(function, "inputs", "a feature too many", lambda x: np.zeros((len(x), 3)), ValueError,
            f"inputs came with shape (4, 3), wanted 2 along the last axis for sizes {critic}."),
        bad(function, "critic_sizes", "two outputs", lambda _: (2, 2), ValueError,
            "critic_sizes came as (2, 2), wanted a tuple of at least two integers of at least 1, "
            "the last of them 1."),
        bad(function, "activation", "unknown", lambda _: "gelu", ValueError,
            "activation came as 'gelu', wanted one of tanh, relu."),
    )  # fmt: skip


def bad_policy(function: str) -> tuple[BadInput, ...]:
    """Return the refusals of a policy; the good case has widths (2, 3, 2) and (2, 1), N = 4."""
    short = (
        "parameters came with shape (19,), wanted 20 along the last axis for sizes (2, 3, 2), "
        "critic_sizes (2, 1) and a categorical policy."
    )
    return (
        *bad_network(function, "(2, 3, 2)", "parameters", short),
        bad(function, "sizes", "a list", lambda _: [2, 2], ValueError,
            "sizes came as [2, 2], wanted a tuple of at least two integers of at least 1."),
        bad(function, "distribution", "unknown", lambda _: "beta", ValueError,
            "distribution came as 'beta', wanted one of categorical, gaussian."),
        bad(function, "actions", "beyond", lambda x: x + 2, ValueError,
            "actions came with 2 in it, wanted actions in [0, 2)."),
        bad(function, "actions", "floats", lambda x: x * 1.0, TypeError,
            "actions came as dtype float64, wanted int64."),
        bad(function, "advantages", "one short", lambda x: x[:-1], ValueError,
            "advantages has shape (3,), but inputs has shape (4, 2); they must agree."),
        bad(function, "max_norm", "zero", lambda _: 0.0, ValueError,
            "max_norm came as 0.0, wanted a finite number above 0."),
    )  # fmt: skip


def bad_batches(function: str, parameters: str, count: int) -> tuple[BadInput, ...]:
    """Return the refusals of mini-batches and of Adam's state and settings."""
    return (
        bad(function, "permutations", "a sample twice", lambda x: 0 * x, ValueError,
            "permutations came with a row that is none of the numbers 0 to 3, wanted each of them "
            "once."),
        bad(function, "permutations", "one short", lambda x: x[:, :-1], ValueError,
            "permutations has shape (1, 3), but inputs has shape (4, 2); they must agree."),
        bad(function, "permutations", "floats", lambda x: x * 1.0, TypeError,
            "permutations came as dtype float64, wanted int64."),
        bad(function, "first", "one short", lambda x: x[:-1], ValueError,
            f"first has shape ({count - 1},), but {parameters} has shape ({count},); they must "
            "agree."),
        bad(function, "count", "below 0", lambda _: -1, ValueError,
            "count came as -1, wanted an integer of at least 0."),
        bad(function, "minibatch_size", "zero", lambda _: 0, ValueError,
            "minibatch_size came as 0, wanted an integer of at least 1."),
        bad(function, "beta1", "one", lambda _: 1.0, ValueError,
            "beta1 came as 1.0, wanted a number below 1."),
        bad(function, "eps", "zero", lambda _: 0.0, ValueError,
            "eps came as 0.0, wanted a finite number above 0."),
    )  # fmt: skip


BAD_PPO = (
    *bad_policy("ppo_update"),
    *bad_batches("ppo_update", "parameters", 20),
    bad("ppo_update", "normalize", "a number", lambda _: 1, TypeError,
        "normalize came as int, wanted a bool."),
    bad("ppo_update", "clip_range", "zero", lambda _: 0.0, ValueError,
        "clip_range came as 0.0, wanted a finite number above 0."),
    bad("ppo_update", "value_clip_range", "below 0", lambda _: -0.5, ValueError,
        "value_clip_range came as -0.5, wanted a finite number above 0."),
    bad("ppo_update", "target_kl", "text", lambda _: "0.01", TypeError,
        "target_kl came as str, wanted a number."),
    BadInput(
        "ddof: a mini-batch of one", lambda case: {"normalize": True, "ddof": 2}, ValueError,
        "ppo_update: 2 real element(s) with ddof=2 leave no degree of freedom, wanted more than 2; "
        "pass ddof=0 or normalise over a larger batch.",
    ),
)  # fmt: skip

BAD_VALUE = (
    *bad_network(
        "value_update", "(2, 1)", "critic_parameters",
        "critic_parameters came with shape (2,), wanted 3 along the last axis for sizes (2, 1).",
    ),
    *bad_batches("value_update", "critic_parameters", 3),
    bad("value_update", "returns", "one short", lambda x: x[:-1], ValueError,
        "returns has shape (3,), but inputs has shape (4, 2); they must agree."),
)  # fmt: skip

# --- conventions and known bugs ------------------------------------------------------------------

HALF = Convention(
    "value-loss", "without-half", "the critic's squared error without its ½, which is twice c_V",
    edits=(("error * free / len(slopes)", "2 * error * free / len(slopes)"),),
    helper="_value_slopes",
)  # fmt: skip
FACTOR = "max_norm / norm if norm > max_norm else 1"
NORM = Convention(
    "norm", "epsilon-beside", "1e-6 is added to the norm that gradients are divided by (torch)",
    edits=((FACTOR, "min(max_norm / (norm + 1e-6), 1)"),),
    helper="clip_grad_norm",
)  # fmt: skip
NORMALIZED = "weights = normalize_advantages(weights, None, ddof=ddof, eps=advantage_eps)"
STOP = "        if stop > 0.5:\n            break\n"
STATE = 'parameters, first, second = state["parameters"], state["first"], state["second"]'
DROPPED = KnownBug(
    "L10", "range(0, len(order), size)", "range(0, len(order) - size + 1, size)",
    helper="mini_batches",
)  # fmt: skip
ADAM_BUGS = (
    KnownBug("O6", "parameters[i] - learning_rate", "parameters[i] + learning_rate", helper="adam"),
    KnownBug("O9", "moved[i] = parameters[i] -", "moved[i] = parameters[i] * 0.75 -",
             helper="adam"),
)  # fmt: skip
PPO_BUGS = (
    KnownBug("D1", "Evaluation(log_probs, entropies", "Evaluation(log_probs / (sizes[-1] "
             "if distribution == 'gaussian' else 1), entropies", helper="evaluate"),
    KnownBug("D9", "-entropy_coefficient / len(rows)", "entropy_coefficient / len(rows)"),
    KnownBug("E1", "1 - below", "below", helper="_surrogate_slopes"),
    KnownBug("E3", " * advantages[i] * free", " * advantages[i]", helper="_surrogate_slopes"),
    KnownBug("E5", 'now["log_probs"], old_log_probs[rows]', 'now["log_probs"], now["log_probs"]'),
    KnownBug("E6", "log_probs[i] - old_log_probs[i]", "old_log_probs[i] - log_probs[i]",
             helper="_surrogate_slopes"),
    KnownBug("E8", NORMALIZED, NORMALIZED.replace("weights =", "_ =")),
    KnownBug("E10", "(deviation + eps)", "deviation", helper="normalize_advantages"),
    KnownBug("E15", NORMALIZED, NORMALIZED + "\n            " + NORMALIZED),
    KnownBug("E19", "old_values[rows], returns[rows]", 'now["values"], returns[rows]'),
    KnownBug("E21", "(old_values[i] + edge - returns[i]) ** 2, error**2",
             "error**2, (old_values[i] + edge - returns[i]) ** 2", helper="_value_slopes"),
    KnownBug("E26", "error * free / len(slopes)", "error * free", helper="_value_slopes"),
    KnownBug("E29", STOP, "", also=((STATE, STATE + "\n" + STOP),)),
    KnownBug("E31", "approximate_kl(log_probs, old,", "approximate_kl(log_probs, log_probs,"),
    KnownBug("E38", 'slope = trace(stage + "clip", clipped._asdict())["gradients"]',
             "part = layer_parameters(sizes)\n"
             "            held = clip_grad_norm(slope[:part], max_norm=max_norm).gradients\n"
             "            slope = np.concatenate([held, slope[part:]])"),
    KnownBug("E39", 'slope = trace(stage + "clip", clipped._asdict())["gradients"]',
             'trace(stage + "clip", clipped._asdict())["gradients"]'),
    KnownBug("E47", STATE,
             "part = layer_parameters(sizes)\n"
             "        moved = state['parameters'][:part]\n"
             "        parameters = np.concatenate([moved, parameters[part:]])\n"
             '        first, second = state["first"], state["second"]'),
    DROPPED,
    KnownBug("O10", "count=count + steps,", "count=count + 1000,"),
    KnownBug("O16", FACTOR, "max_norm / norm if norm > 0 else 1", helper="clip_grad_norm"),
    KnownBug("U1", "weights = advantages[rows]", "weights = advantages[: len(rows)]"),
    KnownBug("U2", STATE, "parameters, first, second = state['parameters'], 0 * first, 0 * second"),
    ADAM_BUGS[1],
)  # fmt: skip
VALUE_BUGS = (
    KnownBug("E26", "error * free / len(slopes)", "error * free", helper="_value_slopes"),
    DROPPED,
    KnownBug("O10", "count=count,\n", "count=count + 1000,\n"),
    KnownBug("U1", "returns[rows]", "returns[: len(rows)]"),
    KnownBug("U2", STATE, "parameters, first, second = state['parameters'], 0 * first, 0 * second"),
    *ADAM_BUGS,
)

PPO_CONTRACT = Contract(
    name="ppo_update",
    topic="ppo_update",
    summary="PPO's whole update: epochs of mini-batches, each a gradient and a step of Adam",
    source="Schulman et al. 2017, arXiv:1707.06347, algorithm 1, eqs. 7 and 9",
    reference=reference.ppo_update,
    fast=fast.ppo_update,
    arguments=PPO_ARGUMENTS,
    outputs=("parameters", "first", "second", "count", "kl", "stopped", "steps"),
    axes=("P", "P", "P", "", "", "", ""),
    counted=("count", "stopped", "steps"),
    inputs=cases.ppo_cases(names_of(PPO_ARGUMENTS)),
    examples=(),
    laws=laws.PPO_LAWS,
    gradients=(),
    conventions=(
        Convention(
            "normalization", "batch", "advantages are normalised over the whole batch, once",
            edits=((NORMALIZED, NORMALIZED.replace("(weights", "(advantages") + "[rows]"),),
        ),
        HALF,
        NORM,
        Convention(
            "value-range", "shared", "the range of the ratio serves for the critic too",
            edits=(("returns[rows], value_clip_range", "returns[rows], clip_range"),),
        ),
        Convention(
            "threshold", "one-and-a-half", "stops where k is above 1.5 times target_kl",
            edits=(("reached(kl, target_kl)", "reached(kl, 1.5 * target_kl)"),),
        ),
    ),
    known_bugs=PPO_BUGS,
    equivalents=(
        Equivalent("autograd", "the loss through PyTorch's autograd, torch.optim.Adam for the step",
                   autograd_ppo),
    ),
    bad_inputs=BAD_PPO,
    exact=False,
    sizes=SIZES,
    sized=cases.sized(names_of(PPO_ARGUMENTS), **TIMED),
    good=cases.good(names_of(PPO_ARGUMENTS), **PPO_KNOBS),
)  # fmt: skip

VALUE_CONTRACT = Contract(
    name="value_update",
    topic="ppo_update",
    summary="fit of a critic to returns, by mini-batches and Adam",
    source="Schulman et al. 2016, arXiv:1506.02438, eq. 28; Kingma and Ba 2015, algorithm 1",
    reference=reference.value_update,
    fast=fast.value_update,
    arguments=VALUE_ARGUMENTS,
    outputs=("parameters", "first", "second", "count"),
    axes=("P", "P", "P", ""),
    counted=("count",),
    inputs=cases.value_cases(names_of(VALUE_ARGUMENTS)),
    examples=(
        Example(
            "one sample",  # the error is −3, so m̂/(√v̂ + 1) is −3/4
            Case(
                {"critic_parameters": np.zeros(2), "inputs": np.ones((1, 1)),
                 "returns": np.array([3.0]), "permutations": np.zeros((1, 1), dtype=np.int64),
                 "first": np.zeros(2), "second": np.zeros(2), "count": 0, "critic_sizes": (1, 1),
                 "activation": "tanh", "minibatch_size": 1, **PLAIN_ADAM},
                label="worked by hand",
            ),
            {"parameters": ["3/8", "3/8"], "first": ["-3/2", "-3/2"], "second": ["9/2", "9/2"],
             "count": "1"},
        ),
    ),
    laws=laws.VALUE_LAWS,
    gradients=(),
    conventions=(HALF,),
    known_bugs=VALUE_BUGS,
    equivalents=(
        Equivalent("autograd", "the loss through PyTorch's autograd, torch.optim.Adam for the step",
                   autograd_value),
    ),
    bad_inputs=BAD_VALUE,
    exact=False,
    sizes=SIZES,
    sized=cases.sized(names_of(VALUE_ARGUMENTS), **PLAIN_ADAM, count=0),
    good=cases.good(names_of(VALUE_ARGUMENTS), **PLAIN_ADAM, count=0),
)  # fmt: skip

CONTRACTS = (PPO_CONTRACT, VALUE_CONTRACT)
