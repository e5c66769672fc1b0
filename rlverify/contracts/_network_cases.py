"""Inputs of the perceptrons: what separates a right pass from a wrong one.

Widths that differ, so that a layout shows, and widths that agree, so that a transposed square
shows too; one layer, two and three; one sample and several; hidden units that are saturated,
at the kink, or neither. The numbers are distinct and exact in every float dtype.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case
from rlverify.errors import layer_parameters
from rlverify.inputs import distinct

SIZES = (
    (1, 2), (2, 2),
    (1, 2, 1), (2, 2, 1), (2, 1, 2), (1, 2, 2), (2, 2, 2), (2, 3, 2),
    (1, 2, 2, 1), (2, 1, 2, 1),
)  # fmt: skip
SAMPLES = (1, 2, 3)
# near zero the slopes differ from unit to unit; saturated they vanish; at the kink they jump
REGIMES = ("plain", "plain", "plain", "plain", "saturated", "kink", "zero", "large")
SATURATED = 2.0**12  # a bias no drawn sum can outweigh; tanh of it is 1 in every dtype

Layers = list[tuple[np.ndarray, np.ndarray]]


def layers_of(vector: np.ndarray, sizes: tuple[int, ...]) -> Layers:
    """Return copies of (weight [out, in], bias [out]) of every layer."""
    layers, start = [], 0
    for inputs, outputs in pairwise(sizes):
        weight = vector[start : start + outputs * inputs].reshape(outputs, inputs).copy()
        start += outputs * inputs
        layers.append((weight, vector[start : start + outputs].copy()))
        start += outputs
    return layers


def joined(layers: Layers) -> np.ndarray:
    """Return layers as one vector; the inverse of `layers_of`."""
    return np.concatenate([part.reshape(-1) for layer in layers for part in layer])


@st.composite
def perceptrons(draw: st.DrawFn, extra: str) -> Case:
    """Draw a network, inputs, and `cotangents` or `tangents` where `extra` names them."""
    sizes = draw(st.sampled_from(SIZES))
    activation = draw(st.sampled_from(("tanh", "relu")))
    regime = draw(st.sampled_from(REGIMES))
    samples = draw(st.sampled_from(SAMPLES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = layer_parameters(sizes)
    shapes = {"cotangents": (samples, sizes[-1]), "tangents": (count,)}
    parameters, inputs, other = distinct(
        rng, (count,), (samples, sizes[0]), shapes.get(extra, (1,))
    )
    parameters, inputs = parameters / 32, inputs / 16  # within 1 and 2: neither unit saturates
    if regime == "saturated":
        parameters = parameters * 64
    if regime == "large":
        inputs = inputs * 2.0**10
    if regime == "zero":
        parameters = 0 * parameters
    if regime == "kink":  # the first sample meets the first layer at exactly 0
        inputs[0] = 0
        first = layers_of(parameters, sizes)
        first[0][1][:] = 0
        parameters = joined(first)
    arguments: dict[str, Any] = {"parameters": parameters, "inputs": inputs}
    if extra == "cotangents" and samples > 1 and draw(st.integers(0, 5)) == 0:
        other[-1] = 0  # a padded sample
    if extra:
        arguments[extra] = other
    return Case({**arguments, "sizes": sizes, "activation": activation}, activation)


def network(shape: tuple[int, ...], extra: str) -> Case:
    """Return a case of a benchmark size: samples, then the widths."""
    samples, *widths = shape
    sizes, rng = tuple(widths), np.random.default_rng(0)
    count = layer_parameters(sizes)
    shapes = {"cotangents": (samples, sizes[-1]), "tangents": (count,)}
    arguments: dict[str, Any] = {
        "parameters": rng.normal(size=count) / np.sqrt(max(sizes)),
        "inputs": rng.normal(size=(samples, sizes[0])),
    }
    if extra:
        arguments[extra] = rng.normal(size=shapes[extra])
    return Case({**arguments, "sizes": sizes, "activation": "tanh"}, "tanh", "sized")
