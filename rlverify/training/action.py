"""Action: a policy acts, in NumPy: small batches would wait longer for a call than for arithmetic.

Only which action is taken is computed here. What an estimator is given, log-probabilities and
values, is computed afterwards by the suite's own functions.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Actor:
    """A policy network that chooses actions.

    Attributes:
        layers: weight [out, in], transposed, and bias of every layer.
        activation: `"tanh"` or `"relu"`.
        deviation: σ of a Gaussian policy, [D]; None for a categorical one.
        mean: taken off the observations, [I]; None to show them as they are.
        scale: what they are then divided by, [I].
        limit: what they are then clipped to, on both sides.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    activation: str
    deviation: np.ndarray | None = None
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    limit: float = np.inf

    def outputs(self, observations: Float[np.ndarray, "N I"]) -> Float[np.ndarray, "N O"]:
        """Return logits or means."""
        hidden = observations
        if self.mean is not None and self.scale is not None:
            hidden = ((hidden - self.mean) / self.scale).clip(-self.limit, self.limit)
        *before, (weight, bias) = self.layers
        for inner, offset in before:
            hidden = hidden @ inner + offset
            hidden = np.tanh(hidden) if self.activation == "tanh" else np.maximum(hidden, 0)
        result: np.ndarray = hidden @ weight + bias
        return result

    def act(self, observations: Float[np.ndarray, "N I"], noise: np.ndarray) -> np.ndarray:
        """Return an action for each observation.

        Args:
            observations: as the environment gave them, a row each.
            noise: of a categorical policy a uniform number each, [N], that is looked up in the
                cumulated probabilities; of a Gaussian one standard normal numbers, [N, D].
        """
        outputs = self.outputs(observations)
        if self.deviation is not None:
            moved: np.ndarray = outputs + self.deviation * noise
            return moved
        weights = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        reached = weights[:, :-1].cumsum(axis=1) <= noise[:, None] * weights.sum(1, keepdims=True)
        chosen: np.ndarray = reached.sum(axis=1)
        return chosen


def layers(
    parameters: Float[np.ndarray, "P"], sizes: tuple[int, ...]
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return the layers of a flat vector of parameters, weights transposed."""
    found, start = [], 0
    for inputs, outputs in pairwise(sizes):
        middle, end = start + outputs * inputs, start + outputs * inputs + outputs
        # contiguous: the product with a transposed view takes longer
        weight = np.ascontiguousarray(parameters[start:middle].reshape(outputs, inputs).T)
        found.append((weight, parameters[middle:end]))
        start = end
    return tuple(found)


def drawn(
    generator: np.random.Generator, distribution: str, shape: tuple[int, ...], width: int
) -> np.ndarray:
    """Return the noise that actions follow from."""
    if distribution == "categorical":
        return generator.random(shape)
    return generator.standard_normal((*shape, width))
