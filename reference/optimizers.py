"""Optimisers: one update of a vector of parameters.

What one has to know to compare two libraries is where ε stands. Adam here adds it to the root of
the corrected second moment, as torch does; RMSprop adds it to the root (torch) or puts it under
the root (TensorFlow, whose accumulator besides starts at 1): `eps_inside` says which. In the first
update from an empty state both of Adam's corrections are 1/(1 − β), so it is lr · g/(|g| + ε).
`adam` and its like take the parts of a state one by one; `adam_update` takes them as one value.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from rlverify.errors import Arguments
from rlverify.reference._reductions import scalar
from rlverify.reference._states import (
    AdamState,
    AdamUpdate,
    ClippedGradients,
    RmspropState,
    RmspropUpdate,
    SgdState,
    SgdUpdate,
    adam_init,
    rmsprop_init,
    sgd_init,
)
from rlverify.refusals import adam_step, shares

__all__ = [
    "AdamState",
    "AdamUpdate",
    "ClippedGradients",
    "RmspropState",
    "RmspropUpdate",
    "SgdState",
    "SgdUpdate",
    "adam",
    "adam_init",
    "adam_update",
    "clip_grad_norm",
    "rmsprop",
    "rmsprop_init",
    "rmsprop_update",
    "sgd",
    "sgd_init",
    "sgd_update",
]


def sgd(
    parameters: Float[np.ndarray, "P"],
    gradients: Float[np.ndarray, "P"],
    velocity: Float[np.ndarray, "P"],
    *,
    learning_rate: float,
    momentum: float,
) -> SgdUpdate:
    """One step of gradient descent with momentum.

        v ← momentum · v + g        θ ← θ − learning_rate · v

    Source: Polyak 1964, equation 9; Sutskever et al. 2013, equations 1 and 2.
    Ours: the learning rate stands outside the velocity, as in torch.optim.SGD with dampening 0;
    Sutskever et al. have it inside.

    Args:
        parameters: θ.
        gradients: g, of what is to become small.
        velocity: v before the step; 0 before the first.
        learning_rate: length of the step.
        momentum: share of the velocity that is kept, in [0, 1].

    Returns:
        `parameters` and `velocity` after the step.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or a number is out of its range.

    Example:
        >>> one, two, four = (np.array([x]) for x in (1.0, 2.0, 4.0))
        >>> sgd(one, two, four, learning_rate=0.5, momentum=0.25).parameters
        array([-0.5])
    """
    check = Arguments("sgd", np.ndarray, exact=True)
    check.floats("P", parameters=parameters, gradients=gradients, velocity=velocity)
    check.number("learning_rate", learning_rate)
    check.unit(momentum=momentum)

    moved, velocities = np.empty_like(parameters), np.empty_like(velocity)
    for i in range(len(parameters)):
        velocities[i] = momentum * velocity[i] + gradients[i]
        moved[i] = parameters[i] - learning_rate * velocities[i]
    return SgdUpdate(moved, velocities)


def adam(
    parameters: Float[np.ndarray, "P"],
    gradients: Float[np.ndarray, "P"],
    first: Float[np.ndarray, "P"],
    second: Float[np.ndarray, "P"],
    *,
    count: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> AdamUpdate:
    """One step of Adam.

        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
        θ ← θ − learning_rate · m̂/(√v̂ + ε)        m̂ = m/(1 − β₁ᵗ),  v̂ = v/(1 − β₂ᵗ)

    Source: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1.
    Ours: ε is added to the root of the corrected moment, as in the algorithm and in
    torch.optim.Adam. The paper's shorter form, which TensorFlow has, adds it to the root of the
    uncorrected one.

    Args:
        parameters: θ.
        gradients: g, of what is to become small.
        first: m before the step; 0 before the first.
        second: v before the step; 0 before the first.
        count: t, the number of this step, from 1.
        learning_rate: length of the step.
        beta1: share of the first moment that is kept, in [0, 1).
        beta2: share of the second moment that is kept, in [0, 1).
        eps: ε, above 0.

    Returns:
        `parameters`, `first` and `second` after the step.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or a number is out of its range.

    Example:
        >>> one, three, zero = (np.array([x]) for x in (1.0, 3.0, 0.0))
        >>> knobs = {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 1.0}
        >>> adam(one, three, zero, zero, count=1, **knobs).parameters
        array([0.625])
    """
    check = Arguments("adam", np.ndarray, exact=True)
    check.floats("P", parameters=parameters, gradients=gradients)
    adam_step(
        check, first, second, count=count, least=1,
        learning_rate=learning_rate, beta1=beta1, beta2=beta2, eps=eps,
    )  # fmt: skip

    moved, means, spreads = (np.empty_like(array) for array in (parameters, first, second))
    forgotten1, forgotten2 = 1 - _power(beta1, count), 1 - _power(beta2, count)
    for i in range(len(parameters)):
        mean = beta1 * first[i] + (1 - beta1) * gradients[i]
        spread = beta2 * second[i] + (1 - beta2) * gradients[i] ** 2
        direction = (mean / forgotten1) / (np.sqrt(spread / forgotten2) + eps)
        moved[i] = parameters[i] - learning_rate * direction
        means[i], spreads[i] = mean, spread
    return AdamUpdate(moved, means, spreads)


def _power(share: Any, count: int) -> Any:
    """Return shareᶜᵒᵘⁿᵗ."""
    power = share
    for _ in range(count - 1):
        power = power * share
    return power


def rmsprop(
    parameters: Float[np.ndarray, "P"],
    gradients: Float[np.ndarray, "P"],
    squares: Float[np.ndarray, "P"],
    *,
    learning_rate: float,
    decay: float,
    eps: float,
    eps_inside: bool,
) -> RmspropUpdate:
    """One step of RMSprop.

        s ← decay · s + (1 − decay) g²
        θ ← θ − learning_rate · g/(√s + ε)        or g/√(s + ε), if ε is inside

    Source: Tieleman and Hinton 2012, Coursera lecture 6e, slide 29; Mnih et al. 2016,
    arXiv:1602.01783, equations 8 and 9 (inside).
    Ours: neither centred nor with momentum.

    Args:
        parameters: θ.
        gradients: g, of what is to become small.
        squares: s before the step; before the first 0 (torch) or 1 (TensorFlow).
        learning_rate: length of the step.
        decay: share of the squares that is kept, in [0, 1).
        eps: ε, above 0.
        eps_inside: whether ε stands under the root.

    Returns:
        `parameters` and `squares` after the step.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: shapes disagree, or a number is out of its range.

    Example:
        >>> one, four, zero = (np.array([x]) for x in (1.0, 4.0, 0.0))
        >>> knobs = {"learning_rate": 0.5, "decay": 0.75, "eps": 2.0}
        >>> rmsprop(one, four, zero, **knobs, eps_inside=False).parameters
        array([0.5])
    """
    check = Arguments("rmsprop", np.ndarray, exact=True)
    check.floats("P", parameters=parameters, gradients=gradients, squares=squares)
    check.number("learning_rate", learning_rate)
    shares(check, decay=decay)
    check.positive("eps", eps)
    check.switch(eps_inside=eps_inside)

    moved, averages = np.empty_like(parameters), np.empty_like(squares)
    for i in range(len(parameters)):
        average = decay * squares[i] + (1 - decay) * gradients[i] ** 2
        divisor = np.sqrt(average + eps) if eps_inside else np.sqrt(average) + eps
        moved[i] = parameters[i] - learning_rate * (gradients[i] / divisor)
        averages[i] = average
    return RmspropUpdate(moved, averages)


def clip_grad_norm(gradients: Float[np.ndarray, "P"], *, max_norm: float) -> ClippedGradients:
    """Gradients made shorter where they are longer than a norm, all by one factor.

        g ← g · min(1, max_norm/‖g‖)

    Source: Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
    Ours: over all parameters at once, between the backward pass and the step; exactly that
    long afterwards. torch adds 1e-6 to the norm and so stays below it.

    Args:
        gradients: g of all parameters.
        max_norm: greatest norm that is left as it is, above 0.

    Returns:
        `gradients`, and `norm`, which they had before.

    Raises:
        TypeError: an argument is of the wrong kind or dtype.
        ValueError: gradients has another number of axes, or max_norm is not above 0.

    Example:
        >>> clip_grad_norm(np.array([3.0, 4.0]), max_norm=2.5).gradients
        array([1.5, 2. ])
    """
    check = Arguments("clip_grad_norm", np.ndarray, exact=True)
    check.floats("P", gradients=gradients)
    check.positive("max_norm", max_norm)

    total = 0
    for i in range(len(gradients)):
        total = total + gradients[i] ** 2
    norm = np.sqrt(total)
    factor = max_norm / norm if norm > max_norm else 1
    clipped = np.empty_like(gradients)
    for i in range(len(gradients)):
        clipped[i] = gradients[i] * factor
    return ClippedGradients(clipped, scalar(norm, gradients))


def sgd_update(
    parameters: Float[np.ndarray, "P"],
    gradients: Float[np.ndarray, "P"],
    state: SgdState,
    *,
    learning_rate: float,
    momentum: float,
) -> tuple[Float[np.ndarray, "P"], SgdState]:
    """`sgd`, with its state as one value.

    Source: as `sgd`.

    Args:
        parameters: θ.
        gradients: g.
        state: from `sgd_init` or the update before.
        learning_rate: as of `sgd`.
        momentum: as of `sgd`.

    Returns:
        Parameters and state after the step.

    Raises:
        TypeError, ValueError: as `sgd`.
    """
    new = sgd(parameters, gradients, state.velocity, learning_rate=learning_rate, momentum=momentum)
    return new.parameters, SgdState(new.velocity)


def adam_update(
    parameters: Float[np.ndarray, "P"],
    gradients: Float[np.ndarray, "P"],
    state: AdamState,
    *,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[Float[np.ndarray, "P"], AdamState]:
    """`adam`, with its state as one value.

    Source: as `adam`.

    Args:
        parameters: θ.
        gradients: g.
        state: from `adam_init` or the update before.
        learning_rate: as of `adam`.
        beta1: as of `adam`.
        beta2: as of `adam`.
        eps: as of `adam`.

    Returns:
        Parameters and state after the step.

    Raises:
        TypeError, ValueError: as `adam`.
    """
    count = state.steps + 1
    new = adam(
        parameters,
        gradients,
        state.first,
        state.second,
        count=count,
        learning_rate=learning_rate,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
    )
    return new.parameters, AdamState(count, new.first, new.second)


def rmsprop_update(
    parameters: Float[np.ndarray, "P"],
    gradients: Float[np.ndarray, "P"],
    state: RmspropState,
    *,
    learning_rate: float,
    decay: float,
    eps: float,
    eps_inside: bool,
) -> tuple[Float[np.ndarray, "P"], RmspropState]:
    """`rmsprop`, with its state as one value.

    Source: as `rmsprop`.

    Args:
        parameters: θ.
        gradients: g.
        state: from `rmsprop_init` or the update before.
        learning_rate: as of `rmsprop`.
        decay: as of `rmsprop`.
        eps: as of `rmsprop`.
        eps_inside: as of `rmsprop`.

    Returns:
        Parameters and state after the step.

    Raises:
        TypeError, ValueError: as `rmsprop`.
    """
    new = rmsprop(
        parameters,
        gradients,
        state.squares,
        learning_rate=learning_rate,
        decay=decay,
        eps=eps,
        eps_inside=eps_inside,
    )
    return new.parameters, RmspropState(new.squares)
