"""Laws of perceptrons that need no second perceptron: symmetries, and regimes without curvature.

A network does not care for the order of its hidden units, nor for a factor that one layer takes
and the next gives back. Where all units are saturated, or all rectifiers open, or a tanh network
is at its origin, every pass is a product of matrices and can be done in fractions.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np

from rlverify.contract import Case, Claim, Law, Outputs, Subject
from rlverify.contracts._network_cases import SATURATED, Layers, joined, layers_of
from rlverify.contracts._recordings import equals_exactly, exact, same

PER_SAMPLE = ("inputs", "cotangents")
PER_PARAMETER = ("tangents",)


def layers_in(case: Case, name: str = "parameters") -> Layers:
    """Return the layers of a case, or of another vector shaped like its parameters."""
    return layers_of(case[name], case["sizes"])


def rows_of(case: Case, rows: slice) -> Case:
    """Return the case with some of its samples."""
    changes = {name: case[name][rows] for name in PER_SAMPLE if name in case.arguments}
    return case.but(**changes)


# --- whatever the pass ---------------------------------------------------------------------------


def check_samples_alone(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare every sample of the whole with that sample alone."""
    ((name, got),), allowed = subject(case).items(), subject.bound(case)
    for n in range(len(got)):
        row = rows_of(case, slice(n, n + 1))
        slack = allowed[name][n : n + 1] + subject.bound(row)[name]
        yield Claim(got[n : n + 1], subject(row)[name], slack)


def _reversed_units(layers: Layers) -> Layers:
    """Reverse the order of the first layer's units, here and where the second reads them."""
    (weight, bias), (following, last), *rest = layers
    return [(weight[::-1], bias[::-1]), (following[:, ::-1], last), *rest]


def check_reversed_units(subject: Subject, case: Case) -> Iterable[Claim]:
    """Reverse the hidden units: outputs stay, gradients are reversed with them."""
    if len(case["sizes"]) < 3:
        return
    vectors = ["parameters", *(name for name in PER_PARAMETER if name in case.arguments)]
    turned = case.but(**{name: joined(_reversed_units(layers_in(case, name))) for name in vectors})
    got, bounds = subject(case), subject.bound(case)

    def of(outputs: Outputs) -> Outputs:
        if "gradient" not in outputs:
            return outputs
        layers = layers_of(outputs["gradient"], case["sizes"])
        return {"gradient": joined(_reversed_units(layers))}

    (name,) = got
    slack = subject.bound(turned)[name] + of(bounds)[name]
    yield Claim(subject(turned)[name], of(got)[name], slack)


def check_linear(argument: str) -> Callable[[Subject, Case], Iterable[Claim]]:
    """Return the law that −2 times an argument gives −2 times the result."""

    def check(subject: Subject, case: Case) -> Iterable[Claim]:
        scaled = case.but(**{argument: -2 * case[argument]})
        wanted = {name: -2 * array for name, array in subject(case).items()}
        yield from same(subject, scaled, wanted, case, 2.0)

    return check


def saturated(case: Case) -> Case:
    """Return the case with every hidden unit saturated: tanh at 1, rectifiers shut."""
    bias = SATURATED if case["activation"] == "tanh" else -SATURATED
    return _with_hidden_biases(case, [bias] * len(case["sizes"]))


def uncurved(case: Case) -> Case:
    """Return the case with every slope 1: tanh at its origin, rectifiers open."""
    if case["activation"] == "tanh":
        still = _with_hidden_biases(case, [0.0] * len(case["sizes"]))
        return still.but(inputs=0 * case["inputs"])
    # each layer's bias outweighs the three values at most that reach it, whatever their signs
    return _with_hidden_biases(case, [SATURATED * 8.0**k for k in range(len(case["sizes"]))])


def _with_hidden_biases(case: Case, biases: list[float]) -> Case:
    """Return the case with hidden biases given, and weights and inputs small beside them."""
    layers = layers_in(case)
    for (weight, bias), wanted in zip(layers[:-1], biases, strict=False):
        weight[:] = np.clip(weight, -1, 1)
        bias[:] = wanted
    return case.but(parameters=joined(layers), inputs=np.clip(case["inputs"], -2, 2))


def flat_values(case: Case) -> list[np.ndarray]:
    """Return h₀, h₁, … of an uncurved case, in fractions."""
    values = [exact(case["inputs"])]
    for weight, bias in layers_in(case)[:-1]:
        values.append(values[-1] @ exact(weight).T + exact(bias))
    return values


# --- forward -------------------------------------------------------------------------------------


def check_saturated_outputs(subject: Subject, case: Case) -> Iterable[Claim]:
    """Saturate every hidden unit: the outputs are the last bias plus the weights, or alone."""
    if len(case["sizes"]) < 3:
        return
    full = saturated(case)
    weight, bias = layers_in(full)[-1]
    wanted = exact(bias)
    if case["activation"] == "tanh":
        wanted = wanted + exact(weight).sum(axis=1)
    wanted = np.broadcast_to(wanted, (len(case["inputs"]), len(bias)))
    yield equals_exactly(subject(full)["outputs"], wanted, subject.bound(full)["outputs"])


def check_affine_outputs(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where nothing is curved the outputs are a product of matrices, in fractions."""
    flat = uncurved(case)
    weight, bias = layers_in(flat)[-1]
    wanted = flat_values(flat)[-1] @ exact(weight).T + exact(bias)
    yield equals_exactly(subject(flat)["outputs"], wanted, subject.bound(flat)["outputs"])


def check_last_layer_linear(subject: Subject, case: Case) -> Iterable[Claim]:
    """Multiply the last layer by −2: the outputs are multiplied by −2."""
    *hidden, (weight, bias) = layers_in(case)
    doubled = case.but(parameters=joined([*hidden, (-2 * weight, -2 * bias)]))
    yield from same(subject, doubled, {"outputs": -2 * subject(case)["outputs"]}, case, 2.0)


def check_rectifier_homogeneous(subject: Subject, case: Case) -> Iterable[Claim]:
    """Double the inputs of a rectifier network without biases: the outputs double."""
    bare = case.but(parameters=joined([(w, 0 * b) for w, b in layers_in(case)]))
    doubled = bare.but(inputs=2 * case["inputs"])
    yield from same(subject, doubled, {"outputs": 2 * subject(bare)["outputs"]}, bare, 2.0)


FORWARD_LAWS = (
    Law("samples-alone", "every sample's outputs are its own", check_samples_alone),
    Law("hidden-order", "the order of the hidden units does not matter", check_reversed_units),
    Law(
        "saturated", "with every hidden unit saturated the last layer alone decides",
        check_saturated_outputs,
    ),
    Law("affine", "without curvature the outputs are a product of matrices", check_affine_outputs),
    Law("last-layer", "the outputs are linear in the last layer", check_last_layer_linear),
    Law(
        "homogeneous", "a rectifier network without biases doubles with its inputs",
        check_rectifier_homogeneous, holds_on=("relu",),
    ),
)  # fmt: skip

# --- backward ------------------------------------------------------------------------------------


def check_samples_add(subject: Subject, case: Case) -> Iterable[Claim]:
    """The gradient of the whole is the sum of the gradients of its samples."""
    total, slack = np.zeros_like(case["parameters"]), subject.bound(case)["gradient"]
    for n in range(len(case["inputs"])):
        row = rows_of(case, slice(n, n + 1))
        total = total + exact(subject(row)["gradient"])
        slack = slack + subject.bound(row)["gradient"]
    yield equals_exactly(subject(case)["gradient"], total, slack)


def check_padding(subject: Subject, case: Case) -> Iterable[Claim]:
    """Append a sample without cotangents: nothing changes."""
    longer = case.but(
        inputs=np.concatenate([case["inputs"], case["inputs"][:1] + 1]),
        cotangents=np.concatenate([case["cotangents"], 0 * case["cotangents"][:1]]),
    )
    yield from same(subject, longer, subject(case), case)


def check_last_bias(subject: Subject, case: Case) -> Iterable[Claim]:
    """The gradient of the last bias is the sum of the cotangents."""
    wanted, outputs = exact(case["cotangents"]).sum(axis=0), case["sizes"][-1]
    got, allowed = subject(case)["gradient"], subject.bound(case)["gradient"]
    yield equals_exactly(got[-outputs:], wanted, allowed[-outputs:])


def check_saturated_gradient(subject: Subject, case: Case) -> Iterable[Claim]:
    """Saturate every hidden unit: nothing reaches the layers before the last."""
    if len(case["sizes"]) < 3:
        return
    full = saturated(case)
    *hidden, (weight, _) = layers_in(full)
    total = exact(case["cotangents"]).sum(axis=0)
    value = 1 if case["activation"] == "tanh" else 0
    last = (np.outer(total, np.full(weight.shape[1], Fraction(value))), total)
    nothing = [(exact(0 * w), exact(0 * b)) for w, b in hidden]
    allowed = subject.bound(full)["gradient"]
    yield equals_exactly(subject(full)["gradient"], joined([*nothing, last]), allowed)


def check_flat_gradient(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where nothing is curved the gradient is a product of matrices, in fractions."""
    flat = uncurved(case)
    layers, values = layers_in(flat), flat_values(flat)
    arriving, parts = exact(case["cotangents"]), []
    for k in reversed(range(len(layers))):
        parts.append((arriving.T @ values[k], arriving.sum(axis=0)))
        arriving = arriving @ exact(layers[k][0])
    allowed = subject.bound(flat)["gradient"]
    yield equals_exactly(subject(flat)["gradient"], joined(parts[::-1]), allowed)


def check_balance(subject: Subject, case: Case) -> Iterable[Claim]:
    """What a rectifier's own parameters gain, the weights behind it lose: ⟨θ, g⟩ is equal."""
    got, allowed = subject(case)["gradient"], subject.bound(case)["gradient"]
    gained = layers_of(exact(got) * exact(case["parameters"]), case["sizes"])
    slack = layers_of(allowed * np.abs(case["parameters"]), case["sizes"])
    for k in range(len(gained) - 1):
        before = gained[k][0].sum(axis=1) + gained[k][1]
        behind = gained[k + 1][0].sum(axis=0)
        room = slack[k][0].sum(axis=1) + slack[k][1] + slack[k + 1][0].sum(axis=0)
        yield equals_exactly((before - behind).astype(float), exact(np.zeros(len(room))), room)


BACKWARD_LAWS = (
    Law("samples-add", "the gradient is the sum over the samples", check_samples_add),
    Law("padding", "a sample without cotangents changes nothing", check_padding),
    Law("hidden-order", "reversed hidden units have reversed gradients", check_reversed_units),
    Law("linear", "the gradient is linear in the cotangents", check_linear("cotangents")),
    Law("last-bias", "the last bias gets the sum of the cotangents", check_last_bias),
    Law("saturated", "nothing passes a saturated layer", check_saturated_gradient),
    Law("flat", "without curvature the gradient is a product of matrices", check_flat_gradient),
    Law(
        "balance", "⟨θ, gradient⟩ of a rectifier's incoming and outgoing weights are equal",
        check_balance, holds_on=("relu",),
    ),
)  # fmt: skip

# --- forward mode --------------------------------------------------------------------------------


def check_last_bias_moves(subject: Subject, case: Case) -> Iterable[Claim]:
    """Move the last bias alone: every sample moves with it."""
    outputs = case["sizes"][-1]
    alone = np.concatenate([0 * case["tangents"][:-outputs], case["tangents"][-outputs:]])
    moved = case.but(tangents=alone)
    wanted = np.broadcast_to(exact(alone[-outputs:]), (len(case["inputs"]), outputs))
    yield equals_exactly(subject(moved)["derivatives"], wanted, subject.bound(moved)["derivatives"])


def check_saturated_moves(subject: Subject, case: Case) -> Iterable[Claim]:
    """Saturate every hidden unit: only the last layer moves anything."""
    if len(case["sizes"]) < 3:
        return
    full = saturated(case)
    weight, bias = layers_in(case, "tangents")[-1]
    wanted = exact(bias)
    if case["activation"] == "tanh":
        wanted = wanted + exact(weight).sum(axis=1)
    wanted = np.broadcast_to(wanted, (len(case["inputs"]), len(bias)))
    yield equals_exactly(subject(full)["derivatives"], wanted, subject.bound(full)["derivatives"])


def check_product_rule(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where nothing is curved the derivative is the product rule of the layers, in fractions."""
    flat = uncurved(case)
    values = flat_values(flat)
    moved = exact(0 * flat["inputs"])
    pairs = zip(layers_in(flat), layers_in(case, "tangents"), values, strict=True)
    for (weight, _), (weight_move, bias_move), value in pairs:
        moved = moved @ exact(weight).T + value @ exact(weight_move).T + exact(bias_move)
    yield equals_exactly(subject(flat)["derivatives"], moved, subject.bound(flat)["derivatives"])


def check_null_direction(subject: Subject, case: Case) -> Iterable[Claim]:
    """Enlarge what a rectifier takes in and shrink what it gives on: nothing moves."""
    layers = layers_in(case)
    for k in range(len(layers) - 1):
        still = [(0 * weight, 0 * bias) for weight, bias in layers]
        still[k] = layers[k]
        still[k + 1] = (-layers[k + 1][0], still[k + 1][1])
        along = case.but(tangents=joined(still))
        got, allowed = subject(along)["derivatives"], subject.bound(along)["derivatives"]
        yield Claim(got, np.zeros_like(got), allowed)


JVP_LAWS = (
    Law("samples-alone", "every sample's derivative is its own", check_samples_alone),
    Law("hidden-order", "the order of the hidden units does not matter", check_reversed_units),
    Law("linear", "the derivative is linear in the tangents", check_linear("tangents")),
    Law("last-bias", "the last bias moves every sample alike", check_last_bias_moves),
    Law("saturated", "nothing moves through a saturated layer", check_saturated_moves),
    Law("flat", "without curvature the layers obey the product rule", check_product_rule),
    Law(
        "null-direction", "what a rectifier gains before, it may lose behind",
        check_null_direction, holds_on=("relu",),
    ),
)  # fmt: skip
