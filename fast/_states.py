"""What optimisers return and remember."""

from typing import NamedTuple

import torch
from jaxtyping import Float

from rlverify.errors import Arguments


class SgdUpdate(NamedTuple):
    """Parameters and velocity after an update."""

    parameters: Float[torch.Tensor, "P"]
    velocity: Float[torch.Tensor, "P"]


class AdamUpdate(NamedTuple):
    """Parameters and moments after an update."""

    parameters: Float[torch.Tensor, "P"]
    first: Float[torch.Tensor, "P"]
    second: Float[torch.Tensor, "P"]


class RmspropUpdate(NamedTuple):
    """Parameters and mean squares after an update."""

    parameters: Float[torch.Tensor, "P"]
    squares: Float[torch.Tensor, "P"]


class ClippedGradients(NamedTuple):
    """Gradients after clipping, and their norm before it."""

    gradients: Float[torch.Tensor, "P"]
    norm: Float[torch.Tensor, ""]


class SgdState(NamedTuple):
    """What SGD remembers."""

    velocity: Float[torch.Tensor, "P"]


class AdamState(NamedTuple):
    """What Adam remembers: how many updates are done, and both moments."""

    steps: int
    first: Float[torch.Tensor, "P"]
    second: Float[torch.Tensor, "P"]


class RmspropState(NamedTuple):
    """What RMSprop remembers."""

    squares: Float[torch.Tensor, "P"]


def sgd_init(parameters: Float[torch.Tensor, "P"]) -> SgdState:
    """What SGD remembers before the first step: no velocity.

    Source: as `sgd`.

    Args:
        parameters: θ.

    Returns:
        The state.

    Raises:
        TypeError, ValueError: parameters is no floating-point array [P].
    """
    Arguments("sgd_init", torch.Tensor).floats("P", parameters=parameters)
    return SgdState(torch.zeros_like(parameters))


def adam_init(parameters: Float[torch.Tensor, "P"]) -> AdamState:
    """What Adam remembers before the first step: nothing.

    Source: as `adam`.

    Args:
        parameters: θ.

    Returns:
        The state.

    Raises:
        TypeError, ValueError: parameters is no floating-point array [P].
    """
    Arguments("adam_init", torch.Tensor).floats("P", parameters=parameters)
    return AdamState(0, torch.zeros_like(parameters), torch.zeros_like(parameters))


def rmsprop_init(parameters: Float[torch.Tensor, "P"], *, start: float) -> RmspropState:
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
    check = Arguments("rmsprop_init", torch.Tensor)
    check.floats("P", parameters=parameters)
    check.number("start", start)
    return RmspropState(torch.zeros_like(parameters) + start)
