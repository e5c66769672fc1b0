"""Policies to take the curvature of: small networks, categorical and Gaussian.

Widths that differ and widths that agree; one layer, two and three; policies that are even,
confident or neither; a Gaussian's σ away from 1. All numbers are exact in every float dtype.
"""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from rlverify.contract import Case
from rlverify.contracts._network_cases import joined, layers_of
from rlverify.errors import layer_parameters
from rlverify.inputs import distinct

SIZES = {
    "categorical": ((1, 2), (2, 2), (1, 3), (1, 1, 2), (1, 2, 2), (1, 1, 1, 2)),
    "gaussian": ((1, 1), (1, 2), (2, 1), (1, 1, 1), (1, 2, 1), (1, 1, 1, 1)),
}
SAMPLES = (1, 1, 2, 2, 3)
REGIMES = ("plain", "plain", "plain", "even", "confident", "kink")
DAMPINGS = (0.0, 0.0, 0.125, 0.5, 2.0)
CONFIDENT = 3.0  # added to one logit: a chance of some 0.9


@st.composite
def policies(draw: st.DrawFn, extra: str) -> Case:
    """Draw a policy, inputs, and what stands beside them: a vector, a gradient, or nothing."""
    distribution = draw(st.sampled_from(("categorical", "gaussian")))
    sizes = draw(st.sampled_from(SIZES[distribution]))
    activation = draw(st.sampled_from(("tanh", "tanh", "relu")))
    regime, samples = draw(st.sampled_from(REGIMES)), draw(st.sampled_from(SAMPLES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = layer_parameters(sizes)
    log_stds = sizes[-1] if distribution == "gaussian" else 0
    network, inputs, other, log_std = distinct(
        rng, (count,), (samples, sizes[0]), (count + log_stds,), (log_stds,)
    )
    network, inputs, log_std = network / 32, inputs / 16, log_std / 32
    layers = layers_of(network, sizes)
    if regime == "even":
        layers[-1][0][:], layers[-1][1][:] = 0, 0
    if regime == "confident":
        layers[-1][1][0] = CONFIDENT
    if regime == "kink":  # the first sample meets the first layer at exactly 0
        inputs[0], layers[0][1][:] = 0, 0
    arguments: dict[str, Any] = {
        "parameters": np.concatenate([joined(layers), log_std]),
        "inputs": inputs,
    }
    if extra:
        arguments[extra] = other / 8 if extra == "gradient" else other
    arguments |= {"sizes": sizes, "activation": activation, "distribution": distribution}
    if extra == "vector":
        arguments["damping"] = draw(st.sampled_from(DAMPINGS))
    if extra == "gradient":
        arguments["damping"] = draw(st.sampled_from(DAMPINGS[2:]))
        arguments["delta"] = draw(st.sampled_from((2.0**-10, 0.01, 0.5, 2.0**20)))
        arguments["learning_rate"] = draw(st.sampled_from((0.25, 1.0, 1.0)))
    return Case(arguments, distribution)


def policy(shape: tuple[int, ...], extra: str) -> Case:
    """Return a categorical policy of a benchmark size: samples, then the widths."""
    samples, *widths = shape
    sizes, rng = tuple(widths), np.random.default_rng(0)
    count = layer_parameters(sizes)
    arguments: dict[str, Any] = {
        "parameters": rng.normal(size=count) / np.sqrt(max(sizes)),
        "inputs": rng.normal(size=(samples, sizes[0])),
    }
    if extra:
        arguments[extra] = rng.normal(size=count)
    arguments |= {"sizes": sizes, "activation": "tanh", "distribution": "categorical"}
    if extra:
        arguments["damping"] = 0.125
    if extra == "gradient":
        arguments |= {"delta": 0.01, "learning_rate": 1.0}
    return Case(arguments, "categorical", "sized")
