"""Contracts of the topic `networks`: the forward pass and both products with its Jacobian."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

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
from rlverify.contracts._network_cases import layers_of, network, perceptrons
from rlverify.contracts._network_laws import BACKWARD_LAWS, FORWARD_LAWS, JVP_LAWS
from rlverify.contracts._refusals import instead
from rlverify.fast import networks as fast
from rlverify.reference import networks as reference

WIDTHS = ((4, 3, 5, 2), (256, 17, 64, 64, 6), (64, 4, 64, 64, 2), (2048, 17, 256, 256, 6))

PARAMETERS = Argument("parameters", "float", "P")
INPUTS = Argument("inputs", "float", "N I")
KNOBS = (Argument("sizes", "sizes"), Argument("activation", "choice"))

# --- examples worked by hand: W₁ = [[1, 2]], b₁ = −1, W₂ = [[3]], b₂ = 1/2 ------------------------

SMALL = {
    "parameters": np.array([1.0, 2.0, -1.0, 3.0, 0.5]),
    "inputs": np.array([[2.0, 1.0], [0.0, 0.0]]),
    "sizes": (2, 1, 1),
    "activation": "relu",
}
# W = [[1, 2], [3, 4]], b = (5, 6): one linear layer, where the layout of the weight shows
LINEAR = {
    "parameters": np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    "inputs": np.array([[1.0, 10.0]]),
    "sizes": (2, 2),
    "activation": "tanh",
}


def worked(arguments: Mapping[str, Any], **extra: np.ndarray) -> Case:
    """Return a case worked by hand."""
    return Case({**arguments, **extra}, str(arguments["activation"]), "worked by hand")


# --- conventions and refusals --------------------------------------------------------------------

IN_BY_OUT = Convention(
    "weights", "in-by-out",
    "each weight is stored [in, out] row by row, as Keras and Flax have it",
    edits=((".reshape(outputs, inputs)", ".reshape(inputs, outputs).T"),), helper="_layers",
)  # fmt: skip
SLOPE_AT_KINK = Convention(
    "slope_at_kink", "one",
    "the slope of the rectifier at exactly 0 is 1, as of torch.clamp(min=0) (tensorflow/"
    "playground#19 took it for a mistake)",
    edits=(("reached(LEAST, before[i])", "reached(0, before[i])"),), helper="_activated",
)  # fmt: skip


def good_case(extra: str) -> Case:
    """Return a small case whose axes all differ: 4 samples, widths 2, 3, 5."""
    case = network((4, 2, 3, 5), extra)
    return Case(dict(case.arguments), case.kind)


def bad_inputs(function: str, extra: str) -> tuple[BadInput, ...]:
    """Return the refusals of a pass; the good case has P = 29."""
    entries: list[tuple[Any, ...]] = [
        ("parameters", "one short", np.zeros(28), ValueError,
         "parameters came with shape (28,), wanted 29 along the last axis for sizes (2, 3, 5)."),
        ("parameters", "a matrix", np.zeros((1, 29)), ValueError,
         "parameters came with shape (1, 29), wanted [P]."),
        ("parameters", "a list", [0.0] * 29, TypeError,
         "parameters came as list, wanted a floating-point array [P]."),
        ("inputs", "a feature too many", np.zeros((4, 3)), ValueError,
         "inputs came with shape (4, 3), wanted 2 along the last axis for sizes (2, 3, 5)."),
        ("inputs", "integers", np.zeros((4, 2), dtype=np.int64), TypeError,
         "inputs came as dtype int64, wanted a floating-point dtype."),
        ("inputs", "no sample axis", np.zeros(2), ValueError,
         "inputs came with shape (2,), wanted [N, I]."),
        ("sizes", "a list", [2, 3, 5], ValueError,
         "sizes came as [2, 3, 5], wanted a tuple of at least two integers of at least 1."),
        ("sizes", "no layer", (2,), ValueError,
         "sizes came as (2,), wanted a tuple of at least two integers of at least 1."),
        ("activation", "unknown", "gelu", ValueError,
         "activation came as 'gelu', wanted one of tanh, relu."),
    ]  # fmt: skip
    if extra == "cotangents":
        entries += [
            ("cotangents", "another number of samples", np.zeros((3, 5)), ValueError,
             "cotangents has shape (3, 5), but inputs has shape (4, 2); they must agree."),
            ("cotangents", "an output short", np.zeros((4, 4)), ValueError,
             "cotangents came with shape (4, 4), wanted 5 along the last axis for sizes "
             "(2, 3, 5)."),
        ]  # fmt: skip
    if extra == "tangents":
        entries.append(
            ("tangents", "another length", np.zeros(28), ValueError,
             "tangents has shape (28,), but parameters has shape (29,); they must agree."),
        )  # fmt: skip
    return tuple(instead(function, *entry) for entry in entries)


# --- known bugs ----------------------------------------------------------------------------------

SQUARE = "1 - after * after"
IGNORED = KnownBug("N3", 'if activation == "tanh":', "if True:", helper="_activated")
SLOPE_BUGS = (
    KnownBug(
        "N8", SQUARE, "1 - np.tanh(after) * np.tanh(after)", helper="_activated"
    ),
    KnownBug("N11", SQUARE, "1 + after * after", helper="_activated"),
)  # fmt: skip
BIAS_FIRST = KnownBug(
    "N5a", "parameters[start:middle]", "parameters[start + outputs : end]", helper="_layers",
    also=(("parameters[middle:end]", "parameters[start : start + outputs]"),),
)  # fmt: skip
RESHAPED = ".reshape(inputs.shape[::-1]).T"
LAST = "return hidden @ last_weight.T + last_bias"

FORWARD_BUGS = (
    KnownBug("N1", LAST, f"return _activated({LAST[7:]}, activation)[0]"),
    KnownBug(
        "N2", "hidden, _ = _activated(hidden @ weight.T + bias, activation)",
        "hidden = hidden @ weight.T + bias",
    ),
    IGNORED,
    BIAS_FIRST,
    KnownBug("N4", "hidden = inputs", f"hidden = inputs{RESHAPED}"),
    KnownBug("A19", LAST, f"return ({LAST[7:]}).squeeze()"),
)  # fmt: skip

ARRIVING = "(arriving @ layers[k + 1][0]) * slopes[k]"
BIAS_LINE = "parts[k][1][:] = arriving.sum(axis=0)"
BACKWARD_BUGS = (
    IGNORED,
    BIAS_FIRST,
    KnownBug(
        "N4", "arriving @ layers[k + 1][0]",
        "arriving @ layers[k + 1][0].T.reshape(layers[k + 1][0].shape)",
    ),
    KnownBug(
        "N5b", "return gradient",
        "return np.concatenate([part.reshape(-1) for layer in parts for part in layer[::-1]])",
    ),
    KnownBug("N6", BIAS_LINE, BIAS_LINE.replace("sum", "mean")),
    KnownBug("N7", BIAS_LINE, "parts[k][1][:] = parts[k][0].sum(axis=1)"),
    *SLOPE_BUGS,
    KnownBug("N9", ARRIVING, "arriving @ layers[k + 1][0]"),
    KnownBug(
        "N10", ARRIVING,
        "1 - np.tanh(arriving @ layers[k + 1][0]) * np.tanh(arriving @ layers[k + 1][0])",
    ),
    KnownBug("L8", "return gradient", "return gradient / len(inputs)"),
)  # fmt: skip

MOVED = "moved @ weight.T + hidden @ weight_move.T + bias_move"
JVP_BUGS = (
    IGNORED,
    BIAS_FIRST,
    KnownBug(
        "N4",
        "hidden, moved = inputs, np.zeros_like(inputs)",
        f"hidden, moved = inputs{RESHAPED}, np.zeros_like(inputs)",
    ),
    *SLOPE_BUGS,
    KnownBug("N9", "moved = slope * moved", "pass"),
    KnownBug("N10", "moved = slope * moved", "moved, _ = _activated(moved, activation)"),
    KnownBug("N12a", MOVED, "moved @ weight.T + bias_move"),
    KnownBug("N12b", MOVED, "hidden @ weight_move.T + bias_move"),
    KnownBug("N12c", MOVED, "moved @ weight.T + hidden @ weight_move.T"),
    KnownBug("A19", "return moved", "return moved.squeeze()"),
)

# --- forms that look wrong and are right ---------------------------------------------------------

Array = np.ndarray


def features_first(
    parameters: Array, inputs: Array, *, sizes: tuple[int, ...], activation: str
) -> Array:
    """Carry samples as columns: W h + b, as the books have it."""
    hidden = inputs.T
    layers = layers_of(parameters, sizes)
    for k, (weight, bias) in enumerate(layers):
        hidden = weight @ hidden + bias[:, None]
        if k < len(layers) - 1:
            hidden = np.tanh(hidden) if activation == "tanh" else np.maximum(hidden, 0)
    return np.ascontiguousarray(hidden.T)


def ones_appended(
    parameters: Array,
    inputs: Array,
    cotangents: Array,
    *,
    sizes: tuple[int, ...],
    activation: str,
) -> Array:
    """Treat the bias as the weight of an input that is always 1."""

    def with_one(rows: Array) -> Array:
        return np.concatenate([rows, np.ones((len(rows), 1))], axis=1)

    layers, values = layers_of(parameters, sizes), [with_one(inputs)]
    for weight, bias in layers[:-1]:
        before = values[-1] @ np.concatenate([weight, bias[:, None]], axis=1).T
        values.append(with_one(np.tanh(before) if activation == "tanh" else before.clip(0)))
    arriving = cotangents
    parts: list[Array] = []
    for k in reversed(range(len(layers))):
        joint = arriving.T @ values[k]
        parts = [joint[:, :-1].reshape(-1), joint[:, -1], *parts]
        after = values[k][:, :-1]
        slope = 1 - after * after if activation == "tanh" else after > 0
        if k > 0:
            arriving = (arriving @ layers[k][0]) * slope
    return np.concatenate(parts)


# --- contracts -----------------------------------------------------------------------------------


def sized(extra: str) -> Callable[[tuple[int, ...]], Case]:
    """Return the function that makes cases of a benchmark size."""
    return functools.partial(network, extra=extra)


FORWARD_CONTRACT = Contract(
    name="mlp_forward",
    topic="networks",
    summary="outputs of a multilayer perceptron",
    source="Goodfellow et al. 2016, Deep Learning, algorithm 6.3",
    reference=reference.mlp_forward,
    fast=fast.mlp_forward,
    arguments=(PARAMETERS, INPUTS, *KNOBS),
    outputs=("outputs",),
    axes=("N O",),
    inputs=perceptrons(""),
    examples=(
        Example("one unit, open and shut", worked(SMALL), {"outputs": [["19/2"], ["1/2"]]}),
        Example("one linear layer", worked(LINEAR), {"outputs": [["26", "49"]]}),
    ),
    laws=FORWARD_LAWS,
    gradients=("parameters", "inputs"),
    known_bugs=FORWARD_BUGS,
    conventions=(IN_BY_OUT,),
    equivalents=(
        Equivalent("features first", "samples as columns, as the sources print it", features_first),
    ),
    bad_inputs=bad_inputs("mlp_forward", ""),
    sizes=WIDTHS,
    exact=False,
    good=good_case(""),
    sized=sized(""),
)

BACKWARD_CONTRACT = Contract(
    name="mlp_backward",
    topic="networks",
    summary="gradient of Σ cotangents · outputs with respect to the parameters",
    source="Goodfellow et al. 2016, Deep Learning, algorithm 6.4",
    reference=reference.mlp_backward,
    fast=fast.mlp_backward,
    arguments=(PARAMETERS, INPUTS, Argument("cotangents", "float", "N O"), *KNOBS),
    outputs=("gradient",),
    axes=("P",),
    inputs=perceptrons("cotangents"),
    examples=(
        Example(
            "one unit, open and shut",
            worked(SMALL, cotangents=np.array([[1.0], [1.0]])),
            {"gradient": ["6", "3", "3", "3", "2"]},
        ),
        Example(
            "one linear layer",
            worked(LINEAR, cotangents=np.array([[1.0, 2.0]])),
            {"gradient": ["1", "10", "2", "20", "1", "2"]},
        ),
    ),
    laws=BACKWARD_LAWS,
    gradients=("parameters", "inputs", "cotangents"),
    known_bugs=BACKWARD_BUGS,
    conventions=(IN_BY_OUT, SLOPE_AT_KINK),
    equivalents=(
        Equivalent(
            "ones appended", "the bias as the weight of an input that is always 1", ones_appended
        ),
    ),
    bad_inputs=bad_inputs("mlp_backward", "cotangents"),
    sizes=WIDTHS,
    exact=False,
    good=good_case("cotangents"),
    sized=sized("cotangents"),
)

JVP_CONTRACT = Contract(
    name="mlp_jvp",
    topic="networks",
    summary="derivative of a perceptron's outputs along a direction of its parameters",
    source="Griewank and Walther 2008, Evaluating Derivatives, section 3.1",
    reference=reference.mlp_jvp,
    fast=fast.mlp_jvp,
    arguments=(PARAMETERS, INPUTS, Argument("tangents", "float", "P"), *KNOBS),
    outputs=("derivatives",),
    axes=("N O",),
    inputs=perceptrons("tangents"),
    examples=(
        Example(
            "one unit, open and shut",
            worked(SMALL, tangents=np.array([1.0, 0.0, 0.0, 1.0, 4.0])),
            {"derivatives": [["13"], ["4"]]},
        ),
        Example(
            "one linear layer",
            worked(LINEAR, tangents=np.array([0.0, 1.0, 0.0, 0.0, 0.0, 2.0])),
            {"derivatives": [["10", "2"]]},
        ),
    ),
    laws=JVP_LAWS,
    gradients=("parameters", "inputs", "tangents"),
    known_bugs=JVP_BUGS,
    conventions=(IN_BY_OUT, SLOPE_AT_KINK),
    bad_inputs=bad_inputs("mlp_jvp", "tangents"),
    sizes=WIDTHS,
    exact=False,
    good=good_case("tangents"),
    sized=sized("tangents"),
)

CONTRACTS = (FORWARD_CONTRACT, BACKWARD_CONTRACT, JVP_CONTRACT)
