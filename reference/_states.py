"""What optimisers return and remember."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments


class SgdUpdate(NamedTuple):
    """Parameters and velocity after an update."""

    parameters: Float[np.ndarray, "P"]
    velocity: Float[np.ndarray, "P"]


class AdamUpdate(NamedTuple):
    """Parameters and moments after an update."""

    parameters: Float[np.ndarray, "P"]
    first: Float[np.ndarray, "P"]
    second: Float[np.ndarray, "P"]


class RmspropUpdate(NamedTuple):
    """Parameters and mean squares after an update."""

    parameters: Float[np.ndarray, "P"]
    squares: Float[np.ndarray, "P"]


class ClippedGradients(NamedTuple):
    """Gradients after clipping, and their norm before it."""

    gradients: Float[np.ndarray, "P"]
    norm: Float[np.ndarray, ""]


class SgdState(NamedTuple):
    """What SGD remembers."""

    velocity: Float[np.ndarray, "P"]


class AdamState(NamedTuple):
    """What Adam remembers: how many updates are done, and both moments."""

    steps: int
    first: Float[np.ndarray, "P"]
    second: Float[np.ndarray, "P"]


class RmspropState(NamedTuple):
    """What RMSprop remembers."""

    squares: Float[np.ndarray, "P"]


def sgd_init(parameters: Float[np.ndarray, "P"]) -> SgdState:
    """What SGD remembers before the first step: no velocity.

    Source: as `sgd`.

    Args:
        parameters: θ.

    Returns:
        The state.

    Raises:
        TypeError, ValueError: parameters is no floating-point array [P].
    """
    Arguments("sgd_init", np.ndarray, exact=True).floats("P", parameters=parameters)
    return SgdState(np.zeros_like(parameters))


def adam_init(parameters: Float[np.ndarray, "P"]) -> AdamState:
    """What Adam remembers before the first step: nothing.

    Source: as `adam`.

    Args:
        parameters: θ.

    Returns:
        The state.

    Raises:
        TypeError, ValueError: parameters is no floating-point array [P].
    """
    Arguments("adam_init", np.ndarray, exact=True).floats("P", parameters=parameters)
    return AdamState(0, np.zeros_like(parameters), np.zeros_like(parameters))


def rmsprop_init(parameters: Float[np.ndarray, "P"], *, start: float) -> RmspropState:
    """What RMSprop remembers before the first step: `start` for every square.

    Source: as `rmsprop`.

    Args:
        parameters: θ.
        start: 0 as torch has it, or 1 as TensorFlow.

    Returns:
        The state.

    Raises:
        TypeError, ValueError: parameters is no floating-point array [P].
    """
    check = Arguments("rmsprop_init", np.ndarray, exact=True)
    check.floats("P", parameters=parameters)
    check.number("start", start)
    return RmspropState(np.zeros_like(parameters) + start)
